"""Factorisation of a sparse or dense positive definite matrix, front by front of a tree.

A front has the rows that it eliminates (1) and the rows above it that this changes (2):

    P = F₁₁⁻¹,   K = F₂₁P,   and F₂₂ − KF₁₂ is added to the front's parent.

These are the blocks of LDL'. Going up the tree they solve equations (b₂ − Kb₁), and going down it
they give the elements of the inverse on all fronts: with Z₂₂ from the parent, Z₂₁ = −Z₂₂K and
Z₁₁ = P − K'Z₂₁ (Takahashi, Fagan and Chin 1973; Erisman and Tinney 1975). Fronts of the same depth
and shape are computed at once. One front with all rows is the dense case, where P is the inverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from rparity.lmm.numbers.panels import Panel, lower_elements
from rparity.lmm.solver.dissection import Tree, padded

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Larger blocks are inverted one by one by LAPACK, smaller ones together.
LARGE = 48
# A multiplication in many small fronts takes as long as this many in one large one, and the calls
# for one batch as long as this many.
SLOWER = 6.0
CALLS = 4e6


@dataclass(frozen=True)
class Batch:
    """N fronts of the same depth and shape, which eliminate W rows and change D others.

    `pivots` (N, W) and `others` (N, D) are numbers of rows, or q where a front has fewer rows.
    `parent` (N,) is where the parents begin in the buffer, `side` (N,) their numbers of rows, and
    `local` (N, D) the places of the others in them.
    """

    start: int
    pivots: Index
    others: Index
    parent: Index
    side: Index
    local: Index

    @property
    def target(self) -> Index:
        """The places in the buffer that F₂₂ is added to, (N, D, D)."""
        rows = self.parent[:, None] + self.local * self.side[:, None]
        return np.asarray(rows[:, :, None] + self.local[:, None, :])

    @cached_property
    def scatter(self) -> tuple[Index, Index, Index]:
        """How the rows of others (N · D) are summed by row: their order, the starts, the rows."""
        flat = self.others.ravel()
        order = np.argsort(flat, kind="stable")
        rows, starts = np.unique(flat[order], return_index=True)
        return order, starts, rows

    def fronts(self, buffer: Array) -> tuple[Array, Array, Array, Array]:
        """Return views F₁₁ (N, W, W), F₁₂, F₂₁ and F₂₂ (N, D, D) of the fronts in a buffer."""
        N, W = self.pivots.shape
        side = W + self.others.shape[1]
        F = buffer[self.start : self.start + N * side * side].reshape(N, side, side)
        return F[:, :W, :W], F[:, :W, W:], F[:, W:, :W], F[:, W:, W:]


class Fronts:
    """Where the elements of a matrix (q, q) and its factors are stored, for one tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.q = len(tree.front)
        self.dense = len(tree.round) == 1
        pivots, others = tree.widths
        self._W = pivots if self.dense else padded(pivots)
        D = padded(others)
        self._side = self._W + D
        self._begin = np.zeros(len(pivots), dtype=np.intp)
        self._first = np.concatenate([[0], np.cumsum(others)])
        self._keys = tree.owner * self.q + tree.member
        # Rows of a front are in order of elimination.
        self._pivot = self.tree.place - self._starts(pivots)[tree.front]
        shapes = np.stack([-tree.round, self._W, D], axis=1)
        _, batch = np.unique(shapes, axis=0, return_inverse=True)
        order, ends = np.argsort(batch, kind="stable"), np.cumsum(np.bincount(batch))
        self._members = np.split(order, ends[:-1])
        self._begin[order] = np.cumsum(self._side[order] ** 2) - self._side[order] ** 2
        self.size = int((self._side**2).sum())

    @cached_property
    def batches(self) -> list[Batch]:
        """All batches, from the deepest up."""
        return [self._batch(fronts) for fronts in self._members]

    def _starts(self, pivots: Index) -> Index:
        """Return the place of each front's first row: fronts with large numbers come first."""
        return np.asarray(self.q - np.cumsum(pivots))

    def _batch(self, fronts: Index) -> Batch:
        tree, q = self.tree, self.q
        W = int(self._W[fronts[0]])
        D = int(self._side[fronts[0]]) - W
        pivots = np.full((len(fronts), W), q, dtype=np.intp)
        others = np.full((len(fronts), D), q, dtype=np.intp)
        own, changed = tree.widths
        starts = self._starts(own)
        which, at = _ragged(own[fronts])
        pivots[which, at] = tree.order[starts[fronts][which] + at]
        which, at = _ragged(changed[fronts])
        others[which, at] = tree.member[self._first[fronts][which] + at]
        start = int(self._begin[fronts[0]])
        if not D:
            return Batch(start, pivots, others, fronts, fronts, others)
        # Rows that are missing take the place of the first one: zeros are added there.
        known = np.where(others < q, others, others[:, :1])
        parent = tree.front[known].max(axis=1)
        local = self._local(np.repeat(parent, D), known.ravel()).reshape(known.shape)
        return Batch(start, pivots, others, self._begin[parent], self._side[parent], local)

    def _local(self, front: Index, row: Index) -> Index:
        """Return the place of rows within fronts."""
        rank = np.searchsorted(self._keys, front * self.q + row) - self._first[front]
        return np.where(self.tree.front[row] == front, self._pivot[row], self._W[front] + rank)

    def places(self, i: Index, j: Index) -> Index:
        """Return the places in the buffer of the elements (i, j) of the matrix or its inverse."""
        if self.dense:
            return self._pivot[i] * self.q + self._pivot[j]
        front = np.maximum(self.tree.front[i], self.tree.front[j])
        row, column = self._local(front, i), self._local(front, j)
        return self._begin[front] + row * self._side[front] + column

    @property
    def cost(self) -> float:
        """The work of a factorisation with selected inverse, in multiplications of a dense one."""
        return (
            self.tree.work if self.dense else SLOWER * self.tree.work + CALLS * len(self._members)
        )

    def spread(self, panels: Iterable[Panel]) -> Array:
        """Return a buffer with I + A, given the lower triangle of a symmetric A (q, q)."""
        buffer = np.zeros(self.size)
        if self.dense:
            whole = buffer.reshape(self.q, self.q)
            for begin, panel in panels:
                end = begin + panel.shape[0]
                whole[begin:end, : panel.shape[1]] = panel.toarray()
            whole[np.diag_indices(self.q)] += 1.0
            return buffer
        for each in panels:
            i, j, value = lower_elements(each)
            buffer[self.places(i, j)] = value
            buffer[self.places(j, i)] = value
        for batch in self.batches:
            F11 = batch.fronts(buffer)[0]
            on = np.arange(F11.shape[1])
            F11[:, on, on] += 1.0
        return buffer


