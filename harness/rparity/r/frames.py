"""Data frames and columns of polars, PyArrow and others as pandas' own, read through narwhals."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd

from rparity.errors import UsageError

# Values of these packages are no data frames of others, and asking narwhals costs time.
OWN = ("builtins", "numpy", "pandas", "datetime", "scipy")


def as_pandas(value: Any, what: str) -> Any:
    """Return a frame or a column of another library as pandas' own, and any other value as it is.

    Columns keep their names, types, time zones and categories. pandas' names of rows have no
    counterpart there, so rows are numbered.

    Raises
    ------
    UsageError
        The frame is lazy, or holds values that R has no type for.
    """
    if type(value).__module__.partition(".")[0] in OWN or _is_plain(value):
        return value
    import narwhals.stable.v2 as nw

    frame = nw.from_native(value, pass_through=True, allow_series=True)
    if isinstance(frame, nw.LazyFrame):
        raise UsageError(f"{what} is a lazy frame, whose values are not known yet; .collect() it.")
    if isinstance(frame, nw.Series):
        return _column(frame, what)
    if not isinstance(frame, nw.DataFrame):
        return value
    names = frame.columns
    columns = {i: _column(frame[name], f"{what}[{name!r}]") for i, name in enumerate(names)}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame))).set_axis(pd.Index(names), axis=1)


def _is_plain(value: Any) -> bool:
    """Whether no package of data frames has been imported that the value could come from."""
    home = type(value).__module__.partition(".")[0]
    return home not in sys.modules or not (
        hasattr(value, "__narwhals_dataframe__")
        or hasattr(value, "__narwhals_series__")
        or hasattr(value, "__arrow_c_stream__")
        or hasattr(value, "collect")
    )


def _column(column: Any, what: str) -> pd.Series[Any]:
    import narwhals.stable.v2 as nw

    dtype = column.dtype
    missing = column.is_null().to_numpy().astype(bool)
    if dtype in (nw.Categorical, nw.Enum):
        cells = column.to_list()
        if dtype == nw.Enum:
            levels = list(dtype.categories)
        elif column.implementation.is_polars():  # whose categories are those of all columns
            levels = list(dict.fromkeys(cell for cell in cells if cell is not None))
        else:
            levels = column.cat.get_categories().to_list()
        return pd.Series(pd.Categorical(cells, categories=levels))
    if dtype.is_integer():
        kind = "Int64" if dtype.is_signed_integer() else "UInt64"
        return pd.Series(pd.array(column.to_list(), dtype=kind if missing.any() else kind.lower()))
    if dtype.is_float():
        return pd.Series(column.to_numpy().astype(np.float64))
    if dtype == nw.Boolean:
        return pd.Series(pd.array(column.to_list(), dtype="boolean"))
    if dtype == nw.Datetime:
        times = pd.Series(np.asarray(column.to_numpy(), dtype=f"datetime64[{dtype.time_unit}]"))
        zone = dtype.time_zone
        return times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
    if dtype == nw.Duration:
        return pd.Series(np.asarray(column.to_numpy(), dtype=f"timedelta64[{dtype.time_unit}]"))
    if dtype in (nw.String, nw.Date) or missing.all():
        return pd.Series(column.to_list(), dtype=object)
    raise UsageError(f"{what} holds {dtype}, which R has no type for; cast it, or leave it out.")
