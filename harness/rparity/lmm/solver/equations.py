"""The equations of the spherical random effects u at one θ, and the derivatives of log|V| and M.

With b = Λu, all follows from A = I + Λ'Z'ZΛ (Bates et al. 2015). Its rows of the first, largest
factor (1) do not touch one another, so they are eliminated level by level. Of the rest (2) remains

    S = I + Λ₂'OΛ₂,    O = Z₂'V₁⁻¹Z₂,    V₁ = I + Z₁Λ₁Λ₁'Z₁',

which `fronts` factorises, sparse or dense. With Φ = Z'V⁻¹Z, the first derivatives of log|V| in ΛΛ'
are sums of elements of Φ within a level. They are exact, and need elements of S⁻¹ on the fronts
only. The second derivatives are sums of products of all elements of Φ. They come from columns ΦW,
where W is the identity if exact ones are asked for or cheap. Otherwise W has random signs, such
that the expectation of WW' is the identity (Hutchinson 1990).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template
from rparity.lmm.numbers.linalg import inverse
from rparity.lmm.numbers.panels import (
    WORK,
    Panel,
    block_diagonal,
    columns,
    lower_elements,
    lower_product,
    repeated,
    row_pairs,
    work,
)
from rparity.lmm.solver.fronts import Factor, Fronts
from rparity.lmm.solver.structure import Derivatives, Smooth

Array = NDArray[np.float64]

# A standard deviation over σ below which (ΛΛ')⁻¹ would cost digits.
SMALL = 0.03
# Second derivatives of a group with more effects than EXACT come from SIGNS random columns, unless
# exact ones are asked for. For 1,000 effects they have two digits, so each step of Newton's method
# gains two digits of θ.
EXACT = 256
SIGNS = 32
# Levels whose columns of Φ are computed at once.
LEVELS = 128


@dataclass(frozen=True)
class Group:
    """The effects of one later term, or of all terms of the first factor: L levels of k each."""

    L: int
    k: int
    own: slice  # its coefficients among the rows of the template
    rows: slice  # its effects among all, level by level, (L · k)

    @cached_property
    def signs(self) -> Array:
        """Random columns W (L, SIGNS): the same at each θ, so that sums over them are smooth."""
        rng = np.random.default_rng(self.rows.start)
        return np.asarray(rng.choice([-1.0, 1.0], (self.L, SIGNS)) / np.sqrt(SIGNS))

    def identity(self) -> Iterator[Array]:
        """Yield the columns of the identity, (L, …), some at a time."""
        for at in columns(self.L, LEVELS):
            W = np.zeros((self.L, at.stop - at.start))
            W[at][np.diag_indices(W.shape[1])] = 1.0
            yield W


@dataclass(frozen=True)
class CrossedDesign:
    """What the equations need at every θ: n rows, q effects, those of the first factor first.

    `T` (L, k, k) and Q are from the QR of the first factor's Z₁ = QT, level by level.
    """

    template: Template
    groups: tuple[Group, ...]
    Z: sp.csr_array  # (n, q)
    Zt: sp.csr_array
    T: Array
    inside: sp.csr_array  # Q'Z₂
    gram2: sp.csr_array  # Z₂'Z₂
    fronts: Fronts  # of S

    @cached_property
    def gram(self) -> sp.csr_array:
        """Z'Z, (q, q)."""
        return sp.csr_array((self.Zt @ self.Z).tocsr())

    @cached_property
    def gram_of(self) -> list[sp.csr_array]:
        """The columns of Z'Z of each group."""
        return [sp.csr_array(self.gram[:, group.rows]) for group in self.groups]

    @cached_property
    def inside_t(self) -> sp.csr_array:
        """Z₂'Q."""
        return sp.csr_array(self.inside.T.tocsr())

    @cached_property
    def group_of(self) -> list[Group]:
        """The group of each element of θ."""
        return [
            next(g for g in self.groups if g.own.start <= row < g.own.stop)
            for row in self.template.rows
        ]


