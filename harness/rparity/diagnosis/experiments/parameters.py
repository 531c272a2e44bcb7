"""Experiments on mixed models: the formulas, evaluated at either side's variance parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Lmer
from rparity.compare import FAILING, ROUNDING_DIGITS, Reference, Tables, digits, kind_of, measure
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import (
    ROOM,
    VANISHED,
    Dispute,
    Trial,
    agreement,
    compared,
    places,
    predicted,
)
from rparity.diagnosis.experiments.hessian import joint_cov_params
from rparity.engines.native import everything, lmer_tables
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.arrange import wald_limits
from rparity.lmm.matrices.varcorr import labels, order
from rparity.lmm.numbers.linalg import semidefinite_cholesky

Array = NDArray[np.float64]

# An optimizer that stops early leaves the criterion at most this far above its minimum, unless it
# reports that it did not converge.
RISE = 0.05
# A criterion rounds by this, relative to its size: no answer can be further below the minimum.
BELOW = 1e-8
# With more random effects than this, a dense covariance takes too long.
DENSE = 2000
FIXED = {"coef", "vcov", "confint_wald"}


def stopped_early(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Evaluate the formulas at the variance parameters of each side.

    If each side's values follow from its own parameters, and the criterion there is hardly above
    its minimum, then both use the same formulas and only their optimizers stopped elsewhere.
    """
    pair = Sides.of(dispute, part)
    if pair is None or pair.same_place or pair.contradicted(rows):
        return None
    rises = {dispute.engine: pair.rise(pair.mine), dispute.reference: pair.rise(pair.theirs)}
    if min(rises.values()) < -BELOW * (1.0 + abs(pair.fit.criterion)):
        return None  # our fit is not the minimum
    who = max(rises, key=lambda name: rises[name])
    trial = compared(
        "at each side's own variance parameters",
        Cause.STOPPED_EARLY,
        f"{who} stopped where the criterion is {rises[who]:.1e} above its minimum; the formulas, "
        "evaluated there, give its values",
        rows,
        dispute.answer,
        pair.from_mine,
        instead_of=dispute.reference_tables,
    )
    admitted = any("onverge" in note for note in dispute.notes)
    return (
        pair.if_reference_follows(trial, rows) if max(rises.values()) <= RISE or admitted else None
    )


