"""The profiled deviance of a linear mixed model, with exact gradient and Hessian, for many responses.

With A = X'V⁻¹X, δ = A⁻¹X'V⁻¹y and s = (y − Xδ)'V⁻¹(y − Xδ), the criterion is (Bates et al. 2015,
eq. 34 and 41)

    d(θ) = log|V| + log|A| + f (1 + log(2π s / f)),    f = n − p     (REML)
    d(θ) = log|V|          + f (1 + log(2π s / f)),    f = n         (ML)

The structure of the random effects gives log|V| and M = [X y]'V⁻¹[X y] with their derivatives in θ;
all else is here, once, for whatever structure and for R responses, each at a θ of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.lmm.structure import Moments, Smooth, Structure

Array = NDArray[np.float64]


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


def evaluate(structure: Structure, moments: Moments, theta: Array, *, reml: bool) -> Evaluation:
    """Evaluate both parts for R responses, each at its own row of θ (R, m)."""
    logdet, M = structure.evaluate(theta, moments)
    p = M.value.shape[-1] - 1
    A = M.value[:, :p, :p]
    A_inv = np.linalg.inv(A)
    delta = (A_inv @ M.value[:, :p, p:])[..., 0]

    # s = v'Mv with v = (−δ, 1), and δ moves with θ: its share of the second derivative is below.
    v = np.concatenate([-delta, np.ones((len(delta), 1))], axis=1)
    M_d_v = np.einsum("ripq,rq->rip", M.gradient, v)
    w = M_d_v[..., :p]
    s = Smooth(
        np.einsum("rp,rpq,rq->r", v, M.value, v),
        np.einsum("rip,rp->ri", M_d_v, v),
        np.einsum("rijpq,rp,rq->rij", M.hessian, v, v) - 2.0 * w @ A_inv @ np.swapaxes(w, 1, 2),
    )
    if reml:
        A_d = A_inv[:, None] @ M.gradient[:, :, :p, :p]
        logdet = Smooth(
            logdet.value + np.linalg.slogdet(A).logabsdet,
            logdet.gradient + np.trace(A_d, axis1=-2, axis2=-1),
            logdet.hessian
            + np.einsum("rpq,rijqp->rij", A_inv, M.hessian[..., :p, :p])
            - np.einsum("ripq,rjqp->rij", A_d, A_d),
        )
    return Evaluation(logdet, s, delta, A_inv)
