"""Newton's method for many small smooth problems at once, each to the precision of rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.solver.progress import Watch
from rparity.lmm.solver.structure import Smooth

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Objective = Callable[[Array, NDArray[np.intp]], Smooth]

MAX_ITERATIONS = 150
# Before the last step, the quadratic model puts the deviance at most this much above its minimum.
# That is 1e-6 standard errors away, and the step squares the distance.
LAST_RISE = 1e-13
# With variance ratios of a million the gradient has fewer digits: after so many steps that have not
# lowered the value, a predicted decrease as small as this is rounding.
NOISE = 1e-8
PATIENCE = 8
# After so many such steps, or after so many halvings of a step, the search ends.
STALE, HALVINGS = 24, 30
# Far from the optimum a step is limited to this multiple of the present size.
GROWTH = 2.0
# A direction is flat if its curvature, relative to the largest, and its slope are at most this.
FLAT_CURVATURE = 1e-10
FLAT_SLOPE = 1e-8
# Searches of one problem that lead to the same point, up to this share of its size, are one search.
SAME = 1e-2
# Minima whose values differ by more are different ones.
DISTINCT = 1e-6
# The step off a saddle, relative to the size of the parameters.
PUSH = 0.3


@dataclass(frozen=True)
class Minimum:
    """The ends of R searches: `x` (R, m), and `converged` (R,).

    `value` (R,) is the lowest value before the last step, which changes it by rounding only, and
    `hessian` (R, m, m) are the second derivatives there.
    """

    x: Array
    value: Array
    converged: Flags
    hessian: Array

    def take(self, index: NDArray[np.intp]) -> Minimum:
        """Select some searches."""
        return Minimum(self.x[index], self.value[index], self.converged[index], self.hessian[index])

    def join(self, other: Minimum) -> Minimum:
        """Return the ends of these searches and of others."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Minimum(*map(np.concatenate, pairs))

    @property
    def several(self) -> bool:
        """Whether the searches of one problem have found minima with different values."""
        value = self.value[self.converged]
        return bool(len(value) and np.ptp(value) > DISTINCT)


def minimise(
    objective: Objective,
    start: Array,
    same: Callable[[Array], Array] | None = None,
    watch: Watch | None = None,
) -> Minimum:
    """Minimise R independent deviances of m variables, of order one, from `start` (R, m).

    `objective(x, index)` evaluates the problems `index` at x (len(index), m). If the Hessian is not
    positive definite, its eigenvalues are replaced by their absolute values, which gives a descent
    direction that leaves saddles. Steps are halved until the function does not grow. A problem has
    converged if the Hessian is positive definite and a full Newton step would lower the value by at
    most `LAST_RISE`, or by `NOISE` if the value has stopped falling; that step is still taken.
    There is no step in a direction in which the function is flat. Where no step lowers the value,
    the search ends without convergence.

    If the starts are of one problem, `same` maps points (R, m) to others that agree where the
    function must. Then of searches that lead to the same minimum all but the best one end without
    convergence.

    `watch` is called after each step with the largest decrease that the next steps predict.
    """
    x = start.copy()
    converged = np.zeros(len(x), dtype=bool)
    active = np.arange(len(x))
    current = objective(x, active)
    value, hessian = current.value.copy(), current.hessian.copy()
    stale = np.zeros(len(x), dtype=np.intp)  # steps since the value last fell
    for _ in range(MAX_ITERATIONS):
        enough = np.where(stale[active] < PATIENCE, LAST_RISE, NOISE)
        step, rise, positive = _step(current, 1.0 + np.abs(x[active]), enough)
        if watch is not None:
            watch(float(rise.max()))
        last = positive & (rise <= enough)
        if last.any():
            x[active[last]] += step[last]
            converged[active[last]] = True
            if last.all():
                return Minimum(x, value, converged, hessian)
            active, step, enough = active[~last], step[~last], enough[~last]
            current, rise, positive = _take(current, ~last), rise[~last], positive[~last]
        if same is not None and len(x) > 1:
            ends = np.concatenate([x[converged], x[active] + step])
            order = np.concatenate(
                [np.full(converged.sum(), -1.0), np.where(positive, rise, np.inf)]
            )
            on = ~_repeats(same(ends), order)[converged.sum() :]
            if not on.all():
                active, step, enough, current = active[on], step[on], enough[on], _take(current, on)
                if not len(active):
                    break
        # Rounding of the criterion must not stop a step that is still needed.
        before = current.value
        allowed = before + 1e-12 * (1.0 + np.abs(before)) + enough
        trial = x[active] + step
        current = objective(trial, active)
        for halving in range(1, HALVINGS + 1):
            worse = ~(current.value <= allowed)
            if not worse.any():
                break
            trial[worse] = x[active[worse]] + 0.5**halving * step[worse]
            current = _replace(current, worse, objective(trial[worse], active[worse]))
        fell = current.value < value[active]
        stale[active] = np.where(fell, 0, stale[active] + 1)
        value[active] = np.where(fell, current.value, value[active])
        hessian[active] = current.hessian
        on = (current.value <= allowed) & (stale[active] < STALE)
        x[active[on]] = trial[on]
        if not on.all():
            active, current = active[on], _take(current, on)
            if not len(active):
                break
    return Minimum(x, value, converged, hessian)


def _step(f: Smooth, size: Array, enough: Array) -> tuple[Array, Array, Flags]:
    """Return Newton's step −|H|⁻¹g (R, m), its predicted decrease, and whether H is positive.

    Directions are scaled to relative changes by `size` (R, m). At a saddle, where the predicted
    decrease is at most `enough`, the step goes along the direction of most negative curvature.
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
    return step * size, rise, positive


def _repeats(ends: Array, order: Array) -> Flags:
    """Whether another search with a smaller `order` (R,) ends at the same point (R, m)."""
    size = SAME * (1.0 + np.abs(ends))
    near = (np.abs(ends[:, None] - ends) <= size).all(axis=2)
    near &= np.isfinite(order)[:, None] & np.isfinite(order)
    rank = np.empty(len(order), dtype=np.intp)
    rank[np.argsort(order, kind="stable")] = np.arange(len(order))
    return np.asarray((near & (rank < rank[:, None])).any(axis=1))


def _take(f: Smooth, where: Flags) -> Smooth:
    return Smooth(f.value[where], f.gradient[where], f.hessian[where])


def _replace(f: Smooth, where: Flags, new: Smooth) -> Smooth:
    value, gradient, hessian = f.value.copy(), f.gradient.copy(), f.hessian.copy()
    value[where], gradient[where], hessian[where] = new.value, new.gradient, new.hessian
    return Smooth(value, gradient, hessian)
