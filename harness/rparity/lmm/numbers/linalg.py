"""Linear algebra for batches of small matrices, without loss of digits."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def triangle(A: Array) -> Array:
    """Return R of the QR of A (..., n, k), n ≥ k; the signs of its diagonal are arbitrary."""
    return np.asarray(np.linalg.qr(A, mode="r"), dtype=np.float64)


def semidefinite_cholesky(square: Array, tolerance: float = 0.0) -> Array:
    """Return the lower triangular L with LL' = `square` (k, k), which may be singular.

    Column j of L is zero if its pivot is at most `tolerance` times the largest diagonal element.
    """
    L = np.zeros_like(square)
    least = tolerance * max(float(np.diagonal(square).max(initial=0.0)), 1e-300)
    for j in range(len(square)):
        left = square[j:, j] - L[j:, :j] @ L[j, :j]
        if left[0] > least:
            L[j:, j] = left / np.sqrt(left[0])
    return L


def inverse(B: Array) -> tuple[Array, Array]:
    """Return (I + BB')⁻¹ and log|I + BB'| for B (..., b, k), without sums that lose digits."""
    b = B.shape[-2]
    if b == 1:
        P = 1.0 + np.einsum("...k,...k->...", B, B)
        return (1.0 / P)[..., None], np.log(P)[..., 0]
    if B.shape[-2:] == (2, 2):
        C = np.empty_like(B)
        det = B[..., 0, 0] * B[..., 1, 1] - B[..., 0, 1] * B[..., 1, 0]
        size = np.einsum("...ak,...ak->...a", B, B)
        P = 1.0 + size[..., 0] + size[..., 1] + det**2
        C[..., 0, 0] = (1.0 + size[..., 1]) / P
        C[..., 1, 1] = (1.0 + size[..., 0]) / P
        C[..., 0, 1] = -np.einsum("...k,...k->...", B[..., 0, :], B[..., 1, :]) / P
        C[..., 1, 0] = C[..., 0, 1]
        return C, np.log(P)
    eye = np.broadcast_to(np.eye(b), (*B.shape[:-2], b, b))
    R = triangle(np.concatenate([np.swapaxes(B, -1, -2), eye], axis=-2))
    R_inverse = np.asarray(np.linalg.inv(R), dtype=np.float64)
    logdet = 2.0 * np.log(np.abs(np.diagonal(R, axis1=-2, axis2=-1))).sum(axis=-1)
    return R_inverse @ np.swapaxes(R_inverse, -1, -2), np.asarray(logdet)


def group_qr(Z: Array, codes: Index, n_levels: int) -> tuple[Array, sp.csr_array]:
    """Return the QR of each level's rows: T (levels, k, k), orthonormal columns (n, levels · k)."""
    n, k = Z.shape
    if k == 1:
        size = np.sqrt(np.bincount(codes, Z[:, 0] ** 2, n_levels))
        Q = Z / np.where(size > 0.0, size, 1.0)[codes, None]
        return size[:, None, None], sparse_columns(Q, codes, n_levels)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=n_levels)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    T = np.zeros((n_levels, k, k))
    Q = np.zeros((n, k))
    for size in np.unique(sizes):
        levels = np.flatnonzero(sizes == size)
        rows = order[starts[levels][:, None] + np.arange(size)]
        # Rows of zeros, which do not change Q or T, give every level at least k rows.
        stack = np.zeros((len(levels), max(size, k), k))
        stack[:, :size] = Z[rows]
        q, t = np.linalg.qr(stack)
        sign = np.where(np.diagonal(t, axis1=1, axis2=2) < 0, -1.0, 1.0)
        T[levels] = t * sign[:, :, None]
        Q[rows] = (q * sign[:, None, :])[:, :size]
    return T, sparse_columns(Q, codes, n_levels)


def sparse_columns(Z: Array, codes: Index, n_levels: int) -> sp.csr_array:
    """Spread Z (n, k) to one column for each level and coefficient: (n, levels · k)."""
    n, k = Z.shape
    columns = codes[:, None] * k + np.arange(k)
    return sp.csr_array(
        (Z.ravel(), columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n_levels * k)
    )
