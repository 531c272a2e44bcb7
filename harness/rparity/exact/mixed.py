"""The proven optimum of a linear mixed model, and the tables of `lmer` there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import pandas as pd
from flint import arb, ctx, fmpq

from rparity.exact.ball_tables import BallTable, fixed_effects, one_row, quantiles
from rparity.exact.criterion import Criterion, Point
from rparity.exact.enclosure import Balls, NotCertifiedError, is_positive_definite, zero_of
from rparity.exact.inference import BallInference, ddf_tables
from rparity.exact.term_tests import contrast_table, type3_tables
from rparity.lmm.matrices.varcorr import labels, sd_names, theta_names


def optimum(criterion: Criterion, start: Sequence[float]) -> Balls:
    """Enclose the local optimum near `start` (m,); zeros of `start` on Λ's diagonal stay zero.

    The proof has four parts: the gradient in the free elements has exactly one zero; the Hessian
    there is positive definite; the criterion rises from the boundary into every covariance beyond
    it; and, without derivatives, it is higher on either side along each element.

    Raises
    ------
    NotCertifiedError
        If one of these fails.
    """
    theta = [arb(value) for value in start]
    free = _free(criterion, theta)
    if any(theta[i] != 0 for i in range(len(theta)) if i not in free):
        raise NotCertifiedError(
            "The start has a column of Λ with a zero on its diagonal, but not below it."
        )

    def filled(x: Sequence[arb]) -> Balls:
        out = list(theta)
        for i, value in zip(free, x, strict=True):
            out[i] = value
        return out

    if free:
        theta = filled(
            zero_of(lambda x: criterion.at(filled(x)).derivatives(free), [theta[i] for i in free])
        )
    there = criterion.at(theta)
    if free and not is_positive_definite(there.derivatives(free)[1]):
        raise NotCertifiedError(
            "The gradient is zero but not at a minimum: the Hessian is not positive definite."
        )
    if terms := there.leaves_boundary():
        groups = ", ".join(criterion.model.terms[t].group for t in terms)
        raise NotCertifiedError(
            f"A variance of {groups} that the start holds at zero would lower the criterion if it "
            "grew: start it above zero."
        )
    _check_rises(criterion, theta, free)
    return theta


def _free(criterion: Criterion, theta: Sequence[arb]) -> list[int]:
    """Elements of θ in columns of Λ whose diagonal is not an exact zero."""
    places = criterion.elements
    zero = {
        (e.term, e.col)
        for e, value in zip(places, theta, strict=True)
        if e.row == e.col and value == 0
    }
    return [i for i, e in enumerate(places) if (e.term, e.col) not in zero]


def _check_rises(criterion: Criterion, theta: Balls, free: Sequence[int]) -> None:
    """Compare the criterion with values beside it, which catches wrong derivatives."""
    middle = [ball.mid() for ball in theta]
    least = criterion.at(middle).value
    for i in free:
        for sign in (-1, 1):
            beside = list(middle)
            beside[i] *= 1 + sign * arb(2) ** (-ctx.prec // 5)
            if not criterion.at(beside).value > least:
                raise NotCertifiedError(
                    f"The criterion does not rise on both sides of the optimum along θ[{i}]."
                )


def lmer_tables(criterion: Criterion, theta: Balls) -> dict[str, BallTable]:
    """Return all of lmer's tables at θ (m,), as `lmer_tables()` of r_scripts/tables.R."""
    at, model = criterion.at(theta), criterion.model
    terms, m = model.terms, len(theta)
    sigma2 = at.s / criterion.f
    sigma = sigma2.sqrt()
    beta = [at.beta[i, 0] for i in range(model.p)]
    b = at.S * at.h
    effects = [b[i, 0] for i in range(model.q)]
    roots = [arb(w).sqrt() for w in model.weights or [fmpq(1)] * model.n]
    residuals = [w * r / sigma for w, r in zip(roots, model.residuals(beta, effects), strict=True)]
    z = arb(2).sqrt() * arb(fmpq(19, 20)).erfinv()  # the normal quantile of 0.975
    fixed = fixed_effects(model.names, beta, (sigma2 * at.A_inverse).tolist(), z)
    wald = fixed["confint_wald"]
    nothing = {name: (arb.nan(), arb.nan()) for name in sd_names(m)}
    unknown = model.p + m + 1
    value = at.value
    return {
        **fixed,
        "varcorr": _varcorr(at, sigma2),
        "theta": BallTable(
            ("value",), dict(zip(theta_names(terms), [[t] for t in theta], strict=True))
        ),
        "ranef": _ranef(at, effects, sigma2),
        "glance": one_row(
            sigma=sigma,
            nobs=model.n,
            df_residual=model.n - unknown,
            log_lik=-value / 2,
            aic=value + 2 * unknown,
            bic=value + arb(model.n).log() * unknown,
            criterion=value,
        ),
        "residual_quantiles": quantiles(residuals),
        "confint_wald": BallTable(wald.columns, {**nothing, **wald.rows}),
    }


