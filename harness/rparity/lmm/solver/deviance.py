"""The profiled deviance of a mixed model, its exact gradient and Hessian, for many responses.

With A = X'V⁻¹X, δ = A⁻¹X'V⁻¹y and s = (y − Xδ)'V⁻¹(y − Xδ), the criterion is (Bates et al. 2015,
eq. 34 and 41)

    d(θ) = log|V| + log|A| + f (1 + log(2π s / f)),    f = n − p     (REML)
    d(θ) = log|V|          + f (1 + log(2π s / f)),    f = n         (ML)

The structure of the random effects gives log|V| and M = [X y]'V⁻¹[X y] with their derivatives in θ.
The rest is computed here, for any structure and for R responses, each at its own θ.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template
from rparity.lmm.solver.structure import Derivatives, Moments, Smooth, Structure

Array = NDArray[np.float64]

# Rounding of so large a part of the sum of squares leaves nothing of it.
LOST = 1e-2


@dataclass(frozen=True)
class Evaluation:
    """The two parts of the deviance at θ, and the fixed effects there.

    `logdet` is log|V|, plus log|A| under REML; `s` the penalized residual sum of squares; `delta`
    (R, p) the fixed effects in the working basis; `A_inv` (R, p, p) their covariance over σ².
    """

    logdet: Smooth
    s: Smooth
    delta: Array
    A_inv: Array

    def profiled(self, f: float) -> Smooth:
        """Return d(θ), with the residual variance profiled out at s / f."""
        ratio = self.s.gradient / self.s.value[:, None]
        return Smooth(
            self.logdet.value + f * (1.0 + np.log(2.0 * np.pi * self.s.value / f)),
            self.logdet.gradient + f * ratio,
            self.logdet.hessian
            + f
            * (self.s.hessian / self.s.value[:, None, None] - ratio[:, :, None] * ratio[:, None]),
        )

    def given_sigma(self, tau: Array, n: float) -> Smooth:
        """Return the ML deviance at σ = exp(τ), τ (R,), with derivatives in (θ, τ)."""
        precision = np.exp(-2.0 * tau)
        s, g = self.s.value * precision, self.s.gradient * precision[:, None]
        R, m = g.shape
        gradient = np.empty((R, m + 1))
        gradient[:, :m] = self.logdet.gradient + g
        gradient[:, m] = 2.0 * n - 2.0 * s
        hessian = np.empty((R, m + 1, m + 1))
        hessian[:, :m, :m] = self.logdet.hessian + self.s.hessian * precision[:, None, None]
        hessian[:, :m, m] = hessian[:, m, :m] = -2.0 * g
        hessian[:, m, m] = 4.0 * s
        value = self.logdet.value + n * (2.0 * tau + np.log(2.0 * np.pi)) + s
        return Smooth(value, gradient, hessian)


def evaluate(
    structure: Structure,
    moments: Moments,
    theta: Array,
    *,
    reml: bool,
    derivatives: Derivatives = "search",
) -> Evaluation:
    """Evaluate both parts for R responses, each at its own row of θ (R, m)."""
    V, M = structure.evaluate(theta, moments, derivatives=derivatives)
    return assemble(structure.template, V, M, reml=reml, derivatives=derivatives)


def _values(template: Template, V: Smooth, M: Smooth, *, reml: bool) -> Evaluation:
    """Return both parts without derivatives."""
    p = M.value.shape[-1] - 1
    A, Xy = M.value[:, :p, :p], M.value[:, :p, p]
    A_inv, logdet_A = _inverse(A)
    delta = (A_inv @ Xy[..., None])[..., 0]
    rest = Xy - (A @ delta[..., None])[..., 0]
    total = M.value[:, p, p]
    s = _residual(total - (Xy * delta).sum(axis=1), (rest * delta).sum(axis=1), total)
    logdet = V.value + logdet_A if reml else V.value
    R, m = len(logdet), template.m
    gradient, hessian = np.zeros((R, m)), np.zeros((R, m, m))
    return Evaluation(Smooth(logdet, gradient, hessian), Smooth(s, gradient, hessian), delta, A_inv)


def assemble(
    template: Template,
    V: Smooth,
    M: Smooth,
    *,
    reml: bool,
    derivatives: Derivatives = "search",
) -> Evaluation:
    """Evaluate both parts from what a structure gives: log|V| and M with their derivatives."""
    if derivatives == "none":
        return _values(template, V, M, reml=reml)
    square = template.square
    R, side = len(M.value), M.value.shape[-1]
    m, p = template.m, side - 1
    A = M.value[:, :p, :p]
    A_inv, logdet_A = _inverse(A)
    delta = (A_inv @ M.value[:, :p, p:])[..., 0]

    # s = v'Mv with v = (−δ, 1); δ depends on θ, which adds −2 `moved` to the second derivative.
    # The derivatives of s and log|A| are inner products with vv' and A⁻¹: both at once.
    v = np.ones((R, side, 1))
    v[:, :p, 0] = -delta
    pair = np.zeros((R, side, side, 2))
    np.multiply(v, np.swapaxes(v, 1, 2), out=pair[..., 0])
    pair[:, :p, :p, 1] = A_inv
    both = pair.reshape(R, side**2, 2)
    first = M.gradient.reshape(R, m, side**2) @ both
    second = M.hessian.reshape(R, M.hessian.shape[1], side**2) @ both
    Mv = (M.value @ v)[..., 0]
    w = (M.gradient.reshape(R, m * side, side) @ v).reshape(R, m, side)[..., :p]
    moved = w @ A_inv @ np.swapaxes(w, 1, 2)
    s = Smooth(
        _residual(Mv[:, p], (Mv[:, :p] * delta).sum(axis=1), M.value[:, p, p]),
        first[..., 0],
        square(second[..., 0]) - 2.0 * moved,
    )
    if not reml:
        logdet = Smooth(V.value, V.gradient, square(V.hessian))
    else:
        A_d = A_inv[:, None] @ M.gradient[:, :, :p, :p]
        turned = np.swapaxes(A_d, 2, 3).reshape(R, m, p * p)
        logdet = Smooth(
            V.value + logdet_A,
            V.gradient + first[..., 1],
            square(V.hessian + second[..., 1])
            - A_d.reshape(R, m, p * p) @ np.swapaxes(turned, 1, 2),
        )
    return Evaluation(logdet, s, delta, A_inv)


def _residual(explained: Array, rounding: Array, total: Array) -> Array:
    """Return s (R,), or NaN where rounding has destroyed it.

    s = v'Mv with v = (−δ, 1) is `explained`, the last element of Mv, less (Xy − Aδ)'δ. The latter
    is zero but for `rounding`. If it is large, A is singular to rounding, and s would be any
    number, also a negative one.
    """
    s = explained - rounding
    s[np.abs(rounding) > LOST * np.abs(total)] = np.nan
    return s


def _inverse(A: Array) -> tuple[Array, Array]:
    """Return A⁻¹ (R, p, p) and log|A| (R,), or NaN where A is singular to rounding."""
    p = A.shape[1]
    if p in {1, 2}:
        det = A[:, 0, 0] if p == 1 else A[:, 0, 0] * A[:, 1, 1] - A[:, 0, 1] * A[:, 1, 0]
        det = np.where(det > 0.0, det, np.nan)
        adjugate = np.ones_like(A)
        if p == 2:
            adjugate[:, 0, 0], adjugate[:, 1, 1] = A[:, 1, 1], A[:, 0, 0]
            adjugate[:, 0, 1], adjugate[:, 1, 0] = -A[:, 0, 1], -A[:, 1, 0]
        return adjugate / det[:, None, None], np.log(det)
    logdet = np.linalg.slogdet(A)[1]
    try:
        return np.asarray(np.linalg.inv(A), dtype=np.float64), logdet
    except np.linalg.LinAlgError:
        # Whether a pivot is exactly zero depends on the last bits: each matrix is asked by itself.
        found = np.full(A.shape, np.nan)
        for inverse, each in zip(found, A, strict=True):
            with suppress(np.linalg.LinAlgError):
                inverse[...] = np.linalg.inv(each)
        return found, logdet
