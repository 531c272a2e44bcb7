"""`rparity doctor`: check the set-up and the recordings, and name a remedy for each problem."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE, UNUSABLE, add_fixtures

HELP = "check the set-up and the recordings, and name a remedy for each problem"
ABOUT = (
    "Check Python, R, their packages and every recording. For each problem a command is "
    "printed that solves it."
)
STATUS = "0 if nothing is wrong; 2 if a recording is faulty, or if R is required and cannot be run."
EXAMPLE = "rparity doctor --require-r"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--require-r", action="store_true", help="fail if R cannot be run")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print only what is missing or wrong"
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Run the checks and print them."""
    from rparity.doctor import examine
    from rparity.report import terminal

    checks = examine(options.fixtures, require_r=options.require_r)
    shown = [check for check in checks if check.remedy or not check.ok or not options.quiet]
    terminal.show_doctor(shown, terminal.console())
    return AGREE if all(check.ok for check in checks) else UNUSABLE
