"""R's answer as a tree of vectors and tables, and the tree as JSON that reads well in diffs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from pandas.api import types

from rparity.errors import RError
from rparity.r.from_r import from_wire, read_names
from rparity.r.wire import Wire

REMEDY = "return a number, a vector with names, a matrix, a data frame, or a named list of these"
LINE = 72


@dataclass(frozen=True)
class Leaf:
    """A vector (a frame of one column) or a table: a matrix or a data frame.

    Names are strings. Rows or columns without names have a RangeIndex. A single number is a vector
    of length one without names.
    """

    frame: pd.DataFrame
    is_vector: bool

    @property
    def is_named(self) -> bool:
        """Whether the rows, or the elements of a vector, have names."""
        return not isinstance(self.frame.index, pd.RangeIndex)

    @property
    def value(self) -> Any:
        """A copy for the test: a scalar, an array, a Series with R's names, or a DataFrame."""
        if not self.is_vector:
            return self.frame.copy()
        series = self.frame.iloc[:, 0].copy()
        if self.is_named:
            return series.rename(None)
        if isinstance(series.dtype, pd.CategoricalDtype | pd.BooleanDtype):
            return series.array
        dates = "datetime64[D]" if series.dtype.kind == "M" else None
        array = series.to_numpy(dtype=dates, copy=True)
        if len(array) > 1 or array.size == 0:
            return array
        return array[0] if array.dtype.kind == "M" else array.tolist()[0]

    def __str__(self) -> str:
        rows, columns = self.frame.shape
        if not self.is_vector:
            return f"a table of {rows} × {columns}"
        return f"a vector of {rows}" if self.is_named or rows != 1 else "a single value"


Tree: TypeAlias = "Mapping[str, Tree] | Leaf"


def tree(wire: Wire, function: str, place: str = "") -> Tree:
    """Return R's value as a tree of vectors and tables.

    Raises
    ------
    RError
        The value or a part of it is something else, or has a name twice.
    """
    kind, data, attributes = wire
    what = (
        f"{function}() returned a list in which {place} is" if place else f"{function}() returned"
    )
    if kind == "NULL":
        raise RError(f"{what} NULL; {REMEDY}.")
    if kind == "list" and "nrow" not in attributes:
        if not data or "names" not in attributes:
            raise RError(f"{what} {'a list without names' if data else 'an empty list'}; {REMEDY}.")
        names = read_names(attributes["names"]) or []
        return {
            name: tree(item, function, f"{place}${name}")
            for name, item in zip(names, data, strict=True)
        }
    value = from_wire(wire, f"{function}()")
    if isinstance(value, np.ndarray) and value.ndim > 1:
        raise RError(f"{what} an array of {value.ndim} dimensions; {REMEDY}.")
    leaf = _leaf(value)
    require_distinct(leaf, what)
    return leaf


def require_distinct(node: Tree, what: str = "it is") -> None:
    """Refuse a vector or a table that has a name twice.

    Raises
    ------
    RError
    """
    if not isinstance(node, Leaf):
        for item in node.values():
            require_distinct(item, what)
        return
    for axis in (node.frame.index, node.frame.columns):
        twice = axis[axis.duplicated()]
        if len(twice):
            raise RError(
                f"{what} {node} with the name {twice[0]!r} twice; values are matched by name, so "
                "give each a name of its own, or none a name: unname()."
            )


def _leaf(value: Any) -> Leaf:
    if isinstance(value, pd.DataFrame):
        return Leaf(value, is_vector=False)
    if isinstance(value, pd.Series):
        return Leaf(value.to_frame(), is_vector=True)
    is_array = isinstance(value, np.ndarray | pd.api.extensions.ExtensionArray)
    return Leaf(pd.DataFrame({0: value if is_array else [value]}), is_vector=True)


def value_of(node: Tree) -> Any:
    """Return R's answer for the test: the `Leaf.value` of each leaf, in dicts."""
    if isinstance(node, Leaf):
        return node.value
    return {name: value_of(item) for name, item in node.items()}


# To JSON and back -------------------------------------------------------------------------------


def encode(node: Tree) -> dict[str, Any]:
    """Return a tree as values of JSON; each row of a table is a list, and numbers keep all bits."""
    if not isinstance(node, Leaf):
        return {"list": {name: encode(item) for name, item in node.items()}}
    frame = node.frame
    kinds = [_kind(column) for _, column in frame.items()]
    cells = [_cells(column) for _, column in frame.items()]
    rows = [list(row) for row in zip(_names(frame.index), *cells, strict=True)]
    if node.is_vector:
        return {"vector": kinds[0], "rows": rows}
    columns = list(map(list, zip(_names(frame.columns), kinds, strict=True)))
    return {"table": columns, "rows": rows}


def decode(node: Mapping[str, Any]) -> Tree:
    """Return the tree that `encode` was given."""
    if "list" in node:
        return {name: decode(item) for name, item in node["list"].items()}
    is_vector = "vector" in node
    columns = [[None, node["vector"]]] if is_vector else node["table"]
    names, *cells = zip(*node["rows"], strict=True) if node["rows"] else [()] * (len(columns) + 1)
    arrays = {i: _array(kind, cells[i]) for i, (_, kind) in enumerate(columns)}
    frame = pd.DataFrame(arrays, index=_index(names))
    frame.columns = _index([name for name, _ in columns])
    return Leaf(frame, is_vector)


def layout(item: Any, margin: str = "\n") -> str:
    """Write JSON: short values on one line, and long ones with one line for each part."""
    inner = margin + " "
    text = _json(item)
    if len(text) <= LINE:
        return text
    if isinstance(item, dict):
        lines = [f"{_json(key)}: {layout(value, inner)}" for key, value in item.items()]
        return "{" + inner + f",{inner}".join(lines) + margin + "}"
    if isinstance(item, list) and any(isinstance(part, list | dict) for part in item):
        return "[" + inner + f",{inner}".join(layout(part, inner) for part in item) + margin + "]"
    return text


def _json(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False, allow_nan=False)


def _names(axis: pd.Index[Any]) -> list[str | None]:
    return [None] * len(axis) if isinstance(axis, pd.RangeIndex) else axis.tolist()


def _index(names: Any) -> pd.Index[Any]:
    named = len(names) > 0 and names[0] is not None
    return pd.Index(list(names)) if named else pd.RangeIndex(len(names))


def _kind(column: pd.Series[Any]) -> Any:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {"factor": dtype.categories.tolist(), "ordered": bool(dtype.ordered)}
    if types.is_bool_dtype(dtype):
        return "logical"
    if types.is_integer_dtype(dtype):
        return "integer"
    return {"f": "double", "M": "Date"}.get(dtype.kind, "character")


def _cells(column: pd.Series[Any]) -> list[Any]:
    return [
        None if gone else _cell(cell)
        for cell, gone in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]


def _cell(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return value.date().isoformat() if isinstance(value, pd.Timestamp) else value


def _array(kind: Any, cells: Any) -> Any:
    if isinstance(kind, dict):
        return pd.Categorical(cells, categories=kind["factor"], ordered=kind["ordered"])
    if kind == "double":
        return np.array([np.nan if cell is None else float(cell) for cell in cells])
    if kind == "Date":
        return np.array(cells, dtype="datetime64[D]")
    if kind == "logical":
        return pd.array(cells, dtype="boolean") if None in cells else np.array(cells, dtype=bool)
    if kind == "integer":
        return np.array(cells, dtype=np.int64)
    has_text = any(cell is not None for cell in cells)
    return list(cells) if has_text else np.array(cells, dtype=object)
