"""The lmer, bootmer, lm and random streams of this package as an engine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rparity.cases.base import (
    LMER_TABLES,
    REML_TABLES,
    TEST_TABLES,
    AtlasPair,
    Boot,
    Call,
    Data,
    Lm,
    Lmer,
    Part,
    ROnly,
)
from rparity.engines.base import Answer, Question
from rparity.lmm.bootstrap.bootmer import BootstrapResults, bootmer
from rparity.lmm.bootstrap.simulation import skip_draws
from rparity.lmm.control import NO_MESSAGE
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.anova import anova
from rparity.lmm.inference.ddf import DegreesOfFreedomWarning, Method
from rparity.lmm.inference.emmeans import MarginalMeans, emmeans
from rparity.lmm.inference.hypotheses import HypothesisWarning
from rparity.lmm.linear import lm
from rparity.lmm.lme4 import REFIT, Lme4
from rparity.lmm.matrices.model_matrices import RankDeficientWarning
from rparity.lmm.mixed import lmer
from rparity.rrandom import RRandom
from rparity.tables import encode_factors

# What a fit or a test warns of becomes a note.
NOTED = (RankDeficientWarning, DegreesOfFreedomWarning, HypothesisWarning)

MEANS = ("estimate", "std_error", "df", "conf_low", "conf_high")
PAIRS = ("estimate", "std_error", "df", "statistic", "p_value")
QUARTILES = ["0%", "25%", "50%", "75%", "100%"]


class Native:
    """`rparity.lmer`, `rparity.bootmer`, `rparity.lm` and `rparity.RRandom`."""

    name = "rparity"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Answer everything except variants that only R runs, and data that R gives."""
        theirs = isinstance(part, ROnly | AtlasPair) or (
            isinstance(part, Data) and part.make is None
        )
        return () if theirs else part.tables

    def answer(self, question: Question) -> Answer:
        """Answer the parts in order, from one random stream, as R's script does."""
        with warnings.catch_warnings(record=True) as warned:
            for category in NOTED:
                warnings.simplefilter("always", category)
            answer = self._answer(question)
        messages = dict.fromkeys(str(warning.message) for warning in warned)
        return replace(answer, notes=(*answer.notes, *messages))

    def _answer(self, question: Question) -> Answer:
        case, nsim = question.case, question.nsim
        lme4 = question.versions.get("lme4")
        rng = RRandom(case.seed)
        tables: dict[str, pd.DataFrame] = {}
        fits: dict[str, LmerResults] = {}
        known: dict[tuple[object, ...], LmerResults] = {}
        data = pd.DataFrame()
        for part in case.parts:
            match part:
                case Data():
                    data = question.draw(part, rng)
                    tables["data"] = encode_factors(data)[0]
                    continue
                case Lmer():
                    fit = known.get(part.key) or known.setdefault(
                        part.key, fitted(part, data, lme4)
                    )
                    fits[part.name] = fit
                    found = lmer_tables(fit, part.kinds, part.means) | intervals(fit, part)
                case Lm():
                    fit_ = lm(
                        part.formula, data, contrasts=part.contrasts, na_action="fail", collate="C"
                    )
                    found = (
                        {"coef": fit_.params.to_frame("estimate")}
                        if part.perfect
                        else lm_tables(fit_)
                    )
                case Boot():
                    stream = rng if part.seed is None else RRandom(part.seed)
                    if not part.kinds:
                        skip_draws(fits[part.of], nsim, part.use_u, rng=stream)
                        continue
                    boot = bootmer(fits[part.of], nsim, part.use_u, rng=stream)
                    found = boot_tables(boot, everything=part.everything)
                case Call():
                    found = dict(part.python(nsim, question.versions))
                case ROnly() | AtlasPair():
                    continue
                case _:
                    raise TypeError(f"no answer to a part of type {type(part).__name__}")
            tables |= {f"{part.name}.{kind}": found[kind] for kind in part.kinds}
        return Answer(tables, notes=_notes(question))


def _notes(question: Question) -> tuple[str, ...]:
    """Say so if the bootstraps reproduce a behaviour of lme4 that today's lme4 has not."""
    bootstraps = any(isinstance(part, Boot) for part in question.case.parts)
    if not bootstraps or Lme4.among(question.versions).has(REFIT):
        return ()
    version = question.versions["lme4"]
    return (
        f"lme4 {version}: its refit(), and so bootMer(), hands 1 instead of p to the REML "
        f"criterion (mended in {REFIT.since}). The bootstraps here do the same: "
        f'lmer(…, lme4="{version}").',
    )


def fitted(part: Lmer, data: pd.DataFrame, lme4: str | None = None) -> LmerResults:
    """Fit a mixed model of a case, with the conventions of a version of lme4."""
    weights = None if part.weights is None else data[part.weights]
    return lmer(
        part.formula,
        data,
        REML=part.reml,
        weights=weights,
        contrasts=part.contrasts,
        na_action="fail",
        collate="C",  # as R's recordings
        lme4=lme4,
        control=NO_MESSAGE,
    )


