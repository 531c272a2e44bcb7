"""R's values of all kinds: what each becomes in Python, what comes back in R, what is refused.

`kinds.R` makes the values. `tests/data/r_kinds.json` has what R answered. The tests marked live
compare it with R; with RPARITY_WRITE_KINDS=1 they write it.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from odd_values import same
from places import DATA, R_SCRIPTS, ROOT
from rparity.errors import RError, RNotAvailableError, UsageError
from rparity.parity.values import decode, encode, layout, tree, value_of
from rparity.r.session import RSession

SCRIPT = R_SCRIPTS / "kinds.R"
RECORDED = DATA / "r_kinds.json"
NAN = np.nan


def series(values: object, *names: str, **more: object) -> pd.Series:
    return pd.Series(values, index=list(names), **more)


def instants(unit: str, zone: str, *texts: str | None) -> object:
    times = pd.Series(pd.to_datetime(list(texts), utc=True, format="ISO8601"))
    named = datetime.UTC if zone == "UTC" else ZoneInfo(zone)
    return times.dt.as_unit(unit).dt.tz_convert(named).array


def table(values: object, rows: str, columns: str) -> pd.DataFrame:
    return pd.DataFrame(values, rows.split(), columns.split())


def cube(values: object, **axes: list[str]) -> pd.Series:
    """Return values in R's order, the first axis fastest."""
    backwards = pd.MultiIndex.from_product(list(axes.values())[::-1], names=list(axes)[::-1])
    return pd.Series(values, index=backwards.reorder_levels(list(axes)))


MATRIX = np.arange(1, 7).reshape(2, 3, order="F") / 3
LISTS = pd.DataFrame({"a": [1, 2], "l": pd.Series([np.array([1.0, 2.0]), "x"], dtype=object)})

