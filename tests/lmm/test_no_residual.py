"""Responses that the fixed and random effects explain without a residual, and nearly so."""

import mpmath as mp
import numpy as np
import pandas as pd
import pytest

import rparity.lmm.solver.model
from few import mostly_slow
from rparity.errors import DataError
from rparity.lmm.mixed import lmer
from rparity.rrandom import RRandom


@pytest.fixture
def data() -> pd.DataFrame:
    rng = RRandom(3)
    g, h = np.repeat(np.arange(8), 5), rng.sample(5, 40, replace=True) - 1
    x, a, b, c = rng.rnorm(40), rng.rnorm(8), rng.rnorm(8), rng.rnorm(5)
    return pd.DataFrame(
        {
            "x": x,
            "g": g,
            "h": h,
            "far": x + 1000,
            "noise": rng.rnorm(40),
            "by_g": a[g],
            "by_h": 3 * x + c[h],
            "by_both": 3 * x + a[g] + c[h],
            "lines": 1000 + a[g] + b[g] * x,
            "lines_and_h": a[g] + b[g] * x + c[h],
        }
    )


MODELS = [
    "by_g ~ 1 + (1 | g)",
    "by_g ~ x + (x | g)",
    "by_g ~ x + (1 | g) + (1 | h)",
    "by_h ~ x + (1 | g) + (1 | h)",
    "by_h ~ x + (1 | g:h)",
    "by_both ~ x + (1 | g) + (1 | h)",
    "lines ~ x + (x | g)",
    "lines ~ far + (far || g)",
    "lines_and_h ~ x + (x | g) + (1 | h)",
]


@pytest.mark.parametrize("large", [False, True], ids=["small", "Schur complement"])
@pytest.mark.parametrize(
    "REML",
    mostly_slow([True, False], lambda reml: reml, "the same by ML"),
    ids=["REML", "ML"],
)
@pytest.mark.parametrize("formula", MODELS)
def test_a_response_without_a_residual_is_refused(data, formula, REML, large, monkeypatch):
    if large:
        monkeypatch.setattr(rparity.lmm.solver.model, "STRATA_EFFECTS", 0)
        monkeypatch.setattr(rparity.lmm.solver.model, "DENSE_EFFECTS", 0)
    with pytest.raises(DataError, match=r"exact linear function of the fixed and random effects"):
        lmer(formula, data, REML=REML)


def test_the_groups_of_the_issue_are_refused():
    """R 4.2.2 gives a residual standard deviation of 2e-8 and a criterion of -313.9, and warns."""
    y = np.repeat([0.3, -1.2, 0.8, 1.5, -0.4], 3)
    with pytest.raises(DataError, match="keep one row a group and use lm"):
        lmer("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": np.repeat(np.arange(5), 3)}))


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7])
def test_a_small_residual_is_estimated(data, size):
    """In a balanced design the estimates are mean squares, here of 50 digits."""
    y = data["by_g"] + size * data["noise"]
    fit = lmer("y ~ 1 + (1 | g)", data.assign(y=y))
    groups = [[mp.mpf(v) for v in y[data["g"] == level]] for level in range(8)]
    with mp.workdps(50):
        means = [mp.fsum(group) / 5 for group in groups]
        middle = mp.fsum(means) / 8
        within = (
            mp.fsum((v - m) ** 2 for group, m in zip(groups, means, strict=True) for v in group)
            / 32
        )
        between = 5 * mp.fsum((m - middle) ** 2 for m in means) / 7
        expected = [middle, mp.sqrt(within), mp.sqrt((between / within - 1) / 5)]
        expected.append(mp.sqrt(between / 40))
    found = [fit.beta[0], fit.sigma, fit.theta_hat[0], fit.bse.iloc[0]]
    assert fit.converged
    assert found == pytest.approx([float(value) for value in expected], rel=1e-9)


@pytest.mark.parametrize("size", [1e-4, 1e-7])
def test_a_covariate_within_groups_costs_no_digits_of_a_small_residual(data, size):
    """The slope is then that of deviations from group means, and so is the residual."""
    y = 3 * data["x"] + 1e3 * data["by_g"] + size * data["noise"]
    fit = lmer("y ~ x + (1 | g)", data.assign(y=y))
    within = data.assign(y=y)[["x", "y"]] - data.assign(y=y).groupby("g")[["x", "y"]].transform(
        "mean"
    )
    slope = (within["x"] @ within["y"]) / (within["x"] @ within["x"])
    rest = within["y"] - slope * within["x"]
    assert fit.converged
    assert fit.params["x"] == pytest.approx(slope, rel=1e-9)
    assert fit.sigma == pytest.approx(np.sqrt(rest @ rest / 31), rel=1e-5)


def test_a_model_that_explains_every_response_is_fitted():
    """With as many independent columns as rows, such a sum says nothing about the response."""
    rng = RRandom(1)
    data = pd.DataFrame({"x": rng.rnorm(18), "z": rng.rnorm(18), "y": rng.rnorm(18)})
    data = data.assign(g=np.repeat(np.arange(6), 3), h=np.tile(np.arange(3), 6))
    fit = lmer("y ~ x * z + (x | g) + (z | h)", data)
    assert fit.model.p + fit.model.q > 18
    assert fit.converged
    assert fit.sigma > 0.1
