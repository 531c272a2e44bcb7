"""The arbiter as an engine: proven optima, rounded to double at the very end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from harness.cases.base import LM_TABLES, LMER_TABLES, Boot, Call, Data, Lm, Lmer, Part
from harness.engines.base import Answer, Question
from harness.rrandom import RRandom

if TYPE_CHECKING:
    from harness.exact import Certified

# Time grows with the cube of the random effects: so many take a few seconds.
MOST_EFFECTS = 100
MOST_ROWS = 20_000

GAPS: dict[type[Part], str] = {
    Boot: "a bootstrap is a random experiment: there is no exact answer to it",
    Call: "an opaque Python function: there is nothing to work out exactly",
}
NO_INTERVAL = "found by search along the profile or by simulation: not certified"


class Exact:
    """`harness.exact.certify`, which takes the doubles of the data as they are."""

    name = "exact"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Models, but for intervals by profile and by bootstrap."""
        known = {Lmer: LMER_TABLES, Lm: LM_TABLES}.get(type(part), ())
        kinds: tuple[str, ...] = tuple(kind for kind in part.kinds if kind in known)
        return tuple(f"{part.name}.{kind}" for kind in kinds)

    def answer(self, question: Question) -> Answer:
        """Certify the models.

        Raises
        ------
        UsageError
            Where python-flint is not installed.
        NotCertifiedError
            Where no proof is found.
        """
        case = question.case
        data = pd.DataFrame()
        tables: dict[str, pd.DataFrame] = {}
        gaps: dict[str, str] = {}
        known: dict[tuple[object, ...], Certified] = {}
        for part in case.parts:
            match part:
                case Data():
                    data = question.draw(part, RRandom(case.seed))
                    continue
                case Lmer() | Lm() if reason := too_large(part, data):
                    gaps[part.name] = reason
                    continue
                case Lmer() | Lm():
                    found = known.get(part.key) or known.setdefault(
                        part.key, _certified(part, data)
                    )
                    for table in self.expected(part):
                        frame = found.frame(table.rpartition(".")[2])
                        perfect = isinstance(part, Lm) and part.perfect
                        tables[table] = frame[["estimate"]] if perfect else frame
                    gaps |= dict.fromkeys(set(part.tables) - set(tables), NO_INTERVAL)
                case _:
                    gaps[part.name] = GAPS.get(type(part), "an experiment on R alone")
        worst = min((found.digits for found in known.values()), default=0.0)
        note = f"every value is proven, to {min(worst, 999.0):.0f} digits at least"
        return Answer(tables, gaps, (note,) if known else ())


def too_large(part: Lmer | Lm, data: pd.DataFrame) -> str | None:
    """Say why a model is beyond the arbiter, or None."""
    from harness.lmm.matrices import build

    if len(data) > MOST_ROWS:
        return f"{len(data)} rows: the arbiter takes up to {MOST_ROWS}"
    random = build(part.formula, data, na_action="fail").random
    q = sum(len(term.levels) * len(term.names) for term in random)
    if q > MOST_EFFECTS:
        return f"{q} random effects: the arbiter takes up to {MOST_EFFECTS}"
    return None


def _certified(part: Lmer | Lm, data: pd.DataFrame) -> Certified:
    from harness.exact import certify

    if isinstance(part, Lm):
        return certify(part.formula, data, contrasts=part.contrasts)
    weights = None if part.weights is None else data[part.weights]
    return certify(part.formula, data, REML=part.reml, weights=weights)
