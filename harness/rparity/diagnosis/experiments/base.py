"""What an experiment is: it changes one thing, and counts the digits again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import takewhile
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import TEST_TABLES, Boot, Call, Case, Data, Lm, Lmer, Part
from rparity.compare import FAILING, ROUNDING_DIGITS, Reference, Tables, Tolerance, kind_of, measure
from rparity.diagnosis.causes import Cause
from rparity.engines.base import Question
from rparity.engines.native import Native, everything, fitted
from rparity.lmm.fit import LmerResults
from rparity.lmm.lme4 import CHANGES, NEWEST, Lme4

# A difference counts as explained if no more than this is left of it: the parameters at which
# formulas are evaluated are themselves rounded.
VANISHED = Tolerance(1e-9, "formulas at rounded parameters", spread=1e-9)
DIFFERENCE = Tolerance(1e-6, "a small difference of large variances, as some compute it")
# What R's packages add to tests of fixed effects, by patterns of kind and column: numerical
# derivatives, which leave the document's degrees of freedom 5.7 digits; contrasts of type III that
# are rounded to seven digits; ptukey. A p-value in the tail magnifies both.
NUMERICAL = Tolerance(5e-6, "lmerTest's numerical derivatives")
ROUNDED = Tolerance(5e-7, "lmerTest's rounded contrasts")
TAIL = Tolerance(1e-4, "the tail of F, at rounded contrasts and degrees of freedom")
PTUKEY = Tolerance(1e-6, "R's ptukey", atol=1e-6)
OF_TESTS: tuple[tuple[str, str, Tolerance], ...] = (
    ("ddf", "satterthwaite", NUMERICAL),
    ("anova_type3", "den_df", NUMERICAL),
    ("anova_type3*", "p_value", TAIL),
    ("anova_type3*", "*", ROUNDED),
    ("pairs", "p_value", PTUKEY),
)
PUBLISHED = "published"
EXACT = "exact"
BETTER = 0.5  # digits
CONDITIONAL = ("condval", "condsd")
PLACE = ("table", "row", "column")
# The safety factor of every bound that follows from last bits. The largest effect of a few random
# perturbations is only a sample, and an engine's own rounding differs from one BLAS kernel to the
# next.
ROOM = 30.0
# Rounding may move degrees of freedom and tests by this share of themselves, and no further, for a
# formula to count as theirs.
MOST = 0.01


class CaseContext:
    """What all disputes about one case share: its parts, data and recording, and fits of them.

    `parts` are the models and bootstraps by name. `recorded` is R's own recording of the case,
    with its `provenance`. A fit is made when an experiment first needs it; `fits` are fits that
    already exist, by `Lmer.key`. `ours` are answers of this package to the case that already exist,
    with as many replicates as R's recording, by the lme4 whose conventions they follow.
    """

    def __init__(
        self,
        case: Case,
        parts: Iterable[Part],
        data: pd.DataFrame | None = None,
        recorded: Tables | None = None,
        provenance: Mapping[str, Any] | None = None,
        fits: Mapping[tuple[object, ...], LmerResults] | None = None,
        ours: Mapping[Lme4, Tables] | None = None,
    ) -> None:
        self.case = case
        self.parts = {part.name: part for part in parts}
        self.data = data
        self.recorded = recorded or {}
        self.provenance = provenance or {}
        self._fits = dict(fits or {})
        self._answered: dict[tuple[object, ...], Tables] = {
            _asked(part, lme4): tables
            for lme4, tables in (ours or {}).items()
            for part in self.parts.values()
            if tables.keys() >= set(part.tables)
        }
        self._movements: dict[tuple[object, ...], Tables] = {}
        self._elsewhere: dict[tuple[object, ...], LmerResults] = {}

    def lmer(self, part: Lmer) -> LmerResults:
        """Return this package's fit of a mixed model, whose formulas can be evaluated anywhere."""
        if part.key not in self._fits:
            assert self.data is not None
            self._fits[part.key] = fitted(part, self.data)
        return self._fits[part.key]

    def at(self, part: Lmer, theta: NDArray[np.float64], sigma: float | None) -> LmerResults:
        """Return what the formulas give for a mixed model at θ (m,) and σ."""
        key = (*part.key, theta.tobytes(), sigma)
        if key not in self._elsewhere:
            self._elsewhere[key] = self.lmer(part).at(theta, sigma)
        return self._elsewhere[key]

    def answered(self, part: Boot | Lmer | Call, lme4: Lme4) -> Tables:
        """Return this package's answer to one part, under the conventions of a version of lme4.

        A bootstrap continues the random stream where the bootstraps before it ended. It has as
        many replicates as R's recording.
        """
        key = _asked(part, lme4)
        if key not in self._answered:
            before = takewhile(lambda each: each.name != part.name, self.parts.values())
            needed = [
                each if isinstance(each, Data) else replace(each, kinds=())
                for each in before
                if isinstance(each, Data | Lmer | Boot)
            ]
            case = replace(self.case, parts=(*needed, part))
            nsim = int(self.provenance.get("nsim", case.nsim))
            versions = {} if lme4.version is None else {"lme4": lme4.version}
            question = Question(case, nsim, versions, self.data)
            self._answered[key] = Native().answer(question).tables
        return self._answered[key]

    def movements(self, part: Lmer | Lm, measure: Callable[[Any, pd.DataFrame], Tables]) -> Tables:
        """Return how far a model's tables move with last bits; `measure` is called once a model."""
        tests = everything(part, reml=part.reml) if isinstance(part, Lmer) else ()
        key = (measure, tests, *part.key)
        if key not in self._movements:
            assert self.data is not None
            self._movements[key] = measure(part, self.data)
        return self._movements[key]


