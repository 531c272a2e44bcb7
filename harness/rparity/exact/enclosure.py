"""Newton's method in balls, and Krawczyk's test that exactly one zero lies where it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flint import arb, arb_mat, ctx

from rparity.errors import RparityError

Balls = list[arb]
Equations = Callable[[Balls], tuple[Balls, arb_mat]]  # from x to g(x) and its Jacobian

STEPS = 60


class NotCertifiedError(RparityError):
    """No proof was found; the message names the step that failed."""


def zero_of(function: Equations, start: Sequence[arb]) -> Balls:
    """Enclose a zero of g near `start` in balls that contain exactly one.

    If Krawczyk's operator K(X) = x − Yg(x) + (I − Y·J(X))(X − x), with Y ≈ J(x)⁻¹, maps the box X
    into its own interior, g has exactly one zero in X, and it lies in K(X).

    Source: Krawczyk (1969), Computing 4; Rump (2010), Acta Numerica 19, section 13.

    Raises
    ------
    NotCertifiedError
        If Newton's method does not converge, or the test fails.
    """
    x, Y = _newton(function, [ball.mid() for ball in start])
    m = len(x)
    step = Y * arb_mat(m, 1, function(x)[0])
    tiny = arb(2) ** (-ctx.prec // 2)
    radius = [(4 * abs(step[i, 0]) + tiny * abs(x[i])).abs_upper() for i in range(m)]
    box = [x[i] + arb(0, radius[i]) for i in range(m)]
    _, J = function(box)
    identity = arb_mat(m, m, [int(i == j) for i in range(m) for j in range(m)])
    spread = (identity - Y * J) * arb_mat(m, 1, [box[i] - x[i] for i in range(m)])
    K = [x[i] - step[i, 0] + spread[i, 0] for i in range(m)]
    if not all(X.contains_interior(k) for X, k in zip(box, K, strict=True)):
        raise NotCertifiedError(
            "Krawczyk's test fails: at this precision no box around the last point of Newton's "
            "method is proven to contain a zero. Ask for more digits."
        )
    return K


def _newton(function: Equations, x: Balls) -> tuple[Balls, arb_mat]:
    """Iterate until steps are rounding; return the point, and the inverse Jacobian there."""
    done = arb(2) ** (-ctx.prec * 2 // 3)
    for _ in range(STEPS):
        g, J = function(x)
        try:
            Y = J.mid().inv().mid()
        except ZeroDivisionError:
            break
        step = Y * arb_mat(len(x), 1, g)
        moves = [step[i, 0].mid() for i in range(len(x))]
        if not all(move.is_finite() for move in moves):
            break
        x = [(a - move).mid() for a, move in zip(x, moves, strict=True)]
        if all(abs(move) <= done * abs(a) for a, move in zip(x, moves, strict=True)):
            return x, Y
    raise NotCertifiedError(
        f"Newton's method did not converge in {STEPS} steps: start it nearer the optimum."
    )


def is_positive_definite(H: arb_mat) -> bool:
    """Whether all symmetric matrices in the balls are positive definite, by leading minors."""
    rows = H.tolist()
    sizes = range(1, len(rows) + 1)
    return all(arb_mat([row[:size] for row in rows[:size]]).det() > 0 for size in sizes)
