"""The profiled deviance of a linear mixed model, with exact gradient and Hessian, for many responses.

With A = X'V⁻¹X, δ = A⁻¹X'V⁻¹y and s = (y − Xδ)'V⁻¹(y − Xδ), the criterion is (Bates et al. 2015,
eq. 34 and 41)

    d(θ) = log|V| + log|A| + f (1 + log(2π s / f)),    f = n − p     (REML)
    d(θ) = log|V|          + f (1 + log(2π s / f)),    f = n         (ML)

Everything that depends on θ is a contraction of C(θ) with moments of the data (see `structure`), so
one call evaluates R responses, each at a θ of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.lmm.structure import Moments, OneFactor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Smooth:
    """A function of θ with its derivatives, for R responses: (R,), (R, m), (R, m, m)."""

    value: Array
    gradient: Array
    hessian: Array


@dataclass(frozen=True)
class Evaluation:
    """The two parts of the deviance at θ, and the fixed effects there.

    `logdet` is log|V|, plus log|A| under REML; `s` the penalized residual sum of squares; `delta`
    (R, p) the fixed effects in the working basis; `A_inv` (R, p, p) their covariance over σ².
    """

    logdet: Smooth
    s: Smooth
    delta: Array
    A_inv: Array

    def profiled(self, f: float) -> Smooth:
        """Return d(θ), the residual variance profiled out at s / f."""
        ratio = self.s.gradient / self.s.value[:, None]
        return Smooth(
            self.logdet.value + f * (1.0 + np.log(2.0 * np.pi * self.s.value / f)),
            self.logdet.gradient + f * ratio,
            self.logdet.hessian
            + f
            * (self.s.hessian / self.s.value[:, None, None] - ratio[:, :, None] * ratio[:, None]),
        )


def evaluate(structure: OneFactor, moments: Moments, theta: Array, *, reml: bool) -> Evaluation:
    """Evaluate both parts for R responses, each at its own row of θ (R, m)."""
    R, m = theta.shape
    p = structure.within_XX.shape[0]
    V = structure.covariance(theta)
    XX = structure.XX.reshape(-1, p * p)

    A = structure.within_XX + (V.C @ XX).reshape(R, p, p)
    A_inv = np.linalg.inv(A)
    Xy = moments.within_Xy + np.einsum("rk,rkp->rp", V.C, moments.Xy)
    delta = (A_inv @ Xy[..., None])[..., 0]

    # v'Hv with v = (−δ, 1): the residual's share of each moment that C weighs.
    resid_X = moments.Xy - np.einsum("kpq,rq->rkp", structure.XX, delta)
    resid_yy = moments.yy - np.einsum("rkp,rp->rk", moments.Xy + resid_X, delta)
    outside = moments.within_yy - np.einsum(
        "rp,rp->r", 2.0 * moments.within_Xy - delta @ structure.within_XX, delta
    )
    w = np.einsum("rik,rkp->rip", V.C_d, resid_X)
    s = Smooth(
        outside + np.einsum("rk,rk->r", V.C, resid_yy),
        np.einsum("rik,rk->ri", V.C_d, resid_yy),
        np.einsum("rijk,rk->rij", V.C_dd, resid_yy) - 2.0 * w @ A_inv @ np.swapaxes(w, 1, 2),
    )
    logdet = Smooth(V.logdet, V.logdet_d, V.logdet_dd)
    if reml:
        trace = A_inv.reshape(R, p * p) @ XX.T
        A_d = A_inv[:, None] @ (V.C_d @ XX).reshape(R, m, p, p)
        logdet = Smooth(
            logdet.value + np.linalg.slogdet(A).logabsdet,
            logdet.gradient + np.einsum("rik,rk->ri", V.C_d, trace),
            logdet.hessian
            + np.einsum("rijk,rk->rij", V.C_dd, trace)
            - np.einsum("ripq,rjqp->rij", A_d, A_d),
        )
    return Evaluation(logdet, s, delta, A_inv)
