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
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template
from rparity.lmm.numbers.linalg import group_qr, inverse
from rparity.lmm.numbers.panels import columns
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

# Number of doubles in the largest array of one batch of responses.
SCRATCH = 2**17


class Blocks(ABC):
    """V in N blocks of b × b, of U classes: `T` (U, b, k), and the class of each, `members` (N,).

    `Q` (n, N b), dense or sparse, has the orthonormal columns of the blocks side by side.
    """

    threaded = False

    def __init__(
        self, template: Template, Q: Array | sp.csr_array, T: Array, members: Index, X: Array
    ) -> None:
        self.template = template
        self.T = T
        self.members = members
        self._Q = Q
        self._Qt = Q.T
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
        """Sum log|V| and M over the classes, so many at a time that arrays stay in the cache."""
        template, U, m = self.template, len(self.T), self.template.m
        per_class = self.work // U if derivatives != "none" else len(self._a)
        first, *others = columns(U, max(1, SCRATCH // (len(theta) * per_class)))
        V, M = self._of_classes(theta, moments, along, derivatives, first)
        for at in others:
            more_V, more_M = self._of_classes(theta, moments, along, derivatives, at)
            V += more_V
            M += more_M
        outside_Xy, outside_yy, _ = moments.parts
        M[:, 0] += bordered(self.outside_XX, outside_Xy, outside_yy)
        if derivatives == "none":
            return Smooth.constant(V[0], template), Smooth.constant(M[:, 0], template)
        return (
            Smooth(V[0], V[1 : 1 + m].T, V[1 + m :].T),
            Smooth(M[:, 0], M[:, 1 : 1 + m], M[:, 1 + m :]),
        )

    def _of_classes(
        self,
        theta: Array,
        moments: Moments,
        along: Array | None,
        derivatives: Derivatives,
        at: slice,
    ) -> tuple[Array, Array]:
        """Return what some classes add to log|V|, (w, R), and to M, (R, w, p + 1, p + 1).

        There are w = 1 value and all derivatives, or w = 1 value only.
        """
        template, T, counts = self.template, self.T[at], self._counts[at]
        B = T @ template.Lambda(theta)[:, None]  # (R, U, b, k)
        C, logdet = inverse(B)
        elements = C[:, :, self._a, self._b]
        if derivatives == "none":
            return (logdet @ counts)[None], self._products(elements[:, None], moments, at)
        m, (i, j) = template.m, template.pairs
        same = template.same_column[:, None, None]
        t, g = self._t[at], B[..., template.cols]
        if along is not None:
            fixed, same = T @ along, np.zeros_like(same)
            t, g = fixed[..., template.rows], np.broadcast_to(fixed[..., template.cols], g.shape)
        tg = np.concatenate([np.broadcast_to(t, g.shape), g], axis=-1)  # (R, U, b, 2m)
        Ctg = C @ tg
        # From here on the small dimensions come first: numpy is fast in the last ones, R and U.
        G = _last_first(np.swapaxes(tg, 2, 3) @ Ctg)  # (2m, 2m, R, U)
        Ctg = _last_first(Ctg)
        t, g = Ctg[:, :m], Ctg[:, m:]
        tCt, gCg, ij, ji = G[i, j], G[m + i, m + j] - same, G[m + i, j], G[m + j, i]
        V = np.concatenate(
            [
                (logdet @ counts)[None],
                2.0 * (G[m + np.arange(m), np.arange(m)] @ counts),
                -2.0 * ((gCg * tCt + ij * ji) @ counts),
            ]
        )
        # C changes by −(x y' + y x') in θ_i; symmetric elements are kept once.
        a, b = self._a, self._b
        with_t, with_g = ij * g[:, j] + gCg * t[:, j], ji * t[:, j] + tCt * g[:, j]
        ta, tb, ga, gb = t[a], t[b], g[a], g[b]
        changes = np.empty((len(a), len(V), *logdet.shape))  # (pairs of C, w, R, U)
        changes[:, 0] = elements.transpose(2, 0, 1)
        changes[:, 1 : 1 + m] = -(ta * gb + tb * ga)
        second = changes[:, 1 + m :]
        np.multiply(ta[:, i], with_t[b], out=second)
        for x, y in ((tb, with_t[a]), (ga, with_g[b]), (gb, with_g[a])):
            second += x[:, i] * y
        return V, self._products(np.transpose(changes, (2, 1, 3, 0)), moments, at)

    @cached_property
    def work(self) -> int:
        """Number of doubles in the largest array that `evaluate` makes for one response."""
        m = self.template.m
        return len(self.T) * len(self._a) * (1 + m + m * (m + 1) // 2)

    def _products(self, weights: Array, moments: Moments, at: slice) -> Array:
        """Return what some classes add to M, for the `weights` (R, w, U, pairs) of C's elements."""
        weights = weights.reshape(*weights.shape[:2], -1)
        size = len(self._a)
        own = slice(at.start * size, at.stop * size)
        outside_Xy, _, within = moments.parts
        p = outside_Xy.shape[1]
        y = weights @ within[:, own]
        XX = (weights @ self.XX[own]).reshape(*y.shape[:2], p, p)
        return bordered(XX, y[..., :p], y[..., p])

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


def _last_first(x: Array) -> Array:
    """Move the last two axes to the front, in memory as well."""
    return np.ascontiguousarray(x.transpose(2, 3, 0, 1))


def classes(rows: Array) -> tuple[Index, Index]:
    """Group rows that agree to rounding: return each class's first row, and each row's class."""
    scale = np.abs(rows).max() if rows.size else 1.0
    # A QR of equal levels may differ in the last bits, so only 40 bits are compared.
    keys = np.round(rows * (2.0**40 / (scale or 1.0)))
    order = np.lexsort(keys.T[::-1])  # faster than np.unique of rows
    ranked = keys[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    members = np.empty(len(keys), dtype=np.intp)
    members[order] = np.cumsum(new) - 1
    return order[new], members
