"""R's answer as a tree of vectors and tables, and the tree as JSON that reads well in diffs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from rparity.errors import RError
from rparity.parity.columns import from_cells, kind_of, own_array, to_cells
from rparity.r.from_r import cells_of, columns_of, from_wire, has_lists, levels_of, list_names
from rparity.r.wire import Wire

LINE = 72


@dataclass(frozen=True)
class Leaf:
    """A vector (a frame of one column) or a table: a matrix or a data frame.

    Names are strings. Rows or columns without names have a RangeIndex. A single number is a vector
    of length one without names. An array of more than two dimensions is a vector in R's order (the
    first dimension fastest); `dims` are its dimensions, and its names have a part for each.
    """

    frame: pd.DataFrame
    is_vector: bool
    dims: tuple[pd.Index[Any], ...] = ()

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
        if self.dims:
            if all(isinstance(axis, pd.RangeIndex) for axis in self.dims):
                return series.to_numpy().reshape(tuple(map(len, self.dims)), order="F")
            return series.set_axis(levels_of([_texts(axis) for axis in self.dims])).rename(None)
        if self.is_named:
            return series.rename(None)
        array = own_array(series)
        if len(array) != 1 or isinstance(array, pd.Categorical | bytes):
            return array
        if array.dtype.kind == "m":
            return pd.Timedelta(array[0])
        return array[0] if array.dtype.kind == "M" else array.tolist()[0]

    def __str__(self) -> str:
        rows, columns = self.frame.shape
        if self.dims:
            return f"an array of {' × '.join(str(len(axis)) for axis in self.dims)}"
        if not self.is_vector:
            return f"a table of {rows} × {columns}"
        return f"a vector of {rows}" if self.is_named or rows != 1 else "a single value"


class Items(dict[str, "Tree"]):
    """A list without names: its items by their number from 1."""


class Columns(dict[str, "Tree"]):
    """A data frame of which some columns hold lists or vectors: its columns by name.

    `rows` has the names of the rows, or a RangeIndex.
    """

    def __init__(self, columns: Mapping[str, Tree], rows: pd.Index[Any]) -> None:
        super().__init__(columns)
        self.rows = rows


# None is R's NULL.
Tree: TypeAlias = "Mapping[str, Tree] | Leaf | None"


def tree(wire: Wire, function: str, place: str = "") -> Tree:
    """Return R's value as a tree of vectors and tables.

    Raises
    ------
    RError
        Python cannot hold the value or a part of it, or it has a name twice.
    """
    kind, data, attributes = wire
    if kind == "NULL":
        return None
    what = (
        f"{function}() returned a list in which {place} is" if place else f"{function}() returned"
    )
    if "nrow" in attributes and has_lists(wire):
        items, rows, labels = columns_of(wire, f"{function}()")
        columns = {
            str(name): _column(item, rows, function, f"{place}${name}")
            for name, item in zip(labels, items, strict=True)
        }
        _require_distinct(rows, what, "a data frame")
        _require_distinct(labels, what, "a data frame")
        return Columns(columns, rows)
    if kind == "list" and "nrow" not in attributes:
        names = list_names(wire, f"{function}()")
        if names is None:
            return _items([tree(x, function, f"{place}[[{i}]]") for i, x in enumerate(data, 1)])
        return {
            name: tree(item, function, f"{place}${name}")
            for name, item in zip(names, data, strict=True)
        }
    leaf = _leaf(from_wire(wire, f"{function}()"))
    require_distinct(leaf, what)
    return leaf


def _items(nodes: Sequence[Tree]) -> Items:
    return Items({str(i): node for i, node in enumerate(nodes, 1)})


def _column(item: Wire, rows: pd.Index[Any], function: str, place: str) -> Tree:
    """Return a column of a data frame: a vector, or the list of its cells, by the rows' names."""
    if item[0] != "list":
        kind, data, attributes = item
        own = {
            name: x for name, x in attributes.items() if name not in ("names", "dim", "dimnames")
        }
        values = from_wire((kind, data, own), f"{function}()")
        return _leaf(pd.Series([values] if len(rows) == 1 else values, index=rows))
    cells = [tree(cell, function, f"{place}[[{i}]]") for i, cell in enumerate(item[1], 1)]
    return _items(cells) if isinstance(rows, pd.RangeIndex) else dict(zip(rows, cells, strict=True))


def require_distinct(node: Tree, what: str = "it is") -> None:
    """Refuse a vector or a table that has a name twice.

    Raises
    ------
    RError
    """
    if isinstance(node, Mapping):
        for item in node.values():
            require_distinct(item, what)
    elif node is not None:
        for axis in (node.frame.index, node.frame.columns):
            _require_distinct(axis, what, str(node))


def _require_distinct(axis: pd.Index[Any], what: str, described: str) -> None:
    twice = axis[axis.duplicated()]
    if len(twice):
        raise RError(
            f"{what} {described} with the name {twice[0]!r} twice; values are matched by name, so "
            "give each a name of its own, or none a name: unname()."
        )


