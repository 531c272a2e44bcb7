"""The comparison of R's answer with Python's: every value by name, and a table of what differs."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rparity.compare import ALL, COLUMNS, Reference, Tolerance, Verdict, compare
from rparity.errors import UsageError
from rparity.parity.matching import TEXT, MismatchError, Pair, kind_and_value, pair
from rparity.parity.values import Leaf, Tree
from rparity.text import visible

RTOL = 1e-8
HEADS = ("term", "R", "Python", "digits", "tolerance")
ABSENT, ANSWER = "missing", "(the answer)"
WIDEST = 40  # characters of a text that a report shows


@dataclass(frozen=True)
class Terms:
    """What is compared, and how closely.

    A place is a table of R's answer, such as `glance`, or a column of a matrix or data frame or an
    element of a vector in it, such as `glance.statistic`. What `tolerances` says of a place goes
    before `rtol` and `atol`, and the longer of two places before the shorter.
    """

    rtol: float = RTOL
    atol: float = 0.0
    tolerances: Mapping[str, float | Mapping[str, float]] | None = None
    only: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse tolerances that would let everything or nothing pass."""
        _require_tolerance("", {"rtol": self.rtol, "atol": self.atol})
        for place, given in self.wishes.items():
            _require_tolerance(f" of {place!r}", given)
        if self.only == ():
            raise UsageError("only= names nothing to compare; leave it out to compare everything.")

    @property
    def wishes(self) -> dict[str, Mapping[str, float]]:
        """The tolerances that differ from the common ones, each as a mapping."""
        return {
            place: given if isinstance(given, Mapping) else {"rtol": given}
            for place, given in (self.tolerances or {}).items()
        }

    def chooses(self, place: str) -> bool:
        """Whether a place is compared."""
        return self.only is None or any(_within(place, chosen) for chosen in self.only)

    def tolerance(self, place: str) -> Tolerance:
        """Tolerance of a place."""
        stated: dict[str, float] = {"rtol": self.rtol, "atol": self.atol}
        for name in sorted(self.wishes, key=len):
            if _within(place, name):
                stated |= self.wishes[name]
        return Tolerance(stated["rtol"], "stated in the test", stated["atol"])

    def require_known(self, places: Iterable[str]) -> None:
        """Refuse a name that R's answer does not have: it would be ignored.

        Raises
        ------
        UsageError
            With the names that there are.
        """
        there = list(places)
        for option, names in (("only", self.only or ()), ("tolerances", self.wishes)):
            for name in names:
                if not any(_within(place, name) for place in there):
                    raise UsageError(
                        f"{option}= names {name!r}, which R's answer does not have; "
                        f"it has {_some(list(filter(None, there))) or 'no names'}."
                    )


@dataclass(frozen=True)
class Outcome:
    """Every value compared (as `rparity.compare` tells it), and the lines of those that differ."""

    comparisons: pd.DataFrame
    differences: list[tuple[str, ...]]

    def report(self, heads: Sequence[str], shown: int | None) -> str:
        """Lay the differences out as a table, up to that many of them."""
        rows = [tuple(map(visible, row)) for row in self.differences[:shown]]
        lines = [tuple(heads), *rows]
        aligned = (str.ljust, str.rjust, str.rjust, str.rjust, str.ljust)
        columns = [
            [align(cell, max(map(len, column))) for cell in column]
            for align, column in zip(aligned, zip(*lines, strict=True), strict=True)
        ]
        text = "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
        more = len(self.differences) - len(lines) + 1
        return text + (f"\n… and {more} more; pytest -vv shows them all." if more else "")


def check(function: str, theirs: Tree, mine: object, terms: Terms) -> Outcome:
    """Compare what a function of R gave with Python's value.

    Raises
    ------
    UsageError
        Python's value holds what cannot be compared, or a place is named that is not there.
    """
    terms.require_known(_places(theirs, ""))
    reports, differences = [], []
    for path, leaf, yours in _beside(theirs, mine, ""):
        if not any(map(terms.chooses, _places(leaf, path))):
            continue
        if not isinstance(leaf, Leaf) or yours is _NOTHING:
            differences.append((path or ANSWER, *map(_shape, (leaf, yours)), "", ""))
            continue
        try:
            both = _chosen(pair(leaf, yours, path or f"{function}()"), path, terms)
        except MismatchError as error:
            differences.append((path or ANSWER, str(leaf), error.mine, "", error.asked))
            continue
        found = _compared(function, path, both, terms)
        reports.append(found)
        failing = found[[Verdict(verdict).fails for verdict in found["verdict"]]]
        differences += [_line(row, both, path) for row in failing.itertuples()]
    frame = (
        pd.concat(reports, ignore_index=True) if reports else pd.DataFrame(columns=list(COLUMNS))
    )
    return Outcome(frame, differences)


