"""mixedlm, a port of lme4, as an engine: its own formulas on the raw data."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import mixedlm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import block_diag

from rparity.cases.base import LMER_TABLES, TEST_TABLES, Boot, Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine, UnsupportedError
from rparity.engines.designs import design, prior_weights
from rparity.engines.native import one_row, quantiles
from rparity.engines.tables import (
    NO_WALD,
    OFFSET,
    coef_table,
    mean_tables,
    same_columns,
    table_of_tests,
    variance_tables,
    wald_table,
    with_text_groups,
)
from rparity.lmm.matrices.arrange import ranef_table
from rparity.lmm.matrices.model_matrices import RandomTerm
from rparity.lmm.matrices.template import Template
from rparity.lmm.matrices.varcorr import theta_names

Array = NDArray[np.float64]

# InstEval, with 73,421 rows, takes 7 s for each model, more than all other cases together.
MOST_ROWS = 20_000
# Its bootstraps use other random streams, so more replicates would not be more comparable.
MOST_REPLICATES = 200
# `anova_type3` names a coefficient of a factor `grp.1`.
CODED = re.compile(r"\.\d+(?=:|$)")
METHODS = {"anova_type3": "Satterthwaite", "anova_type3_kr": "Kenward-Roger"}


class Mixedlm(ModelEngine):
    """`mixedlm.lmer(formula, data)` with its defaults, and `mixedlm.bootMer`.

    Ordered factors are asked for in orthogonal polynomials, as R has them by default. An offset is
    handed over as an argument: the formulas have none.
    """

    name = "mixedlm"
    kinds: Mapping[type[Part], tuple[str, ...]] = {
        Lmer: (*LMER_TABLES, *(kind for kind in TEST_TABLES if kind != "vcov_kr")),
        Boot: ("boot",),
    }
    distributions: Sequence[str] = ("mixedlm", "scipy", "numpy")

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one mixed model."""
        assert isinstance(part, Lmer)
        fit = Fit(part, data)
        tests, gaps = fit.tests(part)
        return {**fit.tables(), **tests}, {**NO_WALD, **gaps}

    def boot(self, part: Boot, model: Lmer, data: pd.DataFrame, nsim: int) -> Found:
        """Answer a bootstrap, with mixedlm's own draws."""
        if part.use_u:
            raise UnsupportedError("bootMer draws new random effects each time: it has no use.u")
        if nsim > MOST_REPLICATES:
            warnings.warn(f"{MOST_REPLICATES} replicates, of its own draws", stacklevel=1)
        gaps = {"boot/*/nsim": "how many replicates it drew, which R's table does not tell"}
        return Fit(model, data).boot(part, min(nsim, MOST_REPLICATES)), gaps


