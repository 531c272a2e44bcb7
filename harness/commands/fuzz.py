"""`rparity fuzz`: random designs against R, and the cause of every difference."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands import AGREE, DISCREPANCY, Commands, add_workers, progress


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "fuzz", help="random designs of mixed models against R: what differs, and why"
    )
    parser.set_defaults(action=run)
    shown = "(default: %(default)s)"
    parser.add_argument("--n", type=int, default=1000, metavar="N", help=f"designs {shown}")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help=f"seed of the designs {shown}"
    )
    parser.add_argument(
        "--only", type=int, metavar="NUMBER", help="the one design of that number, again"
    )
    parser.add_argument(
        "--engine",
        "--engines",
        dest="engines",
        nargs="+",
        default=[],
        metavar="NAME",
        help="engines to ask beside rparity, such as statsmodels, mixedlm, lme4-tight, nlme",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help=f"seconds that R may take for a model {shown}",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="where the store and the scripts are (default: fuzz-S); a campaign that was "
        "interrupted goes on there",
    )
    add_workers(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Judge the designs and report what was found."""
    from harness.fuzz.campaign import run_fuzz
    from harness.fuzz.report import as_json, show

    with progress("fuzz") as tell:
        campaign = run_fuzz(
            options.output or Path(f"fuzz-{options.seed}"),
            n=options.n,
            seed=options.seed,
            engines=options.engines,
            workers=options.workers,
            only=options.only,
            limit=options.timeout,
            tell=lambda progress: tell(str(progress)),
        )
    if options.format == "json":
        print(as_json(campaign))
    else:
        show(campaign, sys.stdout)
    return DISCREPANCY if len(campaign.unexplained) else AGREE
