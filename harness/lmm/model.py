"""A mixed model ready to be solved for any number of responses: one fit is a bootstrap of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from harness.errors import FormulaError
from harness.lmm.deviance import evaluate
from harness.lmm.matrices import ModelMatrices
from harness.lmm.newton import minimise
from harness.lmm.structure import Moments, OneFactor, Smooth, Structure

Array = NDArray[np.float64]

# A standard deviation this small beside σ, where the criterion curves upwards, is exactly zero:
# the criterion is even in it, so Newton's method closes in on zero without ever landing there.
ZERO = 1e-8


@dataclass(frozen=True)
class Solution:
    """Optima of R responses, as deviations of β from the reference that the responses are given from.

    `theta` (R, m), `beta` (R, p), `sigma` (R,), `criterion` (R,), `vcov_unscaled` (R, p, p), the
    covariance of β over σ², and `converged` (R,).
    """

    theta: Array
    beta: Array
    sigma: Array
    criterion: Array
    vcov_unscaled: Array
    converged: NDArray[np.bool_]


class MixedModel:
    """Design, weights and random-effects structure of y ~ Xβ + Zb, without a response.

    Responses are given as weighted deviations √w (y − offset − X β₀) from some β₀ near the
    solution: the residual sum of squares is then small because the numbers are, not because large
    ones cancel.
    """

    def __init__(self, matrices: ModelMatrices) -> None:
        factors = {term.group for term in matrices.random}
        if not factors:
            raise FormulaError(
                f"No random effects in {matrices.formula!r}: add a term such as (1 | g), "
                "or fit it with lm()."
            )
        if len(factors) > 1:
            raise FormulaError(
                f"{matrices.formula!r} has {len(factors)} grouping factors "
                f"({', '.join(sorted(factors))}): only models with one are supported so far."
            )
        self.matrices = matrices
        self.sqrt_weights = np.sqrt(matrices.weights)
        self._Q, self._R = np.linalg.qr(matrices.X * self.sqrt_weights[:, None])
        self.structure: Structure = OneFactor(matrices.random, self._Q, self.sqrt_weights)

    @property
    def n(self) -> int:
        """Number of observations."""
        return self.matrices.X.shape[0]

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.matrices.X.shape[1]

    def divisor(self, *, reml: bool) -> float:
        """Return what the profiled σ² divides s by: n − p under REML, n under ML."""
        return float(self.n - self.p if reml else self.n)

    def ordinary_least_squares(self, y: Array) -> Array:
        """β₀ for a response: least squares that ignore the random effects, shape (p,)."""
        return self.from_working(self._Q.T @ (self.sqrt_weights * (y - self.matrices.offset)))

    def deviations(self, y: Array, beta: Array) -> Array:
        """√w (y − offset − Xβ) for y (n,) or (n, R) and β (p,): what `moments` and `solve` take."""
        fitted = self.matrices.X @ beta + self.matrices.offset
        if y.ndim == 1:
            return self.sqrt_weights * (y - fitted)
        return self.sqrt_weights[:, None] * (y - fitted[:, None])

    def from_working(self, delta: Array) -> Array:
        """Coefficients of X for coefficients of its orthonormal basis, shape (..., p)."""
        out: Array = scipy.linalg.solve_triangular(self._R, delta.T, check_finite=False).T
        return out

    def deviance(
        self, moments: Moments, theta: Array, *, reml: bool, f: float | None = None
    ) -> Smooth:
        """Return the profiled deviance at θ (R, m), as R's `devFunOnly = TRUE` function gives it."""
        profiled = evaluate(self.structure, moments, theta, reml=reml).profiled(
            f or self.divisor(reml=reml)
        )
        return Smooth(
            profiled.value + self._constant(reml=reml), profiled.gradient, profiled.hessian
        )

    def solve(
        self,
        moments: Moments,
        *,
        reml: bool,
        start: Array | None = None,
        f: float | None = None,
    ) -> Solution:
        """Find every response's optimum, from θ = `start` (m,); `f` replaces the criterion's divisor."""
        template = self.structure.template
        f = f or self.divisor(reml=reml)
        begin = template.start() if start is None else start
        begin = np.where(template.diagonal & (begin == 0.0), 1.0, begin)

        def objective(theta: Array, index: NDArray[np.intp]) -> Smooth:
            part = moments if len(index) == len(moments) else moments.take(index)
            return evaluate(self.structure, part, theta, reml=reml).profiled(f)

        found = minimise(objective, np.tile(begin, (len(moments), 1)))
        theta = template.canonical(found.x)
        theta[:, template.diagonal] = np.where(
            theta[:, template.diagonal] < ZERO, 0.0, theta[:, template.diagonal]
        )
        at = evaluate(self.structure, moments, theta, reml=reml)
        R_inv = self.from_working(np.eye(self.p))  # rows are solutions for unit vectors: R⁻ᵀ
        return Solution(
            theta=theta,
            beta=self.from_working(at.delta),
            sigma=np.sqrt(at.s.value / self.divisor(reml=reml)),
            criterion=at.profiled(f).value + self._constant(reml=reml),
            vcov_unscaled=R_inv.T @ at.A_inv @ R_inv,
            converged=found.converged,
        )

    def _constant(self, *, reml: bool) -> float:
        """Return the criterion's terms free of θ: the working basis' determinant and the weights."""
        constant = -2.0 * float(np.log(self.sqrt_weights).sum())
        if reml:
            constant += 2.0 * float(np.log(np.abs(np.diagonal(self._R))).sum())
        return constant
