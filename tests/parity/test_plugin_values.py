"""R's answers as vectors and tables, written as JSON and read back with all bits."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fake_r import wire
from rparity.errors import RError
from rparity.parity.values import LINE, Leaf, decode, encode, layout, tree, value_of
from rparity.r.from_r import from_wire
from rparity.r.to_r import to_wire
from rparity.r.wire import NULL

SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, np.finfo(float).max, 0.1, 1 / 3, 7.0]
FRAME = pd.DataFrame(
    {
        "x": [0.1, np.nan, -0.0],
        "i": [1, 2, 3],
        "b": [True, False, True],
        "l": pd.array([True, None, False], "boolean"),
        "s": ["u", "é\n\"'", None],
        "f": pd.Categorical(["b", "a", None], categories=["b", "z", "a"]),
        "o": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
        "d": pd.to_datetime(["2024-02-29", None, "1900-01-01"]).astype("datetime64[s]"),
    }
)


def there_and_back(value: object) -> object:
    text = layout(encode(tree(wire(value), "f")))
    again = decode(json.loads(text))
    assert layout(encode(again)) == text
    return value_of(again)


def bits(values: object) -> list[int]:
    return np.asarray(values, dtype=np.float64).view(np.uint64).tolist()


def test_vectors_keep_all_bits() -> None:
    random = np.random.default_rng(1).integers(0, 2**63, 2000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([SPECIAL, random[np.isfinite(random)], -random[np.isfinite(random)]])
    assert bits(there_and_back(values)) == bits(values)


@pytest.mark.parametrize("value", [1.5, 7.0, 7, True, "a", "", "NA", "Inf", np.inf, -0.0, np.nan])
def test_single_values_keep_their_type(value: object) -> None:
    back = there_and_back(value)
    assert (type(back), repr(back)) == (type(value), repr(value))


def test_a_missing_string_is_no_null() -> None:
    answer = tree(("character", [None], {}), "f")
    assert value_of(decode(encode(answer))) is None


def test_dates() -> None:
    assert there_and_back(np.datetime64("2024-02-29")) == np.datetime64("2024-02-29")
    back = there_and_back(np.array(["1969-12-31", None], dtype="datetime64[D]"))
    assert back.dtype == "datetime64[D]"
    assert back.astype(str).tolist() == ["1969-12-31", "NaT"]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series({"(Intercept)": 1.5, "x": np.nan}),
        pd.Series({"1": 1, "2": 2}),
        pd.Series({"a": "u"}),
        pd.Series(pd.Categorical(["u", "v"]), index=["a", "b"]),
        pd.Series(pd.array([True, None], "boolean"), index=["a", "b"]),
    ],
)
def test_vectors_with_names(series: pd.Series) -> None:
    pd.testing.assert_series_equal(there_and_back(series), series, check_exact=True)


@pytest.mark.parametrize("index", [None, ["first", "10", "é"]])
def test_data_frames(index: list[str] | None) -> None:
    frame = FRAME if index is None else FRAME.set_axis(index)
    pd.testing.assert_frame_equal(there_and_back(frame), frame, check_exact=True)


def test_frames_without_rows_and_vectors_without_elements() -> None:
    back = there_and_back({"frame": pd.DataFrame({"a": np.zeros(0)}), "vector": np.zeros(0)})
    assert back["frame"].shape == (0, 1)
    assert list(back["frame"].columns) == ["a"]
    assert back["vector"].shape == (0,)


def test_a_matrix() -> None:
    values = np.arange(6.0).reshape(2, 3) / 7
    back = there_and_back(values)
    assert isinstance(back.columns, pd.RangeIndex)
    assert bits(back) == bits(values)


def test_a_matrix_of_logicals_of_which_some_are_missing() -> None:
    kind, data, _ = to_wire(pd.array([True, None, False, True], "boolean"))
    back = from_wire((kind, data, {"dim": to_wire([2, 2])}))
    assert back.dtypes.tolist() == ["boolean", "boolean"]
    assert back.isna().to_numpy().tolist() == [[False, False], [True, False]]


def test_a_factor_stays_one() -> None:
    back = there_and_back(pd.Categorical(["b", None], categories=["b", "a"], ordered=True))
    assert isinstance(back, pd.Categorical)
    assert back.ordered
    assert back.categories.tolist() == ["b", "a"]


def test_lists_in_lists() -> None:
    value = {"a": {"list": 1, "b": {"rows": 2.5}}, "table": "x"}
    assert there_and_back(value) == value


def test_changing_an_answer_does_not_change_the_comparison() -> None:
    answer = tree(wire({"v": np.zeros(2), "s": pd.Series({"a": 0.0}), "m": np.zeros((2, 2))}), "f")
    seen = value_of(answer)
    seen["v"][0] = seen["s"]["a"] = seen["m"].iloc[0, 0] = 1.0
    again = value_of(answer)
    assert again["v"][0] == again["s"]["a"] == again["m"].iloc[0, 0] == 0.0


def test_each_row_of_a_table_is_a_line() -> None:
    frame = pd.DataFrame({"estimate": np.arange(30) / 7, "name": "x"}, [f"r{i}" for i in range(30)])
    lines = layout(encode(tree(wire(frame), "f"))).splitlines()
    assert sum(line.strip().startswith('["r') for line in lines) == 30
    assert max(map(len, lines)) <= LINE + 10
    assert json.loads("\n".join(lines))["rows"][1] == ["r1", 1 / 7, "x"]


def list_of(*items: object) -> object:
    names = [name for name, _ in items]
    return "list", [item for _, item in items], {"names": ("character", names, {})}


@pytest.mark.parametrize(
    ("wired", "value"),
    [
        (NULL, None),
        (to_wire([]), []),
        (list_of(), {}),
        (to_wire([1, [[]]]), [1, [[]]]),
        (list_of(("a", list_of(("b", NULL)))), {"a": {"b": None}}),
    ],
)
def test_lists_of_all_kinds(wired: object, value: object) -> None:
    assert from_wire(wired) == value
    text = layout(encode(tree(wired, "f")))
    again = value_of(decode(json.loads(text)))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("shape", [(2, 3, 2), (1, 1, 1), (2, 0, 3), (2, 1, 2, 2)])
def test_arrays_of_many_dimensions(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=float).reshape(shape) / 7
    back = there_and_back(values)
    assert back.shape == shape
    assert bits(back) == bits(values)


@pytest.mark.parametrize(
    "value",
    [
        pd.Series([1, 2], index=["a", "a"]),
        {"m": pd.DataFrame([[1, 2]], ["a", "b"])},
    ],
)
def test_names_that_occur_twice(value: object) -> None:
    kind, items, attributes = wire(value)
    if "m" in value:
        columns, rows, own = items[0]
        items = [(columns, rows, own | {"names": ("character", ["a", "a"], {})})]
    with pytest.raises(RError, match="name 'a' twice"):
        tree((kind, items, attributes), "f")


def test_descriptions_of_values() -> None:
    names = {
        "a single value": 1,
        "a vector of 1": pd.Series({"a": 1}),
        "a vector of 2": [1, 2],
        "a table of 2 × 1": pd.DataFrame({"a": [1, 2]}),
        "an array of 1 × 2 × 1": np.zeros((1, 2, 1)),
    }
    for name, value in names.items():
        leaf = tree(wire(value), "f")
        assert isinstance(leaf, Leaf)
        assert str(leaf) == name