def model_tables(part: Lm | Lmer, data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return all tables of a model by kind, and the tests that it asks for."""
    if isinstance(part, Lm):
        return lm_tables(
            lm(part.formula, data, contrasts=part.contrasts, na_action="fail", collate="C")
        )
    return lmer_tables(fitted(part, data), everything(part, reml=part.reml), part.means)


def everything(part: Lmer, *, reml: bool) -> tuple[str, ...]:
    """Return the kinds of all tables of a fit by REML or ML, and of the tests that it asks for."""
    known = TEST_TABLES if reml else set(TEST_TABLES) - set(REML_TABLES)
    return *LMER_TABLES, *(kind for kind in part.kinds if kind in known)


def one_row(**values: float) -> pd.DataFrame:
    """Return a table with one row, "1", as `glance` is."""
    return pd.DataFrame({name: [float(value)] for name, value in values.items()}, ["1"])


def quantiles(x: Any) -> pd.DataFrame:
    """Return R's default quantiles (type 7) of x."""
    return pd.DataFrame({"value": np.quantile(x, [0, 0.25, 0.5, 0.75, 1])}, QUARTILES)


def lmer_tables(
    fit: LmerResults, kinds: Sequence[str], means: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """Return tables of a mixed model by kind, those of `kinds` that are known here.

    They are those of `lmer_tables()` in r_scripts/tables.R and of `test_tables()` in
    r_scripts/tests.R. `means` are the variables of `emmeans` and `pairs`.
    """
    tables: dict[str, Callable[[], pd.DataFrame]] = {
        "coef": lambda: pd.DataFrame(
            {"estimate": fit.params, "std_error": fit.bse, "statistic": fit.tvalues}
        ),
        "vcov": fit.cov_params,
        "varcorr": lambda: fit.varcorr,
        "theta": lambda: fit.theta.to_frame("value"),
        "ranef": lambda: fit.random_effects,
        "glance": lambda: one_row(
            sigma=fit.sigma,
            nobs=fit.nobs,
            df_residual=fit.df_resid,
            log_lik=fit.llf,
            aic=fit.aic,
            bic=fit.bic,
            criterion=fit.criterion,
        ),
        "residual_quantiles": lambda: quantiles(fit.scaled_resid),
        "confint_wald": fit.conf_int,
        "ddf": lambda: pd.DataFrame(
            {"satterthwaite": fit.ddf("satterthwaite"), "kenward_roger": fit.ddf("kenward-roger")}
        ),
        "vcov_kr": lambda: fit.cov_params("kenward-roger"),
        "anova_type3": lambda: _term_tests(fit, "satterthwaite"),
        "anova_type3_kr": lambda: _term_tests(fit, "kenward-roger"),
        "emmeans": lambda: means_table(emmeans(fit, means)),
        "pairs": lambda: pairs_table(emmeans(fit, means).pairs()),
    }
    return {kind: tables[kind]() for kind in kinds if kind in tables}


def _term_tests(fit: LmerResults, ddf: Method) -> pd.DataFrame:
    columns = {
        "NumDF": "num_df",
        "DenDF": "den_df",
        "F value": "f_statistic",
        "Pr(>F)": "p_value",
    }
    return anova(fit, type="III", ddf=ddf).rename(columns=columns)[list(columns.values())]


def mean_rows(means: MarginalMeans) -> list[str]:
    """Return the names of rows: of marginal means their levels, as in `a.early`."""
    if means.contrasts:
        return list(means.grid["contrast"])
    return list(means.grid.astype(str).agg(".".join, axis=1))


def means_table(means: MarginalMeans) -> pd.DataFrame:
    """Return the table `emmeans`."""
    found = means.summary()[["emmean", "SE", "df", "lower.CL", "upper.CL"]]
    return found.set_axis(MEANS, axis=1).set_axis(mean_rows(means))


def pairs_table(pairs: MarginalMeans) -> pd.DataFrame:
    """Return the table `pairs`."""
    found = pairs.summary()[["estimate", "SE", "df", "t.ratio", "p.value"]]
    return found.set_axis(PAIRS, axis=1).set_axis(mean_rows(pairs))


def intervals(fit: LmerResults, part: Lmer) -> dict[str, pd.DataFrame]:
    """Return the intervals that take long, if the part asks for them."""
    found = {}
    if "confint_profile" in part.kinds:
        found["confint_profile"] = fit.conf_int(method="profile")
    if "confint_boot" in part.kinds:
        boot = bootmer(fit, part.confint_nsim, rng=part.confint_seed)
        found["confint_boot"] = boot.conf_int()
    return found


def lm_tables(results: Any) -> dict[str, pd.DataFrame]:
    """Tables of a linear model, as `lm_tables()` of r_scripts/tables.R.

    `results` are `lm`'s, or have the same attributes, as statsmodels' have.
    """
    return {
        "coef": pd.DataFrame(
            {
                "estimate": results.params,
                "std_error": results.bse,
                "statistic": results.tvalues,
                "p_value": results.pvalues,
            }
        ),
        "vcov": results.cov_params(),
        "glance": one_row(
            sigma=np.sqrt(results.scale),
            nobs=results.nobs,
            df_residual=results.df_resid,
            log_lik=results.llf,
            aic=results.aic,
            bic=results.bic,
            r_squared=results.rsquared,
            adj_r_squared=results.rsquared_adj,
            f_statistic=results.fvalue,
            p_value=results.f_pvalue,
        ),
        "residual_quantiles": quantiles(results.resid),
        "confint_wald": results.conf_int().set_axis(["conf_low", "conf_high"], axis=1),
    }


def boot_tables(boot: BootstrapResults, *, everything: bool = False) -> dict[str, pd.DataFrame]:
    """Tables of a bootstrap, as `boot_tables()` of r_scripts/tables.R."""
    t, t0 = boot.t, boot.t0
    if everything:
        fit = boot.fit
        t = pd.concat([t, boot.theta], axis=1).assign(sigma=boot.sigma)
        t0 = pd.concat([t0, fit.theta, pd.Series({"sigma": fit.sigma})])
    return {
        "boot": pd.DataFrame({"estimate": t0, "bias": t.mean() - t0, "std_error": t.std(ddof=1)}),
        "replicates": t,
    }
