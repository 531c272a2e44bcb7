"""`anova`: tests of one mixed model's terms, or likelihood ratios of several models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.arguments import require_mixed
from rparity.lmm.display.html import AnovaTable
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.ddf import Method
from rparity.lmm.inference.hypotheses import Type
from rparity.lmm.inference.term_tests import anova_table
from rparity.lmm.linear import LmResults
from rparity.lmm.numbers.distributions import chi2_tail


class _Likelihood(NamedTuple):
    """A fit by maximum likelihood: what a likelihood-ratio test takes of it."""

    formula: str
    response: NDArray[np.float64]
    parameters: int
    log_lik: float


def _by_ml(fit: LmerResults | LmResults) -> _Likelihood:
    if isinstance(fit, LmResults):
        m = fit.matrices
        return _Likelihood(m.formula, m.y, len(fit.params) + 1, fit.llf)
    require_mixed(fit, "anova")
    ml = fit.refit(REML=False) if fit.reml else fit
    return _Likelihood(ml.model.matrices.formula, ml.response, ml.n_parameters, ml.llf)


def anova(
    *fits: LmerResults | LmResults,
    type: Type | None = None,
    ddf: Method | None = None,
) -> pd.DataFrame:
    """Test the terms of one fit, as lmerTest's `anova(fit)` does, or compare several fits.

    For one fit: one row a term, columns `Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F)`. `type` is
    "I" (terms in sequence), "II" (each after those that do not contain it) or "III" (the default:
    all cells count alike, whatever the contrasts of the factors); `ddf` is "satterthwaite" (the
    default) or "kenward-roger", which needs a REML fit. A `HypothesisWarning` says where type III
    is not what its name suggests: where cells have no data, and where a covariate that a factor
    interacts with is never near zero.

    Several fits are compared by likelihood ratios, as R's `anova(fit1, fit2, …)` does; fits of `lm`
    may be among them. REML fits are fitted again by ML first. One row a fit, named by its formula,
    by increasing number of parameters; columns `npar, AIC, BIC, logLik, deviance, Chisq, Df, p`,
    the last three against the row above (NaN in the first one; p is NaN if no parameter is added).

    Raises
    ------
    UsageError
        For no fit, for an unknown `type` or `ddf`, or one of them beside several fits, for fits to
        different responses, and for Kenward and Roger's method of an ML fit.
    """
    if not fits:
        raise UsageError("anova() tests the terms of a fit or compares fits: give it one or more.")
    if len(fits) == 1:
        fit = fits[0]
        require_mixed(fit, "anova")
        assert isinstance(fit, LmerResults)
        return anova_table(fit, type or "III", ddf or "satterthwaite")
    if type or ddf:
        raise UsageError("type= and ddf= are for one fit: several are compared by likelihood.")
    rows = [_by_ml(fit) for fit in fits]
    if any(not np.array_equal(row.response, rows[0].response) for row in rows):
        raise UsageError("anova() compares fits to the same response: their rows or values differ.")
    rows.sort(key=lambda row: row.parameters)
    table = pd.DataFrame(
        [
            (
                float(row.parameters),
                2.0 * (row.parameters - row.log_lik),
                np.log(len(row.response)) * row.parameters - 2.0 * row.log_lik,
                row.log_lik,
                -2.0 * row.log_lik,
            )
            for row in rows
        ],
        index=[row.formula for row in rows],
        columns=["npar", "AIC", "BIC", "logLik", "deviance"],
    )
    table["Chisq"] = (-table["deviance"].diff()).clip(lower=0.0)
    table["Df"] = table["npar"].diff()
    added = table["Df"].to_numpy()
    p = chi2_tail(table["Chisq"], np.where(added > 0, added, 1.0))
    table["p"] = np.where(added > 0, p, np.nan)
    return AnovaTable(table)
