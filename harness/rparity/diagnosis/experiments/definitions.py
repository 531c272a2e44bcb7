"""Experiments on definitions: contrasts, penalties, and what is left undefined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from rparity.cases.base import Lm, Lmer
from rparity.diagnosis.experiments.base import Dispute, Trial, compared, predicted
from rparity.engines.native import model_tables
from rparity.lmm.formula import parse, terms
from rparity.lmm.matrices import response

CONTRASTS = ("contr.treatment", "contr.sum", "contr.helmert", "contr.poly")
# A penalty counts whole parameters, up to the rounding of a criterion of a thousand.
WHOLE = 1e-8
R_SQUARED = ("r_squared", "adj_r_squared")


def other_contrasts(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Code the factors by other contrasts: the same model in other coefficients."""
    model, data = dispute.asked.parts.get(part), dispute.asked.data
    if not isinstance(model, Lm | Lmer) or data is None:
        return None
    if not rows["table"].isin([f"{part}.coef", f"{part}.vcov", f"{part}.confint_wald"]).any():
        return None
    fixed = set(terms(parse(model.formula).fixed).variables)
    factors = [
        name for name in fixed & set(data) if isinstance(data[name].dtype, pd.CategoricalDtype)
    ]
    best: Trial | None = None
    for contrast in CONTRASTS if factors else ():
        coded = replace(model, contrasts=dict.fromkeys(factors, contrast))
        found = model_tables(coded, data)
        if f"{part}.coef" in dispute.truth:  # the same number of them, under the question's names
            names = dispute.truth[f"{part}.coef"].index
            found = {k: _renamed(table, names) for k, table in found.items()}
        trial = compared(
            "other contrasts",
            "parametrisation",
            f"coded by {contrast}, the same model has these coefficients",
            rows,
            dispute.answer,
            predicted(dispute, found, part),
            instead_of=dispute.truth,
        )
        if best is None or trial.vanished.sum() > best.vanished.sum():
            best = trial
    if best is None or not best.vanished.any():
        return best
    # The other side must have what the contrasts that were asked for give.
    asked = model_tables(model, data)
    theirs = compared("", "", "", rows, dispute.truth, predicted(dispute, asked, part))
    return replace(best, vanished=best.vanished & theirs.vanished)


def other_r_squared(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Take R² about the mean where the model has no intercept, or about zero where it has one."""
    model, data = dispute.asked.parts.get(part), dispute.asked.data
    glance = dispute.truth.get(f"{part}.glance")
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
                "definition of R squared",
                f"its R² is about {about}; R takes it about zero where there is no intercept",
                rows,
                dispute.answer,
                predicted(dispute, {"glance": other[list(R_SQUARED)]}, part),
                instead_of=dispute.truth,
            )
            if best is None or trial.vanished.sum() > best.vanished.sum():
                best = trial
    return best


def _renamed(table: pd.DataFrame, names: pd.Index[str]) -> pd.DataFrame:
    """Name the rows, and of a square table the columns, by position."""
    if len(table) != len(names):
        return table
    square = list(table.columns) == list(table.index)
    return table.set_axis(names).set_axis(names, axis=1) if square else table.set_axis(names)


def count_of_parameters(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Work AIC and BIC out from the engine's own log-likelihood, and count parameters.

    AIC and BIC that are NaN were left undefined. Where they, or the degrees of freedom, differ by
    whole parameters, the engine counts other ones; BIC may also take another number of rows.
    """
    mine, truth = (tables.get(f"{part}.glance") for tables in (dispute.answer, dispute.truth))
    if mine is None or truth is None or dispute.asked.data is None or "log_lik" not in mine:
        return None
    told, known = mine.loc["1"], truth.loc["1"]
    if not np.isfinite(told["log_lik"]) or not {"log_lik", "aic"} <= set(known.index):
        return None
    coef = dispute.truth.get(f"{part}.coef", pd.DataFrame())
    n, p = float(mine.get("nobs", pd.Series([np.nan])).iloc[0]), len(coef)
    if not n > p + 1:
        return None
    k = round((known["aic"] + 2.0 * known["log_lik"]) / 2.0)
    counts = {
        "aic": {"": (told.get("aic", np.nan) + 2.0 * told["log_lik"]) / 2.0},
        "bic": {
            name: (told.get("bic", np.nan) + 2.0 * told["log_lik"]) / np.log(rows_)
            for name, rows_ in (("n", n), ("n − p", n - p))
        },
        "df_residual": {"": n - told.get("df_residual", np.nan)},
    }
    usual = {"aic": ("", k), "bic": ("n", k), "df_residual": ("", n - known.get("df_residual", n))}
    vanished, said, undefined = [], [], False
    for table, column in zip(rows["table"], rows["column"], strict=True):
        if table != f"{part}.glance" or column not in counts or column not in told:
            vanished.append(False)
        elif np.isnan(told[column]):
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
        "left undefined" if undefined else "count of parameters",
        "; ".join(dict.fromkeys(said)),
        rows["digits"],
        pd.Series(vanished, rows.index),
    )
