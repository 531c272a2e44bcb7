"""Profile likelihood intervals: where the deviance, all else optimised, rises by the χ² quantile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import elementwise
from scipy.stats import chi2

from harness.errors import UsageError
from harness.lmm.deviance import Evaluation, evaluate
from harness.lmm.fit import LmerResults
from harness.lmm.model import MixedModel
from harness.lmm.newton import minimise
from harness.lmm.structure import Moments, Smooth

Array = NDArray[np.float64]


def profile_intervals(fit: LmerResults, alpha: float) -> pd.DataFrame:
    """Likelihood-ratio intervals of standard deviations, σ and the fixed effects.

    Rows `.sig01`, `.sigma`, then the terms; columns `conf_low`, `conf_high`. As lme4's
    `confint(method = "profile")` does, a REML fit is profiled under ML. lme4 reads the interval off
    a spline through its profile; here each end is the root itself. A standard deviation's interval
    starts at zero where the deviance there stays below the quantile.
    """
    if len(fit.theta) != 1:
        raise UsageError(
            "Profile intervals are available for models with one variance parameter besides the "
            "residual; use method='wald' or method='boot'."
        )
    profile = _Profile(fit, float(chi2.ppf(1.0 - alpha, 1)))
    rows = {
        ".sig01": profile.positive(profile.at_sd, profile.sd),
        ".sigma": profile.positive(profile.at_sigma, profile.sigma),
    }
    for j, name in enumerate(fit.term_names):
        rows[name] = profile.coefficient(j)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["conf_low", "conf_high"])


class _Profile:
    """The ML optimum of a fit, and the deviance along each parameter, vectorised over its values."""

    def __init__(self, fit: LmerResults, rise: float) -> None:
        self.model = fit.model
        self.response = fit.response
        self.reference = fit.params.to_numpy()
        self.moments = self._moments(self.model, self.response[:, None])
        best = self.model.solve(self.moments, reml=False)
        self.theta = best.theta[0]
        self.sigma = float(best.sigma[0])
        self.sd = float(self.theta[0]) * self.sigma
        self.beta = self.reference + best.beta[0]
        self.bse = self.sigma * np.sqrt(np.diag(best.vcov_unscaled[0]))
        self.level = float(best.criterion[0]) + rise
        self._free = float(best.criterion[0]) - float(
            self._full(self._evaluate(self.theta[None]), np.array([np.log(self.sigma)])).value[0]
        )

    def _moments(self, model: MixedModel, y: Array) -> Moments:
        reference = self.reference[[name in model.matrices.names for name in self._names]]
        return model.structure.moments(model.deviations(y, reference))

    @property
    def _names(self) -> tuple[str, ...]:
        return self.model.matrices.names

    def _evaluate(self, theta: Array) -> Evaluation:
        index = np.zeros(len(theta), dtype=np.intp)
        return evaluate(self.model.structure, self.moments.take(index), theta, reml=False)

    def _full(self, at: Evaluation, tau: Array) -> Smooth:
        """Return the deviance at θ and σ = exp(τ), with derivatives in θ."""
        precision = np.exp(-2.0 * tau)
        return Smooth(
            at.logdet.value + 2.0 * self.model.n * tau + at.s.value * precision,
            at.logdet.gradient + at.s.gradient * precision[:, None],
            at.logdet.hessian + at.s.hessian * precision[:, None, None],
        )

    def at_sigma(self, sigma: Array) -> Array:
        """Deviance with σ fixed, minimised over θ."""
        tau = np.log(sigma)

        def objective(theta: Array, index: NDArray[np.intp]) -> Smooth:
            return self._full(self._evaluate(theta), tau[index])

        found = minimise(objective, np.tile(np.maximum(self.theta, 0.1), (len(sigma), 1)))
        return self._full(self._evaluate(found.x), tau).value + self._free

    def at_sd(self, sd: Array) -> Array:
        """Deviance with the random effect's standard deviation σθ fixed, minimised over σ."""

        def objective(x: Array, index: NDArray[np.intp]) -> Smooth:
            tau = x[:, 0]
            theta = sd[index] * np.exp(-tau)
            at = self._evaluate(theta[:, None])
            full = self._full(at, tau)
            # Chain rule along θ = sd · exp(−τ), on top of σ's own terms in τ.
            d, dd = full.gradient[:, 0], full.hessian[:, 0, 0]
            precision = np.exp(-2.0 * tau)
            s, s_d = at.s.value, at.s.gradient[:, 0]
            first = -theta * d + 2.0 * self.model.n - 2.0 * s * precision
            second = theta**2 * dd + theta * d + 4.0 * precision * (s + theta * s_d)
            return Smooth(full.value, first[:, None], second[:, None, None])

        start = np.full((len(sd), 1), np.log(self.sigma))
        found = minimise(objective, start)
        return objective(found.x, np.arange(len(sd))).value + self._free

    def positive(self, deviance: Callable[[Array], Array], centre: float) -> tuple[float, float]:
        """Interval of a standard deviation, sought on the log scale."""
        floor = 1e-8 * self.sigma
        begins_at_zero = centre <= floor or deviance(np.array([floor]))[0] < self.level
        ends = _roots(
            lambda x: deviance(np.exp(x)) - self.level,
            np.log(max(centre, floor)),
            0.1 if centre > floor else np.log(self.sigma / floor),
            upwards_only=begins_at_zero,
        )
        low, high = np.exp(ends)
        return (0.0 if begins_at_zero else float(low)), float(high)

    def coefficient(self, j: int) -> tuple[float, float]:
        """Interval of β_j: the model without column j, fitted to y − x_j b for many b at once."""
        keep = [i for i in range(self.model.p) if i != j]
        matrices = self.model.matrices
        names = tuple(self._names[i] for i in keep)
        reduced = MixedModel(replace(matrices, X=matrices.X[:, keep], names=names))
        x = matrices.X[:, j]

        def excess(b: Array) -> Array:
            moments = self._moments(reduced, self.response[:, None] - np.outer(x, b))
            return reduced.solve(moments, reml=False, start=self.theta).criterion - self.level

        low, high = _roots(excess, self.beta[j], float(self.bse[j]))
        return float(low), float(high)


def _roots(
    excess: Callable[[Array], Array], centre: float, step: float, *, upwards_only: bool = False
) -> Array:
    """Find where `excess` crosses zero on either side of `centre`, shape (2,)."""
    sides = np.array([1.0, 1.0] if upwards_only else [-1.0, 1.0])

    def outwards(distance: Array, side: Array) -> Array:
        return excess(centre + side * distance)

    bracket = elementwise.bracket_root(
        outwards, np.full(2, step), np.full(2, 2.0 * step), xmin=np.zeros(2), args=(sides,)
    )
    root = elementwise.find_root(outwards, bracket.bracket, args=(sides,))
    if not root.success.all():
        raise UsageError("A profile did not reach its confidence limit; use method='boot'.")
    ends: Array = centre + sides * root.x
    return ends
