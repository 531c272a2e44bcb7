"""What the parts share: array types, checked counts, and parameters recycled as R does."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError

Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Parameter: TypeAlias = float | Sequence[float] | NDArray[Any]

BLOCK = 16_384  # draws worked on at a time: the scratch arrays stay in the cache
EXACT = 2.0**53  # whole numbers up to here are exact as doubles


def count(n: object, name: str) -> int:
    """Return n as an integer of at least 0; UsageError if it is none."""
    try:
        value = operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0:
        raise UsageError(f"{name} is a whole number of at least 0, not {n!r}.")
    return value


def recycle(n: int, parameter: Parameter) -> Floats:
    """Make one value or n of a parameter; none becomes NaN, as in R."""
    try:
        values = np.atleast_1d(np.asarray(parameter, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1:
        raise UsageError("A parameter is a number or one dimension of numbers.")
    if values.size == 0:
        return np.array([np.nan])
    return values if values.size == 1 else np.resize(values, n)


def pick(values: Floats, where: Any) -> Floats:
    """Index recycled values: the single value of all draws stays what it is."""
    return values if values.size == 1 else values[where]


def place(
    n: int, live: Flags, idle: Floats, draw: Callable[..., Floats], *parameters: Floats
) -> Floats:
    """Return `draw(how many, *their parameters)` where live, and elsewhere the idle values.

    Idle draws take nothing off the stream; a NaN among them is warned of, as in R.
    """
    if live.all():
        return draw(n, *parameters)
    live = np.broadcast_to(live, n)
    out = np.array(np.broadcast_to(idle, n))
    if np.isnan(out[~live]).any():
        warnings.warn("NaNs produced", RuntimeWarning, stacklevel=3)
    out[live] = draw(int(live.sum()), *(pick(parameter, live) for parameter in parameters))
    return out


def counted(values: Floats) -> Ints | Floats:
    """Return whole numbers as int64; as they are if one is NaN or above 2^53."""
    return values.astype(np.int64) if (np.abs(values) <= EXACT).all() else values


def visited(following: NDArray[np.intp]) -> NDArray[np.intp]:
    """List the places that lead from 0 to the last one, by doubling the length of the step."""
    last = following.size - 1
    found = np.zeros(1, dtype=np.intp)
    while found[-1] < last:
        found = np.concatenate([found, following.take(found)])
        following = following.take(following)
    return found[: found.searchsorted(last)]