# name: (the value in Python, what it is when it is handed back to R: SAME, or the reason why not)
SAME = "the same"
FRAME = "a DataFrame is a data frame in R; a matrix is a NumPy array"
PLAIN = "without its class"
LACKS = "without an attribute"
SECONDS = "a difftime in seconds"
INT64 = "integers of more than 32 bits are doubles in R, up to 2^53"
VALUES: dict[str, tuple[object, str]] = {
    "NULL": (None, SAME),
    "number": (0.1 + 0.2, SAME),
    "numbers": (np.array([1, NAN, NAN, np.inf, -np.inf, -0.0, 5e-324, 1 / 3]), "NaN is NA"),
    "no_numbers": (np.array([]), SAME),
    "integer": (7, SAME),
    "integers": (np.array([1, 2]), SAME),
    "integers_with_na": (np.array([1, NAN]), "doubles"),
    "logical": (True, SAME),
    "logicals_with_na": (pd.array([True, None, False], dtype="boolean"), SAME),
    "text": ("hé", SAME),
    "texts": (np.array(["a", None, ""], dtype=object), SAME),
    "named": (pd.Series({"(Intercept)": 1.5, "x": 2.0}), SAME),
    "complex": (0.1 - 2j, SAME),
    "complexes": (np.array([1j, complex(NAN, NAN), complex(np.inf, 1 / 3)]), SAME),
    "complex_named": (series([1j, 2 + 0j], "a", "b"), SAME),
    "complex_matrix": (pd.DataFrame([[1j, 3 + 0j], [2, 4]]), FRAME),
    "raw": (b"\0\1\xff", SAME),
    "raw_named": (series([1, 2], "a", "b", dtype=np.uint8), "integers"),
    "integer64": (2**53 + 1, INT64),
    "integers64": (np.array([1, -(2**63) + 1]), INT64),
    "integer64_with_na": (pd.array([5, None], dtype="Int64"), "integers"),
    "factor": (pd.Categorical(["lo", "hi", None], categories=["lo", "hi"]), SAME),
    "ordered": (pd.Categorical(["lo", "hi"], categories=["lo", "hi"], ordered=True), SAME),
    # Times
    "date": (np.datetime64("2024-02-29"), SAME),
    "dates": (np.array(["2024-02-29", "NaT"], dtype="datetime64[D]"), SAME),
    "time": (pd.Timestamp("2020-01-01 12:00", tz="UTC"), SAME),
    "times_in_a_zone": (instants("us", "Europe/Paris", "2020-01-01 12:00:00.5", None), SAME),
    "times_of_the_session": (
        instants("us", "UTC", "1970-01-01", "2001-09-09 01:46:40"),
        "with the zone UTC, which is that of the session",
    ),
    "fine_time": (pd.Timestamp("2020-01-01 12:00:00.123456717", tz="UTC"), SAME),
    "named_times": (pd.Series(instants("us", "UTC", "1970-01-01"), index=["a"]), SAME),
    "broken_down_time": (pd.Timestamp("2020-01-01 05:00", tz="Europe/Paris"), "a POSIXct"),
    "duration": (pd.Timedelta(minutes=90), SECONDS),
    "durations": (
        np.array([12 * 3600, "NaT", 24 * 3600], dtype="timedelta64[s]").astype("timedelta64[us]"),
        SECONDS,
    ),
    "difference_of_dates": (pd.Timedelta(days=29), SECONDS),
    "hms": (pd.Timedelta(hours=1, minutes=30, seconds=5), SECONDS),
    # Lists
    "empty_list": ([], SAME),
    "empty_named_list": ({}, SAME),
    "unnamed_list": ([1.0, "a", None], "cannot be handed to R"),
    "named_list": ({"a": 1.0, "b": {"c": True, "d": None}}, SAME),
    "list_of_lists": ([{"x": 1.0}, {"x": 2.0}], SAME),
    "pairlist": ({"a": 1.0, "b": "x"}, "a list"),
    "run_lengths": ({"lengths": np.array([2, 1]), "values": np.array([1.0, 2.0])}, PLAIN),
    # Arrays
    "matrix": (table(MATRIX, "a b", "p q r"), FRAME),
    "bare_matrix": (pd.DataFrame([[1, 3], [2, 4]]), FRAME),
    "text_matrix": (pd.DataFrame([["a", "c"], [None, "d"]]), FRAME),
    "date_matrix": (
        pd.DataFrame(np.array([["1970-01-01", "1970-01-02"]], dtype="datetime64[s]")),
        FRAME,
    ),
    "array1": (series([1, 2, 3], "a", "b", "c"), "a vector"),
    "array3": (np.arange(1, 13).reshape(2, 3, 2, order="F") / 7, SAME),
    "array3_named": (
        cube(range(1, 9), sex=["F", "M"], **{"": ["x", "y"]}, when=["t1", "t2"]),
        "an index of several levels",
    ),
    "array4": (np.arange(1, 25).reshape(2, 3, 2, 2, order="F"), SAME),
    "part_named_array": (
        pd.Series([1, 2, 3, 4], pd.MultiIndex.from_tuples(["a11", "b11", "a12", "b12"])),
        "an index of several levels",
    ),
    "table1": (series([2, 1], "a", "b"), PLAIN),
    "table2": (table([[1, 8, 2], [2, 4, 1], [12, 0, 2]], "4 6 8", "3 4 5"), FRAME),
    "table3": (
        cube(
            [118.0, 154, 422, 670, 4, 13, 106, 3, 62, 25, 88, 192, 141, 93, 90, 20],
            Class=["1st", "2nd", "3rd", "Crew"],
            Sex=["Male", "Female"],
            Survived=["No", "Yes"],
        ),
        "an index of several levels",
    ),
    "crosstabs": (table([[15, 4, 0], [0, 8, 5]], "0 1", "3 4 5"), FRAME),
    "summary_of_numbers": (
        series([1, 1.5, 2, 7 / 3, 3, 4], "Min.", "1st Qu.", "Median", "Mean", "3rd Qu.", "Max."),
        PLAIN,
    ),
    "by_group": (series([26.663636363636364, 19.742857142857144, 15.1], "4", "6", "8"), "a vector"),
    "monthly": (series([1.5, 2, 3], "1949-11", "1949-12", "1950-01"), PLAIN),
    "quarterly": (series([1, 2, 3], "2000Q4", "2001Q1", "2001Q2"), PLAIN),
    "yearly": (series([0.5, 1], "1900", "1901"), PLAIN),
    "numbered_series": (np.array([1.0, 2.0]), PLAIN),
    "weekly_cycle": (series([1, 2, 3], "2:7", "3:1", "3:2"), PLAIN),
    "several_series": (table([[1, 3], [2, 4]], "1900 1901", "a b"), FRAME),
    "distances": (np.array([5.0, 0.0, 5.0]), PLAIN),
    "named_distances": (series([5.0], "u-v"), PLAIN),
    "sparse": (pd.DataFrame([[0, 1.5, 0], [2, 0, 0]], dtype=float), FRAME),
    "sparse_logical": (pd.DataFrame([[False, True], [False, False]]), FRAME),
    "sparse_symmetric": (pd.DataFrame([[0.0, 1.0], [1.0, 0.0]]), FRAME),
    "diagonal": (pd.DataFrame(np.eye(2)), FRAME),
    "dense_of_Matrix": (pd.DataFrame([[1 / 3, 1.0], [2 / 3, 4 / 3]], columns=["a", "b"]), FRAME),
    "survival_times": (pd.DataFrame({"time": [5.0, 6.0], "status": [1.0, 0.0]}), FRAME),
    # Data frames
    "data_frame": (
        pd.DataFrame(
            {"x": [0.5, NAN], "s": ["a", "b"], "f": pd.Categorical(["u", None])}, ["r1", "r2"]
        ),
        SAME,
    ),
    "numbered_frame": (pd.DataFrame({"a": [1, 2]}), SAME),
    "frame_without_rows": (pd.DataFrame({"a": np.array([])}), SAME),
    "frame_of_times": (
        pd.DataFrame(
            {
                "t": instants("us", "UTC", "1970-01-01", None),
                "d": np.array([3600, 7200], dtype="timedelta64[s]").astype("timedelta64[us]"),
                "z": [1j, 2 + 0j],
            }
        ),
        SECONDS,
    ),
    "frame_of_lists": (LISTS, "cannot be handed to R"),
    "frame_of_matrices": (pd.DataFrame({"a": [1, 2], "m.u": [3, 4], "m.v": [5, 6]}), "columns"),
    "frame_of_integer64": (pd.DataFrame({"i": [1, 2**53 + 1]}), INT64),
    "aggregated": (
        pd.DataFrame(
            {"am": [0.0, 1.0], "mpg.mean": [17.147368421052633, 24.392307692307693]}
        ).assign(**{"mpg.n": [19.0, 13.0]}),
        "columns",
    ),
    "tibble": (
        pd.DataFrame({"a": [1, 2], "b": pd.Series([1.0, "x"], dtype=object)}),
        "cannot be handed to R",
    ),
    "data_table": (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), PLAIN),
    # Objects
    "version": ("1.2.3", PLAIN),
    "s4": ({"left": np.array([1.0, 2.0]), "right": "x"}, PLAIN),
    "reference_class": ({"owner": "A", "balance": 1.5}, PLAIN),
    "r6": ({"age": 7.0, "name": "A"}, PLAIN),
    "s3": ({"a": 1.0, "b": "x"}, PLAIN),
    "as_is": (np.array([1.0, 2.0]), PLAIN),
    "noquote": (np.array(["a", "b"], dtype=object), PLAIN),
    # Attributes that are left out
    "interval": (np.array([1.0, 2.0]), LACKS),
    "interval_attributes": ({"conf.level": 0.95}, SAME),
    "derivative": (9.0, LACKS),
    "derivative_attributes": ({"gradient": pd.DataFrame([[6.0]], columns=["x"])}, FRAME),
    "scaled": (pd.DataFrame({"a": [-1.0, 1.0]}), FRAME),
    "scaled_center": (series([2.0], "a"), SAME),
    "matches": (np.array([2, 1]), LACKS),
    "matches_length": (np.array([2, 1]), SAME),
}
NAMES_OF_AXES = {"table2": ("cyl", "gear"), "crosstabs": ("am", "gear"), "by_group": ("cyl",)}
# Those whose exact numbers are no matter here.
ANY = {"anova", "likelihood"}

