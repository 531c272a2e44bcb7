"""statsmodels as an engine: MixedLM and OLS, with defaults and with a tight optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.linalg import block_diag
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

from rparity.cases.base import LM_TABLES, LMER_TABLES, Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine, UnsupportedError
from rparity.engines.designs import design
from rparity.engines.native import lm_tables, one_row, quantiles
from rparity.engines.tables import (
    NO_WALD,
    coef_table,
    variance_tables,
    wald_table,
)
from rparity.lmm.matrices.arrange import ranef_table
from rparity.lmm.matrices.model_matrices import ModelMatrices, RandomTerm

Array = NDArray[np.float64]

# For several factors, MixedLM needs dense indicators of all their levels, several times.
MOST_BYTES = 1e8


class Statsmodels(ModelEngine):
    """`MixedLM(…).fit(reml=…)` and `OLS(…).fit()` on R's columns, with their defaults.

    Terms of one factor are `exog_re`, uncorrelated ones by the mask `free`; several factors are
    variance components of one group, as statsmodels' documentation has crossed effects.
    """

    name = "statsmodels"
    kinds: Mapping[type[Part], tuple[str, ...]] = {Lmer: LMER_TABLES, Lm: LM_TABLES}
    distributions: Sequence[str] = ("statsmodels", "scipy", "numpy")
    options: Mapping[str, Any] = {}
    least_squares: Mapping[str, Any] = {}

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one model."""
        if isinstance(part, Lm):
            return _ols_tables(part, data, **self.least_squares), {}
        if part.weights is not None:
            raise UnsupportedError("MixedLM takes no prior weights")
        m = design(part, data)
        model, free = _model(m)
        return _tables(m, model.fit(reml=part.reml, free=free, **self.options))


class StatsmodelsTight(Statsmodels):
    """The same with BFGS to a gradient of 1e-12, started again after a failed line search.

    BFGS alone sees gradients only; the default's successors, L-BFGS and CG, stop on the change of
    the log-likelihood, whose rounding hides the last 8 digits of θ. `OLS` solves by QR, which gives
    estimates more digits, and standard errors fewer: they come from the inverse of R'R.
    """

    name = "statsmodels-tight"
    options: Mapping[str, Any] = {"method": ["bfgs", "bfgs"], "gtol": 1e-12, "maxiter": 500}
    least_squares: Mapping[str, Any] = {"method": "qr"}


def _ols_tables(part: Lm, data: pd.DataFrame, **options: Any) -> dict[str, pd.DataFrame]:
    m = design(part, data)
    y = pd.Series(m.y - m.offset, m.rows)
    results = sm.OLS(y, pd.DataFrame(m.X, m.rows, list(m.names))).fit(**options)
    if part.perfect:
        return {"coef": results.params.to_frame("estimate")}
    return lm_tables(results)


def _model(m: ModelMatrices) -> tuple[MixedLM, MixedLMParams | None]:
    """Return the model, and which of its parameters are free if not all are."""
    y = m.y - m.offset
    if len({term.group for term in m.random}) == 1:
        Z = np.hstack([term.Z for term in m.random])
        model = MixedLM(y, m.X, groups=m.random[0].codes, exog_re=Z)
        if len(m.random) == 1:
            return model, None
        mask = block_diag(*(np.ones((len(term.names),) * 2) for term in m.random))
        return model, MixedLMParams.from_components(np.ones(m.X.shape[1]), mask)
    if any(len(term.names) > 1 for term in m.random):
        raise UnsupportedError("MixedLM has no correlated effects beside a second grouping factor")
    size = 8.0 * len(y) * sum(len(term.levels) for term in m.random)
    if size > MOST_BYTES:
        raise UnsupportedError(
            f"{len(y)} rows: MixedLM's dense indicators of levels would take {size / 1e9:.1f} GB"
        )
    components = VCSpec(
        [term.group for term in m.random],
        [[list(term.levels)] for term in m.random],
        [[_indicators(term)] for term in m.random],
    )
    return MixedLM(y, m.X, groups=np.zeros(len(y)), exog_vc=components), None


def _indicators(term: RandomTerm) -> Array:
    """Return the columns of Z, (n, levels), of a term with one coefficient."""
    Z = np.zeros((len(term.codes), len(term.levels)))
    Z[np.arange(len(Z)), term.codes] = term.Z[:, 0]
    return Z


def _tables(m: ModelMatrices, fit: Any) -> Found:
    terms, p = m.random, len(m.names)
    cov, scale = fit.cov_params()[:p, :p], float(fit.scale)
    coef = coef_table(fit.fe_params, np.sqrt(np.diag(cov)), m.names)
    if fit.k_vc:
        covariances = list(fit.vcomp)
    else:
        spans = np.split(np.arange(fit.k_re), np.cumsum([len(term.names) for term in terms])[:-1])
        covariances = [fit.cov_re[np.ix_(span, span)] for span in spans]
    found = {
        "coef": coef,
        "vcov": pd.DataFrame(cov, list(m.names), list(m.names)),
        **variance_tables(terms, covariances, scale),
        "glance": one_row(
            sigma=np.sqrt(scale),
            nobs=fit.nobs,
            log_lik=fit.llf,
            aic=fit.aic,
            bic=fit.bic,
            criterion=-2.0 * fit.llf,
        ),
        "confint_wald": wald_table(coef),
    }
    gaps = {"glance/1/df_residual": "MixedLM counts no residual degrees of freedom", **NO_WALD}
    try:
        means, sds = _random_effects(m, fit)
    except ValueError as error:  # the estimated covariance is singular
        return found, gaps | dict.fromkeys(("ranef", "residual_quantiles"), str(error))
    found["ranef"] = ranef_table(terms, means, sds)
    found["residual_quantiles"] = quantiles(fit.resid / np.sqrt(scale))
    return found, gaps


def _random_effects(m: ModelMatrices, fit: Any) -> tuple[list[Array], list[Array]]:
    """Return conditional means and standard deviations, (levels, k) for each term."""
    both = [
        np.stack([np.asarray(b), np.sqrt(np.diag(fit.random_effects_cov[group]))])
        for group, b in sorted(fit.random_effects.items())
    ]
    if fit.k_vc:  # one group, which contains the levels of all terms in turn
        sizes = [len(term.levels) for term in m.random]
        parts = [part[..., None] for part in np.split(both[0], np.cumsum(sizes)[:-1], axis=1)]
    else:
        widths = [len(term.names) for term in m.random]
        parts = np.split(np.stack(both, axis=1), np.cumsum(widths)[:-1], axis=2)
    return [part[0] for part in parts], [part[1] for part in parts]
