"""The profiled criterion of a mixed model, with gradient and Hessian in θ, in balls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from flint import arb, arb_mat, fmpq, fmpq_mat

from rparity.exact.balls import Column
from rparity.exact.enclosure import Balls, is_positive_definite
from rparity.exact.rational import RationalModel


@dataclass(frozen=True)
class Element:
    """Where an element of θ is: row and column of the k × k triangle Λ of a term."""

    term: int
    row: int
    col: int


class Criterion:
    """REML criterion or deviance of a model, β and σ profiled out.

    With S = ΛΛ', V = W⁻¹ + ZSZ' and f = n − p (REML) or n, it is

        log|V| [+ log|X'V⁻¹X|] + f(1 + log(2πs/f)),  s = (y − Xβ)'V⁻¹(y − Xβ).

    No matrix of size n is needed: (I + Z'WZ S)⁻¹ turns cross-products with W into those with V⁻¹.

    Source: Bates et al. (2015), JSS 67(1), sections 3.4 to 3.6.
    """

    def __init__(self, model: RationalModel, *, reml: bool) -> None:
        self.model = model
        self.reml = reml
        q, p = model.q, model.p
        cross = model.cross
        self.ZZ = _matrix([row[:q] for row in cross[:q]])
        self.ZU = _matrix([row[q:] for row in cross[:q]])
        self.UU = _matrix([row[q:] for row in cross[q:]])
        self.f = model.n - p if reml else model.n
        self.elements = tuple(
            Element(t, row, col)
            for t, term in enumerate(model.terms)
            for col in range(term.k)
            for row in range(col, term.k)
        )

    def at(self, theta: Sequence[arb]) -> Point:
        """Evaluate at θ (m,)."""
        return Point(self, theta)

    def triangles(self, theta: Sequence[arb]) -> list[arb_mat]:
        """Each term's Λ (k, k)."""
        out = [arb_mat(term.k, term.k) for term in self.model.terms]
        for e, value in zip(self.elements, theta, strict=True):
            out[e.term][e.row, e.col] = value
        return out

    def repeat(self, blocks: Sequence[arb_mat]) -> arb_mat:
        """Repeat each term's k × k block along the diagonal, once for each level: (q, q)."""
        out = arb_mat(self.model.q, self.model.q)
        for term, block in zip(self.model.terms, blocks, strict=True):
            for start in term.starts:
                for a, b in product(range(term.k), repeat=2):
                    out[start + a, start + b] = block[a, b]
        return out


class Point:
    """The quantities from which the criterion, its derivatives and the estimates follow at one θ.

    `beta` (p, 1), `s`, `A` = X'V⁻¹X (p, p) and its inverse, `EX` = Z'V⁻¹X (q, p), `T` = Z'V⁻¹Z and
    `TP` = Z'PZ (q, q), `h` = Z'V⁻¹(y − Xβ) (q, 1), with P = V⁻¹ − V⁻¹XA⁻¹X'V⁻¹.
    """

    def __init__(self, criterion: Criterion, theta: Sequence[arb]) -> None:
        self.criterion = criterion
        q, p = criterion.model.q, criterion.model.p
        self.Lambda = criterion.triangles(theta)
        self.S = criterion.repeat([L * L.transpose() for L in self.Lambda])
        self.M = arb_mat(q, q, [int(i == j) for i in range(q) for j in range(q)])
        self.M += criterion.ZZ * self.S
        beside = [z + u for z, u in zip(criterion.ZZ.tolist(), criterion.ZU.tolist(), strict=True)]
        solved = self.M.solve(arb_mat(beside))
        self.T = _columns(solved, 0, q)
        E = _columns(solved, q, q + p + 1)  # Z'V⁻¹[X y]
        Q = criterion.UU - criterion.ZU.transpose() * self.S * E
        self.A = arb_mat(p, p, [Q[i, j] for i in range(p) for j in range(p)])
        self.A_inverse = self.A.inv()
        b = arb_mat(p, 1, [Q[i, p] for i in range(p)])
        self.beta = self.A_inverse * b
        self.s = Q[p, p] - sum((b[i, 0] * self.beta[i, 0] for i in range(p)), arb(0))
        self.EX = _columns(E, 0, p)
        self.h = _columns(E, p, p + 1) - self.EX * self.beta
        self.TP = self.T - self.EX * self.A_inverse * self.EX.transpose()

    @cached_property
    def value(self) -> arb:
        """The criterion, prior weights included."""
        c = self.criterion
        out = self.M.det().log() + (self.A.det().log() if c.reml else 0)
        out += c.f * (1 + (2 * arb.pi() * self.s / c.f).log())
        return out - sum((arb(w).log() for w in c.model.weights or ()), arb(0))

    @cached_property
    def curvature(self) -> arb_mat:
        """Derivative of the log-determinants in S: Z'PZ under REML, Z'V⁻¹Z under ML."""
        return self.TP if self.criterion.reml else self.T

    @cached_property
    def slopes(self) -> list[arb_mat]:
        """Derivative R_t of the criterion in each term's covariance S_t = ΛΛ', (k, k).

        It is the sum of the diagonal blocks, one a level, of R = curvature − (f/s) hh'.
        """
        ratio = self.criterion.f / self.s
        out = []
        for term in self.criterion.model.terms:
            R = arb_mat(term.k, term.k)
            for at in term.starts:
                for a, b in product(range(term.k), repeat=2):
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
        elements = [c.elements[i] for i in free]
        g = [(2 * self.slopes[e.term] * self.Lambda[e.term])[e.row, e.col] for e in elements]
        dS = self.directions(free)
        dST = [D * self.curvature for D in dS]
        dSh = [D * self.h for D in dS]
        a = [_dot(self.h, Dh) for Dh in dSh]
        TPdSh = [self.TP * Dh for Dh in dSh]
        H = arb_mat(len(free), len(free))
        for i, e in enumerate(elements):
            for j, o in enumerate(elements[: i + 1]):
                value = -trace_of_product(dST[i], dST[j]) - f / s**2 * a[i] * a[j]
                value += 2 * f / s * _dot(dSh[i], TPdSh[j])
                if (e.term, e.col) == (o.term, o.col):
                    value += 2 * self.slopes[e.term][e.row, o.row]
                H[i, j] = H[j, i] = value
        return g, H

    def directions(self, free: Sequence[int]) -> list[arb_mat]:
        """∂S/∂θ (q, q) of the elements `free`."""
        return [self.criterion.repeat(self._moved(self.criterion.elements[i])) for i in free]

    def slopes_of_s(self, free: Sequence[int]) -> Balls:
        """∂s/∂θ of the elements `free`: −h'Ṡh."""
        return [-_dot(self.h, D * self.h) for D in self.directions(free)]

    def _moved(self, e: Element) -> list[arb_mat]:
        """∂(ΛΛ')/∂θ of each term for one element; zero for the other terms."""
        out = [arb_mat(term.k, term.k) for term in self.criterion.model.terms]
        L = self.Lambda[e.term]
        for a in range(L.nrows()):
            out[e.term][e.row, a] += L[a, e.col]
            out[e.term][a, e.row] += L[a, e.col]
        return out

    def leaves_boundary(self) -> list[int]:
        """List the terms whose variances are zero here and would lower the criterion by growing.

        Where columns of Λ vanish, R_tΛ = 0 at the optimum, and the unit vectors of these columns
        complement the span of Λ. If R_t is positive definite among them, no covariance near S_t is
        better. For a single variance this is the sign of its derivative.
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


def _dot(a: arb_mat, b: arb_mat) -> arb:
    return (a.transpose() * b)[0, 0]


def trace_of_product(A: arb_mat, B: arb_mat) -> arb:
    """tr(AB)."""
    return sum((a * b for a, b in zip(A, B.transpose(), strict=True)), arb(0))
