"""The subcommands of `rparity`, one module each; `add` gives a module's parser to the command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rparity.cases.base import Case

AGREE, DISCREPANCY, UNUSABLE = 0, 1, 2


class Commands(Protocol):
    """Where a subcommand's parser is added."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """Return the parser of the subcommand `name`."""
        ...


class Tell(Protocol):
    """Shows what a long piece of work is doing."""

    def __call__(self, text: str) -> None:
        """Show `text`."""


class Renamed(argparse.Action):
    """Refuses an option's old spelling in a sentence that names the new one."""

    def __init__(self, option_strings: Sequence[str], dest: str, to: str) -> None:
        super().__init__(option_strings, dest, nargs="*", help=argparse.SUPPRESS)
        self.to = to

    def __call__(self, parser: argparse.ArgumentParser, *given: Any, **_more: Any) -> None:
        """End the command."""
        parser.error(f"{given[-1]} is now {self.to}.")


def add_cases(parser: argparse.ArgumentParser) -> None:
    """Add the arguments `CASE ...`."""
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a case; none: all of them")


def add_fixtures(parser: argparse.ArgumentParser) -> None:
    """Add the options `--fixtures` and `--project`."""
    parser.add_argument(
        "--fixtures", type=Path, metavar="DIR", help="where the recordings are, if not at home"
    )
    parser.add_argument(
        "--project",
        dest="more",
        type=Path,
        metavar="DIR",
        help="a folder with cases and engines of your own",
    )
    parser.add_argument("--cases", action=Renamed, to="--project DIR")


def add_against(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the option `--against`: which R's recording; `more` are further values it takes."""
    also = "".join(f"; {each}: every version" for each in more)
    parser.add_argument(
        "--against",
        metavar="VERSION",
        help="the recording of this R, such as 4.5.0, instead of the newest one (`rparity list` "
        f"shows which there are){also}",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options `--workers` and `--dask`, both of which are `workers` of `cluster`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=int,
        metavar="K",
        help="work in K processes of this machine, which needs Dask (default: in this one)",
    )
    where.add_argument(
        "--dask",
        dest="workers",
        metavar="ADDRESS",
        help="work on the Dask cluster whose scheduler is there, such as tls://host:8786",
    )


def add_format(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the option `--format`: text, JSON or what `more` names."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *more),
        default="text",
        help="how the result is written (default: %(default)s)",
    )


def add_allow_problems(parser: argparse.ArgumentParser) -> None:
    """Add the option `--allow-problems`."""
    parser.add_argument(
        "--allow-problems",
        action="store_true",
        help="end with 0 or 1 although something could not be asked or answered",
    )


def chosen_cases(names: Sequence[str]) -> list[Case]:
    """Return the cases of those names, or all.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    from rparity.cases import case, cases

    return [case(name) for name in names] if names else list(cases().values())


def silent(text: str) -> None:
    """Show nothing: a `Tell` for where nobody looks."""


@contextmanager
def progress(name: str) -> Iterator[Tell]:
    """Show a bar with what goes on and how long it has, on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield silent
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
