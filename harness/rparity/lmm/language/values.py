"""R's vectors: their types, and how one becomes another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import DataError
from rparity.lmm.language.collation import Collate, sorted_levels
from rparity.lmm.language.expression import number_label

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Contrast:
    """A factor's contrasts: R's name of them, or a matrix (levels, contrasts) with names.

    `base` is the level that R's `contr.treatment` leaves out, from 1 on; `most` the number of
    contrasts that are kept. As in R, either makes numbers of the names of levels.
    """

    function: str = ""
    base: int | None = None
    most: int | None = None
    matrix: Floats | None = None
    names: tuple[str, ...] | None = None


Kind = Literal["logical", "integer", "double", "Date", "POSIXct", "character", "factor"]
DAY = 86400.0


class Unsuitable(Exception):
    """A function of R cannot take this value; the message says why."""


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector of R, or a matrix with the names `columns`.

    Numbers of all kinds, times and logicals are doubles, (n,) or (n, k), with NaN for R's NA.
    Dates are days and times seconds since 1970. Factors and text are codes, (n,): the place of each
    value among the `levels`, or −1 if it is missing.

    `contrasts` are those that R's `C()` gave a factor.
    `again` are the arguments with which R's `predict()` calls the function again on new data
    (R's `makepredictcall()`).
    """

    kind: Kind
    data: NDArray[Any]
    levels: tuple[str, ...] = ()
    ordered: bool = False
    columns: tuple[str, ...] | None = None
    contrasts: Contrast | None = None
    again: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def is_text(self) -> bool:
        """Whether it is text or a factor."""
        return self.kind in {"character", "factor"}

    def numbers(self, what: str = "a number") -> Floats:
        """The values as doubles, (n,) or (n, k); text and factors are refused."""
        if self.is_text:
            raise Unsuitable(
                f"{what} is needed, and not {'a factor' * (self.kind == 'factor')}"
                f"{'text' * (self.kind == 'character')}"
            )
        found: Floats = self.data
        return found

    def strings(self) -> list[str | None]:
        """R's `as.character()`; None for NA."""
        if self.is_text:
            return list(np.array([*self.levels, None], dtype=object)[self.data])
        values, codes = np.unique(self.data, return_inverse=True)
        known = np.array([*labels(values, self.kind)], dtype=object)
        return list(known[codes.reshape(-1)])

    def take(self, rows: Any) -> "Vector":
        """Select rows."""
        return replace(self, data=self.data[rows])


Value: TypeAlias = Vector | None


def doubles(data: Any) -> Vector:
    """Make a vector of doubles."""
    return Vector("double", np.asarray(data, dtype=np.float64))


def logicals(data: Any) -> Vector:
    """Make logicals of truth values."""
    return Vector("logical", np.asarray(data, dtype=np.float64))


def texts(values: Sequence[str | None]) -> Vector:
    """Make a vector of text."""
    codes, found = pd.factorize(np.array([*values, None], dtype=object)[:-1])
    return Vector("character", codes, tuple(found))


def factor_of(
    codes: NDArray[np.signedinteger[Any]], levels: Iterable[str], *, ordered: bool = False
) -> Vector:
    """Make a factor from levels and codes; the code −1 is a missing value."""
    return Vector("factor", codes.astype(np.intp, copy=False), tuple(levels), ordered)


def with_levels(value: Vector, levels: Sequence[str]) -> Vector:
    """Make a factor with other levels; values that have none of them are missing."""
    place = {level: i for i, level in enumerate(levels)}
    codes = np.array([*(place.get(level, -1) for level in value.levels), -1])
    return replace(value, kind="factor", data=codes[value.data], levels=tuple(levels))


def used(value: Vector) -> NDArray[np.bool_]:
    """Return which levels occur."""
    return np.asarray(np.bincount(value.data + 1, minlength=len(value.levels) + 1)[1:] > 0)


