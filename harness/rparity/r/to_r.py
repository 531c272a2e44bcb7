"""Python's values as wire values, or an error that names the value and what to use instead."""

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.arrays import BooleanArray, IntegerArray

from rparity.errors import UsageError
from rparity.r.format import format_r
from rparity.r.frames import as_pandas
from rparity.r.times import seconds_of, zone_name
from rparity.r.wire import NA_INTEGER, NA_REAL_BITS, NULL, Wire

# How deep lists may lie in lists: far deeper than data are, and less than Python's own limit.
LEVELS = 50

REMEDY = "use numbers, strings, an array, a Series, a DataFrame, or a dict of these"
REMEDIES: Sequence[tuple[type | tuple[type, ...], str]] = (
    ((Decimal, Fraction, np.longdouble), "use float()"),
    (memoryview, "use bytes()"),
    ((bytes, bytearray), "use .decode() if it is text"),
    (pd.Period, "use .to_timestamp()"),
    (pd.Interval, "use str()"),
)


def to_wire(value: object, what: str = "the value", level: int = 0) -> Wire:
    """Translate a value of Python for R.

    It may be None, a bool, int, float, complex, str or date; a time with a zone (POSIXct), a
    duration (difftime, in seconds) or bytes (raw); an array of any dimensions; a Series, DataFrame
    or Categorical; a data frame of polars or PyArrow; a sparse matrix of scipy (dgCMatrix of R's
    package Matrix); a dict, list or tuple. An index gives R's names, unless it holds integers.
    Missing values become NA.

    Parameters
    ----------
    what
        How errors name the value.
    level
        How many lists and dicts the value lies in.

    Raises
    ------
    UsageError
        The value, or a part of it, has no counterpart in R.
    """
    if level > LEVELS:
        raise UsageError(
            f"{what.partition('[')[0]} lies in itself, or in more than {LEVELS} lists and dicts; "
            "R can be handed less deep ones."
        )
    if value is None:
        return NULL
    value = as_pandas(value, what)
    if isinstance(value, Mapping):
        keys = _labels(value, f"{what}, in its keys,")
        _require_distinct(keys, f"{what} has two keys")
        items = [to_wire(item, f"{what}[{key!r}]", level + 1) for key, item in value.items()]
        return "list", items, {"names": ("character", keys, {})}
    if isinstance(value, pd.DataFrame):
        return _data_frame(value, what)
    if isinstance(value, pd.Series):
        kind, data, attributes = _vector(value, what)
        if (names := _row_names(value.index, what)) is not None:
            attributes = attributes | {"names": ("character", names, {})}
        return kind, data, attributes
    if isinstance(value, np.ndarray):
        return _array(value, what)
    if isinstance(value, pd.Index | pd.api.extensions.ExtensionArray):
        if isinstance(value, pd.MultiIndex):
            raise _refusal(what, "MultiIndex", "use .to_frame(index=False)")
        return _vector(pd.Series(value), what)
    if isinstance(value, bytes | bytearray) and not isinstance(value, np.generic):
        kind, data, _ = _integers(np.frombuffer(value, dtype=np.uint8))
        return kind, data, {"typeof": _characters(["raw"])}
    if callable(tocsc := getattr(value, "tocsc", None)) and getattr(value, "ndim", 0) == 2:
        return _sparse(tocsc(copy=True), what)
    if isinstance(value, list | tuple):
        plain = [x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in value]
        if plain and all(_is_scalar(item) for item in plain):
            return _objects(pd.Series(plain, dtype=object), what)
        items = [to_wire(item, f"{what}[{i}]", level + 1) for i, item in enumerate(plain)]
        return "list", items, {}
    return _objects(pd.Series([value], dtype=object), what)


