"""One run of a case: engines answer, and are compared with R and with published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from rparity.cases.base import Boot, Case
from rparity.compare import COLUMNS, SEVERITY, Reference, Tables, Verdict, compare, failing
from rparity.diagnosis.between_rs import Difference, VersionAnswer, difference
from rparity.diagnosis.experiments.base import CaseContext, Dispute
from rparity.diagnosis.explain import Finding, explain, with_entries
from rparity.diagnosis.ledger import apply_ledger, ledger
from rparity.engines.base import Answer, Question, engine
from rparity.errors import UsageError
from rparity.lmm.lme4 import Lme4
from rparity.r.version import RVersion, nearest
from rparity.recordings import versions
from rparity.tables import decode_factors
from rparity.text import html_paragraph, html_table

# The failures that a notebook shows.
FAILURES_SHOWN = 20


@dataclass(frozen=True)
class CaseRun:
    """What a run found: every comparison, and the causes of differences.

    `notes` say what was not compared, and what engines reported. `changed` is how R, run live,
    differs from the recording of the nearest R.
    """

    case: Case
    nsim: int
    live: bool
    r_tables: Tables
    provenance: Mapping[str, Any]
    answers: Mapping[str, Answer]
    comparisons: pd.DataFrame
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    changed: Difference | None = None

    @property
    def failed(self) -> bool:
        """Whether a comparison has a verdict that fails."""
        changed = self.changed is not None and self.changed.failed
        return changed or bool(failing(self.comparisons).any())

    def _repr_html_(self) -> str:
        return comparisons_html(self.comparisons, f"{self.case.name}: {self.case.title}")


def run_case(
    case: Case,
    *,
    fixtures: Path,
    live: bool = False,
    version: str | None = None,
    nsim: int | None = None,
    engines: Sequence[str] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> CaseRun:
    """Run a case against R's recording, or against R itself.

    Of several recordings, the newest R's is used, or the one in the folder `version`. A live R is
    also compared with the recording of the nearest R.

    Raises
    ------
    RparityError
        For a missing or stale recording, a live run without R, or `nsim` below 2.
    """
    if nsim is not None and nsim < 2:
        raise UsageError(f"--nsim must be at least 2 to have a standard deviation, and is {nsim}.")
    progress = on_progress or (lambda _text: None)
    bootstraps = any(isinstance(part, Boot) for part in case.parts)
    replicates = nsim if nsim is not None and bootstraps else case.nsim
    if live:
        from rparity.engines.r import R

        r = R(on_message=lambda text: progress(f"R: {text.strip()}"))
        progress("R: starting")
        r_tables: Tables = r.answer(Question(case, replicates)).tables
        provenance: Mapping[str, Any] = r.provenance
    else:
        recording = case.recording(fixtures, version)
        r_tables, provenance = recording.tables, recording.provenance

    data = r_tables.get("data")
    question = Question(
        case,
        replicates,
        provenance["made_by"]["packages"],
        None if data is None else decode_factors(data, provenance["levels"]),
    )
    answers: dict[str, Answer] = {}
    for name in case.engines if engines is None else engines:
        progress(f"Python: {name}")
        answers[name] = engine(name).answer(question)
    progress("comparing")
    unmatched = _drawn_otherwise(case, replicates, int(provenance["nsim"]))
    frames = [
        frame
        for name, answer in answers.items()
        for frame in _comparisons(case, name, answer, r_tables, unmatched, replicates)
    ]
    frames += _against_published(case, "R", r_tables, int(provenance["nsim"]), case.nsim)
    frames += _claims(case, "R", r_tables, int(provenance["nsim"]))
    frames = [frame for frame in frames if len(frame)] or [pd.DataFrame(columns=list(COLUMNS))]
    context = CaseContext(
        case,
        case.parts,
        question.data,
        r_tables,
        provenance,
        ours={
            Lme4.among(question.versions): answer.tables
            for name, answer in answers.items()
            if name == "rparity" and replicates == int(provenance["nsim"])
        },
    )
    comparisons, findings = _explained(context, answers, pd.concat(frames, ignore_index=True))
    notes = [note for answer in answers.values() for note in answer.notes]
    changed = None
    if live:
        changed, note = _beside_nearest(case, fixtures, VersionAnswer(r_tables, provenance))
        notes.append(note)
    if unmatched:
        notes.append(
            f"R's recording has {provenance['nsim']} replicates, this run {replicates}: other "
            "draws. Bootstrap tables are not compared with it; add --live to ask R itself."
        )
    return CaseRun(
        case,
        replicates,
        live,
        r_tables,
        provenance,
        answers,
        comparisons,
        findings,
        tuple(notes),
        changed,
    )


def _beside_nearest(
    case: Case, fixtures: Path, now: VersionAnswer
) -> tuple[Difference | None, str]:
    """Compare live R with the recording of the nearest R; also return a note that names that R."""
    label = nearest(versions(fixtures, case.name), now.version)
    if label is None:
        return None, f"{now.version} was not compared with a recording of R: there is none."
    recording = case.recording(fixtures, label)
    found = difference(case, now, VersionAnswer(recording.tables, recording.provenance))
    rows = found.comparisons
    fewest = f"fewest digits {rows['digits'].min():.1f}" if len(rows) else "nothing in common"
    said = f"R itself was compared with the recording of {found.older}: {fewest}."
    if found.older == found.newer:
        return found, said
    return found, (
        f"{said} It is the nearest: {now.version} is not recorded; `{case.command}` records it "
        "beside the others."
    )


def _explained(
    context: CaseContext, answers: Mapping[str, Answer], comparisons: pd.DataFrame
) -> tuple[pd.DataFrame, Sequence[Finding]]:
    """Find the causes of what is outside its tolerance, and apply the ledger."""
    published = context.case.published
    packages = context.provenance["made_by"]["packages"]
    references: dict[str, tuple[Tables, Mapping[str, str]]] = {"R": (context.recorded, packages)}
    if published is not None:
        references["published"] = (published.reference().tables, published.versions)
    tables = {name: answer.tables for name, answer in answers.items()} | {"R": context.recorded}
    comparisons = comparisons.assign(cause="")
    findings: list[Finding] = []
    for pair, rows in comparisons.groupby(["engine", "reference"], sort=False):
        name, reference = map(str, pair)
        if reference not in references:
            continue  # a claim: no experiment is about it
        expected, made_by = references[reference]
        dispute = Dispute(
            context,
            name,
            reference,
            tables[name],
            expected,
            lme4=(Lme4.among(packages), Lme4.among(made_by)),
        )
        explained, found = explain(dispute, rows)
        comparisons.loc[explained.index, "cause"] = explained["cause"]
        findings += found
    version = RVersion.among(packages)
    judged, known = apply_ledger(
        comparisons,
        ledger(of=[context.case]),
        [context.case.name],
        None if version is None else version.lme4,
    )
    return judged, with_entries(findings, known)


def _drawn_otherwise(case: Case, nsim: int, recorded: int) -> frozenset[str]:
    """Return the tables whose draws differ because the numbers of replicates differ."""
    if nsim == recorded:
        return frozenset()
    boots = [part for part in case.parts if isinstance(part, Boot)]
    return frozenset(table for part in boots for table in part.tables)


def _comparisons(
    case: Case,
    name: str,
    answer: Answer,
    r_tables: Tables,
    unmatched: frozenset[str],
    nsim: int,
) -> list[pd.DataFrame]:
    asked = engine(name)
    expected = [
        table for part in case.parts for table in asked.expected(part) if table not in unmatched
    ]
    reference = Reference("R", r_tables, lambda table, column: case.tolerance(name, table, column))
    found = compare(case.name, name, answer.tables, reference, expected)
    frames = [answer.without_gaps(found)]
    if name == "rparity":
        frames += _against_published(case, name, answer.tables, nsim, case.nsim)
        frames += _claims(case, name, answer.tables, nsim)
    return frames


def _against_published(
    case: Case, name: str, tables: Tables, nsim: int, published_nsim: int
) -> list[pd.DataFrame]:
    if case.published is None:
        return []
    skip = _drawn_otherwise(case, nsim, published_nsim)
    expected = [table for table in case.published.figures if table not in skip]
    return [compare(case.name, name, tables, case.published.reference(), expected)]


def _claims(case: Case, name: str, tables: Tables, nsim: int) -> list[pd.DataFrame]:
    frames = []
    for claim in case.claims:
        answered = tables.get(claim.table, pd.DataFrame())
        reference = claim.reference(tables, answered.index, nsim)
        frames.append(compare(case.name, name, tables, reference, [claim.table]))
    return frames


def comparisons_html(rows: pd.DataFrame, caption: str = "") -> str:
    """Return the fewest digits and the verdicts of each engine and table, and what fails.

    `rows` has the columns of `rparity.compare.COLUMNS`.
    """
    body = []
    for place, mine in rows.groupby(["engine", "reference", "table"], sort=False):
        counts = mine["verdict"].value_counts()
        verdicts = ", ".join(f"{counts[v]} {v}" for v in SEVERITY if v in counts)
        fewest = f"{mine['digits'].min():.1f}"
        body.append([*map(str, place), str(len(mine)), fewest, verdicts])
    heads = ["engine", "reference", "table", ">values", ">fewest digits", "verdicts"]
    shown = html_table(heads, body, caption)
    wrong = rows[failing(rows)].sort_values("digits", kind="stable")
    if wrong.empty:
        return shown + html_paragraph("Nothing fails." if len(rows) else "Nothing was compared.")
    names = ["engine", "table", "row", "column"]
    found = [
        [
            *(str(row[name]) for name in names),
            *(f"{row[name]:.16g}" for name in ("reference_value", "value")),
            f"{row['digits']:.1f}",
            Verdict(row["verdict"]).value,
        ]
        for _, row in wrong.head(FAILURES_SHOWN).iterrows()
    ]
    shown += html_table([*names, ">reference", ">value", ">digits", "verdict"], found, "What fails")
    more = len(wrong) - FAILURES_SHOWN
    return shown + (html_paragraph(f"and {more} more") if more > 0 else "")
