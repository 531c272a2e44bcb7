"""The posterior by quadrature against R, 30 digits, definitions and itself, and against MCMC."""

import importlib.util
import re
from itertools import pairwise

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from scipy import integrate
from scipy.stats import multivariate_normal
from scipy.stats import t as student

import rparity.lmm.solver.model
from lmm_recorded import frame
from posterior_recorded import MODELS, check, computed, find, fitted, label
from rparity.cases.document import document_data
from rparity.errors import UsageError, install
from rparity.lmm.bayes import ensemble, quadrature
from rparity.lmm.bayes.ensemble import JointPosterior, sample
from rparity.lmm.bayes.marginals import FourierMarginal
from rparity.lmm.bayes.posterior import Posterior, posterior
from rparity.lmm.bayes.priors import VarianceCoordinates
from rparity.lmm.bayes.quadrature import RestrictedPosterior
from rparity.lmm.linear import lm
from rparity.lmm.mixed import lmer
from rparity.lmm.numbers import lattice
from rparity.lmm.solver.deviance import evaluate

SLOPES = "Reaction ~ Days + (Days | Subject)"
TWO = pytest.mark.slow(reason="integrates with many points")
THREE = pytest.mark.slow(reason="integrates over three variance parameters")
MCMC = pytest.mark.slow(reason="draws by MCMC, enough to tell quantiles apart")


def as_parameter(model: dict):
    marks = [THREE] if "cor" in model["answer"] else []
    if label(model).startswith("Pastes"):
        marks.append(TWO)
    return pytest.param(model, id=label(model), marks=marks)


every_model = pytest.mark.parametrize("model", [as_parameter(m) for m in MODELS])


@every_model
def test_the_posterior_is_that_of_r(model):
    check(computed(model), model)


# -- thirty digits ---------------------------------------------------------------------------------


