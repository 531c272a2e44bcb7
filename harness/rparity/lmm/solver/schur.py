"""Several grouping factors with thousands of levels: the structure behind `equations`.

The levels of the first, largest factor are eliminated one by one. How the others are eliminated
follows from the number of multiplications: as a tree of fronts, if they touch few others, as pupils
in schools over years do, or as one dense matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        doubles += 4.0 * n * columns * (1 + self.template.m)
        doubles += 4.0 * q * SIGNS * max(group.k for group in design.groups)
        return (
            8.0 * float(doubles) + 16.0 * (2 * design.Z.nnz + 6 * design.inside.nnz) + 64.0 * WORK
        )

    def moments(self, Y: Array) -> Moments:
        """Keep the responses (n, R): sums of squares are taken of their residuals at each θ."""
        return Moments((np.ascontiguousarray(Y.T),))

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
        for one, y in zip(theta, moments.parts[0], strict=True):
            try:
                at = Equations(self.design, one, along)
            except np.linalg.LinAlgError:  # θ is so large that rounding makes S indefinite
                found.append(self._unknown())
                continue
            of_y = at.products(np.column_stack([self.X, y]), derivatives)
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
        u, _ = at.spherical(residual[:, None])
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
