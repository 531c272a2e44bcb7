"""`rparity fuzz`: random designs against R, and the cause of each difference."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rparity import commands
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE, OldSpelling

HELP = "compare random designs of mixed models with R, and find the cause of each difference"
ABOUT = (
    "Draw random designs of mixed models, ask R and this package about each, and find the "
    "cause of each difference. A design without a cause is shrunk, and written as a script in "
    "R and one in Python. This needs R."
)
STATUS = (
    "0 if every difference has a cause; 1 if a design is unexplained; 2 for an error of usage "
    "or environment, or if a design has no answer."
)
EXAMPLE = "rparity fuzz --n 100 --seed 2"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    shown = "(default: %(default)s)"
    parser.add_argument(
        "--n", type=int, default=1000, metavar="N", help=f"the number of designs {shown}"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help=f"the seed of the designs {shown}"
    )
    parser.add_argument(
        "--only", type=int, metavar="NUMBER", help="run only the design with this number, again"
    )
    commands.add_engine(
        parser,
        "an engine to ask beside rparity, such as statsmodels, mixedlm, lme4-tight or nlme",
    )
    parser.add_argument(
        "--engines", action=OldSpelling, to="--engine NAME, which may be given several times"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help=f"the time limit for R on one model, in seconds {shown}",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="the folder for the store and the scripts (default: fuzz-S); an interrupted campaign "
        "continues there, and designs that crashed are tried again",
    )
    parser.add_argument("-o", "--output", action=OldSpelling, to="--store DIR")
    commands.add_workers(parser)
    commands.add_allow_problems(parser)
    commands.add_format(parser)


def run(options: argparse.Namespace) -> int:
    """Run the designs and report the results."""
    from rparity.fuzz.campaign import run_fuzz
    from rparity.fuzz.report import as_json, no_answers, show

    with commands.progress("fuzz") as show_step, _interruptions() as raise_interrupt:

        def step(progress: object) -> None:
            raise_interrupt()
            show_step(str(progress))

        campaign = run_fuzz(
            options.store or Path(f"fuzz-{options.seed}"),
            n=options.n,
            seed=options.seed,
            engines=options.engine or [],
            workers=options.workers,
            only=options.only,
            limit=options.timeout,
            on_progress=step,
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
    """Yield a function that raises KeyboardInterrupt if one has been lost.

    Python only prints an interrupt that occurs in a callback. Hypothesis has such a callback in the
    garbage collection.
    """
    caught = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        caught.set()
        raise KeyboardInterrupt

    def raise_interrupt() -> None:
        if caught.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield raise_interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield raise_interrupt
    finally:
        signal.signal(signal.SIGINT, before)
