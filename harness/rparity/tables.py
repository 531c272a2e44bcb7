"""Data frames as tables of floats, and back. Factors become codes; their levels are kept apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

Levels = Mapping[str, Mapping[str, Any]]


def encode_factors(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Return a table of floats and the levels of its factors.

    A factor becomes R's codes 1, 2, …, and a missing value NaN. Rows without names are named
    "1", "2", …, as R names them.
    """
    columns: dict[str, Any] = {}
    levels: dict[str, dict[str, Any]] = {}
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes = column.cat.codes.to_numpy(dtype=np.float64) + 1.0
            columns[str(name)] = np.where(codes == 0.0, np.nan, codes)
            known = [str(level) for level in column.cat.categories]
            levels[str(name)] = {"levels": known, "ordered": bool(column.cat.ordered)}
        else:
            columns[str(name)] = column.to_numpy(dtype=np.float64)
    index = frame.index
    if isinstance(index, pd.RangeIndex):
        index = pd.RangeIndex(1, len(frame) + 1).astype(str)
    return pd.DataFrame(columns, index), levels


def fingerprint(frame: pd.DataFrame) -> str:
    """Return the sha256 of the names and levels of a frame's columns and the bits of its values."""
    table, levels = encode_factors(frame)
    values = np.ascontiguousarray(table.to_numpy(dtype="<f8"))
    named = json.dumps([list(table.columns), levels]).encode()
    return hashlib.sha256(named + values.tobytes()).hexdigest()


def decode_factors(table: pd.DataFrame, levels: Levels) -> pd.DataFrame:
    """Undo `encode_factors`."""
    frame = table.copy()
    for name, known in levels.items():
        codes = table[name].fillna(0.0).to_numpy().astype(int) - 1
        frame[name] = pd.Categorical.from_codes(
            codes, known["levels"], ordered=bool(known["ordered"])
        )
    return frame
