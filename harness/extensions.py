"""Cases and engines of other projects: found through entry points, or in a folder that is named.

An entry point of the group `rparity.cases` is a `Case`, a sequence of them or a function that
returns one; one of `rparity.engines` has the engine's name and its class. In a folder
(`--cases DIR`, or the environment variable RPARITY_CASES) every module is looked at for `CASES`, a
sequence of cases, and `ENGINES`, a mapping of names to classes as `"module:Class"`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.cases.base import Case
from harness.errors import UsageError

VARIABLE = "RPARITY_CASES"
EXAMPLE = "see docs/how-to/add-a-case.md"


def use(folder: Path) -> None:
    """Look for cases and engines in a folder, in this process and in those that it starts.

    Raises
    ------
    UsageError
        Where there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to look for cases in.")
    os.environ[VARIABLE] = str(folder.resolve())


def cases() -> list[Case]:
    """Return the cases of other projects.

    Raises
    ------
    UsageError
        For a module or an entry point that cannot be loaded, or holds something else.
    """
    found: list[Case] = []
    for point in entry_points(group="rparity.cases"):
        where = f"the entry point {point.name} = {point.value}"
        found += _as_cases(_loaded(where, point.load), where)
    for path, module in _modules(os.environ.get(VARIABLE)):
        mine = _as_cases(getattr(module, "CASES", ()), f"CASES in {path}")
        found += [case if case.home else replace(case, home=path.parent) for case in mine]
    return found


def engines() -> dict[str, str]:
    """Return the engines of other projects: name to `module:class`.

    Raises
    ------
    UsageError
        As `cases` does.
    """
    found = {point.name: point.value for point in entry_points(group="rparity.engines")}
    for path, module in _modules(os.environ.get(VARIABLE)):
        mine = getattr(module, "ENGINES", {})
        if not isinstance(mine, Mapping) or not all(isinstance(v, str) for v in mine.values()):
            raise UsageError(f'ENGINES in {path} must map names to "module:Class"; {EXAMPLE}.')
        found |= mine
    return found


@cache
def _modules(folder: str | None) -> tuple[tuple[Path, ModuleType], ...]:
    """Import every module of a folder, once."""
    if not folder:
        return ()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    paths = sorted(p for p in Path(folder).glob("*.py") if not p.name.startswith(("test_", "conf")))
    return tuple(
        (path, _loaded(str(path), lambda name=path.stem: importlib.import_module(name)))
        for path in paths
    )


def _loaded(where: str, load: Any) -> Any:
    try:
        return load()
    except Exception as error:
        raise UsageError(
            f"Cannot load {where}: {type(error).__name__}: {error}. Mend it, or leave it out."
        ) from error


def _as_cases(found: object, where: str) -> list[Case]:
    if callable(found) and not isinstance(found, Case):
        found = found()
    several = [found] if isinstance(found, Case) else found
    if not isinstance(several, Iterable):
        raise UsageError(f"There are no cases in {where}; {EXAMPLE}.")
    listed = list(several)
    if not all(isinstance(each, Case) for each in listed):
        raise UsageError(f"Not all of {where} are of the type Case; {EXAMPLE}.")
    return listed
