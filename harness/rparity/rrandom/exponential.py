"""Standard exponentials from uniforms, as R's `exp_rand`: algorithm SA.

Ahrens & Dieter (1972), Communications of the ACM 15, 873-882.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, log

import numpy as np

from rparity.rrandom.arrays import BLOCK, Floats, visited

# The sums over i = 1..k of log(2)^i / i!, with R's rounding.
SUMS = np.cumsum([log(2.0) ** i / factorial(i) for i in range(1, 17)])
LOG2 = log(2.0)
HIGHER: list[float] = SUMS[1:].tolist()
LOG2_MULTIPLES = np.cumsum([0.0] + 40 * [LOG2])  # summed one by one, with R's rounding


def one_exponential(unif_rand: Callable[[], float]) -> float:
    """Draw one exponential.

    The uniform is doubled until it exceeds 1, which gives a fraction and a multiple of log(2). If
    the fraction is at most log(2) the draw is done. Otherwise it needs the least of two or more
    further uniforms.
    """
    multiple, fraction = 0.0, 2.0 * unif_rand()
    while fraction <= 1.0:
        multiple += LOG2
        fraction += fraction
    fraction -= 1.0
    if fraction <= LOG2:
        return multiple + fraction
    least = min(unif_rand(), unif_rand())
    for bound in HIGHER:
        if fraction <= bound:
            break
        least = min(least, unif_rand())
    return multiple + least * LOG2


def exponentials(uniforms: Callable[[int], Floats], n: int) -> Floats:
    """Draw n exponentials, as `one_exponential` does, from a function that returns uniforms.

    A draw takes at least one uniform, so as many uniforms as draws are missing are never too many.
    The uniforms of an unfinished draw are kept for the next round.
    """
    out, done, u = np.empty(n), 0, np.empty(0)
    while done < n:
        u = np.concatenate([u, uniforms(min(n - done, BLOCK))])
        values, used = exponentials_from(u)
        out[done : done + values.size] = values
        done += values.size
        u = u[used:]
    return out


def exponentials_from(u: Floats) -> tuple[Floats, int]:
    """Return the exponentials that these uniforms give, and the number of uniforms used.

    Values are computed as if a draw began at every uniform. Draws that need further uniforms (long
    ones) are then followed from one to the next, to drop the values that begin inside one.
    """
    fraction, exponent = np.frexp(u)
    fraction += fraction
    fraction -= 1.0
    powers_of_two = np.flatnonzero(fraction == 0.0)  # doubled to 1, which does not exceed 1
    fraction[powers_of_two] = 1.0
    exponent[powers_of_two] -= 1

    is_long = fraction > LOG2
    longs = np.flatnonzero(is_long)
    ends = longs + 2 + SUMS.searchsorted(fraction.take(longs))
    next_long = np.cumsum(is_long).take(ends - 1, mode="clip")
    begun = visited(np.append(next_long, longs.size))
    longs, ends = longs.take(begun), ends.take(begun)
    used = u.size
    if longs.size and ends[-1] > used:  # the last draw is unfinished
        used = int(longs[-1])
        longs, ends = longs[:-1], ends[:-1]

    begins = np.ones(u.size, dtype=np.bool_)
    begins[longs + 1] = begins[longs + 2] = False
    least = np.minimum(u.take(longs + 1), u.take(longs + 2))
    which, further = np.arange(longs.size), longs + 3
    while (more := further < ends[which]).any():
        which, further = which[more], further[more]
        begins[further] = False
        least[which] = np.minimum(least[which], u[further])
        further += 1
    fraction[longs] = least * LOG2
    values = LOG2_MULTIPLES.take(-exponent) + fraction
    return values[:used].compress(begins[:used]), used
