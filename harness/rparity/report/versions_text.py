"""Several versions of R as text: recordings side by side, and today's answers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from rich.console import Console
from rich.text import Text

from rparity.cases.base import Case
from rparity.compare import SEVERITY, Verdict
from rparity.diagnosis.between_rs import Difference, VersionAnswer
from rparity.regenerate import Drift
from rparity.report.numbers import counted, fewest, number
from rparity.report.run_text import figures, show_changes, show_failures
from rparity.report.terminal import (
    QUIET,
    marked,
    numbers_of,
    plain_table,
    show_verdicts,
    styled,
)


def show_versions(
    found: Mapping[str, Sequence[Difference]], out: Console, verbosity: int = 0
) -> None:
    """Print how each recorded R agrees with the next older one on each case, and why it differs.

    `found` has the differences of each case, from the oldest R to the newest.
    """
    every = [difference for differences in found.values() for difference in differences]
    known = dict.fromkeys(str(side) for each in every for side in (each.older, each.newer))
    out.print(f"Fewest digits in which each R agrees with the next older one: {'; '.join(known)}\n")
    steps = dict.fromkeys(_step(difference) for difference in every)
    shown = plain_table("case", *(f"~{step}" for step in steps))
    for case, differences in found.items():
        cells = {_step(each): _version_cell(each) for each in differences}
        shown.add_row(case, *(cells.get(step, "not recorded") for step in steps))
    out.print(shown)
    for difference in every:
        show_changes(difference, out, verbosity)
    if verbosity > QUIET:
        show_verdicts(pd.concat([difference.comparisons for difference in every]), out)


def show_side_by_side(case: Case, answers: Sequence[VersionAnswer], out: Console) -> None:
    """Print the published figures of a case, if it has any, beside the values of each R."""
    if case.published is None:
        return
    out.print(f"{case.name}, as published: {case.published.source}")
    heads = (f">{answer.version}".replace(", ", "\n") for answer in answers)
    shown = plain_table("", ">published", *heads)
    for section, (table, row, column), label, text in figures(case.published):
        if section:
            shown.add_row(marked((section, "bold")))
        values = (float(answer.tables[table][column][row]) for answer in answers)
        shown.add_row(f"  {label}", text, *map(number, values))
    out.print(shown)
    out.print()


def _step(difference: Difference) -> str:
    return f"R {difference.older.r} → {difference.newer.r}"


def _version_cell(difference: Difference) -> Text:
    rows = difference.comparisons
    if rows.empty:
        return marked("nothing to compare")
    worst = max((Verdict(v) for v in rows["verdict"].unique()), key=SEVERITY.index)
    causes = [cause for cause in rows["cause"].unique() if cause]
    return marked(f"{fewest(rows):.1f}  ", styled(worst), f"  {', '.join(causes)}")


def show_drift(report: Drift, out: Console, verbosity: int = 0) -> None:
    """Print how today's answer differs from the recording, table by table."""
    packages = sorted(report.recorded.keys() | report.today.keys())
    changed = [
        f"{name} {report.recorded.get(name, 'absent')} → {report.today.get(name, 'absent')}"
        for name in packages
        if report.recorded.get(name) != report.today.get(name)
    ]
    versions = ", ".join(f"{name} {v}" for name, v in report.today.items())
    who = report.engine
    out.print(marked((report.case.name, "bold"), f"  today's {who} against the recording"))
    out.print(f"both sides: {versions}" if not changed else f"changed: {'; '.join(changed)}")
    if report.comparisons.empty:
        out.print("no tables on either side: it has no counterpart to the case's models")
        return
    table = plain_table("table", ">values", ">fewest digits", "~verdicts")
    for name, rows in report.comparisons.groupby("table", sort=False):
        digits = f"{fewest(rows):.1f}"
        table.add_row(str(name), str(len(rows)), digits, numbers_of(counted(rows)))
    out.print(table)
    if report.difference is not None:
        show_changes(report.difference, out, verbosity)
        return
    known = report.comparisons[report.comparisons["verdict"] == Verdict.KNOWN]
    for cause, rows in known.groupby("cause", sort=False):
        counted_values = f"{len(rows)} values, fewest digits {fewest(rows):.1f}"
        out.print(marked(("known", "yellow"), f"  {cause}: {counted_values}"))
    show_failures(report.comparisons, out, verbosity)
