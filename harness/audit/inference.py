"""Causes that follow from other comparisons: with other settings, or of what a value is made of."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.audit.questions import CENTRED
from harness.cases.base import Boot
from harness.compare import Verdict
from harness.diagnose import Finding
from harness.experiments.base import PLACE, Asked, Trial

RATIOS = ("statistic", "p_value")


def cancelled(findings: Sequence[Finding], rows: pd.DataFrame) -> list[Finding]:
    """Explain what agrees, or has a cause, once the engine is given the response centred."""
    return _elsewhere(
        [finding for finding in findings if not finding.part.endswith(CENTRED)],
        rows,
        rows.assign(table=rows["table"].str.replace(f"{CENTRED}.", ".", n=1, regex=False))[
            rows["table"].str.partition(".")[0].str.endswith(CENTRED)
        ],
        "the response less its first value",
        "cancellation",
        "given the response less its first value, a difference without rounding, it has the "
        "answer: the leading digits that all responses share cost it the others",
    )


def settled(rows: pd.DataFrame, findings: Sequence[Finding], tight: pd.DataFrame) -> list[Finding]:
    """Explain what agrees, or has a cause, once the same engine is run with tight settings."""
    return _elsewhere(
        findings,
        rows,
        tight,
        "the same engine with tight settings",
        "default settings",
        "with tight settings the same engine has the answer: what its defaults approximate is off",
    )


def _elsewhere(
    findings: Sequence[Finding],
    rows: pd.DataFrame,
    others: pd.DataFrame,
    experiment: str,
    cause: str,
    says: str,
) -> list[Finding]:
    """Explain what agrees, or has a cause, in comparisons made elsewhere of the same values."""
    if others.empty or all(finding.cause for finding in findings):
        return list(findings)
    at = others.set_index(list(PLACE))
    at = at[~at.index.duplicated()]
    out: list[Finding] = []
    for finding in findings:
        if finding.cause:
            out.append(finding)
            continue
        places = pd.MultiIndex.from_frame(rows.loc[finding.rows, list(PLACE)])
        there = at.reindex(places).set_axis(finding.rows)
        agrees = [isinstance(v, str) and not Verdict(v).fails for v in there["verdict"]]
        named = there["cause"].fillna("").astype(str) != ""
        gone = pd.Series(agrees, finding.rows, dtype=bool) | named
        trial = Trial(experiment, cause, says, there["digits"].fillna(0.0).astype(float), gone)
        out += finding.split(trial)
    return out


def _sources(asked: Asked, table: str, row: str, column: str) -> list[tuple[str, str, str]]:
    """Return the values that a value is made of: a ratio's parts, a bootstrap's estimate."""
    if column in RATIOS:
        return [(table, row, "std_error"), (table, row, "estimate")]
    part = asked.parts.get(table.partition(".")[0])
    if isinstance(part, Boot) and column == "estimate":
        return [(f"{part.of}.coef", row, "estimate")]
    return []


def derived(asked: Asked, findings: Sequence[Finding], rows: pd.DataFrame) -> list[Finding]:
    """Let what is made of others have their cause: t is estimate over standard error."""
    at = {
        (table, row, column): (Verdict(verdict).fails and not cause, cause)
        for table, row, column, verdict, cause in zip(
            *(rows[name] for name in (*PLACE, "verdict", "cause")), strict=True
        )
    }
    out: list[Finding] = []
    for finding in findings:
        if finding.cause:
            out.append(finding)
            continue
        causes: dict[object, str] = {}
        for place, (table, row, column) in rows.loc[finding.rows, list(PLACE)].iterrows():
            made_of = [at.get(source, (True, "")) for source in _sources(asked, table, row, column)]
            named = next((cause for _, cause in made_of if cause), "")
            if named and not any(open_ for open_, _ in made_of):
                causes[place] = named
        left = [finding]
        for cause in dict.fromkeys(causes.values()):
            open_ = left.pop()
            trial = Trial(
                "what it is made of",
                cause,
                "made of other values, which differ for this cause",
                rows.loc[open_.rows, "digits"],
                pd.Series([causes.get(place) == cause for place in open_.rows], open_.rows),
            )
            left += open_.split(trial)
        out += left
    return out