def _leaf(value: Any) -> Leaf:
    if isinstance(value, pd.DataFrame):
        return Leaf(value, is_vector=False)
    if isinstance(value, pd.Series) and isinstance(value.index, pd.MultiIndex):
        axes = [value.index.get_level_values(i).unique() for i in range(value.index.nlevels)]
        return array_leaf(value.reset_index(drop=True), axes)
    if isinstance(value, np.ndarray) and value.ndim > 2:
        return array_leaf(value.reshape(-1, order="F"), [pd.RangeIndex(n) for n in value.shape])
    if isinstance(value, pd.Series):
        return Leaf(value.to_frame(), is_vector=True)
    if isinstance(value, bytes):
        value = np.frombuffer(value, dtype=np.uint8)
    is_array = isinstance(value, np.ndarray | pd.api.extensions.ExtensionArray)
    return Leaf(pd.DataFrame({0: value if is_array else [value]}), is_vector=True)


def array_leaf(values: Any, axes: Sequence[pd.Index[Any]]) -> Leaf:
    """Return an array of several dimensions from its values in R's order."""
    places = levels_of([_texts(axis) for axis in axes])
    names = pd.Index([",".join(place) for place in places], dtype=object)
    return Leaf(pd.DataFrame({0: values}).set_axis(names, axis=0), is_vector=True, dims=tuple(axes))


def _texts(axis: pd.Index[Any]) -> pd.Index[Any]:
    """Return the names along a dimension, or its numbers from 1 if it has none."""
    if not isinstance(axis, pd.RangeIndex):
        return axis
    return pd.Index([str(i + 1) for i in range(len(axis))])


def value_of(node: Tree) -> Any:
    """Return R's answer for the test: the `Leaf.value` of each leaf, in dicts, lists and frames."""
    if node is None or isinstance(node, Leaf):
        return None if node is None else node.value
    if isinstance(node, Columns):
        columns = {name: _cells(item) for name, item in node.items()}
        frame = pd.DataFrame(dict(enumerate(columns.values())), index=node.rows)
        return frame.set_axis(pd.Index(list(columns)), axis=1)
    values = {name: value_of(item) for name, item in node.items()}
    return list(values.values()) if isinstance(node, Items) else values


def _cells(column: Tree) -> Any:
    if isinstance(column, Leaf):
        return column.frame.iloc[:, 0].array
    return cells_of([value_of(item) for item in (column or {}).values()])


# To JSON and back -------------------------------------------------------------------------------


def encode(node: Tree) -> dict[str, Any]:
    """Return a tree as values of JSON; each row of a table is a list, and numbers keep all bits."""
    if node is None:
        return {"null": True}
    if isinstance(node, Items):
        return {"items": [encode(item) for item in node.values()]}
    if isinstance(node, Columns):
        columns = {name: encode(item) for name, item in node.items()}
        return {"columns": columns, "n": len(node.rows), "row names": _names(node.rows)}
    if not isinstance(node, Leaf):
        return {"list": {name: encode(item) for name, item in node.items()}}
    frame = node.frame
    kinds = [kind_of(column) for _, column in frame.items()]
    cells = [to_cells(column) for _, column in frame.items()]
    if node.dims:
        step = len(node.dims[0])
        rows = [cells[0][i : i + step] for i in range(0, len(frame), max(step, 1))]
        names = [[axis.name, *_names(axis)] for axis in node.dims]
        return {"array": kinds[0], "dims": names, "rows": rows}
    rows = [list(row) for row in zip(_names(frame.index), *cells, strict=True)]
    own = [frame.index.name, None if node.is_vector else frame.columns.name]
    dimnames = {} if own == [None, None] else {"dimnames": own}
    if node.is_vector:
        return {"vector": kinds[0], **dimnames, "rows": rows}
    columns_ = list(map(list, zip(_names(frame.columns), kinds, strict=True)))
    return {"table": columns_, **dimnames, "rows": rows}


def decode(node: Mapping[str, Any]) -> Tree:
    """Return the tree that `encode` was given."""
    if "null" in node:
        return None
    if "items" in node:
        return _items([decode(item) for item in node["items"]])
    if "columns" in node:
        rows = _index(node["row names"])
        return Columns({name: decode(item) for name, item in node["columns"].items()}, rows)
    if "list" in node:
        return {name: decode(item) for name, item in node["list"].items()}
    if "array" in node:
        cells = [cell for row in node["rows"] for cell in row]
        axes = [_index(names, name) for name, *names in node["dims"]]
        return array_leaf(from_cells(node["array"], cells), axes)
    is_vector = "vector" in node
    columns = [[None, node["vector"]]] if is_vector else node["table"]
    names, *cells = zip(*node["rows"], strict=True) if node["rows"] else [()] * (len(columns) + 1)
    arrays = {i: from_cells(kind, cells[i]) for i, (_, kind) in enumerate(columns)}
    own = node.get("dimnames", [None, None])
    frame = pd.DataFrame(arrays, index=_index(names, own[0]))
    frame.columns = _index([name for name, _ in columns], own[1])
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


def _index(names: Any, name: str | None = None) -> pd.Index[Any]:
    named = len(names) > 0 and names[0] is not None
    return pd.Index(list(names), name=name) if named else pd.RangeIndex(len(names), name=name)
