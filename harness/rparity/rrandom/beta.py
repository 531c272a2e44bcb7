"""Beta variates, as R's `rbeta`: algorithm BB where both shapes are above 1, else BC.

Cheng (1978), Communications of the ACM 21, 317-322.
"""

from __future__ import annotations

import sys
from math import exp, inf, log, sqrt

from rparity.rrandom.source import Draw, Source

LOG_4 = 1.3862944  # rounded as in the paper
ONE_PLUS_LOG_5 = 2.609438
LARGEST = sys.float_info.max
LOG_LARGEST = sys.float_info.max_exp * log(2.0)


def beta(source: Source, shape1: float, shape2: float) -> Draw:
    """Return a function that draws beta variates; the shapes are finite and positive, or both 0.

    Both algorithms return w / (c + w) or c / (c + w) for a ratio w = factor * exp(v), where v is a
    scaled logistic variate. They differ in how they accept w.
    """
    if shape1 == shape2 == 0.0:
        return lambda: 0.0 if source.unif_rand() < 0.5 else 1.0
    small, large = min(shape1, shape2), max(shape1, shape2)
    if small <= 1.0:
        ratio, c = _bc(source, small, large), small
        complement = shape1 == small
    else:
        ratio, c = _bb(source, small, large), large
        complement = shape1 != small

    def draw() -> float:
        w = ratio()
        return (c if complement else w) / (c + w)

    return draw


def _bb(source: Source, a: float, b: float) -> Draw:
    unif_rand = source.unif_rand
    alpha = a + b
    rate = sqrt((alpha - 2.0) / (2.0 * a * b - alpha))
    gamma = a + (1.0 / rate if rate else inf)

    def draw() -> float:
        while True:
            u1 = unif_rand()
            u2 = unif_rand()
            v = rate * log(u1 / (1.0 - u1))
            w = _times_exp(a, v)
            z = u1 * u1 * u2
            r = gamma * v - LOG_4
            s = a + r - w
            if s + ONE_PLUS_LOG_5 >= 5.0 * z:
                return w
            t = log(z)
            if s > t or not r + alpha * _log(alpha / (b + w)) < t:
                return w

    return draw


def _bc(source: Source, a: float, b: float) -> Draw:
    unif_rand = source.unif_rand
    alpha = a + b
    rate = 1.0 / a
    delta = 1.0 + b - a
    k1 = delta * (0.0138889 + 0.0416667 * a) / (b * rate - 0.777778)
    k2 = 0.25 + (0.5 + 0.25 / delta) * a

    def draw() -> float:
        while True:
            u1 = unif_rand()
            u2 = unif_rand()
            if u1 < 0.5:
                y = u1 * u2
                z = u1 * y
                certain, rejected = False, 0.25 * u2 + z - y >= k1
            else:
                z = u1 * u1 * u2
                certain, rejected = z <= 0.25, z >= k2
            if certain or not rejected:
                v = rate * log(u1 / (1.0 - u1))
                w = _times_exp(b, v)
                if certain or alpha * (_log(alpha / (a + w)) + v) - LOG_4 >= log(z):
                    return w

    return draw


def _times_exp(factor: float, v: float) -> float:
    """Return factor * exp(v), but at most the largest double."""
    w = factor * exp(v) if v <= LOG_LARGEST else LARGEST
    return min(w, LARGEST)


def _log(x: float) -> float:
    return log(x) if x else -inf
