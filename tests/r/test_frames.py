"""Frames of polars and PyArrow: as arguments for R, and compared with R's answers by name."""

from __future__ import annotations

import datetime

import narwhals.stable.v2 as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fake_r import answer
from rparity.errors import UsageError
from rparity.r.from_r import from_wire
from rparity.r.to_r import to_wire

UTC = datetime.UTC
FRAME = pd.DataFrame({"x": [1.0, 2.0], "s": ["a", None]})


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_a_frame_of_another_library_is_matched_by_name(make: type) -> None:
    r = answer(FRAME)
    r.check(make({"s": ["a", None], "x": [1.0, 2.0]}), rtol=0)
    for wrong in ({"foo": [1.0, 2.0], "s": ["a", None]}, {"x": [1.0, 2.5], "s": ["a", None]}):
        with pytest.raises(AssertionError, match=r"foo|x"):
            r.check(make(wrong))
    with pytest.raises(AssertionError, match="foo"):
        answer(pd.DataFrame({"x": [1.0]})).check(make({"foo": [1.0]}))
    answer({"x": [1.0, 2.0], "y": [3.0, 4.0]}).check(make({"y": [3.0, 4.0], "x": [1.0, 2.0]}))


def test_columns_of_another_library_keep_their_types() -> None:
    day, noon = datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 12, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "whole": [1, None],
            "number": [0.1, None],
            "truth": [True, None],
            "text": ["é", None],
            "day": [day, None],
            "time": [noon, None],
            "wait": [datetime.timedelta(seconds=1.5), None],
            "level": pl.Series(["b", None], dtype=pl.Enum(["b", "a"])),
            "group": pl.Series(["v", None], dtype=pl.Categorical),
        }
    )
    for given in (frame, frame.to_arrow()):
        kind, columns, own = to_wire(given)
        del own["row.names"]
        back = from_wire((kind, columns, own | {"nrow": to_wire(2)}))
        assert list(back) == frame.columns
        assert back.iloc[0].tolist()[:4] == [1.0, 0.1, True, "é"]
        assert back["time"][0] == pd.Timestamp(noon)
        assert back["wait"][0] == pd.Timedelta(seconds=1.5)
        assert pd.Timestamp(back["day"][0]).date() == day
        assert back.iloc[1].isna().all()
    assert to_wire(frame["level"])[2]["levels"][1] == ["b", "a"]
    assert to_wire(frame["group"])[2]["levels"][1] == ["v"]
    assert to_wire(pl.Series([1, 2])) == to_wire([1, 2])
    assert to_wire(nw.from_native(frame.select("number"))) == to_wire(frame.select("number"))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (pl.DataFrame({"a": [1]}).lazy(), "is a lazy frame"),
        (pl.DataFrame({"a": [[1]]}), "holds List"),
        (pl.DataFrame({"a": [b"x"]}), "holds Binary"),
    ],
)
def test_a_frame_that_r_cannot_have_is_refused(value: object, says: str) -> None:
    for act in (lambda: to_wire(value, "the argument x"), lambda: answer(FRAME).check(value)):
        with pytest.raises(UsageError, match=says):
            act()
