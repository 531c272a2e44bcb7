"""Profile likelihood intervals: they end where the profiled deviance rises by the χ² quantile.

A parameter is fixed at a value c by writing θ and σ = exp(τ) as functions of the other parameters.
The coefficients of a term are reordered so that the standard deviation or correlation comes first:

    sd:   θ₁₁ = c / σ;        cor:   (θ₂₁, θ₂₂) = (c, √(1 − c²)) s,  θ₁₁ and s positive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.varcorr import sd_names, sd_order
from rparity.lmm.numbers.distributions import chi2_quantile
from rparity.lmm.numbers.linalg import triangle
from rparity.lmm.numbers.roots import find_roots
from rparity.lmm.solver.blocks import Blocks
from rparity.lmm.solver.crossed import Dense
from rparity.lmm.solver.deviance import Evaluation
from rparity.lmm.solver.model import MixedModel
from rparity.lmm.solver.nearby import Nearby
from rparity.lmm.solver.newton import minimise
from rparity.lmm.solver.progress import one_by_one
from rparity.lmm.solver.structure import Moments, Smooth
from rparity.lmm.solver.threads import threads_for

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Flags = NDArray[np.bool_]
Deviance = Callable[[Array], Array]
# The model's evaluation at θ̃ (R, m) for the fixed values `which` (R,), and a deviance made of it.
Evaluate = Callable[[Array, Index], Evaluation]
Objective = Callable[[Evaluate, Array, Index], Smooth]
# A search for the minima at fixed values (R,), from (R, …): places, minima, and convergence.
Found = tuple[Array, Array, Flags]
Search = Callable[[Array, Array], Found]

# The smallest start of a positive parameter, whose logarithm is optimised.
NEAR_ZERO = 1e-3
UNREACHED = "A profile did not reach its confidence limit: use method='boot'."
# Distances at which a limit is sought, relative to the limit for a parabola.
REACH = np.array([0.98, 1.2, 2.0, 6.0])
# A start follows from minima whose rise is at most this multiple of the quantile.
STARTS = 2.0
# A start is extrapolated at most this far beyond two known minima, relative to their distance.
FURTHER = 2.0


def profile_intervals(
    fit: LmerResults, alpha: float, parameters: Collection[str] | None = None
) -> pd.DataFrame:
    """Likelihood-ratio intervals of standard deviations, correlations, σ and the fixed effects.

    Rows are `.sig01`, … in lme4's order, `.sigma`, and the terms, or those among `parameters`;
    columns `conf_low`, `conf_high`. As in lme4's `confint(method = "profile")`, a REML fit is
    profiled under ML. lme4 interpolates the profile by a spline; here each end is a root of the
    deviance. If the deviance stays below the quantile, the interval ends at the bound of the
    parameter: 0 for a standard deviation, −1 or 1 for a correlation.

    Raises
    ------
    UsageError
        If no root is found.
    """
    profile = _Profile(fit, float(chi2_quantile(1.0 - alpha, 1)))
    names = [name for name in profile.names if parameters is None or name in parameters]
    with threads_for(fit.model.structure):
        found = {name: profile.along(name).ends() for name in one_by_one("profile", names)}
    return pd.DataFrame.from_dict(found, orient="index", columns=["conf_low", "conf_high"])


def profile_rise(fit: LmerResults, parameter: str, values: Sequence[float]) -> Array:
    """Return the rise of the profiled ML deviance above its minimum at each value (k,).

    `parameter` is a row of `profile_intervals`. The rise is infinite at an impossible value, such
    as a negative standard deviation.
    """
    profiled = _Profile(fit, 0.0).along(parameter)
    at = np.asarray(values, dtype=np.float64)
    rise = np.full(len(at), np.inf)
    possible = (at >= profiled.low) & (at <= profiled.high)
    if possible.any():
        rise[possible] = profiled.excess(at[possible])
    return rise


@dataclass(frozen=True)
class _Parameter:
    """The profile of one parameter between its bounds `low` and `high`.

    `excess` is the profiled deviance less the level at which intervals end; `ends` finds these.
    """

    excess: Deviance
    ends: Callable[[], tuple[float, float]]
    low: float = -np.inf
    high: float = np.inf


class _Path:
    """The minima that are known along one profile, from the estimate `at` on.

    A search begins where the two nearest minima that are at most `highest` lead to. At higher ones,
    another variance may be zero.
    """

    def __init__(self, at: float, x: Array, minimum: float, highest: float) -> None:
        self._highest = highest
        self._minima = {at: minimum}
        self._x = {at: x}

    def minima(self, values: Array, search: Search) -> Array:
        """Return the minimum at each value (R,), by a search where it is not known."""
        new = np.array([v for v in dict.fromkeys(values.tolist()) if v not in self._minima])
        if len(new):
            x, minima, converged = search(new, np.array([self._start(v) for v in new]))
            self._minima |= dict(zip(new.tolist(), minima.tolist(), strict=True))
            good = np.flatnonzero(converged & (minima <= self._highest))
            self._x |= {new.tolist()[r]: x[r] for r in good}
        return np.array([self._minima[v] for v in values.tolist()])

    def _start(self, value: float) -> Array:
        nearest, *others = sorted(self._x, key=lambda v: abs(v - value))
        if not others:
            return self._x[nearest]
        share = np.clip((value - nearest) / (others[0] - nearest), -FURTHER, FURTHER)
        return np.asarray(self._x[nearest] + share * (self._x[others[0]] - self._x[nearest]))


class _Problem:
    """A model with one response, whose ML deviance is minimised with one parameter fixed."""

    def __init__(self, model: MixedModel, deviations: Array, Lam: Array, sigma: float) -> None:
        self.model = model
        self.moments: Moments = model.structure.moments(deviations[:, None])
        template = model.template
        self.theta = model.working.W @ Lam[template.rows, template.cols]
        self.tau = float(np.log(sigma))
        self._constant = model.constant(reml=False)

    def minima(self, objective: Objective, start: Array) -> Found:
        """Minimise a deviance for R fixed values, from `start` (R, …).

        Return the places, the minima (R,), and whether the searches converged.
        `objective(evaluate, x, which)` has it at x, where evaluate(θ̃, which) is that of the model.
        """
        near = Nearby(self.model.structure, self.moments.repeated(len(start)), reml=False)
        found = minimise(partial(objective, near.evaluate), start)
        return found.x, found.value + self._constant, found.converged


class _Profile:
    """The ML optimum of a fit, and the profiles of its parameters."""

    def __init__(self, fit: LmerResults, rise: float) -> None:
        self.fit = fit
        self.model = fit.model
        self.n = float(fit.model.n)
        beta = fit.beta
        self.deviations = self.model.deviations(fit.response, beta)
        moments = self.model.structure.moments(self.deviations[:, None])
        best = self.model.solve(moments, reml=False, start=fit.theta_hat)
        self.Lam = self.model.template.Lambda(best.theta[0])
        self.sigma = float(best.sigma[0])
        self.beta = beta + best.beta[0]
        self.bse = self.sigma * np.sqrt(np.diag(best.vcov_unscaled[0]))
        self.rise = rise
        self.best = float(best.criterion[0])
        self.level = self.best + rise

    def _path(self, at: float, x: Array) -> _Path:
        """Begin the path of a profile at its estimate."""
        return _Path(at, x, self.best, self.best + STARTS * self.rise)

    def _leading(self, *coefficients: int) -> tuple[_Problem, int, int]:
        """Rebuild the model with `coefficients` first in their term.

        Return the problem, the position of the term's first element in θ, and the term's number.
        """
        template, matrices = self.model.template, self.model.matrices
        t = int(template.term[template.rows == coefficients[0]][0])
        start, stop = template.starts[t], template.starts[t + 1]
        rest = [a for a in range(start, stop) if a not in coefficients]
        order = np.array([*coefficients, *rest]) - start
        term = matrices.random[t]
        moved = replace(
            term,
            names=tuple(term.names[i] for i in order),
            Z=np.ascontiguousarray(term.Z[:, order]),
        )
        model = self.model
        if (order != np.arange(len(order))).any():
            random = (*matrices.random[:t], moved, *matrices.random[t + 1 :])
            model = MixedModel(replace(matrices, random=random))
        Lam = self.Lam.copy()
        R = triangle(Lam[start:stop, start:stop][order].T)
        Lam[start:stop, start:stop] = (R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]).T
        first = int(np.flatnonzero(template.term == t)[0])
        return _Problem(model, self.deviations, Lam, self.sigma), first, t

    @property
    def names(self) -> list[str]:
        """The parameters in the order of R's `confint`."""
        return [*sd_names(self.model.template.m), *self.fit.term_names]

    def along(self, name: str) -> _Parameter:
        """Return the profile of one parameter."""
        template, terms = self.model.template, self.fit.term_names
        if name in terms:
            return self._coefficient(terms.index(name))
        *sds, residual = sd_names(template.m)
        if name == residual:
            return self._residual()
        rows, cols = sd_order(template, self.model.matrices.lme4)
        row, col = int(rows[sds.index(name)]), int(cols[sds.index(name)])
        return self._standard_deviation(row) if row == col else self._correlation(row, col)

    def _standard_deviation(self, row: int) -> _Parameter:
        """Profile the standard deviation of a coefficient."""
        problem, lead, t = self._leading(row)
        scale = float(problem.model.working.L[t][0, 0])
        m = problem.model.template.m
        others = np.delete(np.arange(m), lead)

        sd = self.sigma * float(np.linalg.norm(self.Lam[row]))
        path = self._path(sd, np.append(problem.theta[others], problem.tau))

        def search(sds: Array, start: Array) -> Found:
            def objective(model_at: Evaluate, x: Array, index: Index) -> Smooth:
                theta = np.empty((len(x), m))
                theta[:, others] = x[:, :-1]
                theta[:, lead] = held = scale * sds[index] * np.exp(-x[:, -1])
                full = model_at(theta, index).given_sigma(x[:, -1], self.n)
                # θ̃₁₁ depends on τ: (θ̃, τ) = (others, held(τ), τ).
                J = np.zeros((len(x), m + 1, m))
                J[:, others, np.arange(m - 1)] = 1.0
                J[:, lead, -1] = -held
                J[:, m, -1] = 1.0
                return _chain(full, J, [(m - 1, full.gradient[:, lead] * held)])

            return problem.minima(objective, start)

        def deviance(sds: Array) -> Array:
            return path.minima(sds, search) - self.level

        def ends() -> tuple[float, float]:
            small = 0.1 * self.sigma / scale
            high = self._brackets(deviance, sd, [max(sd, small)])
            if sd < NEAR_ZERO * small or deviance(np.zeros(1))[0] < 0:
                return 0.0, self._roots(deviance, high)[0]
            low, upper = self._roots(deviance, [(0.0, sd), *high])
            return low, upper

        return _Parameter(deviance, ends, low=0.0)

    def _correlation(self, row: int, col: int) -> _Parameter:
        """Profile the correlation of two coefficients."""
        problem, lead, t = self._leading(col, row)
        m, L = problem.model.template.m, problem.model.working.L[t]
        second, own = lead + 1, lead + len(L)  # θ₂₁ and θ₂₂ of the term
        others = np.delete(np.arange(m), [lead, second, own])
        held = problem.theta[own], problem.theta[second] - L[1, 0] / L[0, 0] * problem.theta[lead]
        size = float(np.hypot(*held))
        estimate = float(np.clip(held[1] / size, -1.0, 1.0)) if size > 0 else 0.0
        sizes = [problem.theta[lead] / L[0, 0], size / L[1, 1]]
        begin = np.append(problem.theta[others], np.log(np.maximum(sizes, NEAR_ZERO / L[1, 1])))
        path = self._path(estimate, begin)

        def search(c: Array, start: Array) -> Found:
            def objective(model_at: Evaluate, x: Array, index: Index) -> Smooth:
                size = np.exp(x[:, -2:])
                J = np.zeros((len(x), m, m - 1))
                J[:, others, np.arange(m - 3)] = 1.0
                J[:, lead, -2] = L[0, 0] * size[:, 0]
                J[:, second, -2] = L[1, 0] * size[:, 0]
                J[:, second, -1] = L[1, 1] * size[:, 1] * c[index]
                J[:, own, -1] = L[1, 1] * size[:, 1] * np.sqrt(1.0 - c[index] ** 2)
                theta = J[:, :, -2] + J[:, :, -1]
                theta[:, others] = x[:, :-2]
                full = model_at(theta, index).profiled(self.n)
                curved = [
                    (at, np.einsum("ri,ri->r", full.gradient, J[:, :, at])) for at in (m - 3, m - 2)
                ]
                return _chain(full, J, curved)

            # Where a size is nearly zero, so is the slope of its logarithm.
            start[:, -2:] = np.maximum(start[:, -2:], begin[-2:] - 1.0)
            return problem.minima(objective, start)

        def deviance(c: Array) -> Array:
            return path.minima(c, search) - self.level

        def ends() -> tuple[float, float]:
            beyond = deviance(np.array([-1.0, 1.0]))
            low, high = (
                end if excess < 0 else self._roots(deviance, [(estimate, end)])[0]
                for end, excess in zip((-1.0, 1.0), beyond, strict=True)
            )
            return low, high

        return _Parameter(deviance, ends, low=-1.0, high=1.0)

    def _residual(self) -> _Parameter:
        """Profile σ."""
        problem = _Problem(self.model, self.deviations, self.Lam, self.sigma)
        m = self.model.template.m
        begin = np.where(
            self.model.template.diagonal, np.maximum(problem.theta, 0.1), problem.theta
        )
        path = self._path(problem.tau, begin)

        def search(tau: Array, start: Array) -> Found:
            def objective(model_at: Evaluate, theta: Array, index: Index) -> Smooth:
                full = model_at(theta, index).given_sigma(tau[index], self.n)
                return Smooth(full.value, full.gradient[:, :m], full.hessian[:, :m, :m])

            return problem.minima(objective, start)

        def deviance(tau: Array) -> Array:
            return path.minima(tau, search) - self.level

        def ends() -> tuple[float, float]:
            low, high = self._limits(deviance, problem.tau, 1.0 / np.sqrt(2.0 * self.n))
            return float(np.exp(low)), float(np.exp(high))

        smallest = np.finfo(np.float64).tiny  # at zero the deviance is infinite
        return _Parameter(lambda sigma: deviance(np.log(sigma)), ends, low=smallest)

    def _coefficient(self, j: int) -> _Parameter:
        """Profile β_j: fit the model without column j to y − x_j b, for many b at once."""
        matrices = self.model.matrices
        keep = [i for i in range(self.model.p) if i != j]
        names = tuple(matrices.names[i] for i in keep)
        reduced = MixedModel(replace(matrices, X=matrices.X[:, keep], names=names))
        x = self.model.sqrt_weights * matrices.X[:, j]
        theta = self.Lam[self.model.template.rows, self.model.template.cols]
        origin = float(self.fit.params.iloc[j])  # where the deviations are zero
        centre = float(self.beta[j]) - origin
        path = self._path(centre, theta)

        def search(b: Array, start: Array) -> Found:
            moments = reduced.structure.moments(self.deviations[:, None] - np.outer(x, b))
            found = reduced.solve(moments, reml=False, start=start)
            return found.theta, found.criterion, found.converged

        def deviance(b: Array) -> Array:
            return path.minima(b, search) - self.level

        def ends() -> tuple[float, float]:
            low, high = self._limits(deviance, centre, float(self.bse[j]))
            return origin + low, origin + high

        return _Parameter(lambda b: deviance(b - origin), ends)

    def _limits(self, excess: Deviance, centre: float, error: float) -> tuple[float, float]:
        """Find both ends around an estimate whose standard error is about `error`."""
        step = error * float(np.sqrt(self.rise))
        low, high = self._roots(excess, self._brackets(excess, centre, [-step, step]))
        return low, high

    def _brackets(
        self, excess: Deviance, centre: float, steps: Sequence[float]
    ) -> list[tuple[float, float]]:
        """Find two points on the side of each of `steps` between which `excess` changes sign.

        Where an evaluation is costly, the points are tried one by one.
        """
        at_once = len(REACH) if isinstance(self.model.structure, Blocks | Dense) else 1
        inner = np.full(len(steps), centre)
        found: dict[int, tuple[float, float]] = {}
        for multiples in np.outer(16.0 ** np.arange(12), REACH).reshape(-1, at_once):
            left = np.array([side for side in range(len(steps)) if side not in found])
            points = centre + np.outer(np.array(steps)[left], multiples)
            above = excess(points.ravel()).reshape(points.shape) > 0
            for side, row, beyond in zip(left.tolist(), points, above, strict=True):
                if beyond.any():
                    end = beyond.argmax()
                    found[side] = (row[end - 1] if end else inner[side], row[end])
                inner[side] = row[-1]
            if len(found) == len(steps):
                return [found[side] for side in range(len(steps))]
        raise UsageError(UNREACHED)

    def _roots(self, excess: Deviance, brackets: Sequence[tuple[float, float]]) -> list[float]:
        """Find where `excess` changes sign within each bracket.

        The search is for ζ, the root of the rise over the optimum, in which a profile is almost
        linear.
        """

        def beyond(x: Array, _which: object) -> Array:
            zeta = np.sqrt(np.maximum(excess(x) + self.rise, 0.0))
            return np.asarray(zeta - np.sqrt(self.rise))

        rounding = 1e-13 * (1.0 + abs(self.level))
        one, other = np.array(brackets).T
        found = find_roots(beyond, one, other, rounding)
        if np.isnan(found).any():
            raise UsageError(UNREACHED)
        return [float(x) for x in found]


def _chain(f: Smooth, J: Array, curved: Sequence[tuple[int, Array]]) -> Smooth:
    """Differentiate f(z(x)) in x, with dz/dx = J (R, z, x); `curved` has f'z'' on the diagonal."""
    gradient = (f.gradient[:, None] @ J)[:, 0]
    hessian = np.swapaxes(J, 1, 2) @ f.hessian @ J
    for at, extra in curved:
        hessian[:, at, at] += extra
    return Smooth(f.value, gradient, hessian)
