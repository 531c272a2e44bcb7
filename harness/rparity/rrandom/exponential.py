"""Standard exponentials from uniforms, as R's `exp_rand`: algorithm SA.

Ahrens & Dieter (1972), Communications of the ACM 15, 873-882.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, log

import numpy as np

# The sums over i = 1..k of log(2)^i / i!, with R's rounding.
SUMS: list[float] = np.cumsum([log(2.0) ** i / factorial(i) for i in range(1, 17)]).tolist()
LOG2, HIGHER = SUMS[0], SUMS[1:]


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
