"""`lm` against R's answers in tests/data/lm_reference.json, made by r_scripts/lm_reference.R."""

import json

import numpy as np
import pandas as pd
import pytest

import rparity
from places import DATA

RECORDED = json.loads((DATA / "lm_reference.json").read_text())
FRAME = pd.DataFrame(RECORDED["data"])
BY_WEIGHTS = {"weights": FRAME["w"]}
BY_OFFSET = {"offset": FRAME["o"]}
MODELS = {
    "plain": ("y ~ x + z + f", {}),
    "weights": ("y ~ x + f", BY_WEIGHTS),
    "offset": ("y ~ x + f", BY_OFFSET),
    "weights_offset": ("y ~ x + f + offset(z)", BY_WEIGHTS | BY_OFFSET),
    "no_intercept": ("y ~ 0 + x + z", {}),
    "no_intercept_factor": ("y ~ 0 + f + x", {}),
    "no_intercept_weights": ("y ~ 0 + f + x", BY_WEIGHTS | BY_OFFSET),
    "intercept_alone": ("y ~ 1", BY_WEIGHTS),
}
# Columns are nearly orthogonal, so that only the last few bits may differ.
close = {"rtol": 1e-12, "atol": 1e-14}


def fitted(name: str) -> tuple[rparity.lmm.linear.LmResults, dict]:
    formula, options = MODELS[name]
    return rparity.lm(formula, FRAME, **options), RECORDED["models"][name]


@pytest.mark.parametrize("name", MODELS)
def test_every_number_is_that_of_r(name):
    fit, r = fitted(name)
    coefficients = pd.concat([fit.params, fit.bse, fit.tvalues, fit.pvalues], axis=1)
    np.testing.assert_allclose(coefficients, np.array(r["coefficients"]), **close)
    np.testing.assert_allclose(fit.cov_params(), np.array(r["vcov"]), **close)
    np.testing.assert_allclose(fit.conf_int(), np.array(r["confint"]), **close)
    np.testing.assert_allclose(fit.resid, r["residuals"], **close)
    np.testing.assert_allclose(fit.fittedvalues, r["fitted"], **close)
    found = {
        "sigma": np.sqrt(fit.scale),
        "nobs": fit.nobs,
        "df_residual": fit.df_resid,
        "log_lik": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "r_squared": fit.rsquared,
        "adj_r_squared": fit.rsquared_adj,
        "f_statistic": fit.fvalue,
        "p_value": fit.f_pvalue,
    }
    wanted = {key: np.nan if r[key] is None else r[key] for key in found}
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), **close)


@pytest.mark.parametrize("name", ["plain", "offset", "no_intercept"])
def test_statsmodels_has_the_same_fit_and_what_lm_has_not(name):
    fit, _ = fitted(name)
    theirs = fit.statsmodels
    np.testing.assert_allclose(theirs.params, fit.params, **close)
    assert list(theirs.params.index) == list(fit.params.index)
    assert theirs.llf == pytest.approx(fit.llf, rel=1e-13)
    assert theirs.get_robustcov_results("HC3").bse.shape == (len(fit.params),)
