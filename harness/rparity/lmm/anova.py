"""`anova`: the likelihood-ratio table of mixed models fitted to the same response."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2

from rparity.errors import UsageError
from rparity.lmm.fit import LmerResults


def anova(*fits: LmerResults) -> pd.DataFrame:
    """Compare fits by likelihood ratios, as R's `anova(fit1, fit2, …)` does.

    REML fits are fitted again by ML first. There is one row for each fit, named by its formula, in
    increasing order of the number of parameters. Columns are `npar, AIC, BIC, logLik, deviance,
    Chisq, Df, p`. The last three compare with the row above and are NaN in the first row; p is NaN
    if no parameter is added.

    Raises
    ------
    UsageError
        For fewer than two fits, and for fits to different responses.
    """
    if len(fits) < 2:
        raise UsageError("anova() compares at least two fits: give it another one.")
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
    p = chi2.sf(table["Chisq"], np.where(added > 0, added, 1.0))
    table["p"] = np.where(added > 0, p, np.nan)
    return table
