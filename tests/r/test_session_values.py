"""Values that cross to R and back keep their types and all bits."""

import time

import numpy as np
import pandas as pd
import pytest

from bits import assert_same_bits
from places import R_SCRIPTS
from rparity.errors import (
    RError,
)
from rparity.r.from_r import from_wire
from rparity.r.session import RSession
from rparity.r.to_r import to_wire

SCRIPT = R_SCRIPTS / "misbehave.R"

live = pytest.mark.live


# Values without R -------------------------------------------------------------------------------


def wired(value: object) -> object:
    return from_wire(to_wire(value))


@pytest.mark.parametrize(
    "value", [None, True, 3, -(2**31) + 1, 2**31, 2**53, 0.1, -0.0, "é", "", {"a": {"b": 1}}]
)
def test_scalars_survive_translation(value: object) -> None:
    back = wired(value)
    assert back == value
    assert repr(back) == repr(float(value) if isinstance(value, int) and value > 2**30 else value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "NULL"),
        (True, "logical"),
        (np.bool_(True), "logical"),
        (1, "integer"),
        (np.int64(1), "integer"),
        (-(2**31), "double"),
        (np.uint64(2**40), "double"),
        (np.float32(1), "double"),
        ("a", "character"),
        ([1, None], "integer"),
        ([1, float("nan")], "double"),
        ([True, 2.5], "double"),
        ([None, "a"], "character"),
        ([None], "logical"),
        ([1, [2]], "list"),
        ((), "list"),
        (np.array(["a"]), "character"),
        (np.array([], dtype=float), "double"),
        (np.array([], dtype=int), "integer"),
        (np.array(2.0), "double"),
        (pd.Series([1, None], dtype="Int64"), "integer"),
        (pd.Series([True, None], dtype="boolean"), "logical"),
        (pd.Series([1.5, None], dtype="Float64"), "double"),
        (pd.Series(["a", None]), "character"),
        (pd.Index(["a"]), "character"),
        (pd.Categorical(["a"]), "integer"),
        (pd.Timestamp("2024-01-01"), "double"),
        (np.datetime64("2024-01-01"), "double"),
    ],
)
def test_each_value_has_its_type_in_r(value: object, kind: str) -> None:
    assert to_wire(value)[0] == kind


# Values through R -------------------------------------------------------------------------------


@live
def test_doubles_keep_all_bits(r: RSession) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**63, 100_000).view(np.float64)
    values = values[np.isfinite(values)]
    special = [0.0, -0.0, np.inf, -np.inf, 5e-324, np.nextafter(1, 2), np.finfo(float).max]
    values = np.concatenate([special, values, -values])
    assert_same_bits(r.call(SCRIPT, "echo", {"x": values}).value, values)


@live
def test_r_sees_special_doubles_as_python_has_them(r: RSession) -> None:
    seen = r.call(SCRIPT, "bits", {"x": np.array([0.1, -0.0, np.nan])}).value
    assert seen["hex"].tolist()[:2] == ["0x1.999999999999ap-4", "-0x0p+0"]
    assert seen["na"].tolist() == [False, False, True]


