"""`lmer`: a mixed model from a formula and data."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from numpy.typing import ArrayLike

from rparity.lmm.arguments import require_flag
from rparity.lmm.coding import Contrasts
from rparity.lmm.fit import LmerResults
from rparity.lmm.language.collation import Collate
from rparity.lmm.lme4 import Lme4
from rparity.lmm.matrices import NaAction, build
from rparity.lmm.model import MixedModel
from rparity.lmm.progress import SearchProgress


def lmer(
    formula: str,
    data: pd.DataFrame,
    *,
    REML: bool = True,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Contrasts | None = None,
    subset: str | ArrayLike | None = None,
    na_action: NaAction = "omit",
    rank_deficient: Literal["drop", "fail"] = "drop",
    collate: Collate = "en_US",
    lme4: str | None = None,
) -> LmerResults:
    """Fit a linear mixed model as R's `lme4::lmer` does, to the exact optimum.

    Parameters
    ----------
    formula : str
        In lme4's notation, for example ``y ~ x + (1 | p)``.
    data : DataFrame
        One row for each observation; categoricals keep the order of their levels.
    REML : bool
        Restricted maximum likelihood (the default, as in R) or maximum likelihood.
    weights, offset : array of shape (n,), optional
        Prior weights and a known part of the linear predictor. Rows of weight zero are left out;
        R counts them as observations, and its log-likelihood is then infinite at every θ.
    contrasts : mapping, optional
        From factors to R's names, such as ``contr.sum``, or to matrices (levels, contrasts).
    subset : str or array of bool, shape (n,), optional
        The rows to use, for example ``"x > 0"``.
    na_action : {"omit", "exclude", "fail"}
        Drop rows with missing values, as R does, or raise DataError. With "exclude", fitted values
        and residuals have NaN in these rows.
    rank_deficient : {"drop", "fail"}
        Drop columns of X that depend linearly on earlier ones, with a warning, or raise DataError.
    collate : {"en_US", "C"}
        The locale that sorts text: apple before Banana, as in R's default session, or after it.
    lme4 : str, optional
        The version of lme4 to reproduce, for example ``"1.1-31"``; by default the newest. See
        `rparity.lmm.lme4` for what differs.

    Raises
    ------
    FormulaError, DataError, UsageError
        The message names the input and the remedy.

    References
    ----------
    Bates, Mächler, Bolker and Walker (2015), JSS 67(1), doi:10.18637/jss.v067.i01.
    """
    require_flag(REML, "REML")
    matrices = build(
        formula,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        subset=subset,
        na_action=na_action,
        rank_deficient=rank_deficient,
        collate=collate,
        lme4=Lme4(lme4),
    )
    matrices.warn_of_dropped_columns()
    with SearchProgress() as watch:
        fit = LmerResults.fit(MixedModel(matrices), matrices.y, reml=REML, watch=watch)
    fit.warn_unless_converged()
    fit.data_name = data.attrs.get("name")
    return fit
