"""Experiments on definitions: contrasts, R², and what AIC and BIC count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from rparity.cases.base import Lm, Lmer
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import Dispute, Trial, agreement, compared, predicted
from rparity.engines.native import model_tables
from rparity.lmm.language.formula import parse
from rparity.lmm.matrices.model_matrices import response

CONTRASTS = ("contr.treatment", "contr.sum", "contr.helmert", "contr.poly")
# AIC and BIC count whole parameters, up to the rounding of a log-likelihood of about a thousand.
WHOLE = 1e-8
R_SQUARED = ("r_squared", "adj_r_squared")


def other_contrasts(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Code the factors by other contrasts, which changes the coefficients but not the model."""
    model, data = dispute.context.parts.get(part), dispute.context.data
    if not isinstance(model, Lm | Lmer) or data is None:
        return None
    about = rows["table"].isin([f"{part}.coef", f"{part}.vcov", f"{part}.confint_wald"])
    if not about.any():
        return None
    fixed = set(parse(model.formula).fixed_terms(data.columns).variables)
    factors = [
        name for name in fixed & set(data) if isinstance(data[name].dtype, pd.CategoricalDtype)
    ]
    best: Trial | None = None
    for contrast in CONTRASTS if factors else ():
        coded = replace(model, contrasts=dict.fromkeys(factors, contrast))
        found = model_tables(coded, data)
        if (
            f"{part}.coef" in dispute.reference_tables
        ):  # the same number of them, under the question's names
            names = dispute.reference_tables[f"{part}.coef"].index
            found = {k: _renamed(table, names) for k, table in found.items()}
        trial = compared(
            "other contrasts",
            Cause.PARAMETRISATION,
            f"coded by {contrast}, the same model has these coefficients",
            rows,
            dispute.answer,
            predicted(dispute, found, part),
            instead_of=dispute.reference_tables,
        )
        if best is None or trial.vanished.sum() > best.vanished.sum():
            best = trial
    if best is None or not best.vanished.any():
        return best
    # The reference must follow from the contrasts that the question names.
    asked = model_tables(model, data)
    _, follows = agreement(dispute.reference_tables, predicted(dispute, asked, part), rows)
    return replace(best, vanished=best.vanished & follows & about)


def other_r_squared(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Compute R² about the mean instead of zero, or about zero instead of the mean."""
    model, data = dispute.context.parts.get(part), dispute.context.data
    glance = dispute.reference_tables.get(f"{part}.glance")
    if not isinstance(model, Lm) or data is None or glance is None:
        return None
    if not rows["column"].isin(R_SQUARED).any():
        return None
    y = response(model.formula, data)
    known = glance.iloc[0].astype(float)
    df, n = known["df_residual"], len(y)
    residual = known["sigma"] ** 2 * df
    best: Trial | None = None
    for about, total, whole in (
        ("the mean", float(((y - y.mean()) ** 2).sum()), n - 1),
        ("zero", float((y**2).sum()), n),
    ):
        for free in (whole, 2 * n - 1 - whole):
            r_squared = 1.0 - residual / total
            other = glance.assign(
                r_squared=r_squared, adj_r_squared=1.0 - (1.0 - r_squared) * free / df
            )
            trial = compared(
                f"R² about {about}",
                Cause.R_SQUARED,
                f"its R² is about {about}; R takes it about zero where there is no intercept",
                rows,
                dispute.answer,
                predicted(dispute, {"glance": other[list(R_SQUARED)]}, part),
                instead_of=dispute.reference_tables,
            )
            if best is None or trial.vanished.sum() > best.vanished.sum():
                best = trial
    return best


def _renamed(table: pd.DataFrame, names: pd.Index[str]) -> pd.DataFrame:
    """Rename the rows by position, and the columns too if the table is square."""
    if len(table) != len(names):
        return table
    square = list(table.columns) == list(table.index)
    return table.set_axis(names).set_axis(names, axis=1) if square else table.set_axis(names)


def count_of_parameters(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Compute from the engine's AIC, BIC and log-likelihood how many parameters it counts.

    If AIC, BIC or the residual degrees of freedom differ by a whole number of parameters, the
    engine counts others. BIC may also use another number of rows. NaN means that the engine leaves
    the value undefined.
    """
    mine, theirs = (
        tables.get(f"{part}.glance") for tables in (dispute.answer, dispute.reference_tables)
    )
    if mine is None or theirs is None or dispute.context.data is None or "log_lik" not in mine:
        return None
    given, known = mine.loc["1"], theirs.loc["1"]
    if not np.isfinite(given["log_lik"]) or not {"log_lik", "aic"} <= set(known.index):
        return None
    coef = dispute.reference_tables.get(f"{part}.coef", pd.DataFrame())
    n, p = float(mine.get("nobs", pd.Series([np.nan])).iloc[0]), len(coef)
    if not n > p + 1:
        return None
    k = round((known["aic"] + 2.0 * known["log_lik"]) / 2.0)
    counts = {
        "aic": {"": (given.get("aic", np.nan) + 2.0 * given["log_lik"]) / 2.0},
        "bic": {
            name: (given.get("bic", np.nan) + 2.0 * given["log_lik"]) / np.log(rows_)
            for name, rows_ in (("n", n), ("n − p", n - p))
        },
        "df_residual": {"": n - given.get("df_residual", np.nan)},
    }
    usual = {"aic": ("", k), "bic": ("n", k), "df_residual": ("", n - known.get("df_residual", n))}
    vanished, said, undefined = [], [], False
    for table, column in zip(rows["table"], rows["column"], strict=True):
        if table != f"{part}.glance" or column not in counts or column not in given:
            vanished.append(False)
        elif np.isnan(given[column]):
            vanished.append(True)
            undefined = True
            said.append(f"{column} is NaN, though {dispute.engine} gives what it is made of")
        else:
            whole = {
                (name, round(c))
                for name, c in counts[column].items()
                if abs(c - round(c)) <= WHOLE * max(1.0, abs(c))
            }
            vanished.append(bool(whole) and usual[column] not in whole)
            said += [
                f"{column} counts {c} parameters (R: {k})" + f", with log({name})" * bool(name)
                for name, c in sorted(whole)[:1]
                if vanished[-1]
            ]
    if not any(vanished):
        return None
    return Trial(
        "AIC, BIC and degrees of freedom from the engine's own numbers",
        Cause.UNDEFINED if undefined else Cause.PARAMETER_COUNT,
        "; ".join(dict.fromkeys(said)),
        rows["digits"],
        pd.Series(vanished, rows.index),
    )
