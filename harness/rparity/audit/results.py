"""What an audit found: replies, comparisons, causes, and the matrix's cells made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from rparity.cases.base import Case
from rparity.compare import SEVERITY, Tables, Verdict
from rparity.diagnosis.diagnose import Finding
from rparity.engines.base import Answer

# What a cell's digits are taken from: what users read off a fit. The rest is in the details.
HEADLINE: Mapping[str, tuple[str, ...]] = {
    "coef": ("estimate", "std_error"),
    "varcorr": ("vcov", "sdcor"),
    "theta": ("value",),
    "glance": ("sigma", "log_lik", "criterion", "r_squared"),
}


@dataclass(frozen=True)
class Reply:
    """What became of asking an engine: its answer, or the problem that kept it from one.

    It has both where the engine had a problem only when it was asked again, for an experiment.
    `made_by` has the versions of what answered, `when` it was made, for an answer that is kept.
    """

    answer: Answer | None
    problem: str | None = None
    seconds: float = 0.0
    made_by: Mapping[str, str] = field(default_factory=dict)
    when: str | None = None


@dataclass(frozen=True)
class Cell:
    """One engine on one case: the fewest digits and the worst verdict, or why there is none."""

    engine: str
    case: str
    digits: float | None
    verdict: Verdict | None
    causes: tuple[str, ...]
    gaps: tuple[str, ...]
    problem: str | None
    values: int


@dataclass(frozen=True)
class Audit:
    """Every engine on every case.

    `comparisons` has the columns of `rparity.compare.COLUMNS`, `cause` ("" where there is nothing
    to explain) and `finding`, the position in `findings` or −1. `stops` says where engines stopped:
    columns `case, model, engine, distance` (relative, from the optimum's θ) and `rise` (of the
    criterion above its minimum). `truth` has each case's reference tables.
    """

    engines: tuple[str, ...]
    cases: tuple[Case, ...]
    replies: Mapping[tuple[str, str], Reply]
    comparisons: pd.DataFrame
    findings: Sequence[Finding]
    stops: pd.DataFrame
    truth: Mapping[str, Tables]
    provenance: Mapping[str, Mapping[str, Any]]
    live: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something is unexplained, new or stale."""
        return any(Verdict(v).fails for v in self.comparisons["verdict"].unique())

    @cached_property
    def problems(self) -> Mapping[tuple[str, str], str]:
        """What kept engines and references from answering, by engine and case."""
        found = {place: cell.problem for place, cell in self.cells.items()}
        found |= {place: reply.problem for place, reply in self.replies.items()}
        return {place: reason for place, reason in found.items() if reason is not None}

    @property
    def unchecked(self) -> str | None:
        """Why the audit checked less than it was asked to, in one sentence, or None."""
        if self.problems:
            found = (
                f"{len(self.problems)} of the questions could not be answered: the report has the "
                "reasons; --allow-problems ends with 0 or 1 nevertheless."
            )
            return f"{found} What was compared fails as well." if self.failed else found
        if self.comparisons.empty:
            return "Nothing was compared: name engines that can answer these cases."
        return None

    @cached_property
    def cells(self) -> Mapping[tuple[str, str], Cell]:
        """The matrix, by engine and case."""
        grouped = dict(list(self.comparisons.groupby(["engine", "case"], sort=False)))
        return {
            (engine, case.name): self._cell(engine, case.name, grouped.get((engine, case.name)))
            for engine in self.engines
            for case in self.cases
        }

    def _cell(self, engine: str, case: str, rows: pd.DataFrame | None) -> Cell:
        reply = self.replies.get((engine, case), Reply(None, "was not asked"))
        gaps = tuple(dict.fromkeys(reply.answer.gaps.values())) if reply.answer else ()
        if rows is None or rows.empty:
            return Cell(engine, case, None, None, (), gaps, reply.problem, 0)
        headline = rows[is_headline(rows)]
        verdict = max((Verdict(v) for v in rows["verdict"].unique()), key=SEVERITY.index)
        return Cell(
            engine,
            case,
            float((headline if len(headline) else rows)["digits"].min()),
            verdict,
            tuple(cause for cause in rows["cause"].unique() if cause),
            gaps,
            reply.problem,
            len(rows),
        )


def is_headline(comparisons: pd.DataFrame) -> pd.Series[bool]:
    """Which comparisons are of `HEADLINE`: estimates, standard errors, variances and the fit."""
    kinds = comparisons["table"].str.rpartition(".")[2]
    found = pd.Series(False, comparisons.index)
    for kind, columns in HEADLINE.items():
        found |= (kinds == kind) & comparisons["column"].isin(columns)
    return found