def inference_tables(
    criterion: Criterion, theta: Balls, contrasts: Mapping[str, pd.DataFrame]
) -> dict[str, BallTable]:
    """Return tables of tests at the optimum θ (m,) of a REML fit.

    They are those of `ddf_tables` and `type3_tables`, and one of `contrast_table` for each of
    `contrasts`. Those are left out that are not proven to exist, and all of
    an ML fit.
    """
    model = criterion.model
    if not criterion.reml or model.matrices.names != model.names:
        return {}  # the latter if X keeps columns that R drops, for which there are no contrasts
    found = BallInference(criterion.at(theta), _free(criterion, theta))
    try:
        tested = {kind: contrast_table(found, rows) for kind, rows in contrasts.items()}
        return ddf_tables(found) | type3_tables(found) | tested
    except ZeroDivisionError:  # the data may say nothing about one of the variance parameters
        return {}


def _varcorr(at: Point, sigma2: arb) -> BallTable:
    """Variances, then covariances of each term with correlations, the residual last."""
    cells: list[list[arb]] = []
    for L in at.Lambda:
        cov = sigma2 * (L * L.transpose())
        k = L.nrows()
        cells += [[cov[i, i], cov[i, i].sqrt()] for i in range(k)]
        for j, i in combinations(range(k), 2):
            product = (cov[i, i] * cov[j, j]).sqrt()
            cells.append([cov[i, j], arb.nan() if product == 0 else cov[i, j] / product])
    names = [*labels(at.criterion.model.terms), "Residual"]
    return BallTable(
        ("vcov", "sdcor"), dict(zip(names, [*cells, [sigma2, sigma2.sqrt()]], strict=True))
    )


def _ranef(at: Point, effects: Sequence[arb], sigma2: arb) -> BallTable:
    """b̂ = SZ'V⁻¹(y − Xβ̂) and the roots of the diagonal of σ²(S − SZ'V⁻¹ZS).

    A group's terms are together, coefficient by coefficient.
    """
    S, ST = at.S, at.S * at.T
    rows: dict[str, list[arb]] = {}
    terms = at.criterion.model.terms
    for term in sorted(terms, key=lambda term: [t.group for t in terms].index(term.group)):
        for a, name in enumerate(term.names):
            for level, first in zip(term.levels, term.starts, strict=True):
                i = first + a
                block = range(first, first + term.k)  # S is zero outside of it
                var = S[i, i] - sum((ST[i, j] * S[j, i] for j in block), arb(0))
                # The variance is an exact zero where the term's is; elsewhere it is positive.
                condsd = arb(0) if var == 0 else (sigma2 * var).sqrt()
                rows[f"{term.group}.{level}.{name}"] = [effects[i], condsd]
    return BallTable(("condval", "condsd"), rows)
