"""Degrees of freedom of tests of fixed effects, by Satterthwaite and by Kenward and Roger.

In the notation of Bates et al. (2015) the response has covariance σ²V, V = I + ZΛΛ'Z', and β̂ has
covariance V_β = σ²A⁻¹ with A = X'V⁻¹X. A test of Lβ = r needs to know how certain V_β itself is.

**Satterthwaite**, as lmerTest has it. With v = LV_βL' for one row L, g the gradient of v in the
variance parameters (θ, σ), and 𝒜 = 2H⁻¹ their covariance, H being the Hessian of the deviance
(under REML of the REML criterion) in (θ, σ),

    df = 2v² / (g'𝒜g).

For several rows LV_βL' = PDP' makes independent t tests of the rows of P'L, with ν_1, …, ν_q
degrees of freedom. Their mean square is compared with F(q, 2E / (E − q)), E = Σ ν_i / (ν_i − 2).

**Kenward and Roger** (1997), as pbkrtest has it. V is linear in directions G_i, the elements of ΛΛ'
and V itself (which stands for σ²). With Φ = A⁻¹,

    P_i = −X'V⁻¹G_iV⁻¹X,    Q_ij = X'V⁻¹G_iV⁻¹G_jV⁻¹X,    K_ij = tr(V⁻¹G_iV⁻¹G_j),
    W = 2 [K_ij − 2 tr(ΦQ_ij) + tr(ΦP_iΦP_j)]⁻¹,
    Φ_A = Φ + 2Φ [Σ_ij W_ij (Q_ij − P_iΦP_j)] Φ,

and σ²Φ_A is the adjusted covariance. F and its degrees of freedom match the first two moments of
the Wald statistic, from A₁ = Σ W_ij tr(ΘΦP_iΦ) tr(ΘΦP_jΦ) and A₂ = Σ W_ij tr(ΘΦP_iΦ ΘΦP_jΦ),
Θ = L'(LΦL')⁻¹L; one row has 2 / A₂.

No derivative is approximated: the structures give log|V| and M = [X y]'V⁻¹[X y] with first and
second derivatives, in θ for the one method and along the G_i for the other. Neither method sees the
scale of the response or of the columns of X; all is computed in the orthonormal basis of X.

Sources: Kuznetsova, Brockhoff and Christensen (2017), JSS 82(13), doi:10.18637/jss.v082.i13, and
lmerTest 3.1-3 (`as_lmerModLT`, `contestMD`); Kenward and Roger (1997), Biometrics 53, 983-997;
Halekoh and Højsgaard (2014), JSS 59(9), doi:10.18637/jss.v059.i09, and pbkrtest 0.5.2 (`vcovAdj`,
`KRmodcomp`).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import scipy.linalg
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.numbers.distributions import f_tail, t_tail
from rparity.lmm.solver.deviance import assemble

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults
    from rparity.lmm.matrices.template import Template

Array = NDArray[np.float64]
Method = Literal["satterthwaite", "kenward-roger"]

# An eigenvalue of the Hessian this small beside the largest one is zero. lmerTest's 1e-8 is
# absolute, so that it depends on the response's unit; here σ and θ are in relative units.
FLAT = 1e-8
# The same for Kenward and Roger's information, relative to that without fixed effects.
UNKNOWN = 1e-10
# lmerTest's tolerance: rows of L whose variance is smaller, beside the largest, are redundant.
REDUNDANT = float(np.sqrt(np.finfo(np.float64).eps))
# lmerTest's tolerance: degrees of freedom that differ by less are the same.
SAME_DF = 1e-8
# pbkrtest's tolerances, for a factor of F that is zero and for degrees of freedom that are two.
ZERO, NEAR_TWO = 1e-10, 0.01


class DegreesOfFreedomWarning(UserWarning):
    """The degrees of freedom come from a fit that is not a clear optimum; the message says why."""


@dataclass(frozen=True)
class FTest:
    """A test of Lβ = r: `scale` · `wald` is compared with F(`ndf`, `ddf`).

    `wald` is the mean square of the independent contrasts over their variances; `scale` is 1 but
    for Kenward and Roger's test of several rows.
    """

    wald: float
    scale: float
    ndf: int
    ddf: float

    @property
    def F(self) -> float:
        """The statistic."""
        return self.scale * self.wald

    @property
    def p(self) -> float:
        """Probability of a larger statistic under the hypothesis."""
        return float(f_tail(self.F, self.ndf, self.ddf))


class Inference(ABC):
    """What a method gives for any contrasts of the fixed effects of one fit.

    `beta` (p,) and `cov` (p, p), the covariance of β̂ that the method's t and F tests take.
    """

    def __init__(self, fit: LmerResults, cov: Array) -> None:
        # Rows are solutions for unit vectors: R⁻ᵀ, where X = QR and the basis is Q.
        self._R_inv = fit.model.from_working(np.eye(fit.model.p)).T
        self.beta = fit.beta
        self._V = cov  # in the orthonormal basis
        self.cov = np.asarray(self._R_inv @ cov @ self._R_inv.T)

    def variance(self, L: Array) -> Array:
        """Variances of Lβ̂ for the rows of L (r, p): (r,)."""
        rows = L @ self._R_inv
        return np.asarray(np.einsum("ra,ab,rb->r", rows, self._V, rows))

    @abstractmethod
    def df(self, L: Array) -> Array:
        """Degrees of freedom of the t test of each row of L (r, p): (r,)."""

    @abstractmethod
    def joint(self, L: Array, rhs: Array | float = 0.0) -> FTest:
        """Test all rows of L (r, p) at once: Lβ = rhs, (r,) or one number."""


class Satterthwaite(Inference):
    """V_β with its gradient in (θ, σ), and the covariance of these parameters."""

    def __init__(self, fit: LmerResults) -> None:
        model, sigma = fit.model, fit.sigma
        theta = model.working.W @ fit.theta_hat
        # From β̂ on, the residuals are small numbers, not differences of large ones.
        moments = model.structure.moments(model.deviations(fit.response, fit.beta)[:, None])
        logdet, M = model.structure.evaluate(theta[None], moments)
        at = assemble(model.template, logdet, M, reml=fit.reml)
        deviance = at.given_sigma(np.log([sigma]), model.divisor(reml=fit.reml))
        m, p = model.template.m, model.p
        A_inv = at.A_inv[0]
        super().__init__(fit, sigma**2 * A_inv)
        # The derivatives in u = σ/σ̂ are those in log σ, but the second one less the slope.
        hessian = deviance.hessian[0]
        hessian[m, m] -= deviance.gradient[0, m]
        size = np.append(1.0 + np.abs(theta), 1.0)
        self._jacobian = np.empty((m + 1, p, p))
        self._jacobian[:m] = -(sigma**2) * (A_inv @ M.gradient[0, :, :p, :p] @ A_inv)
        self._jacobian[m] = 2.0 * self._V
        self._jacobian *= size[:, None, None]
        self._root = _root_of_inverse(size[:, None] * hessian * size, singular=fit.is_singular)

    def df(self, L: Array) -> Array:
        """See `Inference`."""
        rows = L @ self._R_inv
        gradient = np.einsum("ra,iab,rb->ri", rows, self._jacobian, rows)
        v = self.variance(L)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(v**2 / ((gradient @ self._root) ** 2).sum(axis=1))

    def joint(self, L: Array, rhs: Array | float = 0.0) -> FTest:
        """See `Inference`."""
        if len(L) == 1:
            single = (L @ self.beta - rhs) ** 2 / self.variance(L)
            return FTest(float(single[0]), 1.0, 1, float(self.df(L)[0]))
        rows = L @ self._R_inv
        d, P = np.linalg.eigh(rows @ self._V @ rows.T)
        keep = d > max(REDUNDANT * d[-1], 0.0)
        d, independent = d[keep], P[:, keep].T
        if not len(d):
            raise UsageError("The contrasts of the test are all zero: give L a row that is not.")
        t2 = (independent @ (L @ self.beta - rhs)) ** 2 / d
        nu = self.df(independent @ L)
        return FTest(float(t2.mean()), 1.0, len(d), _pooled(nu[::-1]))


def _root_of_inverse(hessian: Array, *, singular: bool) -> Array:
    """B with BB' = H⁻¹, its pseudo-inverse over the positive eigenvalues, as in lmerTest."""
    values, vectors = np.linalg.eigh(hessian)
    flat = FLAT * max(abs(values[-1]), 1.0)
    negative, positive = values < -flat, values > flat
    zero = ~(negative | positive)
    if negative.any():
        warnings.warn(
            f"The Hessian of the deviance has {int(negative.sum())} negative eigenvalue(s): the "
            "fit is no minimum, and these directions are left out of the degrees of freedom.",
            DegreesOfFreedomWarning,
            stacklevel=5,
        )
    elif zero.any() and not singular:
        warnings.warn(
            f"The deviance is flat in {int(zero.sum())} direction(s) of the variance parameters, "
            "which are left out of the degrees of freedom.",
            DegreesOfFreedomWarning,
            stacklevel=5,
        )
    return np.asarray(vectors[:, positive] / np.sqrt(values[positive]))


