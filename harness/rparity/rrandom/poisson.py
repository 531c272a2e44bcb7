"""Poisson variates, as R's `rpois`: inversion below a mean of 10, algorithm PD from there on.

Ahrens & Dieter (1982), ACM Transactions on Mathematical Software 8, 163-179.
"""

from __future__ import annotations

from math import copysign, exp, floor, isfinite, log, nan, pow, sqrt

import numpy as np

from rparity.rrandom.arrays import Floats, by_blocks, pick
from rparity.rrandom.source import Draw, Source, each
from rparity.rrandom.stream import Stream

SMALL_MEAN = 10.0
ONE_OVER_SQRT_TWO_PI = 0.398942280401432677939946059934
FACTORIALS = (1.0, 1.0, 2.0, 6.0, 24.0, 120.0, 720.0, 5040.0, 40320.0, 362880.0)
# The series of log(1 + v) from the highest power down, rounded and fitted as in the paper.
LOGARITHM = (0.1250060, -0.1384794, 0.1421878, -0.1661269, 0.2000118, -0.2500068, 0.3333333, -0.5)


def poissons(stream: Stream, n: int, mean: Floats) -> Floats:
    """Return n Poisson variates of positive finite means."""
    if (mean < SMALL_MEAN).all():
        return by_blocks(n, lambda k, mean: _inversions(stream.uniforms(k), mean), mean)
    return each(stream, n, _poisson, mean)


def poisson(source: Source, mean: float) -> float:
    """Draw one Poisson variate; an infinite mean gives NaN, and a mean of 0 needs no draw."""
    if not isfinite(mean):
        return nan
    return _poisson(source, mean)() if mean > 0.0 else 0.0


def _poisson(source: Source, mean: float) -> Draw:
    return _inversion(source, mean) if mean < SMALL_MEAN else _rejection(source, mean)


def _inversions(u: Floats, mean: Floats) -> Floats:
    """Return what `_inversion` draws with each of these uniforms."""
    out = np.zeros(u.size)
    p = np.array([exp(-mu) for mu in mean.tolist()])
    left = np.flatnonzero(u > p)
    k, u, mean, p = 0, u[left], pick(mean, left), pick(p, left)
    q = p
    while left.size:
        k += 1
        p = p * (mean / k)
        q = q + p
        on = u > q
        out[left[~on]] = k
        left, u, mean, p, q = left[on], u[on], pick(mean, on), pick(p, on), pick(q, on)
    return out


def _inversion(source: Source, mean: float) -> Draw:
    """Add up the probabilities of 0, 1, ... until they reach a uniform.

    R looks them up in a table of 36, which suffices below a mean of 10.
    """
    unif_rand = source.unif_rand
    none = exp(-mean)

    def draw() -> float:
        u, p, q, k = unif_rand(), none, none, 0
        while u > q:
            k += 1
            p *= mean / k
            q += p
        return k

    return draw


def _rejection(source: Source, mean: float) -> Draw:
    """Accept a normal's floor at once, by a squeeze or by a quotient; else use a Laplace hat."""
    unif_rand, norm_rand, exp_rand = source
    s = sqrt(mean)
    d = 6.0 * mean * mean
    at_once = floor(mean - 1.1484)
    omega = ONE_OVER_SQRT_TWO_PI / s
    b1 = 1.0 / 24.0 / mean
    b2 = 0.3 * b1 * b1
    c3 = 1.0 / 7.0 * b1 * b2
    c2 = b2 - 15.0 * c3
    c1 = b1 - 6.0 * b2 + 45.0 * c3
    c0 = 1.0 - b1 + 3.0 * b2 - 15.0 * c3
    c = 0.1069 / mean

    def densities(k: int) -> tuple[float, float, float, float]:
        """Return px, py, fx, fy: the Poisson has py * exp(px), the normal fy * exp(fx)."""
        below = mean - k
        if k < len(FACTORIALS):
            px, py = -mean, pow(mean, k) / FACTORIALS[k]
        else:
            delta = 1.0 / 12.0 / k
            delta = delta * (1.0 - 4.8 * delta * delta)
            v = below / k
            if abs(v) <= 0.25:
                series = 0.0
                for coefficient in LOGARITHM:
                    series = series * v + coefficient
                px = k * v * v * series - delta
            else:
                px = k * log(1.0 + v) - below - delta
            py = ONE_OVER_SQRT_TWO_PI / sqrt(k)
        x = (0.5 - below) / s
        x *= x
        return px, py, -0.5 * x, omega * (((c3 * x + c2) * x + c1) * x + c0)

    def draw() -> float:
        g = mean + s * norm_rand()
        if g >= 0.0:
            k = floor(g)
            if k >= at_once:
                return k
            u = unif_rand()
            below = mean - k
            if d * u >= below * below * below:
                return k
            px, py, fx, fy = densities(k)
            if fy - u * fy <= py * exp(px - fx):
                return k
        while True:
            e = exp_rand()
            u = 2.0 * unif_rand() - 1.0
            t = 1.8 + copysign(e, u)
            if t > -0.6744:
                k = floor(mean + s * t)
                px, py, fx, fy = densities(k)
                if c * abs(u) <= py * exp(px + e) - fy * exp(fx + e):
                    return k

    return draw
