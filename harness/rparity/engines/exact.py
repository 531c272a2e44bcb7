"""The arbiter as an engine: proven optima, rounded to doubles at the end."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rparity.cases.base import (
    LM_TABLES,
    LMER_TABLES,
    TEST_TABLES,
    Boot,
    Call,
    Data,
    Lm,
    Lmer,
    Part,
)
from rparity.compare import kind_of
from rparity.engines.base import Answer, Question
from rparity.engines.native import MEANS, PAIRS, fitted, mean_rows
from rparity.errors import DataError, FormulaError
from rparity.rrandom import RRandom

if TYPE_CHECKING:
    from rparity.exact import Certified
    from rparity.exact.balls import Figures
    from rparity.exact.rational import Rank

FIGURES: tuple[Figures, ...] = ("double", "decimal")
DIGITS = 20
PACKAGES = ("python-flint", "numpy", "scipy")
# Time grows with the cube of the number of random effects; this many take a few seconds.
MOST_EFFECTS = 100
MOST_ROWS = 20_000
MOST_DIGITS = 999.0  # an exact value has infinitely many

GAPS: dict[type[Part], str] = {
    Boot: "a bootstrap is a random experiment: there is no exact answer to it",
    Call: "an opaque Python function: there is nothing to work out exactly",
}
NO_INTERVAL = "found by search along the profile or by simulation: not certified"
NO_TEST = (
    "a fit by ML, or the data may say nothing about a variance parameter, or contrasts whose "
    "variances coincide differ in their degrees of freedom"
)
NO_TUKEY = "Tukey's distribution is a double integral: not certified"


class Exact:
    """`rparity.exact.certify`, which takes the doubles of the data as exact.

    If the data stand for decimals (`Data.decimal`), there are also tables `MODEL_decimal` for the
    data as decimals. The difference is what rounding the data to doubles costs. These tables keep
    the columns that R drops as nearly dependent, because they answer the problem as written.

    After `answer`, `provenance` describes the proofs, and `decimals` has the values as text.
    """

    name = "exact"

    def __init__(self) -> None:
        self._proofs: dict[str, Any] = {}
        self._decimals: dict[str, pd.DataFrame] = {}

    def expected(self, part: Part) -> tuple[str, ...]:
        """Return the tables of models, except intervals by profile and by bootstrap."""
        known = {Lmer: (*LMER_TABLES, *TEST_TABLES), Lm: LM_TABLES}.get(type(part), ())
        kinds: tuple[str, ...] = tuple(kind for kind in part.kinds if kind in known)
        return tuple(f"{part.name}.{kind}" for kind in kinds)

    def answer(self, question: Question) -> Answer:
        """Certify the models. A model without a proof is a gap.

        Raises
        ------
        UsageError
            If python-flint is not installed.
        """
        from rparity.exact import NotCertifiedError

        case = question.case
        data, figures = pd.DataFrame(), FIGURES
        tables: dict[str, pd.DataFrame] = {}
        gaps: dict[str, str] = {}
        known: dict[tuple[object, ...], Certified] = {}
        self._proofs, self._decimals = {}, {}
        for part in case.parts:
            match part:
                case Data():
                    data = question.draw(part, RRandom(case.seed))
                    figures = FIGURES if part.decimal else FIGURES[:1]
                case Lmer() | Lm() if reason := too_large(part, data):
                    gaps[part.name] = reason
                case Lmer() | Lm():
                    for numbers in figures:
                        name = part.name if numbers == "double" else f"{part.name}_{numbers}"
                        key = (*part.key, numbers, *_tests(part))
                        try:
                            found = known.get(key) or _certified(part, data, numbers)
                        except (NotCertifiedError, DataError, FormulaError) as error:
                            gaps[name] = str(error)
                            continue
                        known[key] = found
                        tables |= self._noted(name, part, found)
                    for table in part.tables:
                        if table not in tables:
                            why = NO_TEST if kind_of(table) in TEST_TABLES else NO_INTERVAL
                            gaps.setdefault(table, why)
                        elif "p_value" not in tables[table] and kind_of(table) == "pairs":
                            gaps[f"{table}/*/p_value"] = NO_TUKEY
                case _:
                    gaps[part.name] = GAPS.get(type(part), "an experiment on R alone")
        worst = min((found.digits for found in known.values()), default=0.0)
        note = f"every value is proven, to {min(worst, MOST_DIGITS):.0f} digits at least"
        return Answer(tables, gaps, (note,) if known else ())

    def _noted(self, name: str, part: Lmer | Lm, found: Certified) -> dict[str, pd.DataFrame]:
        """Store a model's proof and decimals under a name, and return its tables."""
        self._proofs[name] = {
            "digits": round(min(found.digits, MOST_DIGITS), 1),
            "agreement": round(min(found.agreement, MOST_DIGITS), 1),
            "bits": found.bits,
            "boundary": list(found.boundary),
        }
        tables = {}
        for kind in map(kind_of, self.expected(part)):
            if kind not in found.tables:
                continue
            frame, text = found.frame(kind), found.decimals(kind, DIGITS)
            if columns := _columns(kind, frame):
                frame, text = frame[columns], text[columns]
            if isinstance(part, Lm) and part.perfect:
                frame, text = frame[["estimate"]], text[["estimate"]]
            tables[f"{name}.{kind}"] = frame
            self._decimals[f"{name}.{kind}"] = text
        return tables

    @property
    def provenance(self) -> dict[str, Any]:
        """The versions behind the last answer, and the proof of each model.

        `digits` is the number of proven digits, `agreement` the number of digits in which a
        computation with half of the `bits` agrees. `boundary` names the variances that are zero.
        """
        return {
            "made_by": {"packages": {name: version(name) for name in PACKAGES}},
            "scripts": {},
            "proofs": self._proofs,
        }

    @property
    def decimals(self) -> dict[str, pd.DataFrame]:
        """The last answer's tables as text, to 20 significant digits: for those who cite them."""
        return self._decimals


