"""Where the search for a minimum begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.numbers.distributions import halton
from rparity.lmm.numbers.linalg import group_qr
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
# Candidate starts as multiples of the standard deviations that sums of squares suggest: powers of 2
# with these exponents, or every third with several parameters, and where the arrays for all would
# have more than WORK doubles.
SCAN = np.arange(-8.0, 17.5, 0.5)
# Multiples of those that regressions within levels suggest. A covariate that is closer to constant
# than CONSTANT there, relative to its size, has no slope. The variance of the residuals is at least
# LEAST_NOISE of that of the fitted values.
JOINT = 2.0 ** np.arange(-4.0, 7.0)
CONSTANT, LEAST_NOISE = 1e-10, 1e-12
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
    these are.

    Raises
    ------
    NoResidualError
        If the penalized residual sum of squares is at most `least` somewhere.
    """
    structure, on = model.structure, model.template.diagonal

    def at(structure: Blocks | Dense, theta: Array) -> Array:
        """Return the criterion at each row of θ; far away, only that there is a residual."""
        theta = np.concatenate([theta, FAR * on[None]])
        many = moments.repeated(len(theta))
        there = evaluate(structure, many, theta, reml=reml, derivatives="none")
        if (gone := there.s.value <= least).any():
            raise NoResidualError(theta[gone][-1])
        return there.profiled(model.divisor(reml=reml)).value[:-1]

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
        fine = model.template.m == 1 and len(SCAN) * len(structure.T) <= WORK
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
        there = np.concatenate([_scattered(model), *_joint(model, theta, deviations)])
        there = there[np.argsort(at(structure, there), kind="stable")]
        large = (there[:, on] > MIDDLE) @ 2.0 ** np.arange(on.sum())
        tried = int(np.clip(WORK // structure.work, *TRIED))
        first = np.sort(np.unique(large, return_index=True)[1])[:tried]
        found += list(there[first] @ model.working.W_inverse.T)
    return np.array(found)


def _joint(model: MixedModel, theta: Array, deviations: Array) -> Iterator[Array]:
    """Yield starts, (JOINT, m), for each factor of several terms, such as those of (x || g).

    If x is far from zero, its column is nearly that of the intercept within each level. Then
    both standard deviations are large or neither, which sums of squares of single columns do
    not show. The starts are multiples of those that regressions within the levels suggest;
    other terms start at `theta`.
    """
    template, codes = model.template, [term.codes for term in model.matrices.random]
    for first, code in enumerate(codes):
        same = [t for t, other in enumerate(codes) if np.array_equal(other, code)]
        if same[0] != first or len(same) == 1:
            continue
        Z = np.hstack([model.working.Z[t] for t in same])
        T, Q = group_qr(Z, code, len(model.matrices.random[first].levels))
        inside = (Q.T @ deviations).reshape(len(T), -1, 1)
        effects = (np.linalg.pinv(T, rcond=CONSTANT) @ inside)[..., 0]
        noise = (deviations @ deviations - np.square(inside).sum()) / model.n
        noise = max(noise, LEAST_NOISE * np.square(inside).mean())
        start = theta.copy()
        own = template.diagonal & np.isin(template.term, same)
        start[own] = np.sqrt(np.square(effects).mean(axis=0) / noise)
        yield JOINT[:, None] * start


def _scattered(model: MixedModel) -> Array:
    """Return scattered θ in working coordinates, (SCATTERED, m), with log-uniform diagonals."""
    on, cols = model.template.diagonal, model.template.cols
    points = halton(SCATTERED, model.template.m)
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