class Balanced:
    """The posterior of one balanced factor with m rows a level, in mpmath, from its definition.

    V⁻¹ is (I − P) + P/λ, where P averages over levels and λ = 1 + ms². So the cross products of
    [X y] within and between levels are all that is needed.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, group: np.ndarray, prior: str) -> None:
        columns = np.column_stack([X, y])
        exact = mp.matrix(columns.tolist())
        levels = np.unique(group)
        self.m, self.J = len(group) // len(levels), len(levels)
        means = mp.zeros(self.J, columns.shape[1])
        for i, level in enumerate(levels):
            for row in np.flatnonzero(group == level):
                means[i, :] += exact[int(row), :] / self.m
        self.between = self.m * means.T * means
        self.within = exact.T * exact - self.between
        self.p, self.prior = X.shape[1], prior
        self.nu = mp.mpf(len(y) - self.p - (prior == "uniform"))

    def at(self, s):
        """Density of s, residual sum of squares, coefficients and the diagonal of A⁻¹."""
        p, level = self.p, 1 + self.m * s**2
        M = self.within + self.between / level
        A, Xy = M[:p, :p], M[:p, p]
        inverse = A**-1
        beta = inverse * Xy
        rest = M[p, p] - (Xy.T * beta)[0]
        density = level ** (-mp.mpf(self.J) / 2) / mp.sqrt(mp.det(A)) * rest ** (-self.nu / 2)
        if self.prior == "half-cauchy":
            density /= 1 + s**2
        return density, rest, beta, [inverse[j, j] for j in range(p)]

    def probability(self, kind: str, x: float, splits: list[float]):
        """The probability that `kind`, "sd", "sigma" or a number of a coefficient, is at most x."""
        x, nu = mp.mpf(x), self.nu

        def given(s):
            density, rest, beta, variance = self.at(s)
            if kind == "sd":
                return density * mp.gammainc(nu / 2, rest * s**2 / x**2 / 2, regularized=True)
            if kind == "sigma":
                return density * mp.gammainc(nu / 2, rest / x**2 / 2, regularized=True)
            z = (x - beta[kind]) / mp.sqrt(variance[kind] * rest / nu)
            tail = mp.betainc(nu / 2, 0.5, 0, nu / (nu + z**2), regularized=True) / 2
            return density * (1 - tail if z > 0 else tail)

        top = self.at(mp.mpf(splits[len(splits) // 2]))[0]
        inside = mp.quad(lambda s: given(s) / top, [0, *splits, mp.inf])
        return inside / mp.quad(lambda s: self.at(s)[0] / top, [0, *splits, mp.inf])


@pytest.mark.slow(reason="integrates in 25 digits")
@pytest.mark.parametrize("prior", ["uniform", "half-cauchy"])
def test_eleven_digits_of_dyestuff(prior):
    data = frame("Dyestuff")
    found = posterior(lmer("Yield ~ 1 + (1 | Batch)", data), prior)
    with mp.workdps(25):
        exact = Balanced(np.ones((30, 1)), data["Yield"].to_numpy(), data["Batch"].cat.codes, prior)
        splits = [0.4, 0.9, 2.0, 6.0]
        for name, kind, x in ((".sig01", "sd", 40.0), (".sigma", "sigma", 52.0)):
            wanted = exact.probability(kind, x, splits)
            assert abs(float(found.marginal(name).cdf(x)) - wanted) < 1e-11
        wanted = exact.probability(0, 1500.0, splits)
        assert abs(float(found.marginal("(Intercept)").cdf(1500.0)) - wanted) < 1e-11


@pytest.mark.slow(reason="integrates in 25 digits")
def test_ten_digits_of_the_document():
    """With variance ratios near 4.6e4, each sum of squares between levels cancels four digits."""
    data = document_data(1)
    found = posterior(lmer("y ~ x + (1 | p)", data))
    X = np.column_stack([np.ones(100), data["x"]])
    with mp.workdps(25):
        exact = Balanced(X, data["y"].to_numpy(), data["p"].cat.codes, "uniform")
        splits = [30.0, 50.0, 70.0, 100.0, 150.0, 300.0]
        for name, kind, x in (
            (".sig01", "sd", 5.0),
            (".sigma", "sigma", 0.1),
            ("(Intercept)", 0, 18.0),
            ("x", 1, -1.01),
        ):
            wanted = exact.probability(kind, x, splits)
            assert abs(float(found.marginal(name).cdf(x)) - wanted) < 1e-10


# -- the quadrature's own error --------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        find("document"),
        find("Dyestuff"),
        find("Dyestuff2", "half-cauchy"),
        find("Dyestuff", "jeffreys"),
        pytest.param(find("Penicillin"), marks=TWO),
        pytest.param(find("Pastes", "jeffreys"), marks=TWO),
    ],
    ids=label,
)
def test_the_stated_error_bounds_the_actual_one_and_is_below_1e_8(model, monkeypatch):
    found = computed(model)
    assert found.error < 1.1e-8
    monkeypatch.setattr(quadrature, "TOLERANCE", 1e-14)
    monkeypatch.setattr(lattice, "DROP", 32.0)
    finer = posterior(fitted(model), model["prior"])
    q = np.array([0.001, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.999])
    for name in found.names:
        actual = found.marginal(name).cdf(finer.marginal(name).quantile(q)) - q
        assert np.abs(actual).max() < found.error


@pytest.mark.slow(reason="integrates by another rule, from a fit at each point")
def test_weights_offset_and_several_rows_a_level_are_those_of_the_criterion():
    """The same integral by `scipy.integrate.quad`, from the public criterion at each θ."""
    data = frame("holes")
    fit = lmer("Reaction ~ Days + offset(known) + (1 | Subject)", data, weights=data["w"])
    found = posterior(fit)
    nu = fit.nobs - 2 - 1
    top = fit.criterion

    def density(s: float) -> float:
        at = fit.at([s])
        return np.exp((top - at.criterion) / 2) * (at.sigma / fit.sigma) ** (fit.nobs - 2 - nu)

    def below(s: float, j: int, x: float) -> float:
        at = fit.at([s])
        f = fit.nobs - 2
        scale = at.bse.iloc[j] * np.sqrt(f / nu)
        return density(s) * student.cdf((x - at.params.iloc[j]) / scale, nu)

    cuts = fit.theta_hat[0] * np.array([0.0, 0.5, 1.0, 2.0, 6.0, 1e3])

    def total(f) -> float:
        return sum(integrate.quad(f, *each, epsrel=1e-8)[0] for each in pairwise(cuts))

    x = fit.params.iloc[1] + 0.7 * fit.bse.iloc[1]
    wanted = total(lambda s: below(s, 1, x)) / total(density)
    assert abs(float(found.marginal("Days").cdf(x)) - wanted) < 2e-8


# -- invariances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["uniform", "half-cauchy", "jeffreys"])
def test_units_of_the_response_and_of_predictors_do_not_matter(prior):
    data = document_data(1)
    usual = posterior(lmer("y ~ x + (1 | p)", data), prior).quantile()
    scaled = data.assign(y=1e6 * data["y"], x=data["x"] / 1e3)
    found = posterior(lmer("y ~ x + (1 | p)", scaled), prior).quantile()
    np.testing.assert_allclose(found, usual.mul([1e6, 1e6, 1e6, 1e9], axis=0), rtol=1e-6)


def test_units_of_a_random_slope_do_not_matter():
    data = frame("sleepstudy")
    usual = posterior(lmer("Reaction ~ Days + (0 + Days | Subject)", data), "half-cauchy")
    hours = lmer("Reaction ~ Days + (0 + Days | Subject)", data.assign(Days=24.0 * data["Days"]))
    found = posterior(hours, "half-cauchy").quantile()
    np.testing.assert_allclose(
        found, usual.quantile().mul([1 / 24, 1, 1, 1 / 24], axis=0), rtol=1e-6
    )


def test_coding_of_fixed_factors_does_not_matter():
    data = frame("cake")
    formula = "angle ~ recipe + (1 | replicate)"
    usual = posterior(lmer(formula, data))
    sums = posterior(lmer(formula, data, contrasts={"recipe": "contr.sum"}))
    rows = [".sig01", ".sigma"]
    np.testing.assert_allclose(sums.quantile().loc[rows], usual.quantile().loc[rows], rtol=1e-7)
    mean = usual.mean["(Intercept)"] + usual.mean[["recipeB", "recipeC"]].sum() / 3
    np.testing.assert_allclose(sums.mean["(Intercept)"], mean, rtol=1e-9)


def test_ml_fits_have_the_same_posterior():
    data = frame("Dyestuff")
    by_ml = posterior(lmer("Yield ~ 1 + (1 | Batch)", data, REML=False)).quantile()
    by_reml = posterior(lmer("Yield ~ 1 + (1 | Batch)", data)).quantile()
    np.testing.assert_allclose(by_ml, by_reml, rtol=1e-7)


def test_every_structure_gives_the_same(monkeypatch):
    data = frame("Penicillin").iloc[:100]
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    x = np.array([[-0.5, 1.0], [0.3, 1.5], [-4.0, 0.2]])
    kept = []
    for limits in ({}, {"STRATA_EFFECTS": 0}, {"STRATA_EFFECTS": 0, "DENSE_EFFECTS": 0}):
        for name, value in limits.items():
            monkeypatch.setattr(rparity.lmm.solver.model, name, value)
        density = RestrictedPosterior(lmer(formula, data), "jeffreys")
        d = [np.full((len(t.levels), 1), 0.1) for t in density.model.matrices.random]
        kept.append((density.evaluate(x), *density.mean_response(x, np.ones(1), d)))
    for other in kept[1:]:
        for mine, theirs in zip(kept[0], other, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8)


# -- the mean of these levels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "data", "new"),
    [
        ("y ~ x + (1 | p)", document_data(1), {"x": [0.0, 3.0, 1.0], "p": ["1", "4", "1"]}),
        (SLOPES, frame("sleepstudy"), {"Days": [0.0, 9.0], "Subject": ["308", "372"]}),
    ],
    ids=["document", "sleepstudy"],
)
def test_the_mean_response_given_theta_is_that_of_the_definition(formula, data, new):
    """Mean and variance of c'β + d'b from n × n matrices, b ~ N(0, σ²ΛΛ')."""
    fit = lmer(formula, data)
    density = RestrictedPosterior(fit, "uniform")
    points = density.origin + np.outer([0.0, 0.4, -0.7], np.ones(len(density.origin)))
    matrices, (term,) = fit.model.matrices, fit.model.matrices.random
    newdata = pd.DataFrame(new)
    c = matrices.fixed(newdata).mean(axis=0)
    ((codes, Z),) = matrices.groups(newdata)
    d = np.zeros((len(term.levels), term.k))
    np.add.at(d, codes, Z / len(newdata))
    centre, scale = density.mean_response(points, c, [d])
    full = np.zeros((fit.nobs, len(term.levels), term.k))
    full[np.arange(fit.nobs), term.codes] = term.Z
    X, y, whole = matrices.X, fit.response, full.reshape(fit.nobs, -1)
    for at, theta in enumerate(density.coordinates.theta(points)):
        Lam = fit.model.template.Lambda(theta)
        G = np.kron(np.eye(len(term.levels)), Lam @ Lam.T)
        V_inv = np.linalg.inv(np.eye(fit.nobs) + whole @ G @ whole.T)
        A_inv = np.linalg.inv(X.T @ V_inv @ X)
        beta = A_inv @ X.T @ V_inv @ y
        w = whole @ G @ d.ravel()
        left = c - X.T @ V_inv @ w
        variance = d.ravel() @ G @ d.ravel() - w @ V_inv @ w + left @ A_inv @ left
        s = (y - X @ beta) @ V_inv @ (y - X @ beta)
        np.testing.assert_allclose(centre[at], c @ beta + w @ V_inv @ (y - X @ beta), rtol=1e-8)
        np.testing.assert_allclose(scale[at], np.sqrt(variance * s / density.nu), rtol=1e-6)


def test_one_posterior_has_the_standard_errors_of_both_models():
    """The mean of the population, as in lmer, and that of these ten lines, as in lm."""
    data = document_data(1)
    found = posterior(lmer("y ~ x + (1 | p)", data))
    lines = pd.DataFrame({"x": 0.0, "p": data["p"].unique()})
    these = found.mean_response(lines)
    fixed = lm("y ~ x + p", data, contrasts={"p": "contr.sum"})
    assert abs(these.sd / fixed.bse["(Intercept)"] - 1.0) < 0.02
    np.testing.assert_allclose(these.interval(), fixed.conf_int().loc["(Intercept)"], atol=0.003)
    assert found.sd["(Intercept)"] > 40.0 * these.sd
    ten = data.assign(x=0.0)  # ten rows a line: the same mean
    np.testing.assert_allclose(found.mean_response(ten).interval(), these.interval(), rtol=1e-9)


# -- tails -----------------------------------------------------------------------------------------


def lines(levels: int) -> pd.DataFrame:
    data = document_data(1)
    return data[data["p"].cat.codes < levels].assign(
        p=lambda d: d["p"].cat.remove_unused_categories()
    )


@pytest.mark.parametrize(
    ("levels", "mean", "sd"), [(3, False, False), (4, True, False), (5, True, True)]
)
def test_moments_exist_from_four_and_five_levels_on(levels, mean, sd):
    found = posterior(lmer("y ~ x + (1 | p)", lines(levels)))
    for name in (".sig01", "(Intercept)"):
        assert np.isfinite(found.mean[name]) == mean
        assert np.isfinite(found.sd[name]) == sd
    assert np.isfinite(found.sd[[".sigma", "x"]]).all()
    assert np.isfinite(found.conf_int()).all(axis=None)


def test_too_few_levels_are_refused_with_the_reason():
    fit = lmer("y ~ x + (1 | p)", lines(2))
    with pytest.raises(
        UsageError, match=r"too few levels bound the standard deviation of p\.\(Int"
    ):
        posterior(fit)
    for proper in ("half-cauchy", "jeffreys"):
        assert np.isfinite(posterior(fit, proper).conf_int()).all(axis=None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prior": "flat"}, "prior must be one of uniform, half-cauchy, jeffreys"),
        ({"method": "laplace"}, "method must be 'quadrature' or 'mcmc'"),
        ({"method": "mcmc"}, "needs rng=, a seed"),
        ({"method": "mcmc", "rng": 1, "prior": "jeffreys"}, "not 'jeffreys'"),
    ],
)
def test_invalid_requests_are_refused(options, says):
    with pytest.raises(UsageError, match=says):
        posterior(fitted(find("Dyestuff")), **options)


