"""The lowest of several minima is found: small designs in which the nearest one is not the lowest.

The points of comparison are from random starts. Searches from fewer starts ended above them, by
0.05 to 456.
"""

import numpy as np
import pandas as pd
import pytest

from rparity import lmer
from rparity.fuzz.design import Covariate, Design, FixedFactor, Grouping
from rparity.fuzz.problem import Problem
from rparity.lmm.solver import optimum
from rparity.lmm.solver.newton import minimise
from rparity.lmm.solver.starts import minima, minima_of_grid, starts, vertex
from rparity.lmm.solver.structure import Smooth

DESIGNS = [
    (
        Design(
            sizes=(9, 2, 9),
            groupings=(Grouping(1e4, "correlated", 0.5, "in turn", 4),),
            covariates=(Covariate(3, 1000.0), Covariate(-3, 1000.0)),
            factors=(FixedFactor(5, "contr.sum"), FixedFactor(2, "contr.poly")),
            interaction=True,
            missing=5,
            scale=3,
            seed=3191887212,
        ),
        [13387.0, -0.0133536, 0.0],
    ),
    (
        Design(
            sizes=(10, 6, 1, 6, 3, 4, 10, 1, 8, 1, 3, 5),
            groupings=(
                Grouping(10.0, "correlated", 0.5, "at random", 8),
                Grouping(10.0, "uncorrelated", 0.0, "in turn", 8),
            ),
            covariates=(Covariate(0, 0.0, 0, True),),
            factors=(FixedFactor(2, "contr.helmert"), FixedFactor(4)),
            shift=10000.0,
            reml=False,
            seed=1512376996,
        ),
        [3.19094, 4.16606, 0.0, 3.68287, 2.13329],
    ),
    (
        Design(
            sizes=(4, 3, 7, 10, 5, 1, 3, 1, 4, 4, 3, 3),
            groupings=(
                Grouping(10.0, "correlated", 0.5, "in turn", 4),
                Grouping(100.0, "uncorrelated", 0.5, "in turn", 2),
                Grouping(1000.0, "uncorrelated", -0.9, "in turn", 12),
            ),
            covariates=(Covariate(0, 10.0, 0, True), Covariate(0, 0.0)),
            factors=(FixedFactor(2, "contr.poly"),),
            weights=1.0,
            shift=10000.0,
            seed=362434027,
        ),
        [40.8497, 413.449, 13.0608, -1.64717, 0.0, 7.96494, 93.6131],
    ),
    (
        Design(
            sizes=(4, 1, 1, 6, 5),
            groupings=(
                Grouping(0.0, "correlated", 0.5, "at random", 9),
                Grouping(1000.0, "correlated", -0.9, "at random", 11),
            ),
            factors=(FixedFactor(4, "contr.poly"), FixedFactor(3, "contr.helmert")),
            weights=3.0,
            shift=1.0,
            reml=False,
            seed=2706780102,
        ),
        [91.223, 4.63827],
    ),
    (
        Design(
            sizes=(4, 8, 1, 6, 8, 5, 9, 9, 9, 8, 8, 5),
            groupings=(
                Grouping(1.0, "correlated", -0.9, "in turn", 2),
                Grouping(1.0, "uncorrelated", 0.0, "in turn", 11),
            ),
            covariates=(Covariate(0, 10.0),),
            factors=(FixedFactor(5, "contr.poly"),),
            weights=3.0,
            shift=10000.0,
            seed=3805641876,
        ),
        [7.3788, -0.648439, 0.0, 15.6305, 1.50653],
    ),
    (
        Design(
            sizes=(7, 1, 3, 1, 9, 9, 9),
            groupings=(
                Grouping(100.0, "none", 1.0, "at random", 10),
                Grouping(1e6, "none", -0.9, "at random", 3),
                Grouping(100.0, "uncorrelated", 0.0, "in turn", 6),
            ),
            covariates=(Covariate(0, 1.0),),
            weights=1.0,
            missing=25,
            scale=3,
            reml=False,
            seed=618435281,
        ),
        [4.50158, 4.70051, 6.21932, 969.786],
    ),
    (  # the covariates of the random slopes are far from zero here and in the next design
        Design(
            sizes=(3,) * 25,
            groupings=(
                Grouping(0.01, "none", -0.9, "at random", 10),
                Grouping(1e5, "uncorrelated", 0.0, "in turn", 11),
            ),
            covariates=(Covariate(0, 1.0), Covariate(0, 1000.0, 5), Covariate(-1, 0.0, 0, True)),
            factors=(FixedFactor(5, "contr.sum"), FixedFactor(3, "contr.sum")),
            weights=0.0,
            reml=False,
            seed=1913036781,
        ),
        [0.997981, 517597.374033, 517.636512],
    ),
    (
        Design(
            sizes=(10, 9, 3, 7, 7, 4, 8, 2, 5, 5, 4, 2),
            groupings=(
                Grouping(100.0, "correlated", -0.9, "nested", 12),
                Grouping(1e6, "uncorrelated", 1.0, "in turn", 8),
            ),
            covariates=(Covariate(), Covariate(0, 1000.0, 4), Covariate()),
            shift=10000.0,
            reml=False,
            seed=1253638748,
        ),
        [10.912515, -10.17523, 4.426176, 950617.838387, 950.461083],
    ),
    (  # the minima differ in the sign of a correlation of ±1 here and in the next design
        Design(
            sizes=(5,) * 6,
            groupings=(Grouping(1e4, "correlated", 1.0),),
            covariates=(Covariate(between=True),),
            factors=(FixedFactor(),),
            weights=1.0,
            seed=1538686910,
        ),
        [236.9496, -220.0565, 0.0],
    ),
    (
        Design(
            sizes=(1, 1, 8, 12, 4),
            groupings=(Grouping(100.0, "correlated", 1.0),),
            covariates=(Covariate(0, 1.0, 0, True),),
            factors=(FixedFactor(),),
            seed=345906051,
        ),
        [41.08546, -27.78804, 0.0],
    ),
]


