"""Bootstraps and profiles equal lme4's, draw by draw and end by end."""

import numpy as np
import pandas as pd
import pytest

import rparity.lmm.solver.model
from lmm_recorded import EXTRAS, LME4, array, fitted, frame, having
from rparity.errors import UsageError
from rparity.lmm.bootstrap.bootmer import bootmer, percentile
from rparity.lmm.mixed import lmer
from rparity.lmm.profile import profile_intervals
from rparity.lmm.solver.schur import Schur
from rparity.rrandom import RRandom


@pytest.mark.parametrize("kind", ["draw", "keep"])
@pytest.mark.parametrize(**having("boot"))
def test_replicates_equal_those_of_r(model, kind):
    """Draws in another order would change the first digit; tolerances allow for R's early stop."""
    fit = fitted(model)
    found = bootmer(fit, 8, kind == "keep", rng=7)
    theirs = np.array(model["boot"][kind], dtype=float)
    p, m = fit.model.p, fit.model.template.m
    mine = found.replicates
    assert found.n_failed == 0
    scale = np.abs(theirs[:, :p]).max(axis=0)
    np.testing.assert_allclose(mine.params / scale, theirs[:, :p] / scale, rtol=0, atol=2e-5)
    np.testing.assert_allclose(mine.bse, theirs[:, p : 2 * p], rtol=5e-4)
    np.testing.assert_allclose(
        mine.theta, theirs[:, 2 * p : 2 * p + m], rtol=2e-3, atol=2e-3 * fit.theta.abs().max()
    )
    np.testing.assert_allclose(mine.sigma, theirs[:, -1], rtol=5e-5)


def test_the_stream_ends_where_it_ends_in_r():
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("Penicillin"))
    rng, expected = RRandom(3), RRandom(3)
    bootmer(fit, 5, rng=rng)
    expected.skip_norm(5 * (30 + 144))
    assert rng.runif(1) == expected.runif(1)


def test_a_statistic_is_computed_from_all_replicates():
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))

    def variances(r):
        return pd.DataFrame({"icc": r.varcorr["Subject.(Intercept)"] ** 2 / r.sigma**2})

    found = bootmer(fit, 50, rng=1, statistic=variances)
    plain = bootmer(fit, 50, rng=1)
    assert list(found.t.columns) == ["icc"]
    assert found.t0["icc"] == pytest.approx(fit.theta.iloc[0] ** 2)
    np.testing.assert_allclose(found.t["icc"], plain.theta.iloc[:, 0] ** 2, rtol=1e-12)
    assert list(found.conf_int(method="basic").index) == ["icc"]
    with pytest.raises(UsageError, match="one row for each"):
        bootmer(fit, 50, rng=1, statistic=lambda r: r.params[:3])


def test_the_original_fit_is_a_bootstrap_of_one():
    fit = lmer("y ~ x + (x | g) + (1 | h)", frame("crossed"))
    everything = bootmer(fit, 2, rng=1)
    np.testing.assert_allclose(everything.t0, fit.params, rtol=1e-14)
    one = everything._original
    np.testing.assert_allclose(one.varcorr.iloc[0], fit.varcorr["sdcor"], rtol=1e-14)
    np.testing.assert_allclose(one.bse.iloc[0], fit.bse, rtol=1e-14)
    assert one.criterion.iloc[0] == fit.criterion


@pytest.mark.parametrize("method", ["normal", "basic", "percentile"])
def test_bootstrap_intervals_equal_those_of_r(method):
    fit = lmer("Reaction ~ Days + (1 | Subject)", frame("sleepstudy"), lme4=LME4)
    found = bootmer(fit, 199, rng=3).conf_int(method=method)
    theirs = np.array(EXTRAS["boot"][method], dtype=float)
    rows = ["(Intercept)", "Days", ".sigma"]
    np.testing.assert_allclose(found.loc[rows], theirs, rtol=1e-6)
    assert list(found.index) == [".sig01", ".sigma", "(Intercept)", "Days"]


def test_percentiles_without_finite_values_are_nan():
    assert np.isnan(percentile(np.array([np.nan]), np.array([0.025, 0.975]))).all()


@pytest.mark.parametrize("bad", ["bca", "", None])
def test_an_unknown_interval_is_refused(bad):
    fit = lmer("Reaction ~ Days + (1 | Subject)", frame("sleepstudy"))
    with pytest.raises(UsageError, match="one of percentile, basic, normal"):
        bootmer(fit, 20, rng=3).conf_int(method=bad)


@pytest.mark.parametrize(**having("profile"))
def test_profile_intervals_equal_those_of_r(model):
    """R's ends, from a spline through a fine profile, agree to 1e-5.

    The spline is off by that much where the profile has a kink. The largest difference is that of
    `x` of the crossed design. At the end found here, R's deviance exceeds the quantile by 5e-15.
    """
    found = fitted(model).conf_int(method="profile")
    assert list(found.index) == model["profile_fine"]["rows"]
    check_profile(found, model)


def test_profile_intervals_of_large_designs_equal_those_of_r(monkeypatch):
    """Here a small crossed design has the algebra of large ones: points are tried one by one."""
    monkeypatch.setattr(rparity.lmm.solver.model, "STRATA_EFFECTS", 0)
    monkeypatch.setattr(rparity.lmm.solver.model, "DENSE_EFFECTS", 0)
    model = next(m for m in having("profile")["argvalues"] if m["data"] == "crossed")
    fit = lmer(model["formula"], frame("crossed"), REML=model["REML"], lme4=LME4)
    assert isinstance(fit.model.structure, Schur)
    check_profile(profile_intervals(fit, 0.05, [".sig04", ".sigma", "x"]), model)


def check_profile(found: pd.DataFrame, model: dict) -> None:
    fine = model["profile_fine"]
    # With prior weights lme4's profile of a fixed effect is wrong; see the next test.
    rows = [r for r in found.index if model["weights"] is None or r.startswith(".")]
    at = [fine["rows"].index(row) for row in rows]
    for end in ("conf_low", "conf_high"):
        theirs = array(fine[end])[at]
        np.testing.assert_allclose(found.loc[rows, end], theirs, rtol=1e-5, atol=1e-9)


def test_a_weighted_profile_equals_refits_with_an_offset_in_r():
    data = frame("holes")
    fit = lmer("Reaction ~ Days + (1 | Subject)", data, weights=data["w"])
    found = fit.conf_int(method="profile").loc["Days"]
    np.testing.assert_allclose(found, EXTRAS["weighted_profile"], rtol=1e-8)


def test_selected_parameters_have_the_intervals_of_a_full_profile():
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    found = profile_intervals(fit, 0.1, ["Days", ".sigma"])
    pd.testing.assert_frame_equal(found, fit.conf_int(0.1, "profile").loc[[".sigma", "Days"]])


def test_profile_intervals_end_at_the_bounds():
    data = frame("crossed")
    rng = np.random.default_rng(1)
    few = data.assign(y=data["x"] + rng.normal(size=len(data)))
    found = lmer("y ~ x + (x | g)", few).conf_int(method="profile")
    assert found.loc[".sig01", "conf_low"] == 0.0
    assert found.loc[".sig03"].tolist() == [-1.0, 1.0]
