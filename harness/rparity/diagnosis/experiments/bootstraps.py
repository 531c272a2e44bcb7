"""Experiments on bootstraps: the noise of weighted rows, and other draws."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.cases.base import Boot, Lmer, monte_carlo_error
from rparity.compare import Tables
from rparity.diagnosis.experiments.base import Dispute, Trial
from rparity.lmm.fit import LmerResults
from rparity.rrandom import RRandom

# Standard errors of a difference that chance hardly exceeds, among some hundred of them.
CHANCE = 4.0
# Replicates that tell a standard deviation to a fiftieth.
DRAWS = 2000


def monte_carlo(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """State the difference of two bootstraps' standard errors in units of its own error."""
    if not isinstance(dispute.asked.parts.get(part), Boot):
        return None
    mine, theirs = (_spread(tables, part) for tables in (dispute.answer, dispute.truth))
    if mine is None or theirs is None or not _own_draws(dispute, part):
        return None
    return _by_chance(
        dispute,
        part,
        rows,
        theirs,
        "other draws",
        "Monte Carlo",
        "its draws are its own: the standard errors differ",
    )


def noise_scaled_by_weights(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Draw each row's noise with the variance that its prior weight says; R ignores weights."""
    boot = dispute.asked.parts.get(part)
    if not isinstance(boot, Boot) or not _own_draws(dispute, part):
        return None
    model = dispute.asked.parts.get(boot.of)
    if not isinstance(model, Lmer) or model.weights is None:
        return None
    fit = dispute.asked.lmer(model)
    spread = _weighted_bootstrap(fit, use_u=boot.use_u).std(ddof=1)
    return _by_chance(
        dispute,
        part,
        rows,
        (spread, DRAWS),
        "noise scaled by prior weights",
        "noise scaled by prior weights",
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
    cause: str,
    says: str,
) -> Trial | None:
    """Return the trial in which a bootstrap's table is compared up to Monte Carlo error."""
    mine = _spread(dispute.answer, part)
    if mine is None:
        return None
    (ours, n), (theirs, m) = mine, other
    z = (ours / theirs - 1.0) / np.hypot(monte_carlo_error(n), monte_carlo_error(m))
    z = z.dropna()
    if z.empty:
        return None
    # A mean's error is the standard deviation over √n; the bias is one, and the estimate is not.
    biased = dispute.answer[f"{part}.boot"]["bias"] - dispute.truth[f"{part}.boot"]["bias"]
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
    """Standard errors of a bootstrap and the number of its replicates."""
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
    """Whether the engine gives no replicates to compare with R's, draw for draw."""
    return f"{part}.replicates" not in dispute.answer
