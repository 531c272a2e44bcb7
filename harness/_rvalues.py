"""Python values to R values and back, as plain tuples that need neither R nor rpy2.

A value travels as `(kind, data, attributes)`. `kind` is what R's `typeof` says: `NULL`, `logical`,
`integer`, `double`, `character` or `list`. `data` are the raw bytes of a numeric vector, so that
doubles keep all their bits, a list of `str | None` for `character`, and a list of such tuples for
`list`. `attributes` maps names to such tuples.
"""

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.arrays import BooleanArray

from harness.errors import RError, UsageError

Wire: TypeAlias = tuple[str, Any, dict[str, Any]]

NULL: Wire = ("NULL", None, {})
NA_INTEGER = -(2**31)
# R's NA_real_ is the NaN whose low word is 1954.
NA_REAL_BITS = np.uint64(0x7FF00000000007A2)


def to_wire(value: object, what: str = "the value") -> Wire:
    """Translate a Python value; `what` names it in errors.

    None, bool, int, float, str, dates; arrays of one or more dimensions; Series (with names where
    its index holds strings), Categorical, DataFrame (with row names likewise); dict, list, tuple.
    Missing values become NA.

    Raises
    ------
    UsageError
        The value, or a part of it, has no counterpart in R.
    """
    if value is None:
        return NULL
    if isinstance(value, Mapping):
        names = [str(key) for key in value]
        items = [to_wire(item, f"{what}[{key!r}]") for key, item in value.items()]
        return "list", items, {"names": _characters(names)}
    if isinstance(value, pd.DataFrame):
        return _data_frame(value, what)
    if isinstance(value, np.ndarray) and value.ndim > 1:
        kind, data, attributes = _vector(pd.Series(value.ravel(order="F")), what)
        return kind, data, attributes | {"dim": _integers(value.shape)}
    if isinstance(value, pd.Series):
        kind, data, attributes = _vector(value, what)
        if _has_strings(value.index):
            attributes = attributes | {"names": _characters(value.index)}
        return kind, data, attributes
    if isinstance(value, np.ndarray):
        return _vector(pd.Series(value.reshape(-1)), what)
    if isinstance(value, pd.Index | pd.api.extensions.ExtensionArray):
        return _vector(pd.Series(value), what)
    if isinstance(value, list | tuple):
        if value and all(_is_scalar(item) for item in value):
            return _vector(pd.Series(value, dtype=object), what)
        items = [to_wire(item, f"{what}[{i}]") for i, item in enumerate(value)]
        return "list", items, {}
    return _vector(pd.Series([value], dtype=object), what)


def _is_scalar(value: object) -> bool:
    return (
        value is None or value is pd.NaT or value is pd.NA or np.isscalar(value) or _is_date(value)
    )


def _is_date(value: object) -> bool:
    return isinstance(value, datetime.date | np.datetime64)


def _has_strings(index: "pd.Index[Any]") -> bool:
    return len(index) > 0 and types.infer_dtype(index, skipna=False) == "string"


def _characters(values: Any) -> Wire:
    return "character", [None if pd.isna(value) else str(value) for value in values], {}


def _integers(values: Any, missing: Any = ()) -> Wire:
    data = np.array(values, dtype=np.int32)
    if np.any(missing):
        data[missing] = NA_INTEGER
    return "integer", data.tobytes(), {}


def _doubles(values: Any) -> Wire:
    data = np.array(values, dtype=np.float64)
    data.view(np.uint64)[np.isnan(data)] = NA_REAL_BITS
    return "double", data.tobytes(), {}


def _data_frame(frame: pd.DataFrame, what: str) -> Wire:
    names = [str(name) for name in frame.columns]
    columns = [_vector(frame.iloc[:, i], f"{what}[{name!r}]") for i, name in enumerate(names)]
    # R's own short form of "no row names, n rows" is c(NA, -n).
    rows = _integers([NA_INTEGER, -len(frame)])
    if _has_strings(frame.index):
        if not frame.index.is_unique:
            raise UsageError(f"{what} has row names that occur twice; R's must differ.")
        rows = _characters(frame.index)
    attributes = {
        "names": _characters(names),
        "row.names": rows,
        "class": _characters(["data.frame"]),
    }
    return "list", columns, attributes


