"""Fits equal those of lme4, and the exact optimum in 50-digit arithmetic."""

import re
import warnings

import mpmath as mp
import numpy as np
import pandas as pd
import pytest

import rparity.lmm.solver.model
import rparity.lmm.solver.newton
from few import mostly_slow
from lmm_recorded import (
    EXTRAS,
    MODELS,
    array,
    check_effects,
    check_optimum,
    fitted,
    frame,
    having,
    label,
)
from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.inference.anova import anova
from rparity.lmm.mixed import lmer
from rparity.lmm.solver.crossed import Dense, Strata
from rparity.lmm.solver.optimum import ConvergenceWarning
from rparity.lmm.solver.schur import Schur
from rparity.rrandom import RRandom

# The grouping factor of each term.
GROUPS = re.compile(r"\| ([\w:/]+)\)")
every_model = pytest.mark.parametrize("model", MODELS, ids=[label(m) for m in MODELS])


@every_model
def test_criterion_at_given_theta_equals_that_of_r(model):
    fit = fitted(model)
    for at in (model["objective"], model["elsewhere"]):
        assert fit.deviance_at(array(at["theta"])) == pytest.approx(at["value"], rel=1e-13)


@every_model
def test_optimum_equals_that_of_r(model):
    fit = fitted(model)
    assert fit.converged
    assert fit.is_singular == model["singular"]
    check_optimum(fit, model)


@every_model
def test_names_and_orders_equal_those_of_r(model):
    fit, tables = fitted(model), model["tables"]
    assert list(fit.params.index) == tables["coef"]["rows"]
    assert list(fit.theta.index) == tables["theta"]["rows"]
    assert list(fit.varcorr.index) == tables["varcorr"]["rows"]
    assert list(fit.random_effects.index) == tables["ranef"]["rows"]
    assert list(fit.cov_params().columns) == tables["vcov"]["rows"]


@every_model
def test_variances_and_random_effects_equal_those_of_r(model):
    check_effects(fitted(model), model)


def exact_criterion(model: dict, theta):
    """The criterion in 50 digits, for one grouping factor, with V inverted level by level."""
    fit = fitted(model)
    matrices = fit.model.matrices
    (term,) = matrices.random
    k = len(term.names)
    Lam = mp.zeros(k)
    for value, row, col in zip(
        theta, fit.model.template.rows, fit.model.template.cols, strict=True
    ):
        Lam[int(row), int(col)] = value
    columns = np.column_stack([matrices.X, matrices.y - matrices.offset])
    p = fit.model.p
    M, logdet = mp.zeros(p + 1), mp.mpf(0)
    for level in range(len(term.levels)):
        rows = term.codes == level
        B = mp.matrix(term.Z[rows].tolist()) * Lam
        V = B * B.T + mp.diag([1 / mp.mpf(w) for w in matrices.weights[rows]])
        W = mp.matrix(columns[rows].tolist())
        M += W.T * mp.inverse(V) * W
        logdet += mp.log(mp.det(V))
    A = M[:p, :p]
    s = M[p, p] - (M[p, :p] * mp.inverse(A) * M[:p, p])[0, 0]
    f = mp.mpf(fit.nobs - (p if fit.reml else 0))
    return logdet + (mp.log(mp.det(A)) if fit.reml else 0) + f * (1 + mp.log(2 * mp.pi * s / f))


ONE_FACTOR = [
    next(m for m in MODELS if m["data"] == data and part in m["formula"] and m["REML"] == reml)
    for data, part, reml in [
        ("sleepstudy", "(Days | Subject)", True),
        ("holes", "(Days | Subject)", False),
        ("Dyestuff", "(1 | Batch)", True),
    ]
]


