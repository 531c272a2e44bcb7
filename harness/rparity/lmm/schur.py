"""Several grouping factors with thousands of levels: the largest is eliminated, the rest is dense.

The terms of the first factor (Z₁) give a block-diagonal V₁ = I + Z₁Λ₁Λ₁'Z₁', with an inverse as in
`blocks`. With the columns Z₂ of all other terms, V = V₁ + Z₂Λ₂Λ₂'Z₂' is inverted by means of the
q₂ × q₂ matrix S = I + Λ₂'OΛ₂. Derivatives are exact and need only products of q₂ × q₂ matrices:

    O = Z₂'V₁⁻¹Z₂,   N = Z₂'V₁⁻¹Z₁,   Ψ = Λ₂S⁻¹Λ₂',   Γ = I − ΨO,
    Φ = Z'V⁻¹Z:   Φ₁₁ = Z₁'V₁⁻¹Z₁ − N'ΨN,   Φ₁₂ = N'Γ,   Φ₂₂ = OΓ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise, product

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from rparity.lmm.linalg import group_qr, inverse, sparse_columns
from rparity.lmm.structure import Conditional, Moments, Smooth
from rparity.lmm.template import Template

Array = NDArray[np.float64]

# A standard deviation over σ below which (Λ₂Λ₂')⁻¹ would cost digits.
SMALL = 0.03


class Schur:
    """Terms of which the first `leading` have the eliminated factor; one response at a time."""

    def __init__(
        self,
        template: Template,
        Z: Sequence[Array],
        codes: Sequence[NDArray[np.intp]],
        levels: Sequence[int],
        leading: int,
        X: Array,
    ) -> None:
        self.template = template
        self.X = X
        self.leading = leading
        self.shapes = [(L, part.shape[1]) for L, part in zip(levels, Z, strict=True)]
        self.T, self.Q = group_qr(np.hstack(Z[:leading]), codes[0], levels[0])
        self.Qt = self.Q.T.tocsr()
        self.Z = [sparse_columns(*each) for each in zip(Z, codes, levels, strict=True)]
        self.Zt = [part.T.tocsr() for part in self.Z]
        self.Z2 = sp.csr_array(sp.hstack(self.Z[leading:], format="csr"))
        self.Z2t = self.Z2.T.tocsr()
        self.inside = (self.Qt @ self.Z2).tocsr()  # Q'Z₂, (L₁ k₁, q₂)
        self.gram = (self.Z2t @ self.Z2).toarray()
        ends = np.cumsum([0, *(L * k for L, k in self.shapes[leading:])])
        self.spans = [slice(a, b) for a, b in pairwise(ends)]  # each later term's columns of Z₂

    def moments(self, Y: Array) -> Moments:
        """Keep the responses (n, R): sums of squares are taken of their residuals at each θ."""
        return Moments((np.ascontiguousarray(Y.T),))

    def evaluate(
        self, theta: Array, moments: Moments, *, along: Array | None = None
    ) -> tuple[Smooth, Smooth]:
        """Evaluate log|V| and M: see `Structure`."""
        found = []
        for one, y in zip(theta, moments.parts[0], strict=True):
            at = _At(self, one)
            columns = np.column_stack([self.X, y])
            found.append((at.log_determinant(along), at.products(columns, along)))
        logdet, M = zip(*found, strict=True)
        return Smooth.join(logdet), Smooth.join(M)

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        at = _At(self, theta)
        E = _Solved(at, residual[:, None]).E
        means = [
            (Zt @ E).reshape(shape) @ Lam
            for Zt, shape, Lam in zip(self.Zt, self.shapes, at.triangles, strict=True)
        ]
        return Conditional(means, at.covariances())


class _Solved:
    """V⁻¹Y = E for columns Y, and the parts whose sum of squares is Y'V⁻¹Y."""

    def __init__(self, at: _At, Y: Array) -> None:
        s = at.structure
        kept = Y - s.Q @ (at.lost @ (s.Qt @ Y))  # V₁⁻¹Y
        self._u = at.S_solve(at.Lambda2.T @ (s.Z2t @ kept))
        left = Y - s.Z2 @ (at.Lambda2 @ self._u)
        self._inside = s.Qt @ left
        self._outside = left - s.Q @ self._inside
        self._within = at.C @ self._inside
        self.E = self._outside + s.Q @ self._within

    def products(self) -> Array:
        """Return Y'V⁻¹Y."""
        outside = self._outside.T @ self._outside
        return np.asarray(outside + self._inside.T @ self._within + self._u.T @ self._u)


