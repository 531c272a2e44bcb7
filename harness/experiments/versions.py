"""What changed between two versions of lme4: this package is asked to reproduce both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from harness.cases.base import Boot, Case, Data, Lmer
from harness.compare import Reference, Tables, Tolerance
from harness.engines.base import Question
from harness.engines.native import Native
from harness.experiments.base import PUBLISHED, Dispute, Trial, compared
from harness.lmm.lme4 import CHANGES, Change, Lme4

# How the engine is called whose tolerances say how far R is from this package.
OURS = "rparity"


def lme4_changed(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Answer as each of two versions of lme4 does, and see whether each side is one of the two.

    The change that names the cause is the one that moves this package's own answer. Both sides
    must agree with what it predicts for them: a change that is there, but does not lead from one
    value to the other, explains nothing.
    """
    mine, theirs = dispute.lme4
    between = [change for change in CHANGES if mine.has(change) != theirs.has(change)]
    asked = dispute.asked.parts.get(part)
    if not between or not isinstance(asked, Boot | Lmer):
        return None
    steps = _steps(mine, theirs, between)
    answers = [_answer(dispute, version, _nsim(dispute, part)) for version in steps]
    trials = [
        _change(dispute, rows, answers, step, change)
        for step, change in enumerate(between if theirs.has(between[0]) else between[::-1])
    ]
    return max(trials, key=lambda trial: int(trial.vanished.sum()))


def _steps(mine: Lme4, theirs: Lme4, between: Sequence[Change]) -> list[Lme4]:
    """Return versions from one side's to the other's, between two of which one change lies."""
    if mine.has(between[0]):
        return _steps(theirs, mine, between)[::-1]
    return [mine, *(Lme4(change.since) for change in between[:-1]), theirs]


def _change(
    dispute: Dispute,
    rows: pd.DataFrame,
    answers: Sequence[Tables],
    step: int,
    change: Change,
) -> Trial:
    """Return the trial of one change: what it moves, where both sides are as predicted."""
    case = dispute.asked.case
    names = (dispute.engine, dispute.reference)
    trial = compared(
        "this package as each of the two versions of lme4",
        change.cause,
        f"{change.says}: this package gives {dispute.engine}'s value as the one version does, and "
        f"{dispute.reference}'s as the other",
        rows,
        dispute.truth,
        _as_predicted(case, names[1], answers[-1]),
    )
    other = compared("", "", "", rows, dispute.answer, _as_predicted(case, names[0], answers[0]))
    moved = compared(
        "", "", "", rows, answers[step], _as_predicted(case, names[1], answers[step + 1])
    )
    return replace(trial, vanished=trial.vanished & other.vanished & ~moved.vanished)


def _as_predicted(case: Case, name: str, tables: Tables) -> Reference:
    """Return this package's answer as the reference for one side, with that side's tolerance."""

    def tolerance(table: str, column: str) -> Tolerance:
        if name == PUBLISHED and case.published is not None:
            return case.published.reference().tolerance(table, column)
        return case.tolerance(OURS, table, column)

    return Reference("prediction", tables, tolerance, partial=True)


def _nsim(dispute: Dispute, part: str) -> int:
    """Return how many replicates a bootstrap has on either side; the case's own if neither says."""
    counts = [
        len(tables[f"{part}.replicates"])
        for tables in (dispute.answer, dispute.truth)
        if f"{part}.replicates" in tables
    ]
    return max(counts, default=dispute.asked.case.nsim)


def _answer(dispute: Dispute, version: Lme4, nsim: int) -> Tables:
    """Ask this package for a case's bootstraps and intervals, as they are with a version of lme4.

    Bootstraps go on where others before them left the stream, so that all of them are drawn.
    """
    case = dispute.asked.case
    key = f"lme4 {version.version} {nsim}"
    if key not in dispute.shared:
        parts = [part for part in case.parts if isinstance(part, Data | Lmer | Boot)]
        question = Question(
            replace(case, parts=tuple(parts)),
            nsim,
            {} if version.version is None else {"lme4": version.version},
            dispute.asked.data,
        )
        dispute.shared[key] = Native().answer(question).tables
    found: Tables = dispute.shared[key]
    return found
