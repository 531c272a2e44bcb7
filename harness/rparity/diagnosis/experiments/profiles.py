"""An experiment on profile intervals: whether the deviance at an end is the one that it must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2

from rparity.cases.base import Lmer
from rparity.diagnosis.experiments.base import PLACE, Dispute, Trial
from rparity.engines.native import fitted
from rparity.lmm.profile import profile_rise

# Where the deviance may rise above its minimum, relative to the quantile that defines an end: a
# root is found to rounding, and a spline through a profile misses it by far more.
AT_THE_ROOT = 1e-6
MISSED = 1e-4


def profile_missed(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Work out how far the deviance is above its minimum at either side's ends.

    An end is where the deviance rises by the χ² quantile. Explained is what differs because the
    reference's end is not there, and the engine's is. Where two Rs differ, either may have missed.
    """
    model, table = dispute.asked.parts.get(part), f"{part}.confint_profile"
    if not isinstance(model, Lmer) or dispute.asked.data is None:
        return None
    if not (rows["table"] == table).any():
        return None
    # The numbers of `.sig01`, … follow the lme4 of either side.
    fits = [fitted(model, dispute.asked.data, lme4.version) for lme4 in dispute.lme4]
    quantile = float(chi2.ppf(0.95, 1))
    missed, said = [], []
    for name, row, column, *ends in zip(
        *(rows[c] for c in (*PLACE, "value", "reference_value")), strict=True
    ):
        if name != table or not np.isfinite(ends).all():
            missed.append(False)
            continue
        rises = [
            float(profile_rise(fit, row, [end])[0]) for fit, end in zip(fits, ends, strict=True)
        ]
        mine, theirs = (abs(rise / quantile - 1.0) for rise in rises)
        fails = theirs > MISSED and mine <= AT_THE_ROOT
        if dispute.between_rs:
            fails = max(mine, theirs) > MISSED
        missed.append(fails)
        if fails:
            said.append(
                f"{row} {column}: {rises[0]:.4g} at {ends[0]:.5g}, {rises[1]:.4g} at {ends[1]:.5g}"
            )
    return Trial(
        "the deviance at the interval's ends",
        "profile failed in R",
        f"at an end the deviance must rise by {quantile:.4g}; at those of {dispute.engine} and "
        f"{dispute.reference} it rises by: {'; '.join(said)}",
        rows["digits"],
        pd.Series(missed, rows.index, dtype=bool),
    )
