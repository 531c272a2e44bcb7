"""Why two answers differ: experiments are run, and the one that ends the difference names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from rparity.compare import Verdict
from rparity.diagnosis.experiments.arithmetic import (
    conditioning,
    inverted_variances,
    other_units,
    subtracted_from_one,
    unstable_arithmetic,
)
from rparity.diagnosis.experiments.base import Dispute, Experiment, Trial
from rparity.diagnosis.experiments.bootstraps import (
    monte_carlo,
    noise_scaled_by_weights,
)
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
from rparity.diagnosis.experiments.parameters import (
    adjusted_sigma,
    joint_hessian,
    ml_for_reml,
    standard_deviations,
    stopped_early,
)
from rparity.diagnosis.experiments.profiles import profile_missed
from rparity.diagnosis.experiments.versions import lme4_changed
from rparity.diagnosis.ledger import Entry
from rparity.lmm.lme4 import CHANGES

# From the plainest explanation to the last resort: the first that ends a difference names it. What
# the last bits of the data do comes before the formulas: within it, any of them may be the nearer.
EXPERIMENTS: tuple[Experiment, ...] = (
    rounding_of_the_figure,
    tight_controls,
    optimizer_of_the_time,
    decimals_as_written,
    count_of_parameters,
    other_r_squared,
    subtracted_from_one,
    stopped_early,
    conditioning,
    joint_hessian,
    adjusted_sigma,
    ml_for_reml,
    standard_deviations,
    other_contrasts,
    *(partial(lme4_changed, change) for change in CHANGES),
    monte_carlo,
    noise_scaled_by_weights,
    profile_missed,
    unstable_arithmetic,
    inverted_variances,
    other_units,
)


@dataclass(frozen=True)
class Finding:
    """What became of the disagreements of one part that have one cause, or none.

    `rows` are their places in the comparisons; `trials` all the experiments that had a place, in
    order; `entry` is the ledger's, where it knows the discrepancy.
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
        """Return the finding for comparisons that were renumbered."""
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
        """Return what one more experiment explains, and what stays without a cause."""
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


def diagnose(
    dispute: Dispute, comparisons: pd.DataFrame, *, thorough: bool = False
) -> list[Finding]:
    """Find the cause of every difference between two answers.

    `comparisons` are those of this dispute. Each part that has unexplained differences goes
    through the experiments until all of them have a cause; with `thorough`, through all.
    """
    open_ = comparisons[comparisons["verdict"] == Verdict.UNEXPLAINED]
    parts = open_["table"].map(lambda table: table.partition(".")[0])
    findings = []
    for part in parts.unique():
        findings += _of_part(dispute, part, open_[parts == part], thorough=thorough)
    return findings


def _of_part(dispute: Dispute, part: str, rows: pd.DataFrame, *, thorough: bool) -> list[Finding]:
    causes = pd.Series("", rows.index)
    trials = []
    for experiment in EXPERIMENTS:
        if (causes != "").all() and not thorough:
            break
        trial = experiment(dispute, part, rows)
        if trial is None:
            continue
        trials.append(trial)
        causes[trial.vanished & (causes == "")] = trial.cause
    return [
        Finding(
            dispute.asked.case.name,
            dispute.engine,
            dispute.reference,
            part,
            causes.index[causes == cause],
            str(cause),
            tuple(trials),
        )
        for cause in causes.unique()
    ]


def with_entries(findings: Sequence[Finding], known: dict[int, Entry]) -> list[Finding]:
    """Return the findings with the ledger's entries, by the rows that these know."""
    return [
        replace(finding, entry=next((known[row] for row in finding.rows if row in known), None))
        for finding in findings
    ]
