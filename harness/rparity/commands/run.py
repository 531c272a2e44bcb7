"""`rparity run`: Python against R's recording, or against R itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rparity import commands
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.commands.reports import TEXT, add_reports, require_reports, write_reports

if TYPE_CHECKING:
    from rparity.cases.base import Case
    from rparity.report.results import CommandResults
    from rparity.run import CaseRun

HELP = "compare Python with R's recording, or with R itself"
ABOUT = (
    "Compare the answers of Python's engines to a case with R's recorded answers, value by "
    "value, count the digits in which they agree, and find the cause of each difference. R is "
    "not needed."
)
STATUS = commands.STATUS
EXAMPLE = "rparity run document"
# The value of --against that stands for every recorded version.
ALL = "all"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands.add_cases(parser)
    commands.add_against(parser, ALL)
    parser.add_argument("--live", action="store_true", help="run R now instead of its recording")
    parser.add_argument(
        "--nsim", type=int, metavar="N", help="the number of replicates of each bootstrap"
    )
    add_reports(parser)
    commands.add_verbosity(parser)
    commands.add_engine(
        parser,
        "an engine to ask, instead of the case's own choice: rparity, statsmodels or exact",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="also draw the figure of the case document"
    )
    commands.add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Run the cases and print the results."""
    from rparity.run import run_case

    require_reports(options)
    chosen = commands.chosen_cases(options.cases)
    if options.plot is not None:
        from rparity.report import document_figure

        document_figure.require(options.plot, [case.name for case in chosen])
    commands.require_one_reference(options)
    runs = []
    work = [(case, version) for case in chosen for version in _versions(case, options)]
    for case, version in work:
        with commands.progress(case.name) as show:
            runs.append(
                run_case(
                    case,
                    fixtures=case.fixtures(options.fixtures),
                    live=options.live,
                    version=version,
                    nsim=options.nsim,
                    engines=options.engine,
                    on_progress=show,
                )
            )
    texts = {TEXT: partial(_text, runs, options.verbosity)}
    write_reports(options, partial(_results, runs), texts)
    if options.plot is not None:
        drawn = next(run for run in runs if run.case.name == "document")
        document_figure.draw(drawn, options.plot)
    idle = _idle(runs, options.engine)
    if idle:
        print(
            f"rparity: Nothing of {idle} was compared: name engines that can answer these cases.",
            file=sys.stderr,
        )
        return UNUSABLE
    return DISCREPANCY if any(run.failed for run in runs) else AGREE


def _results(runs: Sequence[CaseRun]) -> CommandResults:
    from rparity.report import results

    return results.of_runs(runs)


def _text(runs: Sequence[CaseRun], verbosity: int, out: TextIO) -> None:
    from rparity.report import run_text, terminal

    to = terminal.console(out)
    for i, found in enumerate(runs):
        if i:
            to.print()
        run_text.show_run(found, to, verbosity)


def _idle(runs: Sequence[CaseRun], named: Sequence[str] | None) -> str:
    """Return the engines of which nothing was compared, if they were named or are all there are."""
    compared = {name for run in runs for name in run.comparisons["engine"].unique()}
    asked = dict.fromkeys(named or [name for run in runs for name in run.answers])
    idle = [name for name in asked if name not in compared]
    return ", ".join(idle) if named or len(idle) == len(asked) else ""


def _versions(case: Case, options: argparse.Namespace) -> Sequence[str | None]:
    """Return the versions whose recordings are compared. `None` is the newest."""
    if options.against is None:
        return [None]
    from rparity.recordings import choose, versions

    fixtures = case.fixtures(options.fixtures)
    if options.against == ALL:
        return versions(fixtures, case.name) or [None]
    return [choose(fixtures, case.name, options.against)]
