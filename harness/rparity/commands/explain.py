"""`rparity explain`: one disagreement as an argument that can be cited."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE, DISCREPANCY, Commands, add_fixtures, progress


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser("explain", help="make the argument about one disagreement")
    parser.set_defaults(action=run)
    parser.add_argument("case", metavar="CASE", help="a case")
    parser.add_argument("engine", metavar="ENGINE", help="an engine of the audit")
    parser.add_argument(
        "table",
        metavar="TABLE",
        nargs="?",
        help="a table, as lmer.coef; none: the worst value of each cause",
    )
    parser.add_argument("row", metavar="ROW", nargs="?", help="a row of the table, as (Intercept)")
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    from rparity.audit.explanation import explanation
    from rparity.cases import case
    from rparity.report import argument
    from rparity.text import visible

    chosen = case(options.case)
    with progress(chosen.name) as tell:
        found = explanation(
            chosen,
            options.engine,
            options.table,
            options.row,
            fixtures=chosen.fixtures(options.fixtures),
            on_progress=tell,
        )
    print(visible(argument.as_text(found)))
    return DISCREPANCY if found.failed else AGREE