def as_character(value: object) -> str | None:
    """Write a value as R's `as.character()` does: 1.0 as 1, True as TRUE, a midnight as the day.

    Returns None for a value that R does not have.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).upper()
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return format_r(float(value) + 0.0, digits=15)[0]  # R has no -0 in text
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, pd.Timestamp) and value.tz is None and value == value.normalize():
        value = value.date()
    is_day = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    return str(value) if is_day else None


def require_text(values: Iterable[str | None], what: str) -> None:
    """Refuse strings with a NUL, which R would cut short, or a surrogate, which R cannot read.

    Raises
    ------
    UsageError
        The message shows the first such string.
    """
    for value in values:
        if value is None or (value.isascii() and "\0" not in value):
            continue
        if "\0" in value:
            raise UsageError(
                f"{what} holds {_short(value)}, and R's strings cannot hold the character NUL; "
                "leave it out."
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{what} holds {_short(value)}, which is not text (a lone surrogate); decode its "
                'bytes with errors="replace".'
            ) from None


def _is_scalar(value: object) -> bool:
    return (
        value is None
        or value is pd.NaT
        or value is pd.NA
        or (np.isscalar(value) and not isinstance(value, bytes))
        or _is_date(value)
        or _is_duration(value)
    )


def _is_date(value: object) -> bool:
    return isinstance(value, datetime.date | np.datetime64)


def _is_duration(value: object) -> bool:
    return isinstance(value, datetime.timedelta | np.timedelta64)


def _labels(values: Iterable[Any], what: str, *, gaps: bool = False) -> list[str | None]:
    """Return names as R would write them; with `gaps`, missing ones are None and no error."""
    names: list[str | None] = []
    for value in values:
        known = pd.api.types.is_scalar(value)
        missing = known and pd.isna(value)
        name = as_character(value) if known and not missing else None
        if name is None and not (missing and gaps):
            raise UsageError(
                f"{what} has a name that R cannot have: {_short(value)}; use strings, numbers or "
                "dates."
            )
        names.append(name)
    require_text(names, what)
    return names


def _row_names(index: "pd.Index[Any]", what: str) -> list[str | None] | None:
    """Return the names in an index, or None if it only numbers the rows."""
    if isinstance(index, pd.MultiIndex):
        raise UsageError(
            f"{what} has an index of several levels, and R's names have one; use .reset_index() "
            "to hand them over as columns, or .reset_index(drop=True) to leave them out."
        )
    if len(index) == 0 or types.infer_dtype(index, skipna=False) == "integer":
        return None
    return _labels(index, f"{what}, in its index,", gaps=True)


def _require_distinct(names: Sequence[str | None], problem: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise UsageError(f"{problem} that R would both call {name!r}; rename one.")
        seen.add(name)


def _characters(values: Sequence[Any], what: str = "") -> Wire:
    data = [None if pd.isna(value) else str.__str__(value) for value in values]
    require_text(data, what)
    return "character", data, {}


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
    if isinstance(frame.columns, pd.MultiIndex):
        raise UsageError(
            f"{what} has columns of several levels, and R's names have one; join them, for "
            "example by .columns.map('.'.join)."
        )
    names = _labels(frame.columns, f"{what}, in its columns,")
    _require_distinct(names, f"{what} has two columns")
    columns = [_vector(frame.iloc[:, i], f"{what}[{name!r}]") for i, name in enumerate(names)]
    # R's own short form of "no row names, n rows" is c(NA, -n).
    rows = _integers([NA_INTEGER, -len(frame)])
    if (row_names := _row_names(frame.index, what)) is not None:
        if len(set(row_names)) < len(row_names) or None in row_names:
            raise UsageError(
                f"{what} has row names that occur twice or are missing; R's must differ. "
                "Use .reset_index()."
            )
        rows = "character", row_names, {}
    attributes = {
        "names": ("character", names, {}),
        "row.names": rows,
        "class": _characters(["data.frame"]),
    }
    return "list", columns, attributes


def _array(value: "np.ndarray[Any, Any]", what: str) -> Wire:
    if value.dtype.names is not None:
        raise _refusal(what, "a structured array", "use pd.DataFrame()")
    flat = value.ravel(order="F") if value.ndim > 1 else value.reshape(-1)
    if isinstance(flat, np.ma.MaskedArray):
        wire = _vector(_unmasked(flat), what)
    elif flat.dtype.kind == "M":
        wire = _dates(np.asarray(flat), what)
    else:
        wire = _vector(pd.Series(np.asarray(flat).reshape(-1)), what)
    kind, data, attributes = wire
    return kind, data, attributes | ({"dim": _integers(value.shape)} if value.ndim > 1 else {})


def _unmasked(values: "np.ma.MaskedArray[Any, Any]") -> "pd.Series[Any]":
    """Return a masked array as a Series of a type in which its values can be missing."""
    data, mask = np.asarray(values.data), np.ma.getmaskarray(values)
    if data.dtype.kind == "b":
        return pd.Series(BooleanArray(data, mask))
    if data.dtype.kind in "iu":
        return pd.Series(IntegerArray(data, mask))
    series = pd.Series(data)
    return series.where(~mask, np.nan if data.dtype.kind in "fc" else None)


def _vector(series: "pd.Series[Any]", what: str) -> Wire:
    """Translate one column, without names."""
    if isinstance(series.dtype, pd.SparseDtype):
        series = series.astype(series.dtype.subtype)
    dtype: Any = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        levels = _labels(dtype.categories, f"{what}, in its categories,")
        _require_distinct(levels, f"{what} has two categories")
        codes = series.cat.codes.to_numpy().astype(np.int32)
        kind, data, _ = _integers(codes + 1, codes < 0)
        classes = ["ordered", "factor"] if dtype.ordered else ["factor"]
        return kind, data, {"levels": ("character", levels, {}), "class": _characters(classes)}
    if isinstance(dtype, np.dtype) and dtype.kind == "M":
        return _dates(series.to_numpy(), what)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _instants(series.dt.tz_convert("UTC").dt.tz_localize(None), dtype.tz, what)
    if isinstance(dtype, np.dtype) and dtype.kind == "m":
        return _durations(series.to_numpy(), what)
    if types.is_complex_dtype(dtype):
        return _complex(series.to_numpy(), what)
    missing = series.isna().to_numpy(dtype=bool)
    if types.is_bool_dtype(dtype):
        _, data, _ = _integers(series.fillna(False).to_numpy(dtype=bool), missing)
        return "logical", data, {}
    if types.is_integer_dtype(dtype):
        return _whole_numbers(series.fillna(0).to_numpy(dtype=object), missing, what)
    if types.is_float_dtype(dtype):
        if dtype.itemsize > np.dtype(np.float64).itemsize:
            raise _refusal(what, str(dtype), "use .astype(float)")
        return _doubles(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if missing.all():  # only the type can say what kind of values are missing
        if types.is_string_dtype(dtype):
            return _characters([None] * len(series))
        if types.is_datetime64_any_dtype(dtype):
            return _dates(np.full(len(series), np.datetime64("NaT", "D")), what)
        raise _refusal(what, str(dtype), REMEDY)
    return _objects(series, what)


def _whole_numbers(values: Any, missing: Any, what: str) -> Wire:
    low, high = (int(min(values)), int(max(values))) if len(values) else (0, 0)
    if low > NA_INTEGER and high < 2**31:
        return _integers(values, missing)
    if max(-low, high) > 2**53:
        raise UsageError(f"{what} holds a whole number beyond 2^53, which R cannot hold exactly.")
    data = np.array(values, dtype=np.float64)
    data[missing] = np.nan
    return _doubles(data)


def _dates(values: "np.ndarray[Any, Any]", what: str) -> Wire:
    days = values.astype("datetime64[D]")
    missing = np.isnat(values)
    if (days.astype(values.dtype) != values)[~missing].any():
        raise UsageError(
            f"{what} holds times of day without a zone, which R's times need; use "
            '.tz_localize("UTC") of pandas, or dates.'
        )
    numbers = np.where(missing, np.nan, days.astype(np.int64).astype(np.float64))
    kind, data, _ = _doubles(numbers)
    return kind, data, {"class": _characters(["Date"])}


def _day(value: Any, what: str) -> "np.datetime64[Any]":
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        raise UsageError(f"{what} holds dates beside times in a zone; use times in one zone.")
    if isinstance(value, pd.Timestamp):
        value = value.to_datetime64()
    time: np.datetime64[Any] = np.datetime64(value)
    day: np.datetime64[Any] = time.astype("datetime64[D]")
    if day != time:
        raise UsageError(
            f"{what} holds times of day without a zone, which R's times need; give them one, as by "
            ".replace(tzinfo=datetime.UTC), or use dates."
        )
    return day


def _complex(values: "np.ndarray[Any, Any]", what: str) -> Wire:
    if values.dtype.itemsize > np.dtype(np.complex128).itemsize:
        raise _refusal(what, str(values.dtype), "use .astype(complex)")
    kind, data, _ = _doubles(np.asarray(values, dtype=np.complex128).view(np.float64))
    return kind, data, {"typeof": _characters(["complex"])}


def _instants(in_utc: "pd.Series[Any]", zone: Any, what: str) -> Wire:
    name = zone_name(zone, what)
    kind, data, _ = _doubles(seconds_of(in_utc.to_numpy(), what))
    own = {"class": _characters(["POSIXct", "POSIXt"]), "tzone": _characters([name])}
    return kind, data, own


def _durations(values: "np.ndarray[Any, Any]", what: str) -> Wire:
    kind, data, _ = _doubles(seconds_of(values, what))
    return kind, data, {"class": _characters(["difftime"]), "units": _characters(["secs"])}


def _sparse(matrix: Any, what: str) -> Wire:
    """Translate a sparse matrix in columns for R's package Matrix, whose numbers are doubles."""
    matrix.sum_duplicates()
    if matrix.dtype.kind not in "biuf":
        raise _refusal(what, f"a sparse matrix of {matrix.dtype}", "use .toarray()")
    parts = [
        _integers(matrix.indices),
        _integers(matrix.indptr),
        ("logical", _integers(matrix.data)[1], {})
        if matrix.dtype.kind == "b"
        else _doubles(matrix.data),
        _integers(matrix.shape),
    ]
    return "list", parts, {"typeof": _characters(["sparse"])}


