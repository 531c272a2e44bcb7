"""Methods of fits equal R's: tests/data/methods_reference.json, made by r_scripts of that name."""

import json

import numpy as np
import pandas as pd
import pytest

from lmm_recorded import array, frame
from mixed_recorded import MIXED, mixed_data
from places import DATA
from rparity import anova, bootmer, drop1, lm, lmer, ranova
from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.fit import LmerResults
from rparity.lmm.influence import cooks_distance, hatvalues, influence, is_nested

RECORDED = json.loads((DATA / "methods_reference.json").read_text())
PREDICTIONS = RECORDED["predictions"]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return frame("methods", RECORDED["frames"])


@pytest.fixture(scope="module")
def fit(data) -> LmerResults:
    return lmer(PREDICTIONS["formula"], data).at(array(PREDICTIONS["theta"]))


@pytest.mark.parametrize("answer", PREDICTIONS["answers"], ids=lambda a: str(a["re_form"]))
def test_predictions_with_some_random_effects_equal_those_of_r(answer, fit):
    new = frame("new", RECORDED["frames"])
    complete, form = new.dropna(), answer["re_form"]
    found = {
        "fitted": fit.predict(re_form=form),
        "new": fit.predict(complete, re_form=form),
        "random_only": fit.predict(complete, re_form=form, random_only=True),
        "incomplete": fit.predict(new, re_form=form),
    }
    for name, values in found.items():
        np.testing.assert_allclose(values, array(answer[name]), rtol=1e-11, atol=1e-13)
    assert list(found["incomplete"].index) == list(new.index)
    if form == "~ 0":
        np.testing.assert_array_equal(found["new"], fit.predict(complete, include_random=False))


def test_predictions_need_only_the_columns_of_their_terms(fit, data):
    some = fit.predict(data[["h"]], re_form="(1 | h)", random_only=True)
    assert np.isfinite(some).all()
    whole = fit.predict(data, re_form="(1 | h)", random_only=True)
    pd.testing.assert_series_equal(some, whole)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"re_form": "(z | g)"}, FormulaError, r"no random effect \(z \| g\) of re_form: it has"),
        ({"re_form": "(1 | f)"}, FormulaError, r"no random effect \(1 \| f\) of re_form: it has"),
        ({"na_action": "omit"}, UsageError, "na_action must be 'pass' or 'fail'"),
        ({"newdata": {"x": [1]}}, DataError, "newdata are a dict: convert"),
    ],
)
def test_predictions_that_are_refused(fit, arguments, error, message):
    with pytest.raises(error, match=message):
        fit.predict(**arguments)


def test_predictions_of_incomplete_rows_can_be_refused(fit):
    with pytest.raises(DataError, match="`x` has 2 missing values in newdata"):
        fit.predict(frame("new", RECORDED["frames"]), na_action="fail")


def test_predictions_of_no_rows(fit, data):
    assert fit.predict(data.iloc[:0]).shape == (0,)


def test_a_likelihood_ratio_test_against_lm_equals_that_of_r(data):
    recorded = RECORDED["likelihood_ratio"]
    small = lm("y ~ x", data, weights=data["w"])
    large = lmer("y ~ x + f + (1 | g)", data, weights=data["w"])
    table = anova(large, small)
    assert list(table.index) == ["y ~ x", "y ~ x + f + (1 | g)"]
    for name in ("npar", "AIC", "BIC", "logLik", "Chisq", "p"):
        np.testing.assert_allclose(table[name], array(recorded[name]), rtol=1e-9, err_msg=name)
    pd.testing.assert_frame_equal(anova(small, large), table)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _, least: anova(least), r"anova\(\) takes a fit of lmer\(\), and got a LmResults"),
        (lambda _, least: drop1(least), r"drop1\(\) takes a fit of lmer\(\)"),
        (lambda _, least: ranova(least), r"ranova\(\) takes a fit of lmer\(\)"),
        (lambda _, least: bootmer(least, 2, rng=1), r"bootmer\(\) takes a fit of lmer\(\)"),
        (lambda fit, _: bootmer(fit, 2, rng=None), "The seed None is not an integer"),
        (lambda fit, _: fit.simulate(rng=None), "The seed None is not an integer"),
        (lambda fit, _: fit.simulate(1.5, rng=1), "nsim must be a whole number of at least 1"),
        (lambda fit, _: fit.boot(5, rng=1).conf_int(2), "alpha must be between 0 and 1"),
        (lambda fit, _: fit.conf_int("a"), "alpha must be between 0 and 1"),
        (lambda fit, _: fit.at([1, 2]), r"theta \(g.*\) must be 4 finite numbers"),
        (lambda fit, _: fit.deviance_at([1, 1, 1, np.nan]), "must be 4 finite numbers"),
        (lambda fit, _: fit.at([1, 1, 1, 1], sigma=-1), "sigma must be above 0"),
        (lambda fit, _: fit.refit(["a"] * 96), r"response of refit\(\) must be 96 finite numbers"),
        (lambda fit, _: fit.summary("residual"), "ddf must be 'satterthwaite' or"),
        (lambda fit, _: fit.conf_int(parm="q"), "parm has 'q', which is no parameter"),
    ],
)
def test_arguments_that_make_no_sense(fit, data, call, message):
    with pytest.raises(UsageError, match=message):
        call(fit, lm("y ~ x", data))


