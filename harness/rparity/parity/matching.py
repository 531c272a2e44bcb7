"""`pair` brings R's value and Python's into one layout: the same rows and columns, by name.

A value of Python without names (a scalar, a list, an array, a frame with pandas' own numbering) is
matched by position, and takes R's names. A value with names is matched by name, in any order.
`parts_of` does the same for R's lists.
"""

from __future__ import annotations

import cmath
import datetime
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from pandas.api import types

from rparity.errors import UsageError
from rparity.parity.values import Items, Leaf, array_leaf
from rparity.r.frames import as_pandas
from rparity.r.times import TICKS, as_double
from rparity.r.to_r import as_character

# The kinds of values. Numbers and durations may be equal within a tolerance, the others are equal
# or not. Whole numbers beyond 2^53 are not numbers here, because doubles cannot tell them apart.
NUMBER, DURATION, TEXT, LOGICAL, DATE = "number", "duration", "text", "logical", "date"
INSTANT, WHOLE = "time", "whole number"
LARGEST_WHOLE = 2**53

Floats: TypeAlias = tuple[pd.DataFrame, pd.DataFrame]


class MismatchError(Exception):
    """Two values of different shapes: `mine` describes Python's, `asked` what it must have."""

    def __init__(self, mine: str, asked: str) -> None:
        super().__init__(mine, asked)
        self.mine = mine
        self.asked = asked


@dataclass(frozen=True)
class Pair:
    """R's and Python's values in one layout.

    A vector with names is one row, with a column for each name, so that each name may have its own
    tolerance. A vector without names is one column of numbered rows. `theirs` and `mine` hold the
    values as they were given, and `numbers` both of them as floats. In the columns `exact`, whose
    values are not all numbers, the floats are codes. Durations are seconds. A complex number c of
    R is abs(c), and Python's q beside it is abs(c) + abs(q - c): they agree to the digits of q.
    """

    theirs: pd.DataFrame
    mine: pd.DataFrame
    numbers: Floats
    exact: frozenset[str]


def pair(theirs: Leaf, mine: object, place: str) -> Pair:
    """Bring R's value and Python's into one layout; `place` names Python's in errors.

    Raises
    ------
    MismatchError
        The two have different shapes, or only Python's has names.
    UsageError
        Python's value cannot be compared, or has a name twice.
    """
    yours = read_beside(theirs, mine, place)
    shapes = [tuple(map(len, side.dims)) for side in (theirs, yours)]
    if yours.is_vector != theirs.is_vector or (shapes[0] != shapes[1] and not yours.is_named):
        raise MismatchError(str(yours), "the same shape")
    left, right = theirs.frame, yours.frame
    labelled = left.set_axis(_labels(left.index), axis=0).set_axis(_labels(left.columns), axis=1)
    named = right.set_axis(_adopted(right.index, left.index, yours), axis=0)
    named = named.set_axis(_adopted(right.columns, left.columns, yours), axis=1)
    if theirs.is_vector:
        labelled, named = _upright(labelled, theirs), _upright(named, theirs)
    return _numbered(labelled, named, place)


def parts_of(theirs: Mapping[str, Any], mine: Any, place: str) -> Mapping[str, Any] | None:
    """Return the parts of a Python value that R's list is compared with; None if it has none."""
    mine = as_pandas(mine, place)
    numbered = isinstance(mine, list | tuple | np.ndarray | pd.Series | pd.Index)
    if isinstance(theirs, Items) and numbered:
        return {str(i): item for i, item in enumerate(mine, 1)}
    if isinstance(mine, pd.Series | pd.DataFrame):
        mine = dict(mine.items())
    if not isinstance(mine, Mapping):
        return None
    return {_name(name): value for name, value in mine.items()}


def read_beside(theirs: Leaf, mine: Any, place: str) -> Leaf:
    """Return a Python value as `read` does; a vector with names as a row, if R has a row."""
    yours = read(mine, place, len(theirs.dims))
    if yours.is_vector and yours.is_named and not theirs.is_vector and len(theirs.frame) == 1:
        return Leaf(yours.frame.T.infer_objects(), is_vector=False)
    return yours


