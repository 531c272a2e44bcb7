"""Fits, bootstraps and tests as HTML for notebooks, with the numbers of `summary()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rparity.lmm.display.summary import coefficient_cells, p_values
from rparity.lmm.matrices.varcorr import groups as groups_of
from rparity.r.format import format_r
from rparity.text import html_paragraph, html_table

if TYPE_CHECKING:
    from rparity.lmm.bootstrap.bootmer import BootstrapResults
    from rparity.lmm.fit import LmerResults
    from rparity.lmm.linear import LmResults

DIGITS = 4
# Columns that hold probabilities, in the tables of R.
PROBABILITIES = ("p", "Pr(>F)", "Pr(>|t|)", "Pr(>Chisq)")


class AnovaTable(pd.DataFrame):
    """A table of tests: a DataFrame that a notebook shows with the digits of R's print.

    What is computed from it is a DataFrame.
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        return frame_html(self, digits=DIGITS + 1)


def frame_html(frame: pd.DataFrame, caption: str = "", digits: int = DIGITS) -> str:
    """Return a table of numbers, each column with the same decimals."""
    columns = {str(name): _column(str(name), values, digits) for name, values in frame.items()}
    rows = zip(map(str, frame.index), *columns.values(), strict=True)
    return html_table(["", *(f">{name}" for name in columns)], rows, caption)


def lmer_html(fit: LmerResults) -> str:
    """Return the fit's formula, fixed effects, random effects and criteria."""
    how = "REML" if fit.reml else "maximum likelihood"
    m = fit.model.matrices
    estimates = {"estimate": fit.params, "std_error": fit.bse, "statistic": fit.tvalues}
    groups = "; ".join(f"{term.group}, {len(term.levels)}" for term in m.random)
    criteria = {"AIC": fit.aic, "BIC": fit.bic, "logLik": fit.llf}
    criteria |= {"REML criterion" if fit.reml else "deviance": fit.criterion}
    notes = [html_paragraph("A variance is estimated as zero, or a correlation as ±1.")]
    return "".join(
        [
            html_paragraph(f"Linear mixed model fit by {how}: {m.formula}"),
            _coefficients(estimates, "Fixed effects"),
            _random(fit),
            _facts(criteria, f"{fit.nobs} observations; groups: {groups}"),
            *(notes if fit.is_singular else []),
            *([] if fit.converged else [html_paragraph(fit.problem)]),
        ]
    )


def lm_html(fit: LmResults) -> str:
    """Return the fit's formula, coefficients, R² and criteria."""
    estimates = {
        "estimate": fit.params,
        "std_error": fit.bse,
        "statistic": fit.tvalues,
        "p": fit.pvalues,
    }
    criteria = {
        "σ": float(np.sqrt(fit.scale)),
        "R²": fit.rsquared,
        "adjusted R²": fit.rsquared_adj,
        "F": fit.fvalue,
        "AIC": fit.aic,
        "BIC": fit.bic,
        "logLik": fit.llf,
    }
    freedom = f"{fit.nobs:g} observations; {fit.df_resid:g} residual degrees of freedom"
    return "".join(
        [
            html_paragraph(f"Linear model: {fit.matrices.formula}"),
            _coefficients(estimates, "Coefficients"),
            _facts(criteria, freedom),
        ]
    )


def bootstrap_html(boot: BootstrapResults) -> str:
    """Return the bootstrap's estimates, biases and standard errors."""
    how = "random effects kept" if boot.use_u else "random effects drawn anew"
    found = {"original": boot.t0, "bias": boot.bias, "std. error": boot.std_errors}
    said = f"Parametric bootstrap, {boot.nsim} replicates, {how}, {boot.n_failed} failed"
    return html_paragraph(said) + frame_html(pd.DataFrame(found), digits=7)


def _coefficients(estimates: Mapping[str, pd.Series[float]], caption: str) -> str:
    frame = pd.DataFrame(estimates)
    columns = coefficient_cells(frame)
    rows = zip(map(str, frame.index), *columns.values(), strict=True)
    return html_table(["", *(f">{name}" for name in columns)], rows, caption)


def _random(fit: LmerResults) -> str:
    """Return a row for each variance, with the correlations beside it, and the residual's."""
    sdcor, vcov = fit.varcorr["sdcor"], fit.varcorr["vcov"]
    terms = fit.model.matrices.random
    widest = max(len(term.names) for term in terms)
    places: list[tuple[str, str, str]] = []
    correlations: list[list[str]] = []
    for term, label in zip(terms, groups_of(terms), strict=True):
        for i, name in enumerate(term.names):
            places.append((label, name, f"{label}.{name}"))
            beside = [sdcor[f"{label}.{before}.{name}"] for before in term.names[:i]]
            correlations.append([f"{value:.2f}" for value in beside])
    places.append(("Residual", "", "Residual"))
    correlations.append([])
    keys = [key for *_, key in places]
    columns = [format_r(each[keys], DIGITS) for each in (vcov, sdcor)]
    rows = [
        [group, name, *sizes, *row, *[""] * (widest - 1 - len(row))]
        for (group, name, _), row, *sizes in zip(places, correlations, *columns, strict=True)
    ]
    heads = ["group", "name", ">variance", ">std. dev.", *[">correlation"] * (widest - 1)]
    return html_table(heads, rows, "Random effects")


def _facts(values: Mapping[str, float], said: str) -> str:
    cells: Sequence[str] = [format_r([value], DIGITS + 1)[0] for value in values.values()]
    return html_table([f">{name}" for name in values], [cells]) + html_paragraph(said)


def _column(name: str, values: pd.Series[float], digits: int) -> list[str]:
    numbers = values.to_numpy(dtype=np.float64)
    if name in PROBABILITIES:
        cells = p_values(np.where(np.isnan(numbers), 1.0, numbers), digits - 1)
    else:
        cells = format_r(numbers, digits)
    return ["" if np.isnan(v) else cell for v, cell in zip(numbers, cells, strict=True)]
