"""Why two answers differ: the first experiment that removes a difference names its cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from rparity.compare import Verdict, parts_of
from rparity.diagnosis.experiments.arithmetic import (
    conditioning,
    inverted_variances,
    normal_equations,
    other_units,
    subtracted_from_one,
    unstable_arithmetic,
)
from rparity.diagnosis.experiments.base import Dispute, Experiment, Trial
from rparity.diagnosis.experiments.bootstraps import monte_carlo, noise_scaled_by_weights
from rparity.diagnosis.experiments.definitions import (
    count_of_parameters,
    other_contrasts,
    other_r_squared,
)
from rparity.diagnosis.experiments.figures import (
    decimals_as_written,
    optimizer_of_the_time,
    rounding_of_the_figure,
    tight_controls,
)
from rparity.diagnosis.experiments.fixed_effects import (
    VARIATIONS,
    other_tests,
    residual_df,
    rounded_quantile,
)
from rparity.diagnosis.experiments.parameters import (
    adjusted_sigma,
    joint_hessian,
    likelihood_without_weights,
    ml_for_reml,
    standard_deviations,
    stopped_early,
)
from rparity.diagnosis.experiments.profiles import profile_missed
from rparity.diagnosis.experiments.settings import other_setting
from rparity.diagnosis.experiments.versions import lme4_changed
from rparity.diagnosis.ledger import Entry
from rparity.lmm.lme4 import CHANGES

# The simplest explanations come first. `conditioning` comes before the experiments on formulas:
# within the effect of the data's last bits, any formula may happen to be the nearest.
EXPERIMENTS: tuple[Experiment, ...] = (
    other_setting,
    rounding_of_the_figure,
    tight_controls,
    optimizer_of_the_time,
    decimals_as_written,
    count_of_parameters,
    other_r_squared,
    subtracted_from_one,
    stopped_early,
    conditioning,
    rounded_quantile,
    joint_hessian,
    adjusted_sigma,
    ml_for_reml,
    standard_deviations,
    likelihood_without_weights,
    *(partial(other_tests, variation) for variation in VARIATIONS),
    residual_df,
    other_contrasts,
    *(partial(lme4_changed, change) for change in CHANGES),
    monte_carlo,
    noise_scaled_by_weights,
    profile_missed,
    unstable_arithmetic,
    inverted_variances,
    other_units,
    normal_equations,
)


@dataclass(frozen=True)
class Finding:
    """The differences in one part of a case that have the same cause, or have none.

    `rows` are their index in the comparisons. `trials` are all the experiments that applied, in
    order. `entry` is the ledger's entry, if the ledger knows the discrepancy.
    """

    case: str
    engine: str
    reference: str
    part: str
    rows: pd.Index[int]
    cause: str
    trials: tuple[Trial, ...]
    entry: Entry | None = None

    def moved(self, by: int) -> Finding:
        """Return the finding after `by` was added to the index of the comparisons."""
        trials = tuple(
            replace(
                trial,
                digits=trial.digits.set_axis(trial.digits.index + by),
                vanished=trial.vanished.set_axis(trial.vanished.index + by),
            )
            for trial in self.trials
        )
        return replace(self, rows=self.rows + by, trials=trials)

    def split(self, trial: Trial) -> list[Finding]:
        """Add an experiment: return what it explains, and what still has no cause."""
        trials = (*self.trials, trial)
        gone = trial.vanished.to_numpy()
        parts = ((self.rows[gone], trial.cause), (self.rows[~gone], ""))
        return [
            replace(self, rows=rows, cause=cause, trials=trials)
            for rows, cause in parts
            if len(rows)
        ]

    @property
    def decisive(self) -> Trial | None:
        """The experiment that named the cause."""
        for trial in self.trials:
            if trial.vanished.reindex(self.rows, fill_value=False).all():
                return trial
        return None


def explain(
    dispute: Dispute,
    comparisons: pd.DataFrame,
    experiments: Sequence[Experiment] = EXPERIMENTS,
    *,
    thorough: bool = False,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Find the cause of every difference between two answers.

    Parameters
    ----------
    dispute : Dispute
        The two answers.
    comparisons : DataFrame
        Their comparisons, as `rparity.compare.compare` makes them. A cause that is already in the
        column `cause` stays.
    experiments : sequence of Experiment
        What is tried, in this order. The first experiment that removes a difference names its
        cause.
    thorough : bool
        Run all the experiments, also after every difference of a part has a cause.

    Returns
    -------
    DataFrame, list of Finding
        The comparisons with the column `cause`, "" where nothing explains the difference or
        nothing differs; and a finding for each part and cause.
    """
    rows = comparisons.assign(cause=comparisons.get("cause", ""))
    differing = rows[rows["verdict"] == Verdict.UNEXPLAINED]
    findings = []
    for part, mine in differing.groupby(parts_of(differing["table"]), sort=False):
        causes = mine["cause"].to_numpy(dtype=object, copy=True)
        trials = []
        for experiment in experiments:
            if (causes != "").all() and not thorough:
                break
            trial = experiment(dispute, str(part), mine)
            if trial is not None:
                trials.append(trial)
                causes[trial.vanished.to_numpy() & (causes == "")] = str(trial.cause)
        rows.loc[mine.index, "cause"] = causes
        findings += [
            Finding(
                dispute.context.case.name,
                dispute.engine,
                dispute.reference,
                str(part),
                mine.index[causes == cause],
                str(cause),
                tuple(trials),
            )
            for cause in dict.fromkeys(causes)
        ]
    return rows, findings


def with_entries(findings: Sequence[Finding], known: dict[int, Entry]) -> list[Finding]:
    """Return the findings with their ledger entries; `known` has the entry of each row."""
    return [
        replace(finding, entry=next((known[row] for row in finding.rows if row in known), None))
        for finding in findings
    ]


def name_causes(rows: pd.DataFrame, findings: Sequence[Finding]) -> None:
    """Write the causes of findings into the column `cause` of their comparisons."""
    for finding in findings:
        rows.loc[finding.rows, "cause"] = finding.cause
