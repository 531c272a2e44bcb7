"""Times as R has them, doubles of seconds or days, and as numpy has them, whole ticks."""

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from rparity.errors import UsageError

# Seconds in the units of R's difftime.
SECONDS = {"secs": 1.0, "mins": 60.0, "hours": 3600.0, "days": 86400.0, "weeks": 604800.0}
# Ticks a second of the units in which times are kept here, the coarser one first.
TICKS = {"us": 10**6, "ns": 10**9}


def ticks(values: "np.ndarray[Any, Any]", seconds: float = 1.0) -> "tuple[Any, str] | None":
    """Return times as whole ticks, and their unit: the coarsest that gives back each double.

    Parameters
    ----------
    values
        Times as R has them, in units of so many `seconds`; NaN where they are missing.

    Returns
    -------
    tuple or None
        The ticks as int64 (0 where the time is missing), and a key of `TICKS`; None if not even
        nanoseconds are fine enough, or the times are beyond the range of int64.
    """
    present = np.where(np.isnan(values), 0.0, values)
    for unit, rate in TICKS.items():
        scaled = present * seconds * rate
        if not (np.abs(scaled) < 2.0**63).all():
            return None
        # A whole part and a rest, because a double does not hold all ticks of today.
        whole = np.floor(present * seconds)
        rest = np.rint((present * seconds - whole) * rate)
        counted = whole.astype(np.int64) * rate + rest.astype(np.int64)
        if (as_double(counted, unit, seconds) == present).all():
            return counted, unit
    return None


def as_double(counted: "np.ndarray[Any, Any]", unit: str, seconds: float = 1.0) -> Any:
    """Return whole ticks of a unit as R's double that is nearest, in units of `seconds`."""
    rate = TICKS[unit]
    whole, rest = np.divmod(counted, np.int64(rate))
    # Both parts are doubles, and their sum is rounded once.
    exact = whole.astype(np.float64) + rest.astype(np.float64) / rate
    return exact / seconds


def instants(counted: "np.ndarray[Any, Any]", unit: str, missing: Any, zone: str) -> Any:
    """Return ticks since 1970 as pandas' array of times in a zone."""
    values = counted.astype(f"datetime64[{unit}]")
    values[missing] = np.array("NaT", dtype=values.dtype)
    named = datetime.UTC if zone == "UTC" else ZoneInfo(zone)
    return pd.Series(values).dt.tz_localize("UTC").dt.tz_convert(named).array


def seconds_of(values: "np.ndarray[Any, Any]", what: str) -> Any:
    """Return times or durations of numpy as R's doubles of seconds; NaN where they are missing.

    Raises
    ------
    UsageError
        A double of seconds cannot give back the same ticks.
    """
    unit = np.datetime_data(values.dtype)[0]
    kept = unit if unit in TICKS else "us"
    missing = np.isnat(values)
    counted = values.astype(f"{values.dtype.kind}8[{kept}]").astype(np.int64)
    counted[missing] = 0
    seconds = as_double(counted, kept)
    again = ticks(seconds)
    exact = (
        again is not None
        and (
            again[0] * (TICKS["ns"] // TICKS[again[1]]) == counted * (TICKS["ns"] // TICKS[kept])
        ).all()
    )
    if not exact:
        raise UsageError(
            f"{what} holds times finer than R's, which are doubles of seconds; round them, as by "
            '.round("us") of pandas.'
        )
    seconds[missing] = np.nan
    return seconds


def zone_name(zone: Any, what: str) -> str:
    """Return the name of a time zone of Python, which R shares.

    Raises
    ------
    UsageError
        It has none, as an offset from UTC.
    """
    own = getattr(zone, "key", None) or getattr(zone, "zone", None)
    name = "UTC" if zone is datetime.UTC else own
    if not name:
        raise UsageError(
            f"{what} has the time zone {zone}, which R does not have by that name; use "
            '.tz_convert("UTC") of pandas, or a zone such as "Europe/Paris".'
        )
    return str(name)