class Equations:
    """A at one θ (m,), and derivatives in θ or along N: see `Structure`."""

    def __init__(self, design: CrossedDesign, theta: Array, along: Array | None = None) -> None:
        self.design = design
        template, groups = design.template, design.groups
        self.Lam = template.Lambda(theta)
        blocks = [(self.Lam[group.own, group.own], group.L) for group in groups]
        self._Lambda = repeated(blocks)
        self._LambdaT = self._Lambda.T.tocsr()
        self._Lambda2 = repeated(blocks[1:])
        B = design.T @ blocks[0][0]
        Bt = np.swapaxes(B, 1, 2)
        self._D_inverse, _ = inverse(Bt)  # of A₁₁
        self._C, logdet = inverse(B)
        self._reach = (design.inside @ self._Lambda2).tocsr()  # Q'Z₂Λ₂
        self._reach_t = self._reach.T.tocsr()
        self._lost = self._C @ B @ Bt  # I − C
        self._factor = Factor(design.fronts, self._remaining())
        self._logdet = float(logdet.sum()) + self._factor.logdet
        self._down = block_diagonal(B @ self._D_inverse)
        self._up = self._down.T.tocsr()
        self._solve1 = block_diagonal(self._D_inverse)
        # Elements of θ, or of τ, change ΛΛ' by these ab' + ba', (m, k, k).
        left, right = (np.eye(template.k), self.Lam) if along is None else (along, along)
        self._a, self._b = left[:, template.rows], right[:, template.cols]
        half = np.einsum("ai,bi->iab", self._a, self._b)
        self._change = half + np.swapaxes(half, 1, 2)
        self._same = template.same_column & (along is None)

    def _remaining(self) -> Iterator[Panel]:
        """Yield S − I = Λ₂'(Z₂'Z₂ − Z₂'Q(I − C)Q'Z₂)Λ₂ in panels."""
        gram = (self._Lambda2.T.tocsr() @ self.design.gram2 @ self._Lambda2).tocsr()
        kept = (block_diagonal(self._lost) @ self._reach).T.tocsr()
        for begin, panel in lower_product(kept, self._reach):
            end = begin + panel.shape[0]
            yield begin, (gram[begin:end, :end] - panel).tocsr()

    # -- solutions ---------------------------------------------------------------------------------

    def solve(self, R: Array) -> Array:
        """Return A⁻¹R, (q, c)."""
        first = self.design.groups[0].rows.stop
        x2 = self._factor.solve(R[first:] - self._reach_t @ (self._down @ R[:first]))
        return np.vstack([self._solve1 @ R[:first] - self._up @ (self._reach @ x2), x2])

    def spherical(self, Y: Array, ZtY: Array) -> tuple[Array, Array, Array]:
        """Return u = A⁻¹Λ'Z'Y, (q, c), E = Y − ZΛu, which is V⁻¹Y, and Z'E, for Y and Z'Y."""
        Z, Zt, gram = self.design.Z, self.design.Zt, self.design.gram
        u = self.solve(self._LambdaT @ ZtY)
        E = Y - Z @ (self._Lambda @ u)
        H = Zt @ E
        # One refinement gives u as many digits as a QR would (Björck 1996, section 2.9.3).
        more = self.solve(self._LambdaT @ H - u)
        change = self._Lambda @ more
        return u + more, E - Z @ change, H - gram @ change

    def _form(self, F: Array, *, exact: bool) -> Array:
        """Return F'ΦF for F (q, c), where Φ = Z'V⁻¹Z: to the last digits if `exact`."""
        gram = self.design.gram
        R = gram @ F
        u = self.solve(self._LambdaT @ R)
        rest = F - self._Lambda @ u  # Z'V⁻¹ZF is Z'Z times these
        if not exact:
            return np.asarray(rest.T @ (gram @ rest) + u.T @ u)
        more = self.solve(self._LambdaT @ (gram @ rest) - u)
        u += more
        E = self.design.Z @ (rest - self._Lambda @ more)
        return np.asarray(E.T @ E + u.T @ u)

    def covariances(self) -> list[Array]:
        """Return the conditional covariances of each group's u over σ², (L, k, k)."""
        Lam1 = self.Lam[self.design.groups[0].own, self.design.groups[0].own]
        G = np.empty_like(self._D_inverse)
        for a, Na in enumerate(self._N):
            for b, Nb in enumerate(self._N):
                G[:, a, b] = 0.0
                for i, j, row in row_pairs(Na, Nb):
                    at = (Na.indices[i].astype(np.intp), Nb.indices[j].astype(np.intp))
                    elements = self._factor.inverse_at(*at)
                    G[:, a, b] += np.bincount(row, Na.data[i] * Nb.data[j] * elements, len(G))
        first = self._D_inverse + Lam1.T @ G @ Lam1
        return [first, *(self._inverse_blocks(group) for group in self.design.groups[1:])]

    # -- derivatives of M --------------------------------------------------------------------------

    def products(self, W: Array, ZtW: Array, derivatives: Derivatives) -> Smooth:
        """Return W'V⁻¹W, (1, c, c), with derivatives (1, m, c, c) and (1, pairs, c, c).

        W is (n, c), and Z'W (q, c).
        """
        design, c = self.design, W.shape[1]
        m = design.template.m
        i, j = design.template.pairs
        u, E, H = self.spherical(W, ZtW)
        value = E.T @ E + u.T @ u
        if derivatives == "none":
            return Smooth.constant(value[None], design.template)
        h, moved = [], np.zeros((len(H), m, c))
        for at, group in enumerate(design.group_of):
            own = H[group.rows].reshape(group.L, group.k, c)
            h.append(np.einsum("lkc,k->lc", own, self._a[group.own, at]))
            change = self._change[at, group.own, group.own]
            moved[group.rows, at] = (change @ own).reshape(-1, c)
        flat = moved.reshape(len(H), m * c)
        gradient = -np.swapaxes((H.T @ flat).reshape(c, m, c), 0, 1)
        if derivatives == "first":
            none = Smooth.constant(value[None], design.template)
            return replace(none, gradient=gradient[None])
        form = self._form(flat, exact=derivatives == "exact")
        second = form.reshape(m, c, m, c)[i, :, j]
        for pair in np.flatnonzero(self._same):
            second[pair] -= h[i[pair]].T @ h[j[pair]]
        return Smooth(value[None], gradient[None], (second + np.swapaxes(second, 1, 2))[None])

    # -- derivatives of log|V| ---------------------------------------------------------------------

    def log_determinant(self, derivatives: Derivatives) -> Smooth:
        """Return log|V|, (1,), with derivatives (1, m) and (1, pairs)."""
        template = self.design.template
        if derivatives == "none":
            return Smooth.constant(np.array([self._logdet]), template)
        i, j = template.pairs
        A = np.zeros((template.k, template.k))
        if derivatives != "first":
            A, F = self._columns(exact=derivatives == "exact")
        gradient = np.zeros(template.m)
        for group, found in zip(self.design.groups, self._within(), strict=True):
            own = [at for at, of in enumerate(self.design.group_of) if of is group]
            if found is not None:
                A[group.own, group.own] = found
            if found is None and derivatives != "exact":
                slopes = self._slopes(group)
                at = template.rows[own] - group.own.start, template.cols[own] - group.own.start
                gradient[own] = slopes[at]
            else:
                gradient[own] = np.einsum("ai,ab,bi->i", self._a, A, self._b)[own]
        if derivatives == "first":
            none = Smooth.constant(np.array([self._logdet]), template)
            return replace(none, gradient=2.0 * gradient[None])
        crossed = np.einsum("iab,abcd,jcd->ij", self._change, F, self._change)
        second = 2.0 * self._same * A[template.rows[i], template.rows[j]] - crossed[i, j]
        return Smooth(np.array([self._logdet]), 2.0 * gradient[None], second[None])

    def _within(self) -> list[Array | None]:
        """Return Σ_ℓ Φ_ℓℓ (k, k) of each group, or None where Λ is nearly singular."""
        T = self.design.T
        first = (np.swapaxes(T, 1, 2) @ self._C @ T).sum(axis=0)
        for a, b in combinations_with_replacement(range(len(self._N)), 2):
            change = self._inner(self._N[a], self._N[b])
            if a != b:
                change = (change + self._inner(self._N[b], self._N[a])) / 2.0
            first[a, b] -= change
            if a != b:
                first[b, a] -= change
        found: list[Array | None] = [first]
        for group in self.design.groups[1:]:
            if not self._regular(group):
                found.append(None)
                continue
            back = np.linalg.inv(self.Lam[group.own, group.own])
            own = group.L * np.eye(group.k) - self._inverse_blocks(group).sum(axis=0)
            found.append(np.asarray(back.T @ own @ back))
        return found

    @cached_property
    def _N(self) -> list[sp.csr_array]:
        """Rows of Z₁'V₁⁻¹Z₂Λ₂ for each coefficient of the first factor: k arrays (L, q₂)."""
        N = (block_diagonal(np.swapaxes(self.design.T, 1, 2) @ self._C) @ self._reach).tocsr()
        k = self.design.T.shape[1]
        return [N if k == 1 else N[a::k] for a in range(k)]

    def _inner(self, Na: sp.csr_array, Nb: sp.csr_array) -> float:
        """Return the sum of S⁻¹ times the symmetric part of Na'Nb, element by element."""
        total = 0.0
        for panel in lower_product(Na.T.tocsr(), Nb):
            i, j, value = lower_elements(panel)
            value = np.where(i == j, 1.0, 2.0) * value
            total += float(value @ self._factor.inverse_at(i, j))
        return total

    def _regular(self, group: Group) -> bool:
        """Whether Λ of a group can be inverted without loss of digits."""
        return bool(np.linalg.norm(self.Lam[group.own, group.own], -2) >= SMALL)

    def _inverse_blocks(self, group: Group) -> Array:
        """Return the elements of S⁻¹ within each level of a later group, (L, k, k)."""
        at = np.arange(group.rows.start, group.rows.stop) - self.design.groups[0].rows.stop
        rows = at.reshape(group.L, group.k)
        i, j = np.broadcast_arrays(rows[:, :, None], rows[:, None, :])
        return self._factor.inverse_at(i.ravel(), j.ravel()).reshape(i.shape)

    def _slopes(self, group: Group) -> Array:
        """Return Σ_ℓ (ΦΛ)_ℓℓ (k, k) of a later group whose Λ may be singular.

        As ΦΛ is OΛS⁻¹, only elements of S⁻¹ on the fronts are needed.
        """
        design, k = self.design, group.k
        first = group.rows.start - design.groups[0].rows.stop
        slopes = np.zeros((k, k))
        kept = (block_diagonal(self._lost) @ self._reach).tocsr()
        for levels in columns(group.L, max(1, int(group.L * WORK / (1.0 + work(design.inside))))):
            begin, end = first + levels.start * k, first + levels.stop * k
            part = design.gram2[begin:end] @ self._Lambda2 - design.inside_t[begin:end] @ kept
            part = part.tocsr()
            row = np.repeat(np.arange(end - begin), np.diff(part.indptr))
            for c in range(k):
                elements = self._factor.inverse_at(
                    begin + row - row % k + c, part.indices.astype(np.intp)
                )
                slopes[:, c] += np.bincount(row % k, part.data * elements, k)
        return slopes

    # -- columns of Φ ------------------------------------------------------------------------------

    def _columns(self, *, exact: bool) -> tuple[Array, Array]:
        """Return Σ_ℓ Φ_ℓℓ (k, k), and F_abcd = Σ_ℓ,ℓ' Φ_ℓa,ℓ'd Φ_ℓb,ℓ'c, exact or estimated."""
        k, groups = self.design.template.k, self.design.groups
        A, F = np.zeros((k, k)), np.zeros((k, k, k, k))
        known = [exact or group.L * group.k <= EXACT for group in groups]
        found = [self._from_columns(*each) for each in zip(groups, known, strict=True)]
        for t, (diagonal, crossed) in enumerate(found):
            A[groups[t].own, groups[t].own] = diagonal
            for s, of_s in enumerate(crossed):
                # The columns of either group give Φ between two groups: the exact ones are taken.
                share = 1.0 if known[t] and not known[s] else 0.5
                share = 0.0 if known[s] and not known[t] else share
                own_s, own_t = groups[s].own, groups[t].own
                F[own_s, own_s, own_t, own_t] += share * of_s
                F[own_t, own_t, own_s, own_s] += share * np.transpose(of_s, (2, 3, 0, 1))
        return A, F

    def _from_columns(self, group: Group, complete: bool) -> tuple[Array, list[Array]]:
        """Return this group's Σ_ℓ Φ_ℓℓ (k, k), and F from its ΦW, (k_s, k_s, k, k) a group s."""
        L, k = group.L, group.k
        diagonal = np.zeros((k, k))
        totals = [np.zeros((g.k * k, g.k * k)) for g in self.design.groups]
        gram = self.design.gram_of[self.design.groups.index(group)]
        for W in group.identity() if complete else [group.signs]:
            R = gram @ np.einsum("lw,cd->lcdw", W, np.eye(k)).reshape(L * k, -1)
            X = self.solve(self._LambdaT @ R)
            rest = None
            for s, g in enumerate(self.design.groups):
                if self._regular(g):
                    back = np.linalg.inv(self.Lam[g.own, g.own]).T
                    Phi = back @ X[g.rows].reshape(g.L, g.k, -1)
                else:
                    rest = R - self.design.gram @ (self._Lambda @ X) if rest is None else rest
                    Phi = rest[g.rows].reshape(g.L, g.k, -1)
                Phi = Phi.reshape(g.L, g.k, k, -1)
                if g is group:
                    diagonal += np.einsum("lcdw,lw->cd", Phi, W)
                flat = np.moveaxis(Phi, 0, 2).reshape(g.k * k, -1)
                totals[s] += flat @ flat.T
        return diagonal, [
            np.transpose(total.reshape(g.k, k, g.k, k), (0, 2, 3, 1))
            for g, total in zip(self.design.groups, totals, strict=True)
        ]
