"""Intervals for one data set, by lm, by lmer, by both of its bootstraps and by two posteriors."""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import attrgetter

import numpy as np
import pandas as pd

from rparity.errors import UsageError
from rparity.lmm.bayes.posterior import posterior
from rparity.lmm.bayes.priors import Prior
from rparity.lmm.bootstrap.bootmer import bootmer
from rparity.lmm.control import NO_MESSAGE
from rparity.lmm.linear import lm
from rparity.lmm.mixed import lmer
from rparity.lmm.profile import profile_intervals
from rparity.rrandom import RRandom
from rparity.study.data_sets import DataSet, StudyDesign, World

ALPHA = 0.05
PARAMETERS = ["(Intercept)", "x"]
COLUMNS = ["estimate", "std_error", "conf_low", "conf_high"]
# The intervals at 95 %, as R's functions give them by default.
INTERVALS = {
    "lm": "lm, contr.sum: Student's t, N − points − 1 degrees of freedom",
    "wald": "lmer: estimate ± 1.96 standard errors",
    "satterthwaite": "lmerTest: Student's t, Satterthwaite's degrees of freedom",
    "kenward_roger": "pbkrtest: Student's t and standard errors of Kenward and Roger",
    "profile": "lmer: the likelihood ratio, profiled",
    "posterior_uniform": "the posterior's quantiles, uniform prior of the standard deviation",
    "posterior_jeffreys": "the posterior's quantiles, Jeffreys' prior",
    "boot_simulate_u": "bootMer, use.u = FALSE: percentiles of the replicates",
    "boot_fix_u": "bootMer, use.u = TRUE: percentiles of the replicates",
}


def answer(
    design: StudyDesign,
    world: World,
    seed: int,
    nsim: int,
    *,
    lme4: str | None = None,
    intervals: Collection[str] = tuple(INTERVALS),
) -> tuple[DataSet, dict[str, pd.DataFrame]]:
    """Draw the data set `seed` and compute its intervals, all from one stream, as in R.

    The data are drawn first, then the bootstrap with `use_u=False`, then that with `use_u=True`.
    `lme4` is the version of lme4 to reproduce: see `lmer`. `intervals` are names from `INTERVALS`.

    Returns
    -------
    The data set, and for each of the `intervals` a table with the rows `PARAMETERS` and the columns
    `COLUMNS`. A bootstrap's estimate is lmer's; the profile has no standard error. Satterthwaite's
    standard error is Wald's. A posterior's estimate is its median, and its standard error is its
    standard deviation, if that is finite. Under a uniform prior two lines give no posterior.
    """
    rng = RRandom(seed)
    drawn = design.draw(world, rng)
    fixed = lm("y ~ x + p", drawn.data, contrasts={"p": "contr.sum"}, na_action="fail")
    mixed = lmer("y ~ x + (1 | p)", drawn.data, na_action="fail", lme4=lme4, control=NO_MESSAGE)

    def kenward_roger() -> pd.DataFrame:
        std_error = np.sqrt(np.diag(mixed.cov_params("kenward-roger")))
        ends = mixed.conf_int(ALPHA, "kenward-roger")
        return _table(mixed.params, pd.Series(std_error, mixed.term_names), ends)

    def bootstrap(use_u: bool) -> pd.DataFrame:
        boot = bootmer(mixed, nsim, use_u, rng=rng, statistic=attrgetter("params"))
        return _table(mixed.params, boot.std_errors, boot.conf_int(ALPHA))

    def credible(prior: Prior) -> pd.DataFrame:
        try:
            found = posterior(mixed, prior)
        except UsageError:  # too few lines
            return pd.DataFrame(np.nan, PARAMETERS, COLUMNS)
        each = [found.marginal(name) for name in PARAMETERS]
        quantiles = np.array([one.quantile([0.5, ALPHA / 2.0, 1.0 - ALPHA / 2.0]) for one in each])
        sd = np.array([one.sd if np.isfinite(one.sd) else np.nan for one in each])
        return pd.DataFrame(np.insert(quantiles, 1, sd, axis=1), PARAMETERS, COLUMNS)

    # The bootstraps are last, in R's order, because they draw from the stream.
    tables: dict[str, Callable[[], pd.DataFrame]] = {
        "lm": lambda: _table(fixed.params, fixed.bse, fixed.conf_int(ALPHA)),
        "wald": lambda: _table(mixed.params, mixed.bse, mixed.conf_int(ALPHA)),
        "satterthwaite": lambda: _table(
            mixed.params, mixed.bse, mixed.conf_int(ALPHA, "satterthwaite")
        ),
        "kenward_roger": kenward_roger,
        "profile": lambda: _table(mixed.params, None, profile_intervals(mixed, ALPHA, PARAMETERS)),
        "posterior_uniform": lambda: credible("uniform"),
        "posterior_jeffreys": lambda: credible("jeffreys"),
        "boot_simulate_u": lambda: bootstrap(False),
        "boot_fix_u": lambda: bootstrap(True),
    }
    return drawn, {name: table() for name, table in tables.items() if name in intervals}


def _table(
    estimate: pd.Series[float], std_error: pd.Series[float] | None, ends: pd.DataFrame
) -> pd.DataFrame:
    values = np.empty((len(PARAMETERS), len(COLUMNS)))
    values[:, 0] = estimate[PARAMETERS]
    values[:, 1] = np.nan if std_error is None else std_error[PARAMETERS]
    values[:, 2:] = ends.loc[PARAMETERS]
    return pd.DataFrame(values, PARAMETERS, COLUMNS)
