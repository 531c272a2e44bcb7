"""How far the last bits of the arguments of a call move R's answer.

A backward stable algorithm answers a call whose arguments differ from the given ones in their last
bits (Higham 2002, section 1.5). So two correct programs agree only in the digits that such a change
leaves as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from rparity.compare import MAX_DIGITS, digits, failing
from rparity.parity.candidates import NEGLIGIBLE
from rparity.parity.check import NOTHING, CheckResult, beside
from rparity.parity.matching import MismatchError, pair
from rparity.parity.values import Leaf, Tree, value_of
from rparity.r.wire import Wire

Numbers = NDArray[np.float64]

# An answer that keeps so many digits moves by little more than its arguments.
KEPT = 15.0


def moved(arguments: Mapping[str, Wire]) -> dict[str, Wire]:
    """Return the arguments of a call with each double moved by one unit in its last place.

    The distinct numbers of the call, in increasing order, move up and down in turn. Equal numbers
    move the same way, so that ties stay ties and a symmetric matrix stays symmetric. Whole numbers
    move away from zero, so that R still takes 3 for 3 where it counts. What stays is 0, 1 and −1,
    which may be bounds or indicators; a single whole number, which may be a setting; missing and
    infinite values; integers; and dates, times and other objects.
    """
    numbers = [_movable(x) for wire in arguments.values() for x in _doubles(wire)]
    found = np.unique(np.concatenate([np.zeros(0), *numbers]))
    outward = np.where(np.arange(len(found)) % 2 == 0, np.inf, -np.inf)
    outward[_whole(found)] = np.copysign(np.inf, found[_whole(found)])
    target = np.nextafter(found, outward)
    target[~np.isfinite(target)] = found[~np.isfinite(target)]

    def change(wire: Wire) -> Wire:
        kind, data, attributes = wire
        if kind == "list":
            return kind, [change(item) for item in data], attributes
        for x in _doubles(wire):
            new = x.copy()
            place = np.isin(x, _movable(x))
            new[place] = target[np.searchsorted(found, x[place])]
            return kind, new.tobytes(), attributes
        return wire

    return {name: change(wire) for name, wire in arguments.items()}


def sensitivity(function: str, theirs: Tree, again: Tree) -> dict[str, float] | None:
    """Return the fewest digits in which two answers of R agree, for each part of the answer.

    Parameters
    ----------
    function
        Name of the function that gave them.
    theirs, again
        The answer, and the one to the `moved` arguments.

    Returns
    -------
    dict of float or None
        The digits by place, rounded down to one decimal. A part that keeps 15 digits is left out,
        and so are numbers that are rounding beside the largest of their part. Returns None if the
        answers differ in names, shapes or texts: R then took another way.
    """
    found = {}
    for path, leaf, other in beside(theirs, value_of(again), ""):
        if leaf is None and other is None:
            continue
        if not isinstance(leaf, Leaf) or other is NOTHING:
            return None
        try:
            both = pair(leaf, other, path or f"{function}()")
        except MismatchError:
            return None
        left, right = both.numbers
        if not (left.index.equals(right.index) and left.columns.equals(right.columns)):
            return None
        exact = [name for name in left.columns if name in both.exact]
        if not left[exact].equals(right[exact]):
            return None
        c, q = (
            side.drop(columns=exact).to_numpy(dtype=np.float64).ravel() for side in (left, right)
        )
        sizes = np.abs(c[np.isfinite(c)])
        counts = ~(np.abs(c) <= NEGLIGIBLE * sizes.max(initial=0.0))  # NaN counts
        least = float(digits(q[counts], c[counts]).min(initial=MAX_DIGITS))
        if least < KEPT:
            found[path] = math.floor(10.0 * least) / 10.0
    return found


def too_close(found: CheckResult, kept: Mapping[str, float]) -> list[str]:
    """Return a line for each part with differences whose tolerance R's answer does not determine.

    Parameters
    ----------
    found
        The comparison of R's answer with Python's.
    kept
        The digits of each part of R's answer, as `sensitivity` gives them.
    """
    rows = found.comparisons[failing(found.comparisons)]
    lines = []
    for path, least in kept.items():
        here = rows[rows["table"] == path]
        numbers = [(path, column) not in found.exact for column in here["column"]]
        here = here[np.array(numbers, dtype=np.bool_)]
        size = here["reference_value"].abs()
        if (here["atol"] + here["rtol"] * size < 10.0**-least * size).any():
            lines.append(
                f"Changing the last bit of the arguments changes R's own {path or 'answer'} in the "
                f"{_ordinal(int(least) + 1)} digit: a tolerance below rtol={10.0**-least:.0e} asks "
                "for more than R's answer determines."
            )
    return lines


def _doubles(wire: Wire) -> Iterator[Numbers]:
    """Yield the vectors of doubles in a value, without those of objects such as dates."""
    kind, data, attributes = wire
    if kind == "list":
        for item in data:
            yield from _doubles(item)
    elif kind == "double" and "class" not in attributes and len(data):
        yield np.frombuffer(data, dtype=np.float64)


def _movable(x: Numbers) -> Numbers:
    x = x[np.isfinite(x) & ~np.isin(x, (-1.0, 0.0, 1.0))]
    return x[:0] if len(x) == 1 and _whole(x)[0] else x


def _whole(x: Numbers) -> NDArray[np.bool_]:
    whole: NDArray[np.bool_] = x == np.trunc(x)
    return whole


def _ordinal(n: int) -> str:
    return f"{n}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(n, 'th') }"
