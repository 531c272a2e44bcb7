"""Several grouping factors, crossed or nested, with up to a few hundred random effects.

Levels that no row connects, not even through others, are in different blocks of V: nested factors
have one block for each level of the outermost. If the terms' ZZ' commute (scalar terms in a
balanced design), their common eigenvectors make V diagonal (`Strata`), and the cost does not depend
on the number of random effects. Otherwise each block is dense in an orthonormal basis Q of the span
of Z (`Dense`). V⁻¹ is I − QQ' + Q C Q'.
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
Index = NDArray[np.intp]

# Number of doubles in the arrays of one batch of responses.
SCRATCH = 2**16


@dataclass(frozen=True)
class Span:
    """An orthonormal basis of the span of all the Z, in N blocks of b columns and L_t levels.

    `Q` (n, N b) has the blocks side by side, and `T` has T_t = Q'Z_t, (N, b, L_t, k_t). Blocks that
    are smaller than the largest have zeros at their end. `places` has the block of each level of a
    term and its place there, two arrays for each term.
    """

    Q: Array
    T: list[Array]
    places: list[tuple[Index, Index]]

    @classmethod
    def of(cls, Z: Sequence[Array], codes: Sequence[Index], levels: Sequence[int]) -> Span:
        """Find the basis by a QR of each block's Z with column pivoting."""
        block = blocks(codes, levels, [part.shape[1] for part in Z])
        n, N = len(block), int(block.max()) + 1
        places, spread = [], []
        for covariates, code, L in zip(Z, codes, levels, strict=True):
            own = np.empty(L, dtype=np.intp)
            own[code] = block
            order = np.argsort(own, kind="stable")
            counts = np.bincount(own, minlength=N)
            place = np.empty(L, dtype=np.intp)
            place[order] = np.arange(L) - np.repeat(np.cumsum(counts) - counts, counts)
            places.append((own, place))
            full = np.zeros((n, counts.max(), covariates.shape[1]))
            full[np.arange(n), place[code]] = covariates
            spread.append(full)
        whole = np.hstack([full.reshape(n, -1) for full in spread])
        found = []
        for j in range(N):
            rows = np.flatnonzero(block == j) if N > 1 else slice(None)
            Q, R, _ = scipy.linalg.qr(whole[rows], mode="economic", pivoting=True)
            size = np.abs(np.diagonal(R))
            found.append((rows, Q[:, size > 1e-12 * size[0]]))
        b = max(Q.shape[1] for _, Q in found)
        basis = np.zeros((n, N, b))
        T = [np.zeros((N, b, *full.shape[1:])) for full in spread]
        for j, (rows, Q) in enumerate(found):
            r = Q.shape[1]
            basis[rows, j, :r] = Q
            for inside, full in zip(T, spread, strict=True):
                inside[j, :r] = (Q.T @ full[rows].reshape(len(Q), -1)).reshape(r, *full.shape[1:])
        return cls(basis.reshape(n, -1), T, places)

    def inside(self, Y: Array) -> Array:
        """Return coordinates of Y (n, R) in the basis, (N, b, R)."""
        return np.asarray((self.Q.T @ Y).reshape(*self.T[0].shape[:2], -1))

    def columns(self, template: Template, matrix: Array) -> Array:
        """Return the columns of T_t times its block of a matrix (..., k, k): (..., N, b, ΣLk)."""
        own = template.blocks(matrix)
        shape = (*matrix.shape[:-2], *self.T[0].shape[:2], -1)
        parts = [
            (T @ part[..., None, None, :, :]).reshape(shape)
            for T, part in zip(self.T, own, strict=True)
        ]
        return np.concatenate(parts, axis=-1)

    def conditional(self, template: Template, theta: Array, residual: Array) -> Conditional:
        """Return û = B'C Q'(y − Xβ) with covariance (I + B'B)⁻¹, where B = TΛ (see `Structure`)."""
        B = self.columns(template, template.Lambda(theta))
        C, _ = inverse(B)
        Bt = np.swapaxes(B, 1, 2)
        u = (Bt @ (C @ self.inside(residual[:, None])))[..., 0]
        inner, _ = inverse(Bt)
        means, covariances, start = [], [], 0
        for T, (block, place) in zip(self.T, self.places, strict=True):
            k = T.shape[3]
            at = start + place[:, None] * k + np.arange(k)
            means.append(u[block[:, None], at])
            covariances.append(inner[block[:, None, None], at[:, :, None], at[:, None, :]])
            start += T.shape[2] * k
        return Conditional(means, covariances)


def blocks(codes: Sequence[Index], levels: Sequence[int], widths: Sequence[int]) -> Index:
    """Return the block of V of each row, (n,): rows that share a level are in one block.

    There is one block if smaller ones, of which each is as large as the largest, cost more.
    """
    n = len(codes[0])
    row, before = np.arange(n), np.empty(0, dtype=np.intp)
    while not np.array_equal(row, before):
        before = row
        for code, L in zip(codes, levels, strict=True):
            least = np.full(L, n)
            np.minimum.at(least, code, row)
            row = least[code]
    found, row = np.unique(row, return_inverse=True)
    sizes = np.zeros(len(found))
    for code, L, k in zip(codes, levels, widths, strict=True):
        own = np.empty(L, dtype=np.intp)
        own[code] = row
        sizes += k * np.bincount(own, minlength=len(found))
    cheaper = len(found) * sizes.max() ** 2 <= sizes.sum() ** 2
    return row if cheaper else np.zeros_like(row)


