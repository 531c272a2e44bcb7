"""`bootmer`: R's parametric bootstrap of a mixed model, draw for draw, all replicates at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from harness.errors import UsageError
from harness.lmm.fit import LmerResults
from harness.rrandom import RRandom

Array = NDArray[np.float64]

RefitDf = Literal["lme4<1.1-33"]

# Doubles in one block of simulated responses: a few such arrays stay within the processor's cache
# and memory stays flat however many replicates there are.
BLOCK = 2**18


def simulated_blocks(
    fit: LmerResults, nsim: int, *, use_u: bool, rng: RRandom | int
) -> Iterator[Array]:
    """Yield simulated deviations y − Xβ̂ − offset, (n, R) a block, R's draws in R's order.

    R draws all the random effects first, `rnorm(q · nsim)`, then all the noise, `rnorm(n · nsim)`:
    two streams, the second one starting where the first one ends. With `use_u` there is only the
    second. `rng`, if it is a stream, is left where R's would be. The noise ignores prior weights.
    """
    if nsim < 1:
        raise UsageError(f"nsim must be at least 1, and is {nsim}.")
    model = fit.model
    n, q = model.n, model.q
    noise = rng if isinstance(rng, RRandom) else RRandom(int(rng))
    effects = noise.copy()
    if use_u:
        fixed = model.spread([b[None] for b in fit.conditional.means])
    else:
        noise.skip_normals(q * nsim)
        Lambda = model.template.Lambda(fit.sigma * fit.theta.to_numpy())
        scales = model.template.blocks(Lambda)
    block = max(1, BLOCK // n)
    for first in range(0, nsim, block):
        R = min(block, nsim - first)
        e = noise.rnorm(n * R).reshape(R, n).T
        if use_u:
            Zb = fixed
        else:
            u = model.arrange(effects.rnorm(q * R).reshape(R, q))
            Zb = model.spread([part @ scale.T for part, scale in zip(u, scales, strict=True)])
        yield Zb + fit.sigma * e


def bootmer(
    fit: LmerResults,
    nsim: int = 10_000,
    use_u: bool = False,
    *,
    rng: RRandom | int,
    refit_df: RefitDf | None = None,
) -> BootstrapResults:
    """Bootstrap a fitted mixed model as R's `lme4::bootMer` does: the same draws, each refitted.

    Parameters
    ----------
    fit : LmerResults
        The fit to simulate from.
    nsim : int
        Number of replicates.
    use_u : bool
        Keep the random effects at their conditional modes (True), or draw them anew (False).
    rng : RRandom or int
        R's stream, which is moved on as R's would be, or a seed for `set.seed`.
    refit_df : "lme4<1.1-33", optional
        Reproduce lme4's `refit` before 1.1-33, which hands 1 instead of p to the REML criterion:
        θ moves, the fixed effects hardly.

    Raises
    ------
    UsageError
        For fewer than one replicate.
    """
    f = fit.model.n - 1.0 if refit_df is not None and fit.reml else None
    parts = [
        fit.model.solve(
            fit.model.structure.moments(fit.model.sqrt_weights[:, None] * block),
            reml=fit.reml,
            start=fit.theta.to_numpy(),
            f=f,
        )
        for block in simulated_blocks(fit, nsim, use_u=use_u, rng=rng)
    ]
    return BootstrapResults(
        fit,
        use_u,
        beta=np.concatenate([part.beta for part in parts]) + fit.params.to_numpy(),
        theta=np.concatenate([part.theta for part in parts]),
        sigma=np.concatenate([part.sigma for part in parts]),
        converged=np.concatenate([part.converged for part in parts]),
    )


class BootstrapResults:
    """Replicates of a mixed model: `t0` and `t` as in R's `boot` objects."""

    def __init__(
        self,
        fit: LmerResults,
        use_u: bool,
        *,
        beta: Array,
        theta: Array,
        sigma: Array,
        converged: NDArray[np.bool_],
    ) -> None:
        self.fit = fit
        self.use_u = use_u
        self.sigma = sigma
        self._beta = beta
        self._theta = theta
        self._converged = converged

    @property
    def nsim(self) -> int:
        """Number of replicates."""
        return len(self._beta)

    @property
    def t0(self) -> pd.Series[float]:
        """Estimates of the original fit."""
        return self.fit.params

    @cached_property
    def t(self) -> pd.DataFrame:
        """Fixed effects, one row a replicate ("1", "2", …), one column a term."""
        index = pd.RangeIndex(1, self.nsim + 1).astype(str)
        return pd.DataFrame(self._beta, index, self.fit.term_names)

    @cached_property
    def theta(self) -> pd.DataFrame:
        """θ of each replicate."""
        return pd.DataFrame(self._theta, self.t.index, self.fit.theta.index)

    @property
    def n_failed(self) -> int:
        """Replicates whose optimum was not reached."""
        return int((~self._converged).sum())

    @property
    def bias(self) -> pd.Series[float]:
        """Mean of the replicates less the original estimate."""
        return self.t.mean() - self.t0

    @property
    def std_errors(self) -> pd.Series[float]:
        """Standard deviation of the replicates."""
        return self.t.std(ddof=1)

    @cached_property
    def variation(self) -> pd.DataFrame:
        """Standard deviations and correlations of the random effects, then σ, one row a replicate."""
        Lam = self.fit.model.template.Lambda(self._theta)
        cov = Lam @ np.swapaxes(Lam, 1, 2)
        sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
        rows, cols = (
            self.fit.model.template.rows,
            self.fit.model.template.cols,
        )
        with np.errstate(invalid="ignore"):
            values = np.where(
                rows == cols,
                self.sigma[:, None] * sd[:, rows],
                cov[:, rows, cols] / (sd[:, rows] * sd[:, cols]),
            )
        return pd.DataFrame(np.column_stack([values, self.sigma]), self.t.index, self.fit.sd_names)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Percentile intervals of all the parameters, as R's `confint(fit, method = "boot")`."""
        everything = pd.concat([self.variation, self.t], axis=1)
        bounds = [
            percentile(column.to_numpy(), np.array([alpha / 2, 1 - alpha / 2]))
            for _, column in everything.items()
        ]
        return pd.DataFrame(bounds, everything.columns, ["conf_low", "conf_high"])

    def summary(self) -> str:
        """Text in the layout of R's `print` of a bootstrap."""
        from harness.rprint import bootstrap_summary

        return bootstrap_summary(self)

    def __repr__(self) -> str:
        return self.summary()


def percentile(t: Array, probabilities: Array) -> Array:
    """Bootstrap percentiles, interpolated between order statistics on the normal scale.

    Source: Davison and Hinkley (1997), eq. 5.8, as R's `boot::boot.ci` applies it. Where a
    probability lies beyond the order statistics the extreme one is returned.
    """
    ordered = np.sort(t[np.isfinite(t)])
    R = len(ordered)
    position = (R + 1) * probabilities
    k = np.clip(np.floor(position + 1e-10).astype(int), 1, R)
    upper = np.clip(k + 1, 1, R)
    at, low, high = norm.ppf([probabilities, k / (R + 1), np.minimum(k + 1, R) / (R + 1)])
    inside = (upper > k) & (position > k) & (position >= 1)
    share = np.where(inside, (at - low) / np.where(high > low, high - low, 1.0), 0.0)
    out: Array = ordered[k - 1] + share * (ordered[upper - 1] - ordered[k - 1])
    return out
