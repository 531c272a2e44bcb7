"""`rparity new`: the files of a parity test, or of a case, that pass as they stand."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from rparity.commands import AGREE, Commands
from rparity.errors import UsageError

TEMPLATES = Path(__file__).parents[1] / "scaffold"
SUFFIX = ".template"
PLACEHOLDER = "NAME"


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser("new", help="write a parity test, or a case, to start from")
    parser.set_defaults(action=run)
    parser.add_argument("name", metavar="NAME", help="what it is about, such as welch")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to write it, if not in the current folder",
    )
    parser.add_argument(
        "--case",
        action="store_true",
        help="a case for `--project DIR` instead of a test for pytest",
    )


def run(options: argparse.Namespace) -> int:
    """Write the files, and tell the next two commands."""
    name, folder = options.name, options.dir
    if not (name.isidentifier() and name.isascii()):
        raise UsageError(
            f"{name!r} cannot be a name in Python and R: use letters, digits and underscores, "
            "and begin with a letter."
        )
    if options.case:
        _require_new_case(name)
    written = scaffold(name, folder, "case" if options.case else "parity")
    print(f"Wrote {', '.join(map(str, written))}. Next:")
    where = shlex.quote(str(folder))
    test = shlex.quote(str(folder / f"test_{name}.py"))
    first, second = (
        (f"rparity regenerate {name} --project {where}", f"rparity run {name} --project {where}")
        if options.case
        else (f"pytest --r=record {test}", f"pytest {test}")
    )
    print(f"  {first}  # asks R and records its answer (`rparity doctor` if there is none)")
    print(f"  {second:{len(first)}}  # compares Python with it, without R")
    return AGREE


def scaffold(name: str, folder: Path, kind: str) -> list[Path]:
    """Write the templates of a kind (`parity`, `case`) under a name; return the files.

    Raises
    ------
    UsageError
        Where one of the files is there already, or cannot be written. Then none is written.
    """
    files = {
        folder / template.name.removesuffix(SUFFIX).replace(PLACEHOLDER, name): template
        for template in sorted((TEMPLATES / kind).glob(f"*{SUFFIX}"))
    }
    for path in files:
        if path.exists():
            raise UsageError(f"There is a file {path} already: choose another name, or --dir.")
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
        raise UsageError(f"There is a case {name!r} already: choose another name.")
