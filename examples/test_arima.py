"""An AR(1): R's `arima` and `predict`, statsmodels' `ARIMA`, and where their optimizers stop."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.arima.model import ARIMA

# Both maximise the same likelihood, with gradients by differences, and stop near the maximum.
NEAR = 1e-4


@pytest.fixture(scope="module")
def fit(r_parity):
    """Fit in Python, with R's data."""
    lh = r_parity.call("arima.R", "levels_of_lh").value
    return ARIMA(lh, order=(1, 0, 0)).fit(cov_type="approx")  # the Hessian's inverse, as in R


def test_estimates(r_parity, fit):
    """The likelihood agrees in more digits than the estimates, as it is flat at its maximum."""
    r = r_parity.call("arima.R", "autoregression")
    mean, slope, variance = fit.params
    tidy = pd.DataFrame({"estimate": [slope, mean], "std.error": fit.bse[[1, 0]]})
    glance = {
        "sigma": np.sqrt(variance),
        "logLik": fit.llf,
        "AIC": fit.aic,
        "BIC": fit.bic,
    }
    r.check(
        {"tidy": tidy.set_axis(["ar1", "intercept"]), "glance": glance},
        only=["tidy", *(f"glance.{name}" for name in glance)],
        rtol=1e-9,
        # The Hessians are by differences, too.
        tolerances={"tidy.estimate": NEAR, "tidy.std.error": 1e-2, "glance.sigma": NEAR},
    )


def test_forecast(r_parity, fit):
    """Forecasts agree as the estimates do."""
    r = r_parity.call("arima.R", "forecast")
    ahead = fit.get_forecast(3)
    r.check({"pred": ahead.predicted_mean, "se": ahead.se_mean}, rtol=NEAR)