class Fit:
    """A model as mixedlm fitted it, with R's names and order of its parameters."""

    def __init__(self, part: Lmer, data: pd.DataFrame) -> None:
        if len(data) > MOST_ROWS:
            raise UnsupportedError(f"{len(data)} rows: not asked, such a model takes mixedlm 7 s")
        self.data = data = with_text_groups(part.formula, data)
        weights = prior_weights(part, data)
        self.m = design(part, data)
        ordered = [
            name
            for name in data.columns
            if isinstance(data[name].dtype, pd.CategoricalDtype) and data[name].cat.ordered
        ]
        self.fit = mixedlm.lmer(
            OFFSET.sub("", part.formula),
            data,
            REML=part.reml,
            weights=weights,
            offset=self.m.offset if self.m.offset.any() else None,
            contrasts={
                **dict.fromkeys(ordered, "poly"),
                **{name: each.removeprefix("contr.") for name, each in part.contrasts.items()},
            }
            or None,
        )
        if ordered:
            warnings.warn(
                f"asked for contr.poly for {', '.join(ordered)}, which is R's default for an "
                "ordered factor and not mixedlm's",
                stacklevel=1,
            )
        self.columns = same_columns(self.fit.matrices.X, self.m.X)
        self.blocks = _blocks(self.fit.matrices.random_structures, self.m.random)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables of the fit, by kind."""
        fit, m, at = self.fit, self.m, self.columns
        cov = fit.vcov()[np.ix_(at, at)]
        coef = coef_table(fit.beta[at], np.sqrt(np.diag(cov)), m.names)
        log_lik = fit.logLik().value
        variance = fit.sigma**2
        covariances = [variance * L @ L.T for L in self._roots(fit.theta)]
        return {
            "coef": coef,
            "vcov": pd.DataFrame(cov, list(m.names), list(m.names)),
            **variance_tables(m.random, covariances, variance),
            "glance": one_row(
                sigma=fit.sigma,
                nobs=fit.nobs(),
                df_residual=fit.df_residual(),
                log_lik=log_lik,
                aic=fit.AIC(),
                bic=fit.BIC(),
                criterion=fit.REMLcrit(),
            ),
            "confint_wald": wald_table(coef),
            "ranef": ranef_table(m.random, *self._random_effects()),
            "residual_quantiles": quantiles(fit.residuals("pearson")),
        }

    def tests(self, part: Lmer) -> Found:
        """Return degrees of freedom, tests of terms and marginal means.

        `anova_type3` tests every coefficient of a factor as a term of its own. Where a factor has
        several, there is no row.
        """
        fit, at = self.fit, self.columns
        df = (mixedlm.satterthwaite_df(fit).df[at], mixedlm.kenward_roger_df(fit).df[at])
        tables = {"ddf": table_of_tests("ddf", self.m.names, *df)}
        gaps: dict[str, str] = {}
        for kind, method in METHODS.items():
            found = mixedlm.anova_type3(fit, ddf_method=method)
            columns = (found.num_df, found.den_df, found.f_value, found.p_value)
            theirs = [frozenset(CODED.sub("", term).split(":")) for term in found.terms]
            rows = {}
            for term in self.m.design.terms.terms:
                label = ":".join(term)
                if theirs.count(frozenset(term)) == 1:
                    rows[label] = theirs.index(frozenset(term))
                else:
                    gaps[f"{kind}/{label}"] = "it tests each coefficient of the factor by itself"
            where = list(rows.values())
            tables[kind] = table_of_tests(kind, rows, *(column[where] for column in columns))
        return tables | (self._means(part) if part.means else {}), gaps

    def _means(self, part: Lmer) -> dict[str, pd.DataFrame]:
        found = mixedlm.emmeans(self.fit, list(part.means))
        means, pairs = found.result, found.pairs()
        return mean_tables(
            means.grid[list(part.means)],
            self.data,
            (means.emmean, means.se, means.df, means.lower, means.upper),
            (pairs.estimate, pairs.se, pairs.df, pairs.t_ratio, pairs.p_value),
        )

    def boot(self, part: Boot, nsim: int) -> dict[str, pd.DataFrame]:
        """Return the standard errors of its bootstrap, with the number of replicates."""
        found = mixedlm.bootMer(self.fit, nsim=nsim, seed=part.seed or 1)
        t, t0 = found.beta_samples[:, self.columns], self.fit.beta[self.columns]
        names = list(self.m.names)
        if part.everything:
            theta = np.stack([self._theta(one) for one in found.theta_samples])
            t = np.column_stack([t, theta, found.sigma_samples])
            t0 = np.concatenate([t0, self._theta(self.fit.theta), [self.fit.sigma]])
            names += [*theta_names(self.m.random), "sigma"]
        t = t[~np.isnan(t).any(axis=1)]
        if found.n_failed:
            warnings.warn(f"{found.n_failed} of {nsim} refits failed", stacklevel=1)
        return {
            "boot": pd.DataFrame(
                {
                    "estimate": t0,
                    "bias": t.mean(axis=0) - t0,
                    "std_error": t.std(axis=0, ddof=1),
                    "nsim": float(len(t)),
                },
                names,
            )
        }

    def _roots(self, theta: Array) -> list[Array]:
        """Λ_θ of each of R's terms, from θ in mixedlm's order: row by row."""
        whole = mixedlm.getL(theta, self.fit.matrices.random_structures, as_blocks=True)
        return [whole[i][np.ix_(columns, columns)] for i, columns in self.blocks]

    def _theta(self, theta: Array) -> Array:
        """θ in R's order: column by column."""
        template = Template.of([len(term.names) for term in self.m.random])
        return np.asarray(block_diag(*self._roots(theta))[template.rows, template.cols])

    def _random_effects(self) -> tuple[list[Array], list[Array]]:
        """Conditional means and standard deviations, (levels, k) each of R's terms."""
        found = self.fit.ranef(condVar=True)
        means: list[Array] = []
        variances: list[Array] = []
        for term, (i, columns) in zip(self.m.random, self.blocks, strict=True):
            structure = self.fit.matrices.random_structures[i]
            names = [structure.term_names[column] for column in columns]
            rows = _levels(structure, term, self.data)
            for table, out in ((found.values, means), (found.condVar, variances)):
                values = table[structure.grouping_factor]
                out.append(np.stack([values[name][rows] for name in names], axis=1))
        return means, [np.sqrt(variance) for variance in variances]


def _blocks(structures: Sequence[Any], terms: Sequence[RandomTerm]) -> list[tuple[int, list[int]]]:
    """Find the structure and columns of each of R's terms; uncorrelated terms share a structure."""
    left = {
        group: [
            (i, column)
            for i, structure in enumerate(structures)
            if set(structure.grouping_factor.split(":")) == set(group.split(":"))
            for column in range(structure.n_terms)
        ]
        for group in dict.fromkeys(term.group for term in terms)
    }
    found = []
    for term in terms:
        k = len(term.names)
        mine, left[term.group] = left[term.group][:k], left[term.group][k:]
        found.append((mine[0][0], [column for _, column in mine]))
    return found


def _levels(structure: Any, term: RandomTerm, data: pd.DataFrame) -> NDArray[np.intp]:
    """Return the rows of mixedlm's levels, which are sorted as text, in the order of R's."""
    columns = [data[name].astype(str) for name in structure.grouping_factor.split(":")]
    keys = ["/".join(labels) for labels in zip(*columns, strict=True)]
    codes = np.array([structure.level_map[key] for key in keys], np.intp)
    _, first = np.unique(term.codes, return_index=True)
    return codes[first]
