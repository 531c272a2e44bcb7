"""`lm` with weights of zero, with offsets and without an intercept equals R's."""

import json

import numpy as np
import pytest

from lmm_recorded import array, frame
from places import DATA
from rparity import lm, lmer
from rparity.engines.native import lm_tables
from rparity.errors import DataError
from rparity.lmm.matrices import RankDeficientWarning

RECORDED = json.loads((DATA / "lm_reference.json").read_text())


def fitted(model: dict):
    data = frame("lm", RECORDED["frames"])
    return lm(model["formula"], data, weights=model["weights"] and data[model["weights"]])


def label(model: dict) -> str:
    return f"{model['formula']}, weights {model['weights']}"


@pytest.mark.filterwarnings("ignore::rparity.lmm.matrices.RankDeficientWarning")
@pytest.mark.parametrize("model", RECORDED["models"], ids=map(label, RECORDED["models"]))
def test_least_squares_equal_those_of_r(model):
    fit = fitted(model)
    tables = lm_tables(fit)
    coef, glance = tables["coef"], tables["glance"].iloc[0]
    assert list(coef.index) == model["terms"]
    for column in ("estimate", "std_error", "p_value"):
        np.testing.assert_allclose(coef[column], array(model[column]), rtol=1e-10, atol=1e-14)
    for name in ("sigma", "nobs", "df_residual", "log_lik", "aic", "bic"):
        np.testing.assert_allclose(glance[name], model[name], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(glance["r_squared"], model["r_squared"], rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(
        glance["adj_r_squared"], model["adj_r_squared"], rtol=1e-11, atol=1e-15
    )
    if model["f_statistic"] is not None:
        np.testing.assert_allclose(glance["f_statistic"], model["f_statistic"], rtol=1e-10)
        assert fit.df_model == model["df_model"]
    np.testing.assert_allclose(fit.fittedvalues, array(model["fitted"]), rtol=1e-11)
    np.testing.assert_allclose(fit.resid, array(model["resid"]), rtol=1e-10, atol=1e-13)


def test_a_level_that_has_only_weights_of_zero_is_dropped_as_in_r():
    (model,) = (
        m for m in RECORDED["models"] if m["formula"] == "y ~ x + f" and m["weights"] != "w"
    )
    with pytest.warns(RankDeficientWarning, match="dropped fc"):
        fitted(model)


def test_lmer_leaves_out_rows_of_weight_zero():
    """R counts them as observations, has a log-likelihood of -Inf, and does not optimise."""
    data = frame("lm", RECORDED["frames"])
    data = data.assign(g=np.repeat(np.arange(10), 6), y=data["y"] + np.repeat([1.0, -1.0], 30))
    fit = lmer("y ~ x + (1 | g)", data, weights=data["w"])
    used = data[data["w"] > 0]
    same = lmer("y ~ x + (1 | g)", used, weights=used["w"])
    assert fit.nobs == 50
    assert fit.criterion == same.criterion
    assert list(fit.resid.index) == list(used.index)


@pytest.mark.parametrize(("fit", "formula"), [(lm, "y ~ x"), (lmer, "y ~ x + (1 | f)")])
def test_only_weights_of_zero_are_refused(fit, formula):
    data = frame("lm", RECORDED["frames"])
    with pytest.raises(DataError, match=r"All weights are zero: .*\."):
        fit(formula, data, weights=np.zeros(60))