def _pooled(nu: Array) -> float:
    """Denominator degrees of freedom of a mean of squared t statistics: `get_Fstat_ddf`."""
    if (np.abs(np.diff(nu)) < SAME_DF).all():
        return float(nu.mean())
    if (nu <= 2.0).any():
        return 2.0
    E = float((nu / (nu - 2.0)).sum())
    return 2.0 * E / (E - len(nu))


def _axes(template: Template, theta: Array) -> Array:
    """Return the principal axes of each term's ΛΛ', (k, k)."""
    parts = [np.linalg.svd(Lam)[0] for Lam in template.blocks(template.Lambda(theta))]
    return np.asarray(scipy.linalg.block_diag(*parts))


class KenwardRoger(Inference):
    """The adjusted covariance Φ_A, and Φ, P and W, from which degrees of freedom follow."""

    def __init__(self, fit: LmerResults) -> None:
        if not fit.reml:
            fit = fit.refit(REML=True)
        model = fit.model
        template, p = model.template, model.p
        moments = model.structure.moments(np.zeros((model.n, 1)))
        theta = model.working.W @ fit.theta_hat
        logdet, M = model.structure.evaluate(theta[None], moments, along=_axes(template, theta))
        A = M.value[0, :p, :p]
        Phi = np.asarray(np.linalg.inv(A), dtype=np.float64)
        i, j = template.pairs
        m = template.m
        # The directions G_i, and V as the last one: V⁻¹V = I makes its P −A, and Q_iV is −P_i.
        P = np.concatenate([M.gradient[0, :, :p, :p], -A[None]])
        K = np.empty((m + 1, m + 1))
        K[:m, :m] = -template.square(logdet.hessian)[0]
        K[:m, m] = K[m, :m] = logdet.gradient[0]
        K[m, m] = model.n
        Q = np.empty((m, m, p, p))  # Q_ij + Q_ij'
        Q[i, j] = Q[j, i] = M.hessian[0, :, :p, :p]
        trace_PQ = np.empty((m + 1, m + 1))
        trace_PQ[:m, :m] = np.einsum("ab,ijab->ij", Phi, Q)
        trace_PQ[:, m] = trace_PQ[m] = -2.0 * np.einsum("ab,iab->i", Phi, P)
        PhiP = Phi @ P
        information = K - trace_PQ + np.einsum("iab,jba->ij", PhiP, PhiP)
        self._W = 2.0 * _inverse(information, np.sqrt(np.diagonal(K)))
        # V adds nothing to the sum: Q_iV − P_iΦP_V = −P_i + P_i.
        W = self._W[:m, :m]
        PPhiP = P[:m] @ np.tensordot(W, PhiP[:m], 1)
        U = np.tensordot(W, Q, 2) / 2.0 - PPhiP.sum(axis=0)
        self._Phi = Phi
        self._PhiPPhi = PhiP @ Phi
        super().__init__(fit, fit.sigma**2 * (Phi + 2.0 * Phi @ ((U + U.T) / 2.0) @ Phi))

    def _traces(self, L: Array) -> tuple[float, float]:
        """A₁ and A₂ for L (q, p) of rank q."""
        rows = L @ self._R_inv
        C = np.linalg.cholesky(rows @ self._Phi @ rows.T)
        half = scipy.linalg.solve_triangular(C, rows, lower=True)
        S = half @ self._PhiPPhi @ half.T
        trace = np.trace(S, axis1=1, axis2=2)
        A1 = float(trace @ self._W @ trace)
        return A1, float(np.einsum("ij,iab,jba->", self._W, S, S))

    def df(self, L: Array) -> Array:
        """See `Inference`."""
        rows = L @ self._R_inv
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.einsum("ra,iab,rb->ri", rows, self._PhiPPhi, rows)
            u /= np.einsum("ra,ab,rb->r", rows, self._Phi, rows)[:, None]
            return np.asarray(2.0 / np.einsum("ri,ij,rj->r", u, self._W, u))

    def joint(self, L: Array, rhs: Array | float = 0.0) -> FTest:
        """See `Inference`. Rows that depend on others are left out."""
        rows = L @ self._R_inv
        R, order = scipy.linalg.qr(rows.T, mode="r", pivoting=True)
        size = np.abs(np.diagonal(R))
        if not size.any():
            raise UsageError("The contrasts of the test are all zero: give L a row that is not.")
        kept = order[: int((size > REDUNDANT * size[0]).sum())]
        estimate = (L @ self.beta - rhs)[kept]
        rows, q = rows[kept], len(kept)
        wald = float(estimate @ np.linalg.solve(rows @ self._V @ rows.T, estimate)) / q
        A1, A2 = self._traces(L[kept])
        if q == 1:
            return FTest(wald, 1.0, 1, 2.0 / A2)
        ddf = _kenward_roger_df(q, A1, A2)
        scale = 1.0 if abs(ddf - 2.0) < NEAR_TWO else ddf * (1.0 - A2 / q) / (ddf - 2.0)
        return FTest(wald, scale, q, ddf)


