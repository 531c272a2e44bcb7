"""The covariance of fixed effects from the Hessian in β and the variances together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]


def joint_cov_params(fit: LmerResults) -> pd.DataFrame:
    """Invert the observed information of (β, ψ) and return its β block, shape (p, p).

    ψ are the elements of ΛΛ', σ² is profiled out, and the information is evaluated at the θ of
    `fit`. statsmodels' `MixedLM` computes its standard errors in this way; lme4's `vcov` inverts
    the β block alone. The two agree if β and ψ are orthogonal, as in balanced designs. All
    matrices are dense in the q random effects: time grows with the cube of q.
    """
    model, weights = fit.model, fit.model.sqrt_weights
    X = weights[:, None] * model.matrices.X
    r = weights * (fit.response - model.matrices.offset - model.matrices.X @ fit.beta)
    Z, S, elements = _random_effects(fit)
    # V = I + ZSZ' over σ². (I + Z'ZS)⁻¹Z' is Z'V⁻¹, without V, and without the cancellation that
    # Woodbury's difference has for large variances.
    ZZ = Z.T @ Z
    ZX, Zr, G = np.split(
        np.linalg.solve(np.eye(len(ZZ)) + ZZ @ S, np.column_stack([Z.T @ X, Z.T @ r, ZZ])),
        [X.shape[1], X.shape[1] + 1],
        axis=1,
    )
    Zr = Zr[:, 0]
    q = float(np.sum((r - Z @ (S @ Zr)) ** 2) + Zr @ S @ Zr)  # r'V⁻¹r
    A = X.T @ (X - Z @ (S @ ZX))
    A_inverse = np.linalg.inv(A)
    f = model.divisor(reml=fit.reml)

    m = len(elements)
    cross = np.column_stack([f / q * sum(ZX[a].T @ Zr[b] for a, b in D.pairs) for D in elements])
    slopes = [-sum(float(Zr[a] @ Zr[b]) for a, b in D.pairs) / q for D in elements]
    AD = [-A_inverse @ sum(ZX[a].T @ ZX[b] for a, b in D.pairs) for D in elements]
    psi = np.empty((m, m))
    for i, first in enumerate(elements):
        for j, second in enumerate(elements[: i + 1]):
            curved = traces = 0.0
            bent = np.zeros_like(A)
            for a, b in first.pairs:
                for c, d in second.pairs:
                    curved += 2.0 * float(Zr[b] @ G[np.ix_(a, c)] @ Zr[d]) / q
                    traces += float(np.sum(G[np.ix_(b, c)] * G[np.ix_(d, a)].T))
                    bent += 2.0 * ZX[b].T @ G[np.ix_(a, c)] @ ZX[d]
            value = f * (curved - slopes[i] * slopes[j]) - traces
            if fit.reml:
                value += float(np.trace(A_inverse @ bent)) - float(np.sum(AD[i] * AD[j].T))
            psi[i, j] = psi[j, i] = 0.5 * value
    information = np.block([[f * A / q, cross], [cross.T, psi]])
    p = model.p
    return pd.DataFrame(np.linalg.inv(information)[:p, :p], fit.term_names, fit.term_names)


@dataclass(frozen=True)
class CovarianceElement:
    """An element of ΛΛ', and V's derivative in it: the sum of Z[:, a] Z[:, b]' over `pairs`."""

    pairs: list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def _random_effects(fit: LmerResults) -> tuple[Array, Array, list[CovarianceElement]]:
    """Z of the weighted responses, (n, q), the covariance of b over σ², (q, q), its elements."""
    model = fit.model
    Lam = model.template.Lambda(fit.theta_hat)
    blocks = model.template.blocks(Lam @ Lam.T)
    columns, elements = [], []
    q = sum(len(term.levels) * term.Z.shape[1] for term in model.matrices.random)
    S, first = np.zeros((q, q)), 0
    for term, block in zip(model.matrices.random, blocks, strict=True):
        levels = len(term.levels)
        same = term.codes[:, None] == np.arange(levels)
        Z = model.sqrt_weights[:, None] * term.Z
        at = [first + a * levels + np.arange(levels) for a in range(len(block))]
        for a in range(len(block)):
            columns.append(np.where(same, Z[:, [a]], 0.0))
            for b in range(a + 1):
                pairs = [(at[a], at[b])] if a == b else [(at[a], at[b]), (at[b], at[a])]
                for left, right in pairs:
                    S[left, right] = block[a, b]
                elements.append(CovarianceElement(pairs))
        first += len(block) * levels
    return np.hstack(columns), S, elements
