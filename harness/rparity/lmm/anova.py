"""`anova`: the likelihood-ratio table of mixed models fitted to the same response."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2

from rparity.errors import UsageError
from rparity.lmm.fit import LmerResults


def anova(*fits: LmerResults) -> pd.DataFrame:
    """Compare fits by likelihood ratios, as R's `anova(fit1, fit2, …)` does.

    REML fits are fitted again by ML first. One row a fit, named by its formula, by increasing
    number of parameters; columns `npar, AIC, BIC, logLik, deviance, Chisq, Df, p`, the last
    three against the row above (NaN in the first one; p is NaN where no parameter is added).

    Raises
    ------
    UsageError
        For fewer than two fits, and for fits to different responses.
    """
    if len(fits) < 2:
        raise UsageError("anova() compares at least two fits: give it another one.")
    if any(not np.array_equal(fit.response, fits[0].response) for fit in fits):
        raise UsageError("anova() compares fits to the same response: the rows or values differ.")
    by_ml = [fit.refit(REML=False) if fit.reml else fit for fit in fits]
    by_ml.sort(key=lambda fit: fit.n_parameters)
    table = pd.DataFrame(
        {
            "npar": [float(fit.n_parameters) for fit in by_ml],
            "AIC": [fit.aic for fit in by_ml],
            "BIC": [fit.bic for fit in by_ml],
            "logLik": [fit.llf for fit in by_ml],
            "deviance": [fit.criterion for fit in by_ml],
        },
        index=[fit.model.matrices.formula for fit in by_ml],
    )
    table["Chisq"] = (-table["deviance"].diff()).clip(lower=0.0)
    table["Df"] = table["npar"].diff()
    added = table["Df"].to_numpy()
    p = chi2.sf(table["Chisq"], np.where(added > 0, added, 1.0))
    table["p"] = np.where(added > 0, p, np.nan)
    return table
