"""Experiments on arithmetic: how far the last bits of the data move the answer."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rparity.cases.base import Lm, Lmer, Part
from rparity.compare import ROUNDING_DIGITS, Reference, Tables, Tolerance, kind_of, part_of
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import ROOM, Dispute, Trial, compared, places
from rparity.diagnosis.experiments.parameters import Sides
from rparity.engines.designs import design
from rparity.engines.native import lm_tables, model_tables
from rparity.errors import RparityError
from rparity.lmm.fit import LmerResults
from rparity.lmm.language.formula import parse
from rparity.lmm.linear import least_squares
from rparity.lmm.numbers.distributions import t_tail

PERTURBATIONS = 6
NO_DIGITS = 2.0
LAST_PLACES = 4e-15  # the error of a difference from one
BAR = Tolerance(1e-12, "rounding")


def conditioning(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """See how far the exact answer moves when the last bit of every number in the data changes."""
    model, data = dispute.context.parts.get(part), dispute.context.data
    if not isinstance(model, Lm | Lmer) or data is None:
        return None
    if isinstance(model, Lmer):  # tests that nobody answered would only take time
        answered = [kind for kind in model.kinds if f"{part}.{kind}" in dispute.answer]
        model = replace(model, kinds=tuple(answered))
    moved = dispute.context.movements(model, _movements)
    if not moved:
        return None
    tables = {f"{part}.{kind}": table for kind, table in moved.items()}
    known = {name: table for name, table in dispute.reference_tables.items() if name in tables}

    def room(table: str, column: str) -> Tolerance:
        by = tables[table].get(column)
        return Tolerance(0.0, "the last bit of the data", 0.0 if by is None else ROOM * by)

    return compared(
        "the last bit of the data changed",
        Cause.CONDITIONING,
        f"a change of the last bit of the data moves the answer by as much, up to {ROOM:.0f} times",
        rows,
        dispute.answer,
        Reference("reference", known, room, partial=True),
    )


def other_units(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Take the engine's answer to the predictors divided by powers of two, to be of size 1."""
    model = dispute.context.parts.get(part)
    if not dispute.rescaled or not isinstance(model, Lm):
        return None
    moved = dispute.context.movements(model, _movements)

    def room(table: str, column: str) -> Tolerance:
        by = moved.get(kind_of(table), pd.DataFrame()).get(column)
        return replace(BAR, atol=0.0 if by is None else ROOM * by)

    trial = compared(
        "predictors in other units",
        Cause.SCALE,
        f"given the predictors divided by powers of two, which rounds nothing, {dispute.engine} "
        "has the answer: large numbers beside small ones cost it the digits, no more of them than "
        f"{ROOM:.0f} times what the last bit of the largest number in X moves",
        rows,
        dispute.rescaled,
        Reference("reference", dispute.reference_tables, room, partial=True),
        instead_of=dispute.reference_tables,
    )
    by = dispute.context.movements(model, _largest_movements)
    most = [
        ROOM * float(by[kind_of(table)][column][row]) if kind_of(table) in by else 0.0
        for table, row, column in places(rows)
    ]
    off = (rows["value"] - rows["reference_value"]).abs()
    return replace(trial, vanished=trial.vanished & (off <= most))


