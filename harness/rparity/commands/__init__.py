"""The subcommands of `rparity`, one module each.

A module has `HELP`, one line for the list of commands; `ABOUT`, what the command is for; `STATUS`,
its exit statuses; `EXAMPLE`, a command; `add(parser)` for its arguments; and `run(options)`, which
returns the exit status. Here is what several of them share.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rparity.errors import UsageError

if TYPE_CHECKING:
    from rparity.cases.base import Case

AGREE, DISCREPANCY, UNUSABLE = 0, 1, 2
STATUS = (
    "0 if all values agree or the ledger knows why they differ; 1 if a value fails: a difference "
    "without a cause, or with one that the ledger does not know, or a missing value; 2 for an "
    "error of usage or environment, or if nothing was compared."
)

# A function that shows the present step of a long piece of work.
ShowStep: TypeAlias = Callable[[str], None]


class OldSpelling(argparse.Action):
    """Refuses the old spelling of an option and names the new one."""

    def __init__(self, option_strings: Sequence[str], dest: str, to: str) -> None:
        super().__init__(option_strings, dest, nargs="*", help=argparse.SUPPRESS)
        self.to = to

    def __call__(self, parser: argparse.ArgumentParser, *given: Any, **_more: Any) -> None:
        """End the command."""
        parser.error(f"{given[-1]} is now {self.to}.")


def add_cases(parser: argparse.ArgumentParser) -> None:
    """Add the arguments `CASE ...`."""
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a case (default: all cases)")


def add_fixtures(parser: argparse.ArgumentParser) -> None:
    """Add the options `--fixtures` and `--project`."""
    parser.add_argument(
        "--fixtures",
        type=Path,
        metavar="DIR",
        help="the folder of the recordings, instead of each case's own",
    )
    parser.add_argument(
        "--project",
        dest="more",
        type=Path,
        metavar="DIR",
        help="a folder with cases and engines of your own",
    )
    parser.add_argument("--cases", action=OldSpelling, to="--project DIR")


def add_against(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the option `--against`, which chooses a recording. `more` are further values of it."""
    also = "".join(f"; {each}: every version" for each in more)
    parser.add_argument(
        "--against",
        metavar="VERSION",
        help="compare with the recording of this R, such as 4.5.0, instead of the newest "
        f"(`rparity list` shows the versions){also}",
    )


def add_engine(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the option `--engine`, which may be given several times."""
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help=f"{text}; may be given several times",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options `--workers` and `--dask`. Both set `workers`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=int,
        metavar="K",
        help="work in K processes of this machine, which needs the extra rparity[dask] "
        "(default: in this process)",
    )
    where.add_argument(
        "--dask",
        dest="workers",
        metavar="ADDRESS",
        help="work on the Dask cluster with the scheduler at this address, such as tls://host:8786",
    )


def add_format(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the option `--format` with the choices text, json and `more`."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *more),
        default="text",
        help="the format of the report (default: %(default)s)",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option `-o`."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write the report to this file instead of standard output",
    )


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add the options `-q` and `-v`. They set `verbosity` to −1 and 1."""
    how = parser.add_mutually_exclusive_group()
    for short, long, value, text in (
        ("-q", "--quiet", -1, "print only what fails, and the totals"),
        ("-v", "--verbose", 1, "print also each table, every failure and all versions"),
    ):
        how.add_argument(
            short, long, dest="verbosity", action="store_const", const=value, default=0, help=text
        )


def add_allow_problems(parser: argparse.ArgumentParser) -> None:
    """Add the option `--allow-problems`."""
    parser.add_argument(
        "--allow-problems",
        action="store_true",
        help="end with status 0 or 1 even if some questions could not be answered",
    )


def require_one_reference(options: argparse.Namespace) -> None:
    """Refuse `--live` together with `--against`.

    Raises
    ------
    UsageError
        If both are given.
    """
    if options.live and options.against is not None:
        raise UsageError("--live asks the R of this machine: leave out --against, or --live.")


def chosen_cases(names: Sequence[str]) -> list[Case]:
    """Return the cases of these names, or all cases.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    from rparity.cases import case, cases

    return [case(name) for name in names] if names else list(cases().values())


@contextmanager
def progress(name: str) -> Iterator[ShowStep]:
    """Show a bar with the present step and the time so far, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from rparity.text import visible

    def shown(text: str) -> str:
        return visible(text.replace("\n", " "))

    with Progress(
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None, name=shown(name))
        yield lambda text: bar.update(task, description=shown(text))
