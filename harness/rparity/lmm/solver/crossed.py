"""Several grouping factors, crossed or nested, with up to a few hundred random effects.

If the terms' ZZ' commute (scalar terms in a balanced design), their common eigenvectors make V
diagonal (`Strata`), and the cost does not depend on the number of random effects. Otherwise V is
one dense block in an orthonormal basis Q of the span of Z (`Dense`). V⁻¹ is I − QQ' + Q C Q'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template
from rparity.lmm.numbers.linalg import inverse
from rparity.lmm.solver.blocks import Blocks, classes
from rparity.lmm.solver.structure import (
    Conditional,
    Derivatives,
    Moments,
    Smooth,
    bordered,
    in_batches,
)

Array = NDArray[np.float64]

# Number of doubles in the arrays of one batch of responses.
SCRATCH = 2**20


@dataclass(frozen=True)
class Span:
    """An orthonormal basis Q (n, r) of the span of all the Z, and T_t = Q'Z_t, (r, L_t, k_t)."""

    Q: Array
    T: list[Array]

    @classmethod
    def of(
        cls, Z: Sequence[Array], codes: Sequence[NDArray[np.intp]], levels: Sequence[int]
    ) -> Span:
        """Find the basis by a QR of Z (n, q) with column pivoting."""
        n = len(Z[0])
        spread = []
        for covariates, code, L in zip(Z, codes, levels, strict=True):
            full = np.zeros((n, L, covariates.shape[1]))
            full[np.arange(n), code] = covariates
            spread.append(full.reshape(n, -1))
        whole = np.hstack(spread)
        Q, R, _ = scipy.linalg.qr(whole, mode="economic", pivoting=True)
        size = np.abs(np.diagonal(R))
        Q = Q[:, size > 1e-12 * size[0]]
        T = [
            np.asarray(Q.T @ part).reshape(Q.shape[1], L, -1)
            for part, L in zip(spread, levels, strict=True)
        ]
        return cls(np.asarray(Q, dtype=np.float64), T)

    def conditional(self, template: Template, theta: Array, residual: Array) -> Conditional:
        """Return û = B'C Q'(y − Xβ) with covariance (I + B'B)⁻¹, where B = TΛ (see `Structure`)."""
        triangles = template.blocks(template.Lambda(theta))
        B = np.hstack(
            [(T @ Lam).reshape(len(T), -1) for T, Lam in zip(self.T, triangles, strict=True)]
        )
        C, _ = inverse(B)
        u = B.T @ (C @ (self.Q.T @ residual))
        inner, _ = inverse(B.T)
        means, covariances, start = [], [], 0
        for T in self.T:
            _, L, k = T.shape
            span = slice(start, start + L * k)
            own = inner[span, span].reshape(L, k, L, k)[np.arange(L), :, np.arange(L)]
            means.append(u[span].reshape(L, k))
            covariances.append(own)
            start += L * k
        return Conditional(means, covariances)


class Strata(Blocks):
    """Scalar terms whose Z_tZ_t' commute: V = Σ_s λ_s P_s, λ_s = 1 + Σ_t μ_st θ_t²."""

    def __init__(self, template: Template, span: Span, vectors: Array, mu: Array, X: Array) -> None:
        self._span = span
        T = np.sqrt(mu)
        first, members = classes(mu)
        super().__init__(template, span.Q @ vectors, T[first][:, None, :], members, X)

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        return self._span.conditional(self.template, theta, residual)


def commute(Z: Sequence[Array], codes: Sequence[NDArray[np.intp]]) -> bool:
    """Whether all terms are scalar and their Z_tZ_t' commute when applied to one test vector."""
    if any(part.shape[1] > 1 for part in Z):
        return False

    def times(t: int, v: Array) -> Array:
        z = Z[t][:, 0]
        return np.asarray(z * np.bincount(codes[t], z * v)[codes[t]])

    v = np.sin(np.arange(1.0, len(Z[0]) + 1.0))
    once = [times(t, v) for t in range(len(Z))]
    for s, t in combinations(range(len(Z)), 2):
        one, other = times(s, once[t]), times(t, once[s])
        if np.abs(one - other).max() > 1e-9 * np.abs(one).max():
            return False
    return True


def common_eigenvectors(span: Span) -> tuple[Array, Array] | None:
    """Return vectors (r, r) that make all T_tT_t' diagonal, with these diagonals, or None."""
    G = np.stack([T[:, :, 0] @ T[:, :, 0].T for T in span.T])
    scale = np.abs(G).max(axis=(1, 2), keepdims=True)
    G = G / scale
    product = G[:, None] @ G
    if np.abs(product - np.swapaxes(product, 0, 1)).max() > 1e-10:
        return None
    # These weights have no simple ratios, so that different strata have different eigenvalues.
    weights = np.sqrt(np.array([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0])[: len(G)])
    if len(weights) < len(G):
        return None
    _, vectors = np.linalg.eigh(np.tensordot(weights, G, 1))
    rotated = vectors.T @ G @ vectors
    mu = np.diagonal(rotated, axis1=1, axis2=2).T
    if np.abs(rotated - mu.T[:, :, None] * np.eye(len(vectors))).max() > 1e-10:
        return None
    mu = np.where(mu > 1e-12, mu, 0.0)
    return vectors, np.asarray(mu * scale[:, 0, 0])


