"""Degrees of freedom and tests of fixed effects against lmerTest, pbkrtest, and ball arithmetic."""

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from flint import ctx

import rparity.lmm.solver.model
from ddf_exact import Exact
from ddf_recorded import (
    MODELS,
    RECORDED,
    array,
    at_r,
    find,
    frame,
    matrix,
    optimum,
    parametrized,
    table,
)
from rparity.errors import UsageError
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.ddf import DegreesOfFreedomWarning, Satterthwaite
from rparity.lmm.mixed import lmer
from rparity.lmm.solver.deviance import LOST, evaluate
from rparity.lmm.solver.optimum import ConvergenceWarning

every_model = parametrized(MODELS)
METHODS = ["satterthwaite", "kenward-roger"]
# lmerTest's derivatives are numerical ones, which leave so many digits; the document's residual
# variance is so small beside the others that they leave fewer.
NUMERICAL, DOCUMENT = 1e-7, 2e-6

GROUPS = find("unbalanced", "Reaction ~ Days * grp + (Days | Subject)")
BOUNDARY = find("document", "y ~ x + half + (1 | p) + (1 | half:p)")
SLOPES = find("document", "y ~ x + half + (x | p)")


def tolerance(model: dict) -> float:
    return DOCUMENT if model["data"] == "document" else NUMERICAL


def rows(fit: LmerResults) -> np.ndarray:
    return np.eye(fit.model.p)


def r_df(model: dict, method: str) -> np.ndarray:
    """R's degrees of freedom; pbkrtest itself leaves weights out, see r_scripts/ddf_reference.R."""
    if method == "kenward-roger" and model["weights"]:
        return array(model["weighted"]["df"])
    return table(model["coefficients"][method])["df"].to_numpy()


def check_satterthwaite(found: np.ndarray, model: dict) -> None:
    np.testing.assert_allclose(found, r_df(model, "satterthwaite"), rtol=tolerance(model))


def check_kenward_roger(df: np.ndarray, cov: np.ndarray, model: dict) -> None:
    there = matrix((model["weighted"] if model["weights"] else model)["adjusted"])
    np.testing.assert_allclose(df, r_df(model, "kenward-roger"), rtol=1e-9)
    np.testing.assert_allclose(cov, there, rtol=1e-10, atol=1e-10 * np.abs(there).max())


reml = parametrized([m for m in MODELS if m["REML"]])


def test_the_record_has_forty_reml_models_and_says_of_which_versions():
    assert sum(model["REML"] for model in MODELS) >= 40
    assert sum(model["singular"] for model in MODELS) >= 5
    assert set(RECORDED["versions"]) == {"R", "lme4", "lmerTest", "pbkrtest", "emmeans"}


@every_model
def test_satterthwaite_is_that_of_lmertest(model):
    fit = at_r(model)
    check_satterthwaite(fit.satterthwaite.df(rows(fit)), model)


@reml
def test_kenward_roger_is_that_of_pbkrtest(model):
    fit = at_r(model)
    check_kenward_roger(fit.kenward_roger.df(rows(fit)), fit.kenward_roger.cov, model)


@every_model
def test_own_optimum_has_the_same_degrees_of_freedom(model):
    fit = optimum(model)
    for method in model["coefficients"]:
        there = at_r(model)
        mine = getattr(fit, method.replace("-", "_")).df(rows(fit))
        theirs = getattr(there, method.replace("-", "_")).df(rows(fit))
        np.testing.assert_allclose(mine, theirs, rtol=5e-6)


@pytest.mark.parametrize("model", [SLOPES, GROUPS], ids=["document", "sleepstudy"])
def test_degrees_of_freedom_have_twelve_digits(model):
    """Where lmerTest's digits end, ball arithmetic goes on."""
    fit = optimum(model)
    with ctx.workdps(80):  # differences lose 40 digits, and balls grow
        exact = Exact(fit)
        satterthwaite = exact.satterthwaite()
        cov, df = exact.kenward_roger()
    np.testing.assert_allclose(fit.satterthwaite.df(rows(fit)), satterthwaite, rtol=5e-11)
    np.testing.assert_allclose(fit.kenward_roger.df(rows(fit)), df, rtol=1e-12)
    np.testing.assert_allclose(fit.kenward_roger.cov, cov, rtol=1e-11)


