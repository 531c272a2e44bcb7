"""`bootmer`: R's parametric bootstrap of a mixed model, with R's draws, solved in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.arguments import require_alpha, require_mixed
from rparity.lmm.bootstrap.simulation import Draws, in_parts, refits, simulated
from rparity.lmm.display import html
from rparity.lmm.display.summary import bootstrap_summary
from rparity.lmm.fit import LmerResults
from rparity.lmm.lme4 import REFIT
from rparity.lmm.matrices.varcorr import labels, order, sd_and_correlation, sd_names, sd_order
from rparity.lmm.numbers.distributions import normal_quantile
from rparity.lmm.solver.model import MixedModel, Solution
from rparity.lmm.solver.threads import threads_for
from rparity.rrandom import RRandom
from rparity.workers.cluster import Workers

Array = NDArray[np.float64]

BootType = Literal["percentile", "basic", "normal"]
INTERVALS: tuple[BootType, ...] = get_args(BootType)
Statistic: TypeAlias = "Callable[[Replicates], pd.DataFrame | pd.Series[float] | Array]"


def bootmer(
    fit: LmerResults,
    nsim: int = 10_000,
    use_u: bool = False,
    *,
    rng: RRandom | int,
    statistic: Statistic | None = None,
    type: Literal["parametric", "semiparametric"] = "parametric",
    workers: Workers = None,
) -> BootstrapResults:
    """Bootstrap a fitted mixed model as R's `lme4::bootMer` does, with the same draws.

    A fit that reproduces an lme4 before 1.1-33 (`lmer(…, lme4="1.1-31")`) is refitted as in that
    version, whose REML criterion uses 1 instead of p. This changes θ, and hardly the fixed effects.

    Parameters
    ----------
    fit : LmerResults
        The fit from which responses are simulated.
    nsim : int
        Number of replicates.
    use_u : bool
        Keep the random effects at their conditional modes (True), or draw new ones (False).
    rng : RRandom or int
        R's stream, which moves on as in R, or a seed for `set.seed`.
    statistic : callable, optional
        A function that takes all replicates at once (`Replicates`) and returns a frame or series
        with a row for each; by default the fixed effects.
    type : {"parametric", "semiparametric"}
        Whether errors are drawn from a normal distribution, or from the residuals with replacement.
        The latter needs `use_u=True`, as in R.
    workers : int, str, distributed.Client, Cluster or None
        Where replicates are refitted: see `rparity.workers.cluster`. Results do not depend on it.

    Raises
    ------
    UsageError
        For fewer than one replicate, for a statistic of the wrong length, for an unknown type, and
        for workers that cannot be started.
    ClusterError, WorkerCrashedError
        If workers are lost during the work.
    """
    require_mixed(fit, "bootmer")
    model = fit.model
    f = model.n - 1.0 if fit.reml and not model.matrices.lme4.has(REFIT) else None
    if type not in {"parametric", "semiparametric"}:
        raise UsageError(f"type must be 'parametric' or 'semiparametric', and is {type!r}.")
    residuals: Array | None = None
    if type == "semiparametric":
        if not use_u:
            raise UsageError("The semiparametric bootstrap needs use_u=True, as in R.")
        residuals = np.asarray(fit.resid.dropna(), dtype=np.float64)
    draws = Draws.of(model, nsim, use_u=use_u, rng=rng, residuals=residuals)
    solution = Solution.join(in_parts(_refits, (fit, f), draws, workers))
    return BootstrapResults(fit, Replicates.of(fit, solution), use_u, statistic)


def _refits(shared: tuple[LmerResults, float | None], draws: Draws) -> Solution:
    """Refit the model to some replicates, block by block."""
    fit, f = shared
    weight = fit.model.sqrt_weights[:, None]
    with threads_for(fit.model.structure):
        return Solution.join([refits(fit, weight * block, f) for block in simulated(fit, draws)])


@dataclass(frozen=True)
class Replicates:
    """The fits of all replicates, with rows "1", "2", and so on.

    `params` and `bse` have a column for each fixed effect, `theta` for each element of θ, and
    `varcorr` for each standard deviation and correlation (the `sdcor` of `LmerResults.varcorr`).
    `sigma`, `criterion` and `converged` are series.
    """

    params: pd.DataFrame
    bse: pd.DataFrame
    theta: pd.DataFrame
    sigma: pd.Series[float]
    criterion: pd.Series[float]
    converged: pd.Series[bool]
    _model: MixedModel = field(repr=False)

    @classmethod
    def of(cls, fit: LmerResults, solution: Solution) -> Replicates:
        """Name the parameters of a solution whose β is relative to `fit`."""
        sigma = solution.sigma
        variances = np.diagonal(solution.vcov_unscaled, axis1=1, axis2=2)
        index = pd.RangeIndex(1, len(sigma) + 1).astype(str)

        def frame(values: Array, names: Sequence[str]) -> pd.DataFrame:
            return pd.DataFrame(dict(zip(names, values.T, strict=True)), index)

        names = fit.term_names
        return cls(
            frame(solution.beta + fit.beta, names),
            frame(sigma[:, None] * np.sqrt(variances), names),
            frame(solution.theta, list(fit.theta.index)),
            pd.Series(sigma, index),
            pd.Series(solution.criterion, index),
            pd.Series(solution.converged, index),
            fit.model,
        )

    @cached_property
    def _sdcor(self) -> Array:
        """Standard deviations on the diagonal, correlations off it: (R, k, k)."""
        out = sd_and_correlation(self._model.template, self.theta.to_numpy(dtype=np.float64))
        at = np.arange(out.shape[1])
        out[:, at, at] *= self.sigma.to_numpy()[:, None]
        return out

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Standard deviations and correlations, in the order of `LmerResults.varcorr`."""
        rows, cols = order(self._model.template)
        values = np.column_stack([self._sdcor[:, rows, cols], self.sigma])
        names = [*labels(self._model.matrices.random), "Residual"]
        return pd.DataFrame(values, self.params.index, names)

    @cached_property
    def everything(self) -> pd.DataFrame:
        """The parameters of R's `confint`, in its order: `.sig01`, …, `.sigma`, fixed effects."""
        template = self._model.template
        rows, cols = sd_order(template, self._model.matrices.lme4)
        values = np.column_stack([self._sdcor[:, rows, cols], self.sigma, self.params])
        names = [*sd_names(template.m), *self.params.columns]
        return pd.DataFrame(values, self.params.index, names)