def too_large(part: Lmer | Lm, data: pd.DataFrame) -> str | None:
    """Say why a model is beyond the arbiter, or None."""
    from rparity.lmm.matrices.model_matrices import build

    if len(data) > MOST_ROWS:
        return f"{len(data)} rows: the arbiter takes up to {MOST_ROWS}"
    random = build(part.formula, data, na_action="fail", collate="C").random
    q = sum(len(term.levels) * len(term.names) for term in random)
    if q > MOST_EFFECTS:
        return f"{q} random effects: the arbiter takes up to {MOST_EFFECTS}"
    return None


def _certified(part: Lmer | Lm, data: pd.DataFrame, figures: Figures) -> Certified:
    from rparity.exact import certify

    rank: Rank = "R" if figures == "double" else "exact"
    if isinstance(part, Lm):
        return certify(
            part.formula, data, contrasts=part.contrasts, figures=figures, rank=rank, collate="C"
        )
    weights = None if part.weights is None else data[part.weights]
    return certify(
        part.formula,
        data,
        REML=part.reml,
        weights=weights,
        contrasts=part.contrasts,
        figures=figures,
        rank=rank,
        tests=bool(_tests(part)),
        linear=_means(part, data),
        collate="C",  # as R's recordings
    )


def _tests(part: Lmer | Lm) -> tuple[str, ...]:
    """Return the tests that a part asks for, and the variables of its marginal means."""
    kinds = tuple(kind for kind in part.kinds if kind in TEST_TABLES)
    return (*kinds, *part.means) if isinstance(part, Lmer) else ()


def _means(part: Lmer, data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the contrasts of marginal means and of their differences, a named row each."""
    if not part.reml or not {"emmeans", "pairs"} & set(part.kinds):
        return {}
    from rparity.lmm.inference.emmeans import emmeans

    means = emmeans(fitted(part, data), part.means, ddf="asymptotic")
    if means.offset.any() or np.isnan(means.estimator.rows(means.L)[0]).any():
        return {}  # not a function of the fixed effects alone, or one that R gives as NA
    both = {"emmeans": means, "pairs": means.pairs()}
    return {
        kind: pd.DataFrame(found.L[:, found.estimator.kept], mean_rows(found))
        for kind, found in both.items()
        if kind in part.kinds
    }


def _columns(kind: str, frame: pd.DataFrame) -> list[str]:
    """Return the columns of marginal means that are certified, or no columns for other tables."""
    if kind == "pairs" and len(frame) > 1:
        return [column for column in PAIRS if column != "p_value"]
    return list({"emmeans": MEANS, "pairs": PAIRS}.get(kind, ()))
