"""Experiments on arithmetic: what the last bit of the data does to the answer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.cases.base import Lm, Lmer
from harness.compare import Reference, Tolerance
from harness.engines.native import lm_tables, lmer_tables
from harness.errors import RparityError
from harness.experiments.base import Dispute, Trial, compared
from harness.experiments.parameters import KINDS
from harness.linear import lm
from harness.lmm.fit import lmer

Frames = Mapping[str, pd.DataFrame]

PERTURBATIONS = 6
# The largest effect of a few random last bits is a sample; an engine's own rounding is another,
# of some sums of them.
ROOM = 30.0


def conditioning(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Change the last bit of every number in the data, and see whether the answer moves as much."""
    model, data = dispute.asked.parts.get(part), dispute.asked.data
    if not isinstance(model, Lm | Lmer) or data is None:
        return None
    moved = dispute.asked.movements(model, _movements)
    if not moved:
        return None
    tables = {f"{part}.{kind}": table for kind, table in moved.items()}
    truth = {name: table for name, table in dispute.truth.items() if name in tables}

    def room(table: str, column: str) -> Tolerance:
        by = tables[table].get(column)
        return Tolerance(0.0, "the last bit of the data", 0.0 if by is None else ROOM * by)

    return compared(
        "the last bit of the data changed",
        "conditioning",
        f"a change of the last bit of the data moves the answer by as much, up to {ROOM:.0f} times",
        rows,
        dispute.answer,
        Reference("truth", truth, room, partial=True),
    )


def _movements(model: Lm | Lmer, data: pd.DataFrame) -> Frames:
    """Largest change of each value over some random changes of the data's last bits."""
    rng = np.random.default_rng(1)
    try:
        base = _tables(model, data)
        largest = {kind: 0.0 * table for kind, table in base.items()}
        for _ in range(PERTURBATIONS):
            found = _tables(model, _last_bits(data, rng))
            for kind, table in found.items():
                change = (table - base[kind]).abs()
                largest[kind] = largest[kind].where(largest[kind] >= change, change)
    except RparityError:
        return {}
    # Half a unit in the last place of the value itself is always possible.
    least = {kind: table.abs() * 2.0**-53 for kind, table in base.items()}
    return {kind: table.where(table > least[kind], least[kind]) for kind, table in largest.items()}


def _last_bits(data: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Move every float of the data by a unit in its last place, or not, or the other way."""
    out = data.copy()
    for name in data.columns:
        if pd.api.types.is_float_dtype(data[name]):
            x = data[name].to_numpy()
            step = rng.integers(-1, 2, len(x))
            out[name] = x + step * np.spacing(np.abs(x))
    return out


def _tables(model: Lm | Lmer, data: pd.DataFrame) -> Frames:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(model, Lm):
            return lm_tables(lm(model.formula, data, contrasts=model.contrasts, na_action="fail"))
        weights = None if model.weights is None else data[model.weights]
        fit = lmer(model.formula, data, REML=model.reml, weights=weights, na_action="fail")
        return lmer_tables(fit, KINDS)
