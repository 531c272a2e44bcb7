"""One cell of the audit's matrix in full: values side by side, experiments, who answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rparity.audit.results import Audit, Cell, EngineReply
from rparity.compare import ALL, MAX_DIGITS, SEVERITY, Verdict
from rparity.diagnosis.experiments.base import Trial
from rparity.diagnosis.explain import Finding
from rparity.diagnosis.ledger import Entry
from rparity.report.summary import counted, fewest, made_by, made_when

# Values shown side by side; of more, those that agree least.
VALUES = 50


@dataclass(frozen=True)
class Value:
    """A value beside its reference; `same` and `rest` are its digits up to where they part."""

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
class Tried:
    """What an experiment did to the values of a finding: their fewest digits after it.

    They are NaN where it says nothing of them.
    """

    experiment: str
    says: str
    digits: float
    gone: int
    decisive: bool


@dataclass(frozen=True)
class Found:
    """One cause in one part: its values, its experiments in their order, the ledger's entry."""

    part: str
    cause: str
    values: int
    digits: float
    tried: Sequence[Tried]
    entry: Entry | None


@dataclass(frozen=True)
class Table:
    """How one table agrees: number of values, fewest digits and where, verdicts counted."""

    name: str
    values: int
    digits: float
    at: str
    verdicts: Mapping[Verdict, int]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: who, made when, by what."""

    name: str
    when: str
    versions: str


@dataclass(frozen=True)
class Detail:
    """A cell, and all there is to see behind it; `tables` where not every value is shown."""

    cell: Cell
    sides: Sequence[Side]
    tables: Sequence[Table]
    values: Sequence[Value]
    findings: Sequence[Found]
    gaps: Mapping[str, str]
    notes: Sequence[str]


def details(audit: Audit) -> dict[tuple[str, str], Detail]:
    """Return what is behind each cell that has comparisons, by engine and case."""
    grouped = audit.comparisons.groupby(["engine", "case"], sort=False)
    findings: dict[tuple[str, str], list[Finding]] = {}
    for finding in audit.findings:
        findings.setdefault((finding.engine, finding.case), []).append(finding)
    found = {}
    for (engine, case), rows in grouped:
        place = str(engine), str(case)
        cell, reply = audit.cells.get(place), audit.replies.get(place, EngineReply(None))
        if cell is None:  # what is stale in the ledger may be about an engine that was not asked
            continue
        answer = reply.answer
        found[place] = Detail(
            cell=cell,
            sides=[_side(audit, name, place[1]) for name in _names(place[0], rows)],
            tables=_tables(rows) if len(rows) > VALUES else (),
            values=_values(rows),
            findings=[_found(f, rows.loc[f.rows]) for f in findings.get(place, ())],
            gaps={} if answer is None else answer.gaps,
            notes=() if answer is None else answer.notes,
        )
    return found


def _names(engine: str, rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys([engine, *rows["reference"].dropna()]))


def _side(audit: Audit, name: str, case: str) -> Side:
    """Return who answered; R's recording of the case itself has a provenance of its own."""
    reply = audit.replies.get((name, case))
    if reply is not None:
        return Side(name, made_when(name, reply), made_by(reply))
    told = audit.provenance.get(case, {})
    packages = told.get("made_by", {}).get("packages", {})
    versions = ", ".join(f"{package} {version}" for package, version in packages.items())
    return Side(name, f"recorded {str(told.get('time', ''))[:10]}".strip(), versions)


def _tables(rows: pd.DataFrame) -> list[Table]:
    return [_table(str(name), of) for name, of in rows.groupby("table", sort=False)]


def _table(name: str, rows: pd.DataFrame) -> Table:
    worst = rows.iloc[int(rows["digits"].to_numpy().argmin())]
    at = " ".join(everything(worst[place]) for place in ("row", "column"))
    return Table(name, len(rows), fewest(rows), at, counted(rows))


def everything(name: str) -> str:
    """Name a row or a column, also where a comparison is about all of them."""
    return "all" if name == ALL else name


def _values(rows: pd.DataFrame) -> list[Value]:
    """Return the values with the worst verdicts and the fewest digits, as they came."""
    severity = rows["verdict"].map(lambda verdict: -SEVERITY.index(Verdict(verdict)))
    order = np.lexsort([rows["digits"], severity])[:VALUES]
    columns = ("table", "row", "column", "value", "reference_value", "digits", "verdict", "cause")
    chosen = rows.iloc[np.sort(order)]
    return [
        Value(
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


def exactly(value: float) -> str:
    """Sixteen significant digits: about what a double holds."""
    return "NA" if np.isnan(value) else f"{value:.16g}"


def parted(value: float, digits: float) -> tuple[str, str]:
    """Split a value's text after as many significant digits as agree."""
    text = exactly(value)
    if digits >= MAX_DIGITS:
        return text, ""
    left, begun = int(digits), False
    for i, char in enumerate(text):
        begun |= char in "123456789"
        if begun and char.isdigit():
            left -= 1
        if left < 0 or char == "e":
            return text[:i], text[i:]
    return (text, "") if begun else ("", text)


def _found(finding: Finding, rows: pd.DataFrame) -> Found:
    decisive = finding.decisive
    return Found(
        finding.part,
        finding.cause,
        len(rows),
        fewest(rows),
        [_tried(trial, rows.index, decisive=trial is decisive) for trial in finding.trials],
        finding.entry,
    )


def _tried(trial: Trial, places: pd.Index[int], *, decisive: bool) -> Tried:
    digits = float(trial.digits.reindex(places).min()) + 0.0
    gone = int(trial.vanished.reindex(places, fill_value=False).sum())
    return Tried(trial.experiment, trial.says, digits, gone, decisive)
