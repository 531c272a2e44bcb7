"""What becomes of a design: every disagreement has its cause, and a mistake has none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fuzz_r import Array, FakeR
from rparity.diagnosis.causes import Cause
from rparity.engines.base import Answer
from rparity.fuzz.design import Covariate, Design, FixedFactor, Grouping
from rparity.fuzz.judge import FuzzResult, FuzzVerdict, judge
from rparity.fuzz.problem import Problem, refused, same_fit
from rparity.lmm.fit import LmerResults

PLAIN = Design((6, 5, 4, 6, 3), covariates=(Covariate(),), seed=5)
TWO_MINIMA = Design(
    (2, 2, 5, 3),
    (
        Grouping(ratio=0.0),
        Grouping(ratio=0.1, place="at random", levels=3),
        Grouping(ratio=100.0, place="at random", levels=12),
    ),
    factors=(FixedFactor(2, "contr.helmert"), FixedFactor()),
    weights=3.0,
    offset=True,
    missing=5,
    shift=1.0,
    reml=False,
    seed=2659747249,
)


def judged(design: Design, r: FakeR | None = None) -> FuzzResult:
    return judge(Problem(design.part(), design.data()), r or FakeR())


def test_the_same_answer_agrees() -> None:
    found = judged(PLAIN)
    assert found.verdict is FuzzVerdict.AGREES
    assert min(found.digits.values()) >= 12


def test_an_optimizer_that_stops_early_is_explained() -> None:
    found = judged(PLAIN, FakeR(moved=lambda theta: theta * 1.0001))
    assert found.verdict is FuzzVerdict.EXPLAINED
    assert set(found.causes) == {"stopped early"}
    assert found.digits["theta"] < 5


def test_a_stop_far_from_the_optimum_shows_in_rs_own_criterion() -> None:
    found = judged(PLAIN, FakeR(moved=lambda theta: theta * 9 + 1))
    assert found.verdict is FuzzVerdict.EXPLAINED
    assert set(found.causes) == {"stopped early"}


EARLY = pytest.mark.slow(reason="all that could be the cause of two errors at once is tried")


@pytest.mark.slow(reason="tries every experiment on every table of a design")
@pytest.mark.parametrize("factor", [1.0, pytest.param(1.0001, marks=EARLY)])
@pytest.mark.parametrize("kind", ["coef", "vcov", "varcorr", "ranef", "glance"])
def test_a_wrong_value_is_unexplained(kind: str, factor: float) -> None:
    class Wrong(FakeR):
        def answer(self, engine: str, problem: Problem) -> Answer:
            told = super().answer(engine, problem)
            tables = dict(told.tables)
            tables[f"lmer.{kind}"] = tables[f"lmer.{kind}"] * (1 + 1e-5)
            return Answer(tables)

    found = judged(PLAIN, Wrong(moved=lambda theta: theta * factor))
    assert found.verdict is FuzzVerdict.UNEXPLAINED
    assert kind in found.open
    assert "rparity" in found.says


def test_a_false_minimum_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    """R goes lower than this package: then its optimizer is wrong, whatever else is said."""
    right = LmerResults.fit.__func__  # type: ignore[attr-defined]

    def wrong(cls: type[LmerResults], *args: object, **options: object) -> LmerResults:
        fit: LmerResults = right(cls, *args, **options)
        there: LmerResults = fit.at(np.maximum(fit.theta_hat, 0.3))
        return there

    design = Design((4, 4, 4, 4, 4), (Grouping(ratio=0.0),), seed=2)
    problem = Problem(design.part(), design.data())
    mine = problem.mine
    assert isinstance(mine, LmerResults)
    assert mine.theta_hat[0] < 0.3
    monkeypatch.setattr(LmerResults, "fit", classmethod(wrong))
    found = judged(design, FakeR(fit=lambda _problem: mine))
    assert found.verdict is FuzzVerdict.UNEXPLAINED
    assert "theta" in found.open


def test_both_refuse() -> None:
    found = judged(Design((1, 1, 1, 1)))
    assert found.verdict is FuzzVerdict.REFUSED
    assert "fewer levels than rows" in found.says


def test_one_refuses() -> None:
    found = judged(PLAIN, FakeR(refuses=lambda _problem: True))
    assert (found.verdict, found.open) == (FuzzVerdict.UNEXPLAINED, ("refused",))


def test_r_may_fail_to_factor_what_downdating_leaves() -> None:
    class NotPositive(FakeR):
        def answer(self, _engine: str, _problem: Problem) -> Answer:
            return refused("R error: Downdated VtV is not positive definite")

    near = Design((9, 9, 9), covariates=(Covariate(shift=1e4), Covariate(near=5)), seed=1)
    assert set(judged(near, NotPositive()).causes) == {Cause.NORMAL_EQUATIONS}
    assert judged(PLAIN, NotPositive()).verdict is FuzzVerdict.UNEXPLAINED


@pytest.mark.parametrize(("slope", "shift"), [("correlated", 0.0), ("uncorrelated", 0.0)])
def test_r_may_fail_for_the_units_of_a_covariate(slope: str, shift: float) -> None:
    class LikesItSmall(FakeR):
        def answer(self, engine: str, problem: Problem) -> Answer:
            if problem.data["x1"].abs().max() > 1e4 or always:
                return refused("R error: Downdated VtV is not positive definite")
            return super().answer(engine, problem)

    design = Design(
        (9, 9, 9, 9), (Grouping(slope=slope),), (Covariate(scale=6, shift=shift),), seed=1
    )
    always = False
    assert set(judged(design, LikesItSmall()).causes) == {Cause.SCALE}
    always = True
    assert judged(design, LikesItSmall()).verdict is FuzzVerdict.UNEXPLAINED


def test_other_units_do_not_excuse_an_answer_that_is_wrong_in_them() -> None:
    """This package must say the same in all units before R's words are blamed."""
    design = Design((9, 9, 9, 9), (Grouping(slope="correlated"),), (Covariate(scale=6),), seed=1)
    problem = Problem(design.part(), design.data())
    assert isinstance(problem.mine, LmerResults)
    ways = [other.mine for _, other in problem.restated()]
    assert all(isinstance(way, LmerResults) and same_fit(problem.mine, way) for way in ways)
    wrong = problem.mine.at(1.01 * problem.mine.theta_hat)
    assert not any(same_fit(wrong, way) for way in ways)


