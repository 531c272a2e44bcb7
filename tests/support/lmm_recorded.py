"""lme4's results in tests/data/lmm_reference.json, made by r_scripts/lmm_reference.R.

They are from R 4.2.2 and lme4 1.1-31 with a tight optimizer. The file has the data, too.
"""

import json
from functools import cache

import numpy as np
import pandas as pd

from places import DATA
from rparity.lmm.fit import LmerResults
from rparity.lmm.mixed import lmer

RECORDED = json.loads((DATA / "lmm_reference.json").read_text())
MODELS = RECORDED["models"]
EXTRAS = RECORDED["extras"]
LME4 = "1.1-31"


def frame(name: str, frames: dict | None = None) -> pd.DataFrame:
    columns = {
        key: pd.Categorical.from_codes(value["codes"], value["levels"], ordered=value["ordered"])
        if isinstance(value, dict)
        else np.array(value, dtype=float)
        for key, value in (frames or RECORDED["frames"])[name].items()
        if key != "rows"
    }
    data = pd.DataFrame(columns)
    data.attrs["name"] = name
    return data


def label(model: dict) -> str:
    return f"{model['data']}: {model['formula']}{'' if model['REML'] else ', ML'}"


def fitted(model: dict) -> LmerResults:
    return _fitted(model["data"], model["formula"], model["REML"], model["weights"])


@cache
def _fitted(data: str, formula: str, reml: bool, weights: str | None) -> LmerResults:
    rows = frame(data)
    known = None if weights is None else rows[weights]
    return lmer(formula, rows, REML=reml, weights=known, lme4=LME4)


def having(what: str) -> dict:
    """Arguments of `parametrize` for the models with a recorded `what`."""
    models = [model for model in MODELS if what in model]
    return {"argnames": "model", "argvalues": models, "ids": [label(m) for m in models]}


def array(values) -> np.ndarray:
    """Convert R's vector, which is a number if it has one element; NA becomes NaN."""
    return np.array(values if isinstance(values, list) else [values], dtype=float)


def check_optimum(fit: LmerResults, model: dict) -> None:
    """θ can agree to half of its digits only: R stops where its criterion is flat to rounding."""
    tables = model["tables"]
    coef, glance = tables["coef"], tables["glance"]
    np.testing.assert_allclose(fit.criterion, glance["criterion"], rtol=1e-13)
    np.testing.assert_allclose(fit.params, array(coef["estimate"]), rtol=1e-8)
    np.testing.assert_allclose(fit.bse, array(coef["std_error"]), rtol=2e-7)
    np.testing.assert_allclose(fit.sigma, glance["sigma"], rtol=1e-7)
    np.testing.assert_allclose(fit.theta, array(tables["theta"]["value"]), rtol=1e-6, atol=1e-9)
    mine = [fit.aic, fit.bic, fit.llf, fit.nobs, fit.df_resid]
    theirs = [glance[name] for name in ("aic", "bic", "log_lik", "nobs", "df_residual")]
    np.testing.assert_allclose(mine, theirs, rtol=1e-13)


def check_effects(fit: LmerResults, model: dict) -> None:
    """Check variances, random effects, fitted values and the covariance of the estimates."""
    tables = model["tables"]
    varcorr, ranef, vcov = tables["varcorr"], tables["ranef"], tables["vcov"]
    np.testing.assert_allclose(fit.varcorr["vcov"], array(varcorr["vcov"]), rtol=2e-6, atol=1e-9)
    np.testing.assert_allclose(fit.varcorr["sdcor"], array(varcorr["sdcor"]), rtol=1e-6, atol=1e-9)
    found, b, sd = fit.random_effects, array(ranef["condval"]), array(ranef["condsd"])
    np.testing.assert_allclose(found["condval"], b, rtol=0, atol=1e-6 * np.abs(b).max() + 1e-12)
    np.testing.assert_allclose(found["condsd"], sd, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fit.fittedvalues, array(model["fitted"]), rtol=1e-6)
    for name in vcov["rows"]:
        column = array(vcov[name])
        np.testing.assert_allclose(
            fit.cov_params()[name], column, rtol=1e-6, atol=1e-7 * np.abs(column).max()
        )


def recorded(data: str, formula: str, *, reml: bool = True) -> dict:
    """Find one recorded model."""
    (model,) = (m for m in MODELS if (m["data"], m["formula"], m["REML"]) == (data, formula, reml))
    return model
