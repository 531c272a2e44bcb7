"""Wire values as Python's values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.arrays import BooleanArray

from rparity.errors import RError
from rparity.r.wire import FIRST_DAY, LAST_DAY, NA_INTEGER, NULL, Wire


def from_wire(wire: Wire, what: str = "R") -> Any:
    """Translate a value of R for Python; errors say that `what` returned it.

    A vector of one value without names becomes a scalar (NA: nan, or None for strings), a vector
    with names a Series, and any other vector an array. A matrix becomes a DataFrame with R's
    dimnames, and an array of more dimensions an array. A data frame becomes a DataFrame, with a
    RangeIndex if R numbers the rows. A factor becomes a Categorical, a Date a datetime64, NULL
    None, and a list a dict, or a list if it has no names.

    numpy has no NA for integers: with an NA they become float64. So do logicals that are all NA;
    other logicals with an NA become pandas' "boolean".

    Raises
    ------
    RError
        Names of a list occur twice or are empty; a list has dimensions; a column of a data frame
        is a list; or Python cannot hold a factor or a date.
    """
    kind, _, attributes = wire
    if kind == "NULL":
        return None
    if "nrow" in attributes:
        return _read_data_frame(wire, what)
    if kind == "list":
        return _read_list(wire, what)
    values = _read_vector(wire, what)
    shape = _read_integers(attributes["dim"]) if "dim" in attributes else ()
    dimnames: list[list[str] | None] = [None] * len(shape)
    if "dimnames" in attributes:
        dimnames = [read_names(names) for names in attributes["dimnames"][1]]
    if len(shape) > 1:
        array = np.asarray(values).reshape(shape, order="F")
        if len(shape) > 2:
            return array
        frame = pd.DataFrame(array, index=dimnames[0], columns=dimnames[1])
        return frame.astype("boolean") if isinstance(values, BooleanArray) else frame
    names = dimnames[0] if shape else read_names(attributes.get("names", NULL))
    if names is not None:
        return pd.Series(_for_pandas(values), index=names)
    if len(values) == 1 and not isinstance(values, pd.Categorical):
        return values[0] if values.dtype.kind == "M" else values.tolist()[0]
    return values


def _read_integers(wire: Wire) -> tuple[int, ...]:
    return tuple(np.frombuffer(wire[1], dtype=np.int32).tolist())


def read_names(wire: Wire) -> list[str] | None:
    """Return names as R shows them: a missing name is "NA". Returns None if there are no names."""
    return None if wire[0] == "NULL" else ["NA" if name is None else name for name in wire[1]]


def _for_pandas(values: Any) -> Any:
    """Return strings as a list, so that pandas chooses its own type for them."""
    is_text = values.dtype == object and any(value is not None for value in values)
    return values.tolist() if is_text else values


def _read_vector(wire: Wire, what: str) -> Any:
    """Read atomic data, without names and dim."""
    kind, data, attributes = wire
    classes = attributes["class"][1] if "class" in attributes else ()
    if kind == "character":
        return np.array(data, dtype=object)
    if kind == "double":
        values = np.frombuffer(data, dtype=np.float64).copy()
        values[np.isnan(values)] = np.nan  # R's NA is a signalling NaN: NumPy would warn
        return _read_dates(values, what) if "Date" in classes else values
    codes = np.frombuffer(data, dtype=np.int32)
    missing = codes == NA_INTEGER
    if "factor" in classes:
        return _read_factor(wire, np.where(missing, -1, codes - 1), what)
    if kind == "logical" and missing.any() and not missing.all():
        return BooleanArray(codes == 1, missing)
    if "Date" in classes:
        return _read_dates(np.where(missing, np.nan, codes), what)
    if missing.any():
        return np.where(missing, np.nan, codes)
    return codes.astype(bool if kind == "logical" else np.int64)


def _read_dates(days: "np.ndarray[Any, Any]", what: str) -> "np.ndarray[Any, Any]":
    missing = np.isnan(days)
    outside = ~missing & ~((days >= FIRST_DAY) & (days < LAST_DAY + 1))
    if outside.any():
        raise RError(f"{what} returned a date outside the years 1 to 9999; return a number.")
    whole = np.where(missing, 0, np.floor(days))
    if (whole != days)[~missing].any():
        raise RError(
            f"{what} returned a date with a fraction of a day; return floor() of it, or a number."
        )
    dates = whole.astype(np.int64).view("datetime64[D]")
    return np.where(missing, np.datetime64("NaT", "D"), dates)


def _read_factor(wire: Wire, codes: "np.ndarray[Any, Any]", what: str) -> pd.Categorical:
    _, _, attributes = wire
    levels = attributes["levels"][1] if attributes.get("levels", NULL)[0] == "character" else []
    problem = (
        "one of whose levels is NA; factor(x, exclude = NA) has none"
        if None in levels
        else "two of whose levels have one name; factor(as.character(x)) unites them"
        if len(set(levels)) < len(levels)
        else "with a value beyond its levels; make it with factor()"
        if (codes < -1).any() or (codes >= len(levels)).any()
        else ""
    )
    if problem:
        raise RError(f"{what} returned a factor {problem}.")
    is_ordered = "ordered" in attributes["class"][1]
    return pd.Categorical.from_codes(codes, pd.Index(levels, dtype=None), ordered=is_ordered)


def _read_list(wire: Wire, what: str) -> dict[str, Any] | list[Any]:
    _, items, attributes = wire
    if "dim" in attributes:
        raise RError(f"{what} returned a matrix of lists; return a matrix of numbers or strings.")
    values = [from_wire(item, what) for item in items]
    names = read_names(attributes.get("names", NULL))
    if names is None:
        return values
    if len(set(names)) < len(names) or "" in names:
        raise RError(
            f"{what} returned a list whose names are empty or occur twice: {_quoted(names)}."
        )
    return dict(zip(names, values, strict=True))


def _read_data_frame(wire: Wire, what: str) -> pd.DataFrame:
    _, items, attributes = wire
    names = read_names(attributes.get("names", NULL))
    n_rows = _read_integers(attributes["nrow"])[0]
    columns = {}
    for i, item in enumerate(items):
        name = names[i] if names is not None else i + 1
        if item[0] == "list" or "dim" in item[2]:
            raise RError(f"{what} returned a data frame whose column {name} is a list or a matrix.")
        values = [] if item[0] == "NULL" else _read_vector(item, what)
        if len(values) != n_rows:
            raise RError(
                f"{what} returned a data frame of {n_rows} rows whose column {name} has "
                f"{len(values)} values; make it with data.frame()."
            )
        columns[i] = _for_pandas(values)
    rows = read_names(attributes.get("row.names", NULL))
    index = pd.RangeIndex(n_rows) if rows is None else pd.Index(rows)
    frame = pd.DataFrame(columns, index=index)
    return frame.set_axis(pd.RangeIndex(len(items)) if names is None else pd.Index(names), axis=1)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:10])