def _inverse(information: Array, size: Array) -> Array:
    """Inverse of the variance parameters' information, or its pseudo-inverse, as in pbkrtest.

    `size` (m + 1,) are the scales of the parameters: the roots of the information that there would
    be without fixed effects. The information's own diagonal may be nothing but rounding.
    """
    size = np.where(size > 0.0, size, 1.0)
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    known = values > UNKNOWN
    if not known.all():
        warnings.warn(
            f"The data say nothing about {int((~known).sum())} direction(s) of the variance "
            "parameters, which are left out of the degrees of freedom: leave out a random term "
            "that repeats another one or a fixed one.",
            DegreesOfFreedomWarning,
            stacklevel=5,
        )
    half = vectors[:, known] / size[:, None]
    return np.asarray((half / values[known]) @ half.T)


def _kenward_roger_df(q: int, A1: float, A2: float) -> float:
    """Return the denominator degrees of freedom for q rows, as pbkrtest does."""
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
    c1, c2, c3 = np.array([g, q - g, q + 2.0 - g]) / (3.0 * q + 2.0 * (1.0 - g))
    V0, V1, V2 = 1.0 + c1 * B, 1.0 - c2 * B, 1.0 - c3 * B
    V0 = 0.0 if abs(V0) < ZERO else V0
    left = 1.0 - A2 / q
    ratio = 1.0 if abs(left) < 1e-14 and abs(V1) < 1e-14 else left / V1
    rho = ratio**2 * V0 / V2 / q
    return float(4.0 + (q + 2.0) / (q * rho - 1.0))


