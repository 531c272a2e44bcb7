"""Roots of functions of one variable, many at once: Chandrupatla's method.

T. R. Chandrupatla (1997), Advances in Engineering Software 28(3): inverse quadratic interpolation
where it is safe, and bisection elsewhere. `scipy.optimize.elementwise` has the method too, but
importing `scipy.optimize` takes longer than a fit and its profile.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Each step at least halves a bracket every other time: this is more than a double has bits.
STEPS = 200
SPACING = 4.0 * float(np.finfo(np.float64).eps)


def find_roots(
    f: Callable[[Array, NDArray[np.intp]], Array], low: Array, high: Array, rounding: float = 0.0
) -> Array:
    """Return a root of each of k functions, whose sign changes between `low` and `high`.

    Parameters
    ----------
    f : callable
        `f(x, which)` returns the values at x (j,) of the functions with the indices `which` (j,).
    low, high : ndarray (k,)
        The ends of the brackets.
    rounding : float
        A value of at most this size counts as zero.

    Returns
    -------
    ndarray (k,)
        The roots, to the spacing of doubles. NaN where the sign does not change.
    """
    which = np.arange(len(low))
    a, b = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    fa, fb = f(a, which), f(b, which)
    c, fc = a, fa
    found = np.full(len(a), np.nan)
    active = np.sign(fa) * np.sign(fb) <= 0.0
    t = np.full(len(a), 0.5)
    for _ in range(STEPS):
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        width = np.abs(b - a)
        small = np.minimum(np.abs(fa), np.abs(fb)) <= rounding
        narrow = SPACING * np.abs(best) + np.finfo(np.float64).tiny
        done = active & (small | (width <= narrow))
        found[which[done]] = best[done]
        go = active & ~done
        which, a, b, c = which[go], a[go], b[go], c[go]
        fa, fb, fc, active = fa[go], fb[go], fc[go], active[go]
        if not len(which):
            break
        edge = 0.5 * narrow[go] / width[go]
        x = a + np.clip(t[go], edge, 1.0 - edge) * (b - a)
        fx = f(x, which)
        # The new bracket is between x and the end with the other sign; c is the end that is left.
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        with np.errstate(divide="ignore", invalid="ignore"):
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            safe = (1.0 - np.sqrt(1.0 - xi) < phi) & (phi < np.sqrt(xi))
            inverse = fa / (fb - fa) * fc / (fb - fc)
            inverse += (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = np.where(safe, inverse, 0.5)
    return found
