"""Why does a check fail? Each cheap change of Python's value is tried until the digits jump.

The changes are those that ports of R's functions need most often: another arrangement of the same
numbers, a sign, a count from 0, another divisor. A change is named only if it was tried and the
whole part of the answer then agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.compare import digits
from rparity.diagnosis.alternatives import ENOUGH, Candidate, explains, transformed
from rparity.diagnosis.causes import Cause
from rparity.errors import UsageError
from rparity.parity.matching import MismatchError, pair, read_beside
from rparity.parity.values import Leaf

Values = NDArray[np.float64]
Order = NDArray[np.intp]
Change = tuple[Cause, str, pd.DataFrame]

# Rows and columns are matched by value only if there are at most so many of them.
MOST = 2000
# A number is rounding if it is so small beside the largest of its part.
NEGLIGIBLE = 1e-13


def candidates(theirs: Leaf, mine: object, place: str, enough: float = ENOUGH) -> list[Candidate]:
    """Return the changes of Python's value that make a part of the answer agree with R's.

    Parameters
    ----------
    theirs : Leaf
        R's vector or table.
    mine : object
        Python's value of it, as given to `check`.
    place : str
        The place of the part in R's answer, such as ``glance``.
    enough : float
        The digits that must agree after a change.

    Returns
    -------
    list of Candidate
        Empty if no change explains the difference, or if the part has no numbers.
    """
    try:
        yours = read_beside(theirs, mine, place)
    except UsageError:
        return []
    if not (_is_numeric(theirs.frame) and _is_numeric(yours.frame)):
        return []
    left, right = (side.frame.astype(np.float64) for side in (theirs, yours))
    if theirs.is_vector != yours.is_vector or not left.size or not right.size:
        return []

    def agreement(frame: pd.DataFrame) -> float:
        value = frame.iloc[:, 0] if yours.is_vector else frame
        try:
            both = pair(theirs, value, place).numbers
        except (MismatchError, UsageError):
            return 0.0
        return _fewest(both[0], both[1])

    before = agreement(right)
    found = []
    for cause, says, frame in _arrangements(left, right, is_vector=yours.is_vector):
        after = agreement(frame)
        if explains(before, after, enough):
            found.append(Candidate(cause, says, after, before))
    return found or [*_values(theirs, mine, place, enough)]


def _is_numeric(frame: pd.DataFrame) -> bool:
    return all(isinstance(t, np.dtype) and t.kind in "iuf" for t in frame.dtypes)


def _fewest(theirs: pd.DataFrame, mine: pd.DataFrame) -> float:
    """Return the fewest digits in which all values agree; 0 if the names differ."""
    if not (theirs.index.sort_values().equals(mine.index.sort_values())) or set(
        theirs.columns
    ) != set(mine.columns):
        return 0.0
    mine = mine.reindex(index=theirs.index, columns=theirs.columns)
    return float(np.min(digits(mine.to_numpy(), theirs.to_numpy())))


# -- the same numbers, arranged in another way -----------------------------------------------------


def _arrangements(left: pd.DataFrame, right: pd.DataFrame, *, is_vector: bool) -> Iterator[Change]:
    """Yield other arrangements of Python's table, each with its cause and a description."""
    if not is_vector:
        yield Cause.ORDER, "transposed", right.T
        yield from _signed(left, right)
        yield from _renamed(left, right, axis=1)
        if left.shape == right.shape and max(left.shape) <= MOST:
            rows, columns = _by_value(left, right)
            if rows is not None:
                yield Cause.ORDER, "with its rows in another order", _rearranged(right, rows)
            if columns is not None:
                yield (
                    Cause.ORDER,
                    "with its columns in another order",
                    _rearranged(right.T, columns).T,
                )
    yield from _renamed(left, right, axis=0)
    if not is_vector and left.shape == right.shape:
        differ = [set(one) != set(other) for one, other in zip(left.axes, right.axes, strict=True)]
        if all(differ):
            named = right.set_axis(left.index, axis=0).set_axis(left.columns, axis=1)
            yield Cause.NAMES, "with R's names of rows and columns, in their order", named


def _signed(left: pd.DataFrame, right: pd.DataFrame) -> Iterator[Change]:
    """Yield the table with other signs of some columns: an eigenvector may have either sign."""
    if left.shape != right.shape:
        return
    theirs = left.to_numpy()
    if not isinstance(right.columns, pd.RangeIndex) and set(right.columns) == set(left.columns):
        theirs = left[right.columns].to_numpy()
    mine = right.to_numpy()
    other = np.abs(mine + theirs).sum(axis=0) < np.abs(mine - theirs).sum(axis=0)
    if other.any():
        names = left.columns if isinstance(right.columns, pd.RangeIndex) else right.columns
        which = "every column" if other.all() else _named(names[other])
        yield Cause.SIGN, f"with the other sign in {which}", right * np.where(other, -1.0, 1.0)


def _renamed(left: pd.DataFrame, right: pd.DataFrame, axis: int) -> Iterator[Change]:
    """Yield the value with names of R's in place of those that R does not have, by their values."""
    theirs, mine = (left, right) if axis else (left.T, right.T)
    known, names = theirs.columns, mine.columns
    if isinstance(known, pd.RangeIndex) or isinstance(names, pd.RangeIndex):
        return
    missing, free = known.difference(names, sort=False), names.difference(known, sort=False)
    if not len(missing) or len(missing) != len(free) or len(free) > MOST:
        return
    if len(theirs) != len(mine):
        return
    new: dict[str, str] = {}
    for name in free:
        fitting = [
            other
            for other in missing
            if other not in new.values() and _agree(mine[name], theirs[other])
        ]
        if len(fitting) != 1:
            return
        new[name] = fitting[0]
    renamed = mine.rename(columns=new)
    says = ", ".join(f"{old!r} renamed to {name!r}" for old, name in list(new.items())[:4])
    yield (
        Cause.NAMES,
        f"with {says}{', …' if len(new) > 4 else ''}",
        renamed if axis else renamed.T,
    )


