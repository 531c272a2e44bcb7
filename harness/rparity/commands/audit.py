"""`rparity audit`: every engine on every case, and the cause of each difference."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from rparity import commands
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.commands.reports import HTML, TEXT, add_reports, require_reports, write_reports
from rparity.errors import UsageError, install, require_seconds

if TYPE_CHECKING:
    from rparity.audit.results import Audit

HELP = "ask every engine about every case, and find the causes of differences"
ABOUT = (
    "Ask every engine about every case, and compare the answers with the best reference: the "
    "arbiter, whose values are proven, or R at tight controls. Experiments find the cause of "
    "each difference. It takes about a minute and needs no R."
)
STATUS = (
    "0 if nothing fails; 1 if a value fails: a difference without a cause, or with one that "
    "the ledger does not know, a missing value, or a stale entry; 2 for an error of usage or "
    "environment, if a question could not be answered, or if nothing was compared."
)
EXAMPLE = "rparity audit norris longley -o audit.html"
SECONDS = 180.0


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands.add_cases(parser)
    commands.add_against(parser)
    commands.add_engine(parser, "an engine to ask, instead of all")
    parser.add_argument(
        "--live", action="store_true", help="ask R and the arbiter now instead of their recordings"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=SECONDS,
        metavar="S",
        help="the time limit for one engine on one case, in seconds (default: %(default)g)",
    )
    add_reports(parser, HTML)
    commands.add_verbosity(parser)
    commands.add_allow_problems(parser)
    commands.add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Run the audit and report the results."""
    _require(options)
    from rparity.audit.questions import has_data
    from rparity.audit.run_audit import run_audit
    from rparity.report import results

    # Without names, leave out the cases without models: other engines cannot answer them.
    asked_for = commands.chosen_cases(options.cases)
    chosen = {case.name: case for case in asked_for if options.cases or has_data(case)}
    with commands.progress("audit") as show:
        audit = run_audit(
            list(chosen.values()),
            fixtures=options.fixtures,
            engines=list(dict.fromkeys(options.engine or ())),
            live=options.live,
            version=options.against,
            limit=options.timeout,
            processes=os.cpu_count() or 1,
            on_progress=show,
        )
    writers = {TEXT: partial(_text, audit, options.verbosity), HTML: partial(_html, audit)}
    write_reports(options, partial(results.of_audit, audit), writers)
    answered = audit.problems and options.allow_problems and len(audit.comparisons)
    if audit.unchecked and not answered:
        print(f"rparity: {audit.unchecked}", file=sys.stderr)
        return UNUSABLE
    return DISCREPANCY if audit.failed else AGREE


def _require(options: argparse.Namespace) -> None:
    """Check the options before the work starts."""
    commands.require_one_reference(options)
    require_seconds("--timeout", options.timeout)
    for form, file in require_reports(options, HTML):
        if form == HTML and find_spec("jinja2") is None:
            raise UsageError(f"An HTML report needs jinja2: {install('audit')}")
        if form == HTML and file is None and sys.stdout.isatty():
            raise UsageError("HTML is of no use on a terminal: add -o report.html.")


def _html(audit: Audit, out: TextIO) -> None:
    from rparity.report import html

    out.write(html.page(audit))


def _text(audit: Audit, verbosity: int, out: TextIO) -> None:
    from rparity.report import matrix, terminal

    matrix.show_audit(audit, terminal.console(out), verbosity)
