"""Unusual values for R: those it can take, with what comes back, and those that are refused."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from scipy import sparse

UTC = datetime.UTC

MANY = pd.MultiIndex.from_tuples([("a", "b"), ("c", "d")])

ITSELF: list[object] = []

ITSELF.append(ITSELF)


class Colour(enum.Enum):
    RED = 1


class Grade(str, enum.Enum):  # noqa: UP042 - str() of it is not its text
    GOOD = "good"


class Number(enum.IntEnum):
    ONE = 1


class Frame:
    """A data frame of another library, as polars has one."""

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame({"a": [1.0]})


REFUSED = {
    "NUL": ("a\0b", "the character NUL"),
    "NUL in a list": (["x", "a\0b"], "the character NUL"),
    "NUL in a key": ({"a\0b": 1}, "in its keys, holds 'a\\x00b'"),
    "NUL in a column": (pd.DataFrame({"a\0b": [1]}), "in its columns, holds 'a\\x00b'"),
    "NUL in an index": (pd.Series([1], index=["a\0b"]), "in its index, holds 'a\\x00b'"),
    "NUL in a category": (pd.Categorical(["a\0b"]), "in its categories, holds 'a\\x00b'"),
    "surrogate": ("\udce9", "lone surrogate"),
    "array of bytes": (np.array([b"a"]), "(bytes); use .decode() if it is text"),
    "long complex": (np.array([1j], dtype=np.clongdouble), "use .astype(complex)"),
    "long double": (np.longdouble(1), "(numpy.longdouble); use float()"),
    "array of long doubles": (np.array([1], dtype=np.longdouble), "use .astype(float)"),
    "Decimal": (decimal.Decimal("0.1"), "(decimal.Decimal); use float()"),
    "Fraction": ([fractions.Fraction(1, 3)], "(fractions.Fraction); use float()"),
    "time": (datetime.time(5), "(datetime.time)"),
    "time of day": (datetime.datetime(2020, 1, 1, 5), "times of day without a zone"),
    "times of day": (
        np.array(["2020-01-01T05"], dtype="datetime64[h]"),
        '.tz_localize("UTC") of pandas',
    ),
    "dates and times": (
        [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=UTC)],
        "dates beside times in a zone",
    ),
    "two zones": (
        [datetime.datetime(2020, 1, 1, tzinfo=zone) for zone in (UTC, ZoneInfo("Europe/Paris"))],
        "times in several zones",
    ),
    "zone without a name": (
        pd.Timestamp("2020-01-01", tz="UTC+01:00"),
        '.tz_convert("UTC") of pandas',
    ),
    "time finer than R's": (
        pd.Timestamp("2020-01-01 12:00:00.123456789", tz="UTC"),
        'round them, as by .round("us")',
    ),
    "duration finer than R's": (pd.Timedelta(2**60 + 1, "ns"), "times finer than R's"),
    "Period": (pd.Period("2020-01"), "use .to_timestamp()"),
    "Interval": (pd.Interval(0, 1), "use str()"),
    "binned": (
        pd.cut(pd.Series([1.0, 2.0]), 2),
        "in its categories, has a name that R cannot have",
    ),
    "MultiIndex": (MANY, "(MultiIndex); use .to_frame(index=False)"),
    "index of several levels": (pd.Series([1, 2], index=MANY), "use .reset_index()"),
    "rows of several levels": (pd.DataFrame({"x": [1, 2]}, index=MANY), "use .reset_index()"),
    "columns of several levels": (pd.DataFrame([[1, 2]], columns=MANY), "columns of several"),
    "sparse complex matrix": (sparse.csr_matrix(np.eye(2) * 1j), "use .toarray()"),
    "structured array": (np.zeros(1, dtype=[("a", int), ("b", float)]), "use pd.DataFrame()"),
    "set": ({1, 2}, "(set); use list()"),
    "generator": ((i for i in "ab"), "(generator); use list()"),
    "range": (range(3), "(range); use list()"),
    "object": (object(), "(object)"),
    "enum": (Colour.RED, "Colour)"),
    "list in a column": (pd.DataFrame({"a": [[1]]}), "['a'] cannot be handed to R (list)"),
    "frame of another library": (Frame(), "Frame); use its .to_pandas()"),
    "huge whole number": (2**70, "beyond 2^53"),
    "huge beside a float": ([10**400, 1.5], "whole number that R cannot hold"),
    "odd whole number": (2**53 + 1, "beyond 2^53"),
    "array of huge whole numbers": (np.array([2**60]), "beyond 2^53"),
    "odd beside a float": ([2**53 + 1, 1.5], "whole number that R cannot hold"),
    "categories of one name": (pd.Categorical(["1", 1]), "two categories that R would both"),
    "columns of one name": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns that R"),
    "keys of one name": ({1: 1, "1": 2}, "two keys that R would both call '1'"),
    "no name": ({None: 1}, "in its keys, has a name that R cannot have: None"),
    "no name of a column": (
        pd.DataFrame([[1, 2]], columns=[None, "a"]),
        "a name that R cannot have",
    ),
    "two rows of one name": (pd.DataFrame({"x": [1, 2]}, index=["a", "a"]), "occur twice"),
    "object in a dict": ({"bad": [object()]}, "['bad']"),
    "missing row name": (pd.DataFrame({"a": [1, 2]}, index=["r", None]), "or are missing"),
    "tuple as a name": ({("a", "b"): 1}, "a name that R cannot have: ('a', 'b')"),
    "list in itself": (ITSELF, "lies in itself"),
    "mixed": ([1, "a"], "(int, str)"),
    "mixed matrix": (np.array([["a", 1.5]], dtype=object), "(float, str)"),
}

MASK = [False, True]
PARIS = ZoneInfo("Europe/Paris")
NOON = datetime.datetime(2020, 1, 1, 12, 0, 0, 123456, tzinfo=PARIS)

CROSSING = {
    "complex": (1j, 1j),
    "complex beside whole": ([1, 2j, None], np.array([1, 2j, complex(np.nan, np.nan)])),
    "complex matrix": (np.array([[1j, 2]]), pd.DataFrame([[1j, 2 + 0j]])),
    "complex, all missing": (np.full(2, complex(np.nan)), np.full(2, complex(np.nan))),
    "bytes": (b"a\0\xff", b"a\0\xff"),
    "no bytes": (b"", b""),
    "time in UTC": (datetime.datetime(2020, 1, 1, tzinfo=UTC), pd.Timestamp("2020-01-01", tz=UTC)),
    "times in a zone": (
        [NOON, None],
        pd.Series([NOON, None]).dt.as_unit("us").array,
    ),
    "old time": (
        datetime.datetime(1, 1, 1, tzinfo=UTC),
        pd.Timestamp(datetime.datetime(1, 1, 1, tzinfo=UTC)),
    ),
    "Series in a zone": (
        pd.Series(pd.to_datetime(["2020-01-01"], utc=True), index=["a"]),
        pd.Series(pd.to_datetime(["2020-01-01"], utc=True).as_unit("us"), index=["a"]),
    ),
    "fine time": (
        pd.Timestamp(12345, unit="ns", tz="UTC"),
        pd.Timestamp(12345, unit="ns", tz="UTC"),
    ),
    "missing time": (pd.Series([pd.NaT], dtype="datetime64[ns, UTC]"), pd.NaT),
    "duration": (datetime.timedelta(seconds=1.5), pd.Timedelta(seconds=1.5)),
    "durations": (
        [datetime.timedelta(1), np.timedelta64(3, "h"), None],
        np.array([24, 3, "NaT"], dtype="timedelta64[h]").astype("timedelta64[us]"),
    ),
    "missing duration": (pd.Series([pd.NaT], dtype="timedelta64[ns]"), pd.NaT),
    "no list": ([], []),
    "float16": (np.float16(0.5), 0.5),
    "uint64": (np.array([2**40], dtype=np.uint64), 2.0**40),
    "whole number of its own type": (Number.ONE, 1),
    "string of its own type": (Grade.GOOD, "good"),
    "0-d array": (np.array(1.5), 1.5),
    "0-d arrays in a list": ([np.array(1.5), np.array(2.5)], np.array([1.5, 2.5])),
    "matrix of numpy": (np.ones((1, 2)).view(np.matrix), pd.DataFrame([[1.0, 1.0]])),
    "masked numbers": (np.ma.array([1.5, 2.5], mask=MASK), np.array([1.5, np.nan])),
    "masked whole numbers": (np.ma.array([7, 8], mask=MASK), np.array([7.0, np.nan])),
    "masked truths": (np.ma.array([True, False], mask=MASK), pd.array([True, None], "boolean")),
    "masked strings": (np.ma.array(["a", "b"], mask=MASK), np.array(["a", None], dtype=object)),
    "sparse numbers": (pd.arrays.SparseArray([0.0, 1.0]), np.array([0.0, 1.0])),
    "sparse truths": (pd.arrays.SparseArray([False, True]), np.array([False, True])),
    "far dates": (
        np.array(["9999-12-31", "0001-01-01"], dtype="datetime64[D]"),
        np.array(["9999-12-31", "0001-01-01"], dtype="datetime64[D]"),
    ),
    "dates of other types": (
        [datetime.date(2020, 1, 1), pd.Timestamp("2020-01-02"), None],
        np.array(["2020-01-01", "2020-01-02", "NaT"], dtype="datetime64[D]"),
    ),
    "no strings": (pd.Series([], dtype="str"), np.array([], dtype=object)),
    "no objects": (np.array([], dtype=object), np.array([], dtype=object)),
    "missing strings": (pd.Series([None, None], dtype="string"), np.array([None] * 2)),
    "missing objects": (pd.Series([None, None], dtype=object), np.array([None] * 2)),
    "numbers by dates": (
        pd.Series([1.5], index=pd.to_datetime(["2020-01-01"])),
        pd.Series({"2020-01-01": 1.5}),
    ),
    "numbers by numbers": (
        pd.Series([1.5, 2.5], [0.25, 1e5]),
        pd.Series({"0.25": 1.5, "1e+05": 2.5}),
    ),
    "numbers by categories": (
        pd.Series([1.5], index=pd.CategoricalIndex(["a"])),
        pd.Series({"a": 1.5}),
    ),
    "numbers by their place": (pd.Series([1.5, 2.5], index=[7, 9]), np.array([1.5, 2.5])),
}


def same(left: object, right: object) -> None:
    """Assert that both have the same type and the same values."""
    if isinstance(right, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right)
    elif isinstance(right, pd.Series):
        pd.testing.assert_series_equal(left, right)
    elif isinstance(right, np.ndarray):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype
    elif isinstance(right, pd.api.extensions.ExtensionArray):
        pd.testing.assert_extension_array_equal(left, right)
    else:
        assert (type(left), left) == (type(right), right)
