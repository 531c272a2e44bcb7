"""The comparison of R's answer with Python's value by value, and the table of differences."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rparity.compare import ALL, COLUMNS, Reference, Tolerance, Verdict, compare
from rparity.errors import UsageError
from rparity.parity.candidates import candidates
from rparity.parity.matching import (
    DURATION,
    INSTANT,
    TEXT,
    MismatchError,
    Pair,
    kind_and_value,
    pair,
    parts_of,
)
from rparity.parity.values import Leaf, Tree
from rparity.text import visible

RTOL = 1e-8
HEADS = ("term", "R", "Python", "digits", "tolerance")
# What a report shows for a value that is missing, and as the place of an answer without names.
ABSENT, ANSWER = "missing", "(the answer)"
WIDEST = 40  # characters of a text that a report shows


@dataclass(frozen=True)
class CheckOptions:
    """What is compared, and how closely: the arguments of `RAnswer.check`.

    A place is a part of R's answer, such as `glance`; or a column of a table or an element of a
    vector in it, such as `glance.statistic`. For a value, the longest place in `tolerances` that
    fits decides, and else `rtol` and `atol`.
    """

    rtol: float = RTOL
    atol: float = 0.0
    tolerances: Mapping[str, float | Mapping[str, float]] | None = None
    only: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse tolerances with which everything, or nothing, would pass."""
        _require_tolerance("", {"rtol": self.rtol, "atol": self.atol})
        for place, given in self.exceptions.items():
            _require_tolerance(f" of {place!r}", given)
        if self.only == ():
            raise UsageError("only= names nothing to compare; leave it out to compare everything.")

    @property
    def exceptions(self) -> dict[str, Mapping[str, float]]:
        """`tolerances`, each as a mapping."""
        return {
            place: given if isinstance(given, Mapping) else {"rtol": given}
            for place, given in (self.tolerances or {}).items()
        }

    def chooses(self, place: str) -> bool:
        """Whether a place is compared."""
        return self.only is None or any(_within(place, chosen) for chosen in self.only)

    def tolerance(self, place: str) -> Tolerance:
        """Return the tolerance of a place."""
        stated: dict[str, float] = {"rtol": self.rtol, "atol": self.atol}
        for name in sorted(self.exceptions, key=len):
            if _within(place, name):
                stated |= self.exceptions[name]
        return Tolerance(stated["rtol"], "stated in the test", stated["atol"])

    def require_known(self, places: Iterable[str]) -> None:
        """Refuse a place that R's answer does not have, which would be ignored otherwise.

        Raises
        ------
        UsageError
            The message lists the places that there are.
        """
        there = list(places)
        for option, names in (("only", self.only or ()), ("tolerances", self.exceptions)):
            for name in names:
                if not any(_within(place, name) for place in there):
                    raise UsageError(
                        f"{option}= names {name!r}, which R's answer does not have; "
                        f"it has {_some(list(filter(None, there))) or 'no names'}."
                    )


