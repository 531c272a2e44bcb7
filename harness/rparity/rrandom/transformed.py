"""Variates that are a function of one uniform, or of gamma variates."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import exp as _exp
from math import inf, isfinite, log, nan, pi, tan
from math import pow as _pow

from rparity.rrandom.gamma import chi_squared, gamma
from rparity.rrandom.poisson import poisson
from rparity.rrandom.source import Draw, Source

LARGEST = sys.float_info.max


def exp(x: float) -> float:
    """C's exp: infinite where it overflows."""
    try:
        return _exp(x)
    except OverflowError:
        return inf


def weibull(source: Source, shape: float, scale: float) -> Draw:
    """Return a function that draws Weibull variates; shape and scale are positive and finite."""
    unif_rand, power = source.unif_rand, 1.0 / shape

    def draw() -> float:
        try:
            return scale * _pow(-log(unif_rand()), power)
        except OverflowError:
            return inf

    return draw


def logistic(source: Source, location: float, scale: float) -> Draw:
    """Return a function that draws logistic variates; the parameters are finite."""
    unif_rand = source.unif_rand

    def draw() -> float:
        u = unif_rand()
        return location + scale * log(u / (1.0 - u))

    return draw


def cauchy(source: Source, location: float, scale: float) -> Draw:
    """Return a function that draws Cauchy variates; the parameters are finite."""
    unif_rand = source.unif_rand
    return lambda: location + scale * tan(pi * unif_rand())


def fisher(source: Source, df1: float, df2: float) -> Draw:
    """Return a function that draws F variates; the degrees of freedom may be infinite."""
    over, under = (_mean_square(source, df) for df in (df1, df2))

    def draw() -> float:
        v1 = over()
        v2 = under()
        return v1 / v2 if v2 else (inf if v1 else nan)

    return draw


def _mean_square(source: Source, df: float) -> Callable[[], float]:
    if df == inf:
        return lambda: 1.0
    squares = chi_squared(source, df)
    return lambda: squares() / df


def geometric(source: Source, prob: float) -> Draw:
    """Return a function that draws Poisson variates of exponential mean; prob is in (0, 1]."""
    exp_rand, odds = source.exp_rand, (1.0 - prob) / prob
    return lambda: poisson(source, exp_rand() * odds)


def negative_binomial(source: Source, size: float, mean_over_size: float) -> Draw:
    """Return a function that draws Poisson variates of gamma mean; size may be infinite."""
    if not isfinite(mean_over_size):
        return lambda: nan
    means = gamma(source, min(size, LARGEST / 2.0), mean_over_size)
    return lambda: poisson(source, means())