REFUSED = {
    "half_named": "a list whose names are empty or occur twice: 'a', ''; give each a name of its",
    "twice_named": "a list whose names are empty or occur twice: 'a', 'a'; give each a name of its",
    "function": "a function (closure); return what it gives.",
    "builtin": "a function (builtin); return what it gives.",
    "environment": "an environment; return as.list() of it.",
    "symbol": "R code (symbol); return its text, by as.character().",
    "call": "R code (language); return its text, by deparse1().",
    "expression": "R code (expression); return its text, by deparse1().",
    "formula": "an object of class formula; return its text, by deparse1().",
    "pointer": "an external pointer; return the values that it leads to.",
    "list_matrix": "a matrix of lists; return unlist() of it, or remove its dim().",
    "strange_class": "an object of class money; return unclass() or as.vector() of it.",
    "grouped": "a data frame of class grouped_df; return as.data.frame() of it.",
    "fine_duration": 'whole nanoseconds cannot express; return as.numeric(x, units = "secs").',
    "far_time": "outside the years 1 to 9999, or one that is finer than a nanosecond; return as.",
    "strange_zone": "in the zone 'Mars/Olympus', which Python does not have; set it by attr(x,",
    "fraction_of_a_day": "a date with a fraction of a day; return floor() of it, or a number.",
    "factor_with_na_level": "a factor one of whose levels is NA; factor(x, exclude = NA) has none.",
    "model_with_code": "an object of class unheard_of whose field $call is R code (language); ",
    "huge_sparse": "with more than 10 million cells; return Matrix::summary() of it,",
    "bytes": "a string that is no text in its encoding; iconv() gives it the right one.",
}
# Whose values cross, but cannot be recorded or compared, because values are matched by name.
AMBIGUOUS = {"vector_twice_named": "a vector of 2 with the name 'a' twice; values are matched by"}