@dataclass(frozen=True)
class CheckResult:
    """Every comparison, as `rparity.compare.compare` gives it, and a line for each difference.

    `differing` are the parts of the answer that have differences: place, R's value, Python's, and
    the digits that the test asks for. `advice` says how to give or compare a part of the answer.
    `exact` are the columns that must be equal because they are no numbers: place and name.
    """

    comparisons: pd.DataFrame
    differences: list[tuple[str, ...]]
    differing: list[tuple[str, Leaf, object, float]]
    exact: set[tuple[str, str]]
    advice: tuple[str, ...] = ()

    @property
    def numbers_differ(self) -> bool:
        """Whether a number differs that both sides have."""
        return any(digits for *_, digits, _ in self.differences)

    def parts(self) -> list[str]:
        """Return a line for each vector and table of the answer, if there are several."""
        lines = []
        for place, rows in self.comparisons.groupby("table", sort=False):
            fails = rows["verdict"].map(lambda verdict: Verdict(verdict).fails)
            n = f"{fails.sum()} of {len(rows)} differ"
            if not fails.any():
                n = f"{len(rows)} of {len(rows)} agree, to {rows['digits'].min():.1f} digits"
            lines.append(f"{place}: {n}")
        return lines if len(lines) > 1 else []

    def candidates(self) -> list[str]:
        """Return a line for each change of Python's value that makes a part agree with R's."""
        return [
            f"{f'{place}, ' if place else ''}{each.says} "
            f"({each.digits:.1f} digits agree; cause: {each.cause})"
            for place, theirs, mine, asked in self.differing
            for each in candidates(theirs, mine, place or ANSWER, asked)
        ]

    def report(self, heads: Sequence[str], shown: int | None) -> str:
        """Return the differences as a table of text.

        `shown` is their largest number, or None. If there are more, those with the fewest digits
        are shown.
        """
        order = sorted(
            range(len(self.differences)), key=lambda i: float(self.differences[i][3] or 0.0)
        )
        rows = [tuple(map(visible, self.differences[i])) for i in sorted(order[:shown])]
        lines = [tuple(heads), *rows]
        aligned = (str.ljust, str.rjust, str.rjust, str.rjust, str.ljust)
        columns = [
            [align(cell, max(map(len, column))) for cell in column]
            for align, column in zip(aligned, zip(*lines, strict=True), strict=True)
        ]
        text = "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
        more = len(self.differences) - len(lines) + 1
        return text + (f"\n… and {more} more; pytest -vv shows them all." if more else "")


def check(function: str, theirs: Tree, mine: object, options: CheckOptions) -> CheckResult:
    """Compare R's answer to a call of `function` with Python's value.

    Raises
    ------
    UsageError
        Python's value cannot be compared, or the options name a place that is not there.
    """
    options.require_known(_places(theirs, ""))
    reports, differences, differing, advice = [], [], [], []
    exact: set[tuple[str, str]] = set()
    shared: list[str] = []  # the places that both have
    has_more = False  # R's answer has others
    for path, leaf, yours in beside(theirs, mine, ""):
        if not any(map(options.chooses, _places(leaf, path))):
            continue
        if leaf is None and yours is None:  # NULL
            continue
        if not isinstance(leaf, Leaf) or yours is NOTHING:
            differences.append((path or ANSWER, *map(_shape, (leaf, yours)), "", ""))
            has_more |= yours is NOTHING
            if isinstance(leaf, Mapping) and yours is not NOTHING:
                advice.append(
                    f"{path or ANSWER} is a list in R: give a dict of the values to check."
                )
            continue
        asked = _digits_asked(options.tolerance(path))
        try:
            both = _chosen(pair(leaf, yours, path or f"{function}()"), path, options)
        except MismatchError as error:
            differences.append((path or ANSWER, str(leaf), error.mine, "", error.asked))
            differing.append((path, leaf, yours, asked))
            shared.append(path)
            continue
        exact |= {(path, column) for column in both.exact}
        found = _compared(function, path, both, options)
        reports.append(found)
        failing = [Verdict(verdict).fails for verdict in found["verdict"]]
        if any(failing):
            differences += [_line(row, both, path) for row in found[failing].itertuples()]
            differing.append((path, leaf, yours, asked))
        lacks = set(both.mine.columns) < set(both.theirs.columns)  # and has no others
        shared += [_join(path, name) for name in both.mine.columns] if lacks else [path]
        has_more |= lacks
    frame = (
        pd.concat(reports, ignore_index=True) if reports else pd.DataFrame(columns=list(COLUMNS))
    )
    if has_more and options.only is None and all(shared) and shared:
        advice.append(f"To compare only what both have: only={shared}")
    return CheckResult(frame, differences, differing, exact, tuple(advice))