def inference(fit: LmerResults, ddf: Method) -> Inference:
    """Return the method's inference for a fit.

    Raises
    ------
    UsageError
        For an unknown method.
    """
    if ddf not in get_args(Method):
        raise UsageError(f"ddf must be 'satterthwaite' or 'kenward-roger', and is {ddf!r}.")
    return fit.satterthwaite if ddf == "satterthwaite" else fit.kenward_roger


def refuse_ml(fit: LmerResults, ddf: Method) -> None:
    """Refuse Kenward and Roger's method for an ML fit, as lmerTest does."""
    if ddf == "kenward-roger" and not fit.reml:
        raise UsageError(
            "Kenward and Roger's method is for REML fits, and this one was made by ML: use "
            "fit.refit(REML=True), or ddf='satterthwaite'."
        )


def coefficient_tests(fit: LmerResults, ddf: Method) -> pd.DataFrame:
    """The t test of each fixed effect: `estimate`, `std_error`, `df`, `statistic`, `p`.

    Raises
    ------
    UsageError
        For an unknown method, and for Kenward and Roger's method of an ML fit.
    """
    refuse_ml(fit, ddf)
    method = inference(fit, ddf)
    table = pd.DataFrame(
        {
            "estimate": fit.beta,
            "std_error": np.sqrt(np.diagonal(method.cov)),
            "df": method.df(np.eye(fit.model.p)),
        },
        fit.term_names,
    )
    table["statistic"] = table["estimate"] / table["std_error"]
    table["p"] = 2.0 * t_tail(table["statistic"].abs(), table["df"])
    return table
