"""Model matrices against R's own.

tests/data/model_matrices/ has R's answers with two versions of lme4, from the command
`Rscript --vanilla r_scripts/model_matrices.R > tests/data/model_matrices/VERSION.json`. The data
frames below are those of that script.
"""

import json
from decimal import Decimal

import mpmath as mp
import numpy as np
import pandas as pd
import pytest

from places import DATA
from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.linear import lm
from rparity.lmm.lme4 import Lme4
from rparity.lmm.matrices.coding import orthogonal_polynomials
from rparity.lmm.matrices.model_matrices import build

# R's matrices, by version of lme4.
RECORDED = {file.stem: json.loads(file.read_text()) for file in (DATA / "model_matrices").iterdir()}
QUERIES = [
    pytest.param(version, r, id=f"{version}: {r['formula']}")
    for version, answers in sorted(RECORDED.items())
    for r in answers
]


def plain() -> pd.DataFrame:
    i = np.arange(36)

    def pick(labels, index, levels=None, ordered=False):
        return pd.Categorical(np.array(labels)[index], levels or sorted(labels), ordered=ordered)

    return pd.DataFrame(
        {
            "y": (3 * i**2 + i) % 17,
            "x": (7 * i) % 11,
            "z": ((5 * i) % 13) / 4,
            "a": pick(["one", "two", "three"], i % 3, ["one", "two", "three"]),
            "b": pick(["u", "v"], (i // 3) % 2, ["v", "u"]),
            "o": pd.Categorical((i * i) % 5, [4, 1, 0], ordered=True),
            "o5": pd.Categorical((2 * i) % 5, range(5), ordered=True),
            "l": i % 4 > 1,
            "g": pd.Categorical((i % 6).astype(str)),
            "k": (i * i) % 7,
            "text": np.array(["zeta", "Alpha", "beta", "a10", "a9"])[i % 5],
            "batch": pick(["A", "B", "C"], i // 12, ["C", "A", "B"]),
            "cask": pick(["q", "p", "r"], (i // 4) % 3),
            "my var": (2 * i) % 7,
            "size.x": 10.0 ** (i % 3),
        }
    )


def holes() -> pd.DataFrame:
    frame = plain().astype({"x": float, "y": float})
    frame.loc[[2, 10], "x"] = np.nan
    frame.loc[0, "z"] = -1
    frame.loc[(frame["a"] == "three") & (frame.index > 5), "a"] = np.nan
    frame.loc[frame["text"] == "beta", "text"] = None
    frame.loc[frame["g"] == "4", "g"] = np.nan
    frame.loc[19, "y"] = np.nan
    return frame


FRAMES = {"plain": plain(), "holes": holes()}


def columns(recorded, n):
    return np.array(recorded, dtype=float).reshape(len(recorded), n).T


@pytest.mark.parametrize(("version", "r"), QUERIES)
def test_matrices_are_those_of_r(version, r):
    made = build(
        r["formula"], FRAMES[r["frame"]], contrasts=r["contrasts"], lme4=Lme4(version), collate="C"
    )
    n = len(r["rows"])
    # Only transforms that compute are inexact: R's poly() and contr.poly use a QR.
    atol = 1e-14 if any(s in "".join(r["names"]) for s in ("poly", "scale", "log", ".L")) else 0
    assert list(made.names) == r["names"]
    assert list(made.dropped_columns) == r["dropped"]
    assert made.rows.tolist() == r["rows"]
    assert made.dropped_rows == 36 - n
    np.testing.assert_allclose(made.y, r["y"], rtol=1e-15, atol=0)
    np.testing.assert_allclose(made.X, columns(r["X"], n), rtol=1e-15, atol=atol)
    np.testing.assert_allclose(made.offset, r["offset"], rtol=1e-15, atol=0)
    assert [t.group for t in made.random] == [t["group"] for t in r["random"]]
    for mine, theirs in zip(made.random, r["random"], strict=True):
        assert list(mine.names) == theirs["names"]
        assert list(mine.levels) == theirs["levels"]
        assert mine.codes.tolist() == theirs["codes"]
        np.testing.assert_allclose(mine.Z, columns(theirs["Z"], n), rtol=0, atol=1e-15)


@pytest.mark.parametrize("r", RECORDED["2.1-0"], ids=[r["formula"] for r in RECORDED["2.1-0"]])
def test_new_data_get_the_same_columns(r):
    frame = FRAMES[r["frame"]]
    made = build(r["formula"], frame, contrasts=r["contrasts"], collate="C")
    some = frame.loc[made.rows].iloc[[7, 1, 4]].reset_index(drop=True)
    np.testing.assert_array_equal(made.fixed(some), made.X[[7, 1, 4]])
    for term, (codes, Z) in zip(made.random, made.groups(some), strict=True):
        np.testing.assert_array_equal(codes, term.codes[[7, 1, 4]])
        np.testing.assert_array_equal(Z, term.Z[[7, 1, 4]])


def test_arrays_are_float64_and_default_weights_are_one():
    made = build("y ~ x + (1 | g)", plain())
    assert {a.dtype for a in (made.y, made.X, made.offset, made.weights)} == {np.dtype(float)}
    assert made.weights.tolist() == [1.0] * 36
    assert made.offset.tolist() == [0.0] * 36
    assert made.response == "y"


def test_rows_with_missing_weights_or_offset_are_omitted():
    weights = np.arange(1.0, 37.0)
    weights[3] = np.nan
    offset = np.ones(36)
    offset[5] = np.nan
    made = build("y ~ x + offset(z) + (1 | g)", plain(), weights=weights, offset=offset)
    assert made.dropped_rows == 2
    assert not {3, 5} & set(made.rows)
    np.testing.assert_array_equal(made.weights, np.delete(np.arange(1.0, 37.0), [3, 5]))
    np.testing.assert_array_equal(made.offset, 1 + plain()["z"].drop([3, 5]))


def test_columns_may_be_called_weights_and_offset():
    frame = plain().rename(columns={"x": "weights", "z": "offset"})
    given = np.ones(36)
    given[3] = np.nan
    options = {"weights": given, "offset": np.roll(given, 1)}
    made = build("y ~ weights + offset(offset) + (1 | g)", frame, **options)
    assert made.dropped_rows == 2
    np.testing.assert_array_equal(made.offset, 1 + plain()["z"].drop([3, 4]))


def test_a_variable_that_is_subtracted_may_be_infinite():
    made = build("y ~ x - I(1 / k)", plain())
    assert made.names == ("(Intercept)", "x")
    assert made.dropped_rows == 0


def test_nullable_and_text_columns_give_the_same_matrices():
    frame = plain()
    other = frame.assign(
        x=frame["x"].astype("Int64"), g=frame["g"].astype(object), l=frame["l"].astype("boolean")
    )
    ours, theirs = (build("y ~ x + l + (x | g)", f) for f in (frame, other))
    np.testing.assert_array_equal(ours.X, theirs.X)
    assert ours.names == theirs.names
    assert ours.random[0].levels == theirs.random[0].levels
    other.loc[4, "x"] = pd.NA
    assert build("y ~ x + (1 | g)", other).dropped_rows == 1


def test_numeric_groups_are_sorted_and_named_as_in_r():
    frame = plain().assign(n=np.tile([10, 9, 100000, 2], 9))
    assert build("y ~ (1 | n)", frame).random[0].levels == ("2", "9", "10", "100000")
    frame["n"] = frame["n"] / 2
    assert build("y ~ (1 | n)", frame).random[0].levels == ("1", "4.5", "5", "50000")


def test_an_unknown_level_of_a_group_is_minus_one():
    made = build("y ~ x + (1 | a:b)", plain())
    new = pd.DataFrame({"x": [1, 2, 3], "a": ["one", "four", None], "b": ["u", "u", "v"]})
    ((codes, Z),) = made.groups(new)
    assert codes.tolist() == [made.random[0].levels.index("one:u"), -1, -1]
    assert Z.tolist() == [[1.0]] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [1.0, np.nan]}, "`x` has 1 missing value in newdata"),
        ({"x": [1.0, np.inf]}, "`x` has infinite values"),
        ({"a": ["one", "four"]}, "`a` has the level `four` in newdata"),
        ({"x": ["one", "two"]}, "`x` is numeric in the fit"),
    ],
)
def test_invalid_new_data_are_refused(change, message):
    made = build("y ~ x + a", plain())
    new = pd.DataFrame({"x": [1.0, 2.0], "a": ["one", "two"]}).assign(**change)
    with pytest.raises(DataError, match=message):
        made.fixed(new)


def test_contrasts_of_numbers_and_unknown_contrasts_are_refused():
    with pytest.raises(UsageError, match=r"names `x`, which is not a factor of the fixed part"):
        build("y ~ x + a", plain(), contrasts={"x": "contr.sum"})
    with pytest.raises(UsageError, match=r"`a` must be contr\.treatment.* not `sum`"):
        build("y ~ x + a", plain(), contrasts={"a": "sum"})


def test_missing_values_are_refused_on_request():
    with pytest.raises(DataError, match=r"^`x` has 2 missing values: drop or fill those rows\.$"):
        build("x ~ z + (1 | g)", holes().assign(z=1), na_action="fail")


@pytest.mark.parametrize("option", ["na_action", "rank_deficient"])
def test_options_are_checked(option):
    with pytest.raises(UsageError, match=option):
        build("y ~ x", plain(), **{option: "ignore"})


def test_later_changes_of_the_data_have_no_effect():
    frame, weights = plain().astype({"y": float}), np.ones(36)
    made = build("y ~ x + (1 | g)", frame, weights=weights)
    weights[0] = frame.loc[0, "y"] = 99.0
    assert (made.y[0], made.weights[0]) == (0.0, 1.0)


def test_rank_deficiency_is_refused_on_request():
    with pytest.raises(DataError, match=r"The column `I\(2 \* x\)` of the fixed part"):
        build("y ~ x + I(2 * x)", plain(), rank_deficient="fail")


@pytest.mark.parametrize(("scale", "kept"), [(2e-7, True), (0.5e-7, False)])
def test_rank_tolerance_is_that_of_r(scale, kept):
    n = 50
    x = np.where(np.arange(n) % 2, 1.0, -1.0)
    z = x + scale * np.where(np.arange(n) % 4 > 1, 1.0, -1.0)
    made = build("y ~ x + z", pd.DataFrame({"y": np.arange(n) % 7, "x": x, "z": z}))
    assert ("z" in made.names) is kept


BAD = [
    ("y ~ poly(k, 7)", {"k": np.arange(36) % 7}, FormulaError, "must be below the number of diff"),
    ("y ~ poly(x, 0)", {}, FormulaError, "the degree of poly.. must be at least 1"),
    ("y ~ poly(x, 2)", {"x": [np.nan, *range(35)]}, FormulaError, "poly.. does not allow missing"),
    ("y ~ x", {"x": [Decimal(i) for i in range(36)]}, DataError, "`x` has decimal values: convert"),
    ("y ~ (1 | x)", {"x": [Decimal(i) for i in range(36)]}, DataError, "`x` has decimal values"),
    ("y ~ I(1e400 * x)", {}, DataError, r"`I\(Inf \* x\)` has infinite values"),
    ("y ~ lag(x)", {}, FormulaError, "packages define lag.. differently: write dplyr::lag"),
    ("y ~ rescale(x)", {}, FormulaError, "differently: write arm::rescale"),
    ("y ~ logit(x)", {}, FormulaError, "packages define logit differently outside of"),
    ("y ~ data$x", {}, FormulaError, "a column is named without `[$]`: write x"),
    ("y ~ I(a + 1)", {}, FormulaError, "`[+]` is not meaningful for factors"),
    ("y ~ log(x, foo = 2)", {}, FormulaError, "there is no argument `foo`"),
    ("y ~ cut(x)", {}, FormulaError, "the argument `breaks` is missing"),
    ("y ~ relevel(a, 'four')", {}, FormulaError, "ref must be one of the levels one, two, three"),
    ("y ~ C(text, sum)", {}, FormulaError, "needs a factor: write C.factor"),
    ("y ~ factor(a, levels = c('one', 'one'))", {}, FormulaError, "a level is given twice"),
    ("y ~ xx + (1 | g)", {}, FormulaError, "no column `xx`: did you mean `x`"),
    ("y ~ log(qqq)", {}, FormulaError, r"no column `qqq`, which `log\(qqq\)` needs: check its"),
    ("y ~ (1 | gg)", {}, FormulaError, "no column `gg`: did you mean `g`"),
    ("y ~ loess(x)", {}, FormulaError, r"The function `loess` in `loess\(x\)` is not supported"),
    ("y ~ log(a)", {}, FormulaError, r"`log\(a\)` cannot be evaluated"),
    ("y ~ I(1)", {}, FormulaError, "does not have one value for each row"),
    ("a ~ x", {}, DataError, "The response `a` is not numeric"),
    ("y ~ x + offset(a)", {}, DataError, "The offset `a` is not numeric"),
    ("y ~ y + x", {}, FormulaError, "The response `y` is on both sides"),
    ("y ~ offset(y) + x", {}, FormulaError, "The response `y` is on both sides"),
    ("y ~ x", {"x": np.inf}, DataError, "`x` has infinite values"),
    ("y ~ x", {"y": np.inf}, DataError, "`y` has infinite values"),
    ("y ~ x", {"x": np.nan}, DataError, "No row is complete: `x` has 36 missing values in 36"),
    ("y ~ x + a", {"a": "one"}, DataError, "The factor `a` has only one level"),
    ("y ~ x + (1 | g)", {"g": "one"}, DataError, "The grouping factor `g` has only one level"),
    ("y ~ x + (1 | g)", {"g": range(36)}, DataError, "`g` has 36 levels in 36 rows"),
    (
        "y ~ (x | g)",
        {"g": np.arange(36) % 18},
        DataError,
        r"\(x \| g\) has 36 random effects",
    ),
    ("y ~ (1 | g)", {"y": 3}, DataError, "The response `y` is constant"),
    ("y ~ x", {"x": 1j}, DataError, "The column `x` has complex128 values"),
    ("y ~ x", {"x": pd.Timedelta(1)}, DataError, "The column `x` has timedelta64"),
]


@pytest.mark.parametrize(("formula", "change", "kind", "message"), BAD, ids=[b[3] for b in BAD])
def test_invalid_data_are_refused(formula, change, kind, message):
    with pytest.raises(kind, match=message):
        build(formula, plain().assign(**change))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": -np.ones(36)}, "weights have negative values"),
        ({"weights": np.full(36, np.inf)}, "`weights` has infinite values"),
        ({"weights": [1, 2]}, "The weights must be 36 numbers"),
        ({"offset": "g"}, "The offset `g` is not numeric"),
    ],
)
def test_invalid_weights_and_offsets_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        build("y ~ x + (1 | g)", plain(), **options)


