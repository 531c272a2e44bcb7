"""`rparity.diagnose`: each alternative is planted and named; unrelated values have no cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import interpolate, stats
from scipy.cluster import hierarchy
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.regression.linear_model import OLS
from statsmodels.stats import multitest, proportion
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.diagnostic import het_breuschpagan, linear_reset
from statsmodels.stats.weightstats import ttest_ind
from statsmodels.tsa import stattools
from statsmodels.tsa.seasonal import STL

import rparity
from few import mostly_slow
from rparity.diagnosis.causes import Cause
from rparity.errors import UsageError

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=30), 3 * RNG.normal(size=20) + 0.4
KNOTS = np.arange(8.0)
TABLE = np.array([[10, 4], [3, 12]])


def p_of(test: Callable[..., Any]) -> Callable[..., float]:
    return lambda *arguments, **options: test(*arguments, **options).pvalue


def first_of(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: function(*arguments, **options)[0]


def second_of(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: function(*arguments, **options)[1]


TIED = np.round(X, 1)
MISSING = pd.Series([1.0, np.nan, 4.0])
GAPS = np.array([1.0, np.nan, 4.0, 9.0, 3.0])
DOUBLED = np.round(2 * X)
DESIGN = np.column_stack([np.ones(30), RNG.normal(size=30)])

# The function as Python's user calls it, the arguments, R's other setting, and the cause.
ARGUMENTS = [
    (np.std, (X,), {"ddof": 1}, "divisor", "ddof=1"),
    (np.var, (X,), {"ddof": 1}, "divisor", "ddof=1"),
    (np.quantile, (X, 0.3), {"method": "weibull"}, "type of quantile", "method='weibull'"),
    (np.quantile, (X, 0.3), {"method": "hazen"}, "type of quantile", "method='hazen'"),
    (stats.rankdata, (TIED,), {"method": "min"}, "treatment of ties", "method='min'"),
    (p_of(stats.ttest_ind), (X, Y), {"equal_var": False}, Cause.VARIANCES, "equal_var=False"),
    (p_of(stats.ttest_ind), (X, Y), {"alternative": "less"}, Cause.SIDES, "alternative='less'"),
    (p_of(stats.mannwhitneyu), (X, Y), {"method": "exact"}, Cause.EXACT, "method='exact'"),
    (
        p_of(stats.mannwhitneyu),
        (TIED, Y),
        {"use_continuity": False},
        Cause.CONTINUITY,
        "use_continuity=False",
    ),
    (p_of(stats.chi2_contingency), (TABLE,), {"correction": False}, Cause.CONTINUITY, "correction"),
    (p_of(stats.levene), (X, Y), {"center": "mean"}, Cause.DEFINITION, "center='mean'"),
    (stattools.acf, (X,), {"adjusted": True}, "divisor", "adjusted=True"),
    (stattools.pacf, (X,), {"method": "ldb"}, "divisor", "method='ldb'"),
    (second_of(multitest.multipletests), ([0.01, 0.02, 0.2],), {"method": "holm"}, None, "'holm'"),
    (proportion.proportion_confint, (15, 25), {"method": "wilson"}, Cause.TRANSFORM, "'wilson'"),
    (
        lambda *a, **k: hierarchy.linkage(*a, **k)[:, 2],
        (X.reshape(15, 2),),
        {"method": "complete"},
        Cause.DEFINITION,
        "method='complete'",
    ),
    (
        lambda x, y, **k: interpolate.CubicSpline(x, y, **k)(2.5),
        (KNOTS, X[:8]),
        {"bc_type": "natural"},
        Cause.STARTING_VALUES,
        "bc_type='natural'",
    ),
    (
        lambda values, **k: values.mean(**k),
        (MISSING,),
        {"skipna": False},
        Cause.MISSING_VALUES,
        "skipna=False",
    ),
    (
        lambda x, adjust=True: pd.Series(x).ewm(alpha=0.3, adjust=adjust).mean(),
        (X,),
        {"adjust": False},
        Cause.STARTING_VALUES,
        "adjust=False",
    ),
    (stats.skew, (X,), {"bias": False}, "divisor", "bias=False"),
    (stats.kurtosis, (X,), {"fisher": False}, Cause.DEFINITION, "fisher=False"),
    (stats.skew, (GAPS,), {"nan_policy": "omit"}, Cause.MISSING_VALUES, "nan_policy='omit'"),
    (first_of(stats.kendalltau), (TIED, DOUBLED), {"variant": "c"}, Cause.TIES, "variant='c'"),
    (p_of(stats.wilcoxon), (DOUBLED,), {"zero_method": "pratt"}, Cause.TIES, "zero_method='pratt'"),
    (second_of(ttest_ind), (X, Y), {"usevar": "unequal"}, Cause.VARIANCES, "usevar='unequal'"),
    (p_of(mcnemar), ([[10, 4], [13, 12]],), {"exact": False}, Cause.EXACT, "exact=False"),
    (second_of(het_breuschpagan), (X, DESIGN), {"robust": False}, Cause.DEFINITION, "robust=False"),
    (p_of(linear_reset), (OLS(X, DESIGN).fit(),), {"use_f": True}, Cause.EXACT, "use_f=True"),
    (
        lambda y, **k: OLS(y, DESIGN).fit(**k).bse,
        (X,),
        {"cov_type": "HC3"},
        Cause.SMALL_SAMPLE,
        "cov_type='HC3'",
    ),
    (
        lambda y, **k: STL(y, period=5, **k).fit().trend,
        (X,),
        {"seasonal_deg": 0},
        Cause.TUNING,
        "seasonal_deg=0",
    ),
    (
        lambda time, ties="breslow": PHReg(time, X, np.ones(30), ties=ties).fit().params,
        (DOUBLED + 9,),
        {"ties": "efron"},
        Cause.TIES,
        "ties='efron'",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "setting", "cause", "says"), ARGUMENTS)
def test_another_argument_is_named(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    setting: dict[str, Any],
    cause: str | None,
    says: str,
) -> None:
    found = rparity.diagnose(function(*arguments, **setting), function, *arguments)
    named = [c for c in found.candidates if says in c.says]
    assert named, str(found)
    assert cause is None or named[0].cause == cause
    assert named[0].digits > 8.0 > found.before


N = len(X)
CHANGES = [
    ("divisor", lambda v: v * N / (N - 1), f"times n / (n - 1), n = {N}"),
    ("divisor", lambda v: v * (N - 1) / N, f"times (n - 1) / n, n = {N}"),
    ("divisor", lambda v: v * np.sqrt(N / (N - 1)), "times the root of n / (n - 1)"),
    ("divisor", lambda v: v * np.sqrt((N - 1) / N), "times the root of (n - 1) / n"),
    (Cause.DEFINITION, lambda v: v**2, "squared"),
    (Cause.DEFINITION, np.sqrt, "its square root"),
    (Cause.SIDES, lambda v: 2 * v, "doubled"),
    (Cause.SIDES, lambda v: v / 2, "halved"),
    (Cause.SIDES, lambda v: 1 - v, "taken from one"),
    (Cause.SIDES, lambda v: 1 - v / 2, "halved and taken from one"),
    ("sign", lambda v: -v, "with the other sign"),
    (Cause.SCALE_OR_RATE, lambda v: 1 / v, "its reciprocal"),
    ("logarithm", np.log, "its natural logarithm"),
    ("logarithm", np.exp, "its exponential"),
    ("logarithm", lambda v: v / np.log(10), "divided by ln 10"),
    ("logarithm", lambda v: v * np.log(10), "times ln 10"),
    ("logarithm", lambda v: v / np.log(2), "divided by ln 2"),
    ("logarithm", lambda v: v * np.log(2), "times ln 2"),
    (Cause.STANDARDISED, lambda v: 1.4826 * v, "times 1.4826"),
    (Cause.STANDARDISED, lambda v: v / 1.4826, "divided by 1.4826"),
    ("percent", lambda v: 100 * v, "times 100"),
    ("percent", lambda v: v / 100, "divided by 100"),
    (Cause.PARAMETER_COUNT, lambda v: v + 2, "plus 2"),
    (Cause.PARAMETER_COUNT, lambda v: v + 1, "plus 1"),
    (Cause.PARAMETER_COUNT, lambda v: v - 1, "minus 1"),
    (Cause.ANGLE, np.degrees, "in degrees"),
    (Cause.ANGLE, np.radians, "in radians"),
    ("order", lambda v: v[::-1], "in the reverse order"),
    ("order", lambda v: np.random.default_rng(3).permutation(v), "in another order"),
]


@pytest.mark.parametrize(("cause", "change", "says"), CHANGES)
def test_another_definition_is_named(cause: str, change: Callable[..., Any], says: str) -> None:
    mine = np.abs(X) + 0.137
    found = rparity.diagnose(change(mine), lambda: mine)
    assert [(c.cause, c.says) for c in found.candidates if says in c.says], str(found)
    assert found.candidates[0].cause == cause, str(found)


def test_swapped_arguments_are_named() -> None:
    found = rparity.diagnose(stats.binom.pmf(3, 10, 0.3), stats.binom.pmf, 10, 3, 0.3)
    assert "arguments 1 and 2 swapped" in str(found)


def test_a_rate_in_place_of_a_scale_is_named() -> None:
    density = stats.gamma.pdf(2, 3, scale=1 / 4)
    found = rparity.diagnose(density, lambda x, a, scale: stats.gamma.pdf(x, a, 0, scale), 2, 3, 4)
    assert "scale or rate: the reciprocal as argument 3" in str(found)


def test_two_changes_at_once_are_named() -> None:
    r = stats.ttest_ind(X, Y, equal_var=False, alternative="less").pvalue
    found = rparity.diagnose(r, p_of(stats.ttest_ind), X, Y)
    assert "one- or two-sided and equal variances or not" in str(found)


def test_swapped_arguments_and_another_option_are_named() -> None:
    r = stats.ttest_ind(Y, X, equal_var=False).statistic
    found = rparity.diagnose(
        r, lambda *given, **options: stats.ttest_ind(*given, **options).statistic, X, Y
    )
    assert "equal_var=False and arguments 1 and 2 swapped" in str(found)


def test_a_change_with_which_the_call_fails_is_not_combined() -> None:
    calls: list[dict[str, Any]] = []

    def mean(x: Any, **options: Any) -> float:
        calls.append(options)
        return float(np.mean(x, **options))

    assert rparity.diagnose(0.123456789012345, mean, X).candidates == ()
    assert not any(len(options) == 2 for options in calls)


@pytest.mark.parametrize(
    "seed", mostly_slow(range(20), lambda seed: seed < 5, "searches all alternatives, each time")
)
def test_unrelated_values_have_no_cause(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = rparity.diagnose(rng.normal(size=3), lambda: rng.normal(size=3))
    assert found.candidates == ()
    assert "alternatives explains the difference" in str(found)


def test_one_unrelated_number_has_no_cause() -> None:
    assert rparity.diagnose(0.123456789012345, np.mean, X).candidates == ()


def test_values_that_agree_need_no_explanation() -> None:
    found = rparity.diagnose(float(np.mean(X)), np.mean, X)
    assert "There is nothing to explain." in str(found)


def test_a_call_that_fails_by_default_may_agree_with_another_argument() -> None:
    def needs(x: Any, ddof: int | None = None) -> float:
        if ddof is None:
            raise ValueError("say ddof")
        return float(np.std(x, ddof=ddof))

    assert "ddof=1" in str(rparity.diagnose(np.std(X, ddof=1), needs, X))


def test_text_in_place_of_r_values_is_refused() -> None:
    with pytest.raises(UsageError, match="R's value must be numbers, and is str"):
        rparity.diagnose("two", np.mean, X)
