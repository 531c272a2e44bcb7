"""`rparity regenerate`: R's answers made anew, or compared with the recordings."""

from __future__ import annotations

import argparse

from harness.commands import (
    AGREE,
    DISCREPANCY,
    Commands,
    add_cases,
    add_fixtures,
    chosen_cases,
    progress,
)


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser("regenerate", help="run R and write its answers as recordings")
    parser.set_defaults(action=run)
    add_cases(parser)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; report how today's R differs"
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Run R for the cases, and write or compare."""
    from harness.regenerate import drift, regenerate
    from harness.report import terminal

    status, out = AGREE, terminal.console()
    for case in chosen_cases(options.cases):
        with progress(case.name) as tell:
            if options.check:
                report = drift(case, options.fixtures, tell)
            else:
                regenerate(case, options.fixtures, tell)
        if options.check:
            terminal.show_drift(report, out)
            status = max(status, DISCREPANCY if report.failed else AGREE)
        else:
            out.print(f"{case.name}: R's answer is in {options.fixtures / case.name}")
    return status
