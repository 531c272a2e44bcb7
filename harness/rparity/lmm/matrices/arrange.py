"""Estimates arranged as R's tables, for this package's fits and for other engines' alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.lmm.matrices.model_matrices import RandomTerm
from rparity.lmm.numbers.distributions import normal_quantile

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]


def wald_limits(
    estimate: pd.Series[float], std_error: pd.Series[float], alpha: float = 0.05
) -> pd.DataFrame:
    """Return Wald intervals at level 1 − alpha: columns `conf_low`, `conf_high`."""
    half = float(normal_quantile(1.0 - alpha / 2.0)) * std_error
    return pd.DataFrame({"conf_low": estimate - half, "conf_high": estimate + half})


def ranef_table(
    terms: Sequence[RandomTerm], means: Sequence[Array], sds: Sequence[Array]
) -> pd.DataFrame:
    """Arrange conditional means and standard deviations, (levels, k) each a term, in R's order.

    Index `group.level.term`; a factor's terms are together, coefficient by coefficient. Columns
    `condval`, `condsd`.
    """
    frames = [
        pd.DataFrame(
            {"condval": b.ravel("F"), "condsd": sd.ravel("F")},
            [f"{term.group}.{level}.{name}" for name in term.names for level in term.levels],
        )
        for group in dict.fromkeys(term.group for term in terms)
        for term, b, sd in zip(terms, means, sds, strict=True)
        if term.group == group
    ]
    return pd.concat(frames)


def ranef(fit: LmerResults, *, condsd: bool = False) -> dict[str, pd.DataFrame]:
    """Random effects by grouping factor, as R's `ranef`: frames (levels, coefficients).

    With `condsd`, their conditional standard deviations instead.
    """
    terms = fit.model.matrices.random
    column = fit.random_effects["condsd" if condsd else "condval"]
    return {
        group: pd.DataFrame(
            {
                name: column.loc[[f"{group}.{level}.{name}" for level in term.levels]].to_numpy()
                for term in terms
                if term.group == group
                for name in term.names
            },
            list(next(term.levels for term in terms if term.group == group)),
        )
        for group in dict.fromkeys(term.group for term in terms)
    }
