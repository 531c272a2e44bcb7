"""`lmlist`: the same linear model fitted to each level of a factor, as R's `lme4::lmList`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import DataError, FormulaError
from rparity.lmm.arguments import require_alpha
from rparity.lmm.display.summary import list_summary
from rparity.lmm.language.collation import Collate
from rparity.lmm.language.formula import Bar, parse
from rparity.lmm.linear import LmResults, lm
from rparity.lmm.matrices.coding import Contrasts
from rparity.lmm.matrices.frame import Context, Frame
from rparity.lmm.matrices.model_matrices import RankDeficientWarning, require_frame, vector
from rparity.lmm.numbers.distributions import t_quantile, t_tail

Array = NDArray[np.float64]


class GroupWarning(UserWarning):
    """The model could not be fitted to some groups; the message names them and says why."""


@dataclass(frozen=True, eq=False)
class LmListResults:
    """Linear models with the same formula, one for each level of a factor, fitted by `lmlist`.

    `fits` are the models by level; None where a level has none. Tables have a row for each level
    and a column for each coefficient, with NaN where there is none. As in R, standard errors and
    p-values rest on the pooled `sigma`, and `df_resid` counts coefficients that were dropped.

    Attributes
    ----------
    formula, group : str
        The formula of each model, and the name of the factor.
    fits : mapping
        From levels to `LmResults` or None.
    rows : Index
        The rows of the data that have a level, (n,).
    codes : ndarray (n,)
        The level of each row.
    """

    formula: str
    group: str
    fits: Mapping[str, LmResults | None]
    rows: pd.Index
    codes: NDArray[np.intp]
    data_name: str | None = None

    @property
    def _fitted(self) -> dict[str, LmResults]:
        return {level: fit for level, fit in self.fits.items() if fit is not None}

    def _table(self, columns: Mapping[str, pd.Series[float]]) -> pd.DataFrame:
        names = dict.fromkeys(x for fit in self._fitted.values() for x in _all_names(fit))
        return pd.DataFrame(columns).T.reindex(index=list(self.fits), columns=list(names))

    @cached_property
    def params(self) -> pd.DataFrame:
        """Coefficients of each level, as R's `coef`."""
        return self._table({level: fit.params for level, fit in self._fitted.items()})

    @property
    def fixed_effects(self) -> pd.Series[float]:
        """Means of the coefficients over levels, as R's `fixef`."""
        return self.params.mean()

    @property
    def random_effects(self) -> pd.DataFrame:
        """Coefficients less their means, as R's `ranef`."""
        return self.params - self.fixed_effects

    @property
    def nobs(self) -> float:
        """The number of rows that the models used."""
        return float(sum(fit.nobs for fit in self._fitted.values()))

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom of all models together."""
        sizes = [len(fit.matrices.y) - len(_all_names(fit)) for fit in self._fitted.values()]
        return sum(sizes)

    @cached_property
    def sigma(self) -> float:
        """The pooled residual standard deviation, as nlme's `pooledSD`; weights do not count."""
        if not self.df_resid:
            raise DataError("No degrees of freedom are left for the residual standard deviation.")
        squares = sum(float((fit.resid**2).sum()) for fit in self._fitted.values())
        return float(np.sqrt(squares / self.df_resid))

    @cached_property
    def bse(self) -> pd.DataFrame:
        """Standard errors of the coefficients, from the pooled `sigma`."""
        return self._table({level: self._scaled(fit) for level, fit in self._fitted.items()})

    def _scaled(self, fit: LmResults) -> pd.Series[float]:
        return pd.Series(self.sigma * np.sqrt(np.diagonal(fit.unscaled_cov)), fit.params.index)

    @property
    def tvalues(self) -> pd.DataFrame:
        """Coefficients over their standard errors."""
        return self.params / self.bse

    @property
    def pvalues(self) -> pd.DataFrame:
        """Two-sided p-values of the t ratios, with `df_resid` degrees of freedom."""
        p = 2.0 * t_tail(self.tvalues.abs().to_numpy(), self.df_resid)
        return pd.DataFrame(p, self.params.index, self.params.columns)

    def conf_int(self, alpha: float = 0.05, *, pool: bool = False) -> pd.DataFrame:
        """Intervals of the coefficients, with rows (level, coefficient): `conf_low`, `conf_high`.

        By default each level has its own residual standard deviation, as in R's `confint` of lme4
        1.1-31; with `pool` all share `sigma`, as in `summary()`.

        Raises
        ------
        UsageError
            For `alpha` that is not between 0 and 1.
        """
        require_alpha(alpha)
        tables = {}
        for level, fit in self._fitted.items():
            half = float(t_quantile(1.0 - alpha / 2.0, self.df_resid)) * self._scaled(fit)
            own = pd.DataFrame({"conf_low": fit.params - half, "conf_high": fit.params + half})
            tables[level] = own if pool else fit.conf_int(alpha)
        rows = pd.MultiIndex.from_product([self.params.index, self.params.columns])
        return pd.concat(tables).reindex(rows)

    @property
    def llf(self) -> float:
        """The log-likelihood of all models with one residual variance, as R's `logLik`.

        Raises
        ------
        DataError
            If a level has no model.
        """
        if len(self._fitted) < len(self.fits):
            raise DataError("There is no log-likelihood: the model was not fitted to all levels.")
        fits = self._fitted.values()
        logs = sum(float(np.log(w[w > 0]).sum()) for w in (fit.matrices.weights for fit in fits))
        squares = sum(fit.ssr for fit in fits)
        each = np.log(2.0 * np.pi) + 1.0 - np.log(self.nobs) + np.log(squares)
        return 0.5 * float(logs - self.nobs * each)

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Fitted values of the rows that have a level; NaN for those that no model used."""
        return self._by_row({level: fit.fittedvalues for level, fit in self._fitted.items()})

    @property
    def resid(self) -> pd.Series[float]:
        """Residuals, as `fittedvalues`."""
        return self._by_row({level: fit.resid for level, fit in self._fitted.items()})

    def _by_row(self, parts: Mapping[str, pd.Series[float]]) -> pd.Series[float]:
        out = np.full(len(self.codes), np.nan)
        for code, (level, fit) in enumerate(self.fits.items()):
            if fit is not None:
                out[np.flatnonzero(self.codes == code)[fit.matrices.used]] = parts[level]
        return pd.Series(out, self.rows)

    def predict(
        self, newdata: pd.DataFrame, *, offset: ArrayLike | None = None
    ) -> pd.Series[float]:
        """Predict each row, (m,), by the model of its level; NaN where that or a value is missing.

        Raises
        ------
        DataError
            For levels that the data of the fit do not have, and without the `offset` (m,) of
            `newdata` if the models were fitted with one.
        """
        require_frame(newdata, "newdata")
        given = None if offset is None else vector(offset, len(newdata), "offset")
        factor = Frame(newdata).factor(self.group)
        out = np.full(len(newdata), np.nan)
        for code in np.unique(factor.data[factor.data >= 0]):
            level, rows = factor.levels[code], factor.data == code
            if level not in self.fits:
                raise DataError(f"newdata has {level!r} as `{self.group}`, which has no model.")
            if (fit := self.fits[level]) is None:
                continue
            m = fit.matrices
            rows[rows] = ~m.incomplete(newdata[rows], (), fixed=True)
            known = m.known(newdata[rows], None if given is None else given[rows])
            out[rows] = m.fixed(newdata[rows]) @ fit.params.to_numpy() + known
        return pd.Series(out, newdata.index)

    def summary(self) -> str:
        """Return text in the layout of R's `summary`."""
        return list_summary(self)

    def __repr__(self) -> str:
        return self.summary()


