"""Several grouping factors with thousands of levels: the structure behind `equations`.

The levels of the first, largest factor are eliminated one by one. How the others are eliminated
follows from the number of multiplications: as a tree of fronts, if they touch few others, as pupils
in schools over years do, or as one dense matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template
from rparity.lmm.numbers.linalg import group_qr, sparse_columns
from rparity.lmm.numbers.panels import WORK, ones
from rparity.lmm.solver.dissection import Tree
from rparity.lmm.solver.equations import SIGNS, CrossedDesign, Equations, Group
from rparity.lmm.solver.fronts import Fronts
from rparity.lmm.solver.structure import Conditional, Derivatives, Moments, Smooth

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Up to so many effects besides the first factor's, one dense matrix is always fast.
DENSE = 256
# With more multiplications to factorize S, threads of BLAS save more time than they cost.
THREADED = 1e8
# If this share of S is not zero, no order of elimination saves work.
FULL = 0.15
# The number of rows of S whose elements are counted first, because S may not fit into memory.
SAMPLE = 200


class Schur:
    """Terms of which the first `leading` have the eliminated factor; one response at a time."""

    def __init__(
        self,
        template: Template,
        Z: Sequence[Array],
        codes: Sequence[Index],
        levels: Sequence[int],
        leading: int,
        X: Array,
    ) -> None:
        self.template = template
        self.X = X
        parts = [np.hstack(Z[:leading]), *Z[leading:]]
        codes, levels = [codes[0], *codes[leading:]], [levels[0], *levels[leading:]]
        groups: list[Group] = []
        row = own = 0
        for part, L in zip(parts, levels, strict=True):
            k = part.shape[1]
            groups.append(Group(L, k, slice(own, own + k), slice(row, row + L * k)))
            row, own = row + L * k, own + k
        spread = [sparse_columns(*each) for each in zip(parts, codes, levels, strict=True)]
        T, Q = group_qr(parts[0], codes[0], levels[0])
        whole = sp.csr_array(sp.hstack(spread, format="csr"))
        later = sp.csr_array(sp.hstack(spread[1:], format="csr"))
        inside = (Q.T.tocsr() @ later).tocsr()
        gram2 = (later.T.tocsr() @ later).tocsr()
        self.design = CrossedDesign(
            template,
            tuple(groups),
            whole,
            whole.T.tocsr(),
            T,
            inside,
            gram2,
            plan(inside, gram2),
        )

    @cached_property
    def _ZtX(self) -> Array:
        return np.asarray(self.design.Zt @ self.X)

    @property
    def threaded(self) -> bool:
        """See `Structure`."""
        return self.design.fronts.cost > THREADED

    @property
    def memory(self) -> float:
        """About how many bytes a fit needs."""
        design, columns = self.design, self.X.shape[1] + 1
        n, q = design.Z.shape
        doubles = (1.0 if design.fronts.dense else 3.0) * design.fronts.size
        doubles += 4.0 * columns * (n + q * self.template.m)
        doubles += 4.0 * q * SIGNS * max(group.k for group in design.groups)
        sparse = 2 * design.Z.nnz + 10 * design.inside.nnz
        return 8.0 * float(doubles) + 16.0 * sparse + 64.0 * WORK

    def moments(self, Y: Array) -> Moments:
        """Keep the responses (n, R): sums of squares are taken of their residuals at each θ."""
        return Moments((np.ascontiguousarray(Y.T), np.ascontiguousarray((self.design.Zt @ Y).T)))

    def variances(self, deviations: Array) -> Array:
        """Estimate each coefficient's variance over σ², (k,), from sums of squares of y (n,).

        With r = (I − QQ')y for the basis Q of X, the expectations of r'r, and of Σ w(z'r)² over the
        columns z of a coefficient, are linear in the variances. The equations are solved twice: the
        weights w are first those of small variances, then those of the first solution.

        Source: Searle, Casella and McCulloch (1992), chapters 5 and 11, without covariances.
        """
        design, Q = self.design, self.X
        k, q = self.template.k, design.Z.shape[1]
        of = np.empty(q, dtype=np.intp)  # the coefficient of each effect
        for group in design.groups:
            of[group.rows] = np.tile(np.arange(group.own.start, group.own.stop), group.L)
        each = np.eye(k)[of]
        r = deviations - Q @ (Q.T @ deviations)
        total, sums, C = float(r @ r), design.Zt @ r, self._ZtX
        size = design.gram.diagonal()
        left = size - np.square(C).sum(axis=1)  # the squared length of each z, less its part in Q
        # Rows of the squares of Z'(I − QQ')Z, summed over each coefficient's columns, (q, k).
        squares = (design.gram * design.gram) @ each
        for b in range(k):
            own = C * each[:, b, None]
            squares[:, b] += np.einsum("qp,qp->q", C, C @ (own.T @ own) - 2.0 * (design.gram @ own))
        least = 0.1 * np.bincount(of, minlength=k) / np.bincount(of, size)
        found = np.zeros(k)
        for _ in range(2):
            w = 1.0 / np.maximum(size * (1.0 + size * found[of]), 1e-300)
            equations = np.empty((k + 1, k + 1))
            equations[0] = len(r) - Q.shape[1], *(left @ each)
            equations[1:, 0] = (w * left) @ each
            equations[1:, 1:] = each.T @ (w[:, None] * squares)
            right = np.append(total, (w * sums**2) @ each)
            scale = np.abs(equations).max(axis=1)
            noise, *parts = np.linalg.lstsq(equations / scale[:, None], right / scale)[0]
            found = np.maximum(np.array(parts) / max(noise, 0.02 * total / len(r)), least)
        return found

    def evaluate(
        self,
        theta: Array,
        moments: Moments,
        *,
        along: Array | None = None,
        derivatives: Derivatives = "exact",
    ) -> tuple[Smooth, Smooth]:
        """Evaluate log|V| and M: see `Structure`."""
        found = []
        for one, y, Zty in zip(theta, *moments.parts, strict=True):
            try:
                at = Equations(self.design, one, along)
            except np.linalg.LinAlgError:  # θ is so large that rounding makes S indefinite
                found.append(self._unknown())
                continue
            W, ZtW = np.column_stack([self.X, y]), np.column_stack([self._ZtX, Zty])
            of_y = at.products(W, ZtW, derivatives)
            found.append((at.log_determinant(derivatives), of_y))
        logdet, M = zip(*found, strict=True)
        return Smooth.join(logdet), Smooth.join(M)

    def _unknown(self) -> tuple[Smooth, Smooth]:
        """Return NaN for log|V| and M: a search then takes a shorter step."""
        side = self.X.shape[1] + 1
        return (
            Smooth.constant(np.full(1, np.nan), self.template),
            Smooth.constant(np.full((1, side, side), np.nan), self.template),
        )

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """See `Structure`."""
        at = Equations(self.design, theta)
        y = residual[:, None]
        u, _, _ = at.spherical(y, self.design.Zt @ y)
        means, covariances = [], []
        for group, own in zip(self.design.groups, at.covariances(), strict=True):
            mean = u[group.rows, 0].reshape(group.L, group.k)
            starts = [s for s in self.template.starts if group.own.start <= s <= group.own.stop]
            for a, b in pairwise(np.array(starts) - group.own.start):
                means.append(mean[:, a:b])
                covariances.append(own[:, a:b, a:b])
        return Conditional(means, covariances)


def plan(inside: sp.csr_array, gram: sp.csr_array) -> Fronts:
    """Choose a tree of fronts or one dense matrix for S, by the number of multiplications.

    S has the pattern of `inside`' `inside` (Q'Z₂, of q₂ columns) and `gram` (q₂, q₂).
    """
    q = gram.shape[0]
    dense = Fronts(Tree.single(q))
    if q <= DENSE:
        return dense
    meets = ones(inside)
    meets_t, most = meets.T.tocsr(), FULL * q
    if np.diff(inside.indptr).max(initial=0) > q / 2:
        return dense
    rows = np.linspace(0, q - 1, SAMPLE).astype(int)
    if (meets_t[rows] @ meets).nnz > SAMPLE * most:
        return dense
    pattern = sp.csr_array((meets_t @ meets + ones(gram)).tocsr())
    if pattern.nnz > q * most:
        return dense
    sparse = Fronts(Tree.dissect(pattern))
    return sparse if sparse.cost < dense.cost else dense