def _asked(part: Part, lme4: Lme4) -> tuple[object, ...]:
    """Return what is the same for a part of a case under versions of lme4 that behave alike."""
    return (part.name, *map(lme4.has, CHANGES))


@dataclass(frozen=True)
class Dispute:
    """Two answers to a question that differ: an engine's, and a reference's.

    `noise` is how far the engine's own values move with the last bits of the data, if that was
    measured: so much an experiment's prediction may be off. `rescaled` is the engine's answer to
    the question in other units, if it was asked. `lme4` are the versions of lme4 whose conventions
    the engine's and the reference's answers follow.
    """

    context: CaseContext
    engine: str
    reference: str
    answer: Tables
    reference_tables: Tables
    notes: Sequence[str] = ()
    noise: Tables = field(default_factory=dict)
    rescaled: Tables = field(default_factory=dict)
    lme4: tuple[Lme4, Lme4] = (NEWEST, NEWEST)
    # What several experiments on a part need; computed once.
    shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def between_rs(self) -> bool:
        """Whether both answers are R's: then neither is right by definition."""
        return self.engine.startswith("R ") and self.reference.startswith("R ")

    @cached_property
    def figures(self) -> Tables:
        """The published figures, if one of the two answers is published; else empty."""
        if self.reference == PUBLISHED:
            return self.reference_tables
        return self.answer if self.engine == PUBLISHED else {}


@dataclass(frozen=True)
class Trial:
    """What one experiment did to the differences in one part.

    `digits` has the agreement of each value after the change, NaN for a value that the experiment
    says nothing about, and `vanished` whether the difference is gone. Both have the index of the
    comparisons.
    """

    experiment: str
    cause: Cause
    says: str
    digits: pd.Series[float]
    vanished: pd.Series[bool]


class Experiment(Protocol):
    """Changes one thing for a part of a dispute, and compares again.

    `rows` are the comparisons of that part that differ. Returns None if the experiment does not
    apply to them.
    """

    def __call__(self, dispute: Dispute, part: str, rows: pd.DataFrame, /) -> Trial | None:
        """Run the experiment."""
        ...