def _digits_asked(tolerance: Tolerance) -> float:
    """Return the digits that a tolerance asks for: at least 4, as fewer agree by chance, at most 8.

    A change of Python's value is named if so many digits agree after it.
    """
    return min(max(-math.log10(tolerance.rtol or RTOL), 4.0), -math.log10(RTOL))


# What a side lacks at a place of the other side.
NOTHING = object()


def beside(theirs: Any, mine: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each vector and table of R's answer: its place, R's value and Python's.

    A value that one side lacks is NOTHING.
    """
    if not isinstance(theirs, Mapping):
        yield path, theirs, mine
        return
    named = parts_of(theirs, mine, path or ANSWER)
    if named is None:
        yield path, theirs, mine
        return
    for name in [*theirs, *(name for name in named if name not in theirs)]:
        ours, yours = theirs.get(name, NOTHING), named.get(name, NOTHING)
        yield from beside(ours, yours, _join(path, name))


def _places(node: Any, path: str) -> list[str]:
    """Return the places of a part of R's answer; a part without names is one place."""
    if isinstance(node, Mapping):
        parts = (_places(item, _join(path, name)) for name, item in node.items())
        return [place for part in parts for place in part] or [path]  # an empty list is a place
    if not isinstance(node, Leaf):
        return [path]
    axis = node.frame.index if node.is_vector else node.frame.columns
    return [path] if isinstance(axis, pd.RangeIndex) else [_join(path, name) for name in axis]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _within(place: str, name: str) -> bool:
    return place == name or place.startswith(f"{name}.")


def _chosen(both: Pair, path: str, options: CheckOptions) -> Pair:
    if options.only is None:
        return both

    def choose(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[[name for name in frame.columns if options.chooses(_join(path, name))]]

    theirs, mine = both.numbers
    return Pair(choose(both.theirs), choose(both.mine), (choose(theirs), choose(mine)), both.exact)


def _compared(function: str, path: str, both: Pair, options: CheckOptions) -> pd.DataFrame:
    def tolerance(_table: str, column: str) -> Tolerance:
        if column in both.exact:
            return Tolerance(0.0, "no number")
        return options.tolerance(_join(path, column))

    theirs, mine = both.numbers
    reference = Reference("R", {path: theirs}, tolerance)
    return compare(function, "Python", {path: mine}, reference, [path])


def _line(row: Any, both: Pair, path: str) -> tuple[str, ...]:
    """Return the line for a difference: term, R's value, Python's, digits, tolerance."""
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
    """Return one value as text; for a whole row or column, the number of its values."""
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
    value = cell if kind in (INSTANT, DURATION) else value
    text = repr(value) if kind == TEXT else str(value).removesuffix(".0")
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _shape(side: Any) -> str:
    if side is NOTHING:
        return ABSENT
    if side is None:
        return "NULL"
    if isinstance(side, Mapping):
        return f"a list of {_some(list(map(str, side)))}" if side else "an empty dict"
    if isinstance(side, Leaf):
        if side.is_vector and not side.is_named and len(side.frame) == 1 and not side.dims:
            return _shown(side.frame.iloc[0, 0])
        named = not side.is_vector and not isinstance(side.frame.columns, pd.RangeIndex)
        return f"{side}: {_some(list(side.frame.columns), 4)}" if named else str(side)
    return _shown(side) if isinstance(side, numbers.Real | str) else type(side).__name__


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")


def _require_tolerance(place: str, given: Mapping[str, float]) -> None:
    unknown = [name for name in given if name not in ("rtol", "atol")]
    if unknown:
        raise UsageError(f"The tolerance{place} has rtol and atol, and no {unknown[0]!r}.")
    for name, value in given.items():
        top = 1.0 if name == "rtol" else math.inf
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 <= value < top:
            raise UsageError(
                f"{name}{place} is {value!r}; it must be a number of at least 0"
                + (" and below 1: with more, zero would pass." if name == "rtol" else ".")
            )
