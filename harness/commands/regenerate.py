"""`rparity regenerate`: answers made anew, or compared with the recordings."""

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

# R itself, which answers each case with the case's own script.
R = "R"


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "regenerate", help="run R and the arbiter and write their answers as recordings"
    )
    parser.set_defaults(action=run)
    add_cases(parser)
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="whose answers, instead of all: R (what cases are compared with), and what the audit "
        "keeps of lme4, lme4-tight, nlme, lm, exact; may be given several times",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; report how today's answers differ"
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Ask the engines about the cases, and write or compare."""
    from harness import keep
    from harness.audit.questions import has_data
    from harness.engines.base import KEPT_ENGINES
    from harness.regenerate import drift, regenerate
    from harness.report import terminal

    status, out = AGREE, terminal.console()
    cases = chosen_cases(options.cases)
    names = options.engine or [R, *KEPT_ENGINES]
    engines = {name: None if name == R else keep.witness(name) for name in names}
    for case in cases:
        asked = {n: engine for n, engine in engines.items() if engine is None or has_data(case)}
        if not asked:
            out.print(f"{case.name}: has no models to ask {', '.join(engines)} about")
        for name, engine in asked.items():
            with progress(case.name) as tell:
                if options.check:
                    report = drift(case, case.fixtures(options.fixtures), tell, engine)
                else:
                    written = regenerate(case, case.fixtures(options.fixtures), tell, engine)
            if options.check:
                terminal.show_drift(report, out)
                status = max(status, DISCREPANCY if report.failed else AGREE)
            else:
                out.print(f"{case.name}: {name}'s answer is in {written.folder}")
    return status
