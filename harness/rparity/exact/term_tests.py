"""Tests of a mixed model's terms, and of any contrasts of its fixed effects, in balls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import pandas as pd
from flint import arb, arb_mat, ctx, fmpq

from rparity.exact.ball_tables import BallTable
from rparity.exact.criterion import trace_of_product
from rparity.exact.enclosure import NotCertifiedError
from rparity.exact.inference import BallInference
from rparity.exact.least_squares import beta_tail, student_quantile
from rparity.lmm.inference.ddf import NEAR_TWO, SAME_DF, ZERO
from rparity.lmm.inference.hypotheses import FixedTerms, HypothesisWarning

COLUMNS = ("num_df", "den_df", "f_statistic", "p_value")
TESTED = ("estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high")
# An element of a contrast is a fraction with a denominator up to this, if one is so near to it.
MOST_DENOMINATOR, NEAR = 1000, 1e-12
SWEEPS = 60

Joint = Callable[[BallInference, arb_mat], tuple[arb, arb]]  # F and its denominator's df


def type3_tables(found: BallInference) -> dict[str, BallTable]:
    """Return `anova_type3` and `anova_type3_kr`, without a table of which a value is not proven."""
    model = found.at.criterion.model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        contrasts = FixedTerms(model.matrices).contrasts("III")
    tests: dict[str, Joint] = {"anova_type3": _satterthwaite, "anova_type3_kr": _kenward_roger}
    tables = {}
    for kind, test in tests.items():
        rows = {}
        try:
            for label, L in contrasts.items():
                rows[label] = _row(found, test, L.tolist())
        except (NotCertifiedError, ZeroDivisionError):
            continue
        tables[kind] = BallTable(COLUMNS, rows)
    return tables


def contrast_table(found: BallInference, rows: pd.DataFrame) -> BallTable:
    """Return tests and intervals of contrasts by Kenward and Roger: a row (p,) of numbers each."""
    table = {}
    for name, row in zip(rows.index, rows.to_numpy().tolist(), strict=True):
        L = _contrasts([row])
        estimate = (L * found.at.beta)[0, 0]
        error = (L * found.adjusted_cov * L.transpose())[0, 0].sqrt()
        df = found.kenward_roger.df(L)
        t, half = estimate / error, student_quantile(df) * error
        p = beta_tail(df, fmpq(1), t**2)
        table[str(name)] = [estimate, error, df, t, p, estimate - half, estimate + half]
    return BallTable(TESTED, table)


def _contrasts(rows: list[list[float]]) -> arb_mat:
    return arb_mat([[arb(_fraction(value)) for value in row] for row in rows])


def _row(found: BallInference, test: Joint, contrasts: list[list[float]]) -> list[arb]:
    L = _contrasts(contrasts)
    q = L.nrows()
    F, df = test(found, L)
    return [arb(q), df, F, beta_tail(df, fmpq(q), F)]


def _fraction(value: float) -> fmpq:
    """Return the fraction that a contrast's element was rounded from, or else the double."""
    simple = Fraction(value).limit_denominator(MOST_DENOMINATOR)
    exact = simple if abs(float(simple) - value) <= NEAR else Fraction(value)
    return fmpq(exact.numerator, exact.denominator)


def _mean_square(found: BallInference, L: arb_mat, cov: arb_mat) -> arb:
    estimate = L * found.at.beta
    inverse = (L * cov * L.transpose()).inv()
    return (estimate.transpose() * inverse * estimate)[0, 0] / L.nrows()


def _satterthwaite(found: BallInference, L: arb_mat) -> tuple[arb, arb]:
    """F and df of Lβ = 0: `rparity.lmm.inference.ddf` has lmerTest's rules for the pooled df."""
    method, q = found.satterthwaite, L.nrows()
    F = _mean_square(found, L, method.cov)
    if q == 1:
        return F, method.df(L)
    nu = _independent_df(
        L * method.cov * L.transpose(),
        [L * each * L.transpose() for each in method.along],
        method.inverse,
    )
    nu.sort(key=lambda ball: float(ball.mid()))
    if all(abs(a - b) < SAME_DF for a, b in pairwise(nu)):
        return F, sum(nu, arb(0)) / q
    if any(each <= 2 for each in nu):
        return F, arb(2)
    if not all(each > 2 for each in nu):
        raise NotCertifiedError("Degrees of freedom cannot be told from two.")
    E = sum((each / (each - 2) for each in nu), arb(0))
    return F, 2 * E / (E - q)


