"""kamino as an engine: `kamino.lmer` with its tests of contrasts and its reference grids."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import kamino
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import LMER_TABLES, TEST_TABLES, Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine, UnsupportedError
from rparity.engines.designs import design, prior_weights
from rparity.engines.native import one_row, quantiles
from rparity.engines.tables import (
    coef_table,
    mean_tables,
    same_columns,
    square,
    table_of_tests,
    variance_tables,
    with_text_groups,
)
from rparity.lmm.inference.hypotheses import FixedTerms, HypothesisWarning
from rparity.lmm.matrices.template import Template

Array = NDArray[np.float64]

# kamino wants a random slope's intercept to be written out.
SLOPE = re.compile(r"\(\s*(?![01]\b)(?=[^()]*\|)")
# With more rows than this, a fit takes longer than all other cases together.
MOST_ROWS = 20_000
HELD = ("ranef", "confint_wald")


class Kamino(ModelEngine):
    """`kamino.lmer(formula, data)`, `satterthwaite()`, `kenward_roger()` and `postfit()`.

    It tests the contrasts that it is given: those of type III are this package's. Differences of
    marginal means have no Tukey adjustment there, and so no p-value here.
    """

    name = "kamino"
    kinds: Mapping[type[Part], tuple[str, ...]] = {
        Lmer: (*(kind for kind in LMER_TABLES if kind not in HELD), *TEST_TABLES)
    }
    distributions: Sequence[str] = ("kamino-lme", "scipy", "numpy")

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one mixed model."""
        assert isinstance(part, Lmer)
        if len(data) > MOST_ROWS:
            raise UnsupportedError(f"{len(data)} rows: not asked")
        weights = prior_weights(part, data)
        m = design(part, data)
        coded = {name: each.removeprefix("contr.") for name, each in part.contrasts.items()}
        fit = kamino.lmer(
            SLOPE.sub("(1 + ", part.formula),
            with_text_groups(part.formula, data),
            reml=part.reml,
            weights=weights,
            contrasts=coded or None,
        )
        at = same_columns(fit._training_fixed_design, m.X)
        template = Template.of([len(term.names) for term in m.random])
        if fit.theta.shape != template.rows.shape:
            raise UnsupportedError("its covariance parameters are not R's")
        Lam = template.Lambda(fit.theta)
        cov = fit.beta_covariance[np.ix_(at, at)]
        tables = {
            "coef": coef_table(fit.beta[at], np.sqrt(np.diag(cov)), m.names),
            "vcov": square(cov, m.names),
            **variance_tables(
                m.random, [fit.sigma2 * L @ L.T for L in template.blocks(Lam)], fit.sigma2
            ),
            "glance": one_row(
                sigma=fit.sigma,
                nobs=len(fit.fitted_values),
                log_lik=fit.log_likelihood,
                criterion=fit.objective,
            ),
            "residual_quantiles": quantiles(np.sqrt(m.weights) * fit.residuals / fit.sigma),
        }
        places = ("glance/1/aic", "glance/1/bic", "glance/1/df_residual")
        gaps = dict.fromkeys(places, "kamino counts no parameters")
        found, left_out = _tests(part, m, fit, at, data)
        return {**tables, **found}, {**gaps, **left_out}


def _tests(part: Lmer, m: Any, fit: Any, at: NDArray[np.intp], data: pd.DataFrame) -> Found:
    """Return the tests that a part asks for; a method that is not available is a gap."""
    tables: dict[str, pd.DataFrame] = {}
    gaps: dict[str, str] = {}
    kinds = [kind for kind in part.kinds if kind in TEST_TABLES]
    if not kinds:
        return tables, gaps
    satterthwaite, kr = fit.satterthwaite(), fit.kenward_roger()
    rows = np.eye(len(at))[:, np.argsort(at)]
    if satterthwaite.available:
        df = [satterthwaite.test(row).denominator_df for row in rows]
        tables["ddf"] = table_of_tests("ddf", m.names, df)
    else:
        gaps |= dict.fromkeys(("ddf/*/satterthwaite", "anova_type3"), satterthwaite.message)
    if kr.available:
        df = [kr.test(row).denominator_df for row in rows]
        known = tables.get("ddf", pd.DataFrame(index=list(m.names)))
        tables["ddf"] = known.assign(kenward_roger=df)
        tables["vcov_kr"] = square(kr.adjusted_covariance[np.ix_(at, at)], m.names)
    else:
        places = ("ddf/*/kenward_roger", "vcov_kr", "anova_type3_kr", "emmeans", "pairs")
        gaps |= dict.fromkeys(places, kr.message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        terms = FixedTerms(m).contrasts("III")
    for kind, method in {
        "anova_type3": satterthwaite.joint_test,
        "anova_type3_kr": kr.test,
    }.items():
        if kind in kinds and kind not in gaps:
            found = [method(L[:, np.argsort(at)]) for L in terms.values()]
            columns = ("numerator_df", "denominator_df", "statistic", "p_value")
            values = ([getattr(test, column) for test in found] for column in columns)
            tables[kind] = table_of_tests(kind, terms, *values)
    if part.means and kr.available:
        tables |= _means(part, fit, data)
        gaps["pairs/*/p_value"] = "kamino has no Tukey adjustment"
        limits = ("emmeans/*/conf_low", "emmeans/*/conf_high")
        gaps |= dict.fromkeys(limits, "kamino has no intervals by Kenward and Roger's method")
    return tables, gaps


def _means(part: Lmer, fit: Any, data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    analysis = fit.postfit(inference="kenward_roger", data=data)
    grid = analysis.reference_grid(specs=list(part.means))
    levels = pd.DataFrame([dict(each.levels) for each in grid.estimates])[list(part.means)]
    means = [each.result for each in grid.estimates]
    pairs = grid.pairwise(adjustment="none")
    columns = ("estimate", "standard_error", "denominator_df")
    tables = mean_tables(
        levels,
        data,
        (*_values(means, *columns), np.nan, np.nan),
        (*_values(pairs, *columns), _t(pairs), np.nan),
    )
    return {
        "emmeans": tables["emmeans"].drop(columns=["conf_low", "conf_high"]),
        "pairs": tables["pairs"].drop(columns="p_value"),
    }


def _values(results: Sequence[Any], *names: str) -> list[Array]:
    """Return attributes of several results, None as NaN: (r,) each."""
    return [np.array([getattr(each, name) for each in results], np.float64) for name in names]


def _t(results: Sequence[Any]) -> Array:
    """Return t statistics: an F statistic with one numerator df is the square of one."""
    estimate, error = _values(results, "estimate", "standard_error")
    return np.asarray(estimate / error)