def _all_names(fit: LmResults) -> tuple[str, ...]:
    """Names of the coefficients, with those that were dropped."""
    return (*fit.matrices.names, *fit.matrices.dropped_columns)


def lmlist(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Contrasts | None = None,
    subset: str | ArrayLike | None = None,
    collate: Collate = "en_US",
) -> LmListResults:
    """Fit a linear model to the rows of each level of a factor, as R's `lme4::lmList`.

    Parameters
    ----------
    formula : str
        The model and the factor, as in ``y ~ x | g``.
    data : DataFrame
        One row for each observation. Functions such as scale() are computed from each level's rows.
    weights, offset, contrasts, subset, collate
        As in `lm`.

    Raises
    ------
    FormulaError
        Unless the formula has one factor, which is a column, to the right of one ``|``.
    DataError
        If the model cannot be fitted to any level. If to some, a `GroupWarning` names the others.
    """
    parsed = parse(formula)
    if len(parsed.bars) != 1 or parsed.fixed != "1" or len(parsed.bars[0].group) != 1:
        raise FormulaError("The formula of lmlist() must read `response ~ terms | group`.")
    bar: Bar = parsed.bars[0]
    require_frame(data, "The data")
    n, frame = len(data), Frame(data, Context(collate))
    factor = frame.factor(bar.group[0])
    w = None if weights is None else vector(weights, n, "weights")
    known = None if offset is None else vector(offset, n, "offset")
    keep = factor.data >= 0
    if subset is not None:
        keep &= frame.subset(subset)
    own = f"{parsed.response} ~ {bar.lhs}"
    fits: dict[str, LmResults | None] = {}
    failed: dict[str, DataError] = {}
    for code in np.unique(factor.data[keep]):
        level, rows = factor.levels[code], keep & (factor.data == code)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RankDeficientWarning)
                fits[level] = lm(
                    own,
                    data[rows],
                    weights=None if w is None else w[rows],
                    offset=None if known is None else known[rows],
                    contrasts=contrasts,
                    collate=collate,
                )
        except DataError as error:
            fits[level], failed[level] = None, error
    if failed:
        first = next(iter(failed.values()))
        if len(failed) == len(fits):
            raise first
        warnings.warn(
            f"The model was not fitted to {len(failed)} of {len(fits)} levels of `{bar.name}`: "
            f"{', '.join(failed)}. {first}",
            GroupWarning,
            stacklevel=2,
        )
    _, codes = np.unique(factor.data[keep], return_inverse=True)
    name = data.attrs.get("name")
    return LmListResults(own, bar.name, fits, data.index[keep], codes, name)