def _objects(series: "pd.Series[Any]", what: str) -> Wire:
    """Translate scalars of any types to the one type that they have in common."""
    missing = series.isna().to_numpy(dtype=bool)
    values = [
        None if gone else _plain(item) for item, gone in zip(series.tolist(), missing, strict=True)
    ]
    present = [item for item in values if item is not None]
    kinds = {type(item) for item in present}
    zoned = [x for x in present if isinstance(x, datetime.datetime) and x.tzinfo is not None]
    if present and len(zoned) == len(present):
        return _zoned(values, what)
    if present and all(map(_is_duration, present)):
        durations = [pd.NaT if item is None else pd.Timedelta(item) for item in values]
        return _durations(pd.Series(durations, dtype="timedelta64[ns]").to_numpy(), what)
    if present and all(_is_date(item) for item in present):
        gap = np.datetime64("NaT", "D")
        days = [gap if item is None else _day(item, what) for item in values]
        return _dates(np.array(days, dtype="datetime64[D]"), what)
    if kinds == {str}:
        return _characters(values, what)
    # A float NaN among the missing values makes all of them doubles.
    has_float = float in kinds or any(
        gone and isinstance(item, float) for item, gone in zip(series, missing, strict=True)
    )
    if kinds <= {bool} and not has_float:
        _, data, _ = _integers([item is True for item in values], missing)
        return "logical", data, {}
    if complex in kinds and kinds <= {int, float, complex}:
        if any(type(item) is int and not _is_double(item) for item in present):
            raise UsageError(f"{what} holds a whole number that R cannot hold exactly.")
        nan = complex(math.nan, math.nan)
        return _complex(np.array([nan if v is None else v for v in values], dtype=complex), what)
    if kinds <= {bool, int, float}:
        filled = np.array([0 if item is None else item for item in values], dtype=object)
        if not has_float:
            return _whole_numbers(filled, missing, what)
        if any(type(item) is int and not _is_double(item) for item in present):
            raise UsageError(f"{what} holds a whole number that R cannot hold exactly.")
        return _doubles([math.nan if gone else v for v, gone in zip(filled, missing, strict=True)])
    found = ", ".join(sorted(map(type_name, kinds)))
    raise _refusal(what, found, _remedy(present[0]) if len(kinds) == 1 else REMEDY)


