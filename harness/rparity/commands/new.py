"""`rparity new`: write a parity test, or a case, that passes without changes."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from rparity.commands import AGREE
from rparity.errors import UsageError

TEMPLATES = Path(__file__).parents[1] / "scaffold"
SUFFIX = ".template"
PLACEHOLDER = "NAME"


HELP = "write a parity test, or a case, to start from"
ABOUT = (
    "Write a test of pytest, a case or a pair of the atlas that passes without changes, as a "
    "start for your own. The next two commands are printed."
)
STATUS = (
    "0 if the files are written; 2 if one exists already, or for another error of usage or "
    "environment."
)
EXAMPLE = "rparity new welch --dir tests"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="the name of the test, such as welch")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder to write to (default: the current folder)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--case",
        action="store_true",
        help="write a case for `--project DIR` instead of a test for pytest",
    )
    what.add_argument(
        "--pair",
        action="store_true",
        help="write a family of the atlas with one pair, for `--project DIR`",
    )


def run(options: argparse.Namespace) -> int:
    """Write the files and print the next two commands."""
    name, folder = options.name, options.dir
    if not (name.isidentifier() and name.isascii()):
        raise UsageError(
            f"{name!r} is not a name in Python and R: use letters, digits and underscores, and "
            "begin with a letter."
        )
    from rparity.cases.atlas import FAMILIES, PREFIX

    case = f"{PREFIX}{name}" if options.pair else name
    if options.case or options.pair:
        _require_new_case(case)
    if options.pair:
        written = scaffold(name, folder / FAMILIES.name, "pair")
    else:
        written = scaffold(name, folder, "case" if options.case else "parity")
    print(f"Wrote {', '.join(map(str, written))}. Next:")
    where = shlex.quote(str(folder))
    test = shlex.quote(str(folder / f"test_{name}.py"))
    first, second = (
        (f"rparity regenerate {case} --project {where}", f"rparity run {case} --project {where}")
        if options.case or options.pair
        else (f"pytest --r=record {test}", f"pytest {test}")
    )
    print(f"  {first}  # asks R and records its answer (without R: see `rparity doctor`)")
    print(f"  {second:{len(first)}}  # compares Python with the recording, without R")
    return AGREE


def scaffold(name: str, folder: Path, kind: str) -> list[Path]:
    """Write the templates of a kind (`parity` or `case`) under a name, and return the files.

    Raises
    ------
    UsageError
        If one of the files exists already or cannot be written. Then no file is written.
    """
    files = {
        folder / template.name.removesuffix(SUFFIX).replace(PLACEHOLDER, name): template
        for template in sorted((TEMPLATES / kind).glob(f"*{SUFFIX}"))
    }
    for path in files:
        if path.exists():
            raise UsageError(f"The file {path} exists already: choose another name, or --dir.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, template in files.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(template.read_text(encoding="utf-8").replace(PLACEHOLDER, name))
    except OSError as error:
        raise UsageError(f"Cannot write to {folder}: {error.strerror}.") from error
    return list(files)


def _require_new_case(name: str) -> None:
    from rparity.cases import cases
    from rparity.cases.base import require_name

    require_name(name, "A case")
    if name in cases():
        raise UsageError(f"A case {name!r} exists already: choose another name.")