def unstable_arithmetic(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """See how far the engine's own answers scatter when the last bits of the data change.

    Coefficients are solved for together. If the scatter leaves no digits of most estimates, the
    model's other values, NaN among them, count as lost too.
    """
    noise = {t: frame for t, frame in dispute.noise.items() if part_of(t) == part}
    known = {name: table for name, table in dispute.reference_tables.items() if name in noise}
    if not known:
        return None

    def room(table: str, column: str) -> Tolerance:
        by = noise[table].get(column)
        return Tolerance(0.0, "the engine's own scatter", 0.0 if by is None else ROOM * by)

    trial = compared(
        "the engine asked again, the data changed in the last bit",
        Cause.UNSTABLE,
        f"with the last bits of the data {dispute.engine}'s own answer moves by as much, up to "
        f"{ROOM:.0f} times, where the exact one does not",
        rows,
        dispute.answer,
        Reference("reference", known, room, partial=True),
    )
    estimates = (rows["table"] == f"{part}.coef") & (rows["column"] == "estimate")
    lost = trial.vanished & estimates & (rows["digits"] < NO_DIGITS)
    if lost.sum() > estimates.sum() / 2:
        return replace(trial, vanished=trial.vanished | True)
    return trial


def normal_equations(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Allow the digits that rounding X'V⁻¹X costs, at the engine's own variance parameters.

    If X'V⁻¹X with a diagonal of ones is so well conditioned that rounding it leaves twelve digits,
    the experiment does not apply.
    """
    pair = Sides.of(dispute, part)
    if pair is None:
        return None
    scaled = pair.mine.cov_params() / np.outer(pair.mine.bse, pair.mine.bse)
    if np.linalg.cond(scaled) * np.finfo(np.float64).eps < 10.0**-ROUNDING_DIGITS:
        return None
    tables = {f"{part}.{kind}": table for kind, table in _rounded_gram(pair.mine).items()}

    def room(table: str, column: str) -> Tolerance:
        by = tables.get(table, pd.DataFrame()).get(column)
        usual = pair.from_mine.tolerance(table, column)
        return usual if by is None else replace(usual, atol=usual.atol + ROOM * by)

    trial = compared(
        "X'V⁻¹X rounded",
        Cause.NORMAL_EQUATIONS,
        "at the engine's own variance parameters, rounding X'V⁻¹X moves the answer by as much, up "
        f"to {ROOM:.0f} times: it has the square of the condition of X",
        rows,
        dispute.answer,
        replace(pair.from_mine, tolerance=room),
        instead_of=dispute.reference_tables,
    )
    # Where the formulas give the engine's value without this room, the cause is another one.
    return replace(trial, vanished=trial.vanished & ~pair.follows(rows))


def _rounded_gram(fit: LmerResults) -> Tables:
    """Return how far values move if element i, j of A = X'V⁻¹X rounds, by ε √(A_ii A_jj).

    To first order, with C = A⁻¹: C moves by C E C, β by C E β, log|A| by tr(C E), and the sum of
    squares, in units of σ², by β'Eβ. E has rank one for the worst signs.
    """
    eps = float(np.finfo(np.float64).eps)
    cov, beta, se = fit.cov_params(), fit.params, fit.bse
    size = np.diag(1.0 / se)
    e = np.sqrt(np.abs(np.diag(size @ np.linalg.inv(size @ cov.to_numpy() @ size) @ size)))
    w, s = cov.abs() @ e, float(e @ beta.abs())
    estimate, error = eps * s * w, eps * w**2 / (2.0 * se)
    statistic = (beta / se).abs() * (estimate / beta.abs() + error / se)
    limit = estimate + 2.0 * error
    fitted = eps * (float(e @ w) + s**2)
    return {
        "coef": pd.DataFrame({"estimate": estimate, "std_error": error, "statistic": statistic}),
        "vcov": pd.DataFrame(eps * np.outer(w, w), cov.index, cov.columns),
        "confint_wald": pd.DataFrame({"conf_low": limit, "conf_high": limit}),
        "glance": pd.DataFrame(fitted, ["1"], ["log_lik", "aic", "bic", "criterion"]),
    }


def inverted_variances(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Allow random effects the digits that inverting the responses' variance directly costs.

    The condition number κ is the largest variance over the smallest conditional variance. Random
    effects and residuals lose κ units of the last place. A conditional variance is a small
    difference of two large ones and loses κ².
    """
    ranef, varcorr, glance = (
        dispute.reference_tables.get(f"{part}.{kind}") for kind in ("ranef", "varcorr", "glance")
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
    bounded = (f"{part}.ranef", f"{part}.residual_quantiles")
    return compared(
        "what the inverse of the variance loses",
        Cause.UNSTABLE,
        f"the variance of the responses has the condition {kappa:.1e}: inverted as it is, it "
        "leaves random effects, their deviations and the residuals no more digits",
        rows,
        dispute.answer,
        Reference(
            "reference",
            {
                name: dispute.reference_tables[name]
                for name in bounded
                if name in dispute.reference_tables
            },
            lambda _table, column: room[column],
            partial=True,
        ),
    )


def subtracted_from_one(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Compute p-values as one minus the distribution function, which loses those below 1e-16."""
    coef, glance = (dispute.reference_tables.get(f"{part}.{kind}") for kind in ("coef", "glance"))
    mine = dispute.answer.get(f"{part}.coef", pd.DataFrame())
    if coef is None or glance is None or not {"statistic", "p_value"} <= set(mine):
        return None
    df = glance["df_residual"].to_numpy(dtype=float)[0]
    lost = mine.assign(p_value=2.0 * (1.0 - t_tail(-mine["statistic"].abs(), df)))
    tolerance = Tolerance(1e-9, "a few units of one's last place", 2e-15)
    trial = compared(
        "p-values by subtraction from one",
        Cause.UNSTABLE,
        f"{dispute.engine} subtracts the distribution function from one, which leaves nothing of "
        "a p-value below 1e-16",
        rows,
        dispute.answer,
        Reference("prediction", {f"{part}.coef": lost}, lambda _t, _c: tolerance, partial=True),
        instead_of=dispute.reference_tables,
    )
    off = (rows["value"] - rows["reference_value"]).abs()
    small = (rows["column"] == "p_value") & (off <= LAST_PLACES)
    # One minus a number is a multiple of 2⁻⁵³.
    coarse = (rows["value"] * 2.0**53) % 1.0 == 0.0
    return replace(trial, vanished=trial.vanished & small & coarse)


def scatter(base: Tables, others: Sequence[Tables]) -> Tables:
    """Return how far each value of `base` is at most from the same value in other answers."""
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
        keep = grouping_columns([model])
        others = [_tables(model, last_bits(data, rng, keep)) for _ in range(PERTURBATIONS)]
    except RparityError:
        return {}
    return _largest(base, others)


def _largest_movements(model: Lm, data: pd.DataFrame) -> Tables:
    """Largest change of each value if every number in X moves by the last bit of the largest.

    This is the rounding of an algorithm that is stable for the matrix, but not column by column.
    """
    rng = np.random.default_rng(1)
    m = design(model, data)
    step = np.spacing(np.abs(m.X).max())

    def moved() -> Tables:
        return lm_tables(least_squares(replace(m, X=m.X + step * rng.integers(-1, 2, m.X.shape))))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = lm_tables(least_squares(m))
        return _largest(base, [moved() for _ in range(PERTURBATIONS)])


def _largest(base: Tables, others: Sequence[Tables]) -> Tables:
    # Every value may be off by half a unit in its own last place.
    least = {kind: table.abs() * 2.0**-53 for kind, table in base.items()}
    largest = scatter(base, others)
    return {kind: table.where(table > least[kind], least[kind]) for kind, table in largest.items()}


def grouping_columns(parts: Iterable[Part]) -> set[str]:
    """Return the names of the columns that group the data of mixed models."""
    formulas = [parse(part.formula) for part in parts if isinstance(part, Lmer)]
    return {name for formula in formulas for bar in formula.bars for name in bar.group}


def last_bits(
    data: pd.DataFrame, rng: np.random.Generator, keep: Collection[str] = ()
) -> pd.DataFrame:
    """Move every float of the data at random by −1, 0 or 1 units in its last place.

    The columns `keep` are not moved: the numbers of groups, say.
    """
    out = data.copy()
    for name in data.columns.difference(list(keep), sort=False):
        if pd.api.types.is_float_dtype(data[name]):
            x = data[name].to_numpy()
            step = rng.integers(-1, 2, len(x))
            out[name] = x + step * np.spacing(np.abs(x))
    return out


def _tables(model: Lm | Lmer, data: pd.DataFrame) -> Tables:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model_tables(model, data)