@pytest.mark.parametrize(
    "model",
    mostly_slow(
        ONE_FACTOR,
        lambda model: label(model).startswith("Dyestuff"),
        "differentiates in 50 digits a criterion of up to 180 rows",
    ),
    ids=[label(m) for m in ONE_FACTOR],
)
def test_theta_is_the_exact_optimum_to_thirteen_digits(model):
    """A Newton step in 50 digits from the fitted θ changes it by less than the thirteenth digit.

    On sleepstudy, R's optimum at tight controls is 6e-8 away.
    """
    theta = fitted(model).theta_hat
    m = len(theta)
    with mp.workdps(50):
        h = mp.mpf(10) ** -12
        at = [mp.mpf(float(value)) for value in theta]

        def value(*moves):
            x = list(at)
            for i, sign in moves:
                x[i] += sign * h
            return exact_criterion(model, x)

        here = value()
        assert fitted(model).criterion == pytest.approx(float(here), rel=1e-14)
        up = [value((i, 1)) for i in range(m)]
        down = [value((i, -1)) for i in range(m)]
        gradient = mp.matrix([(up[i] - down[i]) / (2 * h) for i in range(m)])
        hessian = mp.zeros(m)
        for i in range(m):
            for j in range(i + 1):
                both = value((i, 1), (j, 1)) - up[i] - up[j] + here
                hessian[i, j] = hessian[j, i] = both / h**2
        step = mp.lu_solve(hessian, gradient)
        assert max(abs(step[i]) for i in range(m)) < 1e-13 * max(abs(theta))


@pytest.mark.parametrize(
    "model",
    [m for m in MODELS if "/" in m["formula"] or len(set(GROUPS.findall(m["formula"]))) > 1],
    ids=label,
)
def test_the_schur_complement_gives_the_results_of_r(model, monkeypatch):
    assert isinstance(fitted(model).model.structure, Strata | Dense)
    monkeypatch.setattr(rparity.lmm.solver.model, "DENSE_EFFECTS", 0)
    monkeypatch.setattr(rparity.lmm.solver.model, "STRATA_EFFECTS", 0)
    fit = lmer(model["formula"], frame(model["data"]), REML=model["REML"])
    assert isinstance(fit.model.structure, Schur)
    at = model["elsewhere"]
    assert fit.deviance_at(array(at["theta"])) == pytest.approx(at["value"], rel=1e-13)
    tables = model["tables"]
    np.testing.assert_allclose(fit.theta, array(tables["theta"]["value"]), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        fit.random_effects["condsd"], array(tables["ranef"]["condsd"]), rtol=1e-6, atol=1e-9
    )


@every_model
def test_derivatives_equal_differences(model):
    """They equal central differences of the value and the gradient in working coordinates."""
    fit = fitted(model)
    structure, m = fit.model.structure, fit.model.template.m
    y = fit.model.deviations(fit.response, fit.beta)
    theta = 0.4 + 0.1 * np.arange(m)
    h = 1e-5
    moved = np.concatenate([theta[None], theta + h * np.eye(m), theta - h * np.eye(m)])
    moments = structure.moments(y[:, None]).take(np.zeros(len(moved), dtype=int))
    i, j = fit.model.template.pairs
    for part in structure.evaluate(moved, moments):
        for low, high in ((part.value, part.gradient), (part.gradient, part.hessian)):
            slope = (low[1 : 1 + m] - low[1 + m :]) / (2 * h)  # (m, …)
            if high is part.hessian:
                slope = slope[i, j]
            scale = np.abs(high[0]).max() + np.abs(part.value[0]).max()
            np.testing.assert_allclose(high[0], slope, rtol=0, atol=2e-8 * scale)


# -- robustness ------------------------------------------------------------------------------------

FORMULAS = (
    "y ~ x + (1 | g)",
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ x + (f | g)",
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (x | g) + (1 | h)",
)


