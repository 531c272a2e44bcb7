"""Functions with the bits of the C library, which R calls, and of R's own code.

numpy's functions may differ from the C library's in the last bits.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from rparity.lmm.language.values import Floats
from rparity.rrandom.normal import quantile


def of_libm(name: str, fast: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Return the C library's function; numpy's `fast` gives the values at the poles."""
    return each_of(getattr(math, name), fast)


def each_of(
    function: Callable[[float], float], fast: Callable[[Floats], Floats]
) -> Callable[[Floats], Floats]:
    """Apply a function to each value for which `fast` is finite."""

    def compute(x: Floats) -> Floats:
        out = np.asarray(fast(x), dtype=np.float64)
        usual = np.isfinite(x) & np.isfinite(out)
        values = x[usual].tolist()
        out[usual] = np.fromiter(map(function, values), np.float64, len(values))
        return out

    return compute


exp = of_libm("exp", np.exp)
log = of_libm("log", np.log)
log2 = of_libm("log2", np.log2)
log10 = of_libm("log10", np.log10)


def of_two(
    function: Callable[[float, float], float], fast: Callable[[Floats, Floats], Floats]
) -> Callable[[Floats, Floats], Floats]:
    """Apply a function to each pair of values for which `fast` is finite."""

    def compute(x: Floats, y: Floats) -> Floats:
        x, y = np.broadcast_arrays(x, y)
        out = np.asarray(fast(x, y), dtype=np.float64)
        usual = np.isfinite(x) & np.isfinite(y) & np.isfinite(out)
        first, second = x[usual].tolist(), y[usual].tolist()
        out[usual] = np.fromiter(map(function, first, second), np.float64, len(first))
        return out

    return compute


atan2 = of_two(math.atan2, np.arctan2)
_any_power = of_two(lambda x, y: x * x if y == 2.0 else math.pow(x, y), np.power)


def power(x: Floats, y: Floats) -> Floats:
    """R's `x^y`: x² is a product, and other powers are the C library's."""
    return x * x if y.size == 1 and y.flat[0] == 2.0 else _any_power(x, y)


# -- the normal distribution -----------------------------------------------------------------------

ROOT = 0.398942280401432677939946059934  # 1/√(2π)
# Coefficients of numerator and denominator for small, middle and large arguments. The first is the
# one of the highest power.
_SMALL = (
    (0.065682337918207449113, 2.2352520354606839287, 161.02823106855587881,
     1067.6894854603709582, 18154.981253343561249),
    (47.20258190468824187, 976.09855173777669322, 10260.932208618978205, 45507.789335026729956),
)  # fmt: skip
_MIDDLE = (
    (1.0765576773720192317e-8, 0.39894151208813466764, 8.8831497943883759412,
     93.506656132177855979, 597.27027639480026226, 2494.5375852903726711, 6848.1904505362823326,
     11602.651437647350124, 9842.7148383839780218),
    (22.266688044328115691, 235.38790178262499861, 1519.377599407554805, 6485.558298266760755,
     18615.571640885098091, 34900.952721145977266, 38912.003286093271411, 19685.429676859990727),
)  # fmt: skip
_LARGE = (
    (0.02307344176494017303, 0.21589853405795699, 0.1274011611602473639, 0.022235277649550849,
     0.001421619193227893466, 2.9112874951168792e-5),
    (1.28426009614491121, 0.468238212480865118, 0.0659881378689285515, 0.00378239633202758244,
     7.29751555083966205e-5),
)  # fmt: skip


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: Floats) -> Floats:
    (first, *above), below = coefficients
    top, bottom = first * x, x
    for a, b in zip(above[:-1], below[:-1], strict=True):
        top, bottom = (top + a) * x, (bottom + b) * x
    return (top + above[-1]) / (bottom + below[-1])


def normal_probability(x: Floats) -> Floats:
    """R's `pnorm()`. Source: Cody (1969), Mathematics of Computation 23, 631-638."""
    y = np.abs(x)
    small = 0.5 + x * _ratio(_SMALL, x * x)
    inverse = 1.0 / (x * x)
    tail = (ROOT - inverse * _ratio(_LARGE, inverse)) / y
    tail = np.where(y <= np.sqrt(32.0), _ratio(_MIDDLE, y), tail)
    near = np.trunc(y * 16.0) / 16.0
    tail *= exp(-near * near * 0.5) * exp(-(y - near) * (y + near) * 0.5)
    large = np.where(x > 0.0, 1.0 - tail, tail)
    found = np.where(y <= 0.67448975, small, large)
    return np.where(np.isinf(x), (x > 0.0) * 1.0, found)


def _numpy_quantile(p: Floats) -> Floats:
    inside = np.where((p > 0.0) & (p < 1.0), p, np.nan)
    return np.where(p == 0.0, -np.inf, np.where(p == 1.0, np.inf, inside))


normal_quantile = each_of(quantile, _numpy_quantile)
