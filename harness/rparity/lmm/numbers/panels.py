"""Products of sparse matrices in panels of rows, so that large ones need little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# A panel: its first row i, and the rows i, … of a matrix in all columns up to its own last row.
Panel = tuple[int, sp.csr_array]

# The number of multiplications in one panel, and pairs of elements that are in memory at once.
WORK = 2**21
PAIRS = 2**20


def ones(A: sp.csr_array) -> sp.csr_array:
    """Return the pattern of A, with ones."""
    return sp.csr_array((np.ones(A.nnz), A.indices, A.indptr), shape=A.shape)


def repeated(blocks: Iterable[tuple[Array, int]]) -> sp.csr_array:
    """Put each block (k, k) along the diagonal, so many times."""
    return sp.csr_array(
        sp.block_diag(
            [block_diagonal(np.broadcast_to(block, (L, *block.shape))) for block, L in blocks],
            format="csr",
        )
    )


def block_diagonal(blocks: Array) -> sp.csr_array:
    """Put blocks (L, k, k) along the diagonal."""
    L, k, _ = blocks.shape
    if k == 1:
        return sp.csr_array(sp.diags_array(blocks[:, 0, 0], format="csr"))
    return sp.csr_array(
        sp.bsr_array((blocks, np.arange(L), np.arange(L + 1)), shape=(L * k, L * k)).tocsr()
    )


def work(A: sp.csr_array) -> float:
    """Return the number of multiplications in A'A."""
    return float((np.diff(A.indptr).astype(np.float64) ** 2).sum())


def lower_product(left: sp.csr_array, right: sp.csr_array) -> Iterator[Panel]:
    """Yield left · right (q, q) in panels, without most of the upper triangle."""
    q = left.shape[0]
    count = int(min(64.0, np.ceil(work(right) / WORK), max(q, 1)))
    # Later panels have more columns, so they have fewer rows: the work of each is about the same.
    edges = np.round(q * np.sqrt(np.linspace(0.0, 1.0, count + 1))).astype(int)
    for begin, end in pairwise(edges):
        columns = right if end == q else right[:, :end]
        yield begin, sp.csr_array((left[begin:end] @ columns).tocsr())


def lower_elements(panel: Panel) -> tuple[Index, Index, Array]:
    """Return rows, columns and values of a panel's elements, without the upper triangle."""
    begin, found = panel
    row = begin + np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    col, value = found.indices.astype(np.intp), found.data
    if len(on := np.flatnonzero(col <= row)) < len(col):
        row, col, value = row[on], col[on], value[on]
    return row, col, value


def row_pairs(A: sp.csr_array, B: sp.csr_array) -> Iterator[tuple[Index, Index, Index]]:
    """Yield all pairs of an element of A and one of B in the same row: places in both, and row.

    They come in pieces of about `PAIRS`.
    """
    of_A, of_B = np.diff(A.indptr).astype(np.intp), np.diff(B.indptr).astype(np.intp)
    pairs = np.cumsum(of_A * of_B)
    piece = pairs // PAIRS
    for rows in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(piece)) + 1):
        begin, end = A.indptr[rows[0]], A.indptr[rows[-1] + 1]
        row = np.repeat(rows, of_A[rows])  # of each element of A
        times = of_B[row]
        first = np.repeat(np.arange(begin, end), times)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
        row = np.repeat(row, times)
        yield first, B.indptr[row] + offset, row


def columns(width: int, at_once: int) -> Sequence[slice]:
    """Divide so many columns into slices."""
    return [slice(at, min(at + at_once, width)) for at in range(0, width, at_once)]
