"""`lm`: least squares with the numbers of R's `summary(lm(…))`, under statsmodels' names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import FormulaError, UsageError
from rparity.lmm.display import html
from rparity.lmm.display.plots import draw
from rparity.lmm.language.collation import Collate
from rparity.lmm.language.formula import parse
from rparity.lmm.matrices.coding import Contrasts
from rparity.lmm.matrices.model_matrices import ModelMatrices, NaAction, build
from rparity.lmm.numbers.distributions import f_tail, t_quantile, t_tail

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LmResults:
    """A linear model with n rows and p coefficients, fitted by `lm`.

    The numbers are those of R's `lm`. As there, rows whose weight is zero do not count, a model
    without an intercept has the R² of deviations from zero, and an offset is no part of R², which
    older Rs such as 4.2.2 included. What is not here, such as `summary()` and
    `get_robustcov_results()`, is among the results of statsmodels, `fit.statsmodels`.

    Attributes
    ----------
    matrices : ModelMatrices
        The model matrix, the response, the weights w, and the offset.
    params : Series
        The coefficients β̂.
    unscaled_cov : ndarray (p, p)
        (X'WX)⁻¹.
    """

    matrices: ModelMatrices
    params: pd.Series[float]
    unscaled_cov: Array

    _repr_html_ = html.lm_html
    plot = draw

    @property
    def nobs(self) -> float:
        """The number of rows whose weight is not zero."""
        return float(np.count_nonzero(self.matrices.weights))

    @property
    def df_resid(self) -> float:
        """Residual degrees of freedom, n − p."""
        return self.nobs - len(self.params)

    @property
    def df_model(self) -> float:
        """The number of coefficients beside the intercept."""
        return float(len(self.params) - self._intercept)

    @property
    def _intercept(self) -> int:
        return int(self.matrices.design.terms.intercept)

    @cached_property
    def _linear(self) -> Array:
        return np.asarray(self.matrices.X @ self.params.to_numpy())

    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Xβ̂ and the offset, (n,)."""
        return pd.Series(self._linear + self.matrices.offset, self.matrices.rows)

    @cached_property
    def resid(self) -> pd.Series[float]:
        """Residuals y − Xβ̂ − offset, (n,), not weighted."""
        m = self.matrices
        return pd.Series(m.y - m.offset - self._linear, m.rows)

    @cached_property
    def ssr(self) -> float:
        """The weighted sum of squared residuals."""
        return float(self.matrices.weights @ self.resid.to_numpy() ** 2)

    @cached_property
    def ess(self) -> float:
        """The weighted sum of squares that the model explains: of Xβ̂, from its mean or from 0."""
        w = self.matrices.weights
        mean = float(w @ self._linear) / float(w.sum()) if self._intercept else 0.0
        return float(w @ (self._linear - mean) ** 2)

    @property
    def scale(self) -> float:
        """The residual variance σ̂²."""
        return self.ssr / self.df_resid if self.df_resid else np.nan

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the coefficients, (p, p)."""
        names = self.params.index
        return pd.DataFrame(self.scale * self.unscaled_cov, names, names)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(self.scale * np.diagonal(self.unscaled_cov)), self.params.index)

    @property
    def tvalues(self) -> pd.Series[float]:
        """The t ratios β̂/s.e."""
        return self.params / self.bse

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values of the t ratios."""
        return pd.Series(2.0 * t_tail(self.tvalues.abs(), self.df_resid), self.params.index)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the limits of the coefficients' intervals, columns `conf_low` and `conf_high`."""
        half = float(t_quantile(1.0 - alpha / 2.0, self.df_resid)) * self.bse
        return pd.DataFrame({"conf_low": self.params - half, "conf_high": self.params + half})

    @property
    def rsquared(self) -> float:
        """R², the share of the sum of squares that the model explains."""
        return self.ess / (self.ess + self.ssr) if self.df_model else 0.0

    @property
    def rsquared_adj(self) -> float:
        """R² with both sums of squares over their degrees of freedom."""
        if not self.df_model:
            return 0.0
        return 1.0 - (1.0 - self.rsquared) * (self.nobs - self._intercept) / self.df_resid

    @property
    def fvalue(self) -> float:
        """F of the hypothesis that all coefficients beside the intercept are zero."""
        return self.ess / self.df_model / self.scale if self.df_model else np.nan

    @property
    def f_pvalue(self) -> float:
        """The probability of a larger F under the hypothesis."""
        return float(f_tail(self.fvalue, self.df_model, self.df_resid))

    @property
    def llf(self) -> float:
        """The log-likelihood at the maximum-likelihood estimate of σ², as R's `logLik`."""
        n, w = self.nobs, self.matrices.weights
        logs = np.log(w[w > 0]).sum()
        with np.errstate(divide="ignore"):
            each = np.log(2.0 * np.pi) + 1.0 - np.log(n) + np.log(self.ssr)
        return 0.5 * float(logs - n * each)

    @property
    def aic(self) -> float:
        """Akaike's criterion; σ counts as a parameter, as in R and not in statsmodels."""
        return -2.0 * self.llf + 2.0 * (len(self.params) + 1.0)

    @property
    def bic(self) -> float:
        """Schwarz's criterion; σ counts as a parameter, as in R and not in statsmodels."""
        return -2.0 * self.llf + float(np.log(self.nobs)) * (len(self.params) + 1.0)

    @cached_property
    def statsmodels(self) -> Any:
        """The `RegressionResults` of statsmodels for the same columns, by its own arithmetic.

        An offset is subtracted from the response.
        """
        from statsmodels.regression.linear_model import WLS

        m = self.matrices
        y = pd.Series(m.y - m.offset, m.rows, name=m.response)
        X = pd.DataFrame(m.X, m.rows, list(m.names))
        return WLS(y, X, weights=m.weights).fit(method="qr")


def lm(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Contrasts | None = None,
    subset: str | ArrayLike | None = None,
    na_action: NaAction = "omit",
    rank_deficient: Literal["drop", "fail"] = "drop",
    collate: Collate = "en_US",
) -> LmResults:
    """Fit a linear model by least squares, as R's `lm`.

    Coefficients have the names of R's `lm` (`p1` to `p9` with ``contrasts={"p": "contr.sum"}``) and
    are solved by QR, as in R. `weights` and `offset` are numbers, one for each row, or an
    expression of columns such as ``"w"`` or ``"1 / n"``. `subset`, `na_action`, `rank_deficient`
    and `collate` are those of `lmer`. Rows of weight zero have fitted values and residuals, but are
    no observations.

    Raises
    ------
    FormulaError, DataError
        The message names the input and the remedy.
    """
    parsed = parse(formula)
    if parsed.bars:
        raise FormulaError(
            f"{formula!r} has the random effects {parsed.bars[0]}: fit it with lmer()."
        )
    if na_action == "exclude":
        raise UsageError(
            "na_action='exclude' is for lmer(): reindex residuals of lm() by the rows of the data."
        )
    m = build(
        parsed,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        subset=subset,
        na_action=na_action,
        rank_deficient=rank_deficient,
        collate=collate,
    )
    m.warn_of_dropped_columns()
    return least_squares(m)


def least_squares(m: ModelMatrices) -> LmResults:
    """Regress a model's response on its columns, by the QR of √W X."""
    root = np.sqrt(m.weights)
    Q, R = np.linalg.qr(root[:, None] * m.X)
    beta = np.linalg.solve(R, Q.T @ (root * (m.y - m.offset)))
    # R⁻¹R⁻ᵀ rather than the inverse of R'R, whose condition number is the square.
    R_inv = np.linalg.inv(R)
    return LmResults(m, pd.Series(beta, list(m.names)), R_inv @ R_inv.T)
