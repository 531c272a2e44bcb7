"""Experiments on arithmetic: what the last bit of the data does to the answer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import t as student

from rparity.cases.base import Lm, Lmer
from rparity.compare import Reference, Tables, Tolerance
from rparity.diagnosis.experiments.base import ROOM, Dispute, Trial, compared, places
from rparity.engines.native import lm_tables, model_tables
from rparity.errors import RparityError
from rparity.lmm.linear import least_squares
from rparity.lmm.matrices import build

PERTURBATIONS = 6
NO_DIGITS = 2.0
LAST_PLACES = 4e-15  # what a difference from one may be off by
BAR = Tolerance(1e-12, "rounding")


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


def other_units(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Ask the engine again with the predictors divided by powers of two, to be of size 1."""
    model = dispute.asked.parts.get(part)
    if not dispute.rescaled or not isinstance(model, Lm):
        return None
    moved = dispute.asked.movements(model, _movements)

    def room(table: str, column: str) -> Tolerance:
        by = moved.get(table.rpartition(".")[2], pd.DataFrame()).get(column)
        return replace(BAR, atol=0.0 if by is None else ROOM * by)

    trial = compared(
        "predictors in other units",
        "scale of the predictors",
        f"given the predictors divided by powers of two, which rounds nothing, {dispute.engine} "
        "has the answer: large numbers beside small ones cost it the digits, no more of them than "
        f"{ROOM:.0f} times what the last bit of the largest number in X moves",
        rows,
        dispute.rescaled,
        Reference("truth", dispute.truth, room, partial=True),
        instead_of=dispute.truth,
    )
    by = dispute.asked.movements(model, _largest_movements)
    most = [
        ROOM * float(by[kind][column][row]) if kind in by else 0.0
        for table, row, column in places(rows)
        for kind in [table.rpartition(".")[2]]
    ]
    off = (rows["value"] - rows["reference_value"]).abs()
    return replace(trial, vanished=trial.vanished & (off <= most))