def test_no_rows_and_other_types_are_refused():
    with pytest.raises(DataError, match="The data have no rows"):
        build("y ~ x", plain().iloc[:0])
    with pytest.raises(DataError, match="The data are a dict"):
        build("y ~ x", {"y": [1, 2], "x": [1, 2]})


def test_two_columns_with_the_same_name_are_refused():
    frame = plain()[["y", "x", "x"]]
    with pytest.raises(DataError, match="The data have several columns `x`"):
        build("y ~ x", frame)


def test_a_zero_column_is_dropped():
    made = build("y ~ x + zero", plain().assign(zero=0.0))
    assert made.dropped_columns == ("zero",)


def test_columns_are_dropped_if_there_are_more_than_rows():
    made = build("y ~ a * b * x", plain().iloc[[0, 1, 5, 8]])
    assert made.X.shape == (4, 4)


@pytest.mark.parametrize("n", [2, 3, 6, 20, 95])
def test_orthogonal_polynomials_are_orthonormal_and_have_the_sign_of_their_highest_power(
    n: int,
) -> None:
    P = orthogonal_polynomials(n)
    np.testing.assert_allclose(P.T @ P, np.eye(n - 1), rtol=0, atol=4e-15)
    np.testing.assert_allclose(P.sum(axis=0), 0.0, atol=1e-14)
    assert (P[-1] > 0.0).all()


def test_orthogonal_polynomials_are_rounded_once() -> None:
    """Of three levels: −1/√2, 0, 1/√2, and 1/√6, −2/√6, 1/√6; R's QR is off by a last bit."""
    with mp.workdps(40):
        roots = [[-1 / mp.sqrt(2), 1 / mp.sqrt(6)], [0, -2 / mp.sqrt(6)]]
        exact = np.array([*roots, [-roots[0][0], roots[0][1]]], dtype=float)
    np.testing.assert_array_equal(orthogonal_polynomials(3), exact)


def test_an_ordered_factor_of_more_than_95_levels_is_refused_as_in_r() -> None:
    data = pd.DataFrame({"y": np.arange(192.0), "f": pd.Categorical(np.arange(192) % 96)})
    data["f"] = data["f"].cat.as_ordered()
    with pytest.raises(DataError, match="`f` has 96 levels, and orthogonal polynomials are for 95"):
        lm("y ~ f", data)
