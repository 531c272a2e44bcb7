"""Unusual values that go to R and back: each arrives whole, or is refused with a message.

`test_session.py` and `parity/test_plugin_values.py` have the usual values.
"""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from fake_r import answer, wire
from odd_values import CROSSING, MANY, REFUSED, Frame, same
from places import R_SCRIPTS
from rparity.errors import RError, UsageError
from rparity.parity.values import decode, encode, layout, tree, value_of
from rparity.r.from_r import from_wire
from rparity.r.session import RSession
from rparity.r.to_r import as_character, to_wire

SCRIPT = R_SCRIPTS / "odd_values.R"


# From Python ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_r_cannot_hold_are_refused_by_name(name: str) -> None:
    value, what = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        to_wire(value, "the argument x")
    message = str(caught.value)
    assert message.startswith("the argument x")
    assert what in message
    assert message.endswith(".")
    assert "\n" not in message
    assert "\0" not in message


@pytest.mark.parametrize("name", CROSSING)
def test_values_survive_translation_to_r_and_back(name: str) -> None:
    value, expected = CROSSING[name]
    same(from_wire(to_wire(value)), expected)


@pytest.mark.parametrize(
    "text",
    [
        pd.Series([], dtype="str"),
        pd.Series([None], dtype="str"),
        pd.Series([None, None], dtype=object),
        np.array([], dtype="U1"),
    ],
)
def test_empty_columns_of_text_stay_text(text: object) -> None:
    assert to_wire(text)[0] == "character"
    assert to_wire(pd.DataFrame({"s": text}))[1][0][0] == "character"


def test_categories_have_the_levels_that_r_gives_them() -> None:
    levels = {
        (True, False): ["FALSE", "TRUE"],
        (1.0, 2.5): ["1", "2.5"],
        (0.1 + 0.2, 1e5, 123456.0): ["0.3", "1e+05", "123456"],
        (3, 100000): ["3", "100000"],
        (pd.Timestamp("2024-02-29"),): ["2024-02-29"],
    }
    for categories, expected in levels.items():
        attributes = to_wire(pd.Categorical(categories))[2]
        assert sorted(attributes["levels"][1]) == sorted(expected)


# From R, without R ------------------------------------------------------------------------------


def factor(codes: list[int], levels: list[str | None]) -> object:
    data = np.array(codes, dtype=np.int32).tobytes()
    own = {"levels": ("character", levels, {}), "class": ("character", ["factor"], {})}
    return "integer", data, own


@pytest.mark.parametrize(
    ("wired", "what"),
    [
        (factor([1], ["a", None]), "a factor one of whose levels is NA"),
        (factor([1], ["a", "a"]), "a factor two of whose levels have one name"),
        (factor([3], ["a"]), "a factor with a value beyond its levels"),
        (factor([1], []), "a factor with a value beyond its levels"),
    ],
)
def test_a_factor_that_python_cannot_hold_is_refused(wired: object, what: str) -> None:
    with pytest.raises(RError, match=rf"^f\(\) returned {what}"):
        from_wire(wired, "f()")


def dates(*days: float) -> object:
    return "double", np.array(days).tobytes(), {"class": ("character", ["Date"], {})}


def test_a_date_that_python_cannot_hold_is_refused() -> None:
    for day in (np.inf, 1e15, -1e6):
        with pytest.raises(RError, match="outside the years 1 to 9999"):
            from_wire(dates(0.0, day))
    with pytest.raises(RError, match="a fraction of a day"):
        from_wire(dates(0.0, 1.5))


def test_a_date_stored_as_integers_is_a_date() -> None:
    data = np.array([18262, -(2**31)], dtype=np.int32).tobytes()
    found = from_wire(("integer", data, {"class": ("character", ["Date"], {})}))
    same(found, np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"))


def test_empty_and_missing_text_stays_text_in_a_recording() -> None:
    for text in (np.array([], dtype=object), np.array([None, None], dtype=object)):
        recorded = json.loads(layout(encode(tree(wire(text), "f"))))
        same(value_of(decode(recorded)), text)


def test_a_missing_name_in_r_is_na_in_every_mode() -> None:
    wired = ("list", [to_wire(1.5)], {"names": ("character", [None], {})})
    assert from_wire(wired) == {"NA": 1.5}
    assert value_of(tree(wired, "f")) == {"NA": 1.5}


# In a check -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mine",
    [
        Frame(),
        10**400,
        [10**400, 1.5],
        np.timedelta64(1, "D"),
        np.zeros(1, dtype=[("a", int), ("b", float)]),
        {"a": {1, 2}},
        io.StringIO(),
        MANY,
    ],
)
@pytest.mark.parametrize("theirs", [1.0, [1.0, 2.0], {"a": 1.0}, pd.DataFrame({"a": [1.0]}), "x"])
def test_a_check_of_values_that_cannot_be_compared_fails_with_a_message(
    mine: object, theirs: object
) -> None:
    with pytest.raises((UsageError, AssertionError)):
        answer(theirs).check(mine)