class Strata(Blocks):
    """Scalar terms whose Z_tZ_t' commute: V = Σ_s λ_s P_s, λ_s = 1 + Σ_t μ_st θ_t²."""

    def __init__(self, template: Template, span: Span, vectors: Array, mu: Array, X: Array) -> None:
        self._span = span
        T = np.sqrt(mu)
        first, members = classes(mu)
        n, (N, b, _) = len(span.Q), vectors.shape
        Q = (np.swapaxes(span.Q.reshape(n, N, b), 0, 1) @ vectors).swapaxes(0, 1).reshape(n, -1)
        super().__init__(template, Q, T[first][:, None, :], members, X)

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        return self._span.conditional(self.template, theta, residual)


def commute(Z: Sequence[Array], codes: Sequence[Index]) -> bool:
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
    """Return vectors (N, b, b) that make all T_tT_t' diagonal, and these (N b, t), or None."""
    T = np.stack([T[..., 0] @ np.swapaxes(T[..., 0], 1, 2) for T in span.T])
    scale = np.abs(T).max(axis=(1, 2, 3))
    G = T / scale[:, None, None, None]
    product = G[:, None] @ G
    if np.abs(product - np.swapaxes(product, 0, 1)).max() > 1e-10:
        return None
    # These weights have no simple ratios, so that different strata have different eigenvalues.
    weights = np.sqrt(np.array([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0])[: len(G)])
    if len(weights) < len(G):
        return None
    _, vectors = np.linalg.eigh(np.tensordot(weights, G, 1))
    rotated = np.swapaxes(vectors, 1, 2) @ G @ vectors
    mu = np.diagonal(rotated, axis1=2, axis2=3)
    if np.abs(rotated - mu[..., None] * np.eye(mu.shape[2])).max() > 1e-10:
        return None
    mu = np.where(mu > 1e-12, mu, 0.0).reshape(len(G), -1).T
    return vectors, np.asarray(mu * scale)


class Dense:
    """Any terms, with dense blocks of V in the basis of their span, batched over responses."""

    threaded = False

    def __init__(self, template: Template, span: Span, X: Array) -> None:
        self.template = template
        self._span = span
        self._inside_X = span.inside(X)
        self._outside_X = X - span.Q @ self._inside_X.reshape(span.Q.shape[1], X.shape[1])
        self._outside_XX = self._outside_X.T @ self._outside_X
        # For each element of θ, the columns of T that it multiplies: (N, b, L).
        self._t = [
            span.T[t][..., row - template.starts[t]]
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
        N, b, _ = self._inside_X.shape
        return int((self.template.m + 3) * N * b**2)

    def _evaluate(
        self, theta: Array, moments: Moments, along: Array | None, derivatives: Derivatives
    ) -> tuple[Smooth, Smooth]:
        template, R, m = self.template, len(theta), self.template.m
        outside_Xy, outside_yy, inside_y = moments.parts
        N, b, p = self._inside_X.shape
        Lam = template.Lambda(theta)
        C, logdet = inverse(self._span.columns(template, Lam))
        W = np.empty((R, N, b, p + 1))
        W[..., :p] = self._inside_X
        W[..., p] = inside_y.reshape(R, N, b)
        S = C @ W

        def rows(x: Array) -> Array:
            """Join the rows of all blocks: sums over them are one product."""
            return x.reshape(*x.shape[:-3], -1, x.shape[-1])

        value = np.swapaxes(rows(W), 1, 2) @ rows(S)
        value += bordered(self._outside_XX, outside_Xy, outside_yy)
        if derivatives == "none":
            return (
                Smooth.constant(logdet.sum(axis=1), template),
                Smooth.constant(value, template),
            )

        # dP_i = t g' + g t', as in `Blocks`; t and g have a column for each level.
        columns = self._t
        if along is not None:
            Lam = along
            columns = self._times(along, template.rows)
        g = self._times(Lam, template.cols)
        half = np.stack([t @ np.swapaxes(gi, -1, -2) for t, gi in zip(columns, g, strict=True)], -4)
        dP = half + np.swapaxes(half, -1, -2)  # (R, m, N, b, b), or (m, N, b, b)
        CdP = C[:, None] @ dP
        dPS = dP @ S[:, None]
        CdPS = rows(C[:, None] @ dPS)
        dPS, S = rows(dPS), rows(S)
        i, j = template.pairs
        gradient = -np.swapaxes(S, 1, 2)[:, None] @ dPS
        second = np.swapaxes(dPS[:, i], 2, 3) @ CdPS[:, j]
        flat, turned = CdP.reshape(R, m, -1), np.swapaxes(CdP, 3, 4).reshape(R, m, -1)
        curvature = -(flat @ np.swapaxes(turned, 1, 2))[:, i, j]
        if along is None:
            S = S.reshape(R, N, b, p + 1)
            tS = [rows(np.swapaxes(t, 1, 2) @ S) for t in self._t]  # (R, N L, p + 1)
            for pair in np.flatnonzero(template.same_column):
                a, c = i[pair], j[pair]
                second[:, pair] -= np.swapaxes(tS[a], 1, 2) @ tS[c]
                product = self._t[a] @ np.swapaxes(self._t[c], 1, 2)
                curvature[:, pair] += 2.0 * np.einsum("rnab,nab->r", C, product)
        return (
            Smooth(logdet.sum(axis=1), np.einsum("rmnaa->rm", CdP), curvature),
            Smooth(value, gradient, second + np.swapaxes(second, 2, 3)),
        )

    def _times(self, matrix: Array, which: Index) -> list[Array]:
        """Return columns `which` (m,) of T times a matrix (..., k, k), each (..., N, b, L)."""
        return [
            (self._span.T[t] @ matrix[..., None, None, span, at, None])[..., 0]
            for t, at in zip(self.template.term, which, strict=True)
            for span in [self.template.spans[t]]
        ]

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        return self._span.conditional(self.template, theta, residual)
