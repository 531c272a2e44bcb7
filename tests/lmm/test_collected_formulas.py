"""Sixty formulas that people wrote give R's fits.

They were collected from public R code. tests/data/collected_formulas.json has R's answers for
made-up data, which `made_up` draws again with R's random numbers; the command is
`Rscript --vanilla r_scripts/collected_formulas.R > tests/data/collected_formulas.json`.
"""

import json

import numpy as np
import pandas as pd
import pytest

from lmm_recorded import LME4, array
from places import DATA
from rparity import RRandom, lmer, lmer_control

ANSWERS = json.loads((DATA / "collected_formulas.json").read_text())
ROWS = 240
# A factor that is a grouping factor, too: its random effects cannot be told from its fixed ones.
FLAT = "pc2 ~ arid_withinf*site*mas_bin + scale(date) + (1|site)"


def made_up(answer: dict) -> pd.DataFrame:
    """The data of the function of that name in the script."""
    rng, link = RRandom(answer["seed"]), answer["link"]
    variables = answer["variables"]
    drawn, y, data = {}, np.zeros(ROWS), {}
    for each in variables:
        if each["kind"] == "number":
            drawn[each["name"]] = rng.rnorm(ROWS)
        else:
            drawn[each["name"]] = np.floor(rng.runif(ROWS) * each["levels"]).astype(int)
    for each in variables:
        values = drawn[each["name"]]
        match each["kind"]:
            case "number":
                y += 0.5 * values
                data[each["name"]] = np.exp(values) if link == "x" else values
            case "factor":
                y += 0.75 * values
            case "group":
                y += rng.rnorm(int(each["levels"]))[values]
        if each["kind"] != "number":
            data[each["name"]] = [f"l{code + 1:02d}" for code in values]
    y += rng.rnorm(ROWS)
    if link in {"log", "log2", "log10", "x"}:
        y = np.exp(y / 4)
    elif link == "sqrt":
        y = y**2
    elif link == "logit":
        y = 1.0 / (1.0 + np.exp(-y / 4))
    return pd.DataFrame({**data, answer["response"]: y})


def test_there_are_sixty():
    lines = (DATA / "collected_formulas.txt").read_text().splitlines()
    assert [answer["formula"] for answer in ANSWERS] == lines
    assert len(lines) == 60


@pytest.mark.slow(reason="sixty fits, some with twenty parameters")
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: a["formula"])
def test_each_gives_the_fit_of_r(answer):
    """At R's θ, estimates have 9 digits of R's, and our optimum is no worse than R's."""
    control = lmer_control(check_rankX="silent.drop.cols", check_conv_hess="ignore")
    fit = lmer(answer["formula"], made_up(answer), control=control, lme4=LME4)
    assert fit.converged != (answer["formula"] == FLAT)
    assert fit.term_names == list(np.atleast_1d(answer["names"]))
    assert list(fit.theta.index) == list(np.atleast_1d(answer["theta_names"]))
    criterion, std_error = answer["criterion"], array(answer["std_error"])
    assert fit.criterion <= criterion + 1e-11 * abs(criterion)
    there = fit.at(array(answer["theta"]))
    np.testing.assert_allclose(there.criterion, criterion, rtol=1e-11)
    np.testing.assert_allclose(
        there.params, array(answer["coef"]), rtol=1e-9, atol=1e-9 * std_error.min()
    )
    np.testing.assert_allclose(there.bse, std_error, rtol=1e-9)
    np.testing.assert_allclose(there.sigma, answer["sigma"], rtol=1e-9)