def _agree(one: pd.Series[float], other: pd.Series[float]) -> bool:
    return bool(np.min(digits(one.to_numpy(), other.to_numpy())) >= ENOUGH)


def _by_value(left: pd.DataFrame, right: pd.DataFrame) -> tuple[Order | None, Order | None]:
    """Return the order of Python's rows, and of its columns, in which they have R's values."""
    theirs, mine = left.to_numpy(), right.to_numpy()
    return _order(theirs, mine), _order(theirs.T, mine.T)


def _order(theirs: Values, mine: Values) -> Order | None:
    """Return the order in which the rows of `mine` are those of `theirs`, or None."""
    # To six digits, so that rounding does not change the order of two rows.
    short = np.vectorize(lambda value: float(f"{value:.6g}"))
    keys = [np.lexsort(short(rows).T) for rows in (theirs, mine)]
    order = np.empty(len(mine), dtype=np.intp)
    order[keys[0]] = keys[1]
    return None if np.array_equal(order, np.arange(len(mine))) else order


def _rearranged(frame: pd.DataFrame, order: Order) -> pd.DataFrame:
    """Return the rows in another order, below the names that were there before."""
    return frame.iloc[order].set_axis(frame.index, axis=0)


# -- other values ----------------------------------------------------------------------------------


def _values(theirs: Leaf, mine: object, place: str, enough: float) -> Iterator[Candidate]:
    """Yield the changes of the values themselves, of the whole part or of some of its columns."""
    try:
        both = pair(theirs, mine, place).numbers
    except (MismatchError, UsageError):
        return
    left, right = both
    if not set(right.columns) <= set(left.columns) or not left.index.equals(right.index):
        return
    left = left[right.columns]  # Python's value may lack columns that are not compared
    whole = right.to_numpy().ravel(), left.to_numpy().ravel()
    found = transformed(*whole, enough)
    yield from map(_counted(left, right), found)
    if not found:
        yield from _shifted(left, right)
    if not found and len(left.columns) > 1:
        yield from _by_column(left, right, enough)
    if not found:
        yield from _negligible(left, right)


def _counted(left: pd.DataFrame, right: pd.DataFrame) -> Callable[[Candidate], Candidate]:
    """Return how to describe a change of whole numbers by one: R counts from 1."""
    whole = all((side.to_numpy() == np.round(side.to_numpy())).all() for side in (left, right))

    def described(candidate: Candidate) -> Candidate:
        if whole and candidate.says == "plus 1":
            return replace(candidate, cause=Cause.COUNTING, says="plus 1: R counts from 1")
        return candidate

    return described


def _shifted(left: pd.DataFrame, right: pd.DataFrame) -> Iterator[Candidate]:
    theirs, mine = left.to_numpy(), right.to_numpy()
    if theirs.shape[0] < 4 and theirs.shape[1] >= 4:  # a vector with names is one row
        theirs, mine = theirs.T, mine.T
    if theirs.shape[0] < 4:
        return
    before = float(np.min(digits(mine, theirs)))
    for says, ours, others in (
        ("moved down by one", mine[:-1], theirs[1:]),
        ("moved up by one", mine[1:], theirs[:-1]),
    ):
        after = float(np.min(digits(ours, others)))
        if explains(before, after):
            yield Candidate(Cause.COUNTING, f"{says}, all but one value", after, before)


def _by_column(left: pd.DataFrame, right: pd.DataFrame, enough: float) -> Iterator[Candidate]:
    """Yield the change that every column that differs needs, if there is one."""
    found: dict[tuple[str, str], list[tuple[str, Candidate]]] = {}
    for name in left.columns:
        theirs, mine = left[name].to_numpy(), right[name].to_numpy()
        if np.min(digits(mine, theirs)) >= enough:
            continue
        changes = transformed(mine, theirs, enough)
        if not changes:
            return
        first = changes[0]
        found.setdefault((first.cause, first.says), []).append((name, first))
    # Nearly every ratio fits some n: one n must fit all columns.
    if len(found) == 1:
        ((_, says), columns), *_ = found.items()
        worst = min((each for _, each in columns), key=lambda each: each.digits)
        which = _named(pd.Index([name for name, _ in columns]))
        yield replace(worst, says=f"{says}, in {which}")


def _negligible(left: pd.DataFrame, right: pd.DataFrame) -> Iterator[Candidate]:
    """Yield the absolute tolerance with which only numbers that are rounding would still differ."""
    theirs, mine = left.to_numpy(), right.to_numpy()
    differ = digits(mine, theirs) < ENOUGH
    largest = np.nanmax(np.abs(theirs)) if np.isfinite(theirs).any() else 0.0
    size = np.maximum(np.abs(theirs), np.abs(mine))[differ].max(initial=0.0)
    if differ.any() and not differ.all() and 0.0 < size <= NEGLIGIBLE * largest:
        before = float(np.min(digits(mine, theirs)))
        after = float(np.min(digits(mine, theirs)[~differ]))
        atol = 10.0 ** np.ceil(np.log10(size))
        yield Candidate(
            Cause.CANCELLATION,
            f"with atol={atol:.0e}: the numbers that differ are at most {size:.1e}, beside "
            f"others of {largest:.2g}",
            after,
            before,
        )


def _named(names: pd.Index[str]) -> str:
    some = ", ".join(repr(str(name)) for name in names[:4])
    return some + (", …" if len(names) > 4 else "")
