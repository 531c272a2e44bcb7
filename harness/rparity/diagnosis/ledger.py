"""The ledger of known discrepancies, enforced both ways."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases import extensions
from rparity.cases.base import AtlasPair, Case
from rparity.compare import ALL, COLUMNS, Verdict
from rparity.diagnosis.causes import Cause
from rparity.errors import UsageError
from rparity.r.version import numbers

EVERYTHING = ("*",)
MOST_DIGITS = 16
LEDGER = Path(__file__).with_name("ledger.toml")
BOUND = re.compile(r"(<|>=)\d+([.-]\d+)+")
# The experiments for these causes do not bound a difference, so an entry must.
UNBOUNDED = (Cause.DEFAULTS,)
# The columns of comparisons that entries are about.
PLACE = ("case", "engine", "reference", "table", "row", "column")
# For each of these columns the code of each comparison's name, and the names. A missing one is -1.
Names = Mapping[str, tuple[NDArray[np.intp], Sequence[str]]]


@dataclass(frozen=True)
class Entry:
    """A known discrepancy; the fields are explained at the head of ledger.toml."""

    id: str
    cases: Sequence[str]
    engine: str | Sequence[str]
    reference: str | Sequence[str]
    tables: Sequence[str]
    cause: str
    why: str
    references: Sequence[str]
    reproduce: str
    rows: Sequence[str] = EVERYTHING
    columns: Sequence[str] = EVERYTHING
    bound: float | None = None
    lme4: str = ""

    def covers(self, version: str | None) -> bool:
        """Whether the entry is about answers of this version of lme4; None means any version.

        `self.lme4` holds bounds such as `<1.1-33` or `>=1.1-33, <2.0-1`. Without bounds the entry
        is about all versions.
        """
        found = numbers(version or "")
        return version is None or all(
            found < numbers(bound) if bound.startswith("<") else found >= numbers(bound)
            for bound in _bounds(self.lme4)
        )

    def about(self, comparisons: pd.DataFrame) -> pd.Series[bool]:
        """Return for each comparison whether the entry is about it."""
        return pd.Series(self.among(coded(comparisons)), comparisons.index, dtype=bool)

    def among(self, names: Names) -> NDArray[np.bool_]:
        """Return the same for comparisons whose names are `coded`."""
        found: NDArray[np.bool_] = np.ones(len(names["case"][0]), dtype=np.bool_)
        for column, patterns in (
            ("case", self.cases),
            ("engine", self.engine),
            ("reference", self.reference),
            ("table", self.tables),
            ("row", self.rows),
            ("column", self.columns),
        ):
            codes, values = names[column]
            # A missing name has the code -1, and with it the last place, which stays False.
            named = np.zeros(len(values) + 1, dtype=np.bool_)
            for code in np.flatnonzero(np.bincount(codes[found] + 1)[1:]).tolist():
                named[code] = matches(values[code], patterns)
            found &= named[codes]
            if not found.any():
                break
        return found


def coded(comparisons: pd.DataFrame) -> Names:
    """Return the names in comparisons so that entries match each one once."""
    found = {}
    for column in PLACE:
        codes, values = pd.factorize(comparisons[column])
        found[column] = codes, list(values)
    return found


def matches(name: str, patterns: str | Sequence[str]) -> bool:
    """Whether a name matches a shell pattern, or one of several."""
    return any(
        fnmatchcase(name, p) for p in ([patterns] if isinstance(patterns, str) else patterns)
    )


def _bounds(text: str) -> list[str]:
    return [bound.strip() for bound in text.split(",") if bound.strip()]


def ledger(path: Path | None = None, *, of: Iterable[Case] | None = None) -> tuple[Entry, ...]:
    """Return the entries of a ledger: by default this package's and those of other projects.

    Each pair of the atlas whose defaults differ is an entry by itself. Only the pairs of the cases
    `of` are looked at, by default those of all cases.

    Raises
    ------
    UsageError
        If the file is not a ledger, or an entry lacks a field, or has an unknown or invalid one.
    """
    paths = [LEDGER, *extensions.ledgers()] if path is None else [path]
    listed = [entry for each in paths for entry in _entries(each)]
    return (*listed, *(_pairs(of) if path is None else ()))


def _pairs(of: Iterable[Case] | None) -> tuple[Entry, ...]:
    """Return an entry for each pair of these cases, or of all, whose defaults differ.

    Raises
    ------
    UsageError
        If a pair names an unknown cause.
    """
    from rparity.cases import cases

    found = tuple(
        Entry(
            id=f"{case.name}-{pair.name}",
            cases=[case.name],
            engine="python-default",
            reference=["R", "recording"],
            tables=[f"{pair.name}.value"],
            cause=pair.cause,
            why=pair.why,
            references=pair.references,
            reproduce=f"rparity atlas {pair.name}",
        )
        for case in (cases().values() if of is None else of)
        for pair in case.parts
        if isinstance(pair, AtlasPair) and pair.cause
    )
    for entry in found:
        if problem := _problem("cause", entry.cause):
            raise UsageError(f"{entry.id} has cause = {entry.cause!r}, which must be {problem}.")
    return found


@cache
def _entries(path: Path) -> tuple[Entry, ...]:
    fields = {field.name for field in dataclasses.fields(Entry)}
    optional = {
        field.name
        for field in dataclasses.fields(Entry)
        if field.default is not dataclasses.MISSING
    }
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["discrepancy"]
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML with entries [[discrepancy]]: {error}.") from error
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise UsageError(f"{path} is not TOML with entries [[discrepancy]]: it has another one.")
    found: dict[str, Entry] = {}
    for number, listed_entry in enumerate(listed, start=1):
        who = f"The entry {listed_entry.get('id', number)!r} of {path}"
        wrong = sorted((fields ^ listed_entry.keys()) - (optional - listed_entry.keys()))
        if listed_entry.get("cause") in UNBOUNDED and "bound" not in listed_entry:
            wrong.append("bound")
        if wrong:
            raise UsageError(f"{who} has unknown or missing fields: {', '.join(wrong)}.")
        for name, value in listed_entry.items():
            if problem := _problem(name, value):
                raise UsageError(f"{who} has {name} = {value!r}, which must be {problem}.")
        if listed_entry["id"] in found:
            raise UsageError(f"{who} is there twice: give each an id of its own.")
        found[listed_entry["id"]] = Entry(**listed_entry)
    return tuple(found.values())


# Fields that hold lists of strings. Only `references` may be empty, until someone finds them.
LISTS = ("cases", "tables", "rows", "columns", "references")


def _problem(field: str, value: Any) -> str:
    """Say what a field of an entry must be; return "" if it is that."""
    if field in LISTS or (field in ("engine", "reference") and isinstance(value, list)):
        strings = isinstance(value, list) and all(isinstance(each, str) and each for each in value)
        if not strings or not (value or field == "references"):
            return "a list of strings"
    elif field == "lme4":
        if not isinstance(value, str) or not all(BOUND.fullmatch(b) for b in _bounds(value)):
            return "a range of versions such as '<1.1-33' or '>=1.1-33, <2.0-1'"
    elif field == "bound":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0.0 <= value <= MOST_DIGITS:
            return f"a number of digits from 0 to {MOST_DIGITS:g}"
    elif not isinstance(value, str) or not value.strip():
        return "a string that is not empty"
    elif field == "cause" and value not in list(Cause):
        return f"one of: {', '.join(Cause)}"
    return ""


def apply_ledger(
    comparisons: pd.DataFrame,
    entries: Sequence[Entry],
    asked: Collection[str],
    lme4: str | None = None,
) -> tuple[pd.DataFrame, dict[int, Entry]]:
    """Give explained differences the verdict `known` or `new`, and find `stale` entries.

    A difference with a cause is `known` if an entry names that cause and its bound holds, and `new`
    otherwise. A difference without a cause stays `unexplained`.

    `comparisons` has the columns `COLUMNS` and `cause`. `asked` are the cases that were run: an
    entry can be stale only if all of its cases are among them. `lme4` is the version that answered;
    entries about other versions do not apply. Returns the comparisons, and the entry of each row
    that is known.
    """
    judged = comparisons.copy()
    differs = judged["verdict"] == Verdict.UNEXPLAINED
    judged.loc[differs & (judged["cause"] != ""), "verdict"] = Verdict.NEW.value
    known: dict[int, Entry] = {}
    stale = []
    names = coded(judged)
    here = names["case"][1]
    for entry in entries:
        if not entry.covers(lme4) or not any(matches(name, entry.cases) for name in here):
            continue
        mine = entry.among(names)
        if not mine.any():
            continue
        met = mine & differs & (judged["cause"] == entry.cause)
        if not met.any():
            if _complete(entry, asked):
                stale.append(_stale(entry, judged[mine].iloc[0]))
            continue
        fits = met & (judged["verdict"] == Verdict.NEW)
        if entry.bound is not None:
            fits &= judged["digits"] >= entry.bound
        judged.loc[fits, "verdict"] = Verdict.KNOWN.value
        known |= dict.fromkeys(judged.index[fits], entry)
    if stale:
        after = judged.index.max() + 1
        rows = pd.DataFrame(stale, index=range(after, after + len(stale)))
        judged = pd.concat([judged, rows])
    return judged, known


def _complete(entry: Entry, asked: Collection[str]) -> bool:
    from rparity.cases import cases

    return {name for name in cases() if matches(name, entry.cases)} <= set(asked)


def _stale(entry: Entry, like: pd.Series[str]) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys((*COLUMNS, "cause"), np.nan)
    return row | {
        "case": like["case"],
        "engine": like["engine"],
        "table": f"ledger: {entry.id}",
        "row": ALL,
        "column": ALL,
        "reference": like["reference"],
        "digits": 0.0,
        "verdict": Verdict.STALE.value,
        "cause": "",
    }
