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
from rparity.lmm.fit import lmer
from rparity.lmm.lme4 import Lme4
from rparity.lmm.matrices import ModelMatrices, build

RECORDED = json.loads((DATA / "formulas.json").read_text())
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


FITS = [r for r in RECORDED if r["fit"]]


@pytest.mark.parametrize("r", FITS, ids=[f"{r['formula']} {r['locale']}" for r in FITS])
def test_fits_are_those_of_r(r):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dropped columns
        fit = lmer(r["formula"], FRAMES[r["frame"]], collate=r["locale"], lme4=LME4)
    # R's criterion is rounded to 1e-7 where a covariate is as large as a date, and an optimum that is
    # found from criteria alone is good to the root of their rounding: 1e-6 standard errors.
    assert fit.criterion <= r["fit"]["criterion"] + 1e-7
    off = np.abs(fit.params.to_numpy() - r["fit"]["coef"])
    assert (off <= np.maximum(1e-8 * np.abs(fit.params), 1e-6 * fit.bse)).all()
