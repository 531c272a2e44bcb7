"""`check()`: what it takes, what it refuses, and what its report says."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from fake_r import answer
from rparity.compare import COLUMNS, MAX_DIGITS
from rparity.errors import UsageError
from rparity.parity.answer import RAnswer
from rparity.rrandom import RRandom

COEF = pd.DataFrame({"estimate": [1.0, 2.0], "std_error": [0.1, 0.2]}, index=["(Intercept)", "x"])
VALUE = {
    "glance": pd.Series({"statistic": -1.25, "df": 27.5}),
    "coef": COEF,
    "n": 7,
    "method": "Welch",
    "sub": {"a": 1.0, "converged": True},
}


@pytest.fixture(scope="module")
def r() -> RAnswer:
    return answer(VALUE)


def report(r: RAnswer, mine: object, **terms: object) -> list[str]:
    """Return the lines of the report of a failed check."""
    with pytest.raises(AssertionError) as caught:
        r.check(mine, **terms)
    return str(caught.value).splitlines()


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# What a test sees -------------------------------------------------------------------------------


def test_parts_are_items_and_attributes(r: RAnswer) -> None:
    assert r.n == r["n"] == r.value["n"] == 7
    assert r.glance["df"] == 27.5
    assert r.sub["converged"] is True
    assert list(r) == list(VALUE)
    assert answer(COEF).estimate["x"] == 2.0
    assert answer(VALUE["glance"])["df"] == 27.5


def test_a_part_that_is_not_there_is_named_with_those_that_are(r: RAnswer) -> None:
    expected = "R's answer to f() in f.R has no 'glanze': it has 'glance', 'coef', 'n', "
    assert refusal(lambda: r["glanze"]).startswith(expected)
    with pytest.raises(AttributeError, match="has no 'glanze': it has 'glance'"):
        _ = r.glanze
    assert refusal(lambda: answer(1.5)["x"]).endswith("it is 1.5.")


def test_an_answer_can_be_copied_and_shown(r: RAnswer) -> None:
    assert copy.deepcopy(r).n == 7
    assert repr(answer(1.5)) == "<R's answer to f() in f.R: 1.5>"


def test_the_stream_is_that_of_the_seed_from_its_beginning_and_goes_on() -> None:
    r, rng = answer(1.5, seed=3), RRandom(3)
    np.testing.assert_array_equal(r.rng.rnorm(3), rng.rnorm(3))
    np.testing.assert_array_equal(r.rng.rnorm(3), rng.rnorm(3))


def test_without_a_seed_there_is_no_stream() -> None:
    assert "had no seed" in refusal(lambda: answer(1.5, seed=None).rng)


# What is compared -------------------------------------------------------------------------------


def test_a_check_returns_every_comparison(r: RAnswer) -> None:
    found = r.check({**VALUE, "n": 7 * (1 + 1e-9)})
    assert list(found.columns) == list(COLUMNS)
    assert len(found) == 2 + 4 + 1 + 1 + 2
    digits = found.set_index("table")["digits"]
    assert digits["n"] == pytest.approx(9, abs=0.01)
    assert digits["method"] == MAX_DIGITS


@pytest.mark.parametrize(
    "mine",
    [
        {"statistic": -1.25, "df": 27.5},
        {"df": 27.5, "statistic": np.float64(-1.25)},
        pd.Series({"df": 27.5, "statistic": -1.25}),
        [-1.25, 27.5],
        (-1.25, 27.5),
        np.array([-1.25, 27.5]),
        pd.Series([-1.25, 27.5]),
        pd.Index([-1.25, 27.5]),
        pd.array([-1.25, 27.5]),
    ],
)
@pytest.mark.parametrize(
    "theirs",
    [
        VALUE["glance"],
        pd.DataFrame({"statistic": [-1.25], "df": [27.5]}),
        pd.DataFrame({"statistic": [-1.25], "df": [27.5]}, index=["t"]),
        {"statistic": -1.25, "df": 27.5},
        {"statistic": pd.Series({"t": -1.25}), "df": pd.Series({"df": 27.5})},
    ],
    ids=["vector", "data frame", "data frame with a row name", "list", "list of named numbers"],
)
def test_named_numbers_are_a_vector_a_row_or_a_list(theirs: object, mine: object) -> None:
    has_names = isinstance(mine, dict) or (isinstance(mine, pd.Series) and "df" in mine)
    if has_names or isinstance(theirs, pd.Series):
        answer(theirs).check(mine, rtol=0)
    else:
        assert report(answer(theirs), mine)


@pytest.mark.parametrize(
    "mine",
    [
        COEF,
        COEF.iloc[::-1, ::-1],
        COEF.reset_index(drop=True),
        COEF.to_numpy(),
        COEF.to_numpy().tolist(),
        COEF.to_dict(),
        COEF.to_dict("list"),
        dict(COEF.items()),
        {"std_error": np.array([0.1, 0.2]), "estimate": [1, 2]},
        COEF.astype("Float64"),
        COEF.astype(object),
    ],
)
def test_a_table_in_many_forms(mine: object) -> None:
    answer(COEF).check(mine, rtol=0)
    answer({"coef": COEF}).check({"coef": mine}, rtol=0)


def test_a_list_of_vectors_is_a_frame() -> None:
    r = answer({"estimate": COEF["estimate"], "std_error": COEF["std_error"]})
    r.check(COEF, rtol=0)


def test_a_filtered_index_counts_as_names_and_a_whole_one_does_not() -> None:
    r = answer(np.array([1.0, 2.0]))
    r.check(pd.Series([1.0, 2.0], index=[0, 1]))
    (line,) = report(r, pd.Series([1.0, 2.0], index=[0, 2]))[3:4]
    assert re.split(r" {2,}", line) == [
        "(the answer)",
        "a vector of 2",
        "a vector of 2 with names (0, 2)",
        "no names, as in R",
    ]


def test_whole_numbers_in_an_index_match_names_of_r() -> None:
    r = answer(pd.Series({"308": 1.5, "309": 2.5}))
    r.check(pd.Series({309: 2.5, 308: 1.5}), rtol=0)


def test_numbers_and_dates_in_an_index_match_names_of_r() -> None:
    r = answer(pd.Series({"0.1": 1.5, "1": 2.5}))
    r.check(pd.Series({1.0: 2.5, 0.1: 1.5}), rtol=0)
    r = answer(pd.Series({"2024-02-29": 1.5, "2024-03-01": 2.5}))
    r.check(pd.Series([1.5, 2.5], pd.date_range("2024-02-29", periods=2)), rtol=0)


def test_objects_that_convert_to_arrays_are_arrays() -> None:
    class Tensor:
        def __array__(self, *_: object, **__: object) -> np.ndarray:
            return np.array([1.0, 2.0])

    answer(np.array([1.0, 2.0])).check(Tensor(), rtol=0)


# Chosen places and tolerances -------------------------------------------------------------------


@pytest.mark.parametrize("only", ["glance", ["glance"], ["glance.statistic", "glance.df"]])
def test_only_chosen_places_are_compared(r: RAnswer, only: object) -> None:
    assert len(r.check({"glance": VALUE["glance"]}, only=only)) == 2
    assert len(r.check({"glance": VALUE["glance"], "n": 8, "more": 1}, only=only)) == 2


def test_chosen_places_may_come_from_a_generator(r: RAnswer) -> None:
    assert len(r.check({"n": 7}, only=(name for name in ["n"]))) == 1
    assert report(r, {"n": 8}, only=(name for name in ["n"]))


def test_elements_and_columns_and_parts_of_lists_can_be_chosen(r: RAnswer) -> None:
    r.check({"glance": {"df": 27.5}}, only="glance.df")
    r.check({"coef": {"estimate": [1, 2]}}, only="coef.estimate")
    r.check({"sub": {"a": 1}}, only="sub.a")
    answer(COEF).check({"estimate": [1, 2]}, only="estimate")
    answer(VALUE["glance"]).check({"df": 27.5}, only="df")


@pytest.mark.parametrize(
    ("only", "mine"),
    [
        ("glance.df", {"glance": {"statistic": -1.25}}),
        ("glance.df", {}),
        ("sub.a", {"sub": {"converged": True}}),
        ("sub.a", {"n": 7}),
        ("sub.a", {"sub": 1.0}),
        (["n", "coef.estimate"], {"n": 7}),
        ("coef.estimate", {"coef": pd.DataFrame({"std_error": [0.1, 0.2]})}),
    ],
)
def test_chosen_places_must_exist(r: RAnswer, only: object, mine: object) -> None:
    assert report(r, mine, only=only)


def test_the_longest_place_with_a_tolerance_decides(
    r: RAnswer,
) -> None:
    mine = {"coef": COEF * [1 + 1e-5, 1 + 1e-3], "n": 7}
    chosen = ["coef", "n"]
    r.check(mine, only=chosen, tolerances={"coef": 1e-4, "coef.std_error": 2e-3})
    r.check(mine, only=chosen, tolerances={"coef.std_error": 2e-3, "coef": 1e-4})
    lines = report(r, mine, only=chosen, tolerances={"coef": 1e-4})
    assert [line.split()[-2:] for line in lines[6:8]] == [["rtol", "0.0001"]] * 2
    assert "coef x std_error" in lines[7]


def test_a_tolerance_that_sets_one_number_keeps_the_other(r: RAnswer) -> None:
    mine = {"n": 7 + 1e-3}
    r.check(mine, only="n", atol=1e-2, tolerances={"n": {"rtol": 0.0}})
    (line,) = report(r, mine, only="n", rtol=1e-6, tolerances={"n": {"atol": 1e-5}})[3:4]
    assert line.endswith("rtol 1e-06, atol 1e-05")


def test_a_misspelt_place_is_refused(r: RAnswer) -> None:
    for terms in ({"only": "coef.estimat"}, {"tolerances": {"coef.estimat": 0.1}}):
        message = refusal(lambda terms=terms: r.check(VALUE, **terms))
        assert (
            "'coef.estimat', which R's answer does not have; it has 'glance.statistic'" in message
        )


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"rtol": -1e-8}, "rtol is -1e-08"),
        ({"rtol": 1}, "rtol is 1; it must be a number of at least 0 and below 1"),
        ({"rtol": np.nan}, "rtol is nan"),
        ({"rtol": "1e-8"}, "rtol is '1e-8'"),
        ({"rtol": True}, "rtol is True"),
        ({"atol": np.inf}, "atol is inf"),
        ({"atol": None}, "atol is None"),
        ({"tolerances": {"n": -1}}, "rtol of 'n' is -1"),
        ({"tolerances": {"n": {"rtoll": 1e-3}}}, "The tolerance of 'n' has rtol and atol"),
        ({"only": []}, "only= names nothing to compare"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    r: RAnswer, terms: dict[str, object], says: str
) -> None:
    assert refusal(lambda: r.check(VALUE, **terms)).startswith(says)


@pytest.mark.parametrize(
    ("mine", "says"),
    [
        (Decimal(1), "glance: check() cannot compare Decimal;"),
        (object(), "glance: check() cannot compare object;"),
        ([[1], [2, 3]], "glance: Python's list is not a vector or a table:"),
        ({"statistic": [1, 2], "df": [1]}, "glance: Python's dict is not a vector or a table:"),
        (pd.Series([1, 2], index=["df", "df"]), "glance: Python has the name 'df' twice."),
        (pd.Series({("a", "b"): 1.0}), "glance: Python's names have several levels"),
    ],
)
def test_values_that_cannot_be_compared_are_refused_by_type(
    r: RAnswer, mine: object, says: str
) -> None:
    assert refusal(lambda: r.check({**VALUE, "glance": mine})).startswith(says)


# The report -------------------------------------------------------------------------------------


def test_the_report_shows_every_value_that_differs(r: RAnswer) -> None:
    mine = {
        "glance": {"statistic": -1.2500001, "dof": 27.5},
        "coef": COEF.assign(estimate=[1.0, np.nan]),
        "n": "7",
        "method": "Student",
        "sub": {"a": 1.0, "converged": 1},
        "more": 3,
    }
    assert report(r, mine, rtol=1e-9) == [
        "Python differs from R in 8 values of f() in f.R:",
        "",
        "glance: 3 of 3 differ",
        "coef: 1 of 4 differ",
        "n: 1 of 1 differ",
        "method: 1 of 1 differ",
        "sub.a: 1 of 1 agree, to 15.9 digits",
        "sub.converged: 1 of 1 differ",
        "",
        "term                    R      Python  digits  tolerance",
        "glance statistic    -1.25  -1.2500001     7.1  rtol 1e-09",
        "glance df            27.5     missing",
        "glance dof        missing        27.5",
        "coef x estimate         2         NaN     0.0  rtol 1e-09",
        "n                       7         '7'          equal",
        "method            'Welch'   'Student'          equal",
        "sub.converged        True           1          equal",
        "more              missing           3",
        "",
        "No change of Python's value explains this. It may be another method or default: see",
        "`rparity atlas NAME` with the function's name, or rparity.diagnose().",
        "",
        "R 4.2.2 on stand-in, seed 1, asked now",
    ]


def test_whole_rows_columns_and_tables_are_one_line(r: RAnswer) -> None:
    mine = {"coef": COEF.rename({"x": "z"}).drop(columns="std_error"), "glance": COEF, "sub": 1}
    lines = report(r, mine, only=["coef", "glance", "n", "sub"])
    assert lines[-3] == "sub is a list in R: give a dict of the values to check."
    assert [re.split(r" {2,}", line) for line in lines[3:-4]] == [
        ["glance", "a vector of 2", "a table of 2 × 2", "the same shape"],
        ["coef x", "2 values", "missing"],
        ["coef std_error", "2 values", "missing"],
        ["coef z", "missing", "2"],
        ["n", "7", "missing"],
        ["sub", "a list of 'a', 'converged'", "1"],
    ]


def test_the_report_has_the_names_of_what_both_sides_have(r: RAnswer) -> None:
    """The result of a test in R has more parts than Python's."""
    advice = "To compare only what both have: only="
    mine = {"n": 7, "coef": COEF[["estimate"]], "sub": {"a": 1.0}}
    assert f"{advice}['coef.estimate', 'n', 'sub.a']" in report(r, mine)
    assert not any(advice in line for line in report(r, mine | {"n": 8}, only=["n"]))
    # Python has the column under another name: it is to be renamed, and not to be left out.
    other = {"coef": COEF.rename(columns={"std_error": "se"}), "n": 7}
    assert f"{advice}['coef', 'n']" in report(r, other)
    assert not any(advice in line for line in report(r, VALUE | {"n": 8}))


def test_a_missing_table_is_shown_with_its_columns(r: RAnswer) -> None:
    lines = report(r, {"coefficients": COEF}, only=["coef"])
    assert "a table of 2 × 2: 'estimate', 'std_error'" in lines[3]


def test_a_long_text_is_cut_and_a_long_report_too() -> None:
    lines = report(answer("x" * 1000), "y")
    assert max(map(len, lines)) < 120
    r = answer(np.zeros(100))
    table = [line for line in report(r, np.ones(100)) if "rtol" in line]
    assert len(table) == 100
    r._shown = 60
    assert "… and 40 more; pytest -vv shows them all." in report(r, np.ones(100))


def test_a_single_value_has_a_name_in_the_report() -> None:
    (line,) = report(answer(1.5), 2.5, rtol=0)[3:4]
    assert re.split(r" {2,}", line) == ["(the answer)", "1.5", "2.5", "0.2", "the same bits"]
