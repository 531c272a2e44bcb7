"""Hypergeometric variates, as R's `rhyper`: inversion near the lower end, else H2PE.

Kachitvichyanukul & Schmeiser (1985), Journal of Statistical Computation and Simulation 22, 127-145.
"""

from __future__ import annotations

from math import exp, log, nan, sqrt

from rparity.rrandom.source import Draw, Source

LARGEST_TOTAL = 2**31 - 1  # beyond it R overflows, or inverts the distribution function
LOG_FACTORIALS = (
    0.0,
    0.0,
    0.69314718055994530941723212145817,
    1.79175946922805500081247735838070,
    3.17805383034794561964694160129705,
    4.78749174278204599424770093452324,
    6.57925121201010099506017829290394,
    8.52516136106541430016553103634712,
)
LOG_SQRT_2PI = 0.918938533204672741780329736406
NEAR = 10  # inversion, if the mode is so near to the lower end
SCALE, LOG_SCALE = 1e25, 57.5646273248511421  # against underflow of small probabilities
UPPER, LOWER = 0.0034, 0.0078  # errors of the squeeze's bounds
MOST_REJECTED = 10_000


def hypergeometric(source: Source, white: float, black: float, drawn: float) -> Draw:
    """Return a function that draws how many of the `drawn` balls are white; whole numbers.

    The algorithms are for the rarer colour and at most half of the balls.
    """
    nn1, nn2, kk = int(white), int(black), int(drawn)
    total = nn1 + nn2
    n1, n2 = min(nn1, nn2), max(nn1, nn2)
    k = total - kk if 2 * kk >= total else kk
    low, high = max(0, k - n2), min(n1, k)
    mode = int((k + 1.0) * (n1 + 1.0) / (total + 2.0))
    if low == high:
        rarer: Draw = lambda: high  # noqa: E731
    elif mode - low < NEAR:
        rarer = _inversion(source, n1, n2, k, low, high)
    else:
        rarer = _h2pe(source, n1, n2, k, mode, low, high)
    if 2 * kk >= total:
        if nn1 > nn2:
            return lambda: kk - nn2 + rarer()
        return lambda: nn1 - rarer()
    return (lambda: kk - rarer()) if nn1 > nn2 else rarer


def _log_factorial(i: int) -> float:
    if i < len(LOG_FACTORIALS):
        return LOG_FACTORIALS[i]
    x = float(i)
    squared = x * x
    return (
        (x + 0.5) * log(x)
        - x
        + LOG_SQRT_2PI
        + (0.0833333333333333 - 0.00277777777777778 / squared) / x
    )


def _inversion(source: Source, n1: int, n2: int, k: int, low: int, high: int) -> Draw:
    """Subtract the scaled probabilities of low, low + 1, … from a uniform."""
    unif_rand, ln = source.unif_rand, _log_factorial
    if k < n2:
        first = ln(n2) + ln(n1 + n2 - k) - ln(n2 - k) - ln(n1 + n2)
    else:
        first = ln(n1) + ln(k) - ln(k - n2) - ln(n1 + n2)
    first = exp(first + LOG_SCALE)

    def draw() -> float:
        while True:
            p, x, u = first, low, unif_rand() * SCALE
            while u > p:
                u -= p
                p *= (float(n1) - x) * (k - x)
                x += 1
                p = p / x / (n2 - k + x)
                if x > high:
                    break
            else:
                return x

    return draw


def _h2pe(source: Source, n1: int, n2: int, k: int, m: int, low: int, high: int) -> Draw:
    """Rejection under a rectangle and two exponential tails; m is the mode."""
    unif_rand, ln = source.unif_rand, _log_factorial
    N = float(n1 + n2)

    def log_weight(x: int) -> float:
        return ln(x) + ln(n1 - x) + ln(k - x) + ln(n2 - k + x)

    half = int(1.5 * sqrt((N - k) * k * n1 * n2 / (N - 1) / N / N)) + 0.5
    xl, xr = m - half + 0.5, m + half + 0.5
    a = log_weight(m)
    kl = exp(a - ln(int(xl)) - ln(int(n1 - xl)) - ln(int(k - xl)) - ln(int(n2 - k + xl)))
    kr = exp(
        a - ln(int(xr - 1)) - ln(int(n1 - xr + 1)) - ln(int(k - xr + 1)) - ln(int(n2 - k + xr - 1))
    )
    rate_l = -log(xl * (n2 - k + xl) / (n1 - xl + 1) / (k - xl + 1))
    rate_r = -log((n1 - xr + 1) * (k - xr + 1) / xr / (n2 - k + xr))
    p1 = half + half
    p2 = p1 + kl / rate_l
    p3 = p2 + kr / rate_r

    def explicitly(x: int, v: float) -> bool:
        """Whether v is at most the probability of x, divided by that of the mode."""
        f = 1.0
        for i in range(m + 1, x + 1):
            f = f * (n1 - i + 1) * (k - i + 1) / (n2 - k + i) / i
        for i in range(x + 1, m + 1):
            f = f * i * (n2 - k + i) / (n1 - i + 1) / (k - i + 1)
        return v <= f

    def squeezed(x: int, v: float) -> bool:
        """The same by bounds of the logarithm, or by Stirling's formula between them."""
        y1, ym = x + 1.0, float(x - m)
        yn, yk = n1 - x + 1.0, k - x + 1.0
        nk = n2 - k + y1
        r, s, t, e = -ym / y1, ym / yn, ym / yk, -ym / nk
        g = yn * yk / (y1 * nk) - 1.0
        dg = 1.0 + g if g < 0.0 else 1.0
        gu = g * (1.0 + g * (-0.5 + g / 3.0))
        gl = gu - 0.25 * (g * g * g * g) / dg
        xm, xn, xk = m + 0.5, n1 - m + 0.5, k - m + 0.5
        nm = n2 - k + xm
        bound = (
            float(x) * gu
            - m * gl
            + UPPER
            + xm * r * (1.0 + r * (-0.5 + r / 3.0))
            + xn * s * (1.0 + s * (-0.5 + s / 3.0))
            + xk * t * (1.0 + t * (-0.5 + t / 3.0))
            + nm * e * (1.0 + e * (-0.5 + e / 3.0))
        )
        log_v = log(v)
        if log_v > bound:
            return False
        dr, ds, dt, de = (
            fourth / (1.0 + q) if q < 0.0 else fourth
            for q, fourth in (
                (r, xm * (r * r * r * r)),
                (s, xn * (s * s * s * s)),
                (t, xk * (t * t * t * t)),
                (e, nm * (e * e * e * e)),
            )
        )
        if log_v < bound - 0.25 * (dr + ds + dt + de) + (float(x) + m) * (gl - gu) - LOWER:
            return True
        return log_v <= a - ln(x) - ln(n1 - x) - ln(k - x) - ln(n2 - k + x)

    def draw() -> float:
        for _ in range(MOST_REJECTED - 1):
            u = unif_rand() * p3
            v = unif_rand()
            if u < p1:
                x = int(xl + u)
            elif u <= p2:
                x = int(xl + log(v) / rate_l)
                if x < low:
                    continue
                v = v * (u - p1) * rate_l
            else:
                x = int(xr - log(v) / rate_r)
                if x > high:
                    continue
                v = v * (u - p2) * rate_r
            if (explicitly if m < 100 or x <= 50 else squeezed)(x, v):
                return x
        unif_rand()
        unif_rand()
        return nan

    return draw