def _zoned(values: Sequence[Any], what: str) -> Wire:
    zones = {item.tzinfo for item in values if item is not None}
    if len(zones) > 1:
        raise UsageError(f"{what} holds times in several zones; convert them to one zone.")
    in_utc = [
        np.datetime64("NaT", "us")
        if item is None
        else item.tz_convert("UTC").tz_localize(None).to_datetime64()
        if isinstance(item, pd.Timestamp)
        else np.datetime64(item.astimezone(datetime.UTC).replace(tzinfo=None), "us")
        for item in values
    ]
    return _instants(pd.Series(np.array(in_utc)), zones.pop(), what)


def _plain(item: Any) -> Any:
    """Return a scalar as a bool, int, float, complex or str of Python, if it is one."""
    if isinstance(item, np.generic) and not _is_date(item) and not _is_duration(item):
        item = item.item()
    if isinstance(item, str):
        return str.__str__(item)
    own: Any
    for own in (bool, int, float, complex):
        if isinstance(item, own):
            return own(item)
    return item


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _refusal(what: str, found: str, remedy: str) -> UsageError:
    return UsageError(f"{what} cannot be handed to R ({found}); {remedy}.")


def type_name(kind: type) -> str:
    """Return the name of a type, with that of its package."""
    home = kind.__module__.partition(".")[0]
    return kind.__name__ if home == "builtins" else f"{home}.{kind.__name__}"


def _remedy(value: object) -> str:
    """Return the advice for a value that R cannot be handed."""
    if isinstance(value, list | tuple | Mapping):  # within a column
        return REMEDY
    for kinds, remedy in REMEDIES:
        if isinstance(value, kinds):
            return remedy
    for method in ("to_pandas", "toarray"):
        if callable(getattr(value, method, None)):
            return f"use its .{method}()"
    if hasattr(value, "__array__"):
        return "use numpy.asarray()"
    return "use list()" if isinstance(value, Iterable) else REMEDY


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) < 40 else f"{text[:37]}..."
