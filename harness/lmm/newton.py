"""Newton's method for many small smooth problems at once, each to the limit of rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.lmm.structure import Smooth

Array = NDArray[np.float64]
Objective = Callable[[Array, NDArray[np.intp]], Smooth]

MAX_ITERATIONS = 100
# A Newton step of this relative size leaves an error of its square, which is below rounding.
LAST_STEP = 1e-8
# Far from the optimum the quadratic model is not trusted beyond this factor of the present size.
GROWTH = 2.0


@dataclass(frozen=True)
class Minimum:
    """Where R problems ended: `x` (R, m), `converged` (R,), `iterations` spent on the slowest."""

    x: Array
    converged: NDArray[np.bool_]
    iterations: int


def minimise(objective: Objective, start: Array) -> Minimum:
    """Minimise R independent functions of m variables from `start` (R, m).

    `objective(x, index)` evaluates the problems `index` at x (len(index), m). Where the Hessian is
    not positive definite its eigenvalues are replaced by their absolute values (a descent
    direction that leaves saddles); steps are halved until the function does not grow. A problem is
    converged once a full Newton step on a positive definite Hessian is below `LAST_STEP`.
    """
    x = start.copy()
    converged = np.zeros(len(x), dtype=bool)
    active = np.arange(len(x))
    current = objective(x, active)
    for iteration in range(MAX_ITERATIONS):
        step, positive = _step(current)
        scale = np.maximum(np.abs(x[active]), 1e-3)
        reach = np.max(np.abs(step) / (1.0 + np.abs(x[active])), axis=1)
        step *= np.minimum(1.0, GROWTH / np.maximum(reach, 1e-300))[:, None]
        last = positive & np.all(np.abs(step) <= LAST_STEP * scale, axis=1)
        x[active[last]] += step[last]
        converged[active[last]] = True

        going = ~last
        if not going.any():
            return Minimum(x, converged, iteration + 1)
        active, step = active[going], step[going]
        before = current.value[going]
        factor = np.ones(len(active))
        trial = x[active] + step
        current = objective(trial, active)
        for _ in range(30):
            # Rounding of the criterion itself must not stop a step that is still needed.
            worse = ~(current.value <= before + 1e-12 * (1.0 + np.abs(before)))
            if not worse.any():
                break
            factor[worse] *= 0.5
            trial[worse] = x[active[worse]] + factor[worse, None] * step[worse]
            current = _replace(current, worse, objective(trial[worse], active[worse]))
        x[active] = trial
    return Minimum(x, converged, MAX_ITERATIONS)


def _step(f: Smooth) -> tuple[Array, NDArray[np.bool_]]:
    """Newton's step −|H|⁻¹g, and whether H is positive definite."""
    if f.gradient.shape[1] == 1:
        values, rotated = f.hessian[:, :, 0], f.gradient
        vectors = None
    else:
        values, vectors = np.linalg.eigh(f.hessian)
        rotated = np.einsum("rji,rj->ri", vectors, f.gradient)
    size = np.abs(values)
    floor = np.finfo(float).eps * np.maximum(size.max(axis=1, keepdims=True), 1e-300)
    step = -rotated / np.maximum(size, floor)
    if vectors is not None:
        step = np.einsum("rij,rj->ri", vectors, step)
    return step, np.all(values > 0, axis=1)


def _replace(f: Smooth, where: NDArray[np.bool_], new: Smooth) -> Smooth:
    value, gradient, hessian = f.value.copy(), f.gradient.copy(), f.hessian.copy()
    value[where], gradient[where], hessian[where] = new.value, new.gradient, new.hessian
    return Smooth(value, gradient, hessian)
