"""Planted errors in every kind of value: one above the tolerance fails, one below it passes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fake_r import answer
from few import mostly_slow
from rparity.parity.answer import RAnswer

NUMBERS = np.array([3.7e5, -1.25e-8, 0.1, -7.0, 2.3e-300, 1.9e300])
VECTOR = pd.Series(NUMBERS, ["(Intercept)", "x", "x:z", "poly(x, 2)1", "s²", "é"])
FRAME = pd.DataFrame(
    {
        "estimate": NUMBERS[:3],
        "p_value": [0.05, 1e-16, np.nan],
        "n": [10, 20, 30],
        "term": ["a", "b", None],
        "level": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"]),
        "ok": [True, False, True],
        "day": pd.to_datetime(["2024-02-29", None, "1969-12-31"]),
    },
    index=["first", "second", "third"],
)
KINDS: dict[str, Any] = {
    "scalar": 0.1,
    "integer": 12345,
    "vector with names": VECTOR,
    "vector": NUMBERS,
    "matrix": NUMBERS.reshape(2, 3),
    "data frame": FRAME,
    "numbered data frame": FRAME.reset_index(drop=True),
    "list": {"glance": VECTOR[:2], "sub": {"n": 5.5, "method": "REML"}},
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def truth(kind: str) -> Any:
    return KINDS[kind]


@pytest.fixture(scope="module")
def r(truth: Any) -> RAnswer:
    return answer(truth)


def differing(r: RAnswer, mine: object, **terms: Any) -> int:
    """Return the number of values that differ according to a check."""
    try:
        r.check(mine, **terms)
    except AssertionError as error:
        return int(re.match(r"Python differs from R in (\d+) value", str(error))[1])
    return 0


def passes(r: RAnswer, mine: object, **terms: Any) -> bool:
    return differing(r, mine, **terms) == 0


def backwards(value: Any) -> Any:
    """Return the value with everything that has a name in another order."""
    if isinstance(value, dict):
        return {name: backwards(item) for name, item in reversed(value.items())}
    if isinstance(value, pd.Series):
        return value[::-1].to_dict()
    if isinstance(value, pd.DataFrame):
        rows = slice(None) if isinstance(value.index, pd.RangeIndex) else slice(None, None, -1)
        return value.iloc[rows, ::-1]
    return value


def each(value: Any, change: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield copies of a value, each with one of its numbers changed."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from ({**value, name: other} for other in each(item, change))
    elif isinstance(value, pd.DataFrame):
        for name in value.select_dtypes("number"):
            for other in each(value[name], change):
                yield value.assign(**{name: other})
    elif isinstance(value, pd.Series):
        for i in np.flatnonzero(value.notna()):
            cells = value.tolist()
            cells[i] = change(cells[i])
            yield pd.Series(cells, value.index)
    elif isinstance(value, np.ndarray):
        for i in range(value.size):
            flat = value.ravel().tolist()
            flat[i] = change(flat[i])
            yield np.array(flat, dtype=object if isinstance(flat[i], str) else None).reshape(
                value.shape
            )
    elif not isinstance(value, str):
        yield change(value)


def everywhere(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return the value with all its numbers changed."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: everywhere(item, change) for name, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return value.assign(**{name: change(value[name]) for name in value.select_dtypes("number")})
    return change(value)


def count(value: Any) -> int:
    """Return the number of numbers in which an error can be planted."""
    return sum(1 for _ in each(value, float))


def test_there_are_numbers_to_plant_errors_in() -> None:
    assert [count(value) for value in KINDS.values()] == [1, 1, 6, 6, 6, 8, 8, 3]


@pytest.mark.parametrize("order", [lambda value: value, backwards])
def test_equal_values_pass_at_zero_tolerance(r: RAnswer, truth: Any, order: Any) -> None:
    assert passes(r, order(truth), rtol=0)


@pytest.mark.parametrize(
    "k", mostly_slow(range(3, 12), lambda k: k in (3, 11), "each value of each kind, nine times")
)
def test_an_error_below_the_tolerance_passes_and_one_above_fails(
    r: RAnswer, truth: Any, k: int
) -> None:
    rtol, expected = 10.0**-k, count(truth)
    for sign in (-1, 1):
        below, above = 1 + 0.999 * sign * rtol, 1 + 1.001 * sign * rtol
        assert differing(r, everywhere(truth, lambda c, f=below: c * f), rtol=rtol) == 0
        assert differing(r, everywhere(truth, lambda c, f=above: c * f), rtol=rtol) == expected


def test_one_error_is_found_in_any_order_of_names(r: RAnswer, truth: Any) -> None:
    rtol = 1e-7
    assert passes(r, backwards(everywhere(truth, lambda c: c * (1 + rtol / 2))), rtol=rtol)
    for mine in each(truth, lambda c: c * (1 + 2 * rtol)):
        assert differing(r, mine, rtol=rtol) == differing(r, backwards(mine), rtol=rtol) == 1


@pytest.mark.parametrize("atol", [1e-3, 1e-7])
def test_an_absolute_tolerance_holds_at_any_size(atol: float) -> None:
    value = pd.Series({"zero": 0.0, "small": 1e-9, "one": 1.0, "hundred": 100.0})
    r = answer(value)
    assert passes(r, value + 0.999 * atol, rtol=0, atol=atol)
    for mine in each(value, lambda c: c + 1.001 * atol):
        assert not passes(r, mine, rtol=0, atol=atol)


def test_the_next_number_fails_at_zero_tolerance(r: RAnswer, truth: Any) -> None:
    mine = everywhere(truth, lambda c: np.nextafter(c, np.inf))
    assert differing(r, mine, rtol=0) == count(truth)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "sign": lambda c: -c,
    "zero": lambda _: 0.0,
    "NaN": lambda _: np.nan,
    "None": lambda _: None,
    "Inf": lambda _: np.inf,
    "text": str,
    "empty": lambda _: "",
    "logical": bool,
    "digit": lambda c: c * 10,
}


@pytest.mark.parametrize(
    "what",
    mostly_slow(
        CHANGES,
        lambda what: what in ("sign", "NaN", "text"),
        "one more change of each value of each kind",
    ),
)
def test_something_else_fails_at_the_loosest_tolerance(r: RAnswer, truth: Any, what: str) -> None:
    for mine in islice(each(truth, CHANGES[what]), 0, None, 5):
        assert differing(r, mine, rtol=0.5) > 0


def test_a_number_in_place_of_a_missing_value_fails() -> None:
    for missing in (np.nan, np.array([1.0, np.nan]), pd.Series({"a": np.nan})):
        for number in (0.0, 1.0, "NaN", False):
            filled = np.where(pd.isna(missing), number, missing) if np.ndim(missing) else number
            assert not passes(answer(missing), filled, rtol=0.9)


@pytest.mark.parametrize(
    "missing", [None, pd.NA, np.nan, float("nan"), np.datetime64("NaT", "D"), pd.NaT]
)
def test_missing_values_of_all_kinds_agree(missing: object) -> None:
    assert passes(answer(np.nan), missing, rtol=0)


def other_cells(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Return the frame with one cell changed that is not a number."""
    yield frame.assign(term=["a", "B", None])
    yield frame.assign(term=["a", "b", ""])
    yield frame.assign(term=["a", None, None])
    yield frame.assign(level=["lo", "lo", "lo"])
    yield frame.assign(level=[1, 2, 1])  # codes
    yield frame.assign(ok=[True, True, True])
    yield frame.assign(ok=[1, 0, 1])
    yield frame.assign(ok=["True", "False", "True"])
    yield frame.assign(day=frame["day"] + pd.Timedelta(days=1))
    yield frame.assign(day=frame["day"] + pd.Timedelta(hours=1))
    yield frame.assign(day=["2024-02-29", None, "1969-12-31"])
    yield frame.assign(day=frame["day"].fillna(pd.Timestamp("1970-01-01")))


