"""Responses simulated for new data, or with some of the random effects kept, with R's draws."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.arguments import count
from rparity.lmm.matrices.model_matrices import ModelMatrices, RandomTerm, lme4_order
from rparity.lmm.prediction import kept_effects, require_known_levels
from rparity.rrandom import RRandom

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]


def simulate_rows(
    fit: LmerResults,
    nsim: int,
    newdata: pd.DataFrame | None,
    re_form: str | None,
    *,
    rng: RRandom | int,
    allow_new_levels: bool,
    offset: ArrayLike | None,
) -> Array:
    """Return `LmerResults.simulate` for new rows or a partial `re_form`, (n, nsim).

    R draws u of the terms that are not kept, `rnorm(q · nsim)`, then the errors, `rnorm(n · nsim)`.
    The terms are in lme4's order by their numbers of levels in these rows, each with only the
    levels that occur. R then takes θ as if the terms were all those of the fit, in its order, which
    is wrong if they are not; here each term has its own θ. Source: `mkNewReTrms` of lme4.
    """
    nsim, model = count(nsim, "nsim"), fit.model
    fixed = fit.predict(
        newdata,
        re_form=re_form,
        allow_new_levels=allow_new_levels,
        na_action="fail",
        offset=offset,
    ).to_numpy()
    drawn = _drawn(model.matrices, re_form, newdata)
    if newdata is not None and not allow_new_levels:
        for at, term in drawn:
            new = ~np.isin(term.levels, model.matrices.random[at].levels)
            require_known_levels(term.group, np.append(new, True)[term.codes], newdata.index)
    stream = RRandom.of(rng)
    scales = model.template.blocks(fit.sigma * model.template.Lambda(fit.theta_hat))
    ends = np.cumsum([0, *(term.size for _, term in drawn)])
    u = stream.rnorm(ends[-1] * nsim).reshape(nsim, -1)
    out = fixed[:, None] + fit.sigma * stream.rnorm(len(fixed) * nsim).reshape(nsim, -1).T
    for (at, term), (first, last) in zip(drawn, pairwise(ends), strict=True):
        part = u[:, first:last]
        b = part.reshape(nsim, -1, term.k) @ scales[at].T
        effects = np.einsum("nk,rnk->nr", term.Z, b[:, term.codes])
        out += np.where(term.codes[:, None] < 0, 0.0, effects)
    return np.asarray(out)


def _drawn(
    matrices: ModelMatrices, re_form: str | None, newdata: pd.DataFrame | None
) -> list[tuple[int, RandomTerm]]:
    """Return the terms that `re_form` does not keep, with their places, in lme4's order."""
    kept = kept_effects(matrices, re_form)
    for on, term in zip(kept, matrices.random, strict=True):
        if on.any() and not on.all():
            raise UsageError(
                f"simulate() keeps whole terms, and re_form names a part of the term of "
                f"{term.group!r}: name {', '.join(term.names)}."
            )
    places = [at for at, _, _ in matrices.bars() if not kept[at].any()]
    terms = [
        matrices.random[i] if newdata is None else matrices.regrouped(newdata, i) for i in places
    ]
    order = lme4_order([len(term.levels) for term in terms])
    return [(places[i], terms[i]) for i in order]
