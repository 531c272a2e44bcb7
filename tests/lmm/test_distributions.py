"""Quantiles and tail probabilities against 50 digits, and against scipy.stats to the bit."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rparity.lmm.numbers.distributions import (
    chi2_quantile,
    chi2_tail,
    f_tail,
    halton,
    normal_quantile,
    studentized_range_tail,
    t_quantile,
    t_tail,
)

X = np.array([0.0, 1e-3, 0.3, 1.0, 1.96, 5.0, 40.0, np.nan])
DF = np.array([0.5, 1.0, 3.7, 30.0, 1e4])[:, None]
P = np.array([1e-12, 0.025, 0.3, 0.5, 0.7, 0.975])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (normal_quantile(P), stats.norm.ppf(P)),
        (t_tail(X, DF), stats.t.sf(X, DF)),
        (t_tail(-X, DF), stats.t.sf(-X, DF)),
        (chi2_quantile(P, DF), stats.chi2.ppf(P, DF)),
        (chi2_tail(X, DF), stats.chi2.sf(X, DF)),
        (f_tail(X, 2.0, DF), stats.f.sf(X, 2.0, DF)),
    ],
    ids=["normal quantile", "t", "t below 0", "chi2 quantile", "chi2", "F"],
)
def test_values_are_those_of_scipy_stats(mine, theirs):
    np.testing.assert_array_equal(mine, theirs)


def test_quantiles_of_t_have_12_digits_where_scipy_has_11():
    mp.mp.dps = 50
    for df in (1, 2, 9, 30.25, 1e4):
        for p in (1e-6, 0.025, 0.3):
            t = float(t_quantile(p, df))
            assert t < 0
            right = mp.findroot(
                lambda q, df=df, p=p: (
                    mp.betainc(mp.mpf(df) / 2, 0.5, 0, df / (df + q * q), regularized=True) / 2
                    - mp.mpf(p)
                ),
                t,
            )
            assert abs(t - right) < 1e-12 * abs(right)
            assert float(t_quantile(1 - p, df)) == pytest.approx(-t, rel=1e-9)


def test_tails_have_13_digits():
    mp.mp.dps = 50
    x, df = mp.mpf("2.5"), mp.mpf("3.75")
    t = mp.betainc(df / 2, 0.5, 0, df / (df + x * x), regularized=True) / 2
    chi2 = mp.gammainc(df / 2, x / 2, regularized=True)
    F = mp.betainc(df / 2, 1, 0, df / (df + 2 * x), regularized=True)
    found = [t_tail(2.5, 3.75), chi2_tail(2.5, 3.75), f_tail(2.5, 2.0, 3.75)]
    np.testing.assert_allclose(found, [float(t), float(chi2), float(F)], rtol=1e-13)


def test_quantiles_have_13_digits():
    mp.mp.dps = 50
    p = mp.mpf("0.8125")
    normal = mp.sqrt(2) * mp.erfinv(2 * p - 1)
    chi2 = mp.findroot(lambda q: mp.gammainc(1.75, 0, q / 2, regularized=True) - p, 5)
    t = mp.findroot(
        lambda q: 1 - mp.betainc(1.75, 0.5, 0, 3.5 / (3.5 + q * q), regularized=True) / 2 - p, 1
    )
    found = [normal_quantile(0.8125), chi2_quantile(0.8125, 3.5), t_quantile(0.8125, 3.5)]
    np.testing.assert_allclose(found, [float(normal), float(chi2), float(t)], rtol=1e-13)


@pytest.mark.parametrize("df", [0.6, 1.0, 2.5, 30.0, 1e5, np.inf])
def test_the_range_of_two_normals_is_one_t_test(df):
    q = np.array([0.0, 0.01, 0.5, 2.0, 4.0, 8.0, 12.0])
    exact = 2.0 * stats.t.sf(q / np.sqrt(2.0), df)
    np.testing.assert_allclose(studentized_range_tail(q, 2, df), exact, rtol=1e-12)


@pytest.mark.parametrize("df", [1.0, 5.0, 40.0])
@pytest.mark.parametrize("k", [3, 12, 40])
def test_the_studentized_range_is_that_of_scipy_to_its_digits(k, df):
    q = np.array([0.5, 2.0, 4.0, 8.0])
    found = studentized_range_tail(q, k, df)
    np.testing.assert_allclose(found, stats.studentized_range.sf(q, k, df), rtol=1e-7, atol=1e-12)


def test_the_studentized_range_is_of_q_above_zero_and_of_positive_degrees_of_freedom():
    assert np.isnan(studentized_range_tail([-1.0, 1.0, np.nan], 3, [5.0, 0.0, 5.0])).all()


def test_points_are_those_of_halton():
    theirs = stats.qmc.Halton(7, scramble=False).random(51)[1:]
    np.testing.assert_allclose(halton(50, 7), theirs, rtol=1e-14)


def test_nothing_is_below_zero_for_a_statistic_that_cannot_be():
    assert chi2_tail(-1e-12, 2) == f_tail(-1e-12, 2, 5) == 1.0


def test_a_tail_without_degrees_of_freedom_is_missing():
    assert np.isnan(chi2_tail([-1.0, 0.0, 3.0], np.nan)).all()
