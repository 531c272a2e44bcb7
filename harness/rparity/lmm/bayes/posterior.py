"""The posterior of a mixed model's parameters, by numerical integration over θ or by MCMC.

`priors` has the priors, `quadrature` the integration and `ensemble` the sampler.

Sources: Gelman et al. (2013), Bayesian Data Analysis, 3rd edition, chapters 5 and 15; Gelman
(2006), Bayesian Analysis 1, 515-534, doi:10.1214/06-BA117A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.bayes.ensemble import JointPosterior, MarkovChain, sample
from rparity.lmm.bayes.marginals import Marginal
from rparity.lmm.bayes.priors import Prior
from rparity.lmm.bayes.quadrature import RestrictedPosterior, WeightedPoints, integrate
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.varcorr import sd_names

Array = NDArray[np.float64]
Sampling = Literal["quadrature", "mcmc"]


def posterior(
    fit: LmerResults,
    prior: Prior = "uniform",
    *,
    method: Sampling = "quadrature",
    draws: int = 100_000,
    rng: int | None = None,
) -> Posterior:
    """Compute the posterior of a mixed model's fixed effects, standard deviations and correlations.

    Parameters
    ----------
    fit : LmerResults
        A fit by `lmer`. Its model and its data count, not whether it is by REML or by ML.
    prior : {"uniform", "half-cauchy", "jeffreys"}
        All are flat in β and in log σ. ``uniform`` is uniform in each standard deviation of random
        effects and in their correlations (Gelman 2006). ``half-cauchy`` is half-Cauchy in these
        standard deviations over σ, and proper for any number of levels. ``jeffreys`` is the root of
        the determinant of the information in the restricted likelihood. The formulas and their
        sources are in `rparity.lmm.bayes.priors`.
    method : {"quadrature", "mcmc"}
        Numerical integration over θ, for up to three variance parameters, or emcee's draws, which
        need ``pip install "rparity[bayes]"``.
    draws : int
        Number of MCMC draws, after a burn-in.
    rng : int, optional
        Seed of the MCMC draws.

    Raises
    ------
    UsageError
        For an unknown prior or method; if the posterior has no finite integral under this prior,
        which the message explains; if there are too many variance parameters for the quadrature;
        and for MCMC without a seed, without emcee, or with Jeffreys' prior.
    """
    if prior not in get_args(Prior):
        raise UsageError(f"prior must be one of {', '.join(get_args(Prior))}, and is {prior!r}.")
    if method not in get_args(Sampling):
        raise UsageError(f"method must be 'quadrature' or 'mcmc', and is {method!r}.")
    density = RestrictedPosterior(fit, prior)  # refuses improper posteriors
    if method == "quadrature":
        points, error = integrate(density)
        return Posterior(fit, prior, points, error)
    if rng is None:
        raise UsageError("posterior(method='mcmc') needs rng=, a seed.")
    drawn = sample(JointPosterior(fit, prior), draws, rng)
    return Posterior(fit, prior, drawn, drawn.error)


class Posterior:
    """The marginal posterior distributions of a mixed model's parameters.

    The rows of all tables are those of `LmerResults.conf_int`: `.sig01`, … (each term's standard
    deviations, then its correlations), `.sigma`, and the fixed effects.

    `error` is that of probabilities: a bound for the quadrature, which is generous, and for MCMC
    the largest Monte Carlo standard error.
    """

    def __init__(
        self, fit: LmerResults, prior: Prior, source: WeightedPoints | MarkovChain, error: float
    ) -> None:
        self.fit, self.prior, self.error = fit, prior, error
        self.names = [*sd_names(fit.model.template.m), *fit.term_names]
        self._source = source
        self._known: dict[str, Marginal] = {}

    def marginal(self, name: str) -> Marginal:
        """The distribution of one parameter: `mean`, `sd`, `cdf`, `pdf`, `quantile`, `density`.

        Raises
        ------
        UsageError
            For an unknown name.
        """
        if name not in self.names:
            raise UsageError(f"There is no parameter {name!r}: take one of {self.names}.")
        if name not in self._known:
            self._known[name] = self._source.marginal(self.names.index(name))
        return self._known[name]

    @property
    def mean(self) -> pd.Series[float]:
        """Means; NaN if the integral does not exist."""
        return pd.Series({name: self.marginal(name).mean for name in self.names})

    @property
    def sd(self) -> pd.Series[float]:
        """Standard deviations; infinite if the integral does not exist."""
        return pd.Series({name: self.marginal(name).sd for name in self.names})

    def quantile(self, q: Sequence[float] = (0.025, 0.25, 0.5, 0.75, 0.975)) -> pd.DataFrame:
        """Quantiles, a column for each probability in `q`."""
        found = {name: self.marginal(name).quantile(q) for name in self.names}
        return pd.DataFrame.from_dict(found, orient="index", columns=list(q))

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Central credible intervals of probability 1 − alpha: `conf_low`, `conf_high`."""
        ends = self.quantile([alpha / 2.0, 1.0 - alpha / 2.0])
        return ends.set_axis(["conf_low", "conf_high"], axis=1)

    def summary(self) -> pd.DataFrame:
        """Return `mean`, `sd`, and quantiles as columns `2.5%`, …."""
        columns = self.quantile().rename(columns=lambda q: f"{100.0 * q:g}%")
        return pd.concat([self.mean.rename("mean"), self.sd.rename("sd"), columns], axis=1)

    def mean_response(self, newdata: pd.DataFrame, *, offset: ArrayLike | None = None) -> Marginal:
        """The distribution of the mean of Xβ + Zb + offset over the rows of `newdata`.

        The rows name levels of the data, so it is about these levels, and not about others that
        could have been drawn.

        Raises
        ------
        DataError
            For missing values in `newdata`.
        UsageError
            For levels that the data of the fit do not have, and after MCMC.
        """
        if not isinstance(self._source, WeightedPoints):
            raise UsageError("mean_response() needs method='quadrature'.")
        matrices = self.fit.model.matrices
        known = float(np.mean(matrices.known(newdata, offset)))
        share = 1.0 / len(newdata)
        d = []
        for term, (codes, Z) in zip(matrices.random, matrices.groups(newdata), strict=True):
            if (codes < 0).any():
                raise UsageError(
                    f"newdata has levels of {term.group!r} that the data of the fit do not have: "
                    "their mean is that of the population, a fixed effect."
                )
            weights = np.zeros((len(term.levels), term.k))
            np.add.at(weights, codes, share * Z)
            d.append(weights)
        c = matrices.fixed(newdata).mean(axis=0)
        return self._source.mean_response(c, d, known)
