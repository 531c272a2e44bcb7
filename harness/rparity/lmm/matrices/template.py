"""The positions of the elements of θ in Λ_θ, and the coordinates in which θ is optimised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.matrices.model_matrices import RandomTerm
from rparity.lmm.numbers.linalg import triangle

Array = NDArray[np.float64]

# A standard deviation this small beside σ, in working coordinates, is set to zero. The criterion is
# even in it, so Newton's method approaches zero without reaching it, and the criterion is the same
# to 1e-12.
ZERO = 1e-6
# Columns of Z that are closer to collinear than this are scaled, but not made orthogonal.
COLLINEAR = 1e-6


@dataclass(frozen=True)
class Template:
    """Rows and columns of the elements of θ in the k × k triangle Λ_θ, with one block a term.

    `starts` has the first row of each term's block, and k at the end.
    """

    starts: tuple[int, ...]
    rows: NDArray[np.intp]
    cols: NDArray[np.intp]

    @classmethod
    def of(cls, widths: Sequence[int]) -> Template:
        """Make one lower triangle a term, column by column, which is lme4's order of θ."""
        return cls._of(tuple(widths))

    @classmethod
    @cache
    def _of(cls, widths: tuple[int, ...]) -> Template:
        rows, cols, starts = [], [], [0]
        for width in widths:
            for col in range(width):
                rows += [starts[-1] + row for row in range(col, width)]
                cols += [starts[-1] + col] * (width - col)
            starts.append(starts[-1] + width)
        return cls(tuple(starts), np.array(rows, dtype=np.intp), np.array(cols, dtype=np.intp))

    @cached_property
    def k(self) -> int:
        """Rows of Λ_θ."""
        return self.starts[-1]

    @cached_property
    def m(self) -> int:
        """Length of θ."""
        return len(self.rows)

    @cached_property
    def spans(self) -> list[slice]:
        """Rows of each term's block."""
        return [slice(a, b) for a, b in pairwise(self.starts)]

    @cached_property
    def term(self) -> NDArray[np.intp]:
        """Number of the term of each element of θ."""
        return np.searchsorted(self.starts, self.rows, side="right") - 1

    @cached_property
    def diagonal(self) -> NDArray[np.bool_]:
        """Whether each element of θ is on the diagonal, where it is not negative."""
        return np.asarray(self.rows == self.cols)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices i ≥ j of the second derivatives in θ."""
        return np.tril_indices(self.m)

    @cached_property
    def same_column(self) -> NDArray[np.bool_]:
        """Which `pairs` share a column of Λ_θ: only these have a second derivative of ΛΛ'."""
        i, j = self.pairs
        return np.asarray(self.cols[i] == self.cols[j])

    def square(self, packed: Array) -> Array:
        """Turn second derivatives (R, pairs) into symmetric matrices (R, m, m)."""
        if self.m == 1:
            return packed[:, :, None]
        i, j = self.pairs
        full = np.empty((len(packed), self.m, self.m))
        full[:, i, j] = packed
        full[:, j, i] = packed
        return full

    def blocks(self, Lam: Array) -> list[Array]:
        """Return each term's own triangle (..., k_t, k_t)."""
        return [Lam[..., span, span] for span in self.spans]

    def Lambda(self, theta: Array) -> Array:
        """Return Λ_θ of shape (..., k, k) for θ of shape (..., m)."""
        out = np.zeros((*theta.shape[:-1], self.k, self.k))
        out[..., self.rows, self.cols] = theta
        return out

    def canonical(self, theta: Array) -> Array:
        """Return θ (R, m) without negative diagonal elements, and with tiny ones set to zero.

        ΛΛ', and so the criterion, does not change: columns change sign, and a block with a zero on
        the diagonal above other elements is made triangular again.
        """
        theta = theta.copy()
        on = self.diagonal
        sign = np.ones((len(theta), self.k))
        sign[:, self.cols[on]] = np.where(theta[:, on] < 0, -1.0, 1.0)
        theta *= sign[:, self.cols]
        small = np.zeros((len(theta), self.k), dtype=bool)
        small[:, self.cols[on]] = theta[:, on] < ZERO
        if not small.any():
            return theta
        theta[(np.abs(theta) < ZERO) & small[:, self.cols]] = 0.0
        for r in np.flatnonzero((small[:, self.cols] & (theta != 0.0)).any(axis=1)):
            Lam = self.Lambda(theta[r])
            for block in self.blocks(Lam):
                block[:] = _triangular(block)
            theta[r] = Lam[self.rows, self.cols]
        return theta + 0.0  # turns -0.0 into 0.0


def _triangular(Lam: Array) -> Array:
    """Return the lower triangle with the same ΛΛ' whose columns are zero if their diagonal is."""
    rest, out = Lam.copy(), np.zeros_like(Lam)
    for j in range(len(Lam)):
        if np.linalg.norm(rest[0]) >= ZERO:
            R = triangle(rest.T)
            out[j:, j] = R[0] * np.sign(R[0, 0])
            rest = R[1:, 1:].T
        else:
            rest = triangle(rest[1:].T).T if len(rest) > 1 else rest
    return out


class Working:
    """Random terms Z̃ = Z L⁻¹, whose columns are orthonormal times √n, and θ̃ = Wθ.

    L is lower triangular. So Λ̃ = LΛ is lower triangular too, with the zeros of Λ on its diagonal.
    The optimisation then does not depend on units and origins of covariates.
    """

    def __init__(self, terms: Sequence[RandomTerm], sqrt_weights: Array) -> None:
        self.template = Template.of([term.k for term in terms])
        self.Z: list[Array] = []
        self.L: list[Array] = []
        for term in terms:
            Z = term.Z * sqrt_weights[:, None]
            L = _lower_factor(Z)
            unit = np.linalg.solve(L.T, Z.T).T if len(L) > 1 else Z / L
            self.Z.append(np.asarray(unit, dtype=np.float64))
            self.L.append(L)

    @cached_property
    def W(self) -> Array:
        """θ̃ = Wθ, shape (m, m)."""
        template = self.template
        L = np.zeros((template.k, template.k))
        for block, own in zip(template.blocks(L), self.L, strict=True):
            block[:] = own
        same = template.cols[:, None] == template.cols
        return np.where(same, L[template.rows[:, None], template.rows], 0.0)

    @cached_property
    def W_inverse(self) -> Array:
        """θ = W⁻¹θ̃, shape (m, m)."""
        W = self.W
        if not (W - np.diag(np.diagonal(W))).any():
            return np.diag(1.0 / np.diagonal(W))
        return np.asarray(np.linalg.inv(W), dtype=np.float64)


def _lower_factor(Z: Array) -> Array:
    """Return the lower triangular L with Z'Z / n = L'L, orthogonalising from the last column on."""
    size = np.sqrt(np.einsum("ij,ij->j", Z, Z) / len(Z))
    size[size == 0.0] = 1.0
    if len(size) > 1:
        unit = (Z / size)[:, ::-1]
        R = triangle(unit)
        R *= np.sign(np.diagonal(R))[:, None] / np.sqrt(len(Z))
        if np.abs(np.diagonal(R)).min() > COLLINEAR:
            return np.asarray(R[::-1, ::-1] * size)
    return np.diag(size)
