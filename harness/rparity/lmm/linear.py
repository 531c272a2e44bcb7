"""`lm`: statsmodels' ordinary least squares under R's term names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from numpy.typing import ArrayLike

from rparity.errors import FormulaError
from rparity.lmm.formula import parse
from rparity.lmm.matrices import ModelMatrices, build


def lm(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Mapping[str, str] | None = None,
    na_action: Literal["omit", "fail"] = "omit",
    rank_deficient: Literal["drop", "fail"] = "drop",
) -> Any:
    """Fit a linear model by least squares; returns statsmodels' `RegressionResults`.

    Coefficients have the names of R's `lm` (`p1` to `p9` with ``contrasts={"p": "contr.sum"}``) and
    are solved by QR, as in R. `na_action` and `rank_deficient` are those of `lmer`. Rows of weight
    zero have fitted values and residuals, but are no observations.

    Raises
    ------
    FormulaError, DataError
        The message names the input and the remedy.
    """
    parsed = parse(formula)
    if parsed.bars:
        raise FormulaError(
            f"{formula!r} has the random effects {parsed.bars[0]}: fit it with lmer()."
        )
    m = build(
        parsed,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        na_action=na_action,
        rank_deficient=rank_deficient,
    )
    m.warn_of_dropped_columns()
    return least_squares(m)


def least_squares(m: ModelMatrices) -> Any:
    """Regress a model's response on its columns, as `lm` does."""
    from rparity.lmm.regression import regression

    return regression(m)