@pytest.mark.parametrize(
    "model",
    [
        find("cake", "angle ~ recipe * temperature + (1 | replicate/recipe)"),
        find("crossed_factors", "y ~ a * b + x + (x | g) + (1 | h)"),
        find("unbalanced", "Reaction ~ late * grp + (1 | Subject) + (1 | dose)"),
    ],
    ids=["strata", "dense", "singular"],
)
def test_every_structure_gives_the_same(model, monkeypatch):
    fit = optimum(model)
    for limits in ({"STRATA_EFFECTS": 0}, {"STRATA_EFFECTS": 0, "DENSE_EFFECTS": 0}):
        for name, value in limits.items():
            monkeypatch.setattr(rparity.lmm.solver.model, name, value)
        other = lmer(model["formula"], frame(model["data"])).at(fit.theta_hat)
        for method in ("satterthwaite", "kenward_roger"):
            mine, theirs = getattr(fit, method), getattr(other, method)
            np.testing.assert_allclose(mine.df(rows(fit)), theirs.df(rows(fit)), rtol=1e-9)
            found, wanted = mine.joint(rows(fit)), theirs.joint(rows(fit))
            np.testing.assert_allclose(found.F, wanted.F, rtol=1e-9)


def test_kenward_roger_of_an_ml_fit_is_that_of_its_reml_fit():
    """As in pbkrtest."""
    by_ml = optimum(find(GROUPS["data"], GROUPS["formula"], REML=False))
    np.testing.assert_allclose(
        by_ml.kenward_roger.df(rows(by_ml)), r_df(GROUPS, "kenward-roger"), rtol=5e-6
    )


def test_units_do_not_matter():
    """lmerTest's tolerance for a zero eigenvalue would drop σ from the first of these fits."""
    data = frame("sleepstudy")
    usual = lmer("Reaction ~ Days + (Days | Subject)", data).satterthwaite.df(np.eye(2))
    for scale in (1e8, 1e-8):
        scaled = lmer("y ~ x + (x | Subject)", data.assign(y=data.Reaction * scale, x=data.Days))
        np.testing.assert_allclose(scaled.satterthwaite.df(np.eye(2)), usual, rtol=1e-6)


def test_a_term_that_repeats_a_fixed_one_is_left_out_with_a_warning():
    with pytest.warns(ConvergenceWarning, match="flat in 1 direction"):
        fit = lmer("strength ~ cask + (1 | batch) + (1 | cask)", frame("Pastes"))
    without = lmer("strength ~ cask + (1 | batch)", frame("Pastes"))
    with pytest.warns(DegreesOfFreedomWarning, match="say nothing about 1 direction"):
        df = fit.kenward_roger.df(rows(fit))
    np.testing.assert_allclose(df[1:], without.kenward_roger.df(rows(fit))[1:], rtol=1e-6)


def test_a_point_that_is_no_minimum_is_said_to_be_none():
    fit = optimum(GROUPS)
    away = fit.at(fit.theta_hat * [6.0, 1.0, 6.0])
    with pytest.warns(DegreesOfFreedomWarning, match="negative eigenvalue"):
        away.satterthwaite.df(rows(fit))


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_contrasts_of_nothing_are_refused(method):
    with pytest.raises(UsageError, match="all zero"):
        getattr(optimum(GROUPS), method).joint(np.zeros((2, 6)))


