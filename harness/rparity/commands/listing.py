"""`rparity list`: the cases and the state of their recordings."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE, add_fixtures
from rparity.errors import RecordingError

HELP = "list the cases and the state of their recordings"
ABOUT = (
    "List the cases that `rparity run` and `rparity audit` know, with the versions of R that "
    "recorded them."
)
STATUS = (
    "0 if the list is printed, also where a recording is missing; 2 for an error of usage or "
    "environment."
)
EXAMPLE = "rparity list"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """List the cases."""
    from rparity.cases import cases
    from rparity.r.version import RVersion
    from rparity.recordings import versions
    from rparity.report import terminal

    rows = []
    for case in cases().values():
        try:
            folder = case.fixtures(options.fixtures)
            day = case.verified(folder).provenance["time"][:10]
            known = map(RVersion.parse, versions(folder, case.name))
            state = f"recorded of {'; '.join(map(str, filter(None, known)))}; the newest {day}"
        except RecordingError as error:
            state = str(error)
        rows.append((case, state))
    terminal.show_cases(rows, terminal.console())
    return AGREE
