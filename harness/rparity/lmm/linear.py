"""`lm`: statsmodels' ordinary least squares under R's term names."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.regression.linear_model import WLS

from rparity.errors import FormulaError, UsageError
from rparity.lmm.coding import Contrasts
from rparity.lmm.formula import parse
from rparity.lmm.language.collation import Collate
from rparity.lmm.matrices import ModelMatrices, NaAction, build


def lm(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Contrasts | None = None,
    subset: str | ArrayLike | None = None,
    na_action: NaAction = "omit",
    rank_deficient: Literal["drop", "fail"] = "drop",
    collate: Collate = "en_US",
) -> Any:
    """Fit a linear model by least squares; returns statsmodels' `RegressionResults`.

    Coefficients have the names of R's `lm` (`p1` to `p9` with ``contrasts={"p": "contr.sum"}``) and
    are solved by QR, as in R. `subset`, `na_action`, `rank_deficient` and `collate` are those of
    `lmer`.

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
    if na_action == "exclude":
        raise UsageError(
            "na_action='exclude' is for lmer(): reindex residuals of lm() by the rows of the data."
        )
    m = build(
        parsed,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        subset=subset,
        na_action=na_action,
        rank_deficient=rank_deficient,
        collate=collate,
    )
    m.warn_of_dropped_columns()
    return least_squares(m)


def least_squares(m: ModelMatrices) -> Any:
    """Regress a model's response on its columns, as `lm` does."""
    y = pd.Series(m.y - m.offset, m.rows, name=m.response)
    X = pd.DataFrame(m.X, m.rows, list(m.names))
    fit = WLS(y, X, weights=m.weights).fit(method="qr")
    # statsmodels inverts R'R, which squares the condition number; R inverts the triangle.
    R_inv = np.linalg.inv(np.linalg.qr(fit.model.wexog, mode="r"))
    fit._results.normalized_cov_params = R_inv @ R_inv.T
    fit._results.matrices = m  # for emmeans()
    return fit
