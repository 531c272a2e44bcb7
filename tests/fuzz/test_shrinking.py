"""A design that shows a difference shrinks to what the difference needs, and has scripts."""

from __future__ import annotations

import pandas as pd
import pytest

from fuzz_r import FakeR
from rparity.fuzz.design import Covariate, Design, FixedFactor, Grouping
from rparity.fuzz.judge import FuzzVerdict, judge
from rparity.fuzz.problem import Problem
from rparity.fuzz.scripts import python_script, r_script
from rparity.fuzz.shrink import same_as, shrink, simplifications
from rparity.lmm.fit import LmerResults

WEIGHTED = Design(
    (9, 4, 7, 12, 3, 8),
    (Grouping(0.0), Grouping(10.0, place="in turn", levels=3)),
    (Covariate(scale=2), Covariate(shift=3.0)),
    (FixedFactor(3, "contr.sum"),),
    interaction=True,
    weights=1.0,
    offset=True,
    missing=5,
    scale=1,
    seed=11,
)


@pytest.mark.slow(reason="judges some dozens of designs to shrink one")
def test_shrinking_removes_all_that_the_difference_does_not_need(bug: FakeR) -> None:
    first = judge(Problem(WEIGHTED.part(), WEIGHTED.data()), bug)
    assert first.verdict is FuzzVerdict.UNEXPLAINED
    assert "R's criterion is " in first.says
    small = shrink(WEIGHTED, same_as(first, lambda problem: judge(problem, bug)))
    assert judge(small, bug).verdict is FuzzVerdict.UNEXPLAINED
    assert small.part.formula == "y ~ offset(o) + (1 | g1)"
    assert small.part.weights == "w"
    assert len(small.data) < 6


def test_simplifications_are_simpler_and_end() -> None:
    current, steps = WEIGHTED, 0
    while (simpler := next(simplifications(current), None)) is not None:
        current, steps = simpler, steps + 1
        assert steps < 100
    assert current.groupings == (Grouping(current.groupings[0].ratio),)


def test_the_scripts_show_the_two_answers(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem(WEIGHTED.part(), WEIGHTED.data())
    script = python_script(problem, ["coef", "theta"], "Design 1.")
    with pd.option_context("display.precision", 6):  # which the script sets for the process
        exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    mine = problem.mine
    assert isinstance(mine, LmerResults)
    assert f"{mine.params.iloc[0]:.15f}"[:12] in capsys.readouterr().out
    text = r_script(problem, ["coef", "theta"], "Design 1.")
    assert 'contrasts = list(f1 = "contr.sum")' in text
    assert "weights = w" in text
    assert text.count("NA") >= int(problem.data.isna().sum().sum())
