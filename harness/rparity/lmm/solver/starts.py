"""Where the search for a minimum begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.numbers.distributions import halton
from rparity.lmm.numbers.linalg import group_qr, semidefinite_cholesky
from rparity.lmm.solver.blocks import Blocks
from rparity.lmm.solver.crossed import Dense
from rparity.lmm.solver.deviance import evaluate
from rparity.lmm.solver.model import MixedModel, NoResidualError
from rparity.lmm.solver.structure import Moments

if TYPE_CHECKING:
    from rparity.lmm.solver.schur import Schur

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# If there may be several minima: the number of candidate starts, the fewest and the most of them
# that are tried, the number of doubles that the arrays for those between may have, the range of
# their standard deviations over σ, in working coordinates, with its middle, and the largest element
# below the diagonal of Λ, relative to the diagonal.
SCATTERED = 64
TRIED = 2, 16
WORK = 2**18
LEAST, MIDDLE, MOST = 1e-2, 1.0, 1e3
BELOW = 3.0
# Starts with a correlation of ±1: angles of the first column of Λ, and its lengths.
ANGLES = np.pi * (np.arange(-5.5, 6.0) / 12.0)
LENGTHS = 4.0 ** np.arange(-2.0, 7.0)
ACROSS = 0.3  # the other one: from zero itself a search would take many steps
# If there are several minima: the number of further starts for each that is tried, and the most.
MORE, MOST_MORE = 4, 64
# Candidate starts as multiples of the standard deviations that sums of squares suggest: powers of 2
# with these exponents, or every third with several parameters, and where the arrays for all would
# have more than WORK doubles.
SCAN = np.arange(-8.0, 17.5, 0.5)
# Multiples of those that regressions within levels suggest. A covariate that is closer to constant
# than CONSTANT there, relative to its size, has no slope. The variance of the residuals is at least
# LEAST_NOISE of that of the fitted values.
JOINT = 2.0 ** np.arange(-4.0, 7.0)
CONSTANT, LEAST_NOISE = 1e-10, 1e-12
# Differences of criteria that are smaller than this, relative to their size, may be rounding.
NOISE = 1e-9
# Standard deviations over σ, in working coordinates, where X and Z explain all that they can.
FAR = 1e10


def starts(
    model: MixedModel, deviations: Array, moments: Moments, *, reml: bool, least: float = -np.inf
) -> Array:
    """Return starts θ (S, m) for one response (n,).

    Each term's sum of squares between its levels suggests a standard deviation. Where a batch
    costs no more than one evaluation, the best of some multiples of them is taken. In large crossed
    designs, expectations of these sums depend on all variances, which are solved for.

    With several parameters there may be several minima. Unless the model is large, further
    starts are lme4's own, the identity, and the best of some scattered points and of `_joint`,
    one for each set of standard deviations that are large: most minima differ in which ones
    these are, or in the angle of a correlation of ±1 (`_singular`).

    Raises
    ------
    NoResidualError
        If the penalized residual sum of squares is at most `least` somewhere.
    """
    structure, on = model.structure, model.template.diagonal

    def at(structure: Blocks | Dense, theta: Array) -> Array:
        """Return the criterion at each row of θ, without the digits that rounding may change.

        Otherwise a flat criterion would have minima of its noise. Far away, require a residual.
        """
        theta = np.concatenate([theta, FAR * on[None]])
        many = moments.repeated(len(theta))
        there = evaluate(structure, many, theta, reml=reml, derivatives="none")
        if (gone := there.s.value <= least).any():
            raise NoResidualError(theta[gone][-1])
        value = there.profiled(model.divisor(reml=reml)).value[:-1]
        grain = NOISE * (1.0 + np.abs(value[np.isfinite(value)]).min(initial=np.inf))
        return np.asarray(np.round(value / grain) * grain if np.isfinite(grain) else value)

    if not isinstance(structure, Blocks | Dense):
        theta = np.zeros(model.template.m)
        theta[on] = np.sqrt(cast("Schur", structure).variances(deviations))
        return (theta @ model.working.W_inverse.T)[None]
    total = float(deviations @ deviations)
    between = []
    for term, Z in zip(model.matrices.random, model.working.Z, strict=True):
        L = len(term.levels)
        for z in Z.T:
            size = np.bincount(term.codes, z * z, L)
            sums = np.bincount(term.codes, z * deviations, L)
            mean_square = float((sums**2 / np.maximum(size, 1e-300)).sum()) / L
            between.append((mean_square, L))
    explained = sum(mean_square * L for mean_square, L in between)
    rest = max(model.n - sum(L for _, L in between), 0.1 * model.n)
    noise = max(total - explained, 0.02 * total) / rest
    theta = np.zeros(model.template.m)
    theta[on] = [
        np.sqrt(max((mean_square / noise - 1.0) * L / model.n, 0.01)) for mean_square, L in between
    ]
    near = theta[None]
    if isinstance(structure, Blocks):
        each = max(len(structure.T), model.p**2)  # doubles of C and of X'V⁻¹X
        fine = model.template.m == 1 and len(SCAN) * each <= WORK
        scan = SCAN[:: 1 if fine else 3]
        value = at(structure, 2.0 ** scan[:, None] * theta)
        # One parameter: from each minimum on the scan. Several: from the lowest.
        places = minima(value)
        if model.template.m > 1:
            places = places[[np.argmin(value[places])]]
        near = 2.0 ** (scan[places] + (scan[1] - scan[0]) * vertex(value, places))[:, None] * theta
    found = list(near @ model.working.W_inverse.T)
    if model.template.m > 1 and isinstance(structure, Blocks | Dense):
        found.append(on.astype(np.float64))
        there = np.concatenate([_scattered(model, SCATTERED), *_joint(model, theta, deviations)])
        singular = list(_singular(model, theta))
        value = at(structure, np.concatenate([there, *(g.reshape(-1, len(on)) for g in singular)]))
        tried = int(np.clip(WORK // structure.work, *TRIED))
        order = np.argsort(value[: len(there)], kind="stable")
        large = (there[order][:, on] > MIDDLE) @ 2.0 ** np.arange(on.sum())
        first = np.sort(np.unique(large, return_index=True)[1])[:tried]
        found += list(there[order[first]] @ model.working.W_inverse.T)
        shape = (len(singular), len(ANGLES), len(LENGTHS))
        for grid, on_it in zip(singular, value[len(there) :].reshape(shape), strict=True):
            found += list(grid[minima_of_grid(on_it, tried)] @ model.working.W_inverse.T)
    return np.array(found)


def _joint(model: MixedModel, theta: Array, deviations: Array) -> Iterator[Array]:
    """Yield starts, (JOINT, m), for each factor of several coefficients, such as those of (x || g).

    If x is far from zero, its column is nearly that of the intercept within each level. Then
    both standard deviations are large or neither, which sums of squares of single columns do
    not show. The starts are multiples of Λ for the effects that regressions within the levels
    suggest; other terms start at `theta`.
    """
    template, codes = model.template, [term.codes for term in model.matrices.random]
    for first, code in enumerate(codes):
        same = [t for t, other in enumerate(codes) if np.array_equal(other, code)]
        Z = np.hstack([model.working.Z[t] for t in same])
        if same[0] != first or Z.shape[1] == 1:
            continue
        T, Q = group_qr(Z, code, len(model.matrices.random[first].levels))
        inside = (Q.T @ deviations).reshape(len(T), -1, 1)
        effects = (np.linalg.pinv(T, rcond=CONSTANT) @ inside)[..., 0]
        noise = (deviations @ deviations - np.square(inside).sum()) / model.n
        noise = max(noise, LEAST_NOISE * np.square(inside).mean())
        start, begin = theta.copy(), 0
        for t in same:
            own = template.term == t
            b = effects[:, begin : begin + model.matrices.random[t].k]
            Lam = semidefinite_cholesky(b.T @ b / (len(b) * noise))
            at = template.starts[t]
            start[own] = Lam[template.rows[own] - at, template.cols[own] - at]
            begin += b.shape[1]
        yield JOINT[:, None] * start


def _singular(model: MixedModel, theta: Array) -> Iterator[Array]:
    """Yield starts with a correlation of ±1, (ANGLES, LENGTHS, m), for each (x | g).

    There the criterion often has several minima, which differ in the angle. Other terms start at
    `theta`.
    """
    template = model.template
    for t in range(len(model.matrices.random)):
        own = np.flatnonzero(template.term == t)
        if len(own) == 3:
            first = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1)
            grid = np.tile(theta, (len(ANGLES), len(LENGTHS), 1))
            grid[..., own[:2]] = LENGTHS[:, None] * first[:, None]
            grid[..., own[2]] = ACROSS
            yield grid


def minima_of_grid(value: Array, most: int) -> tuple[Index, ...]:
    """Return the places of the lowest minima on a grid, (a, k), whose first axis is a circle.

    The ends of the second axis are no minima.
    """
    finite = np.where(np.isfinite(value), value, np.inf)
    circle = np.concatenate([finite[-1:], finite, finite[:1]])
    a, k = value.shape
    around = [circle[i : i + a, j : j + k - 2] for i in range(3) for j in range(3) if i * j != 1]
    places = np.argwhere(finite[:, 1:-1] < np.min(around, axis=0))
    lowest = np.argsort(finite[:, 1:-1][tuple(places.T)], kind="stable")[:most]
    return places[lowest, 0], places[lowest, 1] + 1


def more_starts(model: MixedModel) -> Callable[[], Array] | None:
    """Return what gives further starts θ (S, m), for a criterion that has several minima.

    With one parameter the scan has shown them all, and large models would take long: None.
    """
    structure = model.structure
    if model.template.m == 1 or not isinstance(structure, Blocks | Dense):
        return None
    count = min(MORE * max(WORK // structure.work, TRIED[0]), MOST_MORE)
    return lambda: _scattered(model, SCATTERED + count)[SCATTERED:] @ model.working.W_inverse.T


def _scattered(model: MixedModel, count: int) -> Array:
    """Return scattered θ in working coordinates, (count, m), with log-uniform diagonals."""
    on, cols = model.template.diagonal, model.template.cols
    points = halton(count, model.template.m)
    theta = LEAST * (MOST / LEAST) ** points
    own = np.flatnonzero(on)[np.searchsorted(cols[on], cols)]
    return np.where(on, theta, BELOW * (2.0 * points - 1.0) * theta[:, own])


def minima(value: Array) -> Index:
    """Return the places of the minima of values on a line, (k,), or of the lowest one."""
    padded = np.concatenate([[np.inf], np.where(np.isfinite(value), value, np.inf), [np.inf]])
    found = np.flatnonzero((padded[1:-1] < padded[:-2]) & (padded[1:-1] <= padded[2:]))
    return found if len(found) else np.zeros(1, dtype=np.intp)


def vertex(value: Array, places: Index) -> Array:
    """Return how far the parabola through three neighbours has its minimum from the middle one."""
    inside = np.clip(places, 1, len(value) - 2)
    left, here, right = value[inside - 1], value[inside], value[inside + 1]
    bend = left - 2.0 * here + right
    valid = (places == inside) & (bend > 0.0)
    return np.where(valid, 0.5 * (left - right) / np.where(valid, bend, 1.0), 0.0)
