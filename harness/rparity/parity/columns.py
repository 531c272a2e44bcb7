"""Columns of values as JSON and back: `kind_of` says which kind a column is, the others translate.

A kind is the text `double`, `integer`, `logical`, `character`, `complex`, `raw` or `Date`, or for
kinds with properties a dict: `factor` with its levels and `ordered`, `POSIXct` with its zone and
`unit`, `difftime` with its unit. Cells are numbers, texts or null; a complex number is a list of
its real and imaginary part. Numbers keep all bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from rparity.r.times import instants

DOUBLE, INTEGER, LOGICAL, TEXT = "double", "integer", "logical", "character"
COMPLEX, RAW, DATE = "complex", "raw", "Date"
FACTOR, INSTANT, DURATION = "factor", "POSIXct", "difftime"


def kind_of(column: pd.Series[Any]) -> Any:
    """Return the kind of a column of R's values."""
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {FACTOR: dtype.categories.tolist(), "ordered": bool(dtype.ordered)}
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {INSTANT: str(dtype.tz), "unit": dtype.unit}
    if dtype.kind == "m":
        return {DURATION: np.datetime_data(dtype)[0]}
    if types.is_bool_dtype(dtype):
        return LOGICAL
    if dtype == np.uint8:  # other integers of R are wider
        return RAW
    if types.is_integer_dtype(dtype):
        return INTEGER
    return {"f": DOUBLE, "M": DATE, "c": COMPLEX}.get(dtype.kind, TEXT)


def to_cells(column: pd.Series[Any]) -> list[Any]:
    """Return a column as values of JSON; missing ones are null."""
    if column.dtype.kind == "c":
        parts = zip(column.to_numpy().real.tolist(), column.to_numpy().imag.tolist(), strict=True)
        return [[_cell(part) for part in pair] for pair in parts]
    return [
        None if gone else _cell(cell)
        for cell, gone in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if not math.isinf(value) else "Inf" if value > 0 else "-Inf"
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat() if value.tz is None else _instant(value)
    return value.isoformat() if isinstance(value, pd.Timedelta) else value


def _instant(value: pd.Timestamp) -> str:
    return value.tz_convert("UTC").isoformat().removesuffix("+00:00") + "Z"


def from_cells(kind: Any, cells: Sequence[Any]) -> Any:
    """Return the values that `to_cells` was given, without names."""
    missing = np.array([cell is None for cell in cells], dtype=bool)
    if isinstance(kind, dict):
        if FACTOR in kind:
            return pd.Categorical(cells, categories=kind[FACTOR], ordered=kind["ordered"])
        if DURATION in kind:
            return _durations(cells, kind[DURATION])
        unit = kind["unit"]
        texts = ["1970-01-01" if cell is None else cell.removesuffix("Z") for cell in cells]
        counted = np.array(texts, dtype=f"datetime64[{unit}]").astype(np.int64)
        return instants(counted, unit, missing, kind[INSTANT])
    if kind == DOUBLE:
        return np.array([_double(cell) for cell in cells])
    if kind == COMPLEX:
        parts = [[_double(part) for part in cell] for cell in cells]
        return np.array(parts, dtype=np.float64).reshape(-1).view(np.complex128)
    if kind == DATE:
        return np.array(cells, dtype="datetime64[D]")
    if kind == LOGICAL:
        return pd.array(cells, dtype="boolean") if missing.any() else np.array(cells, dtype=bool)
    if kind == INTEGER:
        return pd.array(cells, dtype="Int64") if missing.any() else np.array(cells, dtype=np.int64)
    if kind == RAW:
        return np.array(cells, dtype=np.uint8)
    return list(cells) if not missing.all() else np.array(cells, dtype=object)


def _double(cell: Any) -> float:
    return math.nan if cell is None else float(cell)


def _durations(cells: Sequence[Any], unit: str) -> Any:
    gap = np.array("NaT", dtype=f"timedelta64[{unit}]")[()]
    durations = [gap if cell is None else pd.Timedelta(cell).to_timedelta64() for cell in cells]
    return np.array(durations, dtype=f"timedelta64[{unit}]")


def own_array(series: pd.Series[Any]) -> Any:
    """Return the values of a vector without names: bytes, an array, or pandas' own array."""
    dtype: Any = series.dtype
    own = pd.CategoricalDtype | pd.BooleanDtype | pd.Int64Dtype | pd.DatetimeTZDtype
    if isinstance(dtype, own):
        return series.array
    if dtype == np.uint8:
        return series.to_numpy().tobytes()
    if dtype.kind == "O":
        texts = series.to_numpy(dtype=object, copy=True)
        texts[series.isna()] = None
        return texts
    return series.to_numpy(dtype="datetime64[D]" if dtype.kind == "M" else None, copy=True)