def hard_data(seed: int) -> tuple[str, pd.DataFrame]:
    """Variance ratios from 0 to a million, covariates over twelve orders of magnitude."""
    r = np.random.default_rng(seed)
    n, L = int(r.integers(30, 120)), int(r.integers(4, 9))
    g, h = r.integers(0, L, n), r.integers(0, L - 1, n)
    z = r.normal(size=n)

    def effect() -> np.ndarray:
        return r.choice([0.0, 10.0 ** r.uniform(-2, 3)]) * r.normal(size=L)

    y = 1 + z + effect()[g] + effect()[g] * z + effect()[h] + r.normal(size=n)
    data = pd.DataFrame(
        {
            "y": 10.0 ** r.uniform(-6, 6) * y,
            "x": 10.0 ** r.uniform(-6, 6) * (z + r.choice([0.0, 30.0])),
            "f": pd.Categorical(np.array(list("abc"))[r.integers(0, 3, n)]),
            "g": pd.Categorical(g.astype(str)),
            "h": pd.Categorical(h.astype(str)),
        }
    )
    return FORMULAS[seed % len(FORMULAS)], data


@pytest.mark.parametrize(
    "seed", mostly_slow(range(60), lambda seed: seed < 15, "fits sixty designs, to be sure")
)
def test_hard_designs_converge_to_a_minimum(seed):
    formula, data = hard_data(seed)
    fit = lmer(formula, data)
    assert fit.converged
    working = fit.model.working
    theta = working.W @ fit.theta_hat
    on = fit.model.template.diagonal
    assert ((theta[on] == 0.0) | (theta[on] >= 1e-6)).all()
    r = np.random.default_rng(seed)
    for size in (1e-4, 1e-2):  # the criterion is not lower nearby
        for _ in range(5):
            near = theta + size * (1.0 + np.abs(theta)) * r.normal(size=len(theta))
            assert fit.deviance_at(working.W_inverse @ near) >= fit.criterion - 1e-9


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_results_do_not_depend_on_units_and_origin_of_a_covariate(scale):
    data = frame("sleepstudy")
    plain = lmer("Reaction ~ Days + (Days | Subject)", data)
    moved = lmer("Reaction ~ d + (d | Subject)", data.assign(d=scale * (data["Days"] + 20)))
    assert moved.criterion - 2 * np.log(scale) == pytest.approx(plain.criterion, rel=1e-12)
    assert moved.params["d"] * scale == pytest.approx(plain.params["Days"], rel=1e-11)
    assert moved.sigma == pytest.approx(plain.sigma, rel=1e-9)


def test_a_large_variance_ratio_costs_no_digits():
    data = frame("Dyestuff")
    rough = lmer(
        "y ~ 1 + (1 | Batch)", data.assign(y=data["Yield"] + 1e6 * data["Batch"].cat.codes)
    )
    shifted = rough.deviance_at(rough.theta_hat)
    assert rough.converged
    # Balanced data: the exact optimum is that of the analysis of variance.
    y = rough.response.reshape(6, 5)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / 24
    between = 5 * ((y.mean(axis=1) - y.mean()) ** 2).sum() / 5
    assert rough.sigma**2 == pytest.approx(within, rel=1e-9)
    assert rough.theta_hat[0] ** 2 == pytest.approx((between / within - 1) / 5, rel=1e-9)
    assert shifted == pytest.approx(rough.criterion, rel=1e-14)