def expected(name: str) -> object:
    value = VALUES[name][0]
    if name in NAMES_OF_AXES:
        axes = NAMES_OF_AXES[name]
        value = value.rename_axis(index=axes[0])
        value = value.rename_axis(columns=axes[1]) if len(axes) > 1 else value
    return value


def agree(left: object, right: object) -> None:
    """Assert that both are the same to the last bit, in lists and dicts too."""
    if isinstance(right, list):
        assert type(left) is list
        assert len(left) == len(right)
        for mine, other in zip(left, right, strict=True):
            agree(mine, other)
    elif isinstance(right, dict):
        assert list(left) == list(right)
        agree(list(left.values()), list(right.values()))
    elif isinstance(right, pd.DataFrame) and not {"b", "l"}.isdisjoint(right):  # columns of lists
        assert list(left) == list(right)
        for name in right:
            agree(left[name].tolist(), right[name].tolist())
    elif isinstance(right, pd.Series) and isinstance(right.index, pd.MultiIndex):
        assert [tuple(place) for place in left.index] == [tuple(place) for place in right.index]
        assert [name or None for name in right.index.names] == list(left.index.names)
        assert left.tolist() == right.tolist()
    elif isinstance(right, np.ndarray) and right.dtype.kind in "fc":
        assert left.shape == right.shape
        np.testing.assert_array_equal(left, right)
        assert np.array_equal(np.signbit(left.real), np.signbit(right.real))
    else:
        same(left, right)


# Without R: what R answered ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> dict[str, object]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", VALUES)
def test_a_recorded_value_is_read_as_the_table_says(name: str, recorded: dict[str, object]) -> None:
    node = decode(recorded["values"][name])
    agree(value_of(node), expected(name))
    assert json.loads(layout(encode(node))) == recorded["values"][name]


@pytest.mark.parametrize("name", REFUSED | AMBIGUOUS)
def test_a_refusal_names_the_value_and_what_makes_it_acceptable(
    name: str, recorded: dict[str, object]
) -> None:
    message = recorded["messages"][name]
    assert message.startswith("kind() returned ")
    assert (REFUSED | AMBIGUOUS)[name] in message
    assert message.endswith(".")
    assert "\n" not in message


def test_the_table_has_every_kind(recorded: dict[str, object]) -> None:
    assert set(recorded["values"]) == set(VALUES) | ANY
    assert set(recorded["messages"]) == set(REFUSED | AMBIGUOUS)
    assert len(VALUES) + len(REFUSED) > 90


# With R -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    with RSession(timeout=60) as session:
        yield session


def require_optional(missing: RNotAvailableError) -> None:
    """Fail if a package is missing that Debian's R packages do not bring everywhere, or in CI."""
    assert re.search("package (bit64|hms) is not", str(missing)), missing
    assert not os.environ.get("RPARITY_REQUIRE_R"), missing


@pytest.mark.live
def test_r_answers_as_recorded(r: RSession, recorded: dict[str, object]) -> None:
    found: dict[str, dict[str, object]] = {"values": {}, "messages": {}}
    absent = set()
    for name in r.call(SCRIPT, "kind_names").value:
        try:
            answer = r.call(SCRIPT, "kind", {"name": name})
            found["values"][name] = encode(tree(answer.wire, "kind"))
        except RNotAvailableError as error:
            require_optional(error)
            absent.add(name)
            continue
        except RError as error:
            found["messages"][name] = str(error)
            continue
        if name in VALUES:
            agree(answer.value, expected(name))
    if os.environ.get("RPARITY_WRITE_KINDS"):
        RECORDED.write_text(layout(found) + "\n", encoding="utf-8")
        recorded = found
    # Other versions of R may give other last bits, and before R 4.4 both parts of NA are missing.
    found["values"] |= {name: recorded["values"][name] for name in absent}
    for name in ANY | {"complexes"}:
        assert list(found["values"][name]) == list(recorded["values"][name])
        found["values"][name] = recorded["values"][name]
    assert json.loads(layout(found)) == recorded


