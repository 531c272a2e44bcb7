"""Binomial variates, as R's `rbinom`: inversion below a mean of 30, BTPE from there on.

Kachitvichyanukul & Schmeiser (1988), Communications of the ACM 31, 216-222. R 4.7 will
correct two signs and a constant of BTPE, and then `RNGkind(binom.kind = "Buggy BTPE")` gives these
draws.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import log, sqrt

import numpy as np

from rparity.errors import UsageError
from rparity.rrandom.arrays import Floats, Ints, by_blocks, pick
from rparity.rrandom.source import FEW, SETUPS, Draw, Source, each
from rparity.rrandom.stream import Stream

LARGEST_SIZE = 2**31 - 2  # beyond it R inverts the distribution function, which is not ported
SMALL_MEAN = 30.0
MOST = 110  # inversion stops here and starts again with another uniform


def binomials(stream: Stream, n: int, size: Floats, prob: Floats) -> Floats:
    """Return n binomials of positive whole sizes and probabilities inside (0, 1).

    Raises UsageError if a size is above LARGEST_SIZE.
    """
    if size.max(initial=0.0) > LARGEST_SIZE:
        raise UsageError(f"rbinom() takes sizes up to {LARGEST_SIZE}, not {size.max():.0f}.")
    p = np.minimum(prob, 1.0 - prob)
    small = size * p < SMALL_MEAN
    none = _powers(1.0 - p, np.where(small, size, 0.0).astype(np.int64))
    if n < FEW or not small.all():
        return each(stream, n, _binomial, size, prob, none)
    r = p / (1.0 - p)
    out = by_blocks(n, partial(_inversions, stream), none, r * (size + 1.0), r)
    return np.where(prob > 0.5, size - out, out)


def multinomial(source: Source, size: int, prob: Floats) -> Callable[[], list[int]]:
    """Return a function that draws how many of `size` fall into each class, by binomials.

    The probabilities (K,) add up to 1; what is left of them is kept in C's long double, as in R.
    """
    left: list[np.longdouble] = []
    rest = np.longdouble(0.0)
    for p in prob:
        rest += np.longdouble(p)
    for p in prob:
        left.append(rest)
        rest -= np.longdouble(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [float(np.longdouble(p) / rest) for p, rest in zip(prob, left, strict=True)]
    make = lru_cache(SETUPS)(partial(_one_binomial, source))

    def draw() -> list[int]:
        found, n = [0] * len(prob), size
        for k, share in enumerate(shares[:-1]):
            if n <= 0:
                return found
            if prob[k] != 0.0:
                found[k] = int(make(n, share)()) if share < 1.0 else n
                n -= found[k]
        found[-1] = n
        return found

    return draw


def _one_binomial(source: Source, size: int, prob: float) -> Draw:
    p = min(prob, 1.0 - prob)
    small = np.array([size if size * p < SMALL_MEAN else 0])
    return _binomial(source, float(size), prob, float(_powers(np.array([1.0 - p]), small)[0]))


def _binomial(source: Source, size: float, prob: float, none: float) -> Draw:
    """Draw by the algorithm that R chooses, for the smaller of prob and 1 - prob.

    `none` is the probability of 0, which only inversion uses.
    """
    p = min(prob, 1.0 - prob)
    if size * p < SMALL_MEAN:
        successes = _inversion(source, int(size), p, none)
    else:
        successes = _btpe(source, int(size), p)
    return successes if prob <= 0.5 else lambda: size - successes()


def _powers(x: Floats, n: Ints) -> Floats:
    """Return x^n by repeated squaring, with the rounding of R's `R_pow_di`."""
    out = np.ones(np.broadcast_shapes(x.shape, n.shape))
    while n.any():
        out = np.where(n & 1, out * x, out)
        x, n = x * x, n >> 1
    return out


def _inversions(stream: Stream, n: int, none: Floats, g: Floats, r: Floats) -> Floats:
    """Return n draws of `_inversion`; a uniform that gives no draw is replaced by the next one."""
    u = stream.uniforms(n)
    while (out := _successes(u, none, g, r)).min() < 0:
        u = np.append(np.delete(u, out.argmin()), stream.uniforms(1))
    return out