@live
def test_values_of_every_kind_from_r(r: RSession) -> None:
    v = r.call(SCRIPT, "values").value
    assert v["double"] == 0.1 + 0.2
    assert type(v["integer"]) is int
    assert v["logical"] is True
    assert v["string"] == "é"
    assert v["nothing"] is None
    assert np.isnan(v["na"])
    assert np.isnan(v["na_integer"])
    assert v["na_string"] is None
    np.testing.assert_array_equal(v["vector"], [1, np.nan, np.nan, np.inf, -np.inf, 0])
    assert np.signbit(v["vector"][-1])
    assert v["integers"].dtype == np.int64
    np.testing.assert_array_equal(v["integers_na"], [1, np.nan])
    assert v["logicals"].tolist() == [True, False]
    assert v["strings"].tolist() == ["a", None]
    assert v["empty"].shape == (0,)
    assert v["no_strings"].shape == (0,)
    pd.testing.assert_series_equal(v["named"], pd.Series({"(Intercept)": 1.5, "x": 2.0}))
    pd.testing.assert_series_equal(v["named_one"], pd.Series({"x": 1.0}))
    expected = pd.DataFrame(
        np.array([[1, 3, 5], [2, 4, 6]]) / 3, index=["a", "b"], columns=["p", "q", "r"]
    )
    pd.testing.assert_frame_equal(v["matrix"], expected, check_exact=True)
    assert isinstance(v["bare_matrix"].columns, pd.RangeIndex)
    assert v["bare_matrix"].loc[0].tolist() == ["a", "b"]
    np.testing.assert_array_equal(v["array"], np.arange(1, 9).reshape(2, 2, 2, order="F"))
    pd.testing.assert_series_equal(v["table"], pd.Series({"u": 4.0, "v": 2.0}))
    assert v["factor"].categories.tolist() == ["b", "a"]
    assert v["factor"].codes.tolist() == [0, 1, -1]
    assert v["ordered"].ordered
    assert v["date"] == np.datetime64("2024-02-29")
    assert v["dates"].astype(str).tolist() == ["1969-12-31", "NaT"]
    assert v["frame"].index.tolist() == ["first", "second"]
    assert v["frame"]["s"].isna().tolist() == [False, True]
    assert v["frame"]["x"].dtype == np.float64
    assert isinstance(v["numbered"].index, pd.RangeIndex)
    assert v["numbered"]["i"].tolist() == [1, 2]
    assert v["no_rows"].shape == (0, 1)
    assert v["nested"] == {"a": {"b": 1.0}}
    assert v["bare_list"] == [1.0, "a"]
    assert v["empty_list"] == []


@live
def test_strings_of_another_encoding(r: RSession) -> None:
    assert r.call(SCRIPT, "in_latin1").value == "é"


@live
@pytest.mark.parametrize(
    ("value", "r_type", "r_class", "missing"),
    [
        (np.array([1.0, np.nan]), "double", "numeric", 1),
        (pd.Series([1, None], dtype="Int64"), "integer", "integer", 1),
        (pd.Series([True, None], dtype="boolean"), "logical", "logical", 1),
        (["a", None], "character", "character", 1),
        (pd.Categorical(["b", None], categories=["b", "a"]), "integer", "factor", 1),
        (pd.to_datetime(pd.Series(["2024-02-29", None])), "double", "Date", 1),
        (np.arange(3), "integer", "integer", 0),
        ([], "list", "list", 0),
    ],
)
def test_types_of_arguments(
    r: RSession, value: object, r_type: str, r_class: str, missing: int
) -> None:
    seen = r.call(SCRIPT, "typed", {"x": value}).value
    assert (seen["type"], seen["class"], seen["missing"]) == (r_type, r_class, missing)


@live
def test_a_data_frame_comes_back_from_r_unchanged(r: RSession) -> None:
    frame = pd.DataFrame(
        {
            "x": [0.1, np.nan, -0.0],
            "i": [1, 2, 3],
            "b": [True, False, True],
            "s": ["u", "é", None],
            "f": pd.Categorical(["b", "a", None], categories=["b", "z", "a"]),
            "o": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
            "d": pd.to_datetime(["2024-02-29", None, "1900-01-01"]).astype("datetime64[s]"),
        }
    )
    back = r.call(SCRIPT, "echo", {"x": frame}).value
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    named = frame.set_axis(["first", "10", "é"])
    back = r.call(SCRIPT, "echo", {"x": named}).value
    pd.testing.assert_frame_equal(back, named, check_exact=True)


@live
def test_a_dict_of_a_matrix_and_a_series_comes_back_from_r(r: RSession) -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    back = r.call(SCRIPT, "echo", {"x": {"m": matrix, "s": pd.Series({"a": 1, "b": 2})}}).value
    np.testing.assert_array_equal(back["m"].to_numpy(), matrix)
    pd.testing.assert_series_equal(back["s"], pd.Series({"a": 1, "b": 2}))


@live
def test_large_values_are_quick(r: RSession) -> None:
    values = np.random.default_rng(1).normal(size=1_000_000)
    r.call(SCRIPT, "echo", {"x": 1})
    start = time.perf_counter()
    assert_same_bits(r.call(SCRIPT, "echo", {"x": values}).value, values)
    assert time.perf_counter() - start < 3


@live
@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("return_closure", r"returned a function \(closure\); return what it gives"),
        ("return_environment", "an environment"),
        ("return_formula", "an object of class formula"),
        ("twice", "occur twice"),
    ],
)
def test_values_that_python_cannot_take_are_refused(r: RSession, function: str, what: str) -> None:
    with pytest.raises(RError, match=what):
        r.call(SCRIPT, function)
