"""Formulas with R's operators and functions against R's own model matrices and fits.

tests/data/formulas.json has R's answers, from the command
`Rscript --vanilla r_scripts/formulas.R > tests/data/formulas.json`. The data frames below are those
of that script.
"""

import json
import re
import warnings
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from places import DATA
from rparity.errors import DataError, UsageError
from rparity.lmm.inference.emmeans import emmeans
from rparity.lmm.language.collation import sorted_levels
from rparity.lmm.linear import lm
from rparity.lmm.lme4 import Lme4
from rparity.lmm.matrices.model_matrices import AbsentContrastWarning, ModelMatrices, build
from rparity.lmm.mixed import lmer

OF_R = json.loads((DATA / "formulas.json").read_text())
RECORDED = OF_R["matrices"]
LME4 = "1.1-31"


def plain() -> pd.DataFrame:
    i = np.arange(36)

    def pick(labels, index, levels=None, ordered=False):
        return pd.Categorical(np.array(labels)[index], levels, ordered=ordered)

    return pd.DataFrame(
        {
            "y": ((7 * i**2 + 3 * i) % 31) / 4
            + np.array([0, 6, -3, 9, 3, -6])[i % 6]
            + np.array([0, 3, -6, 6])[i // 9],
            "x": ((11 * i) % 23) / 8 - 1,
            "z": ((5 * i * i + i) % 29) / 16 + 0.25,
            "p": ((13 * i) % 37 + 1) / 64,
            "k": (i * i) % 7,
            "n": (3 * i) % 10 - 4,
            "year": 1990 + i % 13,
            "f": pick(["lo", "mid", "hi"], i % 3, ["lo", "mid", "hi"]),
            "h": np.array(["hi", "Lo", "apple", "Banana", "_x"])[(i // 2) % 5],
            "o": pick(list("abcd"), (i * i) % 4 + i % 3, list("badc"), ordered=True),
            "lg": (i * i) % 5 > 1,
            "lh": i % 4 == 0,
            "g": pd.Categorical((i % 6).astype(str)),
            "s": np.array(["s 1", "S2", "s-3", "S4"])[i // 9],
            "dt": [date(2020, 2, 20) + timedelta(days=int(d)) for d in i % 9],
            "tm": pd.Timestamp("2020-02-20 12:00") + pd.to_timedelta(1800 * (i % 7), unit="s"),
            "num": (i % 4).astype(str),
            "a b": (2 * i) % 5,
        }
    )


def gaps() -> pd.DataFrame:
    frame = plain().astype({"x": float, "lg": object})
    frame.loc[[2, 10], "x"] = np.nan
    frame.loc[4, "lg"] = None
    frame.loc[[7, 19], "f"] = np.nan
    frame.loc[[8, 9], "h"] = None
    frame.loc[0, "z"] = -1
    return frame


FRAMES = {"plain": plain(), "gaps": gaps()}


def made_of(r) -> ModelMatrices:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = FRAMES[r["frame"]]
        return build(r["formula"], frame, collate=r["locale"], lme4=Lme4(LME4))


# Where R's last bits are its own: contr.poly(), poly() and splines go through a QR, whose last
# bits depend on the machine, and gamma() is a series that no library shares.
INEXACT = re.compile(r"poly|[bn]s\(|ordered|gamma|\bo\b|\.")


def columns(recorded, n):
    return np.array(recorded, dtype=float).reshape(len(recorded), n).T


@pytest.mark.parametrize("r", RECORDED, ids=[f"{r['formula']} {r['locale']}" for r in RECORDED])
def test_formulas_have_the_matrices_of_r(r):
    made = made_of(r)
    n = len(r["rows"])
    assert list(made.names) == r["names"]
    assert list(made.dropped_columns) == r["dropped"]
    assert made.rows.tolist() == r["rows"]
    rtol, atol = (2e-15, 4e-15) if INEXACT.search(r["formula"]) else (0, 0)
    np.testing.assert_allclose(made.X, columns(r["X"], n), rtol=rtol, atol=atol)
    np.testing.assert_allclose(made.offset, r["offset"], rtol=0, atol=0)
    assert [t.group for t in made.random] == [t["group"] for t in r["random"]]
    for mine, theirs in zip(made.random, r["random"], strict=True):
        assert list(mine.names) == theirs["names"]
        assert list(mine.levels) == theirs["levels"]
        assert mine.codes.tolist() == theirs["codes"]
        np.testing.assert_allclose(mine.Z, columns(theirs["Z"], n), rtol=rtol, atol=atol)


def assert_close(fit, coef):
    """An optimum found from criteria alone is good to the root of their rounding."""
    off = np.abs(fit.params.to_numpy() - coef)
    assert (off <= np.maximum(1e-8 * np.abs(fit.params), 1e-6 * fit.bse)).all()


FITS = [r for r in RECORDED if r["fit"]]


@pytest.mark.parametrize("r", FITS, ids=[f"{r['formula']} {r['locale']}" for r in FITS])
def test_fits_are_those_of_r(r):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dropped columns
        fit = lmer(r["formula"], FRAMES[r["frame"]], collate=r["locale"], lme4=LME4)
    # R's criterion is rounded to 1e-7 where a covariate is as large as a date.
    assert fit.criterion <= r["fit"]["criterion"] + 1e-7
    assert_close(fit, r["fit"]["coef"])


def new_rows() -> pd.DataFrame:
    """The rows of the script's `new_rows()`."""
    new = plain().iloc[[0, 5, 8, 13, 22]].copy()
    new["x"] += [0.125, -0.0625, 4, 0.25, 0]
    new["z"] *= [1.25, 1, 2, 1, 0.0625]
    new["year"] += 3
    return new


@pytest.mark.parametrize("r", OF_R["new_data"], ids=[r["formula"] for r in OF_R["new_data"]])
def test_new_data_have_the_columns_of_r(r):
    """Only scale(), poly(), bs() and ns() that stand alone keep what they learnt, as in R."""
    made = build(r["formula"], plain())
    # Beyond the boundary, splines are polynomials in 4, and their rounding is that of 4^3.
    atol = 1e-12 if INEXACT.search(r["formula"]) else 0
    np.testing.assert_allclose(made.fixed(new_rows()), columns(r["X"], 5), rtol=0, atol=atol)


@pytest.mark.parametrize("r", OF_R["predictions"], ids=[r["formula"] for r in OF_R["predictions"]])
def test_predictions_for_new_data_are_those_of_r(r):
    fit = lmer(r["formula"], plain())
    np.testing.assert_allclose(fit.predict(new_rows()), r["predicted"], rtol=1e-6)


def fitted(formula, frame, **options):
    """`lmer`, or `lm` without random effects."""
    return (lmer if "|" in formula else lm)(formula, FRAMES[frame], **options)


SUBSETS = OF_R["arguments"]["subset"]


@pytest.mark.parametrize("r", SUBSETS, ids=[r["subset"] for r in SUBSETS])
def test_a_subset_is_that_of_r(r):
    fit = fitted(r["formula"], r["frame"], subset=r["subset"])
    assert fit.nobs == r["nobs"]
    assert list(fit.params.index) == r["names"]
    assert_close(fit, r["coef"])


def test_a_subset_is_an_expression_or_booleans():
    frame = plain()
    named = build("y ~ scale(x) + h", frame, subset="x > 0")
    chosen = build("y ~ scale(x) + h", frame, subset=frame["x"] > 0)
    np.testing.assert_array_equal(named.X, chosen.X)
    assert chosen.dropped_rows == 0
    for wrong in ("x + 1", np.arange(36), [True]):
        with pytest.raises(UsageError, match="subset="):
            build("y ~ x", frame, subset=wrong)
    with pytest.raises(DataError, match="subset= leaves no row"):
        build("y ~ x", frame, subset="x > 99")


CONTRASTS = OF_R["arguments"]["contrasts"]


@pytest.mark.parametrize("r", CONTRASTS, ids=[r["formula"] for r in CONTRASTS])
def test_contrasts_may_be_matrices(r):
    matrix = columns(r["matrix"], 3)
    given = pd.DataFrame(matrix, columns=[r["column"]]) if "column" in r else matrix
    fit = fitted(r["formula"], "plain", contrasts={"f": given})
    assert list(fit.params.index) == r["names"]
    assert_close(fit, r["coef"])


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        ({"f": np.eye(3)}, "or a matrix with 3 rows and at most 2 columns"),
        ({"f": 5}, "must be one of R's names, such as 'contr.sum', or a matrix"),
        (["contr.sum"], "contrasts must be a mapping from factors"),
    ],
)
def test_unsuitable_contrasts_are_refused(contrasts, message):
    with pytest.raises(UsageError, match=message):
        build("y ~ f", plain(), contrasts=contrasts)


@pytest.mark.parametrize("formula", ["y ~ x + (f | g)", "y ~ x + (1 | g)"])
def test_contrasts_of_a_variable_that_x_lacks_are_ignored_with_a_warning(formula):
    """As in R, a factor of the random part keeps its default contrasts."""
    with pytest.warns(AbsentContrastWarning, match="no f, whose contrasts are ignored"):
        made = build(formula, plain(), contrasts={"f": "contr.sum"})
    np.testing.assert_array_equal(made.X, build(formula, plain()).X)
    np.testing.assert_array_equal(made.random[0].Z, build(formula, plain()).random[0].Z)


def test_excluded_rows_have_no_residual():
    r = OF_R["arguments"]["exclude"]
    fit = lmer("y ~ x + f + (1 | g)", gaps(), na_action="exclude")
    for ours, theirs in ((fit.resid, r["residuals"]), (fit.fittedvalues, r["fitted"])):
        assert list(ours.index) == list(range(36))
        np.testing.assert_allclose(ours, np.array(theirs, dtype=float), rtol=1e-6)
    assert fit.nobs == sum(value is not None for value in r["fitted"])
    assert np.isfinite(fit.scaled_resid).all()


def test_text_sorts_as_in_the_default_session_of_r():
    found = sorted_levels(sorted(OF_R["sorted"])[::-1], "en_US")
    assert found == OF_R["sorted"]


def test_text_sorts_by_code_point_in_the_locale_c():
    assert sorted_levels(OF_R["sorted"], "C") == sorted(OF_R["sorted"])
    with pytest.raises(UsageError, match="collate must be 'en_US' or 'C'"):
        build("y ~ h", plain(), collate="de_DE")


def test_days_of_new_data_are_those_of_the_fit():
    """A day without a time is R's Date, but seconds if the data of the fit had times."""
    frame = plain()
    day = pd.Timestamp("2020-02-21")
    new = frame.assign(tm=day, dt=[day + pd.Timedelta(hours=12)] * 36)
    assert build("y ~ tm", frame).fixed(new)[0, 1] == day.timestamp()
    assert build("y ~ dt", frame).fixed(new)[0, 1] == day.timestamp() / 86400 + 0.5


@pytest.mark.parametrize("column", ["dt", "tm"])
def test_marginal_means_are_at_the_mean_date(column):
    frame = plain()
    frame["number"] = build(f"y ~ {column}", frame).X[:, 1]
    of_dates, of_numbers = (
        emmeans(lm(f"y ~ f + {name}", frame), "f").summary() for name in (column, "number")
    )
    np.testing.assert_allclose(of_dates["emmean"], of_numbers["emmean"], rtol=1e-9)
