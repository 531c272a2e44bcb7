"""`rparity versions`: which R says what, and why Rs differ."""

from __future__ import annotations

import argparse

from rparity.commands import (
    AGREE,
    DISCREPANCY,
    Commands,
    add_cases,
    add_fixtures,
    add_format,
    chosen_cases,
    progress,
)
from rparity.errors import UsageError


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "versions", help="compare the recordings of several Rs, and find why they differ"
    )
    parser.set_defaults(action=run)
    add_cases(parser)
    add_format(parser)
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Compare the recordings of each R with those of the next older one."""
    import pandas as pd

    from rparity.compare import COLUMNS
    from rparity.diagnosis.between_rs import neighbours, recorded
    from rparity.report import machine, terminal

    found, chosen = {}, chosen_cases(options.cases)
    for case in chosen:
        with progress(case.name):
            answers = recorded(case, case.fixtures(options.fixtures))
            found[case.name] = list(neighbours(case, answers))
    differences = [difference for each in found.values() for difference in each]
    if not differences:
        raise UsageError(
            "There is nothing to compare: no case is recorded of two Rs. Run `rparity regenerate` "
            "under another R."
        )
    if options.format == "json":
        rows = pd.concat([difference.comparisons for difference in differences])
        print(machine.as_json(rows, (*COLUMNS, "cause")))
    else:
        out = terminal.console()
        if len(chosen) == 1:
            terminal.show_side_by_side(chosen[0], answers, out)
        terminal.show_versions(found, out)
    return DISCREPANCY if any(each.failed for each in differences) else AGREE