def test_what_a_posterior_cannot_say_is_refused():
    found = computed(find("document"))
    with pytest.raises(UsageError, match="There is no parameter 'z'"):
        found.marginal("z")
    with pytest.raises(UsageError, match="between 0 and 1"):
        found.quantile([0.5, 1.0])
    with pytest.raises(UsageError, match="do not have: their mean is that of the population"):
        found.mean_response(pd.DataFrame({"x": [0.0], "p": ["99"]}))


def test_too_many_variance_parameters_are_refused(monkeypatch):
    monkeypatch.setattr(lattice, "MOST", 500)
    with pytest.raises(UsageError, match="needs more than 500 points: use method='mcmc'"):
        posterior(fitted(find("Penicillin")))


# -- planted bugs ----------------------------------------------------------------------------------


def forgotten_jacobian(monkeypatch):
    """The uniform density of s is taken as one of log s."""
    monkeypatch.setattr(VarianceCoordinates, "log_uniform", lambda _self, x: np.zeros(len(x)))


def by_ml(monkeypatch):
    """log|A| is left out."""

    def wrong(*args, **_options):
        return evaluate(*args, reml=False)

    monkeypatch.setattr(quadrature, "evaluate", wrong)


def wrong_power(monkeypatch):
    """The standard deviations' uniform density is taken as one of their ratios to σ."""
    right = RestrictedPosterior.__init__

    def wrong(self, fit, prior):
        right(self, fit, prior)
        self.nu = float(fit.model.n - fit.model.p)

    monkeypatch.setattr(RestrictedPosterior, "__init__", wrong)


