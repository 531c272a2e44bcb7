"""Quantiles and tail probabilities of the usual distributions, and evenly spread points.

scipy.stats has them too, computed by the same functions of scipy.special, but it takes as long to
import as pandas. All arguments broadcast; the results are arrays of their common shape.
"""

from __future__ import annotations

from functools import cache
from itertools import count, islice
from typing import TypeAlias

import numpy as np
import scipy  # loads scipy.special when it is first used, which takes as long as numpy
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]


def normal_quantile(p: ArrayLike) -> Array:
    """Quantiles of the standard normal distribution, as R's `qnorm(p)`."""
    return np.asarray(scipy.special.ndtri(_plain(p)))


def t_quantile(p: ArrayLike, df: ArrayLike) -> Array:
    """Quantiles of Student's t distribution for 0 < p ≤ 1, as R's `qt(p, df)`."""
    p, df = _plain(p), _plain(df)
    t = np.asarray(scipy.special.stdtrit(df, p))
    # SciPy before 1.17 stops at 11 digits: Newton's step makes them 15. It needs only the first
    # digits of the density.
    with np.errstate(all="ignore"):
        scale = scipy.special.betaln(df / 2.0, 0.5)
        density = np.exp(-scale - (df + 1.0) / 2.0 * np.log1p(t * t / df))
        step = (scipy.special.stdtr(df, t) - p) / (density / np.sqrt(df))
        size = np.abs(step / t)
    return np.asarray(np.where((size > 1e-13) & (size < 1e-6), t - step, t))


def t_tail(t: ArrayLike, df: ArrayLike) -> Array:
    """Probability that Student's t exceeds `t`, as R's `pt(t, df, lower.tail = FALSE)`."""
    return np.asarray(scipy.special.stdtr(_plain(df), -_plain(t)))


def chi2_quantile(p: ArrayLike, df: ArrayLike) -> Array:
    """Quantiles of the χ² distribution, as R's `qchisq(p, df)`."""
    return np.asarray(2.0 * scipy.special.gammaincinv(_plain(df) / 2.0, _plain(p)))


def chi2_tail(x: ArrayLike, df: ArrayLike) -> Array:
    """Probability that χ² exceeds `x`, as R's `pchisq(x, df, lower.tail = FALSE)`."""
    df = _plain(df)
    # SciPy before 1.16 says 1 at x = 0, also where df is NaN.
    return np.asarray(
        np.where(np.isnan(df), np.nan, scipy.special.chdtrc(df, np.maximum(_plain(x), 0.0)))
    )


def f_tail(F: ArrayLike, ndf: ArrayLike, ddf: ArrayLike) -> Array:
    """Probability that F exceeds `F`, as R's `pf(F, ndf, ddf, lower.tail = FALSE)`."""
    return np.asarray(scipy.special.fdtrc(_plain(ndf), _plain(ddf), np.maximum(_plain(F), 0.0)))


def studentized_range_tail(q: ArrayLike, k: int, df: ArrayLike) -> Array:
    """Probability that the studentized range of `k` normals exceeds `q`.

    R's `ptukey(q, k, df, lower.tail = FALSE)` has 5 digits, this has 12. With s the estimated
    standard deviation over the true one, the probability is the mean over s of

        k ∫ φ(z) [Φ(z)ᵏ⁻¹ − (Φ(z) − Φ(z − qs))ᵏ⁻¹] dz,

    where z is the largest of the normals (Copenhaver and Holland 1988). Both integrands are
    analytic and vanish at both ends, so trapezoidal sums converge geometrically.
    """
    both = np.broadcast_arrays(_plain(q), _plain(df))
    pairs = zip(*(each.ravel().tolist() for each in both), strict=True)
    return np.array([_range_tail(one, k, nu) for one, nu in pairs]).reshape(both[0].shape)


# Values of the largest of the normals, and −log of what is too small to count, 1e-20.
Z = np.arange(-9.0, 20.0, 0.25)
NEGLIGIBLE = 46.0


def _range_tail(q: float, k: int, df: float) -> float:
    if not (df > 0.0 and q >= 0.0):
        return np.nan
    log_s, density = _log_chi(df)
    below = scipy.special.ndtr(Z)
    others = scipy.special.ndtr(Z - q * np.exp(log_s)[:, None]) / below
    with np.errstate(divide="ignore"):
        beyond = -np.expm1((k - 1) * np.log1p(-others)) * below ** (k - 1)
    largest = k * np.exp(-(Z**2) / 2.0) / np.sqrt(2.0 * np.pi) * (Z[1] - Z[0])
    return float(density @ (beyond @ largest)) / float(density.sum())


def _log_chi(df: float) -> tuple[Array, Array]:
    """Return values of log s, s² = χ²/df, in equal steps, and their density up to a constant."""
    reach = NEGLIGIBLE / df
    if reach == 0.0:
        return np.zeros(1), np.ones(1)
    ends = -reach - np.sqrt(reach), min(np.sqrt(reach), 2.7)
    log_s = np.arange(*ends, min(0.12, 0.35 / np.sqrt(df)))
    return log_s, np.exp(df * (log_s - np.expm1(2.0 * log_s) / 2.0))


@cache
def halton(n: int, dimensions: int) -> Array:
    """Return points that are spread evenly over the unit cube, (n, dimensions): Halton (1960)."""
    primes = islice((k for k in count(2) if all(k % d for d in range(2, k))), dimensions)
    points = np.zeros((n, dimensions))
    for i, prime in enumerate(primes):
        left, step = np.arange(1, n + 1), 1.0
        while left.any():
            step /= prime
            points[:, i] += step * (left % prime)
            left //= prime
    points.setflags(write=False)  # the cache shares it
    return points


def _plain(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)
