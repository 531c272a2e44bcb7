"""What lmerTest, pbkrtest and emmeans answered: tests/data/ddf_reference.json.

Made by r_scripts/ddf_reference.R, which also writes the versions; a tight optimizer. Where R's
answer depends on θ in more digits than R's optimum has, fits are compared at R's own θ.
"""

import json
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import lmm_recorded
from few import first_of_each, mostly_slow
from lmm_recorded import array
from places import DATA
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.model_matrices import RankDeficientWarning
from rparity.lmm.mixed import lmer

RECORDED = json.loads((DATA / "ddf_reference.json").read_text())
MODELS = RECORDED["models"]
LM = RECORDED["lm"]


def frame(name: str) -> pd.DataFrame:
    known = RECORDED["frames"] if name in RECORDED["frames"] else lmm_recorded.RECORDED["frames"]
    return lmm_recorded.frame(name, known)


def label(model: dict) -> str:
    more = [key for key in ("weights", "contrasts") if model.get(key)]
    more += [] if model.get("REML", True) else ["ML"]
    return ", ".join([f"{model['data']}: {model['formula']}", *more])


# Of all models: the first with its data and its options.
is_one_of_few = first_of_each(
    [*MODELS, *LM], lambda model: (label(model).replace(model["formula"], ""), model in LM)
)
WHY = "the same claim about dozens of models"


def parametrized(models: list[dict]) -> pytest.MarkDecorator:
    """Models as parameters, of which a few run under each Python."""
    few = mostly_slow(models, is_one_of_few, WHY)
    return pytest.mark.parametrize("model", few, ids=[label(m) for m in models])


def find(data: str, formula: str, **more) -> dict:
    """Find one recorded model."""
    wanted = {"data": data, "formula": formula, "REML": True, "weights": None} | more
    (model,) = (m for m in MODELS if wanted.items() <= m.items() and not m["contrasts"])
    return model


def optimum(model: dict) -> LmerResults:
    """The fit at its own optimum."""
    return _optimum(MODELS.index(model))


@cache
def _optimum(index: int) -> LmerResults:
    model = MODELS[index]
    rows = frame(model["data"])
    weights = rows[model["weights"]] if model["weights"] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)
        return lmer(
            model["formula"],
            rows,
            REML=model["REML"],
            weights=weights,
            contrasts=model["contrasts"],
            lme4=lmm_recorded.LME4,
        )


def at_r(model: dict) -> LmerResults:
    """The fit as if R's θ were its optimum."""
    return _at_r(MODELS.index(model))


@cache
def _at_r(index: int) -> LmerResults:
    fit = _optimum(index).at(array(MODELS[index]["theta"]))
    fit.data_name = MODELS[index]["data"]
    return fit


def table(recorded: dict) -> pd.DataFrame:
    """A recorded data frame, R's NA as NaN."""
    columns = {
        name: values if any(isinstance(v, str) for v in values) else array(values)
        for name, values in recorded.items()
        if name != "rows"
    }
    return pd.DataFrame(columns, index=recorded["rows"])


def matrix(recorded: list) -> np.ndarray:
    return np.array(recorded, dtype=float).reshape(len(recorded), -1)
