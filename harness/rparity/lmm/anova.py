"""`anova`: tests of one mixed model's terms, or likelihood ratios of several models."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.errors import UsageError
from rparity.lmm.ddf import Method
from rparity.lmm.distributions import chi2_tail
from rparity.lmm.fit import LmerResults
from rparity.lmm.hypotheses import Type
from rparity.lmm.term_tests import anova_table


def anova(*fits: LmerResults, type: Type | None = None, ddf: Method | None = None) -> pd.DataFrame:
    """Test the terms of one fit, as lmerTest's `anova(fit)` does, or compare several fits.

    For one fit: one row a term, columns `Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F)`. `type` is
    "I" (terms in sequence), "II" (each after those that do not contain it) or "III" (the default:
    all cells count alike, whatever the contrasts of the factors); `ddf` is "satterthwaite" (the
    default) or "kenward-roger", which needs a REML fit. A `HypothesisWarning` says where type III
    is not what its name suggests: where cells have no data, and where a covariate that a factor
    interacts with is never near zero.

    Several fits are compared by likelihood ratios, as R's `anova(fit1, fit2, …)` does. REML fits
    are fitted again by ML first. One row a fit, named by its formula, by increasing number of
    parameters; columns `npar, AIC, BIC, logLik, deviance, Chisq, Df, p`, the last three against the
    row above (NaN in the first one; p is NaN where no parameter is added).

    Raises
    ------
    UsageError
        For no fit, for an unknown `type` or `ddf`, or one of them beside several fits, for fits to
        different responses, and for Kenward and Roger's method of an ML fit.
    """
    if not fits:
        raise UsageError("anova() tests the terms of a fit or compares fits: give it one or more.")
    if len(fits) == 1:
        return anova_table(fits[0], type or "III", ddf or "satterthwaite")
    if type or ddf:
        raise UsageError("type= and ddf= are for one fit: several are compared by likelihood.")
    if any(not np.array_equal(fit.response, fits[0].response) for fit in fits):
        raise UsageError("anova() compares fits to the same response: their rows or values differ.")
    by_ml = [fit.refit(REML=False) if fit.reml else fit for fit in fits]
    by_ml.sort(key=lambda fit: fit.n_parameters)
    table = pd.DataFrame(
        [(float(f.n_parameters), f.aic, f.bic, f.llf, f.criterion) for f in by_ml],
        index=[fit.model.matrices.formula for fit in by_ml],
        columns=["npar", "AIC", "BIC", "logLik", "deviance"],
    )
    table["Chisq"] = (-table["deviance"].diff()).clip(lower=0.0)
    table["Df"] = table["npar"].diff()
    added = table["Df"].to_numpy()
    p = chi2_tail(table["Chisq"], np.where(added > 0, added, 1.0))
    table["p"] = np.where(added > 0, p, np.nan)
    return table