def as_factor(value: Vector, collate: Collate) -> Vector:
    """R's `as.factor()`: levels sorted as numbers, or as text in the locale."""
    if value.kind == "factor":
        return value
    if value.kind == "character":
        return with_levels(value, sorted_levels(value.levels, collate))
    data = value.data.reshape(len(value), -1)[:, 0]
    codes, found = pd.factorize(data, sort=True)
    shown = labels(found, value.kind)
    if len(set(shown)) < len(shown):  # numbers that differ after the 15th digit
        again, unique = pd.factorize(np.array(shown, dtype=object))
        codes, shown = np.where(codes < 0, -1, again[codes]), list(unique)
    return factor_of(codes, map(str, shown))


def labels(values: Floats, kind: Kind) -> list[str | None]:
    """R's `as.character()` of numbers, logicals, dates and times."""
    known = values[~np.isnan(values)]
    if kind == "logical":
        shown = ["TRUE" if value else "FALSE" for value in known]
    elif kind == "integer":
        shown = [f"{value:.0f}" for value in known]
    elif kind == "Date":
        shown = [str(np.datetime64(int(np.floor(value)), "D")) for value in known]
    elif kind == "POSIXct":
        times = (known * 1e6).round().astype("datetime64[us]").astype("datetime64[s]")
        whole = [str(time).replace("T", " ") for time in times]
        cut = 0 if any(known % DAY) else 9
        shown = [time[: len(time) - cut] for time in whole]
    else:
        shown = [number_label(float(value)) for value in known]
    found: list[str | None] = [None] * len(values)
    for at, text in zip(np.flatnonzero(~np.isnan(values)), shown, strict=True):
        found[at] = text
    return found


def from_pandas(series: "pd.Series[Any]") -> Vector:
    """Return a column of a data frame with R's type.

    Days (`datetime.date`, and datetime64 without a time of day or zone) are R's Date, other
    datetimes R's POSIXct.

    Raises
    ------
    DataError
        For a type that R does not have.
    """
    dtype = series.dtype
    if dtype == np.float64:
        return Vector("double", series.to_numpy(copy=True))
    array = series.array
    if isinstance(array, pd.Categorical):
        levels = array.categories
        shown = levels if levels.inferred_type == "string" else _levels(pd.Series(levels))
        return factor_of(array.codes, map(str, shown), ordered=bool(array.ordered))
    types = pd.api.types
    kind = "" if dtype != np.dtype(object) else types.infer_dtype(series, skipna=True)
    if types.is_bool_dtype(dtype) or kind == "boolean":
        known = series if dtype == np.dtype(bool) else series.astype(object).map(_truth)
        return Vector("logical", known.to_numpy(dtype=np.float64))
    numeric = types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype)
    if numeric or kind in {"integer", "floating", "mixed-integer-float", "empty"}:
        whole = types.is_integer_dtype(dtype) or kind == "integer"
        return Vector(
            "integer" if whole else "double", series.to_numpy(dtype=np.float64, na_value=np.nan)
        )
    if types.is_datetime64_any_dtype(dtype) or kind in {"date", "datetime", "datetime64"}:
        return _times(series)
    if kind == "string" or (not kind and types.is_string_dtype(dtype)):
        codes, found = pd.factorize(series.astype(object))
        return Vector("character", codes, tuple(found))
    raise DataError(
        f"The column `{series.name}` has {kind or dtype} values: convert it to numbers, text or a "
        "category."
    )


def _truth(value: object) -> float:
    return float("nan") if pd.isna(value) else float(bool(value))  # type: ignore[call-overload]


def _times(series: "pd.Series[Any]") -> Vector:
    is_day = all(type(value) is date for value in series.dropna().head(1))
    times = pd.to_datetime(series)
    zoned = getattr(times.dt, "tz", None) is not None
    since = (times.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else times).to_numpy()
    seconds = (since - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    if is_day or (not zoned and not (seconds % DAY > 0).any()):
        return Vector("Date", seconds / DAY)
    return Vector("POSIXct", np.asarray(seconds, dtype=np.float64))


def as_time(value: Vector, kind: Kind) -> Vector:
    """Turn days into seconds, or seconds into days."""
    if value.kind == kind:
        return value
    return Vector(kind, value.data * DAY if kind == "POSIXct" else value.data / DAY)


def _levels(values: "pd.Series[Any]") -> list[str | None]:
    """Write levels of a category that are no text as R writes them."""
    try:
        return from_pandas(values).strings()
    except DataError:
        return [str(value) for value in values]
