"""`lmer_control` does what R's `lmerControl` does, and `start` what R's does."""

import warnings
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from lmm_recorded import array, frame
from mixed_recorded import MIXED, mixed_data
from rparity import lmer, lmer_control
from rparity.errors import DataError, UsageError
from rparity.lmm.control import CheckWarning, SingularFitWarning
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.model_matrices import RankDeficientWarning
from rparity.lmm.solver.optimum import ConvergenceWarning

CHECKED = (CheckWarning, RankDeficientWarning)
STARTS = MIXED["starts"]


def named(query: dict) -> str:
    settings = query["settings"] or {}
    return " ".join([query["formula"], *(f"{name}={value}" for name, value in settings.items())])


def settings_of(query: dict) -> dict:
    """R's were silent about dropped columns and singular fits unless a setting says otherwise."""
    given = {name.replace(".", "_"): value for name, value in (query["settings"] or {}).items()}
    return {"check_rankX": "silent.drop.cols", "check_conv_singular": "ignore", **given}


@pytest.mark.parametrize("query", MIXED["controls"], ids=named)
def test_checks_do_what_those_of_r_do(query, caplog):
    data, does = mixed_data(), query["does"]
    weights = query["weights"] and data[query["weights"]]

    def fit() -> LmerResults:
        control = lmer_control("bobyqa", **settings_of(query))
        return lmer(query["formula"], data, weights=weights, control=control)

    if does == "stop":
        with pytest.raises(DataError):
            fit()
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fit()
    categories = [each.category for each in caught]
    warned = any(issubclass(c, CHECKED) for c in categories)
    if "check.rankX" in (query["settings"] or {}):  # that columns are left out is always a warning
        assert warned == (does in {"warning", "message"})
    else:
        assert warned == (does == "warning")
        assert bool(caplog.messages) == (does == "message")
    r = query["fit"]
    assert found.criterion <= r["criterion"] + 1e-9 * abs(r["criterion"])
    if found.converged:
        np.testing.assert_allclose(found.criterion, r["criterion"], rtol=1e-9)
        np.testing.assert_allclose(found.params, array(r["fixef"]), rtol=1e-6)
    else:
        assert ConvergenceWarning in categories  # a criterion that is flat in R, too


def test_an_effect_of_each_row_is_determined_if_there_are_weights():
    """As in a meta-analysis. R's θ, with which ours are compared above, are not at an end."""
    for query in MIXED["controls"][1:3]:
        theta = array(query["fit"]["theta"])
        assert ((theta > 0.05) & (theta < 5.0)).all()


@pytest.mark.parametrize(
    ("name", "action"), [("check_conv_hess", "stop"), ("check_conv_hess", "ignore")]
)
def test_what_happens_if_a_criterion_is_flat(name, action):
    data = mixed_data()
    more = {"check_nobs_vs_nlev": "ignore", "check_nobs_vs_nRE": "ignore"}
    control = lmer_control(**more, **{name: {"action": action, "tol": 1e-6}})
    if action == "ignore":
        assert not lmer("y ~ x + (1 | row)", data, control=control).converged
    else:
        with pytest.raises(DataError, match="do not determine the variance parameters"):
            lmer("y ~ x + (1 | row)", data, control=control)


@pytest.mark.parametrize("action", ["stop", "ignore", "warning"])
def test_what_happens_if_the_search_does_not_converge(action, monkeypatch):
    monkeypatch.setattr(LmerResults, "converged", False)
    control = lmer_control(check_conv_grad=action)
    if action == "ignore":
        lmer("y ~ x + (1 | g)", mixed_data(), control=control)
        return
    expected = pytest.raises(DataError) if action == "stop" else pytest.warns(ConvergenceWarning)
    with expected:
        lmer("y ~ x + (1 | g)", mixed_data(), control=control)


def test_defaults_are_those_of_r():
    """As R 4.2.2 with lme4 1.1-31 prints them; `check.scaleX` is the exception of the docstring."""
    ours = {name.replace("_", "."): value for name, value in asdict(lmer_control()).items()}
    assert ours.pop("check.scaleX") == "ignore"
    assert ours == {
        "check.nobs.vs.rankZ": "ignore",
        "check.nobs.vs.nlev": "stop",
        "check.nlev.gtreq.5": "ignore",
        "check.nlev.gtr.1": "stop",
        "check.nobs.vs.nRE": "stop",
        "check.rankX": "message+drop.cols",
        "check.conv.grad": "warning",
        "check.conv.singular": "message",
        "check.conv.hess": "warning",
        "singular.tol": 1e-4,
    }


