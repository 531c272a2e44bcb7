"""Leverages of a mixed model's rows, and how its estimates change without a group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import splu

from rparity.errors import UsageError, did_you_mean
from rparity.lmm.arguments import require_mixed
from rparity.lmm.matrices.model_matrices import ModelMatrices
from rparity.lmm.numbers.linalg import sparse_columns
from rparity.lmm.solver.model import MixedModel

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]

# Rows whose leverages are computed together.
ROWS = 1024


def hatvalues(fit: LmerResults) -> pd.Series[float]:
    """Leverages of the rows that were used, (n,), as R's `hatvalues(fit)`.

    They are the derivatives of fitted values by their responses at the estimated θ: the diagonal of
    I − (V⁻¹ − V⁻¹XA⁻¹X'V⁻¹), A = X'V⁻¹X, for weighted rows.

    Raises
    ------
    UsageError
        Unless the fit is of `lmer`.
    """
    require_mixed(fit, "hatvalues")
    model = fit.model
    theta = model.working.W @ fit.theta_hat
    triangles = model.template.blocks(model.template.Lambda(theta))
    B = sp.csr_array(
        sp.hstack(
            [
                sparse_columns(Z @ Lam, term.codes, len(term.levels))
                for term, Z, Lam in zip(
                    model.matrices.random, model.working.Z, triangles, strict=True
                )
            ],
            format="csr",
        )
    )
    factor = splu(sp.csc_array(sp.eye_array(model.q) + B.T @ B))
    R = model.Q - B @ factor.solve(B.T @ model.Q)
    hat = np.einsum("np,np->n", R @ np.linalg.inv(model.Q.T @ R), R)
    for first in range(0, model.n, ROWS):
        rows = B[first : first + ROWS].toarray()
        hat[first : first + ROWS] += np.einsum("nq,qn->n", rows, factor.solve(rows.T))
    return pd.Series(hat, model.matrices.rows)


def cooks_distance(fit: LmerResults) -> pd.Series[float]:
    """Cook's distances of the rows that were used, (n,), from their leverages at the estimated θ.

    No model is fitted again; `influence(fit).cooks_distance` does that. Source: lme4's
    `cooks.distance.merMod`.

    Raises
    ------
    UsageError
        Unless the fit is of `lmer`.
    """
    require_mixed(fit, "cooks_distance")
    hat = hatvalues(fit)
    residuals = pd.Series(fit.scaled_resid, hat.index)
    found = (residuals / (1.0 - hat)) ** 2 * hat / fit.model.p
    return found.where(np.isfinite(found))


@dataclass(frozen=True)
class Influence:
    """Fits without each level of a grouping factor, or without each row; rows are what is left out.

    `params`, `bse` (rows, p) and `varcorr` (rows, variances and covariances) are those of the fits,
    `converged` (rows,) tells whether these ended at an optimum. `dfbeta` is β̂ without the level
    less β̂, `dfbetas` that over the standard errors without it, and `dfvarcorr` the change of the
    variances. `cooks_distance` (rows,) is the change of β̂ in the metric of its covariance, times
    (L − p) / (L p) for L levels or rows, as in lme4.
    """

    params: pd.DataFrame
    bse: pd.DataFrame
    varcorr: pd.DataFrame
    converged: pd.Series[bool]
    dfbeta: pd.DataFrame
    dfbetas: pd.DataFrame
    dfvarcorr: pd.DataFrame
    cooks_distance: pd.Series[float]


def influence(fit: LmerResults, groups: str | None = None) -> Influence:
    """Fit a model again without each row, or each level of a grouping factor, as R's `influence`.

    Each search begins at the estimate, as in R. The columns of X and Z stay as they are, so
    `scale(x)` is not computed anew. Of a grouping factor, give the name in `groups`.

    Raises
    ------
    UsageError
        For a group that the model does not have, and unless the fit is of `lmer`.
    """
    require_mixed(fit, "influence")
    m = fit.model.matrices
    terms = {term.group: term for term in m.random}
    if groups is None:
        codes, index = np.arange(len(m.y)), m.rows
    elif groups in terms:
        codes, index = terms[groups].codes, pd.Index(terms[groups].levels, name=groups)
    else:
        raise UsageError(
            f"The model has no grouping factor {groups!r}. {did_you_mean(str(groups), terms)}"
            f"It has {', '.join(terms)}."
        )
    fits = [_without(fit, codes != level) for level in range(len(index))]
    params = pd.DataFrame([each.beta for each in fits], index, fit.term_names)
    bse = pd.DataFrame([each.bse.to_numpy() for each in fits], index, fit.term_names)
    variances = fit.varcorr["vcov"]
    varcorr = pd.DataFrame(
        [each.varcorr["vcov"].to_numpy() for each in fits], index, variances.index
    )
    change = params - fit.beta
    L, p = change.shape
    metric = np.linalg.solve(fit.cov_params().to_numpy(), change.to_numpy().T).T
    return Influence(
        params,
        bse,
        varcorr,
        pd.Series([each.converged for each in fits], index),
        change,
        change / bse,
        varcorr - variances,
        (L - p) / (L * p) * (change * metric).sum(axis=1),
    )


def _without(fit: LmerResults, keep: NDArray[np.bool_]) -> LmerResults:
    """Fit the model to some of its rows, from the estimate of all."""
    matrices = _rows_of(fit.model.matrices, keep)
    start = fit.theta_hat
    return type(fit).fit(MixedModel(matrices), matrices.y, reml=fit.reml, start=start)


def _rows_of(m: ModelMatrices, keep: NDArray[np.bool_]) -> ModelMatrices:
    """Return the matrices of some rows, without the levels that these do not have."""
    random = []
    for term in m.random:
        used, codes = np.unique(term.codes[keep], return_inverse=True)
        levels = tuple(np.array(term.levels, dtype=object)[used])
        random.append(replace(term, codes=codes, levels=levels, Z=term.Z[keep]))
    used_rows = m.used.copy()
    used_rows[np.flatnonzero(m.used)[~keep]] = False
    return replace(
        m,
        y=m.y[keep],
        X=m.X[keep],
        random=tuple(random),
        offset=m.offset[keep],
        weights=m.weights[keep],
        rows=m.rows[keep],
        used=used_rows,
        columns={name: column[keep] for name, column in m.columns.items()},
    )


def is_nested(inner: ArrayLike, outer: ArrayLike) -> bool:
    """Whether each level of one factor occurs with one level of another, as R's `isNested`."""
    pairs = pd.DataFrame({"inner": np.asarray(inner), "outer": np.asarray(outer)})
    return bool((pairs.groupby("inner", observed=True)["outer"].nunique() <= 1).all())