def test_a_check_reads_names_that_are_numbers_as_r_does() -> None:
    named = answer(pd.Series({"1e+05": 1.0, "TRUE": 2.0}))
    named.check(pd.Series([1.0, 2.0], index=pd.Index([1e5, True], dtype=object)))


# Through R --------------------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("name", CROSSING)
def test_values_come_back_from_r_unchanged(r: RSession, name: str) -> None:
    value, expected = CROSSING[name]
    same(r.call(SCRIPT, "echo", {"x": value}).value, expected)


@pytest.mark.live
def test_names_are_written_as_r_writes_them(r: RSession) -> None:
    random = np.random.default_rng(1)
    values = np.concatenate(
        [
            random.normal(size=2000) * 10.0 ** random.integers(-12, 12, 2000),
            np.round(random.normal(size=2000), 3),
            10.0 ** np.arange(-10, 15),
            [0.0, 0.1 + 0.2, 1 / 3, 123456.0, 100000.0, 1e5 + 0.1],
        ]
    )
    theirs = r.call(SCRIPT, "names_of", {"x": values}).value
    assert [as_character(value) for value in values] == theirs.tolist()
    whole = random.integers(-(2**31) + 1, 2**31, 1000, dtype=np.int64)
    whole = np.concatenate([whole, 10 ** np.arange(10)])
    theirs = r.call(SCRIPT, "names_of", {"x": whole}).value
    assert [as_character(value) for value in whole] == theirs.tolist()
    assert r.call(SCRIPT, "names_of", {"x": [True, False]}).value.tolist() == ["TRUE", "FALSE"]


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("factor_with_na", "a factor one of whose levels is NA"),
        ("frame_factor_with_na", "a factor one of whose levels is NA"),
        ("factor_beyond", "a factor with a value beyond its levels"),
        ("date_infinite", "outside the years 1 to 9999"),
        ("date_of_text", "a Date that is no number"),
        ("list_matrix", "a matrix of lists"),
        ("uneven_frame", "column b has 3 values"),
        ("null_column", "column a has 0 values"),
        ("array_column", "column m is an array of several dimensions"),
        ("strange_time", "a POSIXct that is no number"),
        ("bytes", "a string that is no text in its encoding"),
        ("invalid", "a string that is no text in its encoding"),
        ("invalid_name", "a string that is no text in its encoding"),
        ("environment", "an environment"),
        ("closure", r"a function \(closure\)"),
        ("symbol", r"R code \(symbol\)"),
        ("expression", r"R code \(expression\)"),
        ("formula", "an object of class formula"),
        ("connection", "an object of class terminal"),
        ("half_named", "whose names are empty or occur twice"),
    ],
)
def test_values_that_python_cannot_hold_are_refused_by_name(
    r: RSession, name: str, what: str
) -> None:
    with pytest.raises(RError, match=what) as caught:
        r.call(SCRIPT, "odd", {"name": name})
    assert str(caught.value).startswith("odd() returned ")
    assert "\n" not in str(caught.value)


@pytest.mark.live
def test_unusual_values_from_r_arrive_whole(r: RSession) -> None:
    def odd(name: str) -> object:
        return r.call(SCRIPT, "odd", {"name": name}).value

    same(odd("date_of_integers"), np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"))
    same(odd("latin1"), "é")
    unnamed = odd("frame_without_names")
    assert isinstance(unnamed.columns, pd.RangeIndex)
    assert unnamed.to_numpy().tolist() == [[1.0]]
    assert odd("missing_name") == {"NA": 1.0}
    same(odd("no_strings"), np.array([], dtype=object))
    assert odd("null") is None


@pytest.mark.live
def test_invalid_bytes_in_messages_are_shown(r: RSession) -> None:
    assert r.call(SCRIPT, "say", {"how": "bytes"}).messages == ("<e9>",)
    assert r.call(SCRIPT, "say", {"how": "several"}).warnings == ("a\nb",)
    assert r.call(SCRIPT, "say", {"how": "nothing"}).warnings == ("",)
