"""Cases and engines of other projects, from entry points or from a folder.

An entry point of the group `rparity.cases` is a `Case`, a sequence of cases, or a function that
returns either. An entry point of `rparity.engines` has the name of the engine and its class.

In a folder (`--project DIR`, or the environment variable RPARITY_PROJECT) every module may define
`CASES`, a sequence of cases, and `ENGINES`, a mapping from names to classes as `"module:Class"`.
Its subfolder `atlas_pairs` may hold families of pairs (`rparity.cases.atlas`).

R files, recordings and `ledger.toml` are in the folder of the module, the home of its cases.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rparity.cases.atlas import families, family
from rparity.cases.base import VARIABLE, Case
from rparity.errors import UsageError

EXAMPLE = "see docs/how-to/add-a-case.md"
ENGINE = "see docs/how-to/add-an-engine.md"


def use(folder: Path) -> None:
    """Add the cases and engines of a folder, in this process and in those that it starts.

    Raises
    ------
    UsageError
        If the folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"The folder {folder} of --project does not exist.")
    os.environ[VARIABLE] = str(folder.resolve())


def cases() -> list[Case]:
    """Return the cases of other projects.

    Raises
    ------
    UsageError
        If a module or an entry point cannot be loaded, or contains something else.
    """
    found: list[Case] = []
    for point in _points("rparity.cases", tuple(sys.path)):
        where = f"the entry point {point.name} = {point.value}"
        loaded = _loaded(where, point.load)
        found += _as_cases(loaded, where, _home(sys.modules[point.module]))
    for path, module in _modules(os.environ.get(VARIABLE)):
        found += _as_cases(getattr(module, "CASES", ()), f"CASES in {path}", path.parent)
    if named := os.environ.get(VARIABLE):
        found += (family(path, Path(named)) for path in families(Path(named)))
    return found


def engines() -> dict[str, str]:
    """Return the engines of other projects as `module:class`, by name.

    Raises
    ------
    UsageError
        If a module or an entry point cannot be loaded, or contains something else.
    """
    found = {point.name: point.value for point in _points("rparity.engines", tuple(sys.path))}
    for path, module in _modules(os.environ.get(VARIABLE)):
        mine = getattr(module, "ENGINES", {})
        if not isinstance(mine, Mapping) or not all(
            isinstance(value, str) and ":" in value for value in mine.values()
        ):
            raise UsageError(f'ENGINES in {path} must map names to "module:Class"; {ENGINE}.')
        found |= mine
    return found


def load_engine(name: str, value: str) -> Any:
    """Return an engine of another project, from `module:class`.

    Raises
    ------
    UsageError
        If it cannot be loaded or is not an engine.
    """
    where = f"the engine {name} = {value}"
    found = _loaded(where, EntryPoint(name, value, "rparity.engines").load)
    made = _loaded(where, found)
    if not callable(getattr(made, "answer", None)) or not callable(getattr(made, "expected", None)):
        raise UsageError(
            f"{value} is not an engine: it needs the methods expected and answer; {ENGINE}."
        )
    return made


def ledgers() -> list[Path]:
    """Return the ledgers of other projects: in the homes of their cases and in the named folder.

    Raises
    ------
    UsageError
        If a module or an entry point cannot be loaded, or contains something else.
    """
    homes = {case.home for case in cases() if case.home is not None}
    if named := os.environ.get(VARIABLE):
        homes.add(Path(named))
    return sorted(path for home in homes if (path := home / "ledger.toml").is_file())


def _points(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Return the entry points of a group."""
    found: EntryPoints = _all_points(path).select(group=group)
    return found


@cache
def _all_points(_path: tuple[str, ...]) -> Any:
    """Return all entry points; the type is EntryPoints from Python 3.12 on.

    The search reads a file of each installed distribution, so its result is cached.
    """
    return entry_points()


@cache
def _modules(folder: str | None) -> tuple[tuple[Path, ModuleType], ...]:
    """Import every module of a folder, once."""
    if not folder:
        return ()
    if not Path(folder).is_dir():
        raise UsageError(f"The folder {folder} that {VARIABLE} names does not exist.")
    tests = ("test_", "conftest.")
    paths = sorted(p for p in Path(folder).glob("*.py") if not p.name.startswith(tests))
    for path in paths:
        _require_free(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return tuple(
        (path, _loaded(str(path), lambda name=path.stem: importlib.import_module(name)))
        for path in paths
    )


def _require_free(path: Path) -> None:
    """Refuse a module whose name another module has, because Python would import only one."""
    name = path.stem
    known = sys.modules.get(name)
    try:
        spec = known.__spec__ if known else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return  # loading it reports the error
    origin = getattr(known, "__file__", None) or (spec.origin if spec else None)
    if name in sys.stdlib_module_names or (origin and not _is_same(Path(origin), path)):
        raise UsageError(
            f"{path} has the name of another module, {name} ({origin or 'of Python itself'}), "
            "which Python would import instead: rename it."
        )


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def _loaded(where: str, load: Any) -> Any:
    try:
        return load()
    except UsageError as error:
        raise UsageError(f"Cannot load {where}: {error}") from error
    except Exception as error:
        raise UsageError(
            f"Cannot load {where}: {type(error).__name__}: {error}. Correct it or remove it."
        ) from error


def _home(module: ModuleType) -> Path | None:
    return Path(module.__file__).parent if module.__file__ else None


def _as_cases(found: object, where: str, home: Path | None) -> list[Case]:
    if callable(found) and not isinstance(found, Case):
        found = _loaded(where, found)
    several = [found] if isinstance(found, Case) else found
    if not isinstance(several, Iterable):
        raise UsageError(f"{where} is not a case and not a sequence of cases; {EXAMPLE}.")
    listed = list(several)
    if not all(isinstance(each, Case) for each in listed):
        raise UsageError(f"{where} has an element that is not a Case; {EXAMPLE}.")
    return [case if case.home else replace(case, home=home) for case in listed]
