"""Intervals for one data set, by lm, by lmer and by both of its bootstraps."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pandas as pd

from rparity.lmm.bootstrap import bootmer
from rparity.lmm.fit import lmer
from rparity.lmm.linear import lm
from rparity.lmm.profile import profile_intervals
from rparity.rrandom import RRandom
from rparity.study.data_sets import DataSet, StudyDesign, World

ALPHA = 0.05
PARAMETERS = ["(Intercept)", "x"]
COLUMNS = ["estimate", "std_error", "conf_low", "conf_high"]
# The intervals that R's functions give by default, at 95 %.
INTERVALS = {
    "lm": "lm, contr.sum: Student's t, N − points − 1 degrees of freedom",
    "wald": "lmer: estimate ± 1.96 standard errors",
    "profile": "lmer: the likelihood ratio, profiled",
    "boot_simulate_u": "bootMer, use.u = FALSE: percentiles of the replicates",
    "boot_fix_u": "bootMer, use.u = TRUE: percentiles of the replicates",
}


def answer(
    design: StudyDesign, world: World, seed: int, nsim: int, *, lme4: str | None = None
) -> tuple[DataSet, dict[str, pd.DataFrame]]:
    """Draw the data set `seed` and compute its intervals, all from one stream, as in R.

    The data are drawn first, then the bootstrap with `use_u=False`, then that with `use_u=True`.
    `lme4` is the version of lme4 to reproduce: see `lmer`.

    Returns
    -------
    The data set, and for each of `INTERVALS` a table with the rows `PARAMETERS` and the columns
    `COLUMNS`. A bootstrap's estimate is lmer's; the profile has no standard error.
    """
    rng = RRandom(seed)
    drawn = design.draw(world, rng)
    fixed = lm("y ~ x + p", drawn.data, contrasts={"p": "contr.sum"}, na_action="fail")
    mixed = lmer("y ~ x + (1 | p)", drawn.data, na_action="fail", lme4=lme4)
    tables = {
        "lm": _table(fixed.params, fixed.bse, fixed.conf_int(ALPHA)),
        "wald": _table(mixed.params, mixed.bse, mixed.conf_int(ALPHA)),
        "profile": _table(mixed.params, None, profile_intervals(mixed, ALPHA, PARAMETERS)),
    }
    for name, use_u in (("boot_simulate_u", False), ("boot_fix_u", True)):
        boot = bootmer(mixed, nsim, use_u, rng=rng, statistic=attrgetter("params"))
        tables[name] = _table(mixed.params, boot.std_errors, boot.conf_int(ALPHA))
    return drawn, tables


def _table(
    estimate: pd.Series[float], std_error: pd.Series[float] | None, ends: pd.DataFrame
) -> pd.DataFrame:
    values = np.empty((len(PARAMETERS), len(COLUMNS)))
    values[:, 0] = estimate[PARAMETERS]
    values[:, 1] = np.nan if std_error is None else std_error[PARAMETERS]
    values[:, 2:] = ends.loc[PARAMETERS]
    return pd.DataFrame(values, PARAMETERS, COLUMNS)