def read(mine: Any, place: str, dimensions: int = 0) -> Leaf:
    """Return a Python value as a vector or a table; axes without names get a RangeIndex.

    R's value has so many `dimensions`, if more than two.
    """
    try:
        mine = as_pandas(mine, place)
        if callable(getattr(mine, "toarray", None)):  # of scipy.sparse
            mine = mine.toarray()
        if isinstance(mine, np.ndarray) and mine.ndim > 2:
            leaf = array_leaf(mine.reshape(-1, order="F"), [pd.RangeIndex(n) for n in mine.shape])
            return Leaf(leaf.frame.reset_index(drop=True), is_vector=True, dims=leaf.dims)
        if isinstance(mine, pd.Series) and mine.index.nlevels == dimensions:
            mine = mine.set_axis([",".join(map(_name, names)) for names in mine.index])
        frame, is_vector = _frame(mine, place)
        frame = frame.infer_objects()
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{place}: Python's {type(mine).__name__} is not a vector or a table: {error}."
        ) from None
    axes = []
    for axis in (frame.index, frame.columns):
        if isinstance(axis, pd.MultiIndex):
            raise UsageError(
                f"{place}: Python's names have several levels and R's have one; join them as R "
                "does, for example by `.index.map('.'.join)`."
            )
        numbered = axis.equals(pd.RangeIndex(len(axis)))
        axes.append(pd.RangeIndex(len(axis)) if numbered else pd.Index([_name(x) for x in axis]))
        twice = axes[-1][axes[-1].duplicated()]
        if len(twice):
            raise UsageError(f"{place}: Python has the name {twice[0]!r} twice.")
    return Leaf(frame.set_axis(axes[0], axis=0).set_axis(axes[1], axis=1), is_vector)


def _name(label: Any) -> str:
    """Return a label as R writes it, or as Python does if R has no such value."""
    name = as_character(label)
    return str(label) if name is None else name


def _frame(mine: Any, place: str) -> tuple[pd.DataFrame, bool]:
    """Return any value as a frame, and whether it is a vector, which is then the column 0."""
    if isinstance(mine, pd.DataFrame):
        return mine, False
    if isinstance(mine, Mapping):
        if any(types.is_list_like(value) for value in mine.values()):
            return pd.DataFrame(dict(mine)), False
        mine = pd.Series(dict(mine), dtype=object)
    if isinstance(mine, pd.Series):
        return mine.to_frame(0), True
    if isinstance(mine, pd.Index | pd.api.extensions.ExtensionArray):
        return pd.DataFrame({0: mine}), True
    if isinstance(mine, bytes | bytearray):
        mine = np.frombuffer(mine, dtype=np.uint8)
    is_array = hasattr(mine, "__array__") and not isinstance(mine, np.generic)
    if not (is_array or types.is_list_like(mine)):
        mine = [mine]
    if isinstance(mine, list | tuple) and not any(types.is_list_like(x) for x in mine):
        return pd.DataFrame({0: pd.Series(list(mine), dtype=object)}), True
    array = np.asarray(mine)
    if array.dtype.names is not None:
        raise UsageError(f"{place}: Python has a structured array; use pd.DataFrame().")
    if array.ndim > 2:
        raise UsageError(
            f"{place}: Python's {type(mine).__name__} has {array.ndim} levels; use np.array()."
        )
    return pd.DataFrame(array if array.ndim == 2 else array.reshape(-1)), array.ndim < 2


def _labels(axis: pd.Index[Any]) -> list[str]:
    """Return the names of R's rows or columns, or their numbers from 1 if they have no names."""
    if not isinstance(axis, pd.RangeIndex):
        return cast("list[str]", axis.tolist())
    return [str(i + 1) for i in range(len(axis))]


def _adopted(mine: pd.Index[Any], theirs: pd.Index[Any], yours: Leaf) -> list[str]:
    """Return Python's names, or R's names if Python's value has none."""
    if not isinstance(mine, pd.RangeIndex):
        if isinstance(theirs, pd.RangeIndex):
            some = ", ".join(mine[:3]) + (", …" if len(mine) > 3 else "")
            raise MismatchError(f"{yours} with names ({some})", "no names, as in R")
        return cast("list[str]", mine.tolist())
    if isinstance(theirs, pd.RangeIndex):
        return _labels(mine)
    known = _labels(theirs)[: len(mine)]
    return known + [f"[{i + 1}]" for i in range(len(known), len(mine))]


def _upright(column: pd.DataFrame, theirs: Leaf) -> pd.DataFrame:
    """Return a vector as one row if R's has names, else as one column; one value has no name."""
    if theirs.is_named:
        return column.T.set_axis([""], axis=0)
    rows = column.index
    if len(theirs.frame) == 1:
        rows = pd.Index(["" if row == "1" else row for row in rows])
    return column.set_axis([""], axis=1).set_axis(rows, axis=0)