class BootstrapResults:
    """Replicates of a mixed model: `t0` and `t` as in R's `boot` objects."""

    def __init__(
        self,
        fit: LmerResults,
        replicates: Replicates,
        use_u: bool,
        statistic: Statistic | None,
    ) -> None:
        self.fit = fit
        self.replicates = replicates
        self.use_u = use_u
        self._statistic = statistic
        self.t = self._evaluated(replicates)

    def _evaluated(self, replicates: Replicates) -> pd.DataFrame:
        if self._statistic is None:
            return replicates.params
        found = self._statistic(replicates)
        frame = found.to_frame() if isinstance(found, pd.Series) else pd.DataFrame(found)
        if len(frame) != len(replicates.params):
            raise UsageError(
                f"The statistic gave {len(frame)} rows for {len(replicates.params)} replicates: "
                "it must take all replicates at once and return one row for each."
            )
        return frame.set_axis(replicates.params.index).set_axis(
            [str(name) for name in frame.columns], axis=1
        )

    @cached_property
    def _original(self) -> Replicates:
        """The original fit as a bootstrap of one."""
        return Replicates.of(self.fit, self.fit.solution_from_itself)

    @property
    def nsim(self) -> int:
        """Number of replicates."""
        return len(self.t)

    @cached_property
    def t0(self) -> pd.Series[float]:
        """The statistic of the original fit."""
        return self._evaluated(self._original).iloc[0]

    @property
    def theta(self) -> pd.DataFrame:
        """θ of each replicate."""
        return self.replicates.theta

    @property
    def sigma(self) -> Array:
        """σ of each replicate."""
        return np.asarray(self.replicates.sigma, dtype=np.float64)

    @property
    def n_failed(self) -> int:
        """Number of replicates that did not converge."""
        return int((~self.replicates.converged).sum())

    @property
    def bias(self) -> pd.Series[float]:
        """Mean of the replicates less the original estimate."""
        return self.t.mean() - self.t0

    @property
    def std_errors(self) -> pd.Series[float]:
        """Standard deviation of the replicates."""
        return self.t.std(ddof=1)

    def conf_int(self, alpha: float = 0.05, method: BootType = "percentile") -> pd.DataFrame:
        """Intervals at level 1 − alpha, as R's `confint(fit, method = "boot", boot.type = method)`.

        The rows are all parameters, or the values of a custom statistic. Sources: Davison and
        Hinkley (1997), section 5.2 and eq. 5.8; R's `boot::boot.ci`.
        """
        require_alpha(alpha)
        if self._statistic is None:
            t, t0 = self.replicates.everything, self._original.everything.iloc[0]
        else:
            t, t0 = self.t, self.t0
        if method not in INTERVALS:
            raise UsageError(f"method must be one of {', '.join(INTERVALS)}, not {method!r}.")
        bounds = [
            _interval(t[name].to_numpy(), float(t0[name]), alpha, method) for name in t.columns
        ]
        return pd.DataFrame(bounds, t.columns, ["conf_low", "conf_high"])

    def summary(self) -> str:
        """Return text in the layout of R's `print` of a bootstrap."""
        return bootstrap_summary(self)

    def __repr__(self) -> str:
        return self.summary()

    _repr_html_ = html.bootstrap_html


def percentile(t: Array, probabilities: Array) -> Array:
    """Return bootstrap percentiles, interpolated between order statistics on the normal scale.

    Source: Davison and Hinkley (1997), eq. 5.8, as applied by R's `boot::boot.ci`. For a
    probability beyond the order statistics, the extreme one is returned.
    """
    ordered = np.sort(t[np.isfinite(t)])
    R = len(ordered)
    if not R:
        return np.full(len(probabilities), np.nan)
    position = (R + 1) * probabilities
    k = np.clip(np.floor(position + 1e-10).astype(int), 1, R)
    upper = np.minimum(k + 1, R)
    at, low, high = map(normal_quantile, (probabilities, k / (R + 1), upper / (R + 1)))
    inside = (upper > k) & (position > k) & (position >= 1)
    share = np.where(inside, (at - low) / np.where(high > low, high - low, 1.0), 0.0)
    return np.asarray(ordered[k - 1] + share * (ordered[upper - 1] - ordered[k - 1]))


def _interval(t: Array, t0: float, alpha: float, method: BootType) -> Array:
    """Return both ends of the interval of one statistic."""
    if method == "normal":
        finite = t[np.isfinite(t)]
        half = float(normal_quantile(1.0 - alpha / 2.0)) * finite.std(ddof=1)
        return np.asarray(2.0 * t0 - finite.mean() + np.array([-half, half]))
    ends = percentile(t, np.array([alpha / 2.0, 1.0 - alpha / 2.0]))
    return ends if method == "percentile" else 2.0 * t0 - ends[::-1]