class _At:
    """A `Schur` structure at one θ (m,)."""

    def __init__(self, structure: Schur, theta: Array) -> None:
        self.structure = s = structure
        Lam = s.template.Lambda(theta)
        self.Lam = Lam
        self.triangles = s.template.blocks(Lam)
        k1 = s.T.shape[2]
        self._B = s.T @ Lam[:k1, :k1]
        self._C, self._logdet1 = inverse(self._B)
        self.C = _block_diagonal(self._C)
        self.lost = _block_diagonal(self._C @ self._B @ np.swapaxes(self._B, 1, 2))  # I − C
        self.Lambda2 = _repeated(self.triangles[s.leading :], s.shapes[s.leading :])
        self.outer = s.gram - (s.inside.T @ (self.lost @ s.inside)).toarray()
        S = self._inner(self.outer, self.Lambda2.T.tocsr())
        S[np.diag_indices_from(S)] += 1.0
        self._factor = scipy.linalg.cholesky(S, lower=True, overwrite_a=True, check_finite=False)

    def _inner(self, A: Array, left: sp.csr_array) -> Array:
        """Return left A left' for a symmetric A."""
        return np.asarray(left @ (left @ A).T)

    def S_solve(self, Y: Array) -> Array:
        """Return S⁻¹Y."""
        return np.asarray(scipy.linalg.cho_solve((self._factor, True), Y, check_finite=False))

    @cached_property
    def _S_inverse(self) -> Array:
        """S⁻¹, (q₂, q₂)."""
        found, info = scipy.linalg.lapack.dpotri(self._factor, lower=True)
        if info:
            raise np.linalg.LinAlgError("S is singular")
        lower = np.tril(found, -1)
        return np.asarray(lower + lower.T + np.diag(np.diagonal(found)))

    @cached_property
    def _Psi(self) -> Array:
        """Ψ = Λ₂S⁻¹Λ₂', (q₂, q₂)."""
        return self._inner(self._S_inverse, self.Lambda2)

    @cached_property
    def _N(self) -> list[sp.csr_array]:
        """Rows of N' for each coefficient of the leading factor: k₁ arrays (L₁, q₂)."""
        s = self.structure
        k1 = s.T.shape[2]
        N = (_block_diagonal(np.swapaxes(s.T, 1, 2) @ self._C) @ s.inside).tocsr()
        return [N if k1 == 1 else N[a::k1] for a in range(k1)]

    @cached_property
    def _G(self) -> Array:
        """N_ℓ'ΨN_ℓ for each level ℓ of the leading factor, (L₁, k₁, k₁)."""
        k1, L1 = len(self._N), self._N[0].shape[0]
        G = np.empty((L1, k1, k1))
        for a, Na in enumerate(self._N):
            weighted = Na @ self._Psi
            for b, Nb in enumerate(self._N):
                rows = np.repeat(np.arange(L1), np.diff(Nb.indptr))
                G[:, a, b] = np.bincount(rows, Nb.data * weighted[rows, Nb.indices], L1)
        return G

    def covariances(self) -> list[Array]:
        """Return conditional covariances of each term's u over σ², (L, k, k)."""
        s = self.structure
        k1 = s.T.shape[2]
        Lam1 = self.Lam[:k1, :k1]
        inner, _ = inverse(np.swapaxes(self._B, 1, 2))
        first = inner + Lam1.T @ self._G @ Lam1
        starts = s.template.starts[: s.leading + 1]
        out = [first[:, a:b, a:b] for a, b in pairwise(starts)]
        for span, (L, k) in zip(s.spans, s.shapes[s.leading :], strict=True):
            own = self._S_inverse[span, span].reshape(L, k, L, k)
            out.append(own[np.arange(L), :, np.arange(L)])
        return out

    def _directions(self, along: Array | None) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Columns a and b (k, k) whose a b' + b a' are dΛΛ', and which pairs have a second one."""
        template = self.structure.template
        if along is None:
            return np.eye(template.k), self.Lam, template.same_column
        return along, along, np.zeros_like(template.same_column)

    def log_determinant(self, along: Array | None) -> Smooth:
        """Return log|V| of this one response, (1,), with derivatives (1, m) and (1, pairs)."""
        template = self.structure.template
        left, right, same = self._directions(along)
        value = float(self._logdet1.sum() + 2.0 * np.log(np.diagonal(self._factor)).sum())
        A, F = self._traces()
        i, j = template.pairs
        row, col = template.rows, template.cols
        e = np.zeros((template.m, template.k, template.k))  # the derivative of ΛΛ'
        for at, (r, c) in enumerate(zip(row, col, strict=True)):
            e[at] = np.outer(left[:, r], right[:, c])
            e[at] += e[at].T
        crossed = np.einsum("iab,abcd,jcd->ij", e, F, e)
        second = 2.0 * same * A[row[i], row[j]] - crossed[i, j]
        gradient = 2.0 * (left.T @ A @ right)[row, col]
        return Smooth(np.array([value]), gradient[None], second[None])

    def _traces(self) -> tuple[Array, Array]:
        """Return Σ_ℓ Φ_ℓℓ (k, k), and F_abcd = Σ_ℓ,ℓ' Φ_ℓa,ℓ'd Φ_ℓb,ℓ'c (k, k, k, k)."""
        s, k = self.structure, self.structure.template.k
        k1 = s.T.shape[2]
        A, F = np.zeros((k, k)), np.zeros((k, k, k, k))
        phi = np.swapaxes(s.T, 1, 2) @ self._C @ s.T
        Psi, G = self._Psi, self._G
        Gamma, Phi, times_Gamma = self._later()
        A[:k1, :k1] = phi.sum(axis=0) - G.sum(axis=0)

        columns = {}  # of Z₂, for each coefficient of the later terms
        for t, span in enumerate(s.spans, s.leading):
            start, width = s.template.starts[t], s.shapes[t][1]
            for a in range(width):
                columns[start + a] = slice(span.start + a, span.stop, width)
        same_term = [
            (a, b)
            for first, last in pairwise(s.template.starts[s.leading :])
            for a, b in product(range(first, last), repeat=2)
        ]

        def slices(X: Array, a: int, b: int) -> Array:
            return X[columns[a], columns[b]]

        for a, b in same_term:
            A[a, b] = np.trace(slices(Phi, a, b))
            for c, d in same_term:
                F[a, b, c, d] = np.vdot(slices(Phi, a, d), slices(Phi, b, c))

        NN: dict[tuple[int, int], Array] = {}
        for a, b in product(range(k1), repeat=2):
            NN[b, a] = NN[a, b].T if a > b else (self._N[b].T @ self._N[a]).toarray()
        PN = {key: Psi @ each for key, each in NN.items()}
        for a, b in product(range(k1), repeat=2):
            for c, d in product(range(k1), repeat=2):
                F[a, b, c, d] = np.vdot(PN[d, c], PN[b, a].T) + np.sum(
                    phi[:, a, d] * phi[:, b, c]
                    - phi[:, a, d] * G[:, b, c]
                    - phi[:, b, c] * G[:, a, d]
                )
            NG = times_Gamma(NN[a, b], PN[b, a].T)
            for c, d in same_term:
                F[a, b, c, d] = np.vdot(Gamma[:, columns[d]], NG[:, columns[c]])
                F[c, d, a, b] = F[a, b, c, d]
        return A, F

    def _later(self) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
        """Return Γ, Φ₂₂ = OΓ, and a function that multiplies X by Γ, given X and XΨ.

        If no standard deviation is near zero, Γ = Ψ(Λ₂Λ₂')⁻¹ saves three products.
        """
        s = self.structure
        parts = self.triangles[s.leading :]
        if min(np.linalg.norm(Lam, -2) for Lam in parts) < SMALL:
            Gamma = -(self._Psi @ self.outer)
            Gamma[np.diag_indices_from(Gamma)] += 1.0
            return Gamma, self.outer @ Gamma, lambda X, _: X @ Gamma
        precision = _repeated(
            [np.asarray(np.linalg.inv(Lam @ Lam.T), dtype=np.float64) for Lam in parts],
            s.shapes[s.leading :],
        )
        Gamma = (precision @ self._Psi).T
        return Gamma, precision.toarray() - precision @ Gamma, lambda _, XPsi: XPsi @ precision

    def products(self, W: Array, along: Array | None) -> Smooth:
        """Return W'V⁻¹W, (1, c, c), with derivatives (1, m, c, c) and (1, pairs, c, c)."""
        s, template = self.structure, self.structure.template
        left, right, same = self._directions(along)
        lefts, rights = template.blocks(left), template.blocks(right)
        c = W.shape[1]
        solved = _Solved(self, W)
        h, u, moved = [], [], []
        for at in range(template.m):
            t = int(template.term[at])
            row, col = (each[at] - template.starts[t] for each in (template.rows, template.cols))
            H = (s.Zt[t] @ solved.E).reshape(*s.shapes[t], c)
            a, b = lefts[t][:, row], rights[t][:, col]
            h.append(np.einsum("lkc,k->lc", H, a))
            u.append(np.einsum("lkc,k->lc", H, b))
            change = h[-1][:, None] * b[:, None] + u[-1][:, None] * a[:, None]
            moved.append(s.Z[t] @ change.reshape(-1, c))
        first = np.stack([a.T @ b for a, b in zip(h, u, strict=True)])
        P = _Solved(self, np.hstack(moved)).products().reshape(template.m, c, template.m, c)
        i, j = template.pairs
        second = P[i, :, j]
        for pair in np.flatnonzero(same):
            second[pair] -= h[i[pair]].T @ h[j[pair]]
        gradient = -(first + np.swapaxes(first, 1, 2))
        hessian = second + np.swapaxes(second, 1, 2)
        return Smooth(solved.products()[None], gradient[None], hessian[None])


def _repeated(blocks: Sequence[Array], shapes: Sequence[tuple[int, int]]) -> sp.csr_array:
    """Repeat each term's block along the diagonal, once for each level."""
    parts = [sp.kron(sp.eye_array(L), block) for (L, _), block in zip(shapes, blocks, strict=True)]
    return sp.csr_array(sp.block_diag(parts, format="csr"))


def _block_diagonal(blocks: Array) -> sp.csr_array:
    """Put blocks (L, k, k) along the diagonal."""
    L, k, _ = blocks.shape
    if k == 1:
        return sp.csr_array(sp.diags_array(blocks[:, 0, 0], format="csr"))
    return sp.csr_array(
        sp.bsr_array((blocks, np.arange(L), np.arange(L + 1)), shape=(L * k, L * k)).tocsr()
    )
