"""The atlas: R functions beside their counterparts in Python, a case for each family.

A family is a TOML file of pairs (`atlas_pairs/FAMILY.toml`). Its data are CSV files, which R and
Python read alike. A project folder may hold further families in its subfolder `atlas_pairs`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from rparity.cases.base import AtlasPair, Case, Rule, require_name, rule
from rparity.errors import UsageError

FAMILIES = Path(__file__).with_name("atlas_pairs")
DATA = Path(__file__).with_name("atlas_data")
PREFIX = "atlas_"
ENGINES = ("python-default", "python-setting")
SAME_FORMULA = "the same formula in doubles: rounding"
RTOL, ATOL = 1e-12, 1e-14
# An element of a result, as R and as Python write it.
SUFFIXES = ("$", "[", "@", ".")
NEEDED = ("name", "title", "r", "python")
TEXTS = frozenset(
    {"name", "title", "r", "python", "setting", "r_setting", "cause", "why", "because", "needs"}
)


@cache
def atlas_cases() -> tuple[Case, ...]:
    """Return the families of this package as cases."""
    return tuple(map(family, families(FAMILIES.parent)))


def families(folder: Path) -> list[Path]:
    """Return the files of the families in the subfolder `atlas_pairs` of a folder."""
    return sorted((folder / FAMILIES.name).glob("*.toml"))


def family(path: Path, home: Path | None = None) -> Case:
    """Return the case of a family of pairs.

    Parameters
    ----------
    path : Path
        Its TOML file.
    home : Path, optional
        The folder of a family of another project. Its subfolder `atlas_data` holds the data.

    Raises
    ------
    UsageError
        If the file is not TOML, or a pair lacks a field or has an unknown or invalid one.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        listed: list[dict[str, Any]] = found["pair"]
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path} is not TOML with pairs [[pair]]: {error}.") from error
    frames, imports = tuple(found.get("frames", ())), tuple(found.get("imports", ()))
    pairs, rules = [], []
    for name in frames:
        _data_file(name, home)
    for number, entry in enumerate(listed, start=1):
        who = f"The pair {entry.get('name', number)!r} of {path}"
        pairs.append(_pair(who, entry, frames, imports))
        rules.append(_rule(entry))
    return Case(
        name=PREFIX + path.stem,
        title=str(found.get("title", path.stem)),
        script="atlas.R",
        libraries=(),
        function="atlas_answer",
        seed=1,
        nsim=1,
        parts=tuple(pairs),
        rules=tuple(rules),
        packages=tuple(found.get("packages", ())),
        engines=ENGINES,
        arguments=partial(_asked, home, frames, tuple(found.get("packages", ())), tuple(pairs)),
        home=home,
    )


def frames_of(names: Iterable[str], home: Path | None = None) -> dict[str, pd.DataFrame]:
    """Return data of the atlas by name. A column of strings is a factor with sorted levels.

    Raises
    ------
    UsageError
        If there are no such data.
    """
    return {name: _frame(name, home) for name in names}


@cache
def _frame(name: str, home: Path | None) -> pd.DataFrame:
    return pd.read_csv(_data_file(name, home), dtype=str).apply(_column)


def _data_file(name: str, home: Path | None) -> Path:
    folders = [DATA] if home is None else [home / DATA.name, DATA]
    for folder in folders:
        if (path := folder / f"{name}.csv").is_file():
            return path
    raise UsageError(f"The atlas has no data {name!r}: write {folders[0] / name}.csv.")


def _column(texts: pd.Series[str]) -> pd.Series[Any]:
    """Return numbers if all are, rounded as Python reads them; else a factor."""
    try:
        return texts.map(float)
    except ValueError:
        return texts.astype("category")


def _asked(
    home: Path | None,
    frames: tuple[str, ...],
    packages: tuple[str, ...],
    pairs: tuple[AtlasPair, ...],
    _nsim: int,
) -> Mapping[str, object]:
    """Return the arguments of the R function: data, packages and the code of each pair."""
    code = {}
    for pair in pairs:
        code[pair.name] = {"value": pair.r}
        if pair.r_setting is not None:
            code[pair.name]["setting"] = pair.r_setting
        takes = {name: on_result(take[0]) for name, take in pair.values.items()}
        code[pair.name] |= {f"take.{name}": text for name, text in takes.items()}
    return {"frames": frames_of(frames, home), "packages": list(packages), "pairs": code}


def on_result(text: str) -> str:
    """Return an expression in `it`: `$p.value`, `[0]` and `.pvalue` stand for elements of it."""
    return f"it{text}" if text.startswith(SUFFIXES) else text


def _pair(
    who: str, entry: Mapping[str, Any], frames: tuple[str, ...], imports: tuple[str, ...]
) -> AtlasPair:
    known = {field.name for field in fields(AtlasPair)} - {"kinds", "frames", "imports"}
    extra = {"rtol", "atol", "because"}
    wrong = sorted((entry.keys() - known - extra) | (set(NEEDED) - entry.keys()))
    if wrong:
        raise UsageError(f"{who} has unknown or missing fields: {', '.join(wrong)}.")
    for name in TEXTS & entry.keys():
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise UsageError(f"{who} has {name} = {entry[name]!r}, which must be a text.")
    require_name(entry["name"], "A pair of the atlas")
    settings = entry.keys() & {"setting", "r_setting"}
    if bool(settings) != ("cause" in entry) or len(settings) == 2:
        raise UsageError(
            f"{who} must have either `setting` or `r_setting`, with `cause` and `why`, or neither."
        )
    if settings and not entry.get("why"):
        raise UsageError(f"{who} needs `why`, the reason of the difference in a sentence or two.")
    takes = entry.get("values", {})
    if not all(isinstance(take, list) and len(take) == 2 for take in takes.values()):
        raise UsageError(f"{who} must have an R and a Python expression for each of its `values`.")
    given = {name: value for name, value in entry.items() if name in known}
    given |= {
        "values": {name: (str(r), str(python)) for name, (r, python) in takes.items()},
        "references": tuple(entry.get("references", ())),
        "words": tuple(entry.get("words", ())),
        "kinds": ("value", "setting") if "r_setting" in entry else ("value",),
    }
    return AtlasPair(**given, frames=frames, imports=imports)


def _rule(entry: Mapping[str, Any]) -> Rule:
    rtol, atol = float(entry.get("rtol", RTOL)), float(entry.get("atol", ATOL))
    return rule(f"{entry['name']}.*", "*", rtol, entry.get("because", SAME_FORMULA), atol)