def test_text_logicals_and_dates_must_be_equal_at_any_tolerance() -> None:
    for frame in (FRAME, FRAME.reset_index(drop=True)):
        r = answer(frame)
        assert passes(r, frame.assign(level=["lo", "hi", "lo"]))  # labels are what counts
        for other in other_cells(frame):
            assert not passes(r, other, rtol=0.9, atol=100)


def renamed(value: Any) -> Iterator[Any]:
    """Yield the value with a wrong name, with a name missing, and with one too many."""
    if isinstance(value, dict):
        for name, item in value.items():
            rest = {other: value[other] for other in value if other != name}
            yield rest
            yield rest | {f"{name}_": item}
            yield value | {f"{name}_": item}
            yield from ({**value, name: other} for other in renamed(item))
    if isinstance(value, pd.Series):
        for name in value.index:
            yield value.drop(name)
            yield value.rename({name: f"{name}_"})
            yield pd.concat([value, pd.Series({f"{name}_": 0.0})])
    if isinstance(value, pd.DataFrame):
        for name in value.columns:
            yield value.drop(columns=name)
            yield value.rename(columns={name: f"{name}_"})
            yield value.assign(**{f"{name}_": 0.0})
        if not isinstance(value.index, pd.RangeIndex):
            for name in value.index:
                yield value.drop(name)
                yield value.rename({name: f"{name}_"})