def wrong_degrees_of_freedom(monkeypatch):
    """σ is taken as twice as certain."""
    right = FourierMarginal.__init__

    def wrong(self, *args, nu=None):
        right(self, *args, nu=None if nu is None else 4.0 * nu)

    monkeypatch.setattr(FourierMarginal, "__init__", wrong)


@pytest.mark.parametrize(
    "mistake", [forgotten_jacobian, by_ml, wrong_power, wrong_degrees_of_freedom]
)
def test_a_planted_mistake_is_caught(mistake, monkeypatch):
    model = find("document")
    check(posterior(fitted(model), model["prior"]), model)
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check(posterior(fitted(model), model["prior"]), model)


# -- MCMC ------------------------------------------------------------------------------------------

SAMPLED = [m for m in MODELS if m["prior"] == "uniform"]


@pytest.mark.parametrize("prior", ["uniform", "half-cauchy"])
@pytest.mark.parametrize(
    "model", [find("document"), find("sleepstudy", formula=SLOPES), find("Pastes")], ids=label
)
def test_the_joint_density_is_that_of_the_definition(model, prior):
    fit = fitted(model)
    joint = JointPosterior(fit, prior)
    points = joint.start(4, np.random.default_rng(1))
    found = joint(points)
    matrices, template = fit.model.matrices, fit.model.template
    wanted = []
    for x in points:
        beta, variances, sigma = x[: joint.p], x[joint.p : -1], x[-1]
        V = sigma**2 * np.eye(fit.nobs)
        first, log = 0, -np.log(sigma)
        for term in matrices.random:
            sd, rest = variances[first : first + term.k], term.k * (term.k - 1) // 2
            R = np.eye(term.k)
            if rest:
                R[0, 1] = R[1, 0] = variances[first + term.k]
            first += term.k + rest
            same = term.codes[:, None] == term.codes
            V += same * (term.Z @ (np.outer(sd, sd) * R) @ term.Z.T)
            if prior == "half-cauchy":
                rms = np.sqrt((term.Z**2).mean(axis=0))
                log -= np.log(sigma * (1 + (sd * rms / sigma) ** 2)).sum()
        assert first == template.m
        wanted.append(log + multivariate_normal.logpdf(fit.response, matrices.X @ beta, V))
    np.testing.assert_allclose(np.diff(found), np.diff(wanted), rtol=1e-7, atol=1e-6)


