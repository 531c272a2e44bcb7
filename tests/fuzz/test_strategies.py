"""The strategies: what they draw are designs, within their bounds, and the same for a seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from rparity.fuzz import strategies
from rparity.fuzz.design import CONTRASTS, Covariate, Design, FixedFactor, Grouping
from rparity.fuzz.draw import BLOCK, Designs, design
from rparity.fuzz.problem import Problem
from rparity.lmm.language.formula import parse

FEW = settings(max_examples=60, deadline=None)


@FEW
@given(design=strategies.designs(most_rows=200))
def test_designs_are_data_and_a_model_of_them(design: Design) -> None:
    data, part = design.data(), design.part()
    assert len(data) == design.rows <= 200
    assert 1 <= len(design.sizes) <= 60
    assert len(parse(part.formula).bars) >= len(design.groupings)
    named = {part.weights} if part.weights else set()
    named |= set(part.contrasts) | {f"g{i + 1}" for i in range(len(design.groupings))}
    assert named | {"y"} <= set(data)
    assert set(part.contrasts.values()) <= set(CONTRASTS)
    assert np.isfinite(data.drop(columns=["y", "x1"], errors="ignore").select_dtypes("float")).all(
        axis=None
    )
    if not design.missing:
        assert not data.isna().any(axis=None)


@FEW
@given(design=strategies.designs(most_rows=100))
def test_a_design_is_restored_from_json_with_the_same_data(design: Design) -> None:
    again = Design.from_json(design.as_json())
    assert again == design
    pd.testing.assert_frame_equal(again.data(), design.data(), check_exact=True)


def test_most_designs_can_be_fitted() -> None:
    models = [
        Problem(each.design.part(), each.design.data()).model for each in Designs(3, range(60))
    ]
    assert sum(not isinstance(model, str) for model in models) > 40


@pytest.mark.slow(reason="draws 400 designs")
def test_every_documented_feature_is_drawn() -> None:
    drawn = [each.design for each in Designs(1, range(400))]
    groupings = [grouping for each in drawn for grouping in each.groupings]
    assert {len(each.groupings) for each in drawn} == {1, 2, 3}
    assert {grouping.ratio for grouping in groupings} == set(strategies.RATIOS)
    assert {grouping.slope for grouping in groupings} == {"none", "correlated", "uncorrelated"}
    assert {grouping.place for grouping in groupings} == {"nested", "in turn", "at random"}
    scales = [covariate.scale for each in drawn for covariate in each.covariates]
    assert (min(scales), max(scales)) == (-6, 6)
    assert {f.contrast for each in drawn for f in each.factors} == set(CONTRASTS)
    assert {each.reml for each in drawn} == {True, False}
    assert any(each.offset for each in drawn)
    assert any(each.missing for each in drawn)
    assert {each.weights for each in drawn} == set(strategies.WEIGHTS)
    sizes = [len(each.sizes) for each in drawn]
    assert min(sizes) == 1
    assert max(sizes) > 50
    assert max(max(each.sizes) for each in drawn) > 45


@pytest.mark.slow(reason="draws designs in a process of its own")
def test_a_design_depends_on_its_number_alone_and_drawing_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that has other modules loaded, too: Hypothesis looks at their constants."""
    monkeypatch.delenv("HYPOTHESIS_STORAGE_DIRECTORY")
    (tmp_path / "own.py").write_text("LIMIT = 12345678\n")
    numbers = [2 * BLOCK + 1, 3, 0, BLOCK]
    here = [design(7, number) for number in numbers]
    assert here == [each.design for n in numbers for each in Designs(7, [n])]
    code = (
        "import own\n"
        "from rparity.fuzz.draw import design\n"
        f"for number in {sorted(numbers)}: print(design(7, number).as_json())"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    there = [Design.from_json(line) for line in done.stdout.splitlines()]
    assert there == [here[numbers.index(number)] for number in sorted(numbers)]
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]


def test_columns_have_their_own_random_streams() -> None:
    whole = Design(
        (5, 4, 3),
        (Grouping(), Grouping(place="in turn")),
        (Covariate(),),
        (FixedFactor(3),),
        weights=1.0,
    )
    less = Design((5, 4, 3), (Grouping(),), (Covariate(),), (FixedFactor(3),))
    columns = ["x1", "f1", "g1"]
    pd.testing.assert_frame_equal(whole.data()[columns], less.data()[columns])


def test_near_covariates_are_near() -> None:
    data = Design((50, 50), covariates=(Covariate(), Covariate(scale=3, near=4))).data()
    assert 1e-5 < np.std(data["x1"] - data["x2"] / 1e3) < 1e-3


def test_nested_groups_are_nested_and_crossed_ones_are_not() -> None:
    sizes = (6, 6, 6)
    nested = Design(sizes, (Grouping(), Grouping(levels=3)))
    assert nested.formula == "y ~ 1 + (1 | g1) + (1 | g1:g2)"
    crossed = Design(sizes, (Grouping(), Grouping(levels=3, place="in turn")))
    assert crossed.formula == "y ~ 1 + (1 | g1) + (1 | g2)"
    assert (crossed.data().groupby(["g1", "g2"], observed=True).size() == 2).all()
    slopes = Design(
        sizes,
        (Grouping(slope="uncorrelated"), Grouping(slope="correlated", place="at random")),
        (Covariate(),),
    )
    assert slopes.formula == "y ~ x1 + (x1 || g1) + (x1 | g2)"
