"""Random effects whose V has small blocks: one grouping factor, or balanced crossed factors.

In an orthonormal basis Q of the span of Z, V is block-diagonal. With Q_j'Z = T_j for the block j,
V⁻¹ splits without cancellation into a part outside that span and a part inside it:

    V⁻¹ = (I − QQ') + Σ_j Q_j C_j Q_j',    C_j = (I + T_j Λ_θ Λ_θ' T_j')⁻¹.

So a variance ratio of 10⁴ costs no digits, where formulas with Z'Z would lose four. Blocks with the
same T_j share C_j, so all sums over blocks are kept for each class of blocks. A balanced design has
few classes, however many levels and responses it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from rparity.lmm.linalg import group_qr, inverse
from rparity.lmm.structure import (
    Conditional,
    Derivatives,
    Moments,
    Smooth,
    bordered,
    in_batches,
)
from rparity.lmm.template import Template

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Number of doubles in the largest array of one batch of responses.
SCRATCH = 2**17


class Blocks(ABC):
    """V in N blocks of b × b, of U classes: `T` (U, b, k), and the class of each, `members` (N,).

    `Q` (n, N b), dense or sparse, has the orthonormal columns of the blocks side by side.
    """

    def __init__(
        self, template: Template, Q: Array | sp.csr_array, T: Array, members: Index, X: Array
    ) -> None:
        self.template = template
        self.T = T
        self.members = members
        self._Q = Q
        self._Qt = Q.T if isinstance(Q, np.ndarray) else Q.T.tocsr()
        self._counts = np.bincount(members, minlength=len(T)).astype(np.float64)
        self._a, self._b = np.tril_indices(T.shape[1])  # the distinct elements of C
        self._t = T[:, :, template.rows]
        self._inside_X, self.outside_X = self._split(X)
        self.outside_XX = self.outside_X.T @ self.outside_X
        x = self._inside_X
        XX = self._by_class(x[:, :, :, None], x[:, :, None, :])
        self.XX = XX.reshape(len(XX), X.shape[1] ** 2)

    def _split(self, Y: Array) -> tuple[Array, Array]:
        """Return coordinates of Y (n, R) inside the span of Z, (N, b, R), and the rest, (n, R)."""
        g = self._Qt @ Y
        return g.reshape(len(self.members), self.T.shape[1], Y.shape[1]), Y - self._Q @ g

    def _by_class(self, x: Array, y: Array) -> Array:
        """Sum x_a y_b + x_b y_a (once where a = b) over the blocks of a class: (U · pairs, …)."""
        a, b = self._a, self._b
        product = x[:, a] * y[:, b]
        if len(off := np.flatnonzero(a != b)):
            product[:, off] += x[:, b[off]] * y[:, a[off]]
        N, U = len(self.members), len(self.T)
        if U == 1:
            total = product.sum(axis=0)
        else:
            pick = sp.csr_array((np.ones(N), (self.members, np.arange(N))), shape=(U, N))
            total = pick @ product.reshape(N, product[0].size)
        return np.asarray(total.reshape(U * len(a), *product.shape[2:]))

    def moments(self, Y: Array) -> Moments:
        """Reduce responses Y (n, R): products with X and with themselves, outside and inside."""
        inside, outside = self._split(Y)
        Xy = self._by_class(self._inside_X[:, :, :, None], inside[:, :, None, :])  # (K, p, R)
        yy = self._by_class(inside, inside)
        within = np.concatenate([Xy, yy[:, None]], axis=1)
        return Moments(
            (
                outside.T @ self.outside_X,
                np.einsum("ir,ir->r", outside, outside),
                np.ascontiguousarray(np.moveaxis(within, 2, 0)),
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
        """Evaluate log|V| and M: see `Structure`.

        The derivative of P = I + BB', B = TΛ, in θ_i is t g' + g t', where θ_i links the column t
        of T to the column g of B. All derivatives are products of such columns with C = P⁻¹.
        With `along` N, t and g are columns of TN, which do not change.
        """
        batch = max(1, SCRATCH // self.work)
        return in_batches(self._evaluate, theta, moments, along, derivatives, batch)

    def _evaluate(
        self, theta: Array, moments: Moments, along: Array | None, derivatives: Derivatives
    ) -> tuple[Smooth, Smooth]:
        template, R = self.template, len(theta)
        i, j = template.pairs
        B = self.T @ template.Lambda(theta)[:, None]  # (R, U, b, k)
        C, logdet = inverse(B)
        elements = C[:, :, self._a, self._b].reshape(R, 1, -1)
        if derivatives == "none":
            value = self._products(elements, moments)[:, 0]
            return (
                Smooth.constant(logdet @ self._counts, template),
                Smooth.constant(value, template),
            )
        t, g, same = self._t, B[..., template.cols], template.same_column
        if along is not None:
            fixed = self.T @ along
            t, g = fixed[..., template.rows], np.broadcast_to(fixed[..., template.cols], g.shape)
            same = np.zeros_like(same)
        Ct, Cg = C @ t, C @ g  # (R, U, b, m)
        tCt = (np.swapaxes(t, 1, 2) @ Ct)[..., i, j]  # (R, U, pairs)
        gCt = np.swapaxes(g, 2, 3) @ Ct
        gCg = (np.swapaxes(g, 2, 3) @ Cg)[..., i, j]
        ij, ji = gCt[..., i, j], gCt[..., j, i]
        V = Smooth(
            logdet @ self._counts,
            2.0 * (self._counts @ np.diagonal(gCt, axis1=2, axis2=3)),
            2.0 * (self._counts @ ((same - gCg) * tCt - ij * ji)),
        )

        def symmetric(x: Array, y: Array) -> Array:
            """Return x_a y_b + x_b y_a, (R, U, pairs of C, …)."""
            return x[:, :, self._a] * y[:, :, self._b] + x[:, :, self._b] * y[:, :, self._a]

        C_d = -symmetric(Ct, Cg)
        ij, ji, gCg, tCt = (each[:, :, None] for each in (ij, ji, gCg - same, tCt))
        C_dd = symmetric(Ct[..., i], ij * Cg[..., j] + gCg * Ct[..., j])
        C_dd += symmetric(Cg[..., i], ji * Ct[..., j] + tCt * Cg[..., j])
        changes = np.concatenate([C_d, C_dd], axis=-1)  # (R, U, pairs of C, m + pairs)
        changes = np.swapaxes(changes.reshape(R, -1, changes.shape[-1]), 1, 2)
        M = self._products(np.concatenate([elements, changes], axis=1), moments)
        m = template.m
        return V, Smooth(M[:, 0], M[:, 1 : 1 + m], M[:, 1 + m :])

    @property
    def work(self) -> int:
        """Number of doubles in the largest array that `evaluate` makes for one response."""
        m = self.template.m
        return len(self.T) * len(self._a) * (1 + m + m * (m + 1) // 2)

    def _products(self, weights: Array, moments: Moments) -> Array:
        """Return M for each of the `weights` (R, w, K) of the elements of C: (R, w, p + 1, p + 1).

        The part outside the span of Z, which does not depend on θ, is added to the first.
        """
        outside_Xy, outside_yy, within = moments.parts
        p = outside_Xy.shape[1]
        y = weights @ within
        M = bordered((weights @ self.XX).reshape(*y.shape[:2], p, p), y[..., :p], y[..., p])
        M[:, 0] += bordered(self.outside_XX, outside_Xy, outside_yy)
        return M

    @abstractmethod
    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""


class OneFactor(Blocks):
    """One grouping factor, with a block for each level, and `Z` (n, k_t) for each term."""

    def __init__(
        self, template: Template, Z: Sequence[Array], codes: Index, n_levels: int, X: Array
    ) -> None:
        stacked = np.hstack(Z) if len(Z) > 1 else Z[0]
        T, Q = group_qr(stacked, codes, n_levels)
        # The thin QR with a positive diagonal is unique, so levels with the same T have the same C.
        first, members = classes(T.reshape(n_levels, -1))
        self._all_T = T
        super().__init__(template, Q, T[first], members, X)

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        Lambda, spans = self.template.Lambda(theta), self.template.spans
        B = self._all_T @ Lambda
        C = inverse(self.T @ Lambda)[0][self.members]
        inside = (self._Qt @ residual).reshape(len(B), -1, 1)
        means = (np.swapaxes(B, 1, 2) @ C @ inside)[..., 0]
        inner, _ = inverse(np.swapaxes(B, 1, 2))
        return Conditional([means[:, s] for s in spans], [inner[:, s, s] for s in spans])


def classes(rows: Array) -> tuple[Index, Index]:
    """Group rows that agree to rounding: return each class's first row, and each row's class."""
    scale = np.abs(rows).max() if rows.size else 1.0
    # A QR of equal levels may differ in the last bits, so only 40 bits are compared.
    keys = np.round(rows * (2.0**40 / (scale or 1.0)))
    if keys.shape[1] == 1:
        _, first, members = np.unique(keys[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, members = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, members.reshape(-1)
