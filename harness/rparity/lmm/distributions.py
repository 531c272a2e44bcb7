"""Quantiles and tail probabilities of the usual distributions.

scipy.stats has them too, computed by the same functions of scipy.special, but it takes as long to
import as pandas. All arguments broadcast; the results are arrays of their common shape.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, fdtrc, gammaincinv, ndtri, stdtr, stdtrit

Array: TypeAlias = NDArray[np.float64]


def normal_quantile(p: ArrayLike) -> Array:
    """Quantiles of the standard normal distribution, as R's `qnorm(p)`."""
    return np.asarray(ndtri(_plain(p)))


def t_quantile(p: ArrayLike, df: ArrayLike) -> Array:
    """Quantiles of Student's t distribution for 0 < p ≤ 1, as R's `qt(p, df)`."""
    return np.asarray(stdtrit(_plain(df), _plain(p)))


def t_tail(t: ArrayLike, df: ArrayLike) -> Array:
    """Probability that Student's t exceeds `t`, as R's `pt(t, df, lower.tail = FALSE)`."""
    return np.asarray(stdtr(_plain(df), -_plain(t)))


def chi2_quantile(p: ArrayLike, df: ArrayLike) -> Array:
    """Quantiles of the χ² distribution, as R's `qchisq(p, df)`."""
    return np.asarray(2.0 * gammaincinv(_plain(df) / 2.0, _plain(p)))


def chi2_tail(x: ArrayLike, df: ArrayLike) -> Array:
    """Probability that χ² exceeds `x`, as R's `pchisq(x, df, lower.tail = FALSE)`."""
    return np.asarray(chdtrc(_plain(df), np.maximum(_plain(x), 0.0)))


def f_tail(F: ArrayLike, ndf: ArrayLike, ddf: ArrayLike) -> Array:
    """Probability that F exceeds `F`, as R's `pf(F, ndf, ddf, lower.tail = FALSE)`."""
    return np.asarray(fdtrc(_plain(ndf), _plain(ddf), np.maximum(_plain(F), 0.0)))


def _plain(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)
