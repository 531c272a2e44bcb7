"""Least squares in rational arithmetic, and lm's tables of it."""

from __future__ import annotations

from collections.abc import Sequence

from flint import arb, arb_mat, fmpq, fmpq_mat
from scipy.stats import t as student

from rparity.errors import DataError
from rparity.exact.design import Design
from rparity.exact.enclosure import Balls, zero_of
from rparity.exact.tables import Table, one_row, quantiles, square


def lm_tables(design: Design) -> dict[str, Table]:
    """All of lm's tables, as `lm_tables()` of r_scripts/tables.R.

    β̂, its unscaled covariance, σ² and R² are rational numbers; balls come in with roots and tails.
    A fit without residuals has no statistics: they are NaN.

    Raises
    ------
    DataError
        For columns that depend on each other, exactly.
    """
    names, n, p = list(design.names), design.n, design.p
    cross = design.cross
    XX = fmpq_mat(p, p, [cell for row in cross[:p] for cell in row[:p]])
    if XX.det() == 0:
        raise DataError("The columns of the fixed part depend on each other: take one out.")
    inverse = XX.inv()
    Xy = fmpq_mat(p, 1, [row[p] for row in cross[:p]])
    solved = inverse * Xy
    beta = [solved[i, 0] for i in range(p)]
    sse = cross[p][p] - sum((b * Xy[i, 0] for i, b in enumerate(beta)), fmpq(0))
    df, intercept = n - p, int(design.intercept)
    total = cross[p][p] - (sum(design.y, fmpq(0)) ** 2 / n if intercept else 0)
    variance = sse / df
    sigma = arb(variance).sqrt()
    errors = [arb(variance * inverse[i, i]).sqrt() for i in range(p)]
    t = [b / e for b, e in zip(beta, errors, strict=True)]
    quantile = _student_quantile(df)
    model = p - intercept
    F = (arb((total - sse) / model) / variance) if model and variance != 0 else arb.nan()
    log_lik = -(arb(n) / 2) * ((2 * arb.pi() * sse / n).log() + 1)
    r_squared = 1 - sse / total
    fitted = design.fitted([arb(b) for b in beta], [])
    return {
        "coef": Table(
            ("estimate", "std_error", "statistic", "p_value"),
            {
                name: [arb(b), e, x, _beta_tail(df, fmpq(1), x**2)]
                for name, b, e, x in zip(names, beta, errors, t, strict=True)
            },
        ),
        "vcov": square(names, arb_mat(inverse * variance).tolist()),
        "glance": one_row(
            sigma=sigma,
            nobs=n,
            df_residual=df,
            log_lik=log_lik,
            aic=-2 * log_lik + 2 * (p + 1),
            bic=-2 * log_lik + arb(n).log() * (p + 1),
            r_squared=arb(r_squared),
            adj_r_squared=arb(1 - (1 - r_squared) * fmpq(n - intercept, df)),
            f_statistic=F,
            p_value=_beta_tail(df, fmpq(model), F),
        ),
        "residual_quantiles": quantiles(_residuals(design, fitted)),
        "confint_wald": Table(
            ("conf_low", "conf_high"),
            {
                name: [b - quantile * e, b + quantile * e]
                for name, b, e in zip(names, beta, errors, strict=True)
            },
        ),
    }


def _residuals(design: Design, fitted: Sequence[arb]) -> list[arb]:
    return [y - fit for y, fit in zip(design.y, fitted, strict=True)]


def _beta_tail(df: int, model: fmpq, F: arb) -> arb:
    """P(F(model, df) > F), the regularised incomplete beta function; F = t² for Student's t."""
    if not F.is_finite():
        return arb.nan()
    return (df / (df + model * F)).beta_lower(arb(df) / 2, arb(model) / 2, 1)


def _student_quantile(df: int) -> arb:
    """Student's t of 0.975: the zero of its tail less 0.05, on both sides."""
    a, half = arb(df) / 2, arb(1) / 2
    constant = (a + half).gamma() / (a.gamma() * (arb.pi() * df).sqrt())

    def tail(x: Balls) -> tuple[Balls, arb_mat]:
        density = constant * (1 + x[0] ** 2 / df) ** -(a + half)
        return [_beta_tail(df, fmpq(1), x[0] ** 2) - fmpq(1, 20)], arb_mat([[-2 * density]])

    return zero_of(tail, [arb(float(student.ppf(0.975, df)))])[0]
