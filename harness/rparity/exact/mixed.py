"""The optimum of a linear mixed model, proven, and lmer's tables at it."""

from __future__ import annotations

from collections.abc import Sequence

from flint import arb, arb_mat, ctx, fmpq

from rparity.exact.criterion import Criterion, Point
from rparity.exact.design import Term
from rparity.exact.enclosure import Balls, NotCertifiedError, is_positive_definite, zero_of
from rparity.exact.tables import Table, one_row, quantiles, square
from rparity.lmm.varcorr import groups


def optimum(criterion: Criterion, start: Sequence[float]) -> Balls:
    """Enclose the local optimum near `start` (m,), whose zeros on Λ's diagonal are the boundary's.

    Proven are: one zero of the gradient in the elements that are free, a positive definite Hessian
    there, slopes that rise from the boundary into every covariance beyond it, and, without the
    derivatives, that the criterion is higher on either side along each element.

    Raises
    ------
    NotCertifiedError
        Where one of these fails.
    """
    theta = [arb(value) for value in start]
    zero = {
        (e.term, e.col)
        for e, value in zip(criterion.entries, theta, strict=True)
        if e.row == e.col and value == 0
    }
    free = [i for i, e in enumerate(criterion.entries) if (e.term, e.col) not in zero]
    if any(theta[i] != 0 for i in range(len(theta)) if i not in free):
        raise NotCertifiedError("A column of Λ has a zero on its diagonal and others below it.")

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
        raise NotCertifiedError("The gradient's zero is no minimum: its Hessian is not positive.")
    if terms := there.leaves_boundary():
        groups = ", ".join(criterion.design.terms[t].group for t in terms)
        raise NotCertifiedError(
            f"A variance of {groups} that the start holds at zero would lower the criterion: "
            "start it above zero."
        )
    _check_rises(criterion, theta, free)
    return theta