def _ragged(lengths: Index) -> tuple[Index, Index]:
    """Return the row and the column of each element of rows of these lengths."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


class Factor:
    """The factorisation of I + A for a symmetric A (q, q) without negative eigenvalues, in panels.

    Raises
    ------
    numpy.linalg.LinAlgError
        If I + A is not positive definite to rounding.
    """

    def __init__(self, plan: Fronts, A: Iterable[Panel]) -> None:
        self._plan = plan
        self._buffer = plan.spread(A)
        self.logdet = 0.0  # log|I + A|
        for batch in plan.batches:
            F11, _, F21, F22 = batch.fronts(self._buffer)
            if not batch.others.shape[1]:
                self.logdet += _invert(F11)[0]
                continue
            logdet, L_inverse = _invert(F11, keep=True)
            self.logdet += logdet
            half = F21 @ np.swapaxes(L_inverse, 1, 2)
            F22 -= half @ np.swapaxes(half, 1, 2)
            F21[:] = half @ L_inverse
            np.add.at(self._buffer, batch.target.ravel(), F22.ravel())

    def _walk(self) -> Iterator[tuple[Batch, Array, Array]]:
        """Yield the batches from the root down, with P and K."""
        for batch in reversed(self._plan.batches):
            P, _, K, _ = batch.fronts(self._buffer)
            yield batch, P, K

    def solve(self, Y: Array) -> Array:
        """Return (I + A)⁻¹Y for Y (q, c)."""
        plan = self._plan
        if plan.dense:
            return np.asarray(self._buffer.reshape(plan.q, plan.q) @ Y)
        x = np.vstack([Y, np.zeros((1, Y.shape[1]))])  # the last row stands for missing rows
        for batch, P, K in reversed(list(self._walk())):
            own = x[batch.pivots]
            if K.shape[1]:
                order, starts, rows = batch.scatter
                change = (K @ own).reshape(len(order), -1)[order]
                x[rows] -= np.add.reduceat(change, starts, axis=0)
            x[batch.pivots] = P @ own
        for batch, _, K in self._walk():
            if K.shape[1]:
                x[batch.pivots] -= np.swapaxes(K, 1, 2) @ x[batch.others]
        return x[:-1]

    @cached_property
    def _inverse(self) -> Array:
        """The elements of (I + A)⁻¹ on all fronts, in a buffer."""
        if self._plan.dense:
            return self._buffer
        inverse = np.empty_like(self._buffer)
        for batch, P, K in self._walk():
            Z11, Z12, Z21, Z22 = batch.fronts(inverse)
            Z11[:] = P
            if K.shape[1]:
                Z22[:] = inverse[batch.target]
                Z21[:] = -Z22 @ K
                Z12[:] = np.swapaxes(Z21, 1, 2)
                Z11 -= np.swapaxes(K, 1, 2) @ Z21
        return inverse

    def inverse_at(self, i: Index, j: Index) -> Array:
        """Return elements (i, j) of (I + A)⁻¹ that are on a front, as all nonzeros of A are."""
        return np.asarray(self._inverse[self._plan.places(i, j)])


def _invert(A: Array, *, keep: bool = False) -> tuple[float, Array]:
    """Replace positive definite A (N, W, W) by A⁻¹; return log|A| and, to keep, L⁻¹, A = LL'."""
    N, W, _ = A.shape
    if W < LARGE:
        L = np.linalg.cholesky(A)
        L_inverse = np.linalg.inv(L)
        A[:] = np.swapaxes(L_inverse, 1, 2) @ L_inverse
        return 2.0 * float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum()), L_inverse
    total = 0.0
    kept = np.empty_like(A) if keep else A[:0]
    for n in range(N):
        # The transpose of a matrix in C's order is one in Fortran's, as LAPACK has them.
        U, failed = lapack.dpotrf(A[n].T, lower=0, clean=1, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("the matrix is not positive definite")
        total += 2.0 * float(np.log(np.diagonal(U)).sum())
        U, _ = lapack.dtrtri(U, lower=0, overwrite_c=1)
        if keep:
            kept[n] = U.T
        U, _ = lapack.dlauum(U, lower=0, overwrite_c=1)
        if U.ctypes.data != A[n].ctypes.data:
            A[n] = U.T
        _mirror(A[n])
    return total, kept


def _mirror(A: Array) -> None:
    """Copy the lower triangle of A (W, W) to the upper one, in place and in panels."""
    W = len(A)
    for begin in range(0, W, 256):
        end = min(begin + 256, W)
        own = A[begin:end, begin:end]
        own[:] = np.tril(own) + np.tril(own, -1).T
        A[begin:end, end:] = A[end:, begin:end].T
