"""What R gives for posteriors: tests/data/posterior_reference.json.

Made by r_scripts/posterior_reference.R, by lme4's deviance function and Gauss-Legendre quadrature.
`error` of a model is what R's rule changes if it has three quarters of the points.
"""

import json
from functools import cache

import numpy as np
import pandas as pd

import lmm_recorded
from lmm_recorded import array
from places import DATA
from rparity.cases.document import document_data
from rparity.lmm.bayes.posterior import Posterior, posterior
from rparity.lmm.fit import LmerResults
from rparity.lmm.mixed import lmer

RECORDED = json.loads((DATA / "posterior_reference.json").read_text())
MODELS = RECORDED["models"]
# lme4's criterion at a variance ratio of 1e5, which loses five digits of 16.
ROUNDING = 1e-10


def label(model: dict) -> str:
    return f"{model['data']}: {model['formula']}, {model['prior']}"


def find(data: str, prior: str = "uniform", formula: str = "") -> dict:
    """Find one recorded model."""
    return next(
        m
        for m in MODELS
        if (m["data"], m["prior"]) == (data, prior) and formula in ("", m["formula"])
    )


def frame(name: str) -> pd.DataFrame:
    return document_data(1) if name == "document" else lmm_recorded.frame(name)


@cache
def _fitted(data: str, formula: str) -> LmerResults:
    return lmer(formula, frame(data))


def fitted(model: dict) -> LmerResults:
    return _fitted(model["data"], model["formula"])


@cache
def _computed(data: str, formula: str, prior: str) -> Posterior:
    return posterior(_fitted(data, formula), prior)


def computed(model: dict) -> Posterior:
    return _computed(model["data"], model["formula"], model["prior"])


def check(found: Posterior, model: dict) -> None:
    """Compare probabilities, means and standard deviations with R's."""
    m = found.fit.model.template.m
    # R's names, in the order of `Posterior.names`.
    theirs = [*(f"sd{i + 1}" for i in range(m)), "sigma"]
    theirs += [f"beta{j + 1}" for j in range(found.fit.model.p)]
    if "cor" in model["answer"]:
        theirs[m - 1] = "cor"
    for name, r_name in zip(found.names, theirs, strict=True):
        r, mine = model["answer"][r_name], found.marginal(name)
        error = 2.0 * model["error"] + found.error + ROUNDING
        np.testing.assert_allclose(mine.cdf(array(r["x"])), array(r["p"]), rtol=0.0, atol=error)
        size = abs(r["mean"]) + r["sd"]
        # Moments of heavy tails have fewer digits than probabilities.
        close = {"rtol": 0.0, "atol": size * (1e-8 + 100.0 * model["error"])}
        np.testing.assert_allclose([mine.mean, mine.sd], [r["mean"], r["sd"]], **close)
