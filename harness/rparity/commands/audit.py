"""`rparity audit`: every engine on every case, and the cause of each difference."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rparity.commands import (
    AGREE,
    DISCREPANCY,
    UNUSABLE,
    Commands,
    add_against,
    add_allow_problems,
    add_cases,
    add_fixtures,
    add_format,
    chosen_cases,
    progress,
)
from rparity.errors import UsageError, require_seconds

if TYPE_CHECKING:
    from rparity.audit.results import Audit

SECONDS = 180.0


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "audit", help="ask every engine about every case, and find why they differ"
    )
    parser.set_defaults(action=run)
    add_cases(parser)
    add_against(parser)
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="an engine, instead of all; may be given several times",
    )
    parser.add_argument(
        "--live", action="store_true", help="ask R and the arbiter now instead of their recordings"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=SECONDS,
        metavar="S",
        help="seconds that an engine may take for a case (default: %(default)g)",
    )
    add_format(parser, "html")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to, instead of standard output"
    )
    add_allow_problems(parser)
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Conduct the audit and report what was found."""
    _require(options)
    from rparity.audit.questions import has_data
    from rparity.audit.run_audit import run_audit
    from rparity.report.output import writing

    # Of cases without models there is nothing to ask other engines: only who names them gets them.
    asked_for = chosen_cases(options.cases)
    chosen = {case.name: case for case in asked_for if options.cases or has_data(case)}
    with progress("audit") as tell:
        audit = run_audit(
            list(chosen.values()),
            fixtures=options.fixtures,
            engines=list(dict.fromkeys(options.engine or ())),
            live=options.live,
            version=options.against,
            limit=options.timeout,
            processes=os.cpu_count() or 1,
            on_progress=tell,
        )
    if options.output is None:
        _report(audit, options.format, sys.stdout)
    else:
        with writing(options.output) as file, file.open("w", encoding="utf-8") as out:
            _report(audit, options.format, out)
    if audit.unchecked and not (
        audit.problems and options.allow_problems and len(audit.comparisons)
    ):
        print(f"rparity: {audit.unchecked}", file=sys.stderr)
        return UNUSABLE
    return DISCREPANCY if audit.failed else AGREE


def _require(options: argparse.Namespace) -> None:
    """Refuse before the work starts rather than after it."""
    if options.live and options.against is not None:
        raise UsageError("--live asks the R that is here: leave out --against, or --live.")
    require_seconds("--timeout", options.timeout)
    if options.format == "html":
        if find_spec("jinja2") is None:
            raise UsageError('--format html needs jinja2: pip install "rparity[audit]"')
        if options.output is None and sys.stdout.isatty():
            raise UsageError("A page does not belong on a terminal: add -o report.html.")
    if options.output is not None:
        from rparity.report.output import require_folder

        require_folder(options.output)


def _problems(audit: Audit) -> list[dict[str, str]]:
    """Return an object for each question without an answer: a verdict of its own, and why."""
    return [
        {"case": case, "engine": engine, "verdict": "problem", "cause": reason}
        for (engine, case), reason in audit.problems.items()
    ]


def _report(audit: Audit, form: str, out: TextIO) -> None:
    if form == "html":
        from rparity.report import html

        out.write(html.page(audit))
    elif form == "json":
        from rparity.compare import COLUMNS
        from rparity.report.machine import as_json

        print(as_json(audit.comparisons, (*COLUMNS, "cause"), _problems(audit)), file=out)
    else:
        from rparity.report import matrix, terminal

        matrix.show_audit(audit, terminal.console(out))