@pytest.mark.slow(reason="fits 20,000 observations of two crossed factors")
def test_both_methods_agree_on_a_large_crossed_design():
    rng = np.random.default_rng(3)
    n, levels = 20_000, (1_500, 500)
    g, h = (rng.integers(size, size=n) for size in levels)
    x, z = rng.normal(size=n), rng.normal(size=500)[h]
    y = x + 0.5 * rng.normal(size=1_500)[g] + 0.3 * rng.normal(size=500)[h] + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": g.astype(str), "h": h.astype(str)})
    fit = lmer("y ~ x + z + (1 | g) + (1 | h)", data)
    satterthwaite, kenward_roger = fit.ddf("satterthwaite"), fit.ddf("kenward-roger")
    # The slope of z, which varies between the levels of h alone, rests on their number.
    assert 400 < satterthwaite["z"] < 500
    assert satterthwaite["x"] > 15_000
    np.testing.assert_allclose(satterthwaite, kenward_roger, rtol=0.05)


# -- wrong on purpose ------------------------------------------------------------------------------


def test_satterthwaite_for_kenward_roger_is_noticed():
    fit = at_r(GROUPS)
    with pytest.raises(AssertionError):
        check_kenward_roger(fit.satterthwaite.df(rows(fit)), fit.kenward_roger.cov, GROUPS)


def test_unadjusted_covariance_is_noticed():
    fit = at_r(GROUPS)
    with pytest.raises(AssertionError):
        check_kenward_roger(fit.kenward_roger.df(rows(fit)), fit.cov_params().to_numpy(), GROUPS)


def test_gradient_of_the_other_sign_is_noticed():
    fit = at_r(GROUPS)
    wrong = Satterthwaite(fit)
    wrong._jacobian[:-1] *= -1.0  # the last row is that of σ
    with pytest.raises(AssertionError):
        check_satterthwaite(wrong.df(rows(fit)), GROUPS)


def test_boundary_taken_for_a_model_without_the_term_is_noticed():
    """Without the term whose variance is zero the degrees of freedom are others."""
    fit = at_r(BOUNDARY)
    assert fit.is_singular
    smaller = lmer("y ~ x + half + (1 | half:p)", frame(BOUNDARY["data"]))
    with pytest.raises(AssertionError):
        check_kenward_roger(
            smaller.kenward_roger.df(rows(fit)), smaller.kenward_roger.cov, BOUNDARY
        )


def residual_sum(fit: LmerResults, theta: float) -> float:
    """Return s of a model with one random effect for each group, with 50 digits."""
    with mp.workdps(50):
        (term,) = fit.model.matrices.random
        columns = np.column_stack([fit.model.matrices.X, fit.model.matrices.y])
        M, square = mp.zeros(columns.shape[1]), mp.mpf(theta) ** 2
        for level in range(len(term.levels)):
            here = mp.matrix(columns[term.codes == level].tolist())
            z = mp.matrix(term.Z[term.codes == level].tolist())
            across = here.T * z
            M += here.T * here - square / (1 + square * (z.T * z)[0]) * across * across.T
        p = M.rows - 1
        return float(M[p, p] - (M[p, :p] * mp.lu_solve(M[:p, :p], M[:p, p]))[0])


@pytest.mark.parametrize("derivatives", ["none", "search", "exact"])
def test_where_rounding_has_destroyed_the_sum_of_squares_it_is_missing(derivatives):
    """With slopes without a limit X'V⁻¹X is singular to rounding; what is left varies by BLAS."""
    model = find("unbalanced", "Reaction ~ Days * grp + (0 + Days | Subject)")
    fit = lmer(model["formula"], frame(model["data"]))
    y = fit.model.matrices.y
    deviations = fit.model.deviations(y, fit.model.ordinary_least_squares(y))
    moments = fit.model.structure.moments(deviations[:, None]).repeated(3)
    theta = np.array([[1.0], [1e9], [1e10]])
    working = theta @ fit.model.working.W.T
    found = evaluate(fit.model.structure, moments, working, reml=True, derivatives=derivatives)
    known = [residual_sum(fit, each) for each in theta[:, 0]]
    np.testing.assert_allclose(found.s.value[0], known[0], rtol=1e-12)
    left = ~np.isnan(found.s.value)
    np.testing.assert_allclose(found.s.value[left], np.array(known)[left], rtol=2 * LOST)
