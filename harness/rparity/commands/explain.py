"""`rparity explain`: one disagreement as an argument that can be cited."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE, DISCREPANCY, add_fixtures, progress

HELP = "explain one disagreement, with the values, the experiments and the sources"
ABOUT = (
    "Show one disagreement in full: the values of both sides and of the arbiter, each "
    "experiment with the digits before and after, the cause, and the versions that answered. "
    "The text can be cited."
)
STATUS = (
    "0 if the difference is known or there is none; 1 if it fails; 2 for an error of usage or "
    "environment."
)
EXAMPLE = "rparity explain document statsmodels lmer.coef"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("case", metavar="CASE", help="a case")
    parser.add_argument("engine", metavar="ENGINE", help="an engine of the audit")
    parser.add_argument(
        "table",
        metavar="TABLE",
        nargs="?",
        help="a table, such as lmer.coef (default: the worst value of each cause)",
    )
    parser.add_argument(
        "row", metavar="ROW", nargs="?", help="a row of the table, such as (Intercept)"
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    from rparity.audit.explanation import explanation
    from rparity.cases import case
    from rparity.report import argument
    from rparity.text import visible

    chosen = case(options.case)
    with progress(chosen.name) as show:
        found = explanation(
            chosen,
            options.engine,
            options.table,
            options.row,
            fixtures=chosen.fixtures(options.fixtures),
            on_progress=show,
        )
    print(visible(argument.as_text(found)))
    return DISCREPANCY if found.failed else AGREE
