"""Predictions of a mixed model: fixed effects, and all or some of the random effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import DataError, FormulaError
from rparity.lmm.language.formula import parse, terms
from rparity.lmm.matrices.model_matrices import ModelMatrices, require_frame

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]


def predict(
    fit: LmerResults,
    newdata: pd.DataFrame | None,
    kept: list[Array],
    *,
    fixed: bool,
    allow_new_levels: bool,
    na_action: str,
    offset: ArrayLike | None,
) -> pd.Series[float]:
    """Return `LmerResults.predict`, given which coefficients of each term are `kept`, (k,)."""
    matrices = fit.model.matrices
    means = [b * on for b, on in zip(fit.conditional.means, kept, strict=True)]
    random = any(on.any() for on in kept)
    if newdata is None:
        values = matrices.offset + matrices.X @ fit.beta if fixed else np.zeros(fit.nobs)
        if random:
            values = values + fit.model.spread([b[None] for b in means])[:, 0]
        return pd.Series(values, matrices.rows)
    require_frame(newdata, "newdata")
    which = [at for at, on in enumerate(kept) if on.any()]
    values = np.full(len(newdata), np.nan)
    used = np.ones(len(newdata), dtype=np.bool_)
    if na_action == "pass" and len(newdata):
        used = ~matrices.incomplete(newdata, which, fixed=fixed)
    if used.any():
        known = np.zeros(len(newdata))
        if fixed:
            known = matrices.known(newdata, offset)
        rows = newdata if used.all() else newdata[used]
        values[used] = known[used] + _effects(fit, rows, means, which, fixed, allow_new_levels)
    return pd.Series(values, newdata.index)


def _effects(
    fit: LmerResults,
    rows: pd.DataFrame,
    means: list[Array],
    which: list[int],
    fixed: bool,
    allow_new_levels: bool,
) -> Array:
    """Return Xβ̂, if `fixed`, and the random effects of some terms for complete rows (m,)."""
    matrices = fit.model.matrices
    values = matrices.fixed(rows) @ fit.beta if fixed else np.zeros(len(rows))
    for at, (codes, Z) in zip(which, matrices.groups(rows, which), strict=True):
        new = codes < 0
        if not allow_new_levels:
            require_known_levels(matrices.random[at].group, new, rows.index)
        values = values + np.where(new, 0.0, np.einsum("nk,nk->n", Z, means[at][codes]))
    return np.asarray(values)


def require_known_levels(group: str, new: NDArray[np.bool_], rows: pd.Index[Any]) -> None:
    """Raise DataError if some rows, (n,), have levels of a group that are new."""
    if new.any():
        raise DataError(
            f"newdata has levels of {group!r} that the data of the fit do not have, first in row "
            f"{rows[new][0]!r}: set allow_new_levels=True for random effects of zero there."
        )


def kept_effects(matrices: ModelMatrices, re_form: str | None) -> list[Array]:
    """Return which coefficients of each random term a formula names, (k,); None names all.

    Raises
    ------
    FormulaError
        If the formula names a random effect that the model does not have.
    """
    if re_form is None:
        return [np.ones(term.k) for term in matrices.random]
    kept = [np.zeros(term.k) for term in matrices.random]
    right = re_form.strip().removeprefix("~").strip()
    if right in {"0", "NA"}:
        return kept
    for bar in parse(f"{matrices.response} ~ {right}", matrices.lme4).bars:
        places = [at for at, term in enumerate(matrices.random) if term.group == bar.name]
        for name in _names(matrices, places, bar.lhs):
            of = [at for at in places if name in matrices.random[at].names]
            if not of:
                known = "; ".join(f"{t.group}: {', '.join(t.names)}" for t in matrices.random)
                raise FormulaError(
                    f"The model has no random effect ({bar.lhs} | {bar.name}) of re_form: it has "
                    f"{known}."
                )
            kept[of[0]][matrices.random[of[0]].names.index(name)] = 1.0
    return kept


def _names(matrices: ModelMatrices, places: list[int], left: str) -> tuple[str, ...]:
    """Return the coefficients of a term with `left` to the left of its bar; "" if it is unknown."""
    part = terms(left)
    if not places or not {*part.variables} <= matrices.random_variables(places):
        return ("",)
    return matrices.random_term(places[0], part).names
