"""`rparity doctor`: what is there, what is missing, what mends it."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE, UNUSABLE, Commands, add_fixtures


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "doctor", help="tell what is there, what is missing, what mends it"
    )
    parser.set_defaults(action=run)
    parser.add_argument(
        "--require-r", action="store_true", help="fail where R cannot be run, instead of telling"
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Examine the machine."""
    from rparity.doctor import examine
    from rparity.report import terminal

    report = examine(options.fixtures, require_r=options.require_r)
    terminal.show_doctor(report, terminal.console())
    return UNUSABLE if any(not check.ok for check in report) else AGREE
