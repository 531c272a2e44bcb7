"""Comparison of doubles bit for bit."""

from __future__ import annotations

import numpy as np


def assert_same_bits(left: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_array_equal(left.view(np.uint64), right.view(np.uint64))
