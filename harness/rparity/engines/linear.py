"""The base of engines of linear models that absorb a factor instead of estimating it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from rparity.cases.base import LM_TABLES, Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine
from rparity.engines.designs import design
from rparity.lmm.language.formula import parse


class LinearEngine(ModelEngine):
    """An engine of linear models that gets R's columns of X.

    If the model has the main effect of a factor, the factor is absorbed, which is the purpose of
    such packages. Its coefficients and the intercept are then gaps.
    """

    kinds: Mapping[type[Part], tuple[str, ...]] = {Lm: LM_TABLES}

    @abstractmethod
    def least_squares(self, y: pd.Series[float], X: pd.DataFrame) -> Found:
        """Regress y (n,) on the columns of X (n, p), which include the intercept, if any."""

    @abstractmethod
    def within(self, y: pd.Series[float], X: pd.DataFrame, levels: pd.Series[str]) -> Found:
        """Regress y on the columns of X (n, p), absorbing the levels of a factor (n,)."""

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one linear model; for a perfect fit only the estimates."""
        assert isinstance(part, Lm)
        m = design(part, data)
        y = pd.Series(m.y - m.offset, m.rows, name="y")
        X = pd.DataFrame(m.X, m.rows, list(m.names))
        factor = _main_factor(part.formula, data)
        if factor is None:
            found, gaps = self.least_squares(y, X)
        else:
            codes = data[factor].cat.codes.to_numpy()
            _, first, level = np.unique(codes, return_index=True, return_inverse=True)
            constant = (m.X[first[level]] == m.X).all(axis=0)
            absorbed = [name for name, ok in zip(m.names, constant, strict=True) if ok]
            found, gaps = self.within(y, X.loc[:, ~constant], data[factor].astype(str))
            gaps = {**gaps, **without(absorbed, "absorbed")}
        if part.perfect:
            return {"coef": found["coef"][["estimate"]]}, gaps
        return found, gaps


def _main_factor(formula: str, data: pd.DataFrame) -> str | None:
    """Return the first factor that is a main effect."""
    for term in parse(formula).fixed_terms(data.columns).terms:
        if len(term) == 1 and term[0] in data.columns:
            name = term[0]
            if isinstance(data[name].dtype, pd.CategoricalDtype):
                return name
    return None


def without(names: Iterable[str], reason: str) -> dict[str, str]:
    """Return the gaps of coefficients that are not estimated."""
    return {place: reason for name in names for place in (f"*/{name}", f"vcov/*/{name}")}
