"""Digits and verdicts: what counts as agreement, and that nothing else does."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rparity.compare import (
    ALL,
    COLUMNS,
    MAX_DIGITS,
    Reference,
    Tables,
    Tolerance,
    Verdict,
    compare,
    digits,
)

INF, NAN = math.inf, math.nan


# Digits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [
        (1.0, 1.0, MAX_DIGITS),
        (0.0, 0.0, MAX_DIGITS),
        (-0.0, 0.0, MAX_DIGITS),
        (1.001, 1.0, 3.0),
        (0.999, 1.0, 3.0),
        (100.1, 100.0, 3.0),
        (-1.001, -1.0, 3.0),
        (1.001e-300, 1e-300, 3.0),
        (1.001e300, 1e300, 3.0),
        (1.000001, 1.0, 6.0),
        # Beside zero, McCullough's absolute error.
        (1e-9, 0.0, 9.0),
        (-1e-9, 0.0, 9.0),
        (1e-300, 0.0, MAX_DIGITS),
        (2.0, 0.0, 0.0),
        # Nothing in common is no digit, not a negative number of them.
        (5.0, 1.0, 0.0),
        (-1.0, 1.0, 0.0),
        (0.0, 1.0, 0.0),
        (2.0, 1.0, 0.0),
        (1e300, 1e-300, 0.0),
        # One ulp is capped; the cap is what two doubles can be known to agree in.
        (np.nextafter(1.0, 0.0), 1.0, MAX_DIGITS),
        (np.nextafter(1.0, 2.0), 1.0, -math.log10(2.0**-52)),
        # Missing and infinite.
        (NAN, NAN, MAX_DIGITS),
        (NAN, 1.0, 0.0),
        (1.0, NAN, 0.0),
        (NAN, 0.0, 0.0),
        (INF, INF, MAX_DIGITS),
        (-INF, -INF, MAX_DIGITS),
        (-INF, INF, 0.0),
        (INF, 1.0, 0.0),
        (1.0, INF, 0.0),
        (INF, 0.0, 0.0),
        (INF, NAN, 0.0),
        (1.7e308, -1.7e308, 0.0),
    ],
)
def test_digits(value: float, reference: float, expected: float) -> None:
    assert digits(value, reference) == pytest.approx(expected, abs=1e-9)


def test_digits_never_exceed_the_cap_nor_warn_whatever_the_bits() -> None:
    bits = np.random.default_rng(1).integers(0, 2**64, (2, 10_000), dtype=np.uint64)
    found = digits(*bits.view(np.float64))
    assert (found >= 0.0).all()
    assert (found <= MAX_DIGITS).all()


def test_digits_of_arrays_broadcast() -> None:
    assert digits(np.ones((2, 1)), np.ones(3)).shape == (2, 3)


# Verdicts ---------------------------------------------------------------------------------------


def reference(expected_tables: Tables, *, partial: bool = False, **tolerance) -> Reference:
    stated = Tolerance(**{"rtol": 1e-6, "reason": "planted", **tolerance})
    return Reference("R", expected_tables, lambda _table, _column: stated, partial=partial)


def verdict(value: float, reference_value: float, **tolerance) -> str:
    tables = [{"t": pd.DataFrame({"a": [number]}, ["r"])} for number in (value, reference_value)]
    found = compare("case", "engine", tables[0], reference(tables[1], **tolerance), ["t"])
    assert len(found) == 1
    return found["verdict"].item()


@pytest.mark.parametrize(
    ("value", "reference_value", "expected"),
    [
        (1.0, 1.0, "identical"),
        (NAN, NAN, "identical"),
        (INF, INF, "identical"),
        (0.0, 0.0, "identical"),
        (np.nextafter(1.0, 2.0), 1.0, "rounding"),
        (1.0 + 9.9e-13, 1.0, "rounding"),
        (1.0 + 1.01e-12, 1.0, "within"),
        (1.0 - 1.01e-12, 1.0, "within"),
        (1.0 + 9.9e-7, 1.0, "within"),
        (1.0 - 9.9e-7, 1.0, "within"),
        (1.0 + 1.01e-6, 1.0, "unexplained"),
        (1.0 - 1.01e-6, 1.0, "unexplained"),
        (-1.0, 1.0, "unexplained"),
        (0.0, 1.0, "unexplained"),
        # A relative tolerance gives no room beside zero, except for rounding.
        (1e-13, 0.0, "rounding"),
        (1e-11, 0.0, "unexplained"),
        (NAN, 1.0, "unexplained"),
        (1.0, NAN, "unexplained"),
        (0.0, NAN, "unexplained"),
        # An infinite reference must not make an infinite tolerance.
        (1.0, INF, "unexplained"),
        (-INF, INF, "unexplained"),
        (INF, 1.0, "unexplained"),
    ],
)
def test_verdict_at_a_relative_tolerance_of_a_millionth(
    value: float, reference_value: float, expected: str
) -> None:
    assert verdict(value, reference_value) == expected


@pytest.mark.parametrize(
    ("value", "reference_value", "rtol", "atol", "expected"),
    [
        (1.004, 1.0, 0.0, 0.005, "within"),
        (1.006, 1.0, 0.0, 0.005, "unexplained"),
        (2.0109, 2.0, 0.003, 0.005, "within"),  # both add up: 0.005 + 0.003 · 2
        (2.0111, 2.0, 0.003, 0.005, "unexplained"),
        (1e-17, 0.0, 0.0, 2e-16, "rounding"),
        # `<2e-16` as printed bounds the value: 12 decimals of agreement with zero do not do.
        (1e-15, 0.0, 0.0, 2e-16, "unexplained"),
        (1e-9, 0.0, 0.0, 1e-8, "within"),
        # No tolerance at all asks for the same bits.
        (1.0, 1.0, 0.0, 0.0, "identical"),
        (np.nextafter(1.0, 2.0), 1.0, 0.0, 0.0, "unexplained"),
        (5e-324, 0.0, 0.0, 0.0, "unexplained"),
        (NAN, NAN, 0.0, 0.0, "identical"),
    ],
)
def test_verdict_at_other_tolerances(
    value: float, reference_value: float, rtol: float, atol: float, expected: str
) -> None:
    assert verdict(value, reference_value, rtol=rtol, atol=atol) == expected


def test_which_verdicts_fail() -> None:
    assert {v for v in Verdict if v.fails} == {
        Verdict.NEW,
        Verdict.UNEXPLAINED,
        Verdict.MISSING,
        Verdict.STALE,
    }


# Tables -----------------------------------------------------------------------------------------

TRUTH = pd.DataFrame(
    {"estimate": [21.04, -1.007, 0.5], "std_error": [1.92, 0.00993, 0.1]},
    ["(Intercept)", "x", "z"],
)


def compared(answer: Tables, expected_tables: Tables | None = None, **options) -> pd.DataFrame:
    known = {"coef": TRUTH} if expected_tables is None else expected_tables
    expected = options.pop("expected", ["coef"])
    return compare("case", "engine", answer, reference(known, **options), expected)


def missing(found: pd.DataFrame) -> set[tuple[str, str]]:
    rows = found.query("verdict == 'missing'")
    return set(zip(rows["row"], rows["column"], strict=True))


def test_a_comparison_is_one_row_a_value() -> None:
    found = compared({"coef": TRUTH * (1 + 1e-9)})
    assert tuple(found.columns) == COLUMNS
    assert len(found) == 6
    assert set(found["verdict"]) == {"within"}
    one = found.query("row == 'x' and column == 'std_error'").iloc[0]
    assert (one["case"], one["engine"], one["table"], one["reference"]) == (
        "case",
        "engine",
        "coef",
        "R",
    )
    assert one["reference_value"] == 0.00993
    assert one["value"] == 0.00993 * (1 + 1e-9)
    assert (one["rtol"], one["atol"]) == (1e-6, 0.0)
    assert one["digits"] == pytest.approx(9.0, abs=1e-3)


@pytest.mark.parametrize("lacking", ["answer", "reference", "both"])
def test_a_missing_table(lacking: str) -> None:
    found = compared(
        {} if lacking != "reference" else {"coef": TRUTH},
        {} if lacking != "answer" else {"coef": TRUTH},
    )
    assert missing(found) == {(ALL, ALL)}
    assert found["digits"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("answer", "expected", "compared_values"),
    [
        (TRUTH.drop(index="x"), {("x", ALL)}, 4),
        (TRUTH.drop(columns="std_error"), {(ALL, "std_error")}, 3),
        (pd.concat([TRUTH, TRUTH.loc[["x"]].set_axis(["w"])]), {("w", ALL)}, 6),
        (TRUTH.assign(p_value=0.5), {(ALL, "p_value")}, 6),
        (TRUTH.rename(index={"x": "X"}), {("x", ALL), ("X", ALL)}, 4),
        (
            TRUTH.rename(columns={"estimate": "Estimate"}),
            {(ALL, "estimate"), (ALL, "Estimate")},
            3,
        ),
        (TRUTH.drop(index="x", columns="std_error"), {("x", ALL), (ALL, "std_error")}, 2),
        (TRUTH.iloc[:0], {("(Intercept)", ALL), ("x", ALL), ("z", ALL)}, 0),
        (TRUTH.iloc[:, :0], {(ALL, "estimate"), (ALL, "std_error")}, 0),
    ],
    ids=[
        "row",
        "column",
        "extra row",
        "extra column",
        "renamed row",
        "renamed column",
        "both",
        "no rows",
        "no columns",
    ],
)
def test_a_row_or_column_that_one_side_lacks_is_missing(
    answer: pd.DataFrame, expected: set[tuple[str, str]], compared_values: int
) -> None:
    found = compared({"coef": answer})
    assert missing(found) == expected
    assert (found["verdict"] != "missing").sum() == compared_values
    assert all(Verdict(v).fails for v in found["verdict"] if v != "identical")


def test_a_table_that_is_not_expected_is_not_compared() -> None:
    found = compared({"coef": TRUTH, "secret": TRUTH})
    assert set(found["table"]) == {"coef"}


def test_nothing_expected_is_an_empty_comparison_with_its_columns() -> None:
    found = compared({"coef": TRUTH}, expected=[])
    assert len(found) == 0
    assert tuple(found.columns) == COLUMNS


def test_the_order_of_rows_and_columns_is_irrelevant() -> None:
    found = compared({"coef": TRUTH.iloc[[2, 0, 1], [1, 0]]})
    assert set(found["verdict"]) == {"identical"}


def test_values_in_the_wrong_rows_are_caught() -> None:
    found = compared({"coef": TRUTH.iloc[[1, 0, 2]].set_axis(TRUTH.index)})
    bad = found.query("verdict == 'unexplained'")
    assert set(bad["row"]) == {"(Intercept)", "x"}
    assert len(bad) == 4


def test_values_in_the_wrong_columns_are_caught() -> None:
    found = compared({"coef": TRUTH.iloc[:, ::-1].set_axis(TRUTH.columns, axis=1)})
    assert set(found["verdict"]) == {"unexplained"}


def test_a_name_that_occurs_twice_is_an_error_not_a_comparison() -> None:
    for wrong in (TRUTH.set_axis(["x", "x", "z"]), TRUTH.set_axis(["a", "a"], axis=1)):
        with pytest.raises(ValueError, match="twice"):
            compared({"coef": wrong})


def test_a_partial_reference_requires_only_its_own_tables() -> None:
    printed = {"coef": TRUTH.loc[["x"], ["estimate"]]}
    found = compared(
        {"coef": TRUTH, "vcov": TRUTH}, printed, partial=True, expected=["coef", "vcov"]
    )
    assert len(found) == 1
    assert found["verdict"].tolist() == ["identical"]


def test_a_row_of_a_partial_reference_that_the_answer_lacks_is_missing() -> None:
    printed = {"coef": TRUTH.loc[["x"]]}
    assert missing(compared({}, printed, partial=True)) == {(ALL, ALL)}
    assert missing(compared({"coef": TRUTH.drop(index="x")}, printed, partial=True)) == {("x", ALL)}
    assert missing(compared({"coef": TRUTH.drop(columns="std_error")}, printed, partial=True)) == {
        (ALL, "std_error")
    }


def test_a_cell_that_a_printed_page_leaves_empty_is_not_compared() -> None:
    """It is no agreement either: there is no row for it."""
    gap = {"coef": pd.DataFrame({"estimate": [NAN, 2.0]}, ["x", "z"])}
    found = compared({"coef": TRUTH}, gap, partial=True)
    assert found["row"].tolist() == ["z"]


def test_an_absolute_tolerance_of_its_own_for_each_row() -> None:
    room = pd.Series({"z": 1e-1, "x": 1e-4, "(Intercept)": 1e-2})  # matched by name, not by place
    found = compared({"coef": TRUTH + 5e-3}, rtol=0.0, atol=room).set_index(["row", "column"])
    assert found["atol"].xs("x").eq(1e-4).all()
    assert found["verdict"].xs("(Intercept)").eq("within").all()
    assert found["verdict"].xs("x").eq("unexplained").all()
    assert found["verdict"].xs("z").eq("within").all()


def test_a_row_without_an_absolute_tolerance_of_its_own_agrees_only_to_the_bit() -> None:
    room = pd.Series({"x": 1.0})
    found = compared({"coef": TRUTH + 5e-3}, rtol=0.0, atol=room).set_index(["row", "column"])
    assert found["verdict"].xs("x").eq("within").all()
    assert found["verdict"].xs("z").eq("unexplained").all()


def test_each_column_is_compared_at_its_own_tolerance() -> None:
    stated = {"estimate": Tolerance(1e-3, "loose"), "std_error": Tolerance(1e-9, "tight")}
    known = Reference("R", {"coef": TRUTH}, lambda _table, column: stated[column])
    found = compare("case", "engine", {"coef": TRUTH * (1 + 1e-6)}, known, ["coef"])
    assert found.groupby("column")["verdict"].unique().map(list).to_dict() == {
        "estimate": ["within"],
        "std_error": ["unexplained"],
    }


def test_a_tolerance_in_units_of_a_columns_spread() -> None:
    # standard deviation 1
    expected_tables = pd.DataFrame(
        {"x": [99.0, 100.0, 101.0]}, ["1", "2", "3"]
    )  # standard deviation 1
    stated = Tolerance(0.0, "replicates", spread=1e-3)
    known = Reference("R", {"t": expected_tables}, lambda _table, _column: stated)
    for off, expected in ((0.9e-3, "within"), (-0.9e-3, "within"), (1.1e-3, "unexplained")):
        found = compare("case", "engine", {"t": expected_tables + off}, known, ["t"])
        assert set(found["verdict"]) == {expected}
        assert found["atol"].tolist() == pytest.approx([1e-3] * 3)


def test_a_spread_of_one_row_or_of_missing_values_is_zero() -> None:
    stated = Tolerance(0.0, "replicates", spread=1e-3)
    for values in ([100.0], [NAN, 100.0]):
        expected_tables = pd.DataFrame({"x": values})
        known = Reference("R", {"t": expected_tables}, lambda _table, _column: stated)
        found = compare("case", "engine", {"t": expected_tables + 1e-9}, known, ["t"])
        assert found["verdict"].tolist()[-1] == "unexplained"