_NOTHING = object()


def _beside(theirs: Any, mine: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Go through both by name: R's vectors and tables with what Python has in their places."""
    if not isinstance(theirs, Mapping):
        yield path, theirs, mine
        return
    if isinstance(mine, pd.Series | pd.DataFrame):
        mine = dict(mine.items())
    if not isinstance(mine, Mapping):
        yield path, theirs, mine
        return
    named = {str(name): value for name, value in mine.items()}
    for name in [*theirs, *(name for name in named if name not in theirs)]:
        ours, yours = theirs.get(name, _NOTHING), named.get(name, _NOTHING)
        yield from _beside(ours, yours, _join(path, name))


def _places(node: Any, path: str) -> list[str]:
    """Places of R's answer or of a part of it; where nothing in it has a name, that of the part."""
    if isinstance(node, Mapping):
        return [place for name, item in node.items() for place in _places(item, _join(path, name))]
    if not isinstance(node, Leaf):
        return [path]
    axis = node.frame.index if node.is_vector else node.frame.columns
    return [path] if isinstance(axis, pd.RangeIndex) else [_join(path, name) for name in axis]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _within(place: str, name: str) -> bool:
    return place == name or place.startswith(f"{name}.")


def _chosen(both: Pair, path: str, terms: Terms) -> Pair:
    if terms.only is None:
        return both

    def choose(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[[name for name in frame.columns if terms.chooses(_join(path, name))]]

    theirs, mine = both.numbers
    return Pair(choose(both.theirs), choose(both.mine), (choose(theirs), choose(mine)), both.exact)


def _compared(function: str, path: str, both: Pair, terms: Terms) -> pd.DataFrame:
    def tolerance(_table: str, column: str) -> Tolerance:
        if column in both.exact:
            return Tolerance(0.0, "no number")
        return terms.tolerance(_join(path, column))

    theirs, mine = both.numbers
    reference = Reference("R", {path: theirs}, tolerance)
    return compare(function, "Python", {path: mine}, reference, [path])


def _line(row: Any, both: Pair, path: str) -> tuple[str, ...]:
    """Tell one difference: term, R's value, Python's, digits, tolerance."""
    term = " ".join(part for part in (path, row.row, row.column) if part not in ("", ALL))
    values = [_value(side, row.row, row.column) for side in (both.theirs, both.mine)]
    if row.verdict == Verdict.MISSING:
        return term, *values, "", ""
    if row.column in both.exact:
        return term or ANSWER, *values, "", "equal"
    tolerance = f"rtol {row.rtol:g}" + (f", atol {row.atol:g}" if row.atol else "")
    asked = tolerance if row.rtol or row.atol else "the same bits"
    return term or ANSWER, *values, f"{row.digits:.1f}", asked


def _value(side: pd.DataFrame, row: str, column: str) -> str:
    """One value as its side gave it; of a whole row or column how many there are."""
    if ALL not in (row, column):
        return _shown(side.at[row, column])
    if (column not in side) if row == ALL else (row not in side.index):
        return ABSENT
    part = side[column] if row == ALL else side.loc[row]
    return _shown(part.iloc[0]) if len(part) == 1 else f"{len(part)} values"


def _shown(cell: Any) -> str:
    if pd.isna(cell):
        return "NaN" if isinstance(cell, float) else "NA"
    kind, value = kind_and_value(cell, "")
    text = repr(value) if kind == TEXT else str(value).removesuffix(".0")
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _shape(side: Any) -> str:
    if side is _NOTHING:
        return ABSENT
    if isinstance(side, Mapping):
        return f"a list of {_some(list(map(str, side)))}" if side else "an empty dict"
    if isinstance(side, Leaf):
        return str(side)
    return _shown(side) if isinstance(side, numbers.Real | str) else type(side).__name__


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:8]) + (", …" if len(names) > 8 else "")


def _require_tolerance(place: str, given: Mapping[str, float]) -> None:
    unknown = [name for name in given if name not in ("rtol", "atol")]
    if unknown:
        raise UsageError(f"The tolerance{place} has rtol and atol, and no {unknown[0]!r}.")
    for name, value in given.items():
        top = 1.0 if name == "rtol" else math.inf
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 <= value < top:
            raise UsageError(
                f"{name}{place} is {value!r}; it must be a number of at least 0"
                + (" and below 1: from there on zero would pass." if name == "rtol" else ".")
            )
