"""The options of `run`, `audit` and `versions` that say where their report goes, in which form."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rparity.errors import UsageError

if TYPE_CHECKING:
    from rparity.report.results import CommandResults

TEXT, HTML = "text", "html"
# The formats of every command, and the suffix of a file that chooses one.
FORMATS = {"text": ".txt", "json": ".json", "markdown": ".md", "junit": ".xml"}
SUFFIXES = {suffix: name for name, suffix in FORMATS.items()} | {".html": HTML}
STANDARD_OUTPUT = Path("-")


def add_reports(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the options `--format`, `-o` and `--github`. `more` are further formats."""
    choices = (*FORMATS, *more)
    suffixes = [*(FORMATS[name] for name in FORMATS), *(f".{name}" for name in more)]
    parser.add_argument(
        "--format",
        choices=choices,
        help="the format of the report (default: the suffix of FILE, or else text)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        metavar="FILE",
        help="write the report to this file instead of standard output, which is -; the suffix "
        f"chooses the format: {', '.join(suffixes)}; may be given several times",
    )
    parser.add_argument(
        "--github",
        action="store_true",
        help="in GitHub Actions, also annotate failures and add a summary to the job's page",
    )


def require_reports(options: argparse.Namespace, *more: str) -> list[tuple[str, Path | None]]:
    """Return the format and the file of each report, after a check that it can be written.

    `None` is standard output. `more` are the command's further formats.

    Raises
    ------
    UsageError
        If a file cannot be written, or if the command has no such format.
    """
    from rparity.report.output import require_folder

    found: list[tuple[str, Path | None]] = []
    for file in options.output or [STANDARD_OUTPUT]:
        form = options.format or SUFFIXES.get(file.suffix, TEXT)
        if form not in (*FORMATS, *more):
            raise UsageError(f"This command writes no {form}: choose another name than {file}.")
        target = None if file == STANDARD_OUTPUT else file
        require_folder(target)
        found.append((form, target))
    return found


def write_reports(
    options: argparse.Namespace,
    results: Callable[[], CommandResults],
    writers: Mapping[str, Callable[[TextIO], None]],
) -> None:
    """Write each report that the options ask for. `writers` are the command's own formats.

    `results` is called if another format, or GitHub, needs them.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    from rparity.report.output import destination

    results = cache(results)
    for form, file in require_reports(options, *writers):
        with destination(file) as out:
            if form in writers:
                writers[form](out)
            else:
                out.write(_written(form, results()))
    if options.github:
        from rparity.report import github

        github.report(results(), sys.stderr, os.environ)


def _written(form: str, results: CommandResults) -> str:
    from rparity.report import junit, machine, markdown

    match form:
        case "json":
            return machine.document(results) + "\n"
        case "markdown":
            return markdown.as_markdown(results)
        case _:
            return junit.as_junit(results)