def unstable_arithmetic(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """See whether the engine's own answers to data changed in the last bit scatter as much.

    Coefficients are solved for together: where the scatter leaves most of a table's values no
    digits, the others of the model, NaN among them, are lost too.
    """
    noise = {t: frame for t, frame in dispute.noise.items() if t.partition(".")[0] == part}
    truth = {name: table for name, table in dispute.truth.items() if name in noise}
    if not truth:
        return None

    def room(table: str, column: str) -> Tolerance:
        by = noise[table].get(column)
        return Tolerance(0.0, "the engine's own scatter", 0.0 if by is None else ROOM * by)

    trial = compared(
        "the engine asked again, the data changed in the last bit",
        "unstable arithmetic",
        f"with the last bits of the data {dispute.engine}'s own answer moves by as much, up to "
        f"{ROOM:.0f} times, where the exact one does not",
        rows,
        dispute.answer,
        Reference("truth", truth, room, partial=True),
    )
    estimates = (rows["table"] == f"{part}.coef") & (rows["column"] == "estimate")
    lost = trial.vanished & estimates & (rows["digits"] < NO_DIGITS)
    if lost.sum() > estimates.sum() / 2:
        return replace(trial, vanished=trial.vanished | True)
    return trial


def inverted_variances(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Allow random effects what it costs to invert the variance of the responses as it is.

    Its condition is κ, the largest variance over the smallest conditional one: predictions, and
    residuals with them, lose κ last bits, and a conditional variance, a small difference of two
    large ones, κ².
    """
    ranef, varcorr, glance = (
        dispute.truth.get(f"{part}.{kind}") for kind in ("ranef", "varcorr", "glance")
    )
    if ranef is None or varcorr is None or glance is None:
        return None
    smallest, sigma = ranef["condsd"].min(), glance["sigma"].iloc[0]
    if not smallest > 0.0:
        return None
    kappa = varcorr["vcov"].max() / smallest**2
    lost = ROOM * 2.0**-53 * kappa
    if lost * kappa >= 1.0:
        return None
    off = lost * ranef["condval"].abs().max()
    room = {
        "condsd": replace(BAR, rtol=lost * kappa),
        "condval": replace(BAR, atol=off),
        "value": replace(BAR, atol=off / sigma),
    }
    told = (f"{part}.ranef", f"{part}.residual_quantiles")
    return compared(
        "what the inverse of the variance loses",
        "unstable arithmetic",
        f"the variance of the responses has the condition {kappa:.1e}: inverted as it is, it "
        "leaves random effects, their deviations and the residuals no more digits",
        rows,
        dispute.answer,
        Reference(
            "truth",
            {name: dispute.truth[name] for name in told if name in dispute.truth},
            lambda _table, column: room[column],
            partial=True,
        ),
    )


def subtracted_from_one(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Take p-values as one less the distribution function, which has no digits below 1e-16."""
    coef, glance = (dispute.truth.get(f"{part}.{kind}") for kind in ("coef", "glance"))
    mine = dispute.answer.get(f"{part}.coef", pd.DataFrame())
    if coef is None or glance is None or not {"statistic", "p_value"} <= set(mine):
        return None
    df = glance["df_residual"].to_numpy(dtype=float)[0]
    lost = mine.assign(p_value=2.0 * (1.0 - student.cdf(mine["statistic"].abs(), df)))
    tolerance = Tolerance(1e-9, "a few units of one's last place", 2e-15)
    trial = compared(
        "p-values by subtraction from one",
        "unstable arithmetic",
        f"{dispute.engine} subtracts the distribution function from one, which leaves nothing of "
        "a p-value below 1e-16",
        rows,
        dispute.answer,
        Reference("prediction", {f"{part}.coef": lost}, lambda _t, _c: tolerance, partial=True),
        instead_of=dispute.truth,
    )
    off = (rows["value"] - rows["reference_value"]).abs()
    small = (rows["column"] == "p_value") & (off <= LAST_PLACES)
    # A difference from one is a multiple of half the last place of one.
    coarse = (rows["value"] * 2.0**53) % 1.0 == 0.0
    return replace(trial, vanished=trial.vanished & small & coarse)


def scatter(base: Tables, others: Sequence[Tables]) -> Tables:
    """Return the largest change of each value of `base` among other answers."""
    found = {}
    for name, table in base.items():
        changes = [
            (other[name].reindex_like(table) - table).abs() for other in others if name in other
        ]
        if changes:
            found[name] = pd.concat(changes).groupby(level=0, sort=False).max().reindex(table.index)
    return found


def _movements(model: Lm | Lmer, data: pd.DataFrame) -> Tables:
    """Largest change of each value over some random changes of the data's last bits."""
    rng = np.random.default_rng(1)
    try:
        base = _tables(model, data)
        others = [_tables(model, last_bits(data, rng)) for _ in range(PERTURBATIONS)]
    except RparityError:
        return {}
    return _largest(base, others)


def _largest_movements(model: Lm, data: pd.DataFrame) -> Tables:
    """Largest change of each value where every number in X moves by the last bit of the largest.

    So large is the rounding of what is stable for a matrix, but not for each of its columns.
    """
    rng = np.random.default_rng(1)
    m = build(model.formula, data, contrasts=model.contrasts, na_action="fail")
    step = np.spacing(np.abs(m.X).max())

    def moved() -> Tables:
        return lm_tables(least_squares(replace(m, X=m.X + step * rng.integers(-1, 2, m.X.shape))))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = lm_tables(least_squares(m))
        return _largest(base, [moved() for _ in range(PERTURBATIONS)])


def _largest(base: Tables, others: Sequence[Tables]) -> Tables:
    # Half a unit in the last place of the value itself is always possible.
    least = {kind: table.abs() * 2.0**-53 for kind, table in base.items()}
    largest = scatter(base, others)
    return {kind: table.where(table > least[kind], least[kind]) for kind, table in largest.items()}


def last_bits(data: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Move every float of the data by a unit in its last place, or not, or the other way."""
    out = data.copy()
    for name in data.columns:
        if pd.api.types.is_float_dtype(data[name]):
            x = data[name].to_numpy()
            step = rng.integers(-1, 2, len(x))
            out[name] = x + step * np.spacing(np.abs(x))
    return out


def _tables(model: Lm | Lmer, data: pd.DataFrame) -> Tables:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model_tables(model, data)
