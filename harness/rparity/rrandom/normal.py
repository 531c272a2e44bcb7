"""Standard normals from uniforms by inversion, as R's `norm_rand`: AS 241, PPND16.

Wichura (1988), Applied Statistics 37, 477-484.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from rparity.rrandom.arrays import Floats

Coefficients: TypeAlias = Sequence[tuple[float, float]]
Number = TypeVar("Number", float, Floats)

HIGH_BITS = 27  # taken from the first of the two uniforms of a normal

# Coefficients of numerator and denominator, from the highest power to the constant.
CENTRAL = (
    (2509.0809287301226727, 5226.495278852854561),
    (33430.575583588128105, 28729.085735721942674),
    (67265.770927008700853, 39307.89580009271061),
    (45921.953931549871457, 21213.794301586595867),
    (13731.693765509461125, 5394.1960214247511077),
    (1971.5909503065514427, 687.1870074920579083),
    (133.14166789178437745, 42.313330701600911252),
    (3.387132872796366608, 1.0),
)
NEAR_TAIL = (
    (7.7454501427834140764e-4, 1.05075007164441684324e-9),
    (0.0227238449892691845833, 5.475938084995344946e-4),
    (0.24178072517745061177, 0.0151986665636164571966),
    (1.27045825245236838258, 0.14810397642748007459),
    (3.64784832476320460504, 0.68976733498510000455),
    (5.7694972214606914055, 1.6763848301838038494),
    (4.6303378461565452959, 2.05319162663775882187),
    (1.42343711074968357734, 1.0),
)
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.04426310338993978564e-15),
    (2.71155556874348757815e-5, 1.4215117583164458887e-7),
    (0.0012426609473880784386, 1.8463183175100546818e-5),
    (0.026532189526576123093, 7.868691311456132591e-4),
    (0.29656057182850489123, 0.0148753612908506148525),
    (1.7848265399172913358, 0.13692988092273580531),
    (5.4637849111641143699, 0.59983220655588793769),
    (6.6579046435011037772, 1.0),
)


def one_normal(high: int, low: float) -> float:
    """Make a normal of a word and a uniform."""
    return quantile(((high >> (32 - HIGH_BITS)) + low) * 2.0**-HIGH_BITS)


def normals_from(high: NDArray[np.uint64], low: Floats, out: Floats, scratch: Floats) -> None:
    """Write normals to `out`, made of the words `high` and the uniforms `low`.

    `low` is overwritten; scratch has the shape (3, out.size).
    """
    p = np.add(high >> (32 - HIGH_BITS), low, out=low)
    p *= 2.0**-HIGH_BITS
    quantiles(p, out, scratch)


def quantile(p: float) -> float:
    """Return R's `qnorm` of p in (0, 1]."""
    q = p - 0.5
    if abs(q) <= 0.425:
        over, under = _polynomials(CENTRAL, 0.180625 - q * q, *CENTRAL[0])
        return over * q / under
    area = p if q < 0 else 0.5 - p + 0.5
    if area == 0:
        return math.inf
    r = math.sqrt(-math.log(area))
    value = _ratio(NEAR_TAIL, r - 1.6) if r <= 5 else _ratio(FAR_TAIL, r - 5.0)
    return -value if q < 0 else value


def quantiles(p: Floats, out: Floats, scratch: Floats) -> None:
    """Write R's `qnorm` of p in (0, 1] to `out`; scratch has the shape (3, p.size)."""
    q, r, under = scratch
    np.subtract(p, 0.5, out=q)
    np.multiply(q, q, out=r)
    np.subtract(0.180625, r, out=r)
    out[:], under[:] = CENTRAL[0]
    _polynomials(CENTRAL, r, out, under)
    out *= q
    with np.errstate(all="ignore"):  # the tails are overwritten below
        out /= under

    tails = np.flatnonzero(np.abs(q, out=r) > 0.425)
    lower, area = q[tails] < 0, p[tails]
    area = np.where(lower, area, 0.5 - area + 0.5)
    r = np.maximum(area, np.finfo(float).tiny)  # p may round to 1, whose quantile in R is Inf
    r = np.sqrt(-np.fromiter(map(math.log, r.tolist()), np.float64, count=r.size))
    values = _ratio(NEAR_TAIL, r - 1.6)
    if (far := r > 5).any():
        values[far] = np.where(area[far] > 0, _ratio(FAR_TAIL, r[far] - 5.0), np.inf)
    out[tails] = np.where(lower, -values, values)


def _polynomials(
    coefficients: Coefficients, r: Number, over: Number, under: Number
) -> tuple[Number, Number]:
    """Evaluate numerator and denominator at r by Horner's rule.

    `over` and `under` have the first coefficients; arrays are overwritten with the results.
    """
    for a, b in coefficients[1:]:
        over *= r
        over += a
        under *= r
        under += b
    return over, under


def _ratio(coefficients: Coefficients, r: Number) -> Number:
    over, under = _polynomials(coefficients, r, *(0.0 * r + first for first in coefficients[0]))
    return over / under
