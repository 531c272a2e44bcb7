"""A campaign as text and as JSON."""

from __future__ import annotations

from typing import TextIO

from rparity.fuzz.campaign import Campaign
from rparity.fuzz.judge import FuzzVerdict
from rparity.report.machine import as_json as rows_as_json

COLUMNS = (
    "number",
    "engine",
    "verdict",
    "causes",
    "digits",
    "open",
    "says",
    "rows",
    "formula",
    "r_seconds",
    "seconds",
    "script",
)


def as_json(campaign: Campaign) -> str:
    """Return a list of objects, one for each design and engine."""
    return rows_as_json(campaign.designs, COLUMNS)


def no_answers(campaign: Campaign) -> str:
    """Say how many designs have no answer, why the first has none, and what to do."""
    crashed = campaign.crashed
    first = crashed.iloc[0]
    number, numbers = first["number"], crashed["number"].nunique()
    why = str(first["says"]).removeprefix(f"Design {number} of seed {campaign.seed}: ").rstrip(".")
    designs = "1 design has" if numbers == 1 else f"{numbers:,} designs have"
    return (
        f"{designs} no answer. Design {number} ({first['engine']}): {why}. The same command tries "
        "them again; --allow-problems ends with 0 or 1 nevertheless."
    )


def show(campaign: Campaign, out: TextIO) -> None:
    """Print counts by verdict and by cause, the rate, and unexplained designs."""
    from rich.table import Table

    from rparity.report.terminal import console

    to = console(out)
    table = Table(box=None, title=f"designs of seed {campaign.seed}", title_justify="left")
    table.add_column("engine")
    for verdict in FuzzVerdict:
        table.add_column(verdict.value, justify="right")
    for engine, counts in campaign.verdicts.items():
        table.add_row(engine, *(f"{counts[verdict]:,}" for verdict in FuzzVerdict))
    to.print(table)
    to.print()
    causes = Table(box=None)
    causes.add_column("engine")
    causes.add_column("cause")
    causes.add_column("designs", justify="right")
    for engine, found in campaign.causes.items():
        for cause, number in found.most_common():
            causes.add_row(engine, cause, f"{number:,}")
    if causes.row_count:
        to.print(causes)
        to.print()
    if campaign.judged:
        rate = campaign.judged / campaign.seconds
        to.print(
            f"{campaign.judged:,} designs in {campaign.seconds:.0f} s, {rate:.3g} a second; "
            f"{100 * campaign.r_share:.0f} % of the time went to R."
        )
    to.print(f"All results: {campaign.store}", soft_wrap=True)
    for row in campaign.unexplained.to_dict("records"):
        text = (
            f"\nDesign {row['number']} ({row['engine']}, {row['rows']} rows) is unexplained in "
            f"{row['open']}:\n  {row['formula']}\n  {row['says']}"
        )
        if row["script"]:
            text += f"\n  {row['script']}.R, {row['script']}.py"
        to.print(text, soft_wrap=True)