def test_a_fit_that_does_not_converge_is_reported(monkeypatch):
    monkeypatch.setattr(rparity.lmm.solver.newton, "MAX_EVALUATIONS", 1)
    with pytest.warns(ConvergenceWarning, match="did not converge") as caught:
        fit = lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    assert [warning.filename for warning in caught] == [__file__]
    assert not fit.converged
    assert fit.summary().endswith("random terms.")
    assert "The search for the optimum did not converge" in fit.summary()
    with pytest.warns(ConvergenceWarning):
        fit.refit()


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ Days + S + (1 | Subject)",
        "Reaction ~ (1 | Subject) + (1 | S)",
        "Reaction ~ Days + (1 | Subject) + (1 | Subject)",
        "Reaction ~ Days + (Days | Subject) + (1 | Subject)",
        "Reaction ~ Days + (Days || Subject) + (0 + Days | S)",
        "Reaction ~ Days + (1 | cross) + (1 | Subject) + (1 | Subject)",
        "Reaction ~ Days + (1 | cross) + (Days | Subject) + (1 | Subject)",
    ],
)
def test_an_undetermined_variance_is_reported_as_not_converged(formula):
    """The criterion is flat in one direction; R 4.2.2 warns of its Hessian."""
    data = frame("sleepstudy")
    data = data.assign(S=data["Subject"], cross=np.arange(len(data)) // 3 % 7)
    with pytest.warns(ConvergenceWarning, match="flat in 1 direction. Leave out"):
        fit = lmer(formula, data)
    assert not fit.converged
    assert "flat in 1 direction" in fit.summary().replace("\n", " ")


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ 1 + (x | g)",  # a correlation of 1
        "y ~ 1 + (x | g) + (1 | g)",
        "z ~ 1 + (1 | g) + (1 | g)",  # both zero
        "z ~ 1 + (x | g)",  # no variance of intercepts, but one of slopes
        "z ~ 1 + (x | g) + (0 + x | h)",
    ],
)
def test_a_singular_fit_is_determined(formula):
    """Rotations of a singular Λ leave ΛΛ' as it is: the criterion is flat there, but not in ΛΛ'."""
    rng = RRandom(2)
    g, h = np.repeat(np.arange(12), 8), np.tile(np.arange(8), 12)
    x, u = rng.rnorm(96), rng.rnorm(12)[g]
    data = pd.DataFrame({"x": x, "g": g, "h": h, "y": u + u * x + rng.rnorm(96)})
    data["z"] = data["y"] - data.groupby("g")["y"].transform("mean")
    fit = lmer(formula, data)
    assert fit.is_singular
    assert fit.converged


def test_a_singular_criterion_is_a_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def singular(*_arguments: object, **_options: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("rparity.lmm.solver.model.minimise", singular)
    with pytest.raises(
        DataError, match=r"cannot be computed in double .* \(Singular matrix\): centre cov"
    ):
        lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))


