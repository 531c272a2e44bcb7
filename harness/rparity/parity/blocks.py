"""Large vectors and tables of a recording: their numbers go to a compressed file beside the JSON.

`pack` takes the columns of numbers out of an encoded answer (`values.encode`), and `unpack` puts
them back, each value as it was. The bytes of numbers are shuffled before they are compressed: the
first bytes of all numbers come first, because these are alike.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rparity.files import sha256

# Bytes of numbers in a vector or table beyond which they leave the JSON.
LARGE = 100_000
WIDTH = 8
LEVEL = 6


def pack(node: Any, block: bytearray) -> Any:
    """Return an encoded answer without the numbers of its large parts, which `block` receives."""
    if isinstance(node, list):
        return [pack(item, block) for item in node]
    if not isinstance(node, dict):
        return node
    rows = node.get("rows")
    if not isinstance(rows, list):
        return {name: pack(item, block) for name, item in node.items()}
    if len(rows) * len(rows[0] if rows else ()) * WIDTH <= LARGE:
        return node
    columns = [list(column) for column in zip(*rows, strict=True)]
    numbers = [_array(column) for column in columns]
    if sum(array.nbytes for array in numbers if array is not None) <= LARGE:
        return node
    packed: list[Any] = []
    for column, array in zip(columns, numbers, strict=True):
        if array is None:
            packed.append(column if any(cell is not None for cell in column) else None)
        else:
            packed.append({array.dtype.str: len(block)})
            block += array.tobytes()
    return {**node, "rows": {"n": len(rows), "columns": packed}}


def unpack(node: Any, block: bytes) -> Any:
    """Return the encoded answer that `pack` was given."""
    if isinstance(node, list):
        return [unpack(item, block) for item in node]
    if not isinstance(node, dict):
        return node
    rows = node.get("rows")
    if not _is_leaf(node) or not isinstance(rows, dict):
        return {name: unpack(item, block) for name, item in node.items()}
    n = rows["n"]
    columns = [_column(column, n, block) for column in rows["columns"]]
    return {**node, "rows": [list(row) for row in zip(*columns, strict=True)]}


def compress(block: bytes) -> bytes:
    """Return the content of the file beside the JSON."""
    shuffled = np.frombuffer(block, np.uint8).reshape(-1, WIDTH).T
    return zlib.compress(shuffled.tobytes(), LEVEL)


def decompress(content: bytes, size: int, digest: str) -> bytes:
    """Return what was compressed.

    Raises
    ------
    ValueError
        The content is not of this size, or has another hash.
    """
    shuffled = zlib.decompressobj().decompress(content, size)
    if len(shuffled) != size or size % WIDTH:
        raise ValueError("the size differs")
    block = np.frombuffer(shuffled, np.uint8).reshape(WIDTH, -1).T.tobytes()
    if sha256(block) != digest:
        raise ValueError("the content differs")
    return block


def _is_leaf(node: dict[str, Any]) -> bool:
    """Whether a node is a vector, an array or a table with numbers, and not a list of nodes."""
    kind = next((node[name] for name in ("vector", "array", "table") if name in node), None)
    return isinstance(kind, str | list)


def _array(column: Sequence[Any]) -> Any:
    """Return a column of numbers as an array, or None if it holds anything else."""
    kinds = set(map(type, column))
    if kinds == {int}:
        small = all(-(2**63) <= cell < 2**63 for cell in column)
        return np.array(column, "<i8") if small else None
    if float not in kinds or not kinds <= {float, type(None), str}:
        return None
    if str in kinds and {cell for cell in column if isinstance(cell, str)} - {"Inf", "-Inf"}:
        return None
    return np.array([math.nan if cell is None else float(cell) for cell in column], "<f8")


def _column(packed: Any, n: int, block: bytes) -> list[Any]:
    if packed is None:
        return [None] * n
    if isinstance(packed, list):
        return packed
    ((kind, start),) = packed.items()
    array = np.frombuffer(block, kind, n, start)
    cells: list[Any] = array.tolist()
    if kind == "<i8" or np.isfinite(array).all():
        return cells
    return [None if math.isnan(cell) else _cell(cell) for cell in cells]


def _cell(number: float) -> Any:
    if math.isinf(number):
        return "Inf" if number > 0 else "-Inf"
    return number
