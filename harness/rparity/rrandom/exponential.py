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
LOG2 = float(SUMS[0])
HIGHER: list[float] = SUMS[1:].tolist()
LOG2_MULTIPLES = np.cumsum([0.0] + 40 * [LOG2])  # added one by one, as R does, not multiplied


def one_exponential(unif_rand: Callable[[], float]) -> float:
    """Draw one exponential.

    The uniform is doubled until it exceeds 1, which gives a fraction and a multiple of log(2). If
    the fraction is at most log(2) the draw is done (a short draw). Otherwise it needs the least of
    two or more further uniforms (a long draw).
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


def exponentials_from(u: Floats) -> tuple[Floats, int]:
    """Make exponentials of all these uniforms; return them, and how many uniforms they took.

    All places are computed as if a draw began there; then each long draw leads to the next one.
    """
    fraction, exponent = np.frexp(u)
    fraction += fraction
    fraction -= 1.0
    power_of_two = np.flatnonzero(
        fraction == 0.0
    )  # doubling reaches 1 but does not exceed it: double again
    fraction[power_of_two] = 1.0
    exponent[power_of_two] -= 1
    values = LOG2_MULTIPLES.take(-exponent)

    is_long = fraction > LOG2
    longs = np.flatnonzero(is_long)
    ends = longs + 3
    longer = np.flatnonzero(fraction.take(longs) > SUMS[1])
    ends[longer] += SUMS[1:].searchsorted(fraction[longs[longer]])
    first_free = np.cumsum(is_long).take(ends - 1, mode="clip")  # the next long draw that can begin
    begun = visited(np.append(first_free, longs.size))
    longs, ends = longs.take(begun), ends.take(begun)
    used = u.size
    if longs.size and ends[-1] > u.size:  # the last draw is unfinished
        used = int(longs[-1])
        longs, ends = longs[:-1], ends[:-1]

    begins = np.ones(u.size, dtype=np.bool_)
    begins[longs + 1] = begins[longs + 2] = False
    least = np.minimum(u.take(longs + 1), u.take(longs + 2))
    further, which = longs + 3, np.arange(longs.size)
    while (open_ := further < ends[which]).any():
        further, which = further[open_], which[open_]
        begins[further] = False
        least[which] = np.minimum(least[which], u[further])
        further += 1
    fraction[longs] = least * LOG2
    values += fraction
    return values[:used].compress(begins[:used]), used


def exponentials(uniforms: Callable[[int], Floats], n: int) -> Floats:
    """Draw n exponentials of a stream's uniforms.

    A draw takes at least one uniform, so fetching one for each missing draw never takes too many.
    An unfinished draw waits for the next round.
    """
    out = np.empty(n)
    done = 0
    pending = np.empty(0)
    while done < n:
        u = np.concatenate([pending, uniforms(min(n - done, BLOCK))])
        values, used = exponentials_from(u)
        out[done : done + values.size] = values
        done += values.size
        pending = u[used:]
    return out
