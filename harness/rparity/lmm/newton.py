"""Newton's method for many small smooth problems at once, each to the limit of rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.structure import Smooth

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Objective = Callable[[Array, NDArray[np.intp]], Smooth]

MAX_ITERATIONS = 150
# The rise of a deviance over its minimum, as the quadratic model has it, before the last step:
# 1e-6 standard errors away, and that squared after the step.
LAST_RISE = 1e-13
# Where variance ratios of a million leave the gradient fewer digits, a promise as small as this is
# rounding once so many steps have not lowered the value.
NOISE = 1e-8
PATIENCE = 8
# Far from the optimum the quadratic model is not trusted beyond this factor of the present size.
GROWTH = 2.0
# Curvature, beside the largest, and slope, per unit of relative change, of a direction in which
# nothing happens.
FLAT_CURVATURE = 1e-10
FLAT_SLOPE = 1e-8
# How far, relative to its size, a problem is pushed off a saddle.
PUSH = 0.3


@dataclass(frozen=True)
class Minimum:
    """Where R problems ended: `x` (R, m), `converged` (R,), `iterations` spent on the slowest.

    `value` (R,) is the least one met, which the last step lowers by no more than rounding.
    """

    x: Array
    value: Array
    converged: Flags
    iterations: int


def minimise(objective: Objective, start: Array) -> Minimum:
    """Minimise R independent deviances of m variables, of order one, from `start` (R, m).

    `objective(x, index)` evaluates the problems `index` at x (len(index), m). Where the Hessian is
    not positive definite its eigenvalues are replaced by their absolute values (a descent
    direction that leaves saddles); steps are halved until the function does not grow. A problem is
    converged where the Hessian is positive and a full Newton step promises no more than
    `LAST_RISE`, or than what rounding has been denying for some steps; that step is still taken.
    Where the function is flat in some direction there is no single minimum: the search ends, and
    the problem is not converged.
    """
    x = start.copy()
    converged = np.zeros(len(x), dtype=bool)
    active = np.arange(len(x))
    current = objective(x, active)
    value = current.value.copy()
    stale = np.zeros(len(x), dtype=np.intp)  # steps since the value last fell
    for iteration in range(1, MAX_ITERATIONS + 1):
        enough = np.where(stale[active] < PATIENCE, LAST_RISE, NOISE)
        step, rise, positive, flat = _step(current, 1.0 + np.abs(x[active]), enough)
        last = positive & (rise <= enough)
        if last.any():
            x[active[last]] += step[last]
            converged[active[last]] = ~flat[last]
            if last.all():
                return Minimum(x, value, converged, iteration)
            active, step, enough = active[~last], step[~last], enough[~last]
        # Rounding of the criterion itself must not stop a step that is still needed.
        before = current.value if len(active) == len(current.value) else current.value[~last]
        allowed = before + 1e-12 * (1.0 + np.abs(before)) + enough
        trial = x[active] + step
        current = objective(trial, active)
        for halving in range(1, 31):
            worse = ~(current.value <= allowed)
            if not worse.any():
                break
            trial[worse] = x[active[worse]] + 0.5**halving * step[worse]
            current = _replace(current, worse, objective(trial[worse], active[worse]))
        x[active] = trial
        fell = current.value < value[active]
        stale[active] = np.where(fell, 0, stale[active] + 1)
        value[active] = np.where(fell, current.value, value[active])
    return Minimum(x, value, converged, MAX_ITERATIONS)


def _step(f: Smooth, size: Array, enough: Array) -> tuple[Array, Array, Flags, Flags]:
    """Newton's step −|H|⁻¹g (R, m), the rise it undoes, whether H is positive, and flat (R,).

    Directions are judged in units of relative change, `size` (R, m). A saddle, where not even the
    rise of `enough` is to be had, is left along its steepest descent.
    """
    g = f.gradient * size
    if g.shape[1] == 1:
        values, rotated, vectors = f.hessian[:, :, 0] * size**2, g, None
    else:
        values, vectors = np.linalg.eigh(f.hessian * size[:, :, None] * size[:, None])
        rotated = np.einsum("rji,rj->ri", vectors, g)
    curvature = np.abs(values)
    least = FLAT_CURVATURE * (1.0 + curvature.max(axis=1, keepdims=True))
    flat = (curvature <= least) & (np.abs(rotated) <= FLAT_SLOPE)
    step = np.where(flat, 0.0, -rotated / np.maximum(curvature, least))
    rise = np.abs(step * rotated).sum(axis=1) / 2.0
    positive = np.all(flat | (values > 0), axis=1)
    if not positive.all():
        saddle = ~positive & (rise <= enough)
        step[saddle, 0] = PUSH  # eigenvalues ascend: the first is the most negative
    reach = np.abs(step).max(axis=1)
    step *= np.minimum(1.0, GROWTH / np.maximum(reach, GROWTH))[:, None]
    if vectors is not None:
        step = np.einsum("rij,rj->ri", vectors, step)
    return step * size, rise, positive, flat.any(axis=1)


def _replace(f: Smooth, where: Flags, new: Smooth) -> Smooth:
    value, gradient, hessian = f.value.copy(), f.gradient.copy(), f.hessian.copy()
    value[where], gradient[where], hessian[where] = new.value, new.gradient, new.hessian
    return Smooth(value, gradient, hessian)