def _successes(u: Floats, f: Floats, g: Floats, r: Floats) -> Floats:
    """Return what `_inversion` draws with each of these uniforms, or -1 where MOST is passed."""
    out = np.zeros(u.size)
    left = np.flatnonzero(u >= f)
    k, u, f, g, r = 0, u[left], pick(f, left), pick(g, left), pick(r, left)
    while left.size and k <= MOST:
        k += 1
        u = u - f
        f = f * (g / k - r)
        on = u >= f
        out[left[~on]] = k
        left, u, f, g, r = left[on], u[on], pick(f, on), pick(g, on), pick(r, on)
    out[left] = -1
    return out


def _inversion(source: Source, n: int, p: float, none: float) -> Draw:
    """Subtract the probabilities of 0, 1, ... from a uniform until it is less than the next."""
    unif_rand = source.unif_rand
    r = p / (1.0 - p)
    g = r * (n + 1)

    def draw() -> float:
        while True:
            u, f, k = unif_rand(), none, 0
            while u >= f and k <= MOST:
                u -= f
                k += 1
                f *= g / k - r
            if u < f:
                return k

    return draw


def _btpe(source: Source, n: int, p: float) -> Draw:
    """Rejection under a triangle, two parallelograms and exponential tails (BTPE)."""
    unif_rand = source.unif_rand
    q = 1.0 - p
    r = p / q
    g = r * (n + 1)
    npq = n * p * q
    centre = n * p + p
    m = int(centre)  # the mode
    p1 = int(2.195 * sqrt(npq) - 4.6 * q) + 0.5
    xm = m + 0.5
    xl, xr = xm - p1, xm + p1
    c = 0.134 + 20.5 / (15.3 + m)
    slope = (centre - xl) / (centre - xl * p)
    rate_l = slope * (1.0 + 0.5 * slope)
    slope = (xr - centre) / (xr * q)
    rate_r = slope * (1.0 + 0.5 * slope)
    p2 = p1 * (1.0 + c + c)
    p3 = p2 + c / rate_l
    p4 = p3 + c / rate_r

    def accepted(k: int, v: float) -> bool:
        """Whether v is at most the probability of k, divided by that of the mode."""
        distance = abs(k - m)
        if distance <= 20 or distance >= npq / 2 - 1:
            f = 1.0
            for i in range(m + 1, k + 1):
                f *= g / i - r
            for i in range(k + 1, m + 1):
                f /= g / i - r
            return v <= f
        a = (distance / npq) * ((distance * (distance / 3.0 + 0.625) + 0.1666666666666) / npq + 0.5)
        normal = _int32(-distance * distance) / (2.0 * npq)
        log_v = log(v)
        if log_v < normal - a:
            return True
        if log_v > normal + a:
            return False
        x, f, z, w = k + 1.0, m + 1.0, n + 1.0 - m, n - k + 1.0
        return log_v <= (
            xm * log(f / x)
            + (n - m + 0.5) * log(z / w)
            + (k - m) * log(w * p / (x * q))
            + _stirling(f)
            + _stirling(z)
            + _stirling(x)
            + _stirling(w)
        )

    def draw() -> float:
        while True:
            u = unif_rand() * p4
            v = unif_rand()
            if u <= p1:
                return int(xm - p1 * v + u)
            if u <= p2:
                x = xl + (u - p1) / c
                v = v * c + 1.0 - abs(xm - x) / p1
                if not 0.0 < v <= 1.0:
                    continue
                k = int(x)
            elif u <= p3:
                k = int(xl + log(v) / rate_l)
                if k < 0:
                    continue
                v = v * (u - p2) * rate_l
            else:
                k = int(xr - log(v) / rate_r)
                if k > n:
                    continue
                v = v * (u - p3) * rate_r
            if accepted(k, v):
                return k

    return draw


def _stirling(x: float) -> float:
    """Return the correction to Stirling's formula; R adds two of the four with the wrong sign."""
    x2 = x * x
    return (13860.0 - (462.0 - (132.0 - (99.0 - 140.0 / x2) / x2) / x2) / x2) / x / 166320.0


def _int32(x: int) -> int:
    """Wrap as a C int does: R's square overflows from a distance of 46341 on."""
    return (x + 2**31) % 2**32 - 2**31
