"""Doubles and decimals as exact rationals; balls as doubles, as decimals and as digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from flint import arb, fmpq, fmpz, fmpz_mat

Figures = Literal["double", "decimal"]
Column = list[fmpq]

# A ball around zero is taken as zero if it is this small beside the numbers it came from.
ZERO = 1e-30


def rational(value: float, figures: Figures) -> fmpq:
    """Return the double's exact value, or that of the shortest decimal that rounds to it.

    With up to 15 digits the latter is the figure as it was written: 0.1 is 1/10.
    """
    exact = Fraction(value if figures == "double" else repr(float(value)))
    return fmpq(exact.numerator, exact.denominator)


def column(values: Sequence[float], figures: Figures) -> Column:
    """Return a column of doubles (n,) as rationals; equal doubles are converted once."""
    known = {value: rational(value, figures) for value in set(values)}
    return [known[value] for value in values]


def cross_products(columns: Sequence[Column], weights: Column | None = None) -> list[Column]:
    """B'WB (c, c) of the columns of B, exactly: integers over each column's common denominator."""
    whole = [_integers(column) for column in columns]
    size, n = len(columns), len(columns[0])
    B = fmpz_mat(size, n, [number for numbers, _ in whole for number in numbers])
    over = fmpz(1)
    left = B
    if weights is not None:
        w, over = _integers(weights)
        cells = [x * v for numbers, _ in whole for x, v in zip(numbers, w, strict=True)]
        left = fmpz_mat(size, n, cells)
    product = (left * B.transpose()).tolist()
    return [
        [fmpq(product[i][j], whole[i][1] * whole[j][1] * over) for j in range(size)]
        for i in range(size)
    ]


def _integers(column: Column) -> tuple[list[fmpz], fmpz]:
    denominator = math.lcm(*{int(value.q) for value in column})
    return [value.p * (denominator // int(value.q)) for value in column], fmpz(denominator)


def is_zero(ball: arb, size: float = 1.0) -> bool:
    """Whether the ball contains zero and is tiny beside numbers of that size."""
    return bool(ball.contains(arb(0))) and float(ball.abs_upper()) <= ZERO * size


def to_float(ball: arb, size: float = 1.0) -> float:
    """Return the double nearest the ball's middle."""
    if not ball.is_finite():
        return math.nan
    return 0.0 if is_zero(ball, size) else float(ball.mid().str(40, radius=False))


def to_decimal(ball: arb, digits: int, size: float = 1.0) -> str:
    """Write the ball to so many significant digits, or fewer if it is not that accurate."""
    if not ball.is_finite():
        return "nan"
    return "0" if is_zero(ball, size) else str(ball.str(digits, radius=False))


def accuracy(ball: arb, size: float = 1.0) -> float:
    """Significant digits of the ball that are certainly correct."""
    if is_zero(ball, size) or not ball.is_finite():
        return math.inf
    return float(ball.rel_accuracy_bits()) * math.log10(2.0)


def agreement(one: arb, other: arb, size: float = 1.0) -> float:
    """Digits in which the middles of two balls agree; none if the balls are disjoint."""
    if not (one.is_finite() or other.is_finite()):
        return math.inf
    if not one.overlaps(other):
        return 0.0
    difference = abs(one.mid() - other.mid())
    if difference == 0 or (is_zero(one, size) and is_zero(other, size)):
        return math.inf
    return -float((difference / abs(other.mid())).log().mid()) / math.log(10.0)


def quantile(values: Sequence[arb], fraction: fmpq) -> arb:
    """R's default quantile (type 7) of balls that may overlap."""
    low = sorted(value.lower() for value in values)
    high = sorted(value.upper() for value in values)
    at = fraction * (len(values) - 1)
    k = int(at.floor())
    above = min(k + 1, len(values) - 1)
    share = arb(at - k)
    return low[k].union(high[k]) * (1 - share) + low[above].union(high[above]) * share
