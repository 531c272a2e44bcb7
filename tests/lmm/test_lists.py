"""`lmlist` equals R's `lmList`: tests/data/mixed_reference.json."""

import warnings

import numpy as np
import pandas as pd
import pytest

from lmm_recorded import array
from mixed_recorded import MIXED, mixed_data
from rparity import lmlist
from rparity.errors import DataError, FormulaError
from rparity.lmm.lists import GroupWarning, LmListResults


def data_of(query: dict) -> pd.DataFrame:
    """The data and their variants: missing responses, a constant covariate, a constant factor."""
    data = mixed_data()
    if query["data"] == "holes":
        data.loc[[2, 16, 39], "y"] = np.nan
    if query["data"] == "gone":
        data.loc[data["g"] == "b", "x"] = 1.0
    if query["data"] == "flat":
        data.loc[data["g"] == "c", "f"] = "u"
    return data


def fitted(query: dict) -> LmListResults:
    data = data_of(query)
    weights = query["weights"] and data[query["weights"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GroupWarning)
        return lmlist(query["formula"], data, weights=weights)


def label(query: dict) -> str:
    return " ".join(filter(None, [query["formula"], query["data"], query["weights"]]))


def matrix(values) -> np.ndarray:
    return np.array(values, dtype=float)


@pytest.mark.parametrize("query", MIXED["lists"], ids=label)
def test_fits_to_each_level_equal_those_of_r(query):
    found = fitted(query)
    assert list(found.params.index) == query["levels"]
    assert list(found.params.columns) == list(np.atleast_1d(query["names"]))
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(found.params, matrix(query["coef"]), **close)
    np.testing.assert_allclose(found.bse, matrix(query["std_error"]), **close)
    np.testing.assert_allclose(found.pvalues, matrix(query["p"]), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(found.sigma, query["sigma"], rtol=1e-12)
    assert found.df_resid == query["df_resid"]
    np.testing.assert_allclose(found.fixed_effects, array(query["fixef"]), **close)
    np.testing.assert_allclose(found.random_effects + found.fixed_effects, found.params, **close)
    if query["own"]:
        for pool, tables in ((False, query["own"]), (True, query["pooled"])):
            limits = np.stack([matrix(table) for table in tables], axis=1).reshape(-1, 2)
            np.testing.assert_allclose(found.conf_int(pool=pool), limits, **close)
        np.testing.assert_allclose(found.llf, query["log_lik"], rtol=1e-12)
    if query["fitted"]:
        place = pd.factorize(found.codes)[0]  # R's levels are in the order in which they come
        by_level = found.fittedvalues.iloc[np.argsort(place, kind="stable")]
        np.testing.assert_allclose(by_level, array(query["fitted"]), **close)


@pytest.mark.parametrize("query", MIXED["lists"], ids=label)
def test_predictions_of_new_rows_equal_those_of_r(query):
    new = data_of(query).iloc[[3, 14, 57]]
    new = new.assign(x=2 * new["x"])
    found = fitted(query).predict(new)
    assert list(found.index) == [3, 14, 57]
    np.testing.assert_allclose(found, array(query["predicted"]), rtol=1e-10)


def test_predictions_that_are_missing_or_refused():
    data = mixed_data()
    found = lmlist("y ~ x | g", data, offset=np.ones(60))
    rows = data.iloc[[1, 30]]
    gap = rows.assign(x=[np.nan, 0.5])
    whole = found.predict(rows.assign(x=0.5), offset=[2.0, 2.0])
    some = found.predict(gap, offset=[2.0, 2.0])
    assert np.isnan(some.iloc[0])
    assert some.iloc[1] == whole.iloc[1]
    with pytest.raises(DataError, match="give the offset of newdata"):
        found.predict(rows)
    with pytest.raises(DataError, match="newdata has 'new' as `g`, which has no model"):
        found.predict(rows.assign(g="new"), offset=[0, 0])


@pytest.mark.parametrize("query", [q for q in MIXED["lists"] if q["text"]], ids=label)
def test_the_summary_has_the_layout_of_r(query):
    """R writes `| NULL` for the factor, and the name of the data where we have one, too."""
    expected = "\n".join(query["text"]).replace("| NULL", query["formula"][-3:])
    assert fitted(query).summary() == expected.rstrip()


def test_residuals_are_by_row_of_the_data():
    data = mixed_data().iloc[::-1]
    data.loc[7, "y"] = np.nan
    found = lmlist("y ~ x | h", data, subset="x > -1")
    kept = data[data["x"] > -1]
    assert list(found.resid.index) == list(kept.index)
    assert found.resid.isna().sum() == 1
    np.testing.assert_allclose((found.fittedvalues + found.resid).dropna(), kept["y"].dropna())
    assert found.nobs == len(kept) - 1


def test_levels_without_a_fit_are_named():
    query = {"data": "flat"}
    with pytest.warns(GroupWarning, match="not fitted to 1 of 6 levels of `g`: c. The factor `f`"):
        found = lmlist("y ~ x + f | g", data_of(query))
    assert found.fits["c"] is None
    assert found.params.loc["c"].isna().all()
    with pytest.raises(DataError, match="no log-likelihood: the model was not fitted to all"):
        _ = found.llf


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("y ~ x", FormulaError, r"must read `response ~ terms \| group`"),
        ("y ~ x + (1 | g)", FormulaError, r"no column|must read"),
        ("y ~ x | g/h", FormulaError, "must read"),
        ("y ~ x | nowhere", FormulaError, "no column `nowhere`"),
        ("y ~ one | g", DataError, "only one level"),
    ],
)
def test_lists_that_are_refused(formula, error, message):
    with pytest.raises(error, match=message):
        lmlist(formula, mixed_data())


def test_no_degrees_of_freedom():
    with pytest.raises(DataError, match="No degrees of freedom are left"):
        _ = lmlist("y ~ 1 | row", mixed_data()).sigma