def test_a_group_that_occurs_twice_has_the_names_of_r() -> None:
    """As in R's `as.data.frame(VarCorr(fit))`, if a name repeats, all become syntactic."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"a": list("pqrs") * 24, "b": ["u", "v", "w"] * 32})
    data = data.assign(x=rng.normal(size=96), y=rng.normal(size=96))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice = lmer("y ~ x + (x || a:b)", data).varcorr.index
        once = lmer("y ~ x + (1 | a:b)", data).varcorr.index
    assert list(twice) == ["a.b.(Intercept)", "a.b.1.x", "Residual"]
    assert list(once) == ["a:b.(Intercept)", "Residual"]


def test_zeros_of_theta_stay_zeros_in_results_at_given_theta() -> None:
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    for theta in ([0.9, 0.0, 0.0], [0.0, 0.0, 0.2], [0.0, 0.0, 0.0]):
        there = fit.at(np.array(theta))
        assert there.theta_hat.tolist() == theta
        slopes = there.random_effects[there.random_effects.index.str.endswith(".Days")]
        assert (slopes == 0.0).all(axis=None) == (theta[2] == 0.0)


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1e-3, 1.0])
def test_conditional_deviations_do_not_depend_on_the_units(size: float) -> None:
    """They do so too if the data have no information on a slope, which then has its prior."""
    data = frame("sleepstudy")
    data = data.assign(Days=size * (data["Days"] + 1.0))
    fit = lmer("Reaction ~ Days + (Days | Subject)", data)
    there = fit.at(np.array([1.0, 0.5, 1e-3]), 25.0)
    Z = np.column_stack([np.ones(10), data["Days"].iloc[:10]])
    Lam = np.array([[1.0, 0.0], [0.5, 1e-3]])
    cov = Lam @ np.linalg.inv(np.eye(2) + Lam.T @ Z.T @ Z @ Lam) @ Lam.T
    found = there.random_effects["condsd"].iloc[[0, 18]]
    np.testing.assert_allclose(found, 25.0 * np.sqrt(np.diag(cov)), rtol=1e-12)


# -- results ---------------------------------------------------------------------------------------


def test_predictions_equal_those_of_r():
    recorded = EXTRAS["predict"]
    new = pd.DataFrame({k: v if isinstance(v, list) else [v] for k, v in recorded["new"].items()})
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    found = fit.predict(new, allow_new_levels=True)
    np.testing.assert_allclose(found, recorded["all"], rtol=1e-6)
    np.testing.assert_allclose(fit.predict(new, include_random=False), recorded["fixed"], rtol=1e-9)
    with pytest.raises(DataError, match="levels of 'Subject' that the data of the fit do not have"):
        fit.predict(new)
    casks = pd.DataFrame(recorded["casks"])
    nested = lmer("strength ~ 1 + (1 | batch/cask)", frame("Pastes"))
    np.testing.assert_allclose(
        nested.predict(casks, allow_new_levels=True), recorded["nested"], rtol=1e-7
    )


def test_predictions_for_the_fitted_rows_are_the_fitted_values():
    data = frame("holes")
    fit = lmer("Reaction ~ Days + offset(known) + (Days | Subject)", data, weights=data["w"])
    np.testing.assert_allclose(fit.predict(data), fit.fittedvalues, rtol=1e-12)
    held = lmer("Reaction ~ Days + (1 | Subject)", data, offset=data["known"])
    np.testing.assert_allclose(
        held.predict(data, offset=data["known"]), held.fittedvalues, rtol=1e-12
    )
    with pytest.raises(DataError, match="offset="):
        held.predict(data)


def test_likelihood_ratios_equal_those_of_r():
    data = frame("sleepstudy")
    fits = [lmer(f"Reaction ~ Days + {r}", data) for r in
            ("(Days | Subject)", "(1 | Subject)", "(Days || Subject)")]  # fmt: skip
    table = anova(*fits)
    for name, recorded in EXTRAS["anova"].items():
        np.testing.assert_allclose(table[name], array(recorded), rtol=1e-7, err_msg=name)
    with pytest.raises(UsageError, match="give it one or more"):
        anova()
    with pytest.raises(UsageError, match="same response"):
        anova(fits[0], lmer("Reaction ~ Days + (1 | Subject)", data[5:]))


def test_refit_to_the_same_response_gives_the_same_fit():
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("Penicillin"))
    again = fit.refit(fit.response)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-13)
    assert not fit.refit(REML=False).reml
    with pytest.raises(UsageError, match="144 finite numbers"):
        fit.refit(fit.response[1:])


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("Reaction ~ Days", FormulaError, "No random effects"),
        ("Reaction ~ Days + (1 | Nobody)", FormulaError, "no column"),
        ("Days ~ Days2 + (1 | Subject)", FormulaError, "no column `Days2`"),
        ("known ~ Days + (1 | Subject)", DataError, "exact linear function"),
        ("Reaction ~ (Days | row)", DataError, "fewer levels than rows"),
    ],
)
def test_invalid_models_are_refused(formula, error, message):
    data = frame("sleepstudy")
    data["known"] = 3.0 + 2.0 * data["Days"]
    data["row"] = np.arange(len(data)).astype(str)
    with pytest.raises(error, match=message):
        lmer(formula, data)


@pytest.mark.parametrize(**having("text"))
def test_summary_equals_that_of_r(model):
    # The line on lme4's optimizer and its exit code has no counterpart.
    theirs = [line for line in model["text"] if not line.startswith("optimizer (")]
    while not theirs[-1]:
        theirs.pop()
    assert fitted(model).summary().split("\n") == theirs
