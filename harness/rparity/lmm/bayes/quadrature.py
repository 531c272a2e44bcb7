"""The posterior of θ, its integration on a lattice, and the marginal distributions that follow.

With a prior that is flat in β and has the form of `priors`, β and σ are integrated out of the joint
density in closed form. With A, s and log|V| of `deviance`, and ν = n − p − d,

    p(θ | y) ∝ |V|^(−1/2) |A|^(−1/2) s^(−ν/2) h(θ),
    σ² | θ, y  is s / χ²_ν,    β | θ, y  is t_ν with centre β̂(θ) and scale matrix (s/ν) A⁻¹.

Only θ remains, in few dimensions, and the restricted likelihood at any θ is exact. `lattice` turns
p(θ | y) into weighted points, and `marginals` their weights into distributions.

Whether the posterior has a finite integral, and which moments exist, follows from its tails: as
some of the standard deviations grow together, the log density falls with a fixed slope in their
logarithm. Under a uniform prior and with one factor of J levels this slope is −(J − 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.bayes.marginals import (
    ATANH,
    LOG,
    FourierMarginal,
    Marginal,
    MixtureOfT,
    chi_moment,
)
from rparity.lmm.bayes.priors import Prior, VarianceCoordinates, root_mean_squares
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.varcorr import covariance, sd_order
from rparity.lmm.numbers.lattice import Lattice
from rparity.lmm.solver.deviance import assemble, evaluate

Array = NDArray[np.float64]

# The first step. The bound of the error, and the power of the change at the last halving that it
# is: in theory halving the step squares the error, or nearly so.
FIRST_STEP = 0.5
TOLERANCE, ORDER = 1e-8, 1.25
# How much the coordinates are stretched in the tails.
EPSILON = 0.1
# Least number of points along an axis.
FEWEST = 10
# The tails begin where a standard deviation, in units of σ and of its covariate, is at least FAR,
# and BEYOND times the estimate. LEAST is where the search for points begins if it is estimated as
# zero.
FAR, BEYOND, LEAST = 1e4, 30.0, 0.3
# A slope of the tail above −FLAT is zero; slopes are whole numbers.
FLAT = 0.01
# Points in one call of the structure.
BATCH = 1024


@dataclass(frozen=True)
class Tail:
    """How the density falls as the standard deviations of some `rows` of Λ grow together.

    `slope` is that of the log density in the logarithm of the standard deviations, and `scale` (p,)
    are those of the logarithms of the coefficients' scales.
    """

    rows: tuple[int, ...]
    slope: float
    scale: Array


class RestrictedPosterior:
    """p(θ | y) in the coordinates of `VarianceCoordinates`, and β and σ given θ.

    Raises
    ------
    UsageError
        If the posterior has no finite integral.
    """

    def __init__(self, fit: LmerResults, prior: Prior) -> None:
        self.fit, self.prior, self.model = fit, prior, fit.model
        self.coordinates = VarianceCoordinates(fit.model.template)
        self._rms = root_mean_squares(fit.model.matrices.random)
        d = fit.model.template.k if prior == "uniform" else 0
        self.nu = float(fit.model.n - fit.model.p - d)
        # From β̂ on, the residuals are small numbers, not differences of large ones.
        self.deviations = fit.model.deviations(fit.response, fit.beta)
        self._moments = fit.model.structure.moments(self.deviations[:, None])
        self._R_inv = fit.model.from_working(np.eye(fit.model.p)).T
        self._refuse_improper()

    @cached_property
    def origin(self) -> Array:
        """The coordinates of the fit's optimum, (m,), a little off the boundary."""
        return self.coordinates.start(self.fit.theta_hat, LEAST / self._rms)

    def working(self, x: Array) -> Array:
        """θ in working coordinates, (R, m)."""
        return np.asarray(self.coordinates.theta(x) @ self.model.working.W.T)

    def evaluate(self, x: Array) -> Array:
        """Return for points x (R, m) the log density, s, β̂ (p columns) and scales (p): (R, 2 + 2p).

        A scale is that of the t distribution of β_j given θ.
        """
        parts = [self._evaluate(x[at : at + BATCH]) for at in range(0, len(x), BATCH)]
        return np.concatenate(parts)

    def _evaluate(self, x: Array) -> Array:
        model, template = self.model, self.model.template
        theta = self.working(x)
        moments = self._moments.repeated(len(x))
        at = evaluate(model.structure, moments, theta, reml=True)
        s = at.s.value
        log = -(at.logdet.value + self.nu * np.log(s)) / 2.0 + self.coordinates.log_uniform(x)
        log_sd = self.coordinates.log_sd(x)
        if self.prior == "half-cauchy":
            log -= np.log1p((np.exp(log_sd) * self._rms) ** 2).sum(axis=1)
        elif self.prior == "jeffreys":
            # Along elements of ΛΛ', in which V is linear, the Hessian of log|V| + log|A| is
            # −tr(PV_iPV_j) and its gradient tr(PV_i) = tr(PV_iPV), with P = V⁻¹ − V⁻¹XA⁻¹X'V⁻¹.
            # The change to standard deviations and correlations is Π s^(coefficients of the term).
            linear = model.structure.evaluate(theta, moments, along=np.eye(template.k))
            logdet = assemble(template, *linear, reml=True).logdet
            g = logdet.gradient
            f = model.divisor(reml=True)
            information = -logdet.hessian - g[:, :, None] * g[:, None] / f
            log += np.linalg.slogdet(information)[1] / 2.0 + log_sd @ self.coordinates.width
        centre = self.fit.beta + model.from_working(at.delta)
        variance = np.einsum("ja,rab,jb->rj", self._R_inv, at.A_inv, self._R_inv)
        scale = np.sqrt(variance * (s / self.nu)[:, None])
        return np.column_stack([log, s, centre, scale])

    def mean_response(self, x: Array, c: Array, d: list[Array]) -> tuple[Array, Array]:
        """The t distribution of c'β + Σ_t tr(d_t'b_t) given θ: centres and scales (R,) at x (R, m).

        c is (p,), and d has an array (L, k) for each term. With w = ZΛΛ'd the mean is
        c'β̂ + w'V⁻¹(y − Xβ̂), and the variance over σ² is

            d'ΛΛ'd − w'V⁻¹w + (c − X'V⁻¹w)'A⁻¹(c − X'V⁻¹w).

        The structure's moments of y, y + w and y − w give the products.
        """
        parts = [self._mean_response(x[at : at + BATCH], c, d) for at in range(0, len(x), BATCH)]
        centre, scale = zip(*parts, strict=True)
        return np.concatenate(centre), np.concatenate(scale)

    def _mean_response(self, x: Array, c: Array, d: list[Array]) -> tuple[Array, Array]:
        model, template, p = self.model, self.model.template, self.model.p
        theta = self.coordinates.theta(x)
        squares = template.blocks(covariance(template, theta))  # ΛΛ' of each term, (R, k, k)
        effects = [np.einsum("la,rab->rlb", dt, G) for dt, G in zip(d, squares, strict=True)]
        prior = sum(np.einsum("rlb,lb->r", e, dt) for e, dt in zip(effects, d, strict=True))
        w = model.sqrt_weights[:, None] * model.spread(effects)
        y = self.deviations[:, None]
        size = np.linalg.norm(w, axis=0) / np.linalg.norm(y)
        size = np.where(size > 0.0, size, 1.0)
        at = self.working(x)
        M, plus, minus = (
            model.structure.evaluate(at, model.structure.moments(y + t * w / size))[1].value
            for t in (0.0, 1.0, -1.0)
        )
        Xw = (plus - minus)[:, :p, p] / 2.0 * size[:, None]
        yw = (plus - minus)[:, p, p] / 4.0 * size
        ww = ((plus + minus)[:, p, p] / 2.0 - M[:, p, p]) * size**2
        A, Xy = M[:, :p, :p], M[:, :p, p]
        delta = np.linalg.solve(A, Xy[..., None])[..., 0]
        rest = self._R_inv.T @ c - Xw
        centre = float(c @ self.fit.beta) + (rest * delta).sum(axis=1) + yw
        variance = prior - ww + (rest * np.linalg.solve(A, rest[..., None])[..., 0]).sum(axis=1)
        s = M[:, p, p] - (Xy * delta).sum(axis=1)
        return centre, np.sqrt(variance * s / self.nu)

    @cached_property
    def _growing(self) -> list[tuple[int, ...]]:
        """The sets of standard deviations that may grow together."""
        k = self.model.template.k
        return [rows for size in range(1, k + 1) for rows in combinations(range(k), size)]

    @cached_property
    def far_points(self) -> Array:
        """Two points in each tail, e-fold apart: (2 · tails, m)."""
        k = self.model.template.k
        far = np.maximum(np.log(FAR / self._rms), self.origin[:k] + np.log(BEYOND))
        x = np.tile(self.origin, (2 * len(self._growing), 1))
        for at, rows in enumerate(self._growing):
            x[2 * at, rows] = far[list(rows)]
            x[2 * at + 1, rows] = far[list(rows)] + 1.0
        return x

    @cached_property
    def tails(self) -> list[Tail]:
        """The tails in all directions in which some standard deviations grow together."""
        p = self.model.p
        values = self.evaluate(self.far_points)
        values[:, 2 + p :] = np.log(values[:, 2 + p :])
        rise = values[1::2] - values[::2]
        return [
            Tail(*each) for each in zip(self._growing, rise[:, 0], rise[:, 2 + p :], strict=True)
        ]

    def _refuse_improper(self) -> None:
        model = self.model
        if self.nu <= 0.0:
            raise UsageError(
                f"Under the prior {self.prior!r} the posterior has no finite integral: {model.n} "
                f"observations are too few for {model.p} fixed effects and these random effects."
            )
        names = [f"{t.group}.{name}" for t in model.matrices.random for name in t.names]
        for tail in self.tails:
            if not tail.slope < -FLAT:
                which = " and ".join(names[row] for row in tail.rows)
                raise UsageError(
                    f"Under the prior {self.prior!r} the posterior has no finite integral: too few "
                    f"levels bound the standard deviation of {which}. Use prior='half-cauchy', or "
                    "leave the term out."
                )

    def moments_of_sd(self, row: int) -> int:
        """How many moments of the standard deviation of a row of Λ exist: 0, 1 or 2."""
        slope = max(tail.slope for tail in self.tails if row in tail.rows)
        return next((r for r in (2, 1) if self.nu > r and slope + r < -FLAT), 0)

    def moments_of_coefficient(self, scale: Array) -> int:
        """How many moments exist: 0, 1 or 2, by the slopes of log scale in the `tails`."""
        return next(
            (
                r
                for r in (2, 1)
                if self.nu > r
                and max(t.slope + r * of for t, of in zip(self.tails, scale, strict=True)) < -FLAT
            ),
            0,
        )

    @cached_property
    def powers(self) -> Array:
        """The power of each row's standard deviation that moments need and have, (k,)."""
        k = self.model.template.k
        slopes = [max(t.slope for t in self.tails if row in t.rows) for row in range(k)]
        return np.clip(-np.array(slopes) - 1.0, 0.0, 2.0)


