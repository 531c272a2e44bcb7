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
Index = NDArray[np.intp]
Objective = Callable[[Array, Index], Smooth]

# Steps and halvings of one search.
MAX_EVALUATIONS = 300
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

    def take(self, index: Index) -> Minimum:
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

    def put(
        self, at: Index, x: Array, value: Array, hessian: Array, which: Flags | Index | slice
    ) -> None:
        """Write where `which` of the searches `at` are."""
        to = at[which]
        self.x[to], self.value[to], self.hessian[to] = x[which], value[which], hessian[which]


def minimise(
    objective: Objective,
    start: Array,
    same: Callable[[Array], Array] | None = None,
    watch: Watch | None = None,
) -> Minimum:
    """Minimise R independent deviances of m variables, of order one, from `start` (R, m).

    `objective(x, index)` evaluates the problems `index` at x (len(index), m). If the Hessian is not
    positive definite, its eigenvalues are replaced by their absolute values, which gives a descent
    direction that leaves saddles. A step that makes the function grow is halved, and tried again
    together with the next steps of the other problems. A problem has converged if the Hessian is
    positive definite and a full Newton step would lower the value by at most `LAST_RISE`, or by
    `NOISE` if the value has stopped falling; that step is still taken. There is no step in a
    direction in which the function is flat. Where no step lowers the value, the search ends without
    convergence.

    If the starts are of one problem, `same` maps points (R, m) to others that agree where the
    function must. Then of searches that lead to the same minimum all but the best one end without
    convergence.

    `watch` is called after each step with the largest decrease that the next steps predict.
    """
    R, m = start.shape
    at, x = np.arange(R), start  # the problems whose search goes on, and where they are
    f = objective(x, at)
    lowest = f.value
    stale = np.zeros(R, dtype=np.intp)  # steps since the value last fell
    halved = np.zeros(R, dtype=np.intp)  # how often the step was halved
    end = Minimum(np.empty((R, m)), np.empty(R), np.zeros(R, dtype=bool), np.empty((R, m, m)))

    def only(on: Flags) -> tuple[Index, Array, Smooth, Array, Index, Index]:
        return at[on], x[on], f.take(on), lowest[on], stale[on], halved[on]

    for _ in range(MAX_EVALUATIONS):
        size = 1.0 + np.abs(x)
        enough = np.where(stale < PATIENCE, LAST_RISE, NOISE)
        step, rise, positive = _step(f, size, enough)
        if watch is not None:
            watch(float(rise.max()))
        last = positive & (rise <= enough)
        on = ~last
        if last.any():
            end.put(at, x + step, lowest, f.hessian, last)
            end.converged[at[last]] = True
        if same is not None and R > 1:
            done = end.x[end.converged]
            ends = np.concatenate([done, (x + step)[on]])
            order = np.where(positive, rise, np.inf)[on]
            repeats = _repeats(same(ends), np.concatenate([np.full(len(done), -1.0), order]))
            repeats = repeats[len(done) :]
            if repeats.any():
                again = np.flatnonzero(on)[repeats]
                end.put(at, x, lowest, f.hessian, again)
                on[again] = False
        if not on.all():
            if not on.any():
                return end
            at, x, f, lowest, stale, halved = only(on)
            step, enough = step[on], enough[on]
        # Rounding of the criterion must not stop a step that is still needed.
        allowed = f.value + 1e-12 * (1.0 + np.abs(f.value)) + enough
        trial = x + (step if not halved.any() else 0.5 ** halved[:, None] * step)
        new = objective(trial, at)
        better = new.value <= allowed
        if better.all():
            x, f = trial, new
        else:
            x = np.where(better[:, None], trial, x)
            f = f.replaced(better, new)
        fell = better & (f.value < lowest)
        lowest = np.where(fell, f.value, lowest)
        stale = np.where(fell, 0, stale + better)
        halved = np.where(better, 0, halved + 1)
        on = (halved <= HALVINGS) & (stale < STALE)
        if not on.all():
            end.put(at, x, lowest, f.hessian, ~on)
            if not on.any():
                return end
            at, x, f, lowest, stale, halved = only(on)
    end.put(at, x, lowest, f.hessian, slice(None))
    return end


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
