"""interlace as an engine: `interlace.fit` with its degrees of freedom and marginal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import interlace
import numpy as np
import pandas as pd
from interlace.kenward_roger import kenward_roger

from rparity.cases.base import LMER_TABLES, TEST_TABLES, Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine, UnsupportedError
from rparity.engines.designs import design, prior_weights
from rparity.engines.native import one_row, quantiles
from rparity.engines.tables import (
    NO_WALD,
    OFFSET,
    coded,
    coef_table,
    mean_tables,
    same_columns,
    square,
    table_of_tests,
    variance_tables,
)
from rparity.lmm.language.formula import parse
from rparity.lmm.matrices.model_matrices import ModelMatrices, RandomTerm

# With more rows than this, a fit takes longer than all other cases together.
MOST_ROWS = 20_000
SUM = "C({}, contr.sum)"
# Responses that vary by less than this share of their size.
SHARED = 1e-5
LEFT_OUT = ("ranef", "anova_type3_kr")


class Interlace(ModelEngine):
    """`interlace.fit(formula, data, random=…)` with its defaults.

    Random terms are handed over one by one; a group that is an interaction of factors is a column
    of its own.
    """

    name = "interlace"
    kinds: Mapping[type[Part], tuple[str, ...]] = {
        Lmer: tuple(kind for kind in (*LMER_TABLES, *TEST_TABLES) if kind not in LEFT_OUT)
    }
    distributions: Sequence[str] = ("interlace-lme", "formulaic", "scipy", "numpy")
    options: Mapping[str, Any] = {}

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one mixed model."""
        assert isinstance(part, Lmer)
        if len(data) > MOST_ROWS:
            raise UnsupportedError(f"{len(data)} rows: not asked")
        if not part.reml and not self.options:
            raise UnsupportedError(
                "not asked by ML: where its L-BFGS-B stops, up to 1.9 above the minimum of the "
                "criterion, depends on the processor; interlace-tight gets there"
            )
        weights = prior_weights(part, data)
        m = design(part, data)
        if np.ptp(m.y) < SHARED * np.abs(m.y).max():
            raise UnsupportedError(
                "not asked: the responses share their leading digits, and cross-products of them, "
                "as interlace takes them, leave no digits of the variances"
            )
        parsed = parse(part.formula)
        groups = {term.group: f"group{i}" for i, term in enumerate(m.random)}
        labels = {
            groups[term.group]: np.array(term.levels, dtype=object)[term.codes] for term in m.random
        }
        fixed = coded(OFFSET.sub("", parsed.fixed), part.contrasts, SUM)
        fit = interlace.fit(
            f"{parsed.response} ~ {fixed}",
            data.assign(**labels),
            random=[_random(term, groups[term.group], data) for term in m.random],
            method="REML" if part.reml else "ML",
            weights=weights,
            offset=m.offset if m.offset.any() else None,
            **self.options,
        )
        at = same_columns(fit.model.exog, m.X)
        names, gaps = m.names, dict(NO_WALD)
        scale = float(fit.scale)
        cov = fit.fe_cov[np.ix_(at, at)]
        limits = fit.fe_conf_int.iloc[at].set_axis(list(names))
        tables = {
            "coef": coef_table(fit.fe_params.iloc[at], fit.fe_bse.iloc[at], names),
            "vcov": square(cov, names),
            **variance_tables(m.random, _covariances(m, fit.theta, scale), scale),
            "glance": one_row(
                sigma=np.sqrt(scale),
                nobs=fit.nobs,
                log_lik=fit.llf,
                aic=fit.aic,
                bic=fit.bic,
                criterion=-2.0 * fit.llf,
            ),
            "residual_quantiles": quantiles(np.sqrt(m.weights) * fit.resid / np.sqrt(scale)),
            "confint_wald": limits.set_axis(["conf_low", "conf_high"], axis=1),
        }
        gaps["glance/1/df_residual"] = "interlace counts no residual degrees of freedom"
        if any(kind in TEST_TABLES for kind in part.kinds):
            found, left_out = _tests(part, m, fit, at, data)
            return {**tables, **found}, {**gaps, **left_out}
        return tables, gaps


class InterlaceTight(Interlace):
    """The same by the Nelder-Mead algorithm, which stops later.

    The default's L-BFGS-B stops where the criterion changes by less than 1e-8 of itself.
    """

    name = "interlace-tight"
    options: Mapping[str, Any] = {"optimizer": "nelder-mead"}


def _random(term: RandomTerm, group: str, data: pd.DataFrame) -> str:
    """Write a random term, of an intercept and of numeric columns."""
    slopes = [name for name in term.names if name != "(Intercept)"]
    if not set(slopes) <= set(data.columns):
        raise UnsupportedError("interlace has random slopes of numeric columns only")
    first = "1" if "(Intercept)" in term.names else "0"
    return f"({' + '.join([first, *slopes])} | {group})"


def _covariances(m: ModelMatrices, theta: Any, scale: float) -> list[Any]:
    """Return each term's covariance from θ, which has Λ row by row."""
    found, start = [], 0
    for term in m.random:
        k = len(term.names)
        Lam = np.zeros((k, k))
        size = k * (k + 1) // 2
        Lam[np.tril_indices(k)] = theta[start : start + size]
        start += size
        found.append(scale * Lam @ Lam.T)
    return found


def _tests(part: Lmer, m: ModelMatrices, fit: Any, at: Any, data: pd.DataFrame) -> Found:
    gaps: dict[str, str] = {}
    df = [fit.fe_df.to_numpy()[at]]
    tables: dict[str, pd.DataFrame] = {}
    try:
        adjusted, theirs = kenward_roger(fit)
    except NotImplementedError as error:
        gaps = dict.fromkeys(("ddf/*/kenward_roger", "vcov_kr"), " ".join(str(error).split()))
    else:
        df.append(theirs[at])
        tables["vcov_kr"] = square(adjusted[np.ix_(at, at)], m.names)
    tables["ddf"] = table_of_tests("ddf", m.names, *df)
    found = interlace.anova_type3(fit).set_index("term")
    rows = {}
    for term in m.design.terms.terms:
        label = ":".join(term)
        theirs = coded(label, part.contrasts, SUM)
        if theirs in found.index:
            rows[label] = found.loc[theirs]
        else:
            gaps[f"anova_type3/{label}"] = "it tests each coefficient of the interaction by itself"
    values = ([row[name] for row in rows.values()] for name in ("df1", "df2", "F", "Pr(>F)"))
    tables["anova_type3"] = table_of_tests("anova_type3", rows, *values)
    if part.means:
        means = interlace.emmeans(fit, list(part.means))
        pairs = interlace.pairs(means)
        columns = ("estimate", "SE", "df", "lower", "upper")
        theirs = ("estimate", "SE", "df", "t.ratio", "p.value")
        tables |= mean_tables(
            means[list(part.means)],
            data,
            [means[name] for name in columns],
            [pairs[name] for name in theirs],
        )
    return tables, gaps
