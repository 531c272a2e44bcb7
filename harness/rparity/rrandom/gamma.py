"""Gamma, chi-squared and t variates, as R's `rgamma`: GD from a shape of 1 on, GS below.

Ahrens & Dieter (1982), Communications of the ACM 25, 47-54, and (1974), Computing 12, 223-246.
"""

from __future__ import annotations

from math import copysign, exp, expm1, inf, log, sqrt

from rparity.rrandom.source import Draw, Source

INVERSE_E = 0.36787944117144232159
SQRT_32 = 5.656854  # rounded as in the paper
TAU = -0.71874483771719  # below this no proposal of the double exponential is accepted

# Coefficients from the highest power down; the second polynomial is multiplied by its argument.
Q0 = (2.424e-4, 2.4511e-4, -7.388e-5, 0.00144121, 0.00801191, 0.02083148, 0.04166669)
LOG_QUOTIENT = (0.1233795, -0.1367177, 0.1423657, -0.1662921, 0.2000062, -0.250003, 0.3333333)


def gamma(source: Source, shape: float, scale: float) -> Draw:
    """Return a function that draws gamma variates; shape and scale are positive and finite."""
    return (_gs if shape < 1 else _gd)(source, shape, scale)


def chi_squared(source: Source, df: float) -> Draw:
    """Return a function that draws chi-squared variates; df is positive and finite."""
    return gamma(source, df / 2.0, 2.0)


def student(source: Source, df: float) -> Draw:
    """Return a function that draws Student's t variates; df is positive and may be infinite."""
    if df == inf:
        return source.norm_rand
    norm_rand, squares = source.norm_rand, chi_squared(source, df)

    def draw() -> float:
        normal = norm_rand()
        spread = sqrt(squares() / df)
        return normal / spread if spread else copysign(inf, normal)

    return draw


def _gs(source: Source, shape: float, scale: float) -> Draw:
    """Reject from a hat that is x^(shape - 1) up to 1, and exp(-x) beyond."""
    unif_rand, _, exp_rand = source
    area = 1.0 + INVERSE_E * shape

    def draw() -> float:
        while True:
            p = area * unif_rand()
            if p < 1.0:
                x = exp(log(p) / shape)
                least = x
            else:
                x = -log((area - p) / shape)
                least = (1.0 - shape) * log(x)
            if exp_rand() >= least:
                return scale * x

    return draw


def _gd(source: Source, shape: float, scale: float) -> Draw:
    """Accept a normal's square at once, by a squeeze or by a quotient; else use a Laplace hat."""
    unif_rand, norm_rand, exp_rand = source
    s2 = shape - 0.5
    s = sqrt(s2)
    d = SQRT_32 - s * 12.0
    q0 = _polynomial(Q0, 1.0 / shape) * (1.0 / shape)
    if shape <= 3.686:
        b, sigma, c = 0.463 + s + 0.178 * s2, 1.235, 0.195 / s - 0.079 + 0.16 * s
    elif shape <= 13.022:
        b, sigma, c = 1.654 + 0.0076 * s2, 1.68 / s + 0.275, 0.062 / s + 0.024
    else:
        b, sigma, c = 1.77, 0.75, 0.1515 / s

    def log_quotient(t: float) -> float:
        """Return the logarithm of the density at t over that of the normal."""
        v = t / (s + s)
        if abs(v) <= 0.25:
            return q0 + 0.5 * t * t * _polynomial(LOG_QUOTIENT, v) * v
        return q0 - s * t + 0.25 * t * t + (s2 + s2) * log(1.0 + v)

    def draw() -> float:
        t = norm_rand()
        x = s + 0.5 * t
        if t >= 0.0:
            return scale * (x * x)
        u = unif_rand()
        if d * u <= t * t * t:
            return scale * (x * x)
        if x > 0.0 and log(1.0 - u) <= log_quotient(t):
            return scale * (x * x)
        while True:
            e = exp_rand()
            u = unif_rand()
            u = u + u - 1.0
            t = b + copysign(sigma * e, u)
            if t >= TAU:
                q = log_quotient(t)
                if q > 0.0 and c * abs(u) <= expm1(q) * exp(e - 0.5 * t * t):
                    x = s + 0.5 * t
                    return scale * x * x

    return draw


def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
