"""The experiment on profile intervals: whether the deviance is right at an interval's ends."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.cases.base import Lmer
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import PLACE, Dispute, Trial
from rparity.engines.native import fitted
from rparity.lmm.numbers.distributions import chi2_quantile
from rparity.lmm.profile import profile_rise

# Relative distance of the deviance's rise from the quantile that defines an end. A root search is
# exact to rounding; a spline through a profile is much less accurate.
AT_THE_ROOT = 1e-6
MISSED = 1e-4


def profile_missed(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Compute how far the deviance rises above its minimum at the interval's ends of each side.

    At an end the deviance must rise by the χ² quantile. A difference is explained if this holds at
    the engine's end and not at the reference's. Between two Rs, either may fail.
    """
    model, table = dispute.context.parts.get(part), f"{part}.confint_profile"
    if not isinstance(model, Lmer) or dispute.context.data is None:
        return None
    if not (rows["table"] == table).any():
        return None
    # The numbers of `.sig01`, … follow the lme4 of either side.
    fits = [fitted(model, dispute.context.data, lme4.version) for lme4 in dispute.lme4]
    quantile = float(chi2_quantile(0.95, 1))
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
        Cause.PROFILE_FAILED,
        f"at an end the deviance must rise by {quantile:.4g}; at those of {dispute.engine} and "
        f"{dispute.reference} it rises by: {'; '.join(said)}",
        rows["digits"],
        pd.Series(missed, rows.index, dtype=bool),
    )
