"""`lmer` reaches the exact optimum of the document's model, by 50-digit arithmetic."""

from __future__ import annotations

from collections.abc import Iterator

import mpmath
import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf

from fifty_digits import DIGITS, Optimum, RandomIntercept
from rparity import document_data, lmer, paths
from rparity.cases.document import DOCUMENT
from rparity.compare import MAX_DIGITS, digits
from rparity.lmm.fit import LmerResults

AT_LEAST = 12.0


@pytest.fixture(scope="module", autouse=True)
def precision() -> Iterator[None]:
    with mp.workdps(DIGITS):
        yield


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return document_data(1)


@pytest.fixture(scope="module", params=[True, False], ids=["REML", "ML"])
def both(
    request: pytest.FixtureRequest, data: pd.DataFrame, precision: None
) -> tuple[LmerResults, RandomIntercept, Optimum]:
    """Python's fit, the problem in 50 digits and its optimum."""
    problem = RandomIntercept(data, reml=request.param)
    return lmer("y ~ x + (1 | p)", data, REML=request.param), problem, problem.optimum(60.0)


def agreement(value: float, exact: mpf) -> float:
    """Correct digits of a value."""
    error = abs(mpf(float(value)) - exact) / abs(exact)
    return MAX_DIGITS if error == 0 else min(MAX_DIGITS, float(-mpmath.log10(error)))


def test_the_reference_optimum_is_a_minimum(both) -> None:
    _, problem, best = both
    step = mpf(10) ** -20
    below, above = (problem.criterion(best.theta + sign * step) for sign in (-1, 1))
    assert min(below, above) > best.criterion
    assert abs(mpmath.diff(problem.criterion, best.theta)) < mpf(10) ** -30


@pytest.mark.parametrize("both", [True], indirect=True, ids=["REML"])
def test_the_reference_optimum_has_the_known_constants(both) -> None:
    _, _, best = both
    for found, known in [
        (best.theta, "67.5983789118"),
        (best.group_variance, "36.8754088802"),
        (best.sigma2, "0.00806982807244"),
        (best.std_errors[0], "1.92111004101"),
        (best.std_errors[1], "0.00993300866894"),
        (best.criterion, "-88.6338058021"),
    ]:
        assert mpmath.nstr(found, len(known.lstrip("-0.").replace(".", ""))) == known


def test_theta(both) -> None:
    fit, _, best = both
    assert list(fit.theta.index) == ["p.(Intercept)"]
    assert agreement(fit.theta.iloc[0], best.theta) >= AT_LEAST


def test_variances(both) -> None:
    fit, _, best = both
    vcov, sdcor = fit.varcorr["vcov"], fit.varcorr["sdcor"]
    for row, exact in (("p.(Intercept)", best.group_variance), ("Residual", best.sigma2)):
        assert agreement(vcov[row], exact) >= AT_LEAST
        assert agreement(sdcor[row], mpmath.sqrt(exact)) >= AT_LEAST
    assert agreement(fit.sigma, mpmath.sqrt(best.sigma2)) >= AT_LEAST


def test_fixed_effects_and_their_covariance(both) -> None:
    fit, _, best = both
    for i, term in enumerate(["(Intercept)", "x"]):
        assert agreement(fit.params[term], best.beta[i]) >= AT_LEAST
        assert agreement(fit.bse[term], best.std_errors[i]) >= AT_LEAST
        assert agreement(fit.tvalues[term], best.beta[i] / best.std_errors[i]) >= AT_LEAST
        for j, other in enumerate(["(Intercept)", "x"]):
            assert agreement(fit.cov_params().loc[term, other], best.vcov[i, j]) >= AT_LEAST


def test_criterion_log_likelihood_aic_and_bic(both) -> None:
    fit, problem, best = both
    assert agreement(fit.criterion, best.criterion) >= AT_LEAST
    assert agreement(fit.llf, -best.criterion / 2) >= AT_LEAST
    assert agreement(fit.aic, best.criterion + 8) >= AT_LEAST
    assert agreement(fit.bic, best.criterion + 4 * mpmath.log(problem.n)) >= AT_LEAST


def test_criterion_away_from_the_optimum(both) -> None:
    fit, problem, _ = both
    for theta in (0.0, 1e-3, 0.5, 1.0, 10.0, 67.0, 1000.0):
        assert agreement(fit.deviance_at([theta]), problem.criterion(mpf(theta))) >= AT_LEAST


def test_conditional_modes_and_their_standard_deviations(both) -> None:
    fit, _, best = both
    table = fit.random_effects
    assert list(table.index) == [f"p.{level}.(Intercept)" for level in range(1, 11)]
    for value, exact in zip(table["condval"], best.modes, strict=True):
        assert agreement(value, exact) >= AT_LEAST
    condsd = mpmath.sqrt(best.sigma2 * best.theta**2 / (1 + 10 * best.theta**2))
    for value in table["condsd"]:
        assert agreement(value, condsd) >= AT_LEAST


def test_r_stops_before_the_optimum(both) -> None:
    """This is why R's recording agrees with Python to seven digits only."""
    fit, _, best = both
    part = "lmer" if fit.reml else "lmer_ml"
    tables = DOCUMENT.recording(paths.fixtures()).tables
    recorded = tables[f"{part}.theta"]["value"].iloc[0]
    off = agreement(recorded, best.theta)
    assert 7.0 <= off < AT_LEAST
    rise = fit.deviance_at([recorded]) - fit.criterion
    assert -1e-11 < rise < 1e-9  # not lower, but for rounding
    ours = agreement(fit.theta.iloc[0], best.theta)
    assert ours > off + 4.0


def test_the_joint_hessian_gives_other_standard_errors(both) -> None:
    """statsmodels' MixedLM uses the joint Hessian; lme4 uses the block of β at the estimated θ."""
    fit, problem, best = both
    joint = np.array(problem.joint_std_errors(best))
    agreed = digits(joint, fit.bse)
    assert agreed[0] < 7.0
    assert agreed[1] < 4.0
    assert (joint > fit.bse).all()  # they include the uncertainty of θ
