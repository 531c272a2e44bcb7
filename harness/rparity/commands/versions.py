"""`rparity versions`: how the recordings of several versions of R differ, and why."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TextIO

from rparity import commands
from rparity.commands import AGREE, DISCREPANCY
from rparity.commands.reports import TEXT, add_reports, require_reports, write_reports
from rparity.errors import UsageError

HELP = "compare the recordings of several versions of R, and find why they differ"
ABOUT = (
    "Compare the recordings of each R with those of the next older one, and find why they "
    "differ, such as a change in lme4. R is not needed."
)
STATUS = (
    "0 if every difference has a cause; 1 if one has none; 2 for an error of usage or environment."
)
EXAMPLE = "rparity versions document"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands.add_cases(parser)
    add_reports(parser)
    commands.add_verbosity(parser)
    commands.add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Compare the recordings of each R with those of the next older one."""
    from rparity.diagnosis.between_rs import neighbours, recorded
    from rparity.report import results, terminal, versions_text

    require_reports(options)
    found, chosen = {}, commands.chosen_cases(options.cases)
    for case in chosen:
        with commands.progress(case.name):
            answers = recorded(case, case.fixtures(options.fixtures))
            found[case.name] = list(neighbours(case, answers))
    differences = [difference for each in found.values() for difference in each]
    if not differences:
        raise UsageError(
            "There is nothing to compare: no case has recordings of two versions of R. Run "
            "`rparity regenerate` under another R."
        )

    def text(out: TextIO) -> None:
        to = terminal.console(out)
        if len(chosen) == 1 and options.verbosity >= 0:
            versions_text.show_side_by_side(chosen[0], answers, to)
        versions_text.show_versions(found, to, options.verbosity)

    write_reports(options, partial(results.of_versions, differences), {TEXT: text})
    return DISCREPANCY if any(each.failed for each in differences) else AGREE
