"""`certify`: one model's tables to any number of digits, with the proof that they are right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from flint import ctx
from numpy.typing import ArrayLike

from rparity.compare import digits as lre
from rparity.errors import UsageError
from rparity.exact.ball_tables import BallTable, least_accuracy, least_agreement
from rparity.exact.balls import Figures
from rparity.exact.criterion import Criterion
from rparity.exact.enclosure import NotCertifiedError
from rparity.exact.least_squares import lm_tables
from rparity.exact.mixed import inference_tables, lmer_tables, optimum
from rparity.exact.rational import Rank, RationalModel, rational_model
from rparity.lmm.language.collation import Collate

# Where balls are too wide the precision is doubled, up to so many bits.
MOST_BITS = 1 << 14
# Digits in which twice the precision must agree.
AGREED = 30.0


@dataclass(frozen=True)
class Certified:
    """A model's tables, in which every value is a ball that contains the exact one.

    `digits` are the correct digits of the widest ball, computed with `bits` bits; `agreement` are
    the digits in which half the bits gave the same; `boundary` names the variances that are zero.
    """

    formula: str
    tables: Mapping[str, BallTable]
    digits: float
    agreement: float
    bits: int
    boundary: tuple[str, ...] = ()

    def frame(self, kind: str) -> pd.DataFrame:
        """Return a table rounded to doubles."""
        return self.tables[kind].frame()

    def decimals(self, kind: str, digits: int = 17) -> pd.DataFrame:
        """Return a table as text, to so many significant digits."""
        return self.tables[kind].decimals(digits)

    def digits_of(self, kind: str, answer: pd.DataFrame) -> pd.DataFrame:
        """Return the digits in which another table agrees with this one, cell by cell."""
        exact = self.frame(kind)
        other = answer.reindex(index=exact.index, columns=exact.columns)
        found = lre(other.to_numpy(dtype=np.float64), exact.to_numpy())
        return pd.DataFrame(found, exact.index, exact.columns)


def certify(
    formula: str,
    data: pd.DataFrame,
    *,
    REML: bool = True,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Mapping[str, str] | None = None,
    start: Sequence[float] | None = None,
    figures: Figures = "double",
    rank: Rank = "R",
    collate: Collate = "en_US",
    digits: int = 50,
    tests: bool = False,
    linear: Mapping[str, pd.DataFrame] | None = None,
) -> Certified:
    """Compute the tables of lmer, or of lm for a formula without random effects, with proof.

    The optimum of a mixed model is the local one near `start`, or near the θ of `rparity.lmer`.
    Everything is computed again at twice the precision.

    Parameters
    ----------
    formula, data, REML, weights, offset, contrasts, collate
        As in `rparity.lmer`; missing values are an error.
    start : sequence of shape (m,), optional
        θ; an exact zero on Λ's diagonal states that the variance is zero.
    figures : {"double", "decimal"}
        Whether a number in the data means the double itself, or the decimal that it was read from.
    rank : {"R", "exact"}
        "R" drops columns of X that depend on earlier ones to 1e-7, as R does. "exact" keeps them,
        and raises DataError if they depend exactly.
    digits : int
        Least number of significant digits of every value.
    tests : bool
        Whether to compute degrees of freedom and tests of type III by Satterthwaite and by Kenward
        and Roger too, of a mixed model fitted by REML: the tables `ddf`, `vcov_kr`, `anova_type3`
        and `anova_type3_kr`. A table of which a value is not proven to exist is left out.
    linear : mapping, optional
        Further tests by Kenward and Roger, by the kind of their table: linear functions of the
        fixed effects, such as marginal means, a named row each of shape (p,). An element that is
        within 1e-12 of a fraction with a denominator up to 1000 means that fraction. Implies
        `tests`.

    Raises
    ------
    NotCertifiedError
        If the optimum cannot be proven.
    FormulaError, DataError, UsageError
        As in `rparity.lmer`.
    """
    if figures not in {"double", "decimal"} or digits < 1:
        raise UsageError("figures must be 'double' or 'decimal', and digits at least 1.")
    model = rational_model(
        formula,
        data,
        figures=figures,
        rank=rank,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        collate=collate,
    )
    if not model.terms:
        if weights is not None or offset is not None:
            raise UsageError("Linear models with weights or an offset are not certified.")
        start = ()
    elif start is None:
        from rparity.lmm.control import NO_MESSAGE
        from rparity.lmm.mixed import lmer

        fit = lmer(
            formula,
            data,
            REML=REML,
            weights=weights,
            offset=offset,
            contrasts=contrasts,
            collate=collate,
            control=NO_MESSAGE,
        )
        start = fit.theta.tolist()
    theta = [float(value) for value in start]
    bits = math.ceil(digits * math.log2(10.0)) + 128
    asked = linear or ({} if tests else None)
    compute = partial(_tables, model, theta, reml=REML, linear=asked)
    bits, before = _wide_enough(compute, bits, digits)
    after = compute(2 * bits)
    agreed = least_agreement(before, after)
    if agreed < min(AGREED, digits):
        raise NotCertifiedError(
            f"A computation at twice the precision agrees in {agreed:.0f} digits."
        )
    boundary = [name for name, (t,) in after["theta"].rows.items() if t == 0] if theta else []
    return Certified(formula, after, least_accuracy(after), agreed, 2 * bits, tuple(boundary))


def _wide_enough(
    compute: Callable[[int], dict[str, BallTable]], bits: int, digits: int
) -> tuple[int, dict[str, BallTable]]:
    """Double the precision until every value has its digits; return the bits and the tables."""
    while True:
        try:
            tables = compute(bits)
            if least_accuracy(tables) >= digits:
                return bits, tables
        except NotCertifiedError:
            if 2 * bits > MOST_BITS:
                raise
        bits *= 2
        if bits > MOST_BITS:
            raise NotCertifiedError(f"{MOST_BITS} bits do not give {digits} digits.")


def _tables(
    model: RationalModel,
    theta: Sequence[float],
    bits: int,
    *,
    reml: bool,
    linear: Mapping[str, pd.DataFrame] | None,
) -> dict[str, BallTable]:
    with ctx.workprec(bits):
        if not model.terms:
            return lm_tables(model)
        criterion = Criterion(model, reml=reml)
        best = optimum(criterion, theta)
        tested = {} if linear is None else inference_tables(criterion, best, linear)
        return lmer_tables(criterion, best) | tested
