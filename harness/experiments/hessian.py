"""The covariance of fixed effects from the Hessian in β and the variances together."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.lmm.fit import LmerResults

Array = NDArray[np.float64]


def joint_cov_params(fit: LmerResults) -> pd.DataFrame:
    """Invert the observed information of (β, ψ) and return its β block, shape (p, p).

    ψ are the elements of ΛΛ', σ² is profiled out, and the information is evaluated at the θ of
    `fit`. This is what statsmodels' `MixedLM` takes its standard errors from; lme4's `vcov` inverts
    the β block alone. The two agree where the blocks do not meet, as in balanced designs. Dense:
    time grows with the cube of n.
    """
    model, weights = fit.model, fit.model.sqrt_weights
    X = weights[:, None] * model.matrices.X
    r = weights * (fit.response - model.matrices.offset - model.matrices.X @ fit.beta)
    M, derivatives = _covariance(fit)
    inverse = np.linalg.inv(M)
    MX, Mr = inverse @ X, inverse @ r
    A, q = X.T @ MX, float(r @ Mr)
    A_inverse = np.linalg.inv(A)
    f = model.divisor(reml=fit.reml)
    cross = np.stack([f * MX.T @ (D @ Mr) / q for D in derivatives], axis=1)

    m = len(derivatives)
    MD = [inverse @ D for D in derivatives]
    slopes = [-float(Mr @ D @ Mr) / q for D in derivatives]
    AD = [-A_inverse @ (MX.T @ D @ MX) for D in derivatives]
    psi = np.empty((m, m))
    for i in range(m):
        for j in range(i + 1):
            curved = 2.0 * float((derivatives[i] @ Mr) @ (MD[j] @ Mr)) / q
            second = f * (curved - slopes[i] * slopes[j]) - float(np.sum(MD[i] * MD[j].T))
            if fit.reml:
                bent = 2.0 * (derivatives[i] @ MX).T @ (MD[j] @ MX)
                second += float(np.trace(A_inverse @ bent)) - float(np.sum(AD[i] * AD[j].T))
            psi[i, j] = psi[j, i] = 0.5 * second
    information = np.block([[f * A / q, cross], [cross.T, psi]])
    p = model.p
    return pd.DataFrame(np.linalg.inv(information)[:p, :p], fit.term_names, fit.term_names)


def _covariance(fit: LmerResults) -> tuple[Array, list[Array]]:
    """V over σ² of the weighted responses, (n, n), and its derivatives in the elements of ΛΛ'."""
    model = fit.model
    Lam = model.template.Lambda(fit.theta_hat)
    blocks = model.template.blocks(Lam @ Lam.T)
    V = np.eye(model.n)
    derivatives = []
    for term, block in zip(model.matrices.random, blocks, strict=True):
        same = term.codes[:, None] == term.codes
        Z = model.sqrt_weights[:, None] * term.Z
        for a in range(len(block)):
            for b in range(a + 1):
                D = np.where(same, np.outer(Z[:, a], Z[:, b]), 0.0)
                D = D if a == b else D + D.T
                V += block[a, b] * D
                derivatives.append(D)
    return V, derivatives
