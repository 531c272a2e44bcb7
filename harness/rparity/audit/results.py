"""What an audit found: replies, comparisons, causes, and the cells of the matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from rparity.cases.base import Case
from rparity.compare import SEVERITY, Tables, Verdict, failing, kind_of
from rparity.diagnosis.explain import Finding
from rparity.engines.base import Answer

# A cell shows the fewest digits of these values, which users read off a fit.
HEADLINE: Mapping[str, tuple[str, ...]] = {
    "coef": ("estimate", "std_error"),
    "varcorr": ("vcov", "sdcor"),
    "theta": ("value",),
    "glance": ("sigma", "log_lik", "criterion", "r_squared"),
}


@dataclass(frozen=True)
class EngineReply:
    """An engine's answer to one question, or the problem because of which it has none.

    It has both if the problem arose only when the engine was asked again, for an experiment.
    `seconds` is the time the answer took. `made_by` has the versions of the packages that answered.
    `when` is the time at which a kept answer was made.
    """

    answer: Answer | None
    problem: str | None = None
    seconds: float = 0.0
    made_by: Mapping[str, str] = field(default_factory=dict)
    when: str | None = None


@dataclass(frozen=True)
class Cell:
    """One engine on one case: the fewest digits and the worst verdict, or why there are none."""

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

    `comparisons` has the columns of `rparity.compare.COLUMNS` and `cause`, which is "" if nothing
    differs or nothing explains the difference. `stops` has the places where optimizers stopped:
    columns `case, model, engine, distance` (from the optimum's θ, relative) and `rise` (of the
    criterion above its minimum). `reference_tables` has what engines are compared with, by case.
    """

    engines: tuple[str, ...]
    cases: tuple[Case, ...]
    replies: Mapping[tuple[str, str], EngineReply]
    comparisons: pd.DataFrame
    findings: Sequence[Finding]
    stops: pd.DataFrame
    reference_tables: Mapping[str, Tables]
    provenance: Mapping[str, Mapping[str, Any]]
    live: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something is unexplained, new, missing or stale."""
        return bool(failing(self.comparisons).any())

    @cached_property
    def problems(self) -> Mapping[tuple[str, str], str]:
        """Why engines and references did not answer, by engine and case."""
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
        rows = self.comparisons.assign(headline=is_headline(self.comparisons))
        grouped = dict(list(rows.groupby(["engine", "case"], sort=False)))
        return {
            (engine, case.name): self._cell(engine, case.name, grouped.get((engine, case.name)))
            for engine in self.engines
            for case in self.cases
        }

    def _cell(self, engine: str, case: str, rows: pd.DataFrame | None) -> Cell:
        reply = self.replies.get((engine, case), EngineReply(None, "was not asked"))
        gaps = tuple(dict.fromkeys(reply.answer.gaps.values())) if reply.answer else ()
        if rows is None or rows.empty:
            return Cell(engine, case, None, None, (), gaps, reply.problem, 0)
        headline = rows[rows["headline"]]
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
    """Return for each comparison whether it is one of `HEADLINE`."""
    kinds = comparisons["table"].map(kind_of)
    found = pd.Series(False, comparisons.index)
    for kind, columns in HEADLINE.items():
        found |= (kinds == kind) & comparisons["column"].isin(columns)
    return found
