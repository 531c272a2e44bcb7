"""`rparity fuzz`: random designs against R, and the cause of every difference."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rparity.commands import (
    AGREE,
    DISCREPANCY,
    UNUSABLE,
    Commands,
    Renamed,
    add_allow_problems,
    add_format,
    add_workers,
    progress,
)


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
        dest="engines",
        action="append",
        default=[],
        metavar="NAME",
        help="an engine to ask beside rparity, such as statsmodels, mixedlm, lme4-tight or nlme; "
        "may be given several times",
    )
    parser.add_argument(
        "--engines", action=Renamed, to="--engine NAME, which may be given several times"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help=f"seconds that R may take for a model {shown}",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="where the store and the scripts are (default: fuzz-S); a campaign that was "
        "interrupted goes on there, and what crashed is tried again",
    )
    parser.add_argument("-o", "--output", action=Renamed, to="--store DIR")
    add_workers(parser)
    add_allow_problems(parser)
    add_format(parser)


def run(options: argparse.Namespace) -> int:
    """Judge the designs and report what was found."""
    from rparity.fuzz.campaign import run_fuzz
    from rparity.fuzz.report import as_json, no_answers, show

    with progress("fuzz") as tell, _interruptions() as heed:

        def told(progress: object) -> None:
            heed()
            tell(str(progress))

        campaign = run_fuzz(
            options.store or Path(f"fuzz-{options.seed}"),
            n=options.n,
            seed=options.seed,
            engines=options.engines,
            workers=options.workers,
            only=options.only,
            limit=options.timeout,
            on_progress=told,
        )
    if options.format == "json":
        print(as_json(campaign))
    else:
        show(campaign, sys.stdout)
    if len(campaign.crashed) and not options.allow_problems:
        print(f"rparity: {no_answers(campaign)}", file=sys.stderr)
        return UNUSABLE
    return DISCREPANCY if len(campaign.unexplained) else AGREE


@contextmanager
def _interruptions() -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt where one was swallowed.

    What interrupts a callback, as Hypothesis has one in the garbage collection, is only printed.
    """
    caught = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        caught.set()
        raise KeyboardInterrupt

    def heed() -> None:
        if caught.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield heed
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)
