"""Wire values as Python's values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.arrays import BooleanArray, IntegerArray

from rparity.errors import RError
from rparity.r.times import SECONDS, instants, ticks
from rparity.r.wire import FIRST_DAY, LAST_DAY, NA_INTEGER, NA_INTEGER64, NULL, Wire


def from_wire(wire: Wire, what: str = "R") -> Any:
    """Translate a value of R for Python; errors say that `what` returned it.

    A vector of one value without names becomes a scalar (NA: nan, or None for strings), a vector
    with names a Series, and any other vector an array. A matrix becomes a DataFrame with R's
    dimnames; an array of more dimensions an array, or with dimnames a Series with a level of its
    index for each dimension. A data frame becomes a DataFrame, with a RangeIndex if R numbers the
    rows. NULL becomes None, and a list a dict, or a list if it has no names.

    A factor becomes a Categorical, a Date a datetime64[D], a POSIXct a Timestamp in its time zone,
    a difftime a timedelta64, and raw bytes without names become bytes. Integers of the package
    bit64 are int64.

    numpy has no NA for integers: with an NA they become float64, and those of bit64 become pandas'
    "Int64". Logicals that are all NA become float64; other logicals with an NA pandas' "boolean".

    Raises
    ------
    RError
        Names of a list occur twice or are empty; or Python cannot hold a factor or a time.
    """
    kind, _, attributes = wire
    if kind == "NULL":
        return None
    if "nrow" in attributes:
        return _read_data_frame(wire, what)
    if kind == "list":
        names = list_names(wire, what)
        items = [from_wire(item, what) for item in wire[1]]
        return items if names is None else dict(zip(names, items, strict=True))
    values = _read_vector(wire, what)
    shape = _read_integers(attributes["dim"]) if "dim" in attributes else ()
    axes = (
        _read_dimnames(attributes["dimnames"]) if "dimnames" in attributes else [None] * len(shape)
    )
    if len(shape) == 2:
        return _matrix(values, shape, axes)
    if len(shape) > 2:
        return _many_dimensions(values, shape, axes)
    index = axes[0] if shape else _index(read_names(attributes.get("names", NULL)))
    if index is not None:
        return pd.Series(_for_pandas(values), index=index)
    if _type(wire) == "raw":
        return values.tobytes()
    if len(values) != 1 or isinstance(values, pd.Categorical):
        return values
    if values.dtype.kind == "m":
        return pd.Timedelta(values[0])
    return values[0] if values.dtype.kind == "M" else values.tolist()[0]


def _type(wire: Wire) -> str:
    """Return R's `typeof` of a value."""
    return wire[2]["typeof"][1][0] if "typeof" in wire[2] else wire[0]


def _index(names: list[str] | None, name: str | None = None) -> "pd.Index[Any] | None":
    return None if names is None else pd.Index(names, name=name)


def _read_dimnames(wire: Wire) -> list[Any]:
    """Return the names of each dimension as an Index, which may have a name itself, or None."""
    own = read_names(wire[2].get("names", NULL)) or [""] * len(wire[1])
    return [_index(read_names(n), name or None) for n, name in zip(wire[1], own, strict=True)]


def _matrix(values: Any, shape: tuple[int, ...], axes: Sequence[Any]) -> pd.DataFrame:
    rows, columns = shape
    if isinstance(values, np.ndarray):
        return pd.DataFrame(values.reshape(shape, order="F"), index=axes[0], columns=axes[1])
    index = pd.RangeIndex(rows) if axes[0] is None else axes[0]
    parts = {j: values[j * rows : (j + 1) * rows] for j in range(columns)}
    return pd.DataFrame(parts, index=index).set_axis(
        pd.RangeIndex(columns) if axes[1] is None else axes[1], axis=1
    )


def _many_dimensions(values: Any, shape: tuple[int, ...], axes: Sequence[Any]) -> Any:
    """Return an array, or a Series with a level for each dimension if any of them has names."""
    if all(axis is None for axis in axes):
        return np.asarray(values).reshape(shape, order="F")
    levels = [
        pd.Index([str(i + 1) for i in range(n)]) if axis is None else axis
        for n, axis in zip(shape, axes, strict=True)
    ]
    return pd.Series(_for_pandas(values), index=levels_of(levels))


def levels_of(axes: "Sequence[pd.Index[Any]]") -> pd.MultiIndex:
    """Return the places of an array's values in R's order, the first dimension fastest."""
    backwards = pd.MultiIndex.from_product(list(axes)[::-1], names=[x.name for x in axes][::-1])
    return backwards.reorder_levels(list(range(len(axes)))[::-1])


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
    if "integer64" in classes:
        whole = np.frombuffer(data, dtype=np.int64).copy()
        missing = whole == NA_INTEGER64
        return IntegerArray(whole, missing) if missing.any() else whole
    if kind == "double":
        values = np.frombuffer(data, dtype=np.float64).copy()
        values[np.isnan(values)] = np.nan  # R's NA is a signalling NaN: NumPy would warn
        if _type(wire) == "complex":
            return values.view(np.complex128)
        return _read_times(values, wire, what)
    codes = np.frombuffer(data, dtype=np.int32)
    if _type(wire) == "raw":
        return codes.astype(np.uint8)
    missing = codes == NA_INTEGER
    if "factor" in classes:
        return _read_factor(wire, np.where(missing, -1, codes - 1), what)
    if kind == "logical" and missing.any() and not missing.all():
        return BooleanArray(codes == 1, missing)
    if classes:
        return _read_times(np.where(missing, np.nan, codes), wire, what)
    if missing.any():
        return np.where(missing, np.nan, codes)
    return codes.astype(bool if kind == "logical" else np.int64)


