"""`rparity list`: the cases and the state of their recordings."""

from __future__ import annotations

import argparse

from harness.commands import AGREE, Commands, add_fixtures
from harness.errors import RecordingError


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser("list", help="list the cases and the state of their recordings")
    parser.set_defaults(action=run)
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """List the cases."""
    from harness.cases import cases
    from harness.report import terminal

    rows = []
    for case in cases().values():
        try:
            provenance = case.recording(case.fixtures(options.fixtures)).provenance
            versions = provenance["made_by"]["packages"]
            state = f"recorded {provenance['time'][:10]}, R {versions['R']}"
        except RecordingError as error:
            state = str(error)
        rows.append((case, state))
    terminal.show_cases(rows, terminal.console())
    return AGREE
