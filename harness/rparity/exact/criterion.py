"""The profiled criterion of a mixed model, its gradient and Hessian in θ, in balls of size q."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flint import arb, arb_mat, fmpq, fmpq_mat

from rparity.exact.balls import Column
from rparity.exact.design import Design
from rparity.exact.enclosure import Balls, is_positive_definite


@dataclass(frozen=True)
class Entry:
    """Where an element of θ stands: row and column of the k × k triangle Λ of a term."""

    term: int
    row: int
    col: int


class Criterion:
    """REML criterion or deviance of a design, β and σ profiled out.

    With S = ΛΛ', V = W⁻¹ + ZSZ' and f = n − p (REML) or n,

        log|V| [+ log|X'V⁻¹X|] + f(1 + log(2πs/f)),  s = (y − Xβ)'V⁻¹(y − Xβ).

    n drops out: (I + Z'WZ S)⁻¹ takes the cross-products with W to those with V⁻¹.

    Source: Bates et al. (2015), JSS 67(1), sections 3.4 to 3.6.
    """

    def __init__(self, design: Design, *, reml: bool) -> None:
        self.design = design
        self.reml = reml
        q, p = design.q, design.p
        cross = design.cross
        self.ZZ = _matrix([row[:q] for row in cross[:q]])
        self.ZU = _matrix([row[q:] for row in cross[:q]])
        self.UU = _matrix([row[q:] for row in cross[q:]])
        self.f = design.n - p if reml else design.n
        self.entries = tuple(
            Entry(t, row, col)
            for t, term in enumerate(design.terms)
            for col in range(term.k)
            for row in range(col, term.k)
        )

    def at(self, theta: Sequence[arb]) -> Point:
        """Evaluate at θ (m,)."""
        return Point(self, theta)

    def triangles(self, theta: Sequence[arb]) -> list[arb_mat]:
        """Each term's Λ (k, k)."""
        out = [arb_mat(term.k, term.k) for term in self.design.terms]
        for entry, value in zip(self.entries, theta, strict=True):
            out[entry.term][entry.row, entry.col] = value
        return out

    def repeat(self, blocks: Sequence[arb_mat]) -> arb_mat:
        """One k × k block a term to q × q: the same for each of its levels."""
        out = arb_mat(self.design.q, self.design.q)
        for term, block in zip(self.design.terms, blocks, strict=True):
            for start in range(term.start, term.start + term.size, term.k):
                for a in range(term.k):
                    for b in range(term.k):
                        out[start + a, start + b] = block[a, b]
        return out


class Point:
    """All that the criterion, its derivatives and the estimates need at one θ.

    `beta` (p, 1), `s`, `A` = X'V⁻¹X (p, p) and its inverse, `T` = Z'V⁻¹Z and `TP` = Z'PZ (q, q),
    `h` = Z'V⁻¹(y − Xβ) (q, 1), with P = V⁻¹ − V⁻¹XA⁻¹X'V⁻¹.
    """

    def __init__(self, criterion: Criterion, theta: Sequence[arb]) -> None:
        self.criterion = criterion
        q, p = criterion.design.q, criterion.design.p
        self.Lambda = criterion.triangles(theta)
        self.S = criterion.repeat([L * L.transpose() for L in self.Lambda])
        self.M = arb_mat(q, q, [int(i == j) for i in range(q) for j in range(q)])
        self.M += criterion.ZZ * self.S
        solved = self.M.solve(_beside(criterion.ZZ, criterion.ZU))
        self.T = _columns(solved, 0, q)
        E = _columns(solved, q, q + p + 1)  # Z'V⁻¹[X y]
        Q = criterion.UU - criterion.ZU.transpose() * self.S * E
        self.A = arb_mat([[Q[i, j] for j in range(p)] for i in range(p)]) if p else arb_mat(0, 0)
        self.A_inverse = self.A.inv()
        b = arb_mat(p, 1, [Q[i, p] for i in range(p)])
        self.beta = self.A_inverse * b
        self.s = Q[p, p] - sum((b[i, 0] * self.beta[i, 0] for i in range(p)), arb(0))
        EX = _columns(E, 0, p)
        self.h = _columns(E, p, p + 1) - EX * self.beta
        self.TP = self.T - EX * self.A_inverse * EX.transpose()

    @cached_property
    def value(self) -> arb:
        """The criterion, prior weights included."""
        c = self.criterion
        out = self.M.det().log() + (self.A.det().log() if c.reml else 0)
        out += c.f * (1 + (2 * arb.pi() * self.s / c.f).log())
        return out - sum((arb(w).log() for w in c.design.weights or ()), arb(0))

    @cached_property
    def curvature(self) -> arb_mat:
        """Z'PZ under REML, Z'V⁻¹Z under ML: what the log-determinants differentiate to."""
        return self.TP if self.criterion.reml else self.T

    @cached_property
    def slopes(self) -> list[arb_mat]:
        """Derivative R_t of the criterion in each term's covariance S_t = ΛΛ', (k, k).

        R = curvature − (f/s) hh', of which the diagonal blocks of a term's levels are summed.
        """
        ratio = self.criterion.f / self.s
        out = []
        for term in self.criterion.design.terms:
            R = arb_mat(term.k, term.k)
            for at in range(term.start, term.start + term.size, term.k):
                for a in range(term.k):
                    for b in range(term.k):
                        R[a, b] += self.curvature[at + a, at + b]
                        R[a, b] -= ratio * self.h[at + a, 0] * self.h[at + b, 0]
            out.append(R)
        return out

    def derivatives(self, free: Sequence[int]) -> tuple[Balls, arb_mat]:
        """Gradient and Hessian in the elements `free` of θ.

        ∂S/∂θᵢ = Ṡᵢ = Λ̇ᵢΛ' + ΛΛ̇ᵢ', and ∂P = −P ∂V P, so that with aᵢ = h'Ṡᵢh

            gᵢ = tr(Ṡᵢ R) = 2(R_tΛ)ᵢ
            Hᵢⱼ = tr(S̈ᵢⱼ R) − tr(ṠᵢTṠⱼT) − (f/s²) aᵢaⱼ + (2f/s) (Ṡᵢh)'Z'PZ(Ṡⱼh).
        """
        c, f, s = self.criterion, self.criterion.f, self.s
        entries = [c.entries[i] for i in free]
        g = [(2 * self.slopes[e.term] * self.Lambda[e.term])[e.row, e.col] for e in entries]
        dS = [c.repeat(self._moved(e)) for e in entries]
        dST = [D * self.curvature for D in dS]
        dSh = [D * self.h for D in dS]
        a = [_dot(self.h, Dh) for Dh in dSh]
        TPdSh = [self.TP * Dh for Dh in dSh]
        H = arb_mat(len(free), len(free))
        for i, e in enumerate(entries):
            for j, o in enumerate(entries[: i + 1]):
                value = -_trace(dST[i], dST[j]) - f / s**2 * a[i] * a[j]
                value += 2 * f / s * _dot(dSh[i], TPdSh[j])
                if (e.term, e.col) == (o.term, o.col):
                    value += 2 * self.slopes[e.term][e.row, o.row]
                H[i, j] = H[j, i] = value
        return g, H

    def _moved(self, e: Entry) -> list[arb_mat]:
        """∂(ΛΛ')/∂θ of each term; zero but for that of the element."""
        out = [arb_mat(term.k, term.k) for term in self.criterion.design.terms]
        L = self.Lambda[e.term]
        for a in range(L.nrows()):
            out[e.term][e.row, a] += L[a, e.col]
            out[e.term][a, e.row] += L[a, e.col]
        return out

    def leaves_boundary(self) -> list[int]:
        """Terms in which some variance that is zero here would lower the criterion by growing.

        Where columns of Λ vanish, R_tΛ = 0 at the optimum and the unit vectors of these columns
        complement the span of Λ: no covariance beside S_t is better if R_t is positive definite
        among them. For one variance this is the sign of the derivative in it.
        """
        found = []
        for t, (L, R) in enumerate(zip(self.Lambda, self.slopes, strict=True)):
            zero = [j for j in range(L.nrows()) if L[j, j] == 0]
            block = arb_mat(len(zero), len(zero), [R[i, j] for i in zero for j in zero])
            if not is_positive_definite(block):
                found.append(t)
        return found


def _matrix(rows: Sequence[Column]) -> arb_mat:
    width = len(rows[0]) if rows else 0
    cells: list[fmpq] = [cell for row in rows for cell in row]
    return arb_mat(fmpq_mat(len(rows), width, cells))


def _columns(A: arb_mat, first: int, last: int) -> arb_mat:
    rows, width = A.nrows(), last - first
    return arb_mat(rows, width, [A[i, j] for i in range(rows) for j in range(first, last)])


def _beside(A: arb_mat, B: arb_mat) -> arb_mat:
    rows = [a + b for a, b in zip(A.tolist(), B.tolist(), strict=True)]
    return arb_mat(rows)


def _dot(a: arb_mat, b: arb_mat) -> arb:
    return (a.transpose() * b)[0, 0]


def _trace(A: arb_mat, B: arb_mat) -> arb:
    """tr(AB)."""
    rows, other = A.tolist(), B.transpose().tolist()
    return sum(
        (a * b for x, y in zip(rows, other, strict=True) for a, b in zip(x, y, strict=True)), arb(0)
    )
