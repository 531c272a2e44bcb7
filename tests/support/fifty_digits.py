"""The random-intercept model in 50-digit arithmetic, as a reference for the fits.

y = Xβ + Zb + e with one intercept a group and V = I + θ² ZZ'. Each group's block of V has the
determinant 1 + n θ² and the inverse I − w 11', w = θ² / (1 + n θ²). No code of the package is used,
only sums over lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
import pandas as pd
from mpmath import mp, mpf

DIGITS = 50


@dataclass(frozen=True)
class Optimum:
    """The optimum; fixed effects in the order intercept, slope."""

    theta: mpf
    sigma2: mpf
    beta: Sequence[mpf]
    vcov: mpmath.matrix
    criterion: mpf
    modes: Sequence[mpf]

    @property
    def group_variance(self) -> mpf:
        """Variance of the groups' intercepts."""
        return self.theta**2 * self.sigma2

    @property
    def std_errors(self) -> list[mpf]:
        """Standard errors of the fixed effects."""
        return [mpmath.sqrt(self.vcov[i, i]) for i in range(2)]


class RandomIntercept:
    """The criterion of y ~ x + (1 | p) for one data set."""

    def __init__(self, data: pd.DataFrame, *, reml: bool) -> None:
        self.reml = reml
        self.groups = [
            ([mpf(float(x)) for x in group["x"]], [mpf(float(y)) for y in group["y"]])
            for _, group in data.groupby("p", observed=True, sort=True)
        ]
        self.n = len(data)
        self.f = self.n - 2 if reml else self.n

    def solve(self, theta: mpf) -> tuple[mpf, mpmath.matrix, mpmath.matrix, mpf]:
        """log|V|, A = X'V⁻¹X, β = A⁻¹X'V⁻¹y and s = (y − Xβ)'V⁻¹(y − Xβ)."""
        logdet, yy = mpf(0), mpf(0)
        A, b = mpmath.zeros(2, 2), mpmath.zeros(2, 1)
        for x, y in self.groups:
            n = len(x)
            w = theta**2 / (1 + n * theta**2)
            logdet += mpmath.log(1 + n * theta**2)
            columns = ([mpf(1)] * n, x)
            for i in range(2):
                for j in range(2):
                    A[i, j] += mpmath.fdot(columns[i], columns[j]) - w * (
                        mpmath.fsum(columns[i]) * mpmath.fsum(columns[j])
                    )
                b[i] += mpmath.fdot(columns[i], y) - w * mpmath.fsum(columns[i]) * mpmath.fsum(y)
            yy += mpmath.fdot(y, y) - w * mpmath.fsum(y) ** 2
        beta = mpmath.lu_solve(A, b)
        return logdet, A, beta, yy - mpmath.fdot(beta, b)

    def criterion(self, theta: mpf) -> mpf:
        """REML criterion or deviance, β and σ profiled out."""
        logdet, A, _, s = self.solve(theta)
        if self.reml:
            logdet += mpmath.log(mpmath.det(A))
        return logdet + self.f * (1 + mpmath.log(2 * mp.pi * s / self.f))

    def joint(self, beta: Sequence[mpf], theta: mpf) -> mpf:
        """−2 log-likelihood of (β, θ), σ profiled out."""
        logdet, A, _, _ = self.solve(theta)
        s = mpf(0)
        for x, y in self.groups:
            w = theta**2 / (1 + len(x) * theta**2)
            r = [yi - beta[0] - beta[1] * xi for xi, yi in zip(x, y, strict=True)]
            s += mpmath.fdot(r, r) - w * mpmath.fsum(r) ** 2
        if self.reml:
            logdet += mpmath.log(mpmath.det(A))
        return logdet + self.f * mpmath.log(s)

    def optimum(self, start: float) -> Optimum:
        """Find the root of the criterion's derivative near a start."""
        theta = mpmath.findroot(
            lambda t: mpmath.diff(self.criterion, t), (start, start * 1.001), solver="secant"
        )
        _, A, beta, s = self.solve(theta)
        sigma2 = s / self.f
        modes = []
        for x, y in self.groups:
            r = mpmath.fsum(yi - beta[0] - beta[1] * xi for xi, yi in zip(x, y, strict=True))
            modes.append(theta**2 / (1 + len(x) * theta**2) * r)
        return Optimum(theta, sigma2, list(beta), sigma2 * A**-1, self.criterion(theta), modes)

    def joint_std_errors(self, at: Optimum) -> list[float]:
        """Standard errors from the inverse of the joint Hessian of (β, θ)."""
        point = (*at.beta, at.theta)

        def second(i: int, j: int) -> mpf:
            order = [0, 0, 0]
            order[i] += 1
            order[j] += 1
            return mpmath.diff(lambda a, b, t: self.joint((a, b), t), point, tuple(order))

        H = mpmath.matrix(3, 3)
        for i in range(3):
            for j in range(3):
                H[i, j] = second(i, j)
        inverse = H**-1
        return [float(mpmath.sqrt(2 * inverse[i, i])) for i in range(2)]