@dataclass(frozen=True)
class WeightedPoints:
    """Points x (R, m) of p(θ | y) with `weights` (R,), and `values` as `evaluate` returns them.

    `step` (m,) is their distance along each axis.
    """

    density: RestrictedPosterior
    x: Array
    weights: Array
    values: Array
    step: Array

    @classmethod
    def of(cls, density: RestrictedPosterior, x: Array, lattice: Lattice) -> WeightedPoints:
        """Weight the points of a lattice, whose values begin with the points' heights."""
        values = lattice.values[:, 1:]
        weights = np.exp(values[:, 0] - values[:, 0].max())
        return cls(density, x, weights / weights.sum(), values, lattice.step.copy())

    def every_second(self, on: NDArray[np.bool_], axis: int) -> WeightedPoints:
        """Keep the points `on`, (R,), of the lattice with twice the step along one axis."""
        step = self.step.copy()
        step[axis] *= 2.0
        weights = self.weights[on]
        return WeightedPoints(
            self.density, self.x[on], weights / weights.sum(), self.values[on], step
        )

    def marginal(self, at: int) -> Marginal:
        """Marginal of a parameter by its row in `LmerResults.conf_int`."""
        model, m = self.density.model, self.density.model.template.m
        if at > m:
            return self._coefficient(at - m - 1)
        if at == m:
            return self._standard_deviation(np.zeros(len(self.x)), np.inf, 2)
        rows, cols = sd_order(model.template, model.matrices.lme4)
        row, col = int(rows[at]), int(cols[at])
        if row == col:
            moments = self.density.moments_of_sd(row)
            return self._standard_deviation(self.x[:, row], np.pi / self.step[row], moments)
        return self._correlation(row, col)

    def _coefficient(self, j: int) -> Marginal:
        density, p = self.density, self.density.model.p
        moments = density.moments_of_coefficient(np.array([t.scale[j] for t in density.tails]))
        return MixtureOfT(
            self.weights, self.values[:, 2 + j], self.values[:, 2 + p + j], density.nu, moments
        )

    def _standard_deviation(self, log_sd: Array, bandwidth: float, moments: int) -> Marginal:
        """Marginal of σs, for the logarithm of s at each point."""
        nu = self.density.nu
        log = log_sd + np.log(self.values[:, 1]) / 2.0
        mean, square = (
            float(self.weights @ np.exp(r * log)) * chi_moment(nu, r) if moments >= r else np.inf
            for r in (1, 2)
        )
        sd = float(np.sqrt(square - mean**2)) if np.isfinite(square) else np.inf
        return FourierMarginal(self.weights, log, LOG, bandwidth, mean, sd, nu=nu)

    def _correlation(self, row: int, col: int) -> Marginal:
        template = self.density.model.template
        cov = covariance(template, self.density.coordinates.theta(self.x))
        r = cov[:, row, col] / np.sqrt(cov[:, row, row] * cov[:, col, col])
        mean = float(self.weights @ r)
        sd = float(np.sqrt(self.weights @ (r - mean) ** 2))
        own = template.k + np.flatnonzero(
            template.term[~template.diagonal] == template.term[template.rows == row][0]
        )
        return FourierMarginal(
            self.weights, np.arctanh(r), ATANH, np.pi / float(self.step[own].max()), mean, sd
        )

    def mean_response(self, c: Array, d: list[Array], known: float) -> Marginal:
        """Marginal of known + c'β + Σ_t tr(d_t'b_t): see `RestrictedPosterior.mean_response`."""
        density = self.density
        x = np.concatenate([self.x, density.far_points])
        centre, scale = density.mean_response(x, c, d)
        R = len(self.x)
        slopes = np.diff(np.log(scale[R:]).reshape(-1, 2), axis=1)[:, 0]
        moments = density.moments_of_coefficient(slopes)
        return MixtureOfT(self.weights, known + centre[:R], scale[:R], density.nu, moments)


