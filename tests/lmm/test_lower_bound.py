"""`fit.lower_bound()`: a proof that no minimum is lower, by branch and bound.

It is compared with two minima of one criterion that R found, and with the criterion at random
points, which no bound may exceed.
"""

import numpy as np
import pytest

from lmm_recorded import frame
from mixed_recorded import MIXED, mixed_data
from rparity import lmer
from rparity.errors import UsageError
from rparity.fuzz.design import Covariate, Design, Grouping
from rparity.fuzz.problem import Problem
from rparity.lmm.solver import lower_bound as module
from rparity.lmm.solver.deviance import evaluate

TWO = MIXED["two_minima"]
LOWEST = min(each["criterion"] for each in TWO["answers"])


@pytest.mark.parametrize("answer", TWO["answers"], ids=lambda a: str(a["start"]))
def test_from_either_minimum_that_r_found_the_lower_one_is_proven(answer):
    fit = lmer("y ~ x + (1 | g)", frame("frame", TWO), REML=False, start=[answer["start"]])
    found = fit.lower_bound()
    assert LOWEST - 1e-6 - 1e-9 <= found.bound <= LOWEST
    assert LOWEST - 1e-9 <= found.lowest <= LOWEST + 1e-6
    assert found.boxes < 200
    again = lmer("y ~ x + (1 | g)", frame("frame", TWO), REML=False, start=found.theta)
    np.testing.assert_allclose(again.criterion, LOWEST, rtol=1e-11)


DESIGNS = [
    Design(sizes=(4, 3, 7, 2, 5), reml=False, seed=1),
    Design(sizes=(4, 1, 1, 6, 5), groupings=(Grouping(1e4),) * 2, seed=2),
    Design(
        sizes=(5, 4, 6, 2, 5),
        groupings=(Grouping(0.5, place="in turn"), Grouping(0.1, place="in turn", levels=5)),
        covariates=(Covariate(between=True),),
        seed=3,
    ),
    Design(
        sizes=(5,) * 6,
        groupings=(Grouping(0.5, slope="uncorrelated"), Grouping(2.0, place="in turn", levels=4)),
        covariates=(Covariate(shift=10.0),),
        reml=False,
        seed=4,
    ),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.formula)
def test_no_point_of_a_box_is_below_its_bound(design):
    fit = Problem(design.part(), design.data()).mine
    model, f = fit.model, fit.model.divisor(reml=fit.reml)
    m, rng = model.template.m, np.random.default_rng(design.seed)

    def at(v, derivatives="none"):
        moments = fit.moments.repeated(len(v))
        return evaluate(
            model.structure, moments, np.sqrt(v), reml=fit.reml, derivatives=derivatives
        )

    lo = 10.0 ** rng.uniform(-6.0, 6.0, (100, m)) * (rng.random((100, m)) > 0.1)
    hi = lo * 10.0 ** rng.uniform(0.0, 2.0, (100, m)) + 1e-6
    bounds, lowest, where = module.bounds_of_boxes(at, lo, hi, f)
    np.testing.assert_allclose(at(where[None]).profiled(f).value, lowest, rtol=1e-13)
    for share in rng.random((10, 100, m)):
        value = at(lo + share * (hi - lo)).profiled(f).value
        assert (value >= bounds - 1e-9).all()


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.formula)
def test_the_fit_is_proven_to_be_the_lowest(design):
    fit = Problem(design.part(), design.data()).mine
    found = fit.lower_bound()
    assert 0.0 <= fit.criterion - found.bound <= 1.1e-6
    theta = 10.0 ** np.random.default_rng(1).uniform(-3.0, 3.0, (50, len(fit.theta_hat)))
    assert min(map(fit.deviance_at, theta)) >= found.bound


def test_a_search_that_ends_early_has_a_lower_bound(monkeypatch):
    fit = Problem(DESIGNS[2].part(), DESIGNS[2].data()).mine
    monkeypatch.setattr(module, "MOST_BOXES", 150)
    found = fit.lower_bound()
    assert found.boxes <= 150
    assert found.bound < fit.criterion - 1e-3


def test_correlated_random_effects_and_tiny_tolerances_are_refused():
    with pytest.raises(UsageError, match=r"independent random effects.*\|\|"):
        lmer("y ~ x + (x | g)", mixed_data()).lower_bound()
    with pytest.raises(UsageError, match="at least 1e-09"):
        lmer("y ~ x + (1 | g)", mixed_data()).lower_bound(1e-12)