@pytest.mark.filterwarnings("ignore::rparity.lmm.matrices.model_matrices.RankDeficientWarning")
@pytest.mark.parametrize(("design", "theta"), DESIGNS, ids=lambda v: getattr(v, "formula", ""))
def test_the_lowest_minimum_is_found(design, theta):
    fit = Problem(design.part(), design.data()).mine
    assert fit.converged
    assert fit.criterion <= fit.deviance_at(theta) + 1e-9
    assert fit.criterion > fit.deviance_at(theta) - 0.01  # θ is near the minimum


def test_several_minima_call_for_more_starts(monkeypatch):
    """There are seven minima, all with a correlation of ±1."""
    x = np.repeat([0.0, 0.21, -0.1, 0.08, -1.27, -0.82, -0.57], [2, 2, 3, 2, 4, 2, 7])
    g = np.repeat(list("abcdefg"), [2, 2, 3, 2, 4, 2, 7])
    y = [-54.87, -57.13, -46.72, -47.8, 78.58, 77.84, 78.96, 55.15, 58.26, -185.12, -184.86]
    y += [-185.0, -185.98, 3.06, 3.99, -141.94, -139.21, -142.05, -139.89, -139.46, -141.07]
    data = pd.DataFrame({"y": [*y, -138.62], "x": x, "g": g, "f": list("abbbababaaaabbababbaba")})
    formula = "y ~ x + f + (x | g)"
    lowest = lmer(formula, data, REML=False, start=[237.6, 187.0, 0.1])
    usual = lmer(formula, data, REML=False)
    np.testing.assert_allclose(usual.criterion, lowest.criterion, rtol=1e-12)
    # The higher ones are found by first searches from few starts; then more searches follow.
    few = np.array([[104.4, -6.5, 0.1], [1.8, -707.0, 0.1]])
    monkeypatch.setattr(optimum, "starts", lambda *_, **__: few)
    again = lmer(formula, data, REML=False)
    np.testing.assert_allclose(again.criterion, lowest.criterion, rtol=1e-12)
    monkeypatch.setattr(optimum, "more_starts", lambda _: None)
    assert lmer(formula, data, REML=False).criterion > lowest.criterion + 1.0


def test_searches_that_lead_to_the_same_point_are_one():
    """Five starts of a function with minima at −1 and 2: one search a minimum is completed."""
    calls = []

    def objective(x, index):
        calls.append(len(index))
        a, b = x[:, 0] + 1.0, x[:, 0] - 2.0
        value = a**2 * b**2 + b
        gradient = 2.0 * a * b * (a + b) + 1.0
        hessian = 2.0 * (a + b) ** 2 + 4.0 * a * b
        return Smooth(value, gradient[:, None], hessian[:, None, None])

    start = np.array([[-1.4], [-1.2], [-0.8], [1.8], [2.3]])
    apart = minimise(objective, start)
    assert apart.converged.all()
    together = minimise(objective, start, lambda x: x)
    assert together.converged.sum() == 2
    ends = np.sort(together.x[together.converged, 0])
    np.testing.assert_allclose(ends, apart.x[[0, 4], 0], rtol=1e-12)


def test_each_minimum_of_a_scan_is_found():
    value = np.array([3.0, 1.0, np.nan, 2.0, 0.0, 0.0, 5.0])
    np.testing.assert_array_equal(minima(value), [1, 4])
    np.testing.assert_array_equal(minima(np.array([0.0, 1.0, 2.0, 1.0])), [0, 3])
    np.testing.assert_array_equal(minima(np.full(3, np.nan)), [0])  # nothing is known: any place


def test_minima_of_a_grid_are_found_round_the_circle():
    value = np.full((4, 5), 3.0)
    value[0, 2], value[3, 2], value[2, 0], value[1, 3] = 1.0, 0.0, -1.0, np.nan
    np.testing.assert_array_equal(minima_of_grid(value, 4), [[3], [2]])  # (0, 2) is beside it
    value[1, 3] = 2.0
    value[0, 2] = 3.0
    np.testing.assert_array_equal(minima_of_grid(value, 4), [[3, 1], [2, 3]])
    np.testing.assert_array_equal(minima_of_grid(value, 1), [[3], [2]])


def test_the_vertex_of_a_parabola_is_exact():
    x = np.arange(5.0)
    np.testing.assert_allclose(vertex((x - 2.25) ** 2, np.array([2])), [0.25], rtol=1e-14)
    np.testing.assert_array_equal(vertex(x, np.array([0])), [0.0])
    np.testing.assert_array_equal(vertex(np.full(5, np.nan), np.array([2])), [0.0])


@pytest.mark.filterwarnings("ignore::rparity.lmm.solver.optimum.ConvergenceWarning")
def test_a_flat_criterion_has_no_minima_of_rounding():
    """With the groups among the fixed effects, no variance of theirs changes the criterion."""
    group = np.repeat(list("abcdef"), 4)
    data = pd.DataFrame({"g": group, "y": 1e3 + np.sin(np.arange(24.0))})
    fit = lmer("y ~ g + (1 | g)", data)
    deviations = fit.model.deviations(fit.response, fit.params.to_numpy())
    moments = fit.model.structure.moments(deviations[:, None])
    assert len(starts(fit.model, deviations, moments, reml=True)) == 1
    assert not fit.converged
