"""The experiment on scales: a linear model with its predictors divided by powers of two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Lm
from rparity.compare import Tables, kind_of, part_of
from rparity.engines.base import Question
from rparity.engines.designs import design
from rparity.lmm.language.expression import expression, names
from rparity.lmm.language.formula import parse

Array = NDArray[np.float64]


def in_other_units(question: Question) -> tuple[Question, dict[str, Array]] | None:
    """Divide the predictors of linear models by powers of two, which rounds nothing.

    Returns the question about the scaled data, and for each model the factors, shape (p,), that
    turn its coefficients into those of the original question. Returns None if there is nothing to
    scale, or if a model has no such factors because a predictor enters other than as a power.
    """
    models = [part for part in question.case.parts if isinstance(part, Lm)]
    data = question.data
    if data is None or not models:
        return None
    left = [names(expression(parse(part.formula).response)) for part in models]
    responses = {name for found in left for name in found}
    scaled = data.copy()
    for name in data.columns:
        if name not in responses and pd.api.types.is_float_dtype(data[name]):
            size = float(np.sqrt((data[name] ** 2).mean()))
            if size > 0.0:
                scaled[name] = data[name] / 2.0 ** np.round(np.log2(size))
    factors: dict[str, Array] = {}
    for part in models:
        before, after = (_norms(part, frame) for frame in (data, scaled))
        if before.shape != after.shape:
            return None
        ratio = after / before
        if not np.array_equal(np.exp2(np.round(np.log2(ratio))), ratio):
            return None
        factors[part.name] = ratio
    if all((factor == 1.0).all() for factor in factors.values()):
        return None
    return replace(question, data=scaled), factors


def in_the_questions_units(tables: Tables, factors: dict[str, Array]) -> Tables:
    """Convert an answer in the scaled units to the units of the original question."""
    return {
        name: _scaled(table, kind_of(name), factors[part_of(name)])
        for name, table in tables.items()
        if part_of(name) in factors
    }


def _scaled(table: pd.DataFrame, kind: str, factor: Array) -> pd.DataFrame:
    match kind:
        case "coef" if len(table) == len(factor):
            of_units = [c for c in ("estimate", "std_error") if c in table]
            return table.assign(**{column: table[column] * factor for column in of_units})
        case "confint_wald" if len(table) == len(factor):
            return table.mul(factor, axis=0)
        case "vcov" if len(table) == len(factor):
            return table.mul(factor, axis=0).mul(factor, axis=1)
        case _:
            return table


def _norms(part: Lm, data: pd.DataFrame) -> Array:
    """Largest absolute value of each column of the design, exact under powers of two."""
    X = design(part, data).X
    return np.asarray(np.abs(X).max(axis=0))
