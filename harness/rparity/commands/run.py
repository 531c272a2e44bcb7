"""`rparity run`: Python against R's recording, or against R itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rparity.commands import (
    AGREE,
    DISCREPANCY,
    UNUSABLE,
    Commands,
    add_against,
    add_cases,
    add_fixtures,
    add_format,
    chosen_cases,
    progress,
)
from rparity.errors import UsageError

if TYPE_CHECKING:
    from rparity.cases.base import Case
    from rparity.run import CaseRun

# The value of --against that asks for every version there is.
ALL = "all"


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser("run", help="compare Python with R's recording, or with R itself")
    parser.set_defaults(action=run)
    add_cases(parser)
    add_against(parser, ALL)
    parser.add_argument("--live", action="store_true", help="run R now instead of its recording")
    parser.add_argument("--nsim", type=int, metavar="N", help="replicates of each bootstrap")
    add_format(parser)
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="who answers, instead of the case's own choice: rparity, statsmodels, exact; "
        "may be given several times",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the document's figure")
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Run the cases and print what was found."""
    import pandas as pd

    from rparity.report import machine, terminal
    from rparity.run import run_case

    chosen = chosen_cases(options.cases)
    if options.plot is not None:
        from rparity.report import figure

        figure.require(options.plot, [case.name for case in chosen])
    if options.live and options.against is not None:
        raise UsageError("--live asks the R that is here: leave out --against, or --live.")
    runs = []
    work = [(case, version) for case in chosen for version in _versions(case, options)]
    for case, version in work:
        with progress(case.name) as tell:
            runs.append(
                run_case(
                    case,
                    fixtures=case.fixtures(options.fixtures),
                    live=options.live,
                    version=version,
                    nsim=options.nsim,
                    engines=options.engine,
                    on_progress=tell,
                )
            )
    if options.format == "json":
        print(machine.as_json(pd.concat([found.comparisons for found in runs])))
    else:
        out = terminal.console()
        for i, found in enumerate(runs):
            if i:
                out.print()
            terminal.show_run(found, out)
    if options.plot is not None:
        figure.draw(next(run for run in runs if run.case.name == "document"), options.plot)
    idle = _idle(runs, options.engine)
    if idle:
        print(
            f"rparity: Nothing of {idle} was compared: name engines that can answer these cases.",
            file=sys.stderr,
        )
        return UNUSABLE
    return DISCREPANCY if any(run.failed for run in runs) else AGREE


def _idle(runs: Sequence[CaseRun], named: Sequence[str] | None) -> str:
    """Name the engines of which nothing was compared: those asked for by name, or else all."""
    compared = {name for run in runs for name in run.comparisons["engine"].unique()}
    asked = dict.fromkeys(named or [name for run in runs for name in run.answers])
    idle = [name for name in asked if name not in compared]
    return ", ".join(idle) if named or len(idle) == len(asked) else ""


def _versions(case: Case, options: argparse.Namespace) -> Sequence[str | None]:
    """Return the recordings that a case is compared with, by folder; None is the newest."""
    if options.against is None:
        return [None]
    from rparity.recordings import choose, versions

    fixtures = case.fixtures(options.fixtures)
    if options.against == ALL:
        return versions(fixtures, case.name) or [None]
    return [choose(fixtures, case.name, options.against)]
