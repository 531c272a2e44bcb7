"""`check()` of values of all kinds: times, complex numbers, raw bytes, lists and arrays."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fake_r import answer
from rparity.errors import UsageError
from rparity.parity.answer import RAnswer
from rparity.parity.store import RecordedCall
from rparity.parity.values import tree
from rparity.r.to_r import to_wire
from rparity.r.wire import NULL

UTC = datetime.UTC


def of_wire(wired: object) -> RAnswer:
    asked = {"script": "f.R", "function": "f", "seed": 1}
    made_by = {"platform": "stand-in", "packages": {"R": "4.2.2"}}
    return RAnswer(RecordedCall(tree(wired, "f"), {"asked": asked, "made_by": made_by}))


# Values of other kinds --------------------------------------------------------------------------


def test_complex_numbers_agree_to_the_digits_of_their_difference() -> None:
    r = of_wire(to_wire([1 + 1j, 3 + 4j]))
    r.check([1 + 1j, 3 + 4j], rtol=0)
    r.check([1 + 1j, 3 + 4.00001j], rtol=1e-5)
    with pytest.raises(AssertionError, match=r"6\.\d  rtol 1e-08"):
        r.check([1 + 1j, 3 + 4.000003j])
    for wrong in ([1 - 1j, 3 + 4j], [1 + 1j, 5.0], [1 + 1j, np.nextafter(3, 4) + 4j]):
        with pytest.raises(AssertionError):
            r.check(wrong, rtol=0)
    of_wire(to_wire([1 + 0j, np.nan])).check([1.0, np.nan], rtol=0)
    with pytest.raises(AssertionError):
        of_wire(to_wire([1 + 0j, np.nan])).check([1.0, 1j])


def test_times_are_equal_where_r_has_one_number_for_both() -> None:
    noon = datetime.datetime(2020, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    r = of_wire(to_wire([noon]))
    r.check(pd.Timestamp(noon).tz_convert("Europe/Paris"))
    r.check(pd.Series([noon]).dt.as_unit("ns"))
    with pytest.raises(AssertionError, match=r"2020-01-01 12:00:00\.123456"):
        r.check(noon + datetime.timedelta(microseconds=1))
    with pytest.raises(AssertionError):  # no zone: it may be another instant
        r.check(noon.replace(tzinfo=None))


def test_durations_agree_to_a_tolerance_and_differ_from_numbers() -> None:
    r = of_wire(to_wire(pd.Timedelta(seconds=100)))
    r.check(datetime.timedelta(seconds=100.0000001), rtol=1e-8)
    for wrong in (datetime.timedelta(seconds=101), 100.0):
        with pytest.raises(AssertionError, match="0 days 00:01:40"):
            r.check(wrong)


def test_raw_bytes_and_sparse_matrices() -> None:
    of_wire(to_wire(b"ab")).check(b"ab", rtol=0)
    with pytest.raises(AssertionError):
        of_wire(to_wire(b"ab")).check(b"ac")
    r = answer(np.array([[0.0, 2.0], [0.0, 1.0]]))
    r.check(sparse.csr_array([[0.0, 2.0], [0.0, 1.0]]), rtol=0)
    with pytest.raises(AssertionError):
        r.check(sparse.csr_array([[0.0, 2.0], [1.0, 1.0]]))


def test_whole_numbers_beyond_doubles_are_told_apart() -> None:
    wired = ("double", np.array([2**53 + 1]).tobytes(), {"class": ("character", ["integer64"], {})})
    of_wire(wired).check(2**53 + 1)
    with pytest.raises(AssertionError, match="9007199254740993"):
        of_wire(wired).check(2**53)


# NULL, lists and arrays -------------------------------------------------------------------------


def test_null_is_none_and_an_empty_list_is_empty() -> None:
    of_wire(NULL).check(None)
    of_wire(to_wire([])).check([])
    for theirs, mine in ((NULL, 1), (NULL, []), (to_wire([]), [1]), (to_wire([]), None)):
        with pytest.raises(AssertionError):
            of_wire(theirs).check(mine)
    with pytest.raises(AssertionError, match=r"a +NULL"):
        of_wire(to_wire({"a": None})).check({"a": 1})


def test_a_list_without_names_is_matched_by_position() -> None:
    r = of_wire(to_wire([{"a": 1.0}, {"a": 2.0}]))
    r.check([{"a": 1.0}, {"a": 2.0}])
    with pytest.raises(AssertionError, match=r"2\.a"):
        r.check([{"a": 1.0}, {"a": 3.0}])
    with pytest.raises(AssertionError, match=r"3  +missing"):
        r.check([{"a": 1.0}, {"a": 2.0}, {"a": 2.0}])
    r.check([{"a": 1.0}, {"a": 3.0}], tolerances={"2.a": 0.9}, only="2")


def test_an_array_is_matched_by_position_or_by_its_names() -> None:
    values = np.arange(12.0).reshape(2, 3, 2)
    kind, data, own = to_wire(values)
    r = of_wire((kind, data, own))
    r.check(values, rtol=0)
    for wrong in (values.transpose(1, 0, 2), values.ravel(), values[..., ::-1]):
        with pytest.raises(AssertionError):
            r.check(wrong)
    names = ("list", [to_wire(["a", "b"]), NULL, to_wire(["s", "t"])], {})
    named = of_wire((kind, data, own | {"dimnames": names}))
    named.check(values, rtol=0)
    shuffled = named.value.sample(frac=1, random_state=1)
    named.check(shuffled, rtol=0)
    with pytest.raises(AssertionError, match="a,3,t"):
        named.check(shuffled.where(shuffled != values[0, 2, 1], 7.0))
    with pytest.raises(UsageError, match="several levels"):
        answer(pd.Series({"a": 1.0, "b": 2.0})).check(pd.Series({("a", "b"): 1.0}))


def test_a_data_frame_with_a_list_in_a_column() -> None:
    lists = ("list", [to_wire([1.0, 2.0]), to_wire("x")], {})
    own = {"names": to_wire(["n", "l"]), "class": to_wire(["data.frame"]), "nrow": to_wire(2)}
    r = of_wire(("list", [to_wire([1, 2]), lists], own))
    mine = pd.DataFrame({"n": [1, 2], "l": pd.Series([[1.0, 2.0], "x"], dtype=object)})
    r.check(mine)
    r.check({"n": [1, 2], "l": [[1.0, 2.0], "x"]})
    with pytest.raises(AssertionError, match=r"l\.1"):
        r.check({"n": [1, 2], "l": [[1.0, 2.5], "x"]})