def joint_hessian(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Take the standard errors from the Hessian in fixed effects and variances together."""
    pair = Sides.of(dispute, part)
    if pair is None or pair.fit.model.q > DENSE or not _about(rows, FIXED):
        return None
    joint = joint_cov_params(pair.mine)
    if np.allclose(joint, pair.mine.cov_params(), rtol=VANISHED.rtol, atol=0.0):
        return None  # the formulas give the same, as in every balanced design
    tables = _with_cov(pair.mine, joint)
    trial = compared(
        "standard errors from the joint Hessian",
        Cause.STANDARD_ERROR,
        "at the engine's own variance parameters, the inverse of the Hessian in β and the "
        "variances together gives its standard errors; R inverts the block of β alone",
        rows,
        dispute.answer,
        predicted(replace(dispute, noise={}), tables, part),  # noise is no formula
        instead_of=dispute.reference_tables,
    )
    trial = replace(trial, vanished=trial.vanished & ~pair.follows(rows))
    return pair.if_reference_follows(trial, rows)


def adjusted_sigma(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Use σ² over n − p, not n, in the standard errors of a maximum likelihood fit."""
    pair = Sides.of(dispute, part)
    if pair is None or pair.fit.reml or not _about(rows, FIXED):
        return None
    n, p = pair.fit.nobs, len(pair.fit.params)
    tables = _with_cov(pair.mine, pair.mine.cov_params() * (n / (n - p)))
    trial = compared(
        "σ² over n − p in the standard errors",
        Cause.STANDARD_ERROR,
        f"its standard errors under maximum likelihood are R's times √(n / (n − p)), n = {n}, "
        f"p = {p}",
        rows,
        dispute.answer,
        predicted(dispute, tables, part),
        instead_of=dispute.reference_tables,
    )
    return pair.if_reference_follows(trial, rows)


def ml_for_reml(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Fit by the other criterion, REML or ML, and evaluate it at the engine's parameters."""
    pair = Sides.of(dispute, part)
    if pair is None or pair.same_place:
        return None
    other = pair.fit.refit(REML=not pair.fit.reml)
    asked, gave = ("REML", "ML") if pair.fit.reml else ("ML", "REML")
    there = other.at(pair.mine.theta_hat, pair.mine.sigma)
    rise = there.criterion - other.criterion
    trial = compared(
        f"{gave} in place of {asked}",
        Cause.ML_OR_REML,
        f"asked for {asked}, {dispute.engine} gives {gave}: it stopped {rise:.1e} above that "
        "criterion's minimum, and its values follow from it",
        rows,
        dispute.answer,
        pair.predicted(there),
        instead_of=dispute.reference_tables,
    )
    return pair.if_reference_follows(trial, rows) if rise <= RISE else None


def likelihood_without_weights(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Leave the prior weights' logarithms out of the log-likelihood, at the engine's parameters."""
    pair = Sides.of(dispute, part)
    if pair is None or pair.model.weights is None or not _about(rows, {"glance"}):
        return None
    weights = pair.fit.model.matrices.weights
    lost = float(np.log(weights).sum())
    glance = pair.from_mine.tables[f"{part}.glance"]
    off = {"log_lik": -lost / 2.0, "aic": lost, "bic": lost, "criterion": lost}
    return compared(
        "a likelihood without the prior weights",
        Cause.UNWEIGHTED,
        f"its criterion lacks −Σ log w = {-lost:.6g}, as if the rows times √w were the data",
        rows,
        dispute.answer,
        predicted(dispute, {"glance": glance[list(off)] + pd.Series(off)}, part),
        instead_of=dispute.reference_tables,
    )


@dataclass(frozen=True)
class Sides:
    """The fit of a model by this package, and what its formulas give at the θ of each side."""

    dispute: Dispute
    part: str
    model: Lmer
    fit: LmerResults
    mine: LmerResults
    theirs: LmerResults

    @classmethod
    def of(cls, dispute: Dispute, part: str) -> Self | None:
        """Return the two sides, or None unless both give parameters of a mixed model."""
        if part not in dispute.shared:
            dispute.shared[part] = cls._of(dispute, part)
        found: Self | None = dispute.shared[part]
        return found

    @classmethod
    def _of(cls, dispute: Dispute, part: str) -> Self | None:
        model = dispute.context.parts.get(part)
        if not isinstance(model, Lmer) or dispute.context.data is None:
            return None
        if dispute.figures and f"{part}.theta" not in dispute.figures:
            return None  # nothing follows from variances that are rounded
        fit = dispute.context.lmer(model)
        places = [
            parameters(fit, part, side) for side in (dispute.answer, dispute.reference_tables)
        ]
        if places[0] is None or places[1] is None:
            return None
        mine, theirs = (dispute.context.at(model, *place) for place in places if place)
        return cls(dispute, part, model, fit, mine, theirs)

    @property
    def same_place(self) -> bool:
        """Whether the parameters agree up to rounding: that of X's space has its condition."""
        mine, theirs = (np.append(side.theta_hat, side.sigma) for side in (self.mine, self.theirs))
        X = self.fit.model.matrices.X
        kappa = float(np.linalg.cond(X / np.linalg.norm(X, axis=0)))
        least = min(ROUNDING_DIGITS, -np.log10(ROOM * kappa * np.finfo(np.float64).eps))
        return bool((digits(mine, theirs) >= least).all())

    def rise(self, there: LmerResults) -> float:
        """Return how far the criterion is above its minimum there."""
        return there.criterion - self.fit.criterion

    def if_reference_follows(self, trial: Trial, rows: pd.DataFrame) -> Trial:
        """Limit a trial to where the reference's values follow from its own parameters."""
        if not trial.vanished.any():
            return trial
        _, follows = agreement(self.dispute.reference_tables, self.from_theirs, rows)
        return replace(trial, vanished=trial.vanished & follows)

    @cached_property
    def from_mine(self) -> Reference:
        """What the formulas give at the engine's parameters."""
        return self.predicted(self.mine)

    @cached_property
    def from_theirs(self) -> Reference:
        """What the formulas give at the reference's parameters."""
        return self.predicted(self.theirs)

    def follows(self, rows: pd.DataFrame) -> pd.Series[bool]:
        """Return where the formulas give the engine's value at its own parameters."""
        quiet = replace(self, dispute=replace(self.dispute, noise={}))
        return agreement(self.dispute.answer, quiet.from_mine, rows)[1]

    def predicted(self, there: LmerResults) -> Reference:
        """Return what the formulas give at some parameters."""
        answered = [k for k in self.model.kinds if f"{self.part}.{k}" in self.dispute.answer]
        asked = replace(self.model, kinds=tuple(answered))
        tables = lmer_tables(there, everything(asked, reml=there.reml), asked.means)
        return predicted(self.dispute, tables, self.part)

    def contradicted(self, rows: pd.DataFrame) -> bool:
        """Whether a value agrees with the reference but not with the engine's own parameters.

        Then the engine's other values do not follow from the parameters that it gives.
        """
        compared_with = self.dispute.reference_tables
        answer = {
            table: frame[frame.columns.intersection(compared_with[table].columns)]
            for table, frame in self.dispute.answer.items()
            if table in self.from_mine.tables and table in compared_with
        }
        found = measure(answer, self.from_mine, list(answer))
        failing = np.isin(found["verdict"], FAILING) & ~np.isnan(found["value"])
        return not set(compress(places(found), failing)) <= set(places(rows))


def standard_deviations(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Exchange variances and standard deviations."""
    varcorr = dispute.reference_tables.get(f"{part}.varcorr")
    if varcorr is None or not _about(rows, {"varcorr"}):
        return None
    swapped = varcorr.rename(columns={"vcov": "sdcor", "sdcor": "vcov"})
    return compared(
        "variances read as standard deviations",
        Cause.PARAMETRISATION,
        "the engine's variances are the reference's standard deviations, or the other way round",
        rows,
        dispute.answer,
        predicted(dispute, {"varcorr": swapped}, part),
        instead_of=dispute.reference_tables,
    )


def parameters(fit: LmerResults, part: str, answer: Tables) -> tuple[Array, float | None] | None:
    """Return θ and σ of an answer: the θ that it gives, or else the θ of its variances.

    σ is None if the answer has no residual variance; σ is then profiled out. Returns None if the
    answer does not have finite parameters of this model.
    """
    varcorr = answer.get(f"{part}.varcorr", pd.DataFrame())
    wanted = [*labels(fit.model.matrices.random), "Residual"]
    vcov = varcorr.get("vcov", pd.Series(dtype=float)).reindex(wanted)
    sigma = float(np.sqrt(vcov["Residual"])) if vcov["Residual"] > 0.0 else None
    theta = answer.get(f"{part}.theta")
    if theta is not None and list(theta.index) == list(fit.theta.index):
        values = theta["value"].to_numpy()
        return (values, sigma) if np.isfinite(values).all() else None
    if sigma is None or not np.isfinite(vcov).all():
        return None
    template = fit.model.template
    square = np.zeros((template.k, template.k))
    for value, i, j in zip(vcov / sigma**2, *order(template), strict=False):
        square[i, j] = square[j, i] = value
    Lam = np.zeros_like(square)
    for block, target in zip(template.blocks(square), template.blocks(Lam), strict=True):
        target[:] = semidefinite_cholesky(block, tolerance=1e-14)
    return Lam[template.rows, template.cols], sigma


def _about(rows: pd.DataFrame, kinds: set[str]) -> bool:
    return bool(rows["table"].map(kind_of).isin(kinds).any())


def _with_cov(fit: LmerResults, cov: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Return what depends on the covariance of the fixed effects, from `cov`."""
    se = pd.Series(np.sqrt(np.diag(cov)), cov.index)
    return {
        "coef": pd.DataFrame({"std_error": se, "statistic": fit.params / se}),
        "vcov": cov,
        "confint_wald": wald_limits(fit.params, se),
    }
