"""Types of arrays, checks of counts, and R's recycling of parameters."""

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
    """Return n as an integer; raises UsageError unless it is a whole number of at least 0."""
    try:
        value = operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0:
        raise UsageError(f"{name} must be a whole number of at least 0, not {n!r}.")
    return value


def recycle(n: int, parameter: Parameter) -> Floats:
    """Return a parameter as an array of one value or of n; as in R, an empty one becomes NaN."""
    try:
        values = np.atleast_1d(np.asarray(parameter, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1:
        raise UsageError("A parameter must be a number, or numbers in one dimension.")
    if values.size == 0:
        return np.array([np.nan])
    return values if values.size == 1 else np.resize(values, n)


def pick(values: Floats, where: Any) -> Floats:
    """Index recycled values; a single value holds for all draws and is returned unchanged."""
    return values if values.size == 1 else values[where]


def place(
    n: int, live: Flags, idle: Floats, draw: Callable[..., Floats], *parameters: Floats
) -> Floats:
    """Draw where `live` is true; elsewhere return the `idle` values, which need no draw.

    `draw` gets the number of live places and their parameters. As in R, NaN among the idle values
    gives a warning.
    """
    if live.all():
        return draw(n, *parameters)
    live = np.broadcast_to(live, n)
    out = np.array(np.broadcast_to(idle, n))
    if np.isnan(out[~live]).any():
        warnings.warn("NaNs produced", RuntimeWarning, stacklevel=3)
    if live.any():  # single values are not indexed: without a draw they need not be valid
        out[live] = draw(int(live.sum()), *(pick(parameter, live) for parameter in parameters))
    return out


def by_blocks(n: int, draw: Callable[..., Floats], *parameters: Floats) -> Floats:
    """Return n draws, which `draw(number of draws, *their parameters)` makes a block at a time."""
    out = np.empty(n)
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        block = out[rows]
        block[:] = draw(block.size, *(pick(parameter, rows) for parameter in parameters))
    return out


def counted(values: Floats) -> Ints | Floats:
    """Return whole numbers as int64, or unchanged if one is NaN or above 2^53."""
    return values.astype(np.int64) if (np.abs(values) <= EXACT).all() else values


def visited(following: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the places from 0 up to the last one, if each place leads to `following[place]`.

    The last place leads nowhere and is left out. Each round doubles the length of the step.
    """
    last = following.size - 1
    found = np.zeros(1, dtype=np.intp)
    while found[-1] < last:
        found = np.concatenate([found, following.take(found)])
        following = following.take(following)
    return found[: found.searchsorted(last)]
