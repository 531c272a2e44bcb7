"""`lm`: statsmodels' ordinary least squares under R's term names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.regression.linear_model import WLS

from harness.errors import FormulaError
from harness.lmm.formula import parse
from harness.lmm.matrices import build


def lm(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Mapping[str, str] | None = None,
    na_action: Literal["omit", "fail"] = "omit",
) -> Any:
    """Fit a linear model by least squares; returns statsmodels' `RegressionResults`.

    The columns of X are named as R's `lm` names its coefficients (`p1` to `p9` under
    ``contrasts={"p": "contr.sum"}``), and solved by QR, as R does.

    Raises
    ------
    FormulaError, DataError
        With the input and the remedy named.
    """
    parsed = parse(formula)
    if parsed.bars:
        raise FormulaError(
            f"{formula!r} has the random effects {parsed.bars[0]}: fit it with lmer()."
        )
    m = build(
        parsed, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action
    )
    y = pd.Series(m.y - m.offset, m.rows, name=m.response)
    X = pd.DataFrame(m.X, m.rows, list(m.names))
    return WLS(y, X, weights=m.weights).fit(method="qr")