def _check_rises(criterion: Criterion, theta: Balls, free: Sequence[int]) -> None:
    """Compare the criterion with its neighbours, which catches derivatives that are wrong."""
    middle = [ball.mid() for ball in theta]
    least = criterion.at(middle).value
    for i in free:
        for sign in (-1, 1):
            beside = list(middle)
            beside[i] *= 1 + sign * arb(2) ** (-ctx.prec // 5)
            if not criterion.at(beside).value > least:
                raise NotCertifiedError(
                    f"The criterion does not rise from the point found, along θ[{i}]."
                )


def lmer_tables(criterion: Criterion, theta: Balls) -> dict[str, Table]:
    """All of lmer's tables at θ (m,), as `lmer_tables()` of r_scripts/tables.R."""
    at, design = criterion.at(theta), criterion.design
    names, p = list(design.names), design.p
    sigma2 = at.s / criterion.f
    sigma = sigma2.sqrt()
    beta = [at.beta[i, 0] for i in range(p)]
    vcov = (sigma2 * at.A_inverse).tolist()
    errors = [vcov[i][i].sqrt() for i in range(p)]
    b = at.S * at.h
    effects = [b[i, 0] for i in range(design.q)]
    scaled = _scaled_residuals(criterion, beta, effects, sigma)
    z = arb(2).sqrt() * arb(fmpq(19, 20)).erfinv()  # the normal quantile of 0.975
    nothing = [arb.nan(), arb.nan()]
    m = len(theta)
    unknown = p + m + 1
    value = at.value
    return {
        "coef": Table(
            ("estimate", "std_error", "statistic"),
            {n: [e, s, e / s] for n, e, s in zip(names, beta, errors, strict=True)},
        ),
        "vcov": square(names, vcov),
        "varcorr": _varcorr(criterion, at, sigma2),
        "theta": Table(("value",), _theta(criterion, theta)),
        "ranef": _ranef(criterion, at, effects, sigma2),
        "glance": one_row(
            sigma=sigma,
            nobs=design.n,
            df_residual=design.n - unknown,
            log_lik=-value / 2,
            aic=value + 2 * unknown,
            bic=value + arb(design.n).log() * unknown,
            criterion=value,
        ),
        "residual_quantiles": quantiles(scaled),
        "confint_wald": Table(
            ("conf_low", "conf_high"),
            {f".sig{i + 1:02d}": nothing for i in range(m)}
            | {".sigma": nothing}
            | {n: [e - z * s, e + z * s] for n, e, s in zip(names, beta, errors, strict=True)},
        ),
    }


def _scaled_residuals(
    criterion: Criterion, beta: Sequence[arb], b: Sequence[arb], sigma: arb
) -> list[arb]:
    """√w (y − offset − Xβ − Zb) / σ, (n,)."""
    design = criterion.design
    residuals = [y - fit for y, fit in zip(design.y, design.fitted(beta, b), strict=True)]
    if design.weights is None:
        return [r / sigma for r in residuals]
    return [arb(w).sqrt() * r / sigma for w, r in zip(design.weights, residuals, strict=True)]


def _theta(criterion: Criterion, theta: Balls) -> dict[str, list[arb]]:
    """Name θ: `group.name` on the diagonal, `group.row.column` below it."""
    out = {}
    for e, value in zip(criterion.entries, theta, strict=True):
        term = criterion.design.terms[e.term]
        last = "" if e.row == e.col else f".{term.names[e.col]}"
        out[f"{term.group}.{term.names[e.row]}{last}"] = [value]
    return out


def _varcorr(criterion: Criterion, at: Point, sigma2: arb) -> Table:
    """Variances, then covariances of each term with correlations, the residual last."""
    rows: dict[str, list[arb]] = {}
    for t, (term, label) in enumerate(
        zip(criterion.design.terms, groups(criterion.design.terms), strict=True)
    ):
        L = at.Lambda[t]
        cov = sigma2 * (L * L.transpose())
        for i, name in enumerate(term.names):
            rows[f"{label}.{name}"] = [cov[i, i], cov[i, i].sqrt()]
        for j in range(term.k):
            for i in range(j + 1, term.k):
                product = (cov[i, i] * cov[j, j]).sqrt()
                rho = arb.nan() if product == 0 else cov[i, j] / product
                rows[f"{label}.{term.names[j]}.{term.names[i]}"] = [cov[i, j], rho]
    rows["Residual"] = [sigma2, sigma2.sqrt()]
    return Table(("vcov", "sdcor"), rows)


def _ranef(criterion: Criterion, at: Point, effects: Sequence[arb], sigma2: arb) -> Table:
    """b̂ = SZ'V⁻¹(y − Xβ̂) and the roots of σ²(S − SZ'V⁻¹ZS)'s diagonal, a group's terms together."""
    ST = at.S * at.T
    rows: dict[str, list[arb]] = {}
    terms = criterion.design.terms
    for group in dict.fromkeys(term.group for term in terms):
        for term in terms:
            if term.group == group:
                rows |= _effects(term, effects, _condvar(ST, at.S, term), sigma2)
    return Table(("condval", "condsd"), rows)


def _condvar(ST: arb_mat, S: arb_mat, term: Term) -> list[arb]:
    """Diagonal of S − STS for one term; S has blocks of k."""
    out = []
    for i in range(term.start, term.start + term.size):
        first = i - (i - term.start) % term.k
        block = range(first, first + term.k)
        out.append(S[i, i] - sum((ST[i, j] * S[j, i] for j in block), arb(0)))
    return out


def _effects(
    term: Term, effects: Sequence[arb], condvar: Sequence[arb], sigma2: arb
) -> dict[str, list[arb]]:
    """A coefficient of all levels after the other."""
    rows = {}
    for a, name in enumerate(term.names):
        for i, level in enumerate(term.levels):
            at = i * term.k + a
            # At a variance of zero the root of an exact zero; else all is above zero.
            condsd = arb(0) if condvar[at] == 0 else (sigma2 * condvar[at]).sqrt()
            rows[f"{term.group}.{level}.{name}"] = [effects[term.start + at], condsd]
    return rows