@pytest.mark.parametrize(
    "which",
    mostly_slow(
        ["vector with names", "data frame", "list"],
        lambda which: which == "list",
        "renames each name of one more kind",
    ),
)
def test_a_wrong_a_missing_and_a_further_name_fail(which: str) -> None:
    r, seen = answer(KINDS[which]), 0
    for mine in renamed(KINDS[which]):
        assert not passes(r, mine, rtol=0.9)
        seen += 1
    assert seen >= 18


@pytest.mark.parametrize(
    ("which", "mine"),
    [
        ("vector", NUMBERS[::-1]),
        ("vector", NUMBERS[:-1]),
        ("vector", np.append(NUMBERS, 0.0)),
        ("vector", np.roll(NUMBERS, 1)),
        ("vector", NUMBERS.reshape(1, 6)),
        ("vector", NUMBERS.reshape(6, 1)),
        ("vector", VECTOR),
        ("vector with names", VECTOR[::-1].to_numpy()),
        ("vector with names", VECTOR.set_axis(VECTOR.index[::-1])),
        ("vector with names", NUMBERS[:5]),
        ("vector with names", VECTOR.to_frame()),
        ("vector with names", 3.7e5),
        ("matrix", NUMBERS.reshape(2, 3).T),
        ("matrix", NUMBERS.reshape(3, 2)),
        ("matrix", NUMBERS),
        ("matrix", NUMBERS.reshape(2, 3)[::-1]),
        ("matrix", NUMBERS.reshape(2, 3)[:, ::-1]),
        ("matrix", pd.DataFrame(NUMBERS.reshape(2, 3), columns=["a", "b", "c"])),
        ("data frame", FRAME.T),
        ("data frame", FRAME.set_axis(FRAME.index[::-1])),
        ("data frame", FRAME[::-1].reset_index(drop=True)),
        ("data frame", FRAME["estimate"]),
        ("data frame", FRAME.to_numpy()[:, ::-1]),
        ("numbered data frame", FRAME),
        ("numbered data frame", FRAME[::-1].reset_index(drop=True)),
        ("scalar", [0.1, 0.1]),
        ("scalar", [[0.1]]),
        ("scalar", {"x": 0.1}),
        ("scalar", {}),
        ("scalar", []),
        ("list", 5.5),
        ("list", [5.5]),
        ("list", {}),
        ("list", {"sub": 5.5}),
    ],
)
def test_another_order_or_shape_fails(which: str, mine: object) -> None:
    assert not passes(answer(KINDS[which]), mine, rtol=0.9)


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (1.0, True),
        (True, 1.0),
        (1.0, "1"),
        ("1", 1.0),
        (np.array([1.0, 0.0]), np.array([True, False])),
        (np.array([True, False]), np.array([1.0, 0.0])),
        (np.array([1.0, 2.0]), ["1", "2"]),
        (pd.Series({"a": 1, "b": 0}), {"a": True, "b": False}),
        (pd.DataFrame({"x": [1.0, 0.0]}), pd.DataFrame({"x": [True, False]})),
        (pd.Categorical(["1", "2"]), [1, 2]),
        (np.datetime64("1970-01-02"), 1.0),
    ],
)
def test_equal_values_of_another_type_fail(theirs: object, mine: object) -> None:
    assert not passes(answer(theirs), mine, rtol=0.9)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int8(3), 7, np.array(2.5), pd.Series([1])])
def test_the_type_of_a_number_does_not_count(value: Any) -> None:
    number = np.asarray(value, dtype=float).ravel()[0]
    assert passes(answer(number), value, rtol=0)
