"""Data and arguments that make no sense: one clear sentence each, as R would refuse them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import rparity
from rparity import RparityError, bootmer, document_data, lm, lmer, lmer_control
from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.matrices.model_matrices import RankDeficientWarning

Spoil = Callable[[pd.DataFrame], pd.DataFrame]
MIXED, FIXED = "y ~ x + (1 | p)", "y ~ x + p"


@pytest.fixture
def data() -> pd.DataFrame:
    return document_data(1)


def sentence(error: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert 20 < len(message) < 300
    return message


def with_nan(data: pd.DataFrame, column: str) -> pd.DataFrame:
    spoilt = data.copy()
    spoilt.loc[3, column] = np.nan
    return spoilt


@pytest.mark.parametrize(("fit", "formula"), [(lmer, MIXED), (lm, FIXED)])
@pytest.mark.parametrize("column", ["x", "y", "p"])
def test_missing_values_are_refused_with_na_action_fail(
    data: pd.DataFrame, fit, formula: str, column: str
) -> None:
    with pytest.raises(DataError) as error:
        fit(formula, with_nan(data, column), na_action="fail")
    assert column in sentence(error)


@pytest.mark.parametrize(("fit", "formula"), [(lmer, MIXED), (lm, FIXED)])
def test_missing_values_are_omitted_by_default_as_in_r(
    data: pd.DataFrame, fit, formula: str
) -> None:
    assert fit(formula, with_nan(data, "x")).nobs == 99
    complete = fit(formula, data.drop(index=3)).params
    pd.testing.assert_series_equal(fit(formula, with_nan(data, "x")).params, complete)


@pytest.mark.parametrize(("fit", "formula"), [(lmer, MIXED), (lm, FIXED)])
def test_only_missing_values(data: pd.DataFrame, fit, formula: str) -> None:
    with pytest.raises(DataError) as error:
        fit(formula, data.assign(y=np.nan))
    sentence(error)


@pytest.mark.parametrize(("fit", "formula"), [(lmer, MIXED), (lm, FIXED)])
def test_infinite_values_are_refused(data: pd.DataFrame, fit, formula: str) -> None:
    with pytest.raises(DataError) as error:
        fit(formula, data.assign(x=np.where(data.index == 5, np.inf, data["x"])))
    assert "x" in sentence(error)


@pytest.mark.parametrize(("fit", "formula"), [(lmer, MIXED), (lm, FIXED)])
def test_a_factor_of_one_level(data: pd.DataFrame, fit, formula: str) -> None:
    one = data.assign(p=pd.Categorical(["1"] * 100))
    with pytest.raises(DataError) as error:
        fit(formula, one)
    assert "p" in sentence(error)
    assert "level" in sentence(error)


def test_a_group_for_each_observation(data: pd.DataFrame) -> None:
    each = data.assign(p=pd.Categorical([str(i) for i in range(100)]))
    with pytest.raises(DataError) as error:
        lmer(MIXED, each)
    sentence(error)


def test_a_column_that_is_not_there(data: pd.DataFrame) -> None:
    for fit, formula in ((lmer, "y ~ z + (1 | p)"), (lm, "y ~ z"), (lmer, "y ~ x + (1 | q)")):
        with pytest.raises(RparityError) as error:
            fit(formula, data)
        assert ("z" if "z" in formula else "q") in sentence(error)


def test_models_of_the_wrong_kind(data: pd.DataFrame) -> None:
    with pytest.raises(FormulaError) as error:
        lmer("y ~ x", data)
    assert "lm()" in sentence(error)
    with pytest.raises(FormulaError) as error:
        lm(MIXED, data)
    assert "lmer()" in sentence(error)


@pytest.mark.parametrize("formula", ["", "y", "y ~", "y ~ x + (1 | p", "~ x", "y ~ x +* p"])
def test_a_formula_that_does_not_parse(data: pd.DataFrame, formula: str) -> None:
    for fit in (lmer, lm):
        with pytest.raises(RparityError) as error:
            fit(formula, data)
        assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("nsim", [0, -1])
def test_no_replicates(data: pd.DataFrame, nsim: int) -> None:
    with pytest.raises(UsageError) as error:
        bootmer(lmer(MIXED, data), nsim, rng=1)
    assert f"is {nsim}." in sentence(error)


def test_the_command_can_print_every_error_of_the_package() -> None:
    errors = vars(rparity.errors).values()
    classes = [e for e in errors if isinstance(e, type) and issubclass(e, Exception)]
    assert len(classes) >= 8
    assert all(issubclass(error, RparityError) for error in classes)


def test_a_collinear_column_is_dropped_as_in_r_and_named(data: pd.DataFrame) -> None:
    twice = data.assign(z=2.0 * data["x"])
    with pytest.warns(RankDeficientWarning, match="dropped z, which depends"):
        fit = lmer("y ~ x + z + (1 | p)", twice)
    assert fit.model.matrices.dropped_columns == ("z",)
    pd.testing.assert_series_equal(fit.params, lmer(MIXED, data).params)
    with pytest.warns(RankDeficientWarning, match="dropped z, which depends"):
        assert "z" not in lm("y ~ x + z + p", twice).params


def test_a_collinear_column_is_refused_if_the_user_asks_for_it(data: pd.DataFrame) -> None:
    twice = data.assign(z=2.0 * data["x"])
    stop = lmer_control(check_rankX="stop.deficient")
    with pytest.raises(DataError) as error:
        lmer("y ~ x + z + (1 | p)", twice, control=stop)
    assert "z" in sentence(error)
    with pytest.raises(DataError) as error:
        lm("y ~ x + z + p", twice, rank_deficient="fail")
    assert "z" in sentence(error)