def _vector(series: "pd.Series[Any]", what: str) -> Wire:
    """Translate one column, without names."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = series.cat.codes.to_numpy().astype(np.int32)
        kind, data, _ = _integers(codes + 1, codes < 0)
        classes = ["ordered", "factor"] if dtype.ordered else ["factor"]
        levels = _characters(dtype.categories)
        return kind, data, {"levels": levels, "class": _characters(classes)}
    if types.is_datetime64_any_dtype(dtype):
        return _dates(series, what)
    missing = series.isna().to_numpy()
    if types.is_bool_dtype(dtype):
        _, data, _ = _integers(series.fillna(False).to_numpy(dtype=bool), missing)
        return "logical", data, {}
    if types.is_integer_dtype(dtype):
        return _whole_numbers(series.fillna(0).to_numpy(dtype=object), missing, what)
    if types.is_float_dtype(dtype):
        return _doubles(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return _objects(series, missing, what)


def _whole_numbers(values: Any, missing: Any, what: str) -> Wire:
    low, high = (int(min(values)), int(max(values))) if len(values) else (0, 0)
    if low > NA_INTEGER and high < 2**31:
        return _integers(values, missing)
    if max(-low, high) > 2**53:
        raise UsageError(f"{what} holds a whole number beyond 2^53, which R cannot hold exactly.")
    data = np.array(values, dtype=np.float64)
    data[missing] = np.nan
    return _doubles(data)


def _dates(series: "pd.Series[Any]", what: str) -> Wire:
    if (
        isinstance(series.dtype, pd.DatetimeTZDtype)
        or (series.dropna().dt.normalize() != series.dropna()).any()
    ):
        raise UsageError(f"{what} holds times of day; only whole dates can be handed to R.")
    days = series.to_numpy().astype("datetime64[D]")
    numbers = np.where(np.isnat(days), np.nan, days.astype(np.int64).astype(np.float64))
    kind, data, _ = _doubles(numbers)
    return kind, data, {"class": _characters(["Date"])}


def _objects(series: "pd.Series[Any]", missing: Any, what: str) -> Wire:
    """Translate scalars of any type: what they have in common decides."""
    values = [
        item.item() if isinstance(item, np.generic) and not _is_date(item) else item
        for item in series
    ]
    present = [item for item, gone in zip(values, missing, strict=True) if not gone]
    kinds = {type(item) for item in present}
    if present and all(_is_date(item) for item in present):
        return _dates(pd.to_datetime(series), what)
    if kinds and all(issubclass(kind, str) for kind in kinds):
        return _characters(values)
    has_float = any(isinstance(item, float) for item in values)
    if kinds <= {bool} and not has_float:
        _, data, _ = _integers([item is True for item in values], missing)
        return "logical", data, {}
    filled = np.array(
        [0 if gone else v for v, gone in zip(values, missing, strict=True)], dtype=object
    )
    if kinds <= {bool, int} and not has_float:
        return _whole_numbers(filled, missing, what)
    if kinds <= {bool, int, float}:
        return _doubles([math.nan if gone else v for v, gone in zip(filled, missing, strict=True)])
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise UsageError(
        f"{what} cannot be handed to R ({found}); use numbers, strings, an array, a Series, "
        "a DataFrame, or a dict of these."
    )


def from_wire(wire: Wire) -> Any:
    """Translate an R value.

    A vector of length one without names is a Python scalar (NA: nan, or None for strings), one with
    names a Series, any other an array. A matrix is a DataFrame with R's dimnames, an array of more
    dimensions a numpy array, a data frame a DataFrame with R's row names (a RangeIndex where R
    numbers the rows), a factor a Categorical, a Date a datetime64, a list with names a dict,
    NULL None. Integers that hold an NA become float64, since numpy has no NA; so do logicals that
    hold nothing else, and other ones with an NA are pandas' "boolean".

    Raises
    ------
    RError
        A list whose names occur twice or are empty, or a data frame with a list as a column.
    """
    kind, _, attributes = wire
    if kind == "NULL":
        return None
    if "nrow" in attributes:
        return _read_data_frame(wire)
    if kind == "list":
        return _read_list(wire)
    values = _read_vector(wire)
    shape = _read_integers(attributes["dim"]) if "dim" in attributes else ()
    dimnames: list[list[str] | None] = [None] * len(shape)
    if "dimnames" in attributes:
        dimnames = [_read_names(names) for names in attributes["dimnames"][1]]
    if len(shape) > 1:
        array = np.asarray(values).reshape(shape, order="F")
        if len(shape) > 2:
            return array
        frame = pd.DataFrame(array, index=dimnames[0], columns=dimnames[1])
        return frame.astype("boolean") if isinstance(values, BooleanArray) else frame
    names = dimnames[0] if shape else _read_names(attributes.get("names", NULL))
    if names is not None:
        return pd.Series(_for_pandas(values), index=names)
    if len(values) == 1 and not isinstance(values, pd.Categorical):
        return values[0] if values.dtype.kind == "M" else values.tolist()[0]
    return values


def _read_integers(wire: Wire) -> tuple[int, ...]:
    return tuple(np.frombuffer(wire[1], dtype=np.int32).tolist())


def _read_names(wire: Wire) -> list[str] | None:
    return None if wire[0] == "NULL" else ["NA" if name is None else name for name in wire[1]]


def _for_pandas(values: Any) -> Any:
    """Hand strings to pandas as a list, so that it picks its own type for them."""
    return values.tolist() if values.dtype == object else values


def _read_vector(wire: Wire) -> Any:
    """Read atomic data, without names and dim."""
    kind, data, attributes = wire
    classes = attributes["class"][1] if "class" in attributes else ()
    if kind == "character":
        return np.array(data, dtype=object)
    if kind == "double":
        values = np.frombuffer(data, dtype=np.float64).copy()
        values[np.isnan(values)] = np.nan  # R's NA signals: NumPy would warn at each use
        if "Date" not in classes:
            return values
        days = np.where(np.isfinite(values), np.floor(values), 0).astype(np.int64)
        return np.where(np.isfinite(values), days.view("datetime64[D]"), np.datetime64("NaT", "D"))
    codes = np.frombuffer(data, dtype=np.int32)
    missing = codes == NA_INTEGER
    if "factor" in classes:
        levels = pd.Index(cast("list[str]", attributes["levels"][1]))
        positions = np.where(missing, -1, codes - 1)
        return pd.Categorical.from_codes(positions, levels, ordered="ordered" in classes)
    if kind == "logical" and missing.any() and not missing.all():
        return BooleanArray(codes == 1, missing)
    if missing.any():
        return np.where(missing, np.nan, codes)
    return codes.astype(bool if kind == "logical" else np.int64)


def _read_list(wire: Wire) -> dict[str, Any] | list[Any]:
    _, items, attributes = wire
    values = [from_wire(item) for item in items]
    names = _read_names(attributes.get("names", NULL))
    if names is None:
        return values
    if len(set(names)) < len(names) or "" in names:
        raise RError(f"R returned a list whose names are empty or occur twice: {_quoted(names)}.")
    return dict(zip(names, values, strict=True))


def _read_data_frame(wire: Wire) -> pd.DataFrame:
    _, items, attributes = wire
    names = _read_names(attributes["names"]) or []
    for name, (kind, _, own) in zip(names, items, strict=True):
        if kind == "list" or "dim" in own:
            raise RError(f"R returned a data frame whose column {name} is a list or a matrix.")
    columns = {i: _for_pandas(_read_vector(item)) for i, item in enumerate(items)}
    rows = _read_names(attributes.get("row.names", NULL))
    index = pd.RangeIndex(_read_integers(attributes["nrow"])[0]) if rows is None else pd.Index(rows)
    frame = pd.DataFrame(columns, index=index)
    frame.columns = pd.Index(names)
    return frame


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:10])
