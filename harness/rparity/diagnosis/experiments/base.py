"""What an experiment is: one thing is changed, and the digits are counted again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Boot, Call, Case, Data, Lm, Lmer, Part
from rparity.compare import ROUNDING_DIGITS, Reference, Tables, Tolerance, Verdict, measure
from rparity.engines.base import Question
from rparity.engines.native import Native, fitted
from rparity.lmm.fit import LmerResults
from rparity.lmm.lme4 import CHANGES, NEWEST, Lme4

# A disagreement has vanished where so much of it is left: formulas evaluated at another's
# parameters, which are themselves rounded, do not agree to the last bit.
VANISHED = Tolerance(1e-9, "formulas at rounded parameters", spread=1e-9)
DIFFERENCE = Tolerance(1e-6, "a small difference of large variances, as some compute it")
PUBLISHED = "published"
BETTER = 0.5  # digits
CONDITIONAL = ("condval", "condsd")
PLACE = ("table", "row", "column")
FAILING = [verdict.value for verdict in Verdict if verdict.fails]
# The safety factor of every bound that follows from last bits: the largest effect of a few random
# ones is a sample; an engine's own rounding, which differs from one BLAS kernel to the next, is
# another, of some sums of them.
ROOM = 30.0


class Asked:
    """What all disputes about one case share: its parts, data and recording, and fits of them.

    `parts` are the models and bootstraps by name; `recorded` is R's own recording of the case,
    with its `provenance`. Fits are made when an experiment first needs them, but for those that
    are there already, by `Lmer.key`.
    """

    def __init__(
        self,
        case: Case,
        parts: Iterable[Part],
        data: pd.DataFrame | None = None,
        recorded: Tables | None = None,
        provenance: Mapping[str, Any] | None = None,
        fits: Mapping[tuple[object, ...], LmerResults] | None = None,
    ) -> None:
        self.case = case
        self.parts = {part.name: part for part in parts}
        self.data = data
        self.recorded = recorded or {}
        self.provenance = provenance or {}
        self._fits = dict(fits or {})
        self._answered: dict[tuple[object, ...], Tables] = {}
        self._movements: dict[tuple[object, ...], Tables] = {}
        self._elsewhere: dict[tuple[object, ...], LmerResults] = {}

    def lmer(self, part: Lmer) -> LmerResults:
        """Return the package's own fit of a mixed model: formulas to evaluate anywhere."""
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
        """Return the package's own answer to one part, as a version of lme4 gives it.

        A bootstrap goes on where those before it left the stream, and has as many replicates as
        R's recording.
        """
        key = (part.name, *map(lme4.has, CHANGES))
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
        """Return how far a model's tables move with some last bits, as `measure` says once."""
        key = (measure, *part.key)
        if key not in self._movements:
            assert self.data is not None
            self._movements[key] = measure(part, self.data)
        return self._movements[key]


@dataclass(frozen=True)
class Dispute:
    """Two answers to a question that differ: the engine's, and the reference's as `truth`.

    `noise` is how far the engine's own values move with the last bits of the data, where that was
    measured: an engine's rounding is no disagreement with what an experiment predicts. `rescaled`
    is its answer where it was asked in other units. `lme4` are the versions of lme4 whose
    conventions the engine's and the reference's answers follow.
    """

    asked: Asked
    engine: str
    reference: str
    answer: Tables
    truth: Tables
    notes: Sequence[str] = ()
    noise: Tables = field(default_factory=dict)
    rescaled: Tables = field(default_factory=dict)
    lme4: tuple[Lme4, Lme4] = (NEWEST, NEWEST)
    # What several experiments on a part need, worked out once.
    shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def between_rs(self) -> bool:
        """Whether both sides are Rs, of which neither is right by definition."""
        return self.engine.startswith("R ") and self.reference.startswith("R ")

    @cached_property
    def figures(self) -> Tables:
        """The published figures, on whichever side they are; none elsewhere."""
        if self.reference == PUBLISHED:
            return self.truth
        return self.answer if self.engine == PUBLISHED else {}


@dataclass(frozen=True)
class Trial:
    """What one experiment did to the disagreements of one part.

    `digits` has those of each disagreement after the change, and `vanished` whether it is gone;
    the indices are those of the comparisons.
    """

    experiment: str
    cause: str
    says: str
    digits: pd.Series[float]
    vanished: pd.Series[bool]


class Experiment(Protocol):
    """Changes one thing for a part of a dispute, and compares again; None where it has no place.

    `rows` are the comparisons of that part that nothing has explained yet.
    """

    def __call__(self, dispute: Dispute, part: str, rows: pd.DataFrame, /) -> Trial | None:
        """Run the experiment."""
        ...


def compared(
    experiment: str,
    cause: str,
    says: str,
    rows: pd.DataFrame,
    subject: Tables,
    predicted: Reference,
    *,
    instead_of: Tables | None = None,
) -> Trial:
    """Return the trial in which `subject` is held against what the experiment predicts for it.

    Where the prediction comes `instead_of` the truth, a disagreement is gone only if it became
    smaller. What hardly differs from the truth is gone with those that did: it hardly differs
    from what is nearly the truth either, whatever was changed.
    """
    after, agrees = _again(subject, predicted, rows)
    gone = agrees
    if instead_of is not None:
        known = {t: frame for t, frame in instead_of.items() if t in predicted.tables}
        _, before = _again(subject, replace(predicted, tables=known), rows)
        # Beside zero there are no digits to count: there, what failed before passes now.
        closer = (after >= ROUNDING_DIGITS) | (after >= rows["digits"] + BETTER) | ~before
        better = agrees & closer
        gone = better | (agrees & before & bool(better.any()))
    return Trial(experiment, cause, says, after, gone)


def _again(
    subject: Tables, reference: Reference, rows: pd.DataFrame
) -> tuple[pd.Series[float], pd.Series[bool]]:
    """Compare again what is in `rows`: its digits, and whether it passes."""
    both = [t for t in rows["table"].unique() if t in reference.tables and t in subject]
    # Two NaN agree, also with a partial reference: correlations with what does not vary.
    found = measure(subject, replace(reference, partial=False), both)
    passes = ~np.isin(found["verdict"], FAILING)
    at = {place: i for i, place in enumerate(places(found))}
    index = np.array([at.get(place, -1) for place in places(rows)], dtype=np.intp)
    return (
        pd.Series(np.append(found["digits"], 0.0)[index], rows.index),
        pd.Series(np.append(passes, False)[index], rows.index),
    )


def places(rows: Mapping[str, Any] | pd.DataFrame) -> Iterable[tuple[str, str, str]]:
    """Return where each comparison was made: table, row and column."""
    return zip(*(rows[name].tolist() for name in PLACE), strict=True)


def predicted(dispute: Dispute, tables: Tables, part: str) -> Reference:
    """Return a part's tables by kind as what is predicted, up to the engine's own rounding.

    Random effects may all be as good as zero: they are seen beside the residuals.
    """
    named = {f"{part}.{kind}": table for kind, table in tables.items()}
    sigma = tables["glance"]["sigma"].iloc[0] if {"glance", "ranef"} <= tables.keys() else 0.0

    def tolerance(table: str, column: str) -> Tolerance:
        noise = None if table not in dispute.noise else dispute.noise[table].get(column)
        usual = DIFFERENCE if column == "condsd" else VANISHED
        room = VANISHED.rtol * sigma if column in CONDITIONAL else 0.0
        return replace(usual, atol=room if noise is None else room + ROOM * noise)

    return Reference("prediction", named, tolerance, partial=True)