def test_a_singular_fit_is_a_message_that_no_filter_makes_an_error(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lmer("dull ~ x + (1 | g)", mixed_data()).is_singular
    (record,) = caplog.records
    assert record.name == "rparity"
    assert record.getMessage().startswith("The fit is singular: a variance is estimated as zero")


def test_there_is_one_way_to_say_what_happens_to_dependent_columns():
    with pytest.raises(TypeError, match="rank_deficient"):
        lmer("y ~ x + (1 | g)", mixed_data(), rank_deficient="fail")


def test_a_warning_names_its_check_and_the_line_of_the_caller():
    control = lmer_control(check_nlev_gtreq_5="warning", check_conv_singular="warning")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lmer("dull ~ x + (1 | g) + (1 | h)", mixed_data(), control=control)
    assert [each.category for each in caught] == [CheckWarning, SingularFitWarning]
    assert str(caught[0].message).startswith("The grouping factor `h` has 4 levels: with fewer")
    assert {each.filename for each in caught} == {__file__}
    with pytest.warns(RankDeficientWarning) as dropped:
        lmer("y ~ x + twice + (1 | g)", mixed_data())
    assert {each.filename for each in dropped} == {__file__}


def test_the_optimizers_of_r_have_no_effect():
    data = mixed_data()
    usual = lmer("y ~ x + (x | g)", data)
    control = lmer_control(
        optimizer="Nelder_Mead", optCtrl={"maxfun": 3}, calc_derivs=False, restart_edge=False
    )
    np.testing.assert_array_equal(usual.theta, lmer("y ~ x + (x | g)", data, control=control).theta)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimiser": "bobyqa"}, "no setting 'optimiser'. Did you mean 'optimizer'"),
        ({"check.conv.singular": "ignore"}, "Did you mean 'check_conv_singular'"),
        ({"check_nobs_vs_nlev": "no"}, "check_nobs_vs_nlev must be one of stop, warning, message"),
        ({"check_nobs_vs_nlev": "stopSmall"}, "check_nobs_vs_nlev must be one of"),
        ({"check_rankX": "stop"}, r"check_rankX must be one of message\+drop.cols"),
        ({"check_scaleX": "warn+rescale"}, "Scale the columns of the data"),
        ({"check_conv_singular": {"action": "ignore", "tolerance": 1}}, "an action and a tol"),
        ({"check_conv_grad": {"tol": 0.1}}, "check_conv_grad must be one of .*, and is None"),
        ({"optimizer": None}, "optimizer must be the name of an optimizer"),
        ({"optCtrl": 5}, "optCtrl must be a mapping"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        lmer_control(**settings)


def test_settings_are_made_by_lmer_control():
    with pytest.raises(UsageError, match=r"control must be made by lmer_control\(\), and is a d"):
        lmer("y ~ x + (1 | g)", mixed_data(), control={"optimizer": "bobyqa"})


@pytest.mark.parametrize("query", STARTS["good"], ids=lambda q: str(q["start"]))
def test_from_each_start_the_search_ends_where_that_of_r_does(query):
    found = lmer(STARTS["formula"], mixed_data(), start=query["start"])
    assert found.criterion <= query["fit"]["criterion"] + 1e-11 * found.criterion
    np.testing.assert_allclose(found.params, array(query["fit"]["fixef"]), rtol=1e-7)
    np.testing.assert_allclose(found.theta, array(query["fit"]["theta"]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("answer", MIXED["two_minima"]["answers"], ids=lambda a: str(a["start"]))
def test_of_two_minima_the_start_decides_as_in_r(answer):
    data = frame("frame", MIXED["two_minima"])
    with_start = lmer("y ~ x + (1 | g)", data, REML=False, start=[answer["start"]])
    np.testing.assert_allclose(with_start.criterion, answer["criterion"], rtol=1e-11)
    np.testing.assert_allclose(with_start.theta, answer["theta"], rtol=1e-6, atol=1e-6)
    lowest = min(each["criterion"] for each in MIXED["two_minima"]["answers"])
    usual = lmer("y ~ x + (1 | g)", data, REML=False)
    np.testing.assert_allclose(usual.criterion, lowest, rtol=1e-11)


def test_starts_that_r_refuses_are_refused():
    assert [query["does"] for query in STARTS["bad"]] == ["stop"] * 5
    bad = [[1, 1], {"theta": 1}, {"psi": [1, 0, 1]}, "a", {"theta": ["a", "b", "c"]}]
    for start in bad:
        with pytest.raises(UsageError, match=r"^start "):
            lmer(STARTS["formula"], mixed_data(), start=start)


@pytest.mark.parametrize("query", MIXED["others"], ids=lambda q: q["formula"])
def test_responses_and_terms_that_were_once_refused(query):
    data = mixed_data()
    days = pd.Timestamp("2020-02-20") + pd.to_timedelta(data["k"], unit="D")
    data = data.assign(late=data["y"] > 1, day=days.dt.date)
    found = lmer(query["formula"], data)
    assert found.term_names == list(np.atleast_1d(query["names"]))
    there = found.at(array(query["theta"]))
    np.testing.assert_allclose(there.params, array(query["fixef"]), rtol=1e-8)
    np.testing.assert_allclose(found.criterion, query["criterion"], rtol=1e-11)