def _independent_df(M: arb_mat, along: Sequence[arb_mat], inverse: arb_mat) -> list[arb]:
    """Degrees of freedom of the contrasts along the eigenvectors of M (q, q).

    With Q near the eigenvectors, C = Q⁻¹MQ is nearly diagonal and has M's eigenvalues. An
    eigenvector Qc for an eigenvalue that others are far from has, beside its own element of 1,
    elements of at most η = q·max|C_ij| / distance. Where eigenvalues coincide, any vector of their
    space is an eigenvector: the degrees of freedom are determined if they are the same for all.

    Raises
    ------
    NotCertifiedError
        If they are not determined.
    """
    q = M.nrows()
    Q = _eigenvectors(M)
    C = Q.inv() * M * Q
    few = arb(2) ** (-ctx.prec // 4)
    values = [C[i, i] for i in range(q)]
    size = max(abs(value).upper() for value in values)
    off = max((abs(C[i, j]).upper() for i in range(q) for j in range(q) if i != j), default=arb(0))
    found: list[arb] = []
    left = sorted(range(q), key=lambda i: float(values[i].mid()))
    while left:
        space = [left.pop(0)]
        while left and abs(values[left[0]] - values[space[-1]]) < few * size:
            space.append(left.pop(0))
        others = [i for i in range(q) if i not in space]
        gaps = [(abs(values[i] - values[j])).lower() - 2 * q * off for i in space for j in others]
        eta = q * off / min(gaps) if gaps else arb(0)
        v, *g = (_same_for_all(Q.transpose() * B * Q, space, eta) for B in (M, *along))
        gradient = arb_mat(len(g), 1, g)
        nu = v**2 / (gradient.transpose() * inverse * gradient)[0, 0]
        if not (nu.is_finite() and nu.rad() < few * abs(nu.mid())):
            raise NotCertifiedError("Contrasts whose variances coincide differ in their df.")
        found += [nu] * len(space)
    return found


def _same_for_all(B: arb_mat, space: Sequence[int], eta: arb) -> arb:
    """Enclose c'Bc for all c whose part in `space` has norm 1, and other elements at most η."""
    q = B.nrows()
    middle = sum((B[i, i] for i in space), arb(0)) / len(space)
    spread = max(abs(B[i, i] - middle).upper() for i in space)
    for i in range(q):
        for j in range(q):
            if i != j and i in space and j in space:
                spread += abs(B[i, j])
            elif i not in space or j not in space:
                spread += abs(B[i, j]) * eta
    return middle + arb(0, 1) * spread.upper()


def _eigenvectors(M: arb_mat) -> arb_mat:
    """Return numbers near the orthonormal eigenvectors of M, by Jacobi's rotations."""
    q = M.nrows()
    A = M.mid()
    Q = arb_mat(q, q, [int(i == j) for i in range(q) for j in range(q)])
    tiny = arb(2) ** (10 - ctx.prec) * sum((abs(A[i, i]) for i in range(q)), arb(0))
    for _ in range(SWEEPS):
        pairs = [(i, j) for i in range(q) for j in range(i) if abs(A[i, j]) > tiny]
        if not pairs:
            break
        for i, j in pairs:
            if A[i, j] == 0:
                continue
            tau = (A[j, j] - A[i, i]) / (2 * A[i, j])
            sign = 1 if tau.mid() >= 0 else -1
            t = sign / (abs(tau) + (1 + tau**2).sqrt())
            c = (1 / (1 + t**2).sqrt()).mid()
            s = (t * c).mid()
            J = arb_mat(q, q, [int(a == b) for a in range(q) for b in range(q)])
            J[i, i] = J[j, j] = c
            J[i, j], J[j, i] = s, -s
            A, Q = (J.transpose() * A * J).mid(), (Q * J).mid()
    return Q


def _kenward_roger(found: BallInference, L: arb_mat) -> tuple[arb, arb]:
    """F and df of Lβ = 0: see `rparity.lmm.inference.ddf`, which has pbkrtest's rules."""
    method, q = found.kenward_roger, L.nrows()
    F = _mean_square(found, L, found.adjusted_cov)
    if q == 1:
        return F, method.df(L)
    # ΘΦP_iΦ of the docstring; `along` is −σ²ΦP_iΦ, and the signs cancel in pairs.
    inverse = (L * method.cov * L.transpose()).inv()
    moved = [inverse * (L * each * L.transpose()) for each in method.along]
    traces = [sum((each[a, a] for a in range(q)), arb(0)) for each in moved]
    W, A1, A2 = method.inverse * 2, arb(0), arb(0)
    for i, one in enumerate(moved):
        for j, other in enumerate(moved):
            A1 += W[i, j] * traces[i] * traces[j]
            A2 += W[i, j] * trace_of_product(one, other)
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    c1, c2, c3 = (each / (3 * q + 2 * (1 - g)) for each in (g, q - g, q + 2 - g))
    V0, V1, V2 = 1 + c1 * B, 1 - c2 * B, 1 - c3 * B
    if abs(V0) < ZERO:
        V0 = arb(0)
    left = 1 - A2 / q
    # 4 + (q + 2) / (qρ − 1) with ρ = (left / V1)² V0 / (qV2), of which V1 or V2 may be zero.
    below = V1**2 * V2
    df = 4 + (q + 2) * below / (left**2 * V0 - below)
    if not df.is_finite():
        raise NotCertifiedError("The degrees of freedom are zero over zero.")
    scale = arb(1) if abs(df - 2) < NEAR_TWO else df * left / (df - 2)
    return scale * F, df