def test_impossible_points_have_no_density():
    joint = JointPosterior(fitted(find("sleepstudy", formula=SLOPES)), "uniform")
    point = joint.start(1, np.random.default_rng(1))
    for place, value in ((-1, -1.0), (2, -0.1), (4, 1.01)):
        wrong = point.copy()
        wrong[0, place] = value
        assert joint(wrong)[0] == -np.inf
    assert np.isfinite(joint(point)[0])


# A hundred quantiles are compared: one of them is further off than this in one run of a thousand.
MOST = 4.4


def z_scores(quadrature_found: Posterior, drawn: Posterior) -> np.ndarray:
    """Differences of quantiles, in Monte Carlo standard errors of their probabilities."""
    q = [0.025, 0.25, 0.5, 0.75, 0.975]
    scores = []
    for name in drawn.names:
        draws = drawn.marginal(name)
        at = draws.quantile(q)
        error = np.array([draws.error(x) for x in at])
        scores.append((quadrature_found.marginal(name).cdf(at) - q) / error)
    return np.array(scores)


@MCMC
@pytest.mark.parametrize("model", SAMPLED, ids=label)
def test_quantiles_of_mcmc_are_those_of_the_quadrature(model):
    drawn = posterior(fitted(model), method="mcmc", draws=150_000, rng=1)
    assert drawn.error < 0.004
    assert np.abs(z_scores(computed(model), drawn)).max() < MOST