def _read_times(values: "np.ndarray[Any, Any]", wire: Wire, what: str) -> Any:
    """Return doubles as the times that their class says; without such a class as they are."""
    attributes = wire[2]
    classes = attributes["class"][1] if "class" in attributes else ()
    if "Date" in classes:
        return _read_dates(values, what)
    if "POSIXct" in classes:
        zones = attributes.get("tzone", NULL)[1] or [""]
        return _read_instants(values, zones[0] or "UTC", what)  # R itself runs in UTC here
    if "difftime" in classes:
        unit = attributes["units"][1][0] if "units" in attributes else "secs"
        return _read_durations(values, unit, what)
    return values


def _read_instants(seconds: "np.ndarray[Any, Any]", zone: str, what: str) -> Any:
    found = ticks(seconds)
    days = seconds / SECONDS["days"]
    inside = np.isnan(days) | ((days >= FIRST_DAY) & (days < LAST_DAY + 1))
    if found is None or not inside.all():
        raise RError(
            f"{what} returned a time outside the years 1 to 9999, or one that is finer than a "
            "nanosecond; return as.numeric() of it."
        )
    try:
        return instants(*found, np.isnan(seconds), zone)
    except Exception:  # of several types, which the source of time zones decides
        raise RError(
            f"{what} returned a time in the zone {zone!r}, which Python does not have; set it by "
            'attr(x, "tzone") <- "UTC".'
        ) from None


def _read_durations(values: "np.ndarray[Any, Any]", unit: str, what: str) -> Any:
    found = ticks(values, SECONDS.get(unit, 1.0)) if unit in SECONDS else None
    if found is None:
        raise RError(
            f"{what} returned a difftime that whole nanoseconds cannot express; return "
            f'as.numeric(x, units = "{unit}").'
        )
    counted, ticked = found
    durations = counted.astype(f"timedelta64[{ticked}]")
    durations[np.isnan(values)] = np.array("NaT", dtype=durations.dtype)
    return durations


def _read_dates(days: "np.ndarray[Any, Any]", what: str) -> "np.ndarray[Any, Any]":
    missing = np.isnan(days)
    outside = ~missing & ~((days >= FIRST_DAY) & (days < LAST_DAY + 1))
    if outside.any():
        raise RError(
            f"{what} returned a date outside the years 1 to 9999; return as.numeric() of it."
        )
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


def list_names(wire: Wire, what: str) -> list[str] | None:
    """Return the names of a list, or None if it has none.

    Raises
    ------
    RError
        Some names are empty or occur twice.
    """
    names = read_names(wire[2].get("names", NULL))
    if names is not None and (len(set(names)) < len(names) or "" in names):
        raise RError(
            f"{what} returned a list whose names are empty or occur twice: {_quoted(names)}; give "
            "each a name of its own, by names(), or none a name, by unname()."
        )
    return names


def has_lists(wire: Wire) -> bool:
    """Whether a data frame has a column whose values are lists or vectors."""
    return any(kind == "list" for kind, _, _ in wire[1])


def columns_of(wire: Wire, what: str) -> "tuple[list[Any], pd.Index[Any], pd.Index[Any]]":
    """Return the columns of a data frame as wire values, the names of its rows and of its columns.

    Raises
    ------
    RError
        A column is an array of several dimensions, or has not a value for each row.
    """
    _, items, attributes = wire
    names = read_names(attributes.get("names", NULL))
    n_rows = _read_integers(attributes["nrow"])[0]
    for i, (kind, data, own) in enumerate(items):
        name = names[i] if names is not None else i + 1
        if "dim" in own and len(_read_integers(own["dim"])) > 1:
            raise RError(
                f"{what} returned a data frame whose column {name} is an array of several "
                "dimensions; return it outside the data frame."
            )
        size = {"NULL": 0, "list": len(data or ()), "character": len(data or ())}
        length = size[kind] if kind in size else len(_read_vector((kind, data, own), what))
        if length != n_rows:
            raise RError(
                f"{what} returned a data frame of {n_rows} rows whose column {name} has "
                f"{length} values; make it with data.frame()."
            )
    rows = read_names(attributes.get("row.names", NULL))
    index = pd.RangeIndex(n_rows) if rows is None else pd.Index(rows)
    return items, index, pd.RangeIndex(len(items)) if names is None else pd.Index(names)


def _read_data_frame(wire: Wire, what: str) -> pd.DataFrame:
    items, index, names = columns_of(wire, what)
    columns: dict[int, Any] = {}
    for i, item in enumerate(items):
        if item[0] == "list":
            columns[i] = cells_of([from_wire(cell, what) for cell in item[1]])
        else:
            columns[i] = [] if item[0] == "NULL" else _for_pandas(_read_vector(item, what))
    return pd.DataFrame(columns, index=index).set_axis(names, axis=1)


def cells_of(values: Sequence[Any]) -> "np.ndarray[Any, Any]":
    """Return values of any kind as an array, one object each."""
    cells = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")