class Dense:
    """Any terms, with V as one dense block in the basis of their span, batched over responses."""

    def __init__(self, template: Template, span: Span, X: Array) -> None:
        self.template = template
        self._span = span
        self._inside_X = span.Q.T @ X
        self._outside_X = X - span.Q @ self._inside_X
        self._outside_XX = self._outside_X.T @ self._outside_X
        # For each element of θ, the columns of T that it multiplies: (r, L).
        self._t = [
            span.T[t][:, :, row - template.starts[t]]
            for t, row in zip(template.term, template.rows, strict=True)
        ]

    def moments(self, Y: Array) -> Moments:
        """Reduce responses Y (n, R) to products outside the span of Z and coordinates inside it."""
        inside = self._span.Q.T @ Y
        outside = Y - self._span.Q @ inside
        return Moments(
            (
                outside.T @ self._outside_X,
                np.einsum("ir,ir->r", outside, outside),
                np.ascontiguousarray(inside.T),
            )
        )

    def evaluate(
        self,
        theta: Array,
        moments: Moments,
        *,
        along: Array | None = None,
        derivatives: Derivatives = "exact",
    ) -> tuple[Smooth, Smooth]:
        """Evaluate log|V| and M in batches of responses: see `Structure`."""
        batch = max(1, SCRATCH // self.work)
        return in_batches(self._evaluate, theta, moments, along, derivatives, batch)

    @property
    def work(self) -> int:
        """Number of doubles in the arrays that `evaluate` makes for one response."""
        return (self.template.m + 3) * len(self._inside_X) ** 2

    def _evaluate(
        self, theta: Array, moments: Moments, along: Array | None, derivatives: Derivatives
    ) -> tuple[Smooth, Smooth]:
        template, R, m = self.template, len(theta), self.template.m
        outside_Xy, outside_yy, inside_y = moments.parts
        R, r = inside_y.shape
        triangles = self.template.blocks(self.template.Lambda(theta))
        B = [T @ Lam[:, None] for T, Lam in zip(self._span.T, triangles, strict=True)]
        C, logdet = inverse(np.concatenate([b.reshape(R, r, -1) for b in B], axis=2))
        W = np.concatenate(
            [np.broadcast_to(self._inside_X, (R, *self._inside_X.shape)), inside_y[:, :, None]],
            axis=2,
        )
        S = C @ W
        value = np.swapaxes(W, 1, 2) @ S
        value += bordered(self._outside_XX, outside_Xy, outside_yy)
        if derivatives == "none":
            return Smooth.constant(logdet, template), Smooth.constant(value, template)

        # dP_i = t g' + g t', as in `Blocks`; t and g have a column for each level.
        columns = self._t
        if along is not None:
            B = [T @ N for T, N in zip(self._span.T, template.blocks(along), strict=True)]
            columns = [
                B[t][..., row - template.starts[t]]
                for t, row in zip(template.term, template.rows, strict=True)
            ]
        g = [
            B[t][..., col - template.starts[t]]
            for t, col in zip(template.term, template.cols, strict=True)
        ]
        half = np.stack([t @ np.swapaxes(gi, -1, -2) for t, gi in zip(columns, g, strict=True)], -3)
        dP = half + np.swapaxes(half, -1, -2)  # (R, m, r, r), or (m, r, r)
        CdP = C[:, None] @ dP
        dPS = dP @ S[:, None]
        CdPS = C[:, None] @ dPS
        tS = [t.T @ S for t in self._t]  # (R, L, p + 1)
        i, j = template.pairs
        gradient = -np.swapaxes(S, 1, 2)[:, None] @ dPS
        second = np.swapaxes(dPS[:, i], 2, 3) @ CdPS[:, j]
        flat, turned = CdP.reshape(R, m, -1), np.swapaxes(CdP, 2, 3).reshape(R, m, -1)
        curvature = -(flat @ np.swapaxes(turned, 1, 2))[:, i, j]
        for pair in np.flatnonzero(template.same_column & (along is None)):
            a, b = i[pair], j[pair]
            second[:, pair] -= np.swapaxes(tS[a], 1, 2) @ tS[b]
            curvature[:, pair] += 2.0 * np.einsum("rab,ab->r", C, self._t[a] @ self._t[b].T)
        return (
            Smooth(logdet, np.trace(CdP, axis1=2, axis2=3), curvature),
            Smooth(value, gradient, second + np.swapaxes(second, 2, 3)),
        )

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        return self._span.conditional(self.template, theta, residual)
