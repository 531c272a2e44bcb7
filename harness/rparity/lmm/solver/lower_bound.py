"""A lower bound of the criterion for all variances, if the random effects are independent.

With independent random effects, V = I + Σ_t v_t Z_tZ_t' is linear in the variances v_t, in units of
σ². The criterion is L(v) + f log s(v), but for a constant. L is log|V|, plus log|X'V⁻¹X| under
REML: that is log|K'VK|, with a constant, where the columns of K are a basis of what is orthogonal
to X. So L is concave. s is the minimum over β of (y − Xβ)'V⁻¹(y − Xβ), which is convex in β and V
jointly. So s is convex. Let t be the tangent plane of s at any point of a box of variances. If it
is positive at the corners u of the box, then for all v in the box

    L(v) + f log s(v)  ≥  L(v) + f log t(v)  ≥  min_u [L(u) + f log t(u)],

because L + f log t is concave, and concave functions are lowest at a corner. A second bound is L at
the lowest corner plus f log s at the highest one, since L increases and s decreases.

A box whose bound is too low is split in two (branch and bound: Land and Doig, 1960). The first
bound is off by the square of the box's width, so few boxes are left near the minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.solver.deviance import Evaluation, evaluate
from rparity.lmm.solver.structure import Derivatives

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]

# The largest variance over σ², in working coordinates, and as a multiple of the largest estimate.
# At variances of 1e16, rounding would leave no digits of log|X'V⁻¹X|.
LARGEST, BEYOND = 1e8, 4.0
# Widths are those of log(1 + cv), where c is the mean of the eigenvalues of ZZ' that are not zero.
# The first boxes have these widths, at most so many for each variance and for all of them; those
# beyond reach to the largest variance.
WIDTH, EACH, ALL = 1.5, 8, 512
# No more boxes than this are bounded.
MOST_BOXES = 20_000
# Below this tolerance rounding would decide.
LEAST = 1e-9


@dataclass(frozen=True)
class LowerBound:
    """What is known about the minimum of a criterion: it lies between `bound` and `lowest`.

    Attributes
    ----------
    bound
        The criterion is at least this for all variances up to 10⁸ σ², where covariates are scaled
        to size 1, or up to four times the largest estimate. Rounding is left out.
    lowest
        The lowest value that was computed.
    theta
        Where that is, (m,).
    boxes
        The number of boxes whose bounds were computed.
    """

    bound: float
    lowest: float
    theta: Array
    boxes: int


def lower_bound(fit: LmerResults, tolerance: float = 1e-6) -> LowerBound:
    """Prove how low the criterion can be for any variances of independent random effects.

    If `fit.criterion - fit.lower_bound().bound` is about the tolerance, no other minimum is lower
    by more. If `lowest` is below `fit.criterion`, the fit is not the optimum: `theta` is a start
    for another one. The proof takes tens of boxes for one variance and hundreds for two; more
    variances take more. After 20,000 boxes the search ends, and the bound is what it has proven.

    Raises
    ------
    UsageError
        If the random effects of a term are correlated, or if the tolerance is below 1e-9.
    """
    model, reml, moments = fit.model, fit.reml, fit.moments
    structure, m, f = model.structure, model.template.m, model.divisor(reml=reml)
    if m > model.template.k:
        raise UsageError(
            f"lower_bound() needs independent random effects, and those of "
            f"{model.matrices.formula!r} are correlated: `(x || g)` has independent ones."
        )
    if not tolerance >= LEAST:
        raise UsageError(f"tolerance must be at least {LEAST}, and is {tolerance}.")
    levels = [len(term.levels) for term in model.matrices.random for _ in range(term.k)]
    scale = model.n / np.array(levels)

    def at(v: Array, derivatives: Derivatives) -> Evaluation:
        many = moments.repeated(len(v))
        return evaluate(structure, many, np.sqrt(v), reml=reml, derivatives=derivatives)

    best = (model.working.W @ fit.theta_hat) ** 2
    lowest = float(at(best[None], "none").profiled(f).value[0])
    lo, hi = _first(scale, max(LARGEST, BEYOND * float(best.max())))
    boxes, bound = 0, lowest - tolerance
    while len(lo):
        boxes += len(lo)
        bounds, value, where = bounds_of_boxes(at, lo, hi, f)
        if value < lowest:
            lowest, best = value, where
        bound = lowest - tolerance
        left = bounds < bound
        if boxes + 2 * left.sum() > MOST_BOXES:
            bound = float(bounds.min())
            break
        lo, hi = _split(lo[left], hi[left], scale)
    constant = model.constant(reml=reml)
    found = model.working.W_inverse @ np.sqrt(best)
    return LowerBound(bound + constant, lowest + constant, found, boxes)


def bounds_of_boxes(
    at: Callable[[Array, Derivatives], Evaluation], lo: Array, hi: Array, f: float
) -> tuple[Array, float, Array]:
    """Return lower bounds of the criterion in boxes of variances, from `lo` to `hi` (B, m).

    `at` evaluates both parts of the criterion at variances (R, m). Also returns the lowest value at
    a corner, and where that is.
    """
    upper = np.array(list(product((False, True), repeat=lo.shape[1])))
    corners = np.where(upper, hi[:, None], lo[:, None])  # (B, 2^m, m)
    distinct, place = np.unique(corners.reshape(-1, lo.shape[1]), axis=0, return_inverse=True)
    ends, middle = at(distinct, "none"), (lo + hi) / 2.0
    value = ends.profiled(f).value
    value = np.where(np.isfinite(value), value, np.inf)
    place = place.reshape(len(lo), -1)
    L, s = ends.logdet.value[place], ends.s.value[place]
    centre = at(middle, "search").s
    slope = centre.gradient / (2.0 * np.sqrt(middle))  # θ² = v
    tangent = centre.value[:, None] + ((corners - middle[:, None]) * slope[:, None]).sum(axis=2)
    by_tangent = (L + f * np.log(np.maximum(tangent, 0.0))).min(axis=1)
    by_order = L[:, 0] + f * np.log(s[:, -1])
    bounds = np.fmax(by_tangent, by_order) + f * (1.0 + np.log(2.0 * np.pi / f))
    bounds = np.where(np.isnan(bounds), -np.inf, bounds)
    return bounds, float(value.min()), distinct[value.argmin()]


def _first(scale: Array, largest: float) -> tuple[Array, Array]:
    """Return the lower and upper corners of the first boxes, (B, m) each."""
    m = len(scale)
    each = min(EACH, max(1, int(ALL ** (1.0 / m)) - 1))
    edges = np.append(np.expm1(WIDTH * np.arange(each + 1.0)), np.inf)
    cells = np.indices((each + 1,) * m).reshape(m, -1).T
    return edges[cells] / scale, np.minimum(edges[cells + 1] / scale, largest)


def _split(lo: Array, hi: Array, scale: Array) -> tuple[Array, Array]:
    """Split boxes in two along their widest side."""
    low, high = np.log1p(scale * lo), np.log1p(scale * hi)
    rows, widest = np.arange(len(lo)), np.argmax(high - low, axis=1)
    half = (np.expm1((low + high) / 2.0) / scale)[rows, widest]
    below, above = hi.copy(), lo.copy()
    below[rows, widest] = above[rows, widest] = half
    return np.concatenate([lo, above]), np.concatenate([below, hi])
