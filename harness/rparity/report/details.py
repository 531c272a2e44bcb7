"""The details of a cell of the audit's matrix: values, experiments and who answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rparity.audit.results import Audit, Cell, EngineReply
from rparity.compare import Verdict
from rparity.diagnosis.experiments.base import Trial
from rparity.diagnosis.explain import Finding
from rparity.diagnosis.ledger import Entry
from rparity.report.numbers import counted, everything, exactly, fewest, parted, severity
from rparity.report.summary import AnswerSource, source, versions_of

# At most this many values are shown, those that agree least.
VALUES = 30


@dataclass(frozen=True)
class ComparedValue:
    """A value beside its reference. `same` are the digits that agree, `rest` the others."""

    table: str
    row: str
    column: str
    same: str
    rest: str
    reference: str
    digits: float
    verdict: Verdict
    cause: str


@dataclass(frozen=True)
class TriedExperiment:
    """One experiment on the values of a finding.

    `digits` is their fewest digits after it, or NaN if it does not apply to them. `gone` is the
    number of differences that vanished.
    """

    experiment: str
    says: str
    digits: float
    gone: int
    decisive: bool


@dataclass(frozen=True)
class CauseDetail:
    """One cause in one part: its values, the experiments in order, the ledger's entry."""

    part: str
    cause: str
    values: int
    digits: float
    tried: Sequence[TriedExperiment]
    entry: Entry | None


@dataclass(frozen=True)
class TableSummary:
    """The agreement of one table: number of values, fewest digits and their place, verdicts."""

    name: str
    values: int
    digits: float
    at: str
    verdicts: Mapping[Verdict, int]


@dataclass(frozen=True)
class Detail:
    """A cell and its details. `tables` is empty if `values` has every value."""

    cell: Cell
    sides: Sequence[AnswerSource]
    tables: Sequence[TableSummary]
    values: Sequence[ComparedValue]
    findings: Sequence[CauseDetail]
    gaps: Mapping[str, str]
    notes: Sequence[str]


def details(audit: Audit) -> dict[tuple[str, str], Detail]:
    """Return the details of each cell that has comparisons, by engine and case."""
    grouped = audit.comparisons.groupby(["engine", "case"], sort=False)
    findings: dict[tuple[str, str], list[Finding]] = {}
    for finding in audit.findings:
        findings.setdefault((finding.engine, finding.case), []).append(finding)
    found = {}
    for (engine, case), rows in grouped:
        place = str(engine), str(case)
        cell, reply = audit.cells.get(place), audit.replies.get(place, EngineReply(None))
        if cell is None:  # a stale entry of the ledger may be about an engine that was not asked
            continue
        answer = reply.answer
        names = dict.fromkeys([place[0], *rows["reference"].dropna()])
        found[place] = Detail(
            cell=cell,
            sides=[_side(audit, name, place[1]) for name in names],
            tables=_tables(rows) if len(rows) > VALUES else (),
            values=_values(rows),
            findings=[_found(f, rows.loc[f.rows]) for f in findings.get(place, ())],
            gaps={} if answer is None else answer.gaps,
            notes=() if answer is None else answer.notes,
        )
    return found


def _side(audit: Audit, name: str, case: str) -> AnswerSource:
    """Return who answered. R's recording of a case is no reply and has its own provenance."""
    reply = audit.replies.get((name, case))
    if reply is not None:
        return source(name, reply)
    provenance = audit.provenance.get(case, {})
    packages = provenance.get("made_by", {}).get("packages", {})
    when = f"recorded {str(provenance.get('time', ''))[:10]}".strip()
    return AnswerSource(name, when, versions_of(packages))


def _tables(comparisons: pd.DataFrame) -> list[TableSummary]:
    found = []
    for name, rows in comparisons.groupby("table", sort=False):
        worst = rows.iloc[int(rows["digits"].to_numpy().argmin())]
        at = f"{everything(worst['row'])} {everything(worst['column'])}"
        found.append(TableSummary(str(name), len(rows), fewest(rows), at, counted(rows)))
    return found


def _values(rows: pd.DataFrame) -> list[ComparedValue]:
    """Return the values with the worst verdicts and the fewest digits, in their first order."""
    order = np.lexsort([rows["digits"], severity(rows)])[:VALUES]
    columns = ("table", "row", "column", "value", "reference_value", "digits", "verdict", "cause")
    chosen = rows.iloc[np.sort(order)]
    return [
        ComparedValue(
            table,
            everything(row),
            everything(column),
            *parted(value, digits),
            exactly(reference),
            digits + 0.0,
            Verdict(verdict),
            cause,
        )
        for table, row, column, value, reference, digits, verdict, cause in zip(
            *(chosen[name] for name in columns), strict=True
        )
    ]


def _found(finding: Finding, rows: pd.DataFrame) -> CauseDetail:
    decisive = finding.decisive
    return CauseDetail(
        finding.part,
        finding.cause,
        len(rows),
        fewest(rows),
        [_tried(trial, rows.index, decisive=trial is decisive) for trial in finding.trials],
        finding.entry,
    )


def _tried(trial: Trial, places: pd.Index[int], *, decisive: bool) -> TriedExperiment:
    digits = float(trial.digits.reindex(places).min()) + 0.0
    gone = int(trial.vanished.reindex(places, fill_value=False).sum())
    return TriedExperiment(trial.experiment, trial.says, digits, gone, decisive)
