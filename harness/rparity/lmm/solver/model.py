"""A mixed model that is solved for any number of responses at once: a fit has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtrs

from rparity.errors import DataError, FormulaError
from rparity.lmm.matrices.model_matrices import ModelMatrices
from rparity.lmm.matrices.template import Working
from rparity.lmm.numbers.memory import GIB, available
from rparity.lmm.solver.blocks import OneFactor
from rparity.lmm.solver.crossed import Dense, Span, Strata, common_eigenvectors, commute
from rparity.lmm.solver.nearby import Nearby
from rparity.lmm.solver.newton import Minimum, minimise
from rparity.lmm.solver.progress import Watch
from rparity.lmm.solver.structure import Conditional, Moments, Smooth, Structure

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# With up to so many random effects, balanced designs are made diagonal and others are one dense
# block, if Z has at most SPAN_SIZE doubles.
STRATA_EFFECTS = 400
DENSE_EFFECTS = 120
SPAN_SIZE = 2**24
# Standard deviations over σ to start from again if the first start did not converge.
RESTARTS = (1.0, 0.1, 10.0)


class NoResidualError(Exception):
    """The residual sum of squares fell to `least` at θ (m,), in working coordinates."""

    def __init__(self, theta: Array) -> None:
        super().__init__("the residual sum of squares is zero")
        self.theta = theta


@dataclass(frozen=True)
class Solution:
    """Optima of R responses; β is relative to the β₀ of `MixedModel.deviations`.

    `theta` (R, m), `beta` (R, p), `sigma` (R,), `criterion` (R,), `vcov_unscaled` (R, p, p), the
    covariance of β over σ², `hessian` (R, m, m) of the criterion in working coordinates of θ, and
    `converged` (R,).
    """

    theta: Array
    beta: Array
    sigma: Array
    criterion: Array
    vcov_unscaled: Array
    hessian: Array
    converged: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Sequence[Solution]) -> Solution:
        """Concatenate the responses of several parts."""
        names = [each.name for each in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class LinearModel:
    """Matrices and weights of y ~ Xβ, without a response.

    Responses are weighted deviations √w (y − offset − Xβ₀) from a β₀ near the solution. So the
    residual sum of squares is a sum of small numbers, and not a difference of large ones.
    """

    def __init__(self, matrices: ModelMatrices) -> None:
        if not (matrices.weights > 0.0).all():
            raise DataError("The weights have zeros: drop those rows, which have no influence.")
        self.matrices = matrices
        self.sqrt_weights = np.sqrt(matrices.weights)
        self.Q, self._R = np.linalg.qr(matrices.X * self.sqrt_weights[:, None])

    @property
    def n(self) -> int:
        """Number of observations."""
        return len(self.matrices.X)

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return int(self.matrices.X.shape[1])

    @property
    def q(self) -> int:
        """Number of random effects."""
        return sum(term.size for term in self.matrices.random)

    def divisor(self, *, reml: bool) -> float:
        """Return the divisor of s in the profiled σ²: n − p under REML, n under ML."""
        return float(self.n - self.p if reml else self.n)

    def ordinary_least_squares(self, y: Array) -> Array:
        """Return β₀ for a response, (p,): least squares without the random effects."""
        return self.from_working(self.Q.T @ (self.sqrt_weights * (y - self.matrices.offset)))

    def deviations(self, y: Array, beta: Array) -> Array:
        """Return √w (y − offset − Xβ) for y (n,) or (n, R) and β (p,)."""
        fitted = self.matrices.X @ beta + self.matrices.offset
        return np.asarray((self.sqrt_weights * (y.T - fitted)).T)

    def centre(self, y: Array) -> tuple[Array, Array]:
        """Return β₀ (p,) by least squares for a response (n,), and its `deviations` from there.

        Raises
        ------
        DataError
            If there are no deviations.
        """
        reference = self.ordinary_least_squares(y)
        deviations = self.deviations(y, reference)
        size = float(np.linalg.norm(self.sqrt_weights * y))
        if float(np.linalg.norm(deviations)) <= 1e-13 * size:
            raise DataError(
                f"The response {self.matrices.response!r} is an exact linear function of the "
                "fixed effects: there is no residual variance to estimate; fit it with lm()."
            )
        return reference, deviations

    def from_working(self, delta: Array) -> Array:
        """Convert coefficients of the orthonormal basis of X to coefficients of X, (..., p)."""
        solved, _ = dtrtrs(self._R, delta.T)  # scipy's own function takes ten times as long
        return np.asarray(solved.T)

    @cached_property
    def _R_inverse(self) -> Array:
        return self.from_working(np.eye(self.p)).T

    def least_squares_criterion(self, deviations: Array, *, reml: bool) -> Array:
        """Return −2 log-likelihood of R responses (n, R) without the random effects, (R,).

        Under REML it is that of the residuals: R's `logLik(lm(…), REML = TRUE)`.
        """
        residual = deviations - self.Q @ (self.Q.T @ deviations)
        f = self.divisor(reml=reml)
        s = np.einsum("nr,nr->r", residual, residual)
        return np.asarray(f * (1.0 + np.log(2.0 * np.pi * s / f)) + self.constant(reml=reml))

    def constant(self, *, reml: bool) -> float:
        """Return the part of the criterion without θ, from the weights and the basis of X."""
        constant = -2.0 * float(np.log(self.sqrt_weights).sum())
        if reml:
            constant += 2.0 * float(np.log(np.abs(np.diagonal(self._R))).sum())
        return constant


class MixedModel(LinearModel):
    """Matrices, weights and random-effects structure of y ~ Xβ + Zb, without a response."""

    def __init__(self, matrices: ModelMatrices) -> None:
        if not matrices.random:
            raise FormulaError(
                f"No random effects in {matrices.formula!r}: add a term such as (1 | g), "
                "or fit it with lm()."
            )
        super().__init__(matrices)
        self.working = Working(matrices.random, self.sqrt_weights)
        self.template = self.working.template
        self.structure = self._structure()

    def _structure(self) -> Structure:
        """Choose the algebra by the grouping factors."""
        template, Z = self.template, self.working.Z
        codes = [term.codes for term in self.matrices.random]
        levels = [len(term.levels) for term in self.matrices.random]
        shared = 1
        while shared < len(codes) and np.array_equal(codes[shared], codes[0]):
            shared += 1
        if shared == len(codes):
            return OneFactor(template, Z, codes[0], levels[0], self.Q)
        q = self.q
        if q <= STRATA_EFFECTS and self.n * q <= SPAN_SIZE and commute(Z, codes):
            span = Span.of(Z, codes, levels)
            if (common := common_eigenvectors(span)) is not None:
                return Strata(template, span, *common, self.Q)
        if q <= DENSE_EFFECTS and self.n * q <= SPAN_SIZE:
            return Dense(template, Span.of(Z, codes, levels), self.Q)
        from rparity.lmm.solver.schur import Schur  # loads sparse graphs, for large designs only

        schur = Schur(template, Z, codes, levels, shared, self.Q)
        if schur.memory > (free := available()):
            rest = sum(term.size for term in self.matrices.random[shared:])
            raise DataError(
                f"The fit of {self.matrices.formula!r} needs about {schur.memory / GIB:.1f} GiB of "
                f"memory, and {free / GIB:.1f} GiB are available: besides "
                f"{self.matrices.random[0].group!r} there are {rest} random effects. Leave out "
                "the next largest factor, or use a machine with more memory."
            )
        return schur

    # -- random effects ----------------------------------------------------------------------------

    def arrange(self, u: Array) -> list[Array]:
        """Split draws (R, q), in lme4's order of terms and levels, to (R, L, k) for each term."""
        terms = self.matrices.random
        parts = np.split(u, np.cumsum([term.size for term in terms])[:-1], axis=1)
        return [part.reshape(len(u), -1, t.k) for part, t in zip(parts, terms, strict=True)]

    def spread(self, effects: Sequence[Array]) -> Array:
        """Return Zb (n, R) for random effects b (R, L, k) of each term."""
        out: Array | float = 0.0
        for term, b in zip(self.matrices.random, effects, strict=True):
            for a in range(b.shape[2]):
                out = out + term.Z[:, a, None] * b[:, :, a].T[term.codes]
        return np.asarray(out)

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """Return random effects at θ (m,) given the weighted residual √w (y − offset − Xβ), (n,).

        u does not depend on the coordinates, so b = Λu has no cancellation.
        """
        u = self.structure.conditional(self.working.W @ theta, residual)
        triangles = self.template.blocks(self.template.Lambda(theta))
        return Conditional(
            [mean @ Lam.T for mean, Lam in zip(u.means, triangles, strict=True)],
            [Lam @ cov @ Lam.T for cov, Lam in zip(u.covariances, triangles, strict=True)],
        )

    # -- the criterion -----------------------------------------------------------------------------

    def solve(
        self,
        moments: Moments,
        *,
        reml: bool,
        start: Array | None = None,
        f: float | None = None,
        least: float = -np.inf,
        one: bool = False,
        more: Callable[[], Array] | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """Find each response's optimum from θ `start`, (m,) or (R, m); `f` replaces the divisor.

        If all moments are those of `one` response, the best optimum is returned, with the second
        derivatives there. If there are several optima, searches from the starts `more()` (S, m)
        follow. `watch` is called after each step: see `newton.minimise`.

        Raises
        ------
        NoResidualError
            If the penalized residual sum of squares of a response is at most `least` on the way.
        """
        template = self.template
        f = f or self.divisor(reml=reml)
        on = template.diagonal
        begin = on.astype(np.float64) if start is None else start @ self.working.W.T
        # At zero the slope is zero whatever the curvature, so the search would not leave it.
        begin = np.where(on & (np.abs(begin) < 1e-3), 0.3, begin)
        begin = np.broadcast_to(begin, (len(moments), template.m))

        near = Nearby(self.structure, moments, reml=reml)

        def objective(theta: Array, index: Index, among: Index | None = None) -> Smooth:
            at = near.evaluate(theta, index if among is None else among[index])
            if (gone := at.s.value <= least).any():
                raise NoResidualError(theta[gone][0])
            return at.profiled(f)

        found = minimise(objective, begin, template.canonical if one else None, watch)
        if more is not None and found.several:
            begin = more() @ self.working.W.T
            near = Nearby(self.structure, moments.repeated(len(begin)), reml=reml)
            found = found.join(minimise(objective, begin, template.canonical, watch))
        if one:
            value = (
                np.where(np.isfinite(found.value), found.value, np.inf) + 1e-8 * ~found.converged
            )
            best = np.array([np.argmin(value)])
            near, found = near.take(best), found.take(best)
        for size in RESTARTS:
            lost = np.flatnonzero(~found.converged)
            if not len(lost):
                break
            again = minimise(partial(objective, among=lost), np.tile(size * on, (len(lost), 1)))
            better = again.converged & (again.value <= found.value[lost] + 1e-9)
            found.x[lost[better]] = again.x[better]
            found.converged[lost[better]] = True
            found.hessian[lost[better]] = again.hessian[better]
        there = replace(found, x=template.canonical(found.x))
        return self._at(near, there, reml=reml, f=f)

    def at(self, moments: Moments, theta: Array, *, reml: bool) -> Solution:
        """Return the solution as if θ (R, m) were the optimum."""
        R, m = theta.shape
        there = Minimum(
            theta @ self.working.W.T,
            np.full(R, np.nan),
            np.ones(R, dtype=np.bool_),
            np.zeros((R, m, m)),
        )
        near = Nearby(self.structure, moments, reml=reml)
        found = self._at(near, there, reml=reml, f=self.divisor(reml=reml))
        return replace(found, theta=theta)  # zeros stay zeros

    def _at(self, near: Nearby, there: Minimum, *, reml: bool, f: float) -> Solution:
        """Return the solution where searches in working coordinates of θ have ended."""
        at = near.evaluate(there.x, np.arange(len(there.x)), "none")
        R_inv = self._R_inverse
        return Solution(
            theta=there.x @ self.working.W_inverse.T,
            beta=self.from_working(at.delta),
            sigma=np.sqrt(at.s.value / self.divisor(reml=reml)),
            criterion=at.profiled(f).value + self.constant(reml=reml),
            vcov_unscaled=R_inv @ at.A_inv @ R_inv.T,
            hessian=there.hessian,
            converged=there.converged,
        )
