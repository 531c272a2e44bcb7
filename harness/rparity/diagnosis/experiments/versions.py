"""The experiment on versions of lme4: this package reproduces both, and so their difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Boot, Call, Lmer
from rparity.compare import Reference, Tables, Tolerance
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import BETTER, PUBLISHED, Dispute, Trial, compared
from rparity.lmm.lme4 import CHANGES, Change, Lme4

# The engine whose tolerances say how far R may be from this package.
OURS = "rparity"


def lme4_changed(change: Change, dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Compute how a change of lme4 moves this package's answer, and undo it in the engine's.

    A difference is gone if the values then agree within the tolerances of both sides. If several
    changes lie between the two versions, the one that moves a value most is its cause.
    """
    mine, theirs = dispute.lme4
    asked = dispute.context.parts.get(part)
    if not isinstance(asked, Boot | Lmer | Call):
        return None
    named = not isinstance(asked, Boot) or asked.everything  # else only the fixed effects are
    between = [
        each
        for each in CHANGES
        if mine.has(each) != theirs.has(each) and (named or not each.renames)
    ]
    if change not in between:
        return None
    answers = [dispute.context.answered(asked, each) for each in _steps(mine, theirs, between)]
    if mine.has(between[0]):  # from the newer side to the older one
        between = between[::-1]
    tables = [table for table in rows["table"].unique() if table in answers[0]]
    moved = {name: answers[-1][name] - answers[0][name] for name in tables}
    trial = compared(
        "this package as each of the two versions of lme4",
        Cause(change.cause),
        f"{change.says}. By as much as this moves the answer of this package, {dispute.engine} "
        f"differs from {dispute.reference}",
        rows,
        {
            name: dispute.answer[name] + moved[name].reindex_like(dispute.answer[name])
            for name in tables
            if name in dispute.answer
        },
        Reference(dispute.reference, dispute.reference_tables, _tolerance(dispute), partial=True),
    )
    sizes = [_sizes(before, after, rows) for before, after in pairwise(answers)]
    most = np.argmax(sizes, axis=0) == between.index(change)
    closer = trial.digits >= rows["digits"] + BETTER
    return replace(trial, vanished=trial.vanished & closer & most)


def _steps(mine: Lme4, theirs: Lme4, between: Sequence[Change]) -> list[Lme4]:
    """Return versions from one side's to the other's, with one change between neighbours."""
    if mine.has(between[0]):
        return _steps(theirs, mine, between)[::-1]
    return [mine, *(Lme4(change.since) for change in between[:-1]), theirs]


def _sizes(before: Tables, after: Tables, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Return how far a change moves each compared value in this package's answer."""
    found = np.zeros(len(rows))
    for table in rows["table"].unique():
        if table in before and table in after:
            move = (after[table] - before[table]).abs()
            here = rows["table"].to_numpy() == table
            i = move.index.get_indexer(pd.Index(rows["row"][here]))
            j = move.columns.get_indexer(pd.Index(rows["column"][here]))
            found[here] = np.where((i < 0) | (j < 0), 0.0, move.to_numpy()[i, j])
    return found


def _tolerance(dispute: Dispute) -> Callable[[str, str], Tolerance]:
    """Return the sum of both sides' tolerances: each side's distance from this package.

    A published figure's tolerance is its rounding.
    """
    case = dispute.context.case

    def tolerance(table: str, column: str) -> Tolerance:
        found = [
            case.published.tolerance(table, column)
            if side == PUBLISHED and case.published is not None
            else case.tolerance(OURS, table, column)
            for side in (dispute.engine, dispute.reference)
        ]
        return Tolerance(
            sum(each.rtol for each in found),
            "; ".join(dict.fromkeys(each.reason for each in found)),
            sum(each.atol for each in found),
            sum(each.spread for each in found),
        )

    return tolerance
