"""Satterthwaite's and Kenward and Roger's methods in balls, for the fixed effects of a mixed model.

The formulas and their sources are in the docstring of `rparity.lmm.inference.ddf`. Here they are
evaluated by definition, with matrices of the size of the random effects: with S = ΛΛ' and T =
Z'V⁻¹Z, a direction Ṡ of S is the direction ZṠZ' of V, so that

    X'V⁻¹(ZṠZ')V⁻¹X = E'ṠE,    tr(V⁻¹(ZṠZ')V⁻¹(ZS̈Z')) = tr(TṠTS̈),    E = Z'V⁻¹X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flint import arb, arb_mat

from rparity.exact.ball_tables import BallTable
from rparity.exact.criterion import Point, trace_of_product


@dataclass(frozen=True)
class VarianceGradients:
    """How the covariance of β̂ changes with each variance parameter, and how well these are known.

    `cov` (p, p) is the covariance. `along` has its derivative (p, p) in each parameter. `inverse`
    is half the covariance matrix of the parameters, so that the degrees of freedom of one row L of
    contrasts are v² / (g'·`inverse`·g) with v = L·`cov`·L' and gᵢ = L·`along`ᵢ·L'.
    """

    cov: arb_mat
    along: Sequence[arb_mat]
    inverse: arb_mat

    def df(self, row: arb_mat) -> arb:
        """Degrees of freedom of the t test of one row of contrasts, (1, p)."""
        v = _form(row, self.cov)
        g = arb_mat(len(self.along), 1, [_form(row, each) for each in self.along])
        return v**2 / (g.transpose() * self.inverse * g)[0, 0]


class BallInference:
    """Both methods at an optimum `at`, of which the elements `free` of θ are not held at zero.

    An element that is held at zero does not matter to Satterthwaite's method: V's derivative in it
    is zero, and so are its second derivatives with the other parameters.
    """

    def __init__(self, at: Point, free: Sequence[int]) -> None:
        self.at = at
        self.free = free
        self.sigma2 = at.s / at.criterion.f

    def _along(self, direction: arb_mat) -> arb_mat:
        """A⁻¹E'ṠEA⁻¹ (p, p), the derivative of A⁻¹ along a direction Ṡ (q, q) of S."""
        EA = self.at.EX * self.at.A_inverse
        return EA.transpose() * direction * EA

    @cached_property
    def satterthwaite(self) -> VarianceGradients:
        """In the parameters (θ, log σ), of which θ only in its free elements.

        The Hessian is that of the criterion with σ as a parameter, log|V| [+ log|A|] + s/σ² +
        2f log σ. The profiled criterion's Hessian H lacks the part that σ's motion takes away.
        """
        at, f = self.at, self.at.criterion.f
        m = len(self.free)
        _, H = at.derivatives(self.free)
        slopes = at.slopes_of_s(self.free)  # ∂s/∂θ
        joint = arb_mat(m + 1, m + 1)
        for i in range(m):
            for j in range(m):
                joint[i, j] = H[i, j] + f / at.s**2 * slopes[i] * slopes[j]
            joint[i, m] = joint[m, i] = -2 * f / at.s * slopes[i]
        joint[m, m] = arb(4 * f)
        cov = at.A_inverse * self.sigma2
        along = [self._along(D) * self.sigma2 for D in at.directions(self.free)]
        return VarianceGradients(cov, [*along, cov * 2], joint.inv())

    @cached_property
    def kenward_roger(self) -> VarianceGradients:
        """In the elements of S, and in σ², for which V itself stands as the last direction.

        `cov` is the unadjusted covariance. These parameters exist where a variance is zero.

        Raises
        ------
        ZeroDivisionError
            If the data may say nothing about one of the parameters.
        """
        at = self.at
        Phi, sigma2 = at.A_inverse, self.sigma2
        P = [*self._P, at.A * -1]
        r = len(P)
        information = arb_mat(r, r)
        PhiP = [Phi * each for each in P]
        for i in range(r):
            for j in range(i + 1):
                value = self._K(i, j) - 2 * trace_of_product(Phi, self._Q(i, j))
                value += trace_of_product(PhiP[i], PhiP[j])
                information[i, j] = information[j, i] = value
        along = [Phi * each * Phi * -sigma2 for each in P]
        return VarianceGradients(Phi * sigma2, along, information.inv())

    @cached_property
    def adjusted_cov(self) -> arb_mat:
        """σ²Φ_A (p, p), Kenward and Roger's adjusted covariance of β̂."""
        Phi, P = self.at.A_inverse, [*self._P, self.at.A * -1]
        W = self.kenward_roger.inverse * 2
        p, r = Phi.nrows(), len(P)
        U = arb_mat(p, p)
        for i in range(r):
            for j in range(r):
                U += (self._Q(i, j) - P[i] * Phi * P[j]) * W[i, j]
        return (Phi + Phi * (U + U.transpose()) * Phi) * self.sigma2

    @cached_property
    def _G(self) -> list[arb_mat]:
        """Directions (q, q) of S: its elements, one for each element of θ."""
        criterion = self.at.criterion
        found = []
        for e in criterion.elements:
            blocks = [arb_mat(term.k, term.k) for term in criterion.model.terms]
            blocks[e.term][e.row, e.col] = blocks[e.term][e.col, e.row] = arb(1)
            found.append(criterion.repeat(blocks))
        return found

    @cached_property
    def _P(self) -> list[arb_mat]:
        EX = self.at.EX
        return [EX.transpose() * G * EX * -1 for G in self._G]

    @cached_property
    def _TG(self) -> list[arb_mat]:
        return [self.at.T * G for G in self._G]

    def _Q(self, i: int, j: int) -> arb_mat:
        """Q_ij (p, p); the last number is that of V."""
        last = len(self._G)
        if last in (i, j):
            return self.at.A if i == j else self._P[min(i, j)] * -1
        return self.at.EX.transpose() * self._G[i] * self._TG[j] * self.at.EX

    def _K(self, i: int, j: int) -> arb:
        """tr(V⁻¹G_iV⁻¹G_j); the last number is that of V."""
        last = len(self._G)
        if i == j == last:
            return arb(self.at.criterion.model.n)
        if last in (i, j):
            TG = self._TG[min(i, j)]
            return sum((TG[a, a] for a in range(TG.nrows())), arb(0))
        return trace_of_product(self._TG[i], self._TG[j])


def ddf_tables(found: BallInference) -> dict[str, BallTable]:
    """Return `ddf` and `vcov_kr`."""
    names, p = found.at.criterion.model.names, found.at.criterion.model.p
    methods = (found.satterthwaite, found.kenward_roger)
    rows = [arb_mat(1, p, [int(i == j) for j in range(p)]) for i in range(p)]
    ddf = {
        name: [method.df(row) for method in methods] for name, row in zip(names, rows, strict=True)
    }
    vcov = dict(zip(names, found.adjusted_cov.tolist(), strict=True))
    return {
        "ddf": BallTable(("satterthwaite", "kenward_roger"), ddf),
        "vcov_kr": BallTable(tuple(names), vcov),
    }


def _form(row: arb_mat, A: arb_mat) -> arb:
    return (row * A * row.transpose())[0, 0]