@MCMC
def test_mcmc_catches_a_mistake_of_the_quadrature(monkeypatch):
    model = find("Dyestuff")
    drawn = posterior(fitted(model), method="mcmc", draws=40_000, rng=1)
    assert np.abs(z_scores(computed(model), drawn)).max() < MOST
    by_ml(monkeypatch)
    assert np.abs(z_scores(posterior(fitted(model)), drawn)).max() > 6.0


def test_mcmc_is_the_same_again_and_has_all_tables():
    fit = fitted(find("Dyestuff"))
    drawn = [posterior(fit, method="mcmc", draws=5_000, rng=7) for _ in range(2)]
    pd.testing.assert_frame_equal(drawn[0].summary(), drawn[1].summary(), rtol=0, atol=0)
    assert list(drawn[0].conf_int().index) == list(computed(find("Dyestuff")).names)
    assert drawn[0].error < 0.05
    one = drawn[0].marginal("(Intercept)")
    assert abs(float(one.cdf(one.quantile(0.3))) - 0.3) < 1e-3
    assert one.pdf(one.mean) > one.pdf(one.mean + 3 * one.sd)
    with pytest.raises(UsageError, match="needs method='quadrature'"):
        drawn[0].mean_response(pd.DataFrame({"Batch": ["A"]}))


def test_missing_emcee_is_an_error_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(ensemble, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=re.escape(install("bayes"))):
        sample(JointPosterior(fitted(find("Dyestuff")), "uniform"), 100, 1)
    assert importlib.util.find_spec("emcee")


# -- marginals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".sig01", ".sigma", "(Intercept)"])
def test_density_quantiles_and_moments_are_of_one_distribution(name):
    one = computed(find("Dyestuff")).marginal(name)
    q = np.array([0.01, 0.2, 0.5, 0.9])
    np.testing.assert_allclose(one.cdf(one.quantile(q)), q, rtol=1e-9)
    low, high = one.quantile([1e-5, 1 - 1e-5])
    x = np.linspace(low, high, 4_001)
    assert abs(np.trapezoid(one.pdf(x), x) - (1 - 2e-5)) < 1e-5
    grid, density = one.density(50)
    assert len(grid) == len(density) == 50
    np.testing.assert_allclose(one.interval(0.001), (grid[0], grid[-1]))
    assert one.interval(0.5) == pytest.approx(tuple(one.quantile([0.25, 0.75])))