@pytest.mark.live
@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_handed_back_is_the_same_or_another_for_a_known_reason(
    r: RSession, name: str
) -> None:
    reason = VALUES[name][1]
    try:
        value = r.call(SCRIPT, "kind", {"name": name}).value
    except RNotAvailableError as error:
        require_optional(error)
        pytest.skip(str(error))
    try:
        is_same = r.call(SCRIPT, "same_as", {"name": name, "x": value}).value
    except UsageError as error:
        assert reason in str(error) or reason == INT64  # noqa: PT017 - some reasons are errors
    else:
        assert is_same == (reason == SAME)


# name: (a value of Python, its class in R, how R prints its structure)
PARIS = pd.Timestamp("2020-01-01 12:00", tz="Europe/Paris")
SENT: dict[str, tuple[object, str, str]] = {
    "None": (None, "NULL", "NULL"),
    "no list": ([], "list", "list()"),
    "list": ([1.5, None], "numeric", "num [1:2] 1.5 NA"),
    "dict": ({"a": 1, "b": [2]}, "list", "List of 2"),
    "complex": (1 + 2j, "complex", "cplx 1+2i"),
    "bytes": (b"\1", "raw", "raw 01"),
    "date": (datetime.date(2020, 1, 1), "Date", 'Date[1:1], format: "2020-01-01"'),
    "time": (PARIS, "POSIXct", 'POSIXct[1:1], format: "2020-01-01 12:00:00"'),
    "duration": (datetime.timedelta(minutes=1), "difftime", "'difftime' num 60"),
    "array": (np.zeros((2, 1, 2)), "array", "num [1:2, 1, 1:2] 0 0 0 0"),
    "sparse": (sparse.csr_array([[0, 1.5], [2, 0]]), "dgCMatrix", "Formal class 'dgCMatrix'"),
    "sparse truths": (sparse.coo_matrix([[True]]), "lgCMatrix", "Formal class 'lgCMatrix'"),
    "categorical": (
        pd.Categorical(["b"], categories=["b", "a"]),
        "factor",
        'Factor w/ 2 levels "b","a": 1',
    ),
    "frame with times": (pd.DataFrame({"t": [PARIS]}), "data.frame", "'data.frame':"),
}


@pytest.mark.live
@pytest.mark.parametrize("name", SENT)
def test_r_receives_a_value_of_python_as_the_kind_that_the_table_says(
    r: RSession, name: str
) -> None:
    value, kind, text = SENT[name]
    seen = r.call(SCRIPT, "see", {"x": value}).value
    assert np.atleast_1d(seen["class"])[0] == kind
    assert np.atleast_1d(seen["text"])[0].strip().startswith(text)


@pytest.mark.live
def test_a_sparse_matrix_keeps_its_values(r: RSession) -> None:
    matrix = sparse.random_array((5, 7), density=0.3, rng=np.random.default_rng(1), format="coo")
    back = r.call(R_SCRIPTS / "odd_values.R", "echo", {"x": matrix}).value
    assert np.array_equal(back.to_numpy(), matrix.toarray())


def test_the_page_of_values_names_every_class_of_objects() -> None:
    source = (ROOT / "harness/rparity/r/objects.R").read_text(encoding="utf-8")
    table_of_classes = source[source.rindex("  list(\n    # Data") :]
    makers = "fields|function|bare|series|distances|dense|as[.]|analysis|general|linear|nonlinear"
    makers += "|arima_fit|cox|parametric|additive|mixed|generalised|curves"
    classes = set(re.findall(rf"([A-Za-z]\w*(?:[.]\w+)*) = (?:{makers})", table_of_classes))
    assert {"htest", "merMod", "summary.lm", "POSIXlt"} < classes
    page = (ROOT / "docs/reference/values.md").read_text(encoding="utf-8")
    others = {"AsIs": "I()", "numeric_version": "a version", "mts": "(`ts`)"}
    for name in classes - {"glance", "tidy", "AICtab", "varcor"}:  # not classes, but tables
        assert others.get(name, name) in page, name
