"""Least squares in rational arithmetic, and the tables of `lm`."""

from __future__ import annotations

from flint import arb, arb_mat, fmpq, fmpq_mat

from rparity.errors import DataError
from rparity.exact.ball_tables import BallTable, fixed_effects, one_row, quantiles
from rparity.exact.enclosure import Balls, zero_of
from rparity.exact.rational import RationalModel
from rparity.lmm.numbers.distributions import t_quantile


def lm_tables(model: RationalModel) -> dict[str, BallTable]:
    """Return all of lm's tables, as `lm_tables()` of r_scripts/tables.R.

    β̂, its unscaled covariance, σ² and R² are rational numbers; only roots and tail probabilities
    are balls. Statistics are NaN if the fit has no residuals.

    Raises
    ------
    DataError
        If columns of X depend on each other exactly.
    """
    n, p, cross = model.n, model.p, model.cross
    XX = fmpq_mat(p, p, [cell for row in cross[:p] for cell in row[:p]])
    if XX.det() == 0:
        raise DataError("The columns of the fixed part depend on each other: take one out.")
    inverse = XX.inv()
    Xy = fmpq_mat(p, 1, [row[p] for row in cross[:p]])
    solved = inverse * Xy
    beta = [solved[i, 0] for i in range(p)]
    sse = cross[p][p] - sum((b * Xy[i, 0] for i, b in enumerate(beta)), fmpq(0))
    df, intercept = n - p, int(model.intercept)
    total = cross[p][p] - (sum(model.y, fmpq(0)) ** 2 / n if intercept else 0)
    variance = sse / df
    slopes = p - intercept
    F = (arb((total - sse) / slopes) / variance) if slopes and variance != 0 else arb.nan()
    log_lik = -(arb(n) / 2) * ((2 * arb.pi() * sse / n).log() + 1)
    r_squared = 1 - sse / total
    return {
        **fixed_effects(
            model.names,
            [arb(b) for b in beta],
            arb_mat(inverse * variance).tolist(),
            student_quantile(df),
            lambda t: beta_tail(df, fmpq(1), t**2),
        ),
        "glance": one_row(
            sigma=arb(variance).sqrt(),
            nobs=n,
            df_residual=df,
            log_lik=log_lik,
            aic=-2 * log_lik + 2 * (p + 1),
            bic=-2 * log_lik + arb(n).log() * (p + 1),
            r_squared=arb(r_squared),
            adj_r_squared=arb(1 - (1 - r_squared) * fmpq(n - intercept, df)),
            f_statistic=F,
            p_value=beta_tail(df, fmpq(slopes), F),
        ),
        "residual_quantiles": quantiles(model.residuals(beta)),
    }


def beta_tail(df: arb | int, slopes: fmpq, F: arb) -> arb:
    """P(F(slopes, df) > F), a regularised incomplete beta function; F = t² for Student's t."""
    if not F.is_finite():
        return arb.nan()
    return (df / (df + slopes * F)).beta_lower(arb(df) / 2, arb(slopes) / 2, 1)


def student_quantile(df: arb | int) -> arb:
    """Student's t quantile of 0.975: where the two-sided tail probability is 0.05."""
    a, half = arb(df) / 2, arb(1) / 2
    constant = (a + half).gamma() / (a.gamma() * (arb.pi() * df).sqrt())

    def tail(x: Balls) -> tuple[Balls, arb_mat]:
        density = constant * (1 + x[0] ** 2 / df) ** -(a + half)
        return [beta_tail(df, fmpq(1), x[0] ** 2) - fmpq(1, 20)], arb_mat([[-2 * density]])

    return zero_of(tail, [arb(float(t_quantile(0.975, float(df))))])[0]
