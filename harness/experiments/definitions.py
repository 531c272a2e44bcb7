"""Experiments on definitions: contrasts, penalties, and what is left undefined."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from harness.cases.base import Lm, Lmer
from harness.engines.native import lm_tables, lmer_tables
from harness.experiments.base import Dispute, Trial, compared, predicted
from harness.linear import lm
from harness.lmm.fit import lmer

BAR = re.compile(r"\([^()]*\|[^()]*\)")
CONTRASTS = ("contr.treatment", "contr.sum", "contr.helmert", "contr.poly")
# A penalty counts whole parameters, up to the rounding of a criterion of a thousand.
WHOLE = 1e-8


def other_contrasts(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Code the factors by other contrasts: the same model in other coefficients."""
    model, data = dispute.asked.parts.get(part), dispute.asked.data
    if not isinstance(model, Lm | Lmer) or data is None:
        return None
    if not rows["table"].isin([f"{part}.coef", f"{part}.vcov", f"{part}.confint_wald"]).any():
        return None
    fixed = set(re.findall(r"[\w.]+", BAR.sub("", model.formula.partition("~")[2])))
    factors = [
        name for name in fixed & set(data) if isinstance(data[name].dtype, pd.CategoricalDtype)
    ]
    best: Trial | None = None
    for contrast in CONTRASTS if factors else ():
        chosen = dict.fromkeys(factors, contrast)
        if isinstance(model, Lm):
            found = lm_tables(lm(model.formula, data, contrasts=chosen, na_action="fail"))
        else:
            weights = None if model.weights is None else data[model.weights]
            fit = lmer(model.formula, data, REML=model.reml, weights=weights, contrasts=chosen)
            found = lmer_tables(fit, ("coef", "vcov", "confint_wald"))
        trial = compared(
            "other contrasts",
            "parametrisation",
            f"coded by {contrast}, the same model has these coefficients",
            rows,
            dispute.answer,
            predicted(dispute, found, part),
        )
        if best is None or trial.vanished.sum() > best.vanished.sum():
            best = trial
    return best


def own_log_likelihood(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Work AIC and BIC out from the engine's own log-likelihood.

    Where they are NaN, they were left undefined. Where they differ by a whole number of
    parameters, the engine counts other ones; BIC may also take another number of observations.
    """
    mine, truth = (tables.get(f"{part}.glance") for tables in (dispute.answer, dispute.truth))
    if mine is None or truth is None or "log_lik" not in mine:
        return None
    told, known = mine.loc["1"], truth.loc["1"]
    if not np.isfinite(told["log_lik"]) or not {"log_lik", "aic"} <= set(known.index):
        return None
    k = round((known["aic"] + 2.0 * known["log_lik"]) / 2.0)
    n = len(dispute.asked.data) if dispute.asked.data is not None else 0
    model = dispute.asked.parts.get(part)
    coef = dispute.truth.get(f"{part}.coef")
    p = len(coef) if coef is not None and isinstance(model, Lmer) else 0
    vanished, notes = [], []
    for table, column in zip(rows["table"], rows["column"], strict=True):
        if table != f"{part}.glance" or column not in ("aic", "bic") or column not in told:
            vanished.append(False)
            continue
        if np.isnan(told[column]):
            vanished.append(True)
            notes.append(f"{column} is not defined by {dispute.engine} here, though its parts are")
            continue
        penalty = told[column] + 2.0 * told["log_lik"]
        sizes = {
            "aic": {"": 2.0},
            "bic": {"n": np.log(n)} | ({"n − p": np.log(n - p)} if p else {}),
        }
        counts = {name: penalty / size for name, size in sizes[column].items()}
        usual = {"aic": "", "bic": "n"}[column]
        fits = {
            name: c
            for name, c in counts.items()
            if abs(c - round(c)) <= WHOLE * max(1.0, c) and (name, round(c)) != (usual, k)
        }
        vanished.append(bool(fits))
        notes += [
            f"{column} counts {round(c)} parameters (R: {k})" + (f", with log({name})" * bool(name))
            for name, c in list(fits.items())[:1]
        ]
    if not any(vanished):
        return None
    undefined = any("not defined" in note for note in notes)
    return Trial(
        "AIC and BIC from the engine's own log-likelihood",
        "left undefined" if undefined else "definition of AIC and BIC",
        "; ".join(dict.fromkeys(notes)),
        rows["digits"],
        pd.Series(vanished, rows.index),
    )
