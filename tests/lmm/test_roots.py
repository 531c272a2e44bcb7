"""Roots of many functions at once, against roots that are known."""

from __future__ import annotations

import numpy as np
import pytest

from rparity.lmm.numbers.roots import find_roots


def test_roots_are_found_to_the_last_bits_in_few_evaluations() -> None:
    powers, evaluated = np.array([1.0, 2.0, 3.0, 7.0, 25.0]), []

    def f(x: np.ndarray, which: np.ndarray) -> np.ndarray:
        evaluated.append(len(x))
        return x ** powers[which] - 2.0

    found = find_roots(f, np.zeros(5), np.full(5, 3.0))
    assert found == pytest.approx(2.0 ** (1.0 / powers), rel=1e-15)
    assert sum(evaluated) < 5 * 25  # bisection alone would take 5 × 53
    assert evaluated[-1] < 5  # those that are found are not asked again


def test_ends_may_be_roots_and_brackets_may_be_reversed() -> None:
    found = find_roots(lambda x, _: x * (x - 1.0), np.array([0.0, 2.0]), np.array([0.5, 0.5]))
    assert found.tolist() == [0.0, 1.0]


def test_a_steep_step_is_found_by_bisection() -> None:
    found = find_roots(lambda x, _: np.sign(x - np.pi), np.array([-1e6]), np.array([1e6]))
    assert found[0] == pytest.approx(np.pi, rel=1e-15)


def test_values_below_the_rounding_count_as_zero() -> None:
    found = find_roots(lambda x, _: x - 1.0, np.array([0.0]), np.array([3.0]), rounding=0.51)
    assert abs(found[0] - 1.0) <= 0.51


def test_without_a_change_of_sign_there_is_no_root() -> None:
    assert np.isnan(find_roots(lambda x, _: x**2 + 1.0, np.array([-1.0]), np.array([1.0]))).all()
