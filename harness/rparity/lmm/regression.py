"""statsmodels' results of least squares with R's sums of squares, for weights that may be zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.regression.linear_model import WLS, RegressionResults, RegressionResultsWrapper

from rparity.lmm.matrices import ModelMatrices

Array = NDArray[np.float64]


class LmResults(RegressionResults):  # type: ignore[misc]
    """A linear model's results: `matrices` has its columns, and `fittedvalues` the offset, too.

    As in R's `summary.lm` and `logLik.lm`, rows of weight zero are no observations, but have fitted
    values and residuals, and R² compares fitted values with the residuals; they are centred if the
    formula has an intercept.
    """

    def __init__(self, model: WLS, params: Array, unscaled: Array, matrices: ModelMatrices) -> None:
        self.matrices = matrices
        rss = float(matrices.weights @ model_residuals(matrices, params) ** 2)
        super().__init__(
            model, params, unscaled, rss / model.df_resid if model.df_resid else np.nan
        )

    @property
    def nobs(self) -> float:
        """Number of rows whose weight is not zero."""
        return float((self.matrices.weights > 0.0).sum())

    @property
    def llf(self) -> float:
        """Log-likelihood of the rows whose weight is not zero."""
        n, w = self.nobs, self.matrices.weights
        return 0.5 * float(
            np.log(w[w > 0.0]).sum() - n * (np.log(2.0 * np.pi) + 1.0 + np.log(self.ssr / n))
        )

    @property
    def fittedvalues(self) -> Array:
        """Xβ̂ + offset, (n,)."""
        return np.asarray(self.matrices.X @ self.params + self.matrices.offset)

    @property
    def ess(self) -> float:
        """Weighted sum of squares of the fitted values, centred if there is an intercept."""
        fitted, w = self.fittedvalues, self.matrices.weights
        if self.k_constant:
            fitted = fitted - w @ fitted / w.sum()
        return float(w @ fitted**2)

    @property
    def rsquared(self) -> float:
        """R²: the fitted values' share of the sum of squares."""
        return self.ess / (self.ess + float(self.ssr))


def model_residuals(m: ModelMatrices, beta: Array) -> Array:
    """Return y − offset − Xβ, (n,)."""
    return np.asarray(m.y - m.offset - m.X @ beta)


def regression(m: ModelMatrices) -> RegressionResultsWrapper:
    """Regress a model's response on its columns by QR, as R's `lm` does."""
    y = pd.Series(m.y - m.offset, m.rows, name=m.response)
    X = pd.DataFrame(m.X, m.rows, list(m.names))
    model = WLS(y, X, weights=m.weights, hasconst="(Intercept)" in m.names)
    beta = np.asarray(model.fit(method="qr").params)
    model.df_model = float(m.X.shape[1] - model.k_constant)
    model.df_resid = float((m.weights > 0.0).sum() - m.X.shape[1])
    # statsmodels inverts R'R, which squares the condition number; R inverts the triangle.
    R_inv = np.linalg.inv(np.linalg.qr(model.wexog, mode="r"))
    return RegressionResultsWrapper(LmResults(model, beta, R_inv @ R_inv.T, m))
