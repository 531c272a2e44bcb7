"""linearmodels as an engine: linear models, factors absorbed as the entities of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS
from linearmodels.panel import PanelOLS

from rparity.engines.base import Found
from rparity.engines.linear import LinearEngine
from rparity.engines.native import one_row, quantiles


class Linearmodels(LinearEngine):
    """`IV2SLS` without instruments, and `PanelOLS` with entity effects.

    Standard errors are the classical ones: cov_type="unadjusted", debiased=True.
    """

    name = "linearmodels"
    distributions: Sequence[str] = ("linearmodels", "numpy")

    def least_squares(self, y: pd.Series[float], X: pd.DataFrame) -> Found:
        """Regress by two-stage least squares with an empty first stage."""
        results = IV2SLS(y, X, None, None).fit(cov_type="unadjusted", debiased=True)
        found = _tables(results)
        found["glance"] = one_row(
            **_summary(results),
            r_squared=results.rsquared,
            adj_r_squared=results.rsquared_adj,
            f_statistic=results.f_statistic.stat,
            p_value=results.f_statistic.pval,
        )
        places = ("glance/1/log_lik", "glance/1/aic", "glance/1/bic")
        return found, dict.fromkeys(places, "IV2SLS has no likelihood")

    def within(self, y: pd.Series[float], X: pd.DataFrame, levels: pd.Series[str]) -> Found:
        """Regress as a panel: levels are entities, and their rows are times."""
        panel = pd.MultiIndex.from_arrays([levels, levels.groupby(levels).cumcount()])
        model = PanelOLS(y.set_axis(panel), X.set_axis(panel), entity_effects=True)
        results = model.fit(cov_type="unadjusted", debiased=True)
        found = _tables(results)
        found["glance"] = one_row(
            **_summary(results), log_lik=results.loglik, r_squared=results.rsquared_inclusive
        )
        gaps = dict.fromkeys(("glance/1/aic", "glance/1/bic"), "PanelOLS has neither")
        gaps["glance/1/adj_r_squared"] = "PanelOLS has none"
        tests = ("glance/1/f_statistic", "glance/1/p_value")
        return found, gaps | dict.fromkeys(tests, "PanelOLS tests what is not absorbed")


def _tables(results: Any) -> dict[str, pd.DataFrame]:
    return {
        "coef": pd.DataFrame(
            {
                "estimate": results.params,
                "std_error": results.std_errors,
                "statistic": results.tstats,
                "p_value": results.pvalues,
            }
        ),
        "vcov": results.cov,
        "residual_quantiles": quantiles(results.resids),
        "confint_wald": results.conf_int().set_axis(["conf_low", "conf_high"], axis=1),
    }


def _summary(results: Any) -> dict[str, float]:
    return {
        "sigma": float(np.sqrt(results.s2)),
        "nobs": results.nobs,
        "df_residual": results.df_resid,
    }
