"""Experiments on bootstraps: other draws, and the noise of weighted rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.cases.base import Boot, Lmer, monte_carlo_error
from rparity.compare import Tables
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import Dispute, Trial
from rparity.lmm.fit import LmerResults
from rparity.rrandom import RRandom

# Among a hundred differences, chance hardly makes one exceed this many standard errors.
CHANCE = 4.0
# So many replicates give a standard deviation to about 2 %.
DRAWS = 2000


def monte_carlo(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Express the difference of two bootstraps' standard errors in Monte Carlo errors."""
    if not isinstance(dispute.context.parts.get(part), Boot):
        return None
    mine, theirs = (_spread(tables, part) for tables in (dispute.answer, dispute.reference_tables))
    if mine is None or theirs is None or not _own_draws(dispute, part):
        return None
    return _by_chance(
        dispute,
        part,
        rows,
        theirs,
        "other draws",
        Cause.MONTE_CARLO,
        "its draws are its own: the standard errors differ",
    )


def noise_scaled_by_weights(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Draw each row's noise with variance σ²/w; R's bootstrap ignores the prior weights w."""
    boot = dispute.context.parts.get(part)
    if not isinstance(boot, Boot) or not _own_draws(dispute, part):
        return None
    model = dispute.context.parts.get(boot.of)
    if not isinstance(model, Lmer) or model.weights is None:
        return None
    fit = dispute.context.lmer(model)
    spread = _weighted_bootstrap(fit, use_u=boot.use_u).std(ddof=1)
    return _by_chance(
        dispute,
        part,
        rows,
        (spread, DRAWS),
        "noise scaled by prior weights",
        Cause.WEIGHTED_NOISE,
        "where each row's noise is divided by the root of its weight, the standard errors differ",
    )


def _weighted_bootstrap(fit: LmerResults, *, use_u: bool) -> pd.DataFrame:
    """Fixed effects of refits to responses whose noise has the variance σ²/w, (DRAWS, p)."""
    model = fit.model
    rng = RRandom(1)
    noise = rng.rnorm(model.n * DRAWS).reshape(DRAWS, model.n).T
    if use_u:
        Zb = model.spread([b[None] for b in fit.conditional.means])
    else:
        Lambda = fit.sigma * model.template.Lambda(fit.theta_hat)
        u = model.arrange(rng.rnorm(model.q * DRAWS).reshape(DRAWS, model.q))
        scales = model.template.blocks(Lambda)
        Zb = model.spread([part @ scale.T for part, scale in zip(u, scales, strict=True)])
    deviations = model.sqrt_weights[:, None] * Zb + fit.sigma * noise
    moments = model.structure.moments(deviations)
    solved = model.solve(moments, reml=fit.reml, start=fit.theta_hat)
    return pd.DataFrame(solved.beta, columns=fit.term_names)


def _by_chance(
    dispute: Dispute,
    part: str,
    rows: pd.DataFrame,
    other: tuple[pd.Series[float], int],
    experiment: str,
    cause: Cause,
    says: str,
) -> Trial | None:
    """Return the trial that compares two bootstraps up to Monte Carlo error."""
    mine = _spread(dispute.answer, part)
    if mine is None:
        return None
    (ours, n), (theirs, m) = mine, other
    z = (ours / theirs - 1.0) / np.hypot(monte_carlo_error(n), monte_carlo_error(m))
    z = z.dropna()
    if z.empty:
        return None
    # The bias is a mean over replicates, so its error is the standard deviation over √n.
    biased = (
        dispute.answer[f"{part}.boot"]["bias"] - dispute.reference_tables[f"{part}.boot"]["bias"]
    )
    z_bias = biased.reindex(z.index) / np.hypot(ours / np.sqrt(n), theirs / np.sqrt(m))
    worst = float(max(z.abs().max(), z_bias.abs().max()))
    chance = (rows["table"] == f"{part}.boot") & rows["column"].isin(["std_error", "bias"])
    return Trial(
        experiment,
        cause,
        f"{says} by at most {worst:.1f} of their Monte Carlo errors ({n} and {m} replicates)",
        rows["digits"],
        chance & (worst <= CHANCE),
    )


def _spread(tables: Tables, part: str) -> tuple[pd.Series[float], int] | None:
    """Return a bootstrap's standard errors and its number of replicates."""
    boot, replicates = tables.get(f"{part}.boot"), tables.get(f"{part}.replicates")
    if boot is None:
        return None
    n = (
        int(boot["nsim"].iloc[0])
        if "nsim" in boot
        else len(replicates if replicates is not None else ())
    )
    return (boot["std_error"], n) if n > 1 else None


def _own_draws(dispute: Dispute, part: str) -> bool:
    """Whether the engine drew its own replicates, and gives none to compare with R's."""
    return f"{part}.replicates" not in dispute.answer
