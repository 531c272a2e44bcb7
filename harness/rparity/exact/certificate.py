"""`certify`: one model's tables to any number of digits, with the proof that they are right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from flint import ctx
from numpy.typing import ArrayLike

from rparity.compare import digits as lre
from rparity.errors import UsageError
from rparity.exact.balls import Figures
from rparity.exact.criterion import Criterion
from rparity.exact.design import Design, Rank, design
from rparity.exact.enclosure import NotCertifiedError
from rparity.exact.linear import lm_tables
from rparity.exact.mixed import lmer_tables, optimum
from rparity.exact.tables import Table, least_accuracy, least_agreement

# Balls wider than this many digits ask for more precision, up to so many bits.
MOST_BITS = 1 << 14
AGREED = 30.0


@dataclass(frozen=True)
class Certified:
    """A model's tables, every value a ball that holds the exact one.

    `digits` are those that the widest ball is certain of; `agreement` those in which half the
    precision, of `bits`, gave the same; `boundary` names the variances that are zero.
    """

    formula: str
    tables: Mapping[str, Table]
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
        """Digits in which somebody's table agrees with this one, cell by cell."""
        truth = self.frame(kind)
        told = answer.reindex(index=truth.index, columns=truth.columns)
        found = lre(told.to_numpy(dtype=np.float64), truth.to_numpy())
        return pd.DataFrame(found, truth.index, truth.columns)


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
    digits: int = 50,
) -> Certified:
    """Compute lmer's tables, or lm's where there are no bars, and prove them.

    A mixed model's optimum starts from `start`, or from `rparity.lmer`'s θ; it is the local one
    there. All is computed again at twice the precision.

    Parameters
    ----------
    formula, data, REML, weights, offset, contrasts
        As in `rparity.lmer`; missing values are refused.
    start : sequence of shape (m,), optional
        θ; an exact zero on Λ's diagonal claims that the variance is zero.
    figures : {"double", "decimal"}
        Whether a number of the data is the double itself or the decimal that was written.
    rank : {"R", "exact"}
        Whether columns of X are dropped that depend on earlier ones to 1e-7, as R drops them, or
        only refused where they depend exactly.
    digits : int
        Significant digits that every value has at least.

    Raises
    ------
    NotCertifiedError
        Where the optimum is not proven.
    FormulaError, DataError, UsageError
        As in `rparity.lmer`.
    """
    if figures not in {"double", "decimal"} or digits < 1:
        raise UsageError("figures is 'double' or 'decimal', and digits is at least 1.")
    model = design(
        formula,
        data,
        figures=figures,
        rank=rank,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
    )
    if not model.terms:
        if weights is not None or offset is not None:
            raise UsageError("Linear models with weights or an offset are not certified.")
        theta: Sequence[float] = ()
    elif start is None:
        from rparity.lmm.fit import lmer

        fit = lmer(formula, data, REML=REML, weights=weights, offset=offset, contrasts=contrasts)
        theta = fit.theta.tolist()
    else:
        theta = [float(value) for value in start]
    bits = math.ceil(digits * math.log2(10.0)) + 128
    before = _wide_enough(model, theta, bits, digits, reml=REML)
    after = _tables(model, theta, 2 * before[0], reml=REML)
    agreed = least_agreement(before[1], after)
    if agreed < min(AGREED, digits):
        raise NotCertifiedError(f"Twice the precision agrees in {agreed:.0f} digits only.")
    return Certified(formula, after, least_accuracy(after), agreed, 2 * before[0], _boundary(after))


def _wide_enough(
    model: Design, theta: Sequence[float], bits: int, digits: int, *, reml: bool
) -> tuple[int, dict[str, Table]]:
    """Raise the precision until every value has its digits; returns it and the tables."""
    while True:
        try:
            tables = _tables(model, theta, bits, reml=reml)
            if least_accuracy(tables) >= digits:
                return bits, tables
        except NotCertifiedError:
            if 2 * bits > MOST_BITS:
                raise
        bits *= 2
        if bits > MOST_BITS:
            raise NotCertifiedError(f"{MOST_BITS} bits do not give {digits} digits.")


def _tables(model: Design, theta: Sequence[float], bits: int, *, reml: bool) -> dict[str, Table]:
    with ctx.workprec(bits):
        if not model.terms:
            return lm_tables(model)
        criterion = Criterion(model, reml=reml)
        return lmer_tables(criterion, optimum(criterion, theta))


def _boundary(tables: Mapping[str, Table]) -> tuple[str, ...]:
    if "theta" not in tables:
        return ()
    return tuple(name for name, (value,) in tables["theta"].rows.items() if value == 0)