@pytest.mark.parametrize(("name", "value"), [("REML", "no"), ("lme4", 1.1)])
def test_options_that_make_no_sense(data, name, value):
    with pytest.raises(UsageError, match=name):
        lmer("y ~ x + (1 | g)", data, **{name: value})


def test_a_response_of_all_rows_is_refitted_without_those_that_were_left_out(data):
    """As R's `refit` does if rows with missing values were omitted."""
    gaps = data.assign(x=np.where(data.index % 10 == 3, np.nan, data["x"]))
    fit = lmer("y ~ x + (1 | g)", gaps)
    other = data["y"] * 2 + np.sin(data.index)
    expected = fit.refit(other[gaps["x"].notna()])
    pd.testing.assert_series_equal(fit.refit(other).params, expected.params)
    unused = other.where(gaps["x"].notna())
    pd.testing.assert_series_equal(fit.refit(unused).params, expected.params)
    with pytest.raises(UsageError, match=r"must be 86 finite numbers"):
        fit.refit(other[:90])


@pytest.mark.parametrize("method", ["wald", "profile", "boot", "satterthwaite"])
def test_intervals_of_some_parameters_are_those_of_all(data, method):
    fit = lmer("y ~ x + (1 | g)", data)
    more = {"nsim": 20, "rng": 1} if method == "boot" else {}
    whole = fit.conf_int(method=method, **more)
    for parm, rows in {
        "x": ["x"],
        ("x", ".sigma"): ["x", ".sigma"],
        "beta_": ["(Intercept)", "x"],
        "theta_": [".sig01", ".sigma"],
    }.items():
        some = fit.conf_int(
            method=method, parm=parm if isinstance(parm, str) else list(parm), **more
        )
        pd.testing.assert_frame_equal(some, whole.loc[rows])


@pytest.mark.parametrize("model", RECORDED["hat_values"], ids=lambda m: m["formula"])
def test_leverages_equal_those_of_r(data, model):
    weights = model["weights"] and data[model["weights"]]
    fit = lmer(model["formula"], data, weights=weights).at(array(model["theta"]))
    np.testing.assert_allclose(hatvalues(fit), array(model["hat"]), rtol=1e-10)


def test_fits_without_a_group_equal_those_of_r(data):
    recorded = RECORDED["influence"]
    found = influence(lmer(recorded["formula"], data), "g")
    assert found.converged.all()
    np.testing.assert_allclose(found.params, np.array(recorded["coef"]), rtol=1e-6)
    np.testing.assert_allclose(found.cooks_distance, array(recorded["cooks"]), rtol=1e-4)
    np.testing.assert_allclose(found.dfbetas, np.array(recorded["dfbetas"]), rtol=1e-3, atol=1e-6)
    with pytest.raises(UsageError, match=r"no grouping factor 'h'.* It has g"):
        influence(lmer(recorded["formula"], data), "h")


def test_fits_without_a_row_equal_those_of_r():
    """R's `influence` stops at seven digits of θ; the fits of its rows one by one do not."""
    recorded, data = MIXED["influence"], mixed_data()
    fit = lmer(recorded["formula"], data)
    found = influence(fit)
    assert found.converged.all()
    assert list(found.dfbeta.index) == list(data.index)
    fits = np.hstack([found.params, found.bse, found.varcorr])
    np.testing.assert_allclose(fits, np.array(recorded["fits"]), rtol=1e-6)
    np.testing.assert_allclose(found.dfbeta, np.array(recorded["dfbeta"]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.dfbetas, np.array(recorded["dfbetas"]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.cooks_distance, array(recorded["cooks"]), rtol=1e-3)
    residual_first = found.dfvarcorr.iloc[:, ::-1]  # R's order: σ² is the first
    expected = np.array(recorded["dfvarcorr"])
    np.testing.assert_allclose(residual_first, expected, rtol=1e-3, atol=1e-5)
    by_leverage = array(recorded["by_leverage"])
    np.testing.assert_allclose(cooks_distance(fit), by_leverage, rtol=1e-6)


def test_nested_factors_are_recognised_as_in_r(data):
    both = data["g"].astype(str) + data["h"].astype(str)
    assert [is_nested(data["h"], data["g"]), is_nested(both, data["g"])] == RECORDED["lists"][
        "nested"
    ]