class Stretch:
    """Coordinates t of x = origin + (t + ε sinh t) / (1 + ε), in which lattices reach far.

    The density falls exponentially in x where a standard deviation is not bounded away from zero or
    infinity, and so faster than exponentially in t.
    """

    def __init__(self, origin: Array) -> None:
        self._origin = origin

    def x(self, t: Array) -> Array:
        """The coordinates x at t."""
        return np.asarray(self._origin + (t + EPSILON * np.sinh(t)) / (1.0 + EPSILON))

    def log_slope(self, t: Array) -> Array:
        """Logarithm of the determinant of dx/dt at t (R, m), (R,)."""
        return np.asarray(np.log((1.0 + EPSILON * np.cosh(t)) / (1.0 + EPSILON)).sum(axis=1))


def integrate(density: RestrictedPosterior) -> tuple[WeightedPoints, float]:
    """Return points that integrate p(θ | y), and a bound of the error of probabilities.

    If doubling the step along an axis changes probabilities by c, the error itself is at most about
    c², and the bound is c^1.25.
    """
    k = density.model.template.k
    stretch = Stretch(density.origin)

    def values(t: Array) -> Array:
        x = stretch.x(t)
        found = density.evaluate(x)
        found[:, 0] += stretch.log_slope(t)
        above = np.maximum(x[:, :k] - density.origin[:k], 0.0)
        return np.column_stack([found[:, 0] + (density.powers * above).max(axis=1), found])

    lattice = Lattice(values, np.zeros(len(density.origin)), FIRST_STEP)
    errors = np.ones(len(density.origin))
    while True:
        points = WeightedPoints.of(density, stretch.x(lattice.points), lattice)
        open_axes = np.flatnonzero(errors > TOLERANCE)
        errors[open_axes] = _changes(points, lattice, open_axes) ** ORDER
        coarse = np.flatnonzero(errors > TOLERANCE)
        if not len(coarse):
            # What lies outside weighs about as much as the points at the rim.
            return points, float(errors.max() + points.weights[~lattice.inner].sum())
        lattice.halve(coarse)


def _changes(points: WeightedPoints, lattice: Lattice, axes: NDArray[np.intp]) -> Array:
    """How much distribution functions change if the step along one of `axes` is doubled.

    One where there are too few points to say.
    """
    model = points.density.model
    known = [points.marginal(at) for at in range(model.template.m + 1 + model.p)]
    there = [one.cdf(one.probes) for one in known]
    inside = lattice.index[points.weights > 1e-10 * points.weights.max()]
    changes = np.ones(len(axes))
    for at in np.flatnonzero(np.ptp(inside[:, axes], axis=0) >= FEWEST):
        coarse = points.every_second(lattice.on(axes[at]), axes[at])
        changes[at] = max(
            float(np.abs(coarse.marginal(number).cdf(one.probes) - value).max())
            for number, (one, value) in enumerate(zip(known, there, strict=True))
        )
    return changes