def compared(
    experiment: str,
    cause: Cause,
    says: str,
    rows: pd.DataFrame,
    subject: Tables,
    predicted: Reference,
    *,
    instead_of: Tables | None = None,
) -> Trial:
    """Compare `subject` with what the experiment predicts for it, and return the trial.

    If the prediction replaces the reference, `instead_of` is the reference: then a difference is
    gone only if it became smaller. A value that hardly differs from the reference cannot become
    much closer to a prediction near it, so it is gone if others became closer.
    """
    after, agrees = agreement(subject, predicted, rows)
    gone = agrees
    if instead_of is not None:
        known = {t: frame for t, frame in instead_of.items() if t in predicted.tables}
        _, before = agreement(subject, replace(predicted, tables=known), rows)
        # Near zero there are no digits to count: it is enough that a failing value now passes.
        closer = (after >= ROUNDING_DIGITS) | (after >= rows["digits"] + BETTER) | ~before
        better = agrees & closer
        gone = better | (agrees & before & bool(better.any()))
    return Trial(experiment, cause, says, after, gone)


def agreement(
    subject: Tables, reference: Reference, rows: pd.DataFrame
) -> tuple[pd.Series[float], pd.Series[bool]]:
    """Compare the places of `rows` again: return the digits, and whether each value passes.

    The digits of a place that the reference says nothing about are NaN.
    """
    both = [t for t in rows["table"].unique() if t in reference.tables and t in subject]
    # Two NaN agree, also with a partial reference: correlations with a constant are NaN.
    found = measure(subject, replace(reference, partial=False), both)
    passes = ~np.isin(found["verdict"], FAILING)
    silent = np.isnan(found["reference_value"]) & ~np.isnan(found["value"])
    digits = np.where(silent, np.nan, found["digits"])
    at = {place: i for i, place in enumerate(places(found))}
    index = np.array([at.get(place, -1) for place in places(rows)], dtype=np.intp)
    return (
        pd.Series(np.append(digits, np.nan)[index], rows.index),
        pd.Series(np.append(passes, False)[index], rows.index),
    )


def places(rows: Mapping[str, Any] | pd.DataFrame) -> Iterable[tuple[str, str, str]]:
    """Return table, row and column of each comparison."""
    return zip(*(rows[name].tolist() for name in PLACE), strict=True)


def predicted(dispute: Dispute, tables: Tables, part: str) -> Reference:
    """Return a part's tables by kind as a reference, with the engine's own rounding as tolerance.

    Random effects may all be nearly zero: their tolerance is relative to the residuals' size.
    """
    named = {f"{part}.{kind}": table for kind, table in tables.items()}
    sigma = tables["glance"]["sigma"].iloc[0] if {"glance", "ranef"} <= tables.keys() else 0.0

    def tolerance(table: str, column: str) -> Tolerance:
        noise = None if table not in dispute.noise else dispute.noise[table].get(column)
        if noise is not None and kind_of(table) in TEST_TABLES:
            # Where differences in place of derivatives are all rounding, no formula is to be seen.
            noise = noise.clip(upper=(MOST / ROOM * named[table].get(column, noise).abs()))
        usual = DIFFERENCE if column == "condsd" else VANISHED
        if column == "p_value":
            usual = replace(usual, spread=0.0)  # a small one is no less exact beside a large one
        for kinds, columns, of_tests in OF_TESTS if dispute.reference != EXACT else ():
            if fnmatchcase(kind_of(table), kinds) and fnmatchcase(column, columns):
                usual = of_tests
                break
        room = VANISHED.rtol * sigma if column in CONDITIONAL else 0.0
        more = room if noise is None else room + ROOM * noise
        return replace(usual, atol=usual.atol + more)

    return Reference("prediction", named, tolerance, partial=True)
