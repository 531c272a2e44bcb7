"""What lme4 answered: tests/data/lmm_reference.json, made by r_scripts/lmm_reference.R.

R 4.2.2, lme4 1.1-31, a tight optimizer; the data are in there as well.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from harness.lmm.fit import LmerResults, lmer

RECORDED = json.loads((Path(__file__).parent / "data" / "lmm_reference.json").read_text())
MODELS = RECORDED["models"]
EXTRAS = RECORDED["extras"]


def frame(name: str) -> pd.DataFrame:
    columns = {
        key: pd.Categorical.from_codes(value["codes"], value["levels"], ordered=value["ordered"])
        if isinstance(value, dict)
        else np.array(value, dtype=float)
        for key, value in RECORDED["frames"][name].items()
        if key != "rows"
    }
    data = pd.DataFrame(columns)
    data.attrs["name"] = name
    return data


def label(model: dict) -> str:
    return f"{model['data']}: {model['formula']}{'' if model['REML'] else ', ML'}"


def fitted(model: dict) -> LmerResults:
    return _fitted(model["data"], model["formula"], model["REML"], model["weights"])


@cache
def _fitted(data: str, formula: str, reml: bool, weights: str | None) -> LmerResults:
    rows = frame(data)
    return lmer(formula, rows, REML=reml, weights=None if weights is None else rows[weights])


def having(what: str) -> dict:
    """Arguments of `parametrize` for the models of which `what` was recorded."""
    models = [model for model in MODELS if what in model]
    return {"argnames": "model", "argvalues": models, "ids": [label(m) for m in models]}


def array(values) -> np.ndarray:
    """R's NA as NaN; a vector of one came as a number."""
    return np.array(values if isinstance(values, list) else [values], dtype=float)