def test_a_criterion_without_a_value_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_arguments: object) -> None:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr("rparity.fuzz.judge._judged", fails)
    assert judged(PLAIN).open == ("criterion",)


def test_a_step_so_far_that_no_digits_are_left_does_not_end_the_fit() -> None:
    """A design of seed 3: X'V⁻¹X had no inverse at a trial step, and the fit ended in an error."""
    design = Design(
        (9, 9, 1),
        (Grouping(1e4, "uncorrelated", -0.9, "at random", 9),),
        (
            Covariate(scale=2, shift=1e3, near=6, between=True),
            Covariate(shift=1.0, near=4),
            Covariate(scale=-4),
        ),
        (FixedFactor(5, "contr.poly"),),
        interaction=True,
        scale=3,
        seed=792688483,
    )
    fit = Problem(design.part(), design.data()).mine
    assert isinstance(fit, LmerResults)


def test_a_saturated_model_has_no_optimum() -> None:
    design = Design((3, 3), (Grouping(), Grouping(place="in turn", levels=5)))
    design = Design(
        design.sizes,
        (Grouping(slope="correlated"), Grouping(place="in turn", levels=5)),
        (Covariate(),),
    )
    assert set(judged(design).causes) == {Cause.SATURATED}


def test_both_sides_get_missing_values_and_contrasts() -> None:
    design = Design(
        (9, 9, 9, 9),
        (Grouping(10.0),),
        covariates=(Covariate(),),
        factors=(FixedFactor(3, "contr.sum"),),
        missing=25,
        weights=1.0,
        seed=3,
    )
    assert judged(design, FakeR(moved=lambda t: t * 1.001)).verdict is FuzzVerdict.EXPLAINED
    problem = Problem(design.part(), design.data())
    assert len(problem.complete.data) < len(problem.data)
    pd.testing.assert_series_equal(problem.mine.params, problem.complete.mine.params)


def fitted_from(problem: Problem, *theta: float) -> LmerResults:
    model = problem.model
    assert not isinstance(model, str)
    return LmerResults.fit(model, model.matrices.y, reml=False, start=np.array(theta))


def test_rs_own_criterion_shows_two_minima() -> None:
    problem = Problem(TWO_MINIMA.part(), TWO_MINIMA.data())
    high, low = fitted_from(problem, 10.5, 1.2, 0.01), fitted_from(problem, 10.5, 0.01, 1.5)
    assert low.criterion < high.criterion - 0.5
    problem.__dict__["mine"] = high
    r = FakeR(fit=lambda _problem: low)
    assert set(judge(problem, r).causes) == {Cause.SEVERAL_MINIMA}

    class Slope(FakeR):
        def criterion(self, problem: Problem, theta: Array) -> Array:
            return super().criterion(problem, theta) + theta[0]

    # Where R's own criterion falls from there it is no minimum, and there is no excuse.
    found = judge(problem, Slope(fit=lambda _problem: low))
    assert found.verdict is FuzzVerdict.UNEXPLAINED
