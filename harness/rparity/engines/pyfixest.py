"""pyfixest as an engine: linear models, factors absorbed as fixed effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyfixest

from rparity.engines.base import Found
from rparity.engines.linear import LinearEngine, without
from rparity.engines.native import one_row, quantiles

INTERCEPT = "(Intercept)"
COLUMNS = ("estimate", "std_error", "statistic", "p_value")


class Pyfixest(LinearEngine):
    """`feols(…, vcov="iid")`, with classical standard errors: σ² over n minus all coefficients."""

    name = "pyfixest"
    distributions: Sequence[str] = ("pyfixest", "numpy")

    def least_squares(self, y: pd.Series[float], X: pd.DataFrame) -> Found:
        """Regress on the columns as covariates; the intercept is the formula's."""
        return _feols(y, X, absorbed=None)

    def within(self, y: pd.Series[float], X: pd.DataFrame, levels: pd.Series[str]) -> Found:
        """Regress on the remaining columns, with the factor after the bar."""
        return _feols(y, X, absorbed=levels)


def _feols(y: pd.Series[float], X: pd.DataFrame, absorbed: pd.Series[str] | None) -> Found:
    plain = {f"x{i}": name for i, name in enumerate(X.columns) if name != INTERCEPT}
    data = X.rename(columns={name: alias for alias, name in plain.items()}).assign(y=y)
    right = " + ".join(plain)
    if absorbed is not None:
        data, right = data.assign(absorbed=absorbed), f"{right} | absorbed"
    elif INTERCEPT not in X.columns:
        right = f"0 + {right}"
    fit: Any = pyfixest.feols(f"y ~ {right}", data, vcov="iid")
    names = plain | {"Intercept": INTERCEPT}
    table = fit.tidy().rename(index=names)
    coef = table.iloc[:, : len(COLUMNS)].set_axis(list(COLUMNS), axis=1)
    coef.index.name = None
    cov = pd.DataFrame(fit._vcov, coef.index, coef.index)
    ends = fit.confint().rename(index=names).set_axis(["conf_low", "conf_high"], axis=1)
    gaps = {
        "glance/1/sigma": "pyfixest reports the root mean square √(RSS/n)",
        "glance/1/df_residual": "pyfixest reports no residual degrees of freedom",
        "glance/1/log_lik": "pyfixest reports no log-likelihood",
        "glance/1/aic": "pyfixest reports no log-likelihood",
        "glance/1/bic": "pyfixest reports no log-likelihood",
        "glance/1/f_statistic": "pyfixest tests hypotheses that one states",
        "glance/1/p_value": "pyfixest tests hypotheses that one states",
    }
    gaps |= without(X.columns.difference(coef.index), "dropped as collinear")
    return {
        "coef": coef,
        "vcov": cov,
        "glance": one_row(nobs=fit._N, r_squared=fit._r2, adj_r_squared=fit._adj_r2),
        "residual_quantiles": quantiles(fit.resid()),
        "confint_wald": ends,
    }, gaps
