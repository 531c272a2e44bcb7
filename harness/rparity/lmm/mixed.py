"""`lmer`: a mixed model from a formula and data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.arguments import numbers, require_flag
from rparity.lmm.control import (
    Control,
    SingularFitWarning,
    check_scales,
    report,
    require_control,
)
from rparity.lmm.fit import LmerResults
from rparity.lmm.language.collation import Collate
from rparity.lmm.lme4 import Lme4
from rparity.lmm.matrices.coding import Contrasts
from rparity.lmm.matrices.model_matrices import NaAction, build
from rparity.lmm.solver.model import MixedModel
from rparity.lmm.solver.optimum import ConvergenceWarning
from rparity.lmm.solver.progress import SearchProgress
from rparity.lmm.solver.threads import one_thread


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
    collate: Collate = "en_US",
    lme4: str | None = None,
    control: Control | None = None,
    start: ArrayLike | Mapping[str, ArrayLike] | None = None,
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
    weights, offset : array of shape (n,) or str, optional
        Prior weights and a known part of the linear predictor: numbers, or an expression of columns
        such as ``"w"`` or ``"1 / n"``. Rows of weight zero are left out; R counts them as
        observations, and its log-likelihood is then infinite at every θ.
    contrasts : mapping, optional
        From factors to R's names, such as ``contr.sum``, or to matrices (levels, contrasts).
    subset : str or array of bool, shape (n,), optional
        The rows to use, for example ``"x > 0"``.
    na_action : {"omit", "exclude", "fail"}
        Drop rows with missing values, as R does, or raise DataError. With "exclude", fitted values
        and residuals have NaN in these rows.
    collate : {"en_US", "C"}
        The locale that sorts text: apple before Banana, as in R's default session, or after it.
    lme4 : str, optional
        The version of lme4 to reproduce, for example ``"1.1-31"``; by default the newest. See
        `rparity.lmm.lme4` for what differs.
    control : Control, optional
        Settings, made by `lmer_control`: what to do if the fit is singular, if columns of X depend
        linearly on others, and if other checks fail.
    start : array of shape (m,) or mapping, optional
        θ at which the search begins, or a mapping that has it as "theta". Without it the search
        begins at several θ. The end is the same, unless the criterion has several minima.

    Raises
    ------
    FormulaError, DataError, UsageError
        The message names the input and the remedy.

    References
    ----------
    Bates, Mächler, Bolker and Walker (2015), JSS 67(1), doi:10.18637/jss.v067.i01.
    """
    require_flag(REML, "REML")
    control = require_control(control)
    stops = control.check_rankX in {"stop.deficient", "ignore"}
    with one_thread():
        matrices = build(
            formula,
            data,
            weights=weights,
            offset=offset,
            contrasts=contrasts,
            subset=subset,
            na_action=na_action,
            rank_deficient="fail" if stops else "drop",
            collate=collate,
            lme4=Lme4(lme4),
            control=control,
        )
        if not control.check_rankX.startswith("silent"):
            matrices.warn_of_dropped_columns()
        check_scales(control, matrices.X, matrices.names)
        model = MixedModel(matrices)
    theta = _start(start, model.template.m)
    with SearchProgress() as watch:
        fit = LmerResults.fit(model, matrices.y, reml=REML, start=theta, watch=watch)
    _check_optimum(control, fit)
    fit.data_name = data.attrs.get("name")
    return fit


def _start(start: ArrayLike | Mapping[str, ArrayLike] | None, m: int) -> NDArray[np.float64] | None:
    """Return the θ at which the search begins, (m,); R ignores the fixed effects of `start`."""
    if isinstance(start, Mapping):
        for name in start:
            if name not in {"theta", "fixef"}:
                raise UsageError(f"start has {name!r}, and may have 'theta' and 'fixef' only.")
        start = start.get("theta")
    return None if start is None else numbers(start, m, "start (the elements of θ)")


def _check_optimum(control: Control, fit: LmerResults) -> None:
    """Make lme4's checks of the end of the search."""
    diagonal = fit.theta_hat[fit.model.template.diagonal]
    if (diagonal < control.singular_tol).any():
        report(
            control.check_conv_singular,
            "The fit is singular: a variance is estimated as zero or a correlation as ±1.",
            SingularFitWarning,
            stacklevel=3,
        )
    if not fit.converged:
        flat = fit.flat_directions
        action = control.check_conv_hess if flat else control.check_conv_grad
        report(action, fit.problem, ConvergenceWarning, stacklevel=3)
