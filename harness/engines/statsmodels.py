"""statsmodels' MixedLM as an engine, at its default settings."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from harness.cases.base import Data, Lmer, Part
from harness.engines.base import Answer, Question
from harness.lmm.matrices import build
from harness.rrandom import RRandom

KINDS = ("coef", "vcov", "varcorr")


class Statsmodels:
    """Mixed models with one grouping factor; `rparity` answers `lm` with statsmodels already."""

    name = "statsmodels"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Estimates, standard errors and variances of mixed models."""
        if isinstance(part, Lmer):
            return tuple(f"{part.name}.{kind}" for kind in KINDS if kind in part.kinds)
        return ()

    def answer(self, question: Question) -> Answer:
        """Answer the mixed models."""
        case = question.case
        rng, data = RRandom(case.seed), pd.DataFrame()
        tables: dict[str, pd.DataFrame] = {}
        gaps: dict[str, str] = {}
        for part in case.parts:
            if isinstance(part, Data):
                data = question.draw(part, rng)
            elif isinstance(part, Lmer):
                found = _tables(part, data)
                tables |= {name: found[name.rpartition(".")[2]] for name in self.expected(part)}
            else:
                gaps[part.name] = "statsmodels' MixedLM has no counterpart"
        return Answer(tables, gaps)


def _tables(part: Lmer, data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    m = build(part.formula, data, na_action="fail")
    (term,) = m.random
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = MixedLM(m.y, m.X, groups=term.codes, exog_re=term.Z).fit(reml=part.reml)
    names = list(m.names)
    cov = fit.cov_params()[: len(names), : len(names)]
    estimate, std_error = fit.fe_params, np.sqrt(np.diag(cov))
    sd = np.sqrt(np.append(np.diag(fit.cov_re), fit.scale))
    rows = [f"{term.group}.{name}" for name in term.names] + ["Residual"]
    return {
        "coef": pd.DataFrame(
            {"estimate": estimate, "std_error": std_error, "statistic": estimate / std_error}, names
        ),
        "vcov": pd.DataFrame(cov, names, names),
        "varcorr": pd.DataFrame({"vcov": sd**2, "sdcor": sd}, rows),
    }