def _numbered(theirs: pd.DataFrame, mine: pd.DataFrame, place: str) -> Pair:
    """Return both as floats: numbers as they are, other values as codes that both sides share."""
    sides = (theirs, mine)
    if all(_is_float(column) for side in sides for _, column in side.items()):
        floats = tuple(side.astype(np.float64) for side in sides)
        return Pair(theirs, mine, (floats[0], floats[1]), frozenset())
    columns: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    exact = set()
    for name in theirs.columns.union(mine.columns, sort=False):
        keys = [_keys(side[name], place) if name in side else {} for side in sides]
        present = [key for own in keys for key in own.values() if key is not None]
        kinds = {kind for kind, _ in present}
        if any(isinstance(value, complex) for _, value in present) and kinds == {NUMBER}:
            found = _moduli(*keys)
        else:
            values = {key: key[1] for key in present}
            if not (kinds <= {NUMBER} or kinds == {DURATION}):
                exact.add(name)
                values = {key: code for code, key in enumerate(values, start=1)}
            found = [[math.nan if k is None else values[k] for k in own.values()] for own in keys]
        for side, own, column in zip(sides, found, columns, strict=True):
            if name in side:
                column[name] = own
    floats = tuple(
        pd.DataFrame(column, side.index, dtype=np.float64).reindex(columns=side.columns)
        for column, side in zip(columns, sides, strict=True)
    )
    return Pair(theirs, mine, (floats[0], floats[1]), frozenset(exact))


def _is_float(column: pd.Series[Any]) -> bool:
    """Whether doubles hold a column's values exactly, so that they need no look one by one."""
    dtype = column.dtype
    if types.is_bool_dtype(dtype) or types.is_complex_dtype(dtype):
        return False
    if types.is_integer_dtype(dtype):
        top = column.dropna()
        return not len(top) or max(-int(top.min()), int(top.max())) <= LARGEST_WHOLE
    return types.is_numeric_dtype(dtype)


def _moduli(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[list[float]]:
    """Return complex numbers of both sides as `Pair` says."""
    known = {row: complex("nan") if key is None else complex(key[1]) for row, key in theirs.items()}

    def beside(row: str, key: Any) -> float:
        value = complex("nan") if key is None else complex(key[1])
        if row not in known or cmath.isnan(value) or cmath.isnan(known[row]):
            return abs(value)
        size = abs(known[row])
        if value == known[row] or math.isinf(size):
            return size if value == known[row] else math.nan
        return max(size + abs(value - known[row]), math.nextafter(size, math.inf))

    # abs() is infinite where only one part is missing and the other one infinite.
    own = [math.nan if cmath.isnan(value) else abs(value) for value in known.values()]
    return [own, [beside(row, key) for row, key in mine.items()]]


def _keys(column: pd.Series[Any], place: str) -> dict[str, tuple[str, Any] | None]:
    """Return the kind and the value of each cell by its row, or None if it is missing."""
    missing = column.isna().tolist()
    cells = zip(column.index, column.tolist(), missing, strict=True)
    return {row: None if gone else kind_and_value(cell, place) for row, cell, gone in cells}


def kind_and_value(cell: Any, place: str) -> tuple[str, Any]:
    """Return the kind of a value (number, duration, text, …) and the value itself.

    Raises
    ------
    UsageError
        The value is of another kind; the message names its type.
    """
    if isinstance(cell, bool | np.bool_):
        return LOGICAL, bool(cell)
    if isinstance(cell, np.timedelta64 | datetime.timedelta):
        return DURATION, _seconds(pd.Timedelta(cell).to_timedelta64())
    if isinstance(cell, numbers.Real):
        try:
            if isinstance(cell, numbers.Integral) and int(float(cell)) != int(cell):
                return WHOLE, int(cell)
            return NUMBER, float(cell)
        except OverflowError:
            raise UsageError(f"{place}: Python has a number beyond R's largest, 1.8e308.") from None
    if isinstance(cell, complex | np.complexfloating):
        return NUMBER, complex(cell)
    if isinstance(cell, str):
        return TEXT, str(cell)
    if isinstance(cell, np.datetime64 | datetime.date):
        time = pd.Timestamp(cell)
        if time.tz is not None:  # two are equal if R has one double for both
            return INSTANT, _seconds(time.to_datetime64())
        return DATE, time.isoformat().removesuffix("T00:00:00")
    raise UsageError(
        f"{place}: check() cannot compare {type(cell).__name__}; it takes numbers, strings, "
        "booleans, dates and times, alone or in arrays, Series, DataFrames, lists and dicts."
    )


def _seconds(value: Any) -> float:
    """Return a time of numpy's in seconds, as R's double."""
    unit = np.datetime_data(value.dtype)[0]
    if unit not in TICKS:
        unit = "us"
        value = value.astype(f"{value.dtype.kind}8[us]")
    return float(as_double(value.astype(np.int64), unit))
