"""pymmeans as an engine: inference and marginal means after a fit of statsmodels' MixedLM."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pymmeans
from pymmeans.satterthwaite import satterthwaite_df
from pymmeans.utils import from_fitted
from statsmodels.regression.mixed_linear_model import MixedLM

from rparity.cases.base import Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine, UnsupportedError
from rparity.engines.designs import design
from rparity.engines.statsmodels import StatsmodelsTight
from rparity.engines.tables import (
    coded,
    coef_table,
    mean_tables,
    same_columns,
    square,
    table_of_tests,
    variance_tables,
)
from rparity.lmm.language.formula import parse

SUM = "C({}, Sum)"
OF_STATSMODELS = "statsmodels computes it, not pymmeans"


class Pymmeans(ModelEngine):
    """`apply_satterthwaite`, `apply_kenward_roger`, `get_kr`, `emmeans` and `pairs` of pymmeans.

    The model is statsmodels' `MixedLM.from_formula` with the optimizer of `statsmodels-tight`.
    """

    name = "pymmeans"
    kinds: Mapping[type[Part], tuple[str, ...]] = {
        Lmer: ("coef", "varcorr", "theta", "ddf", "vcov_kr", "emmeans", "pairs")
    }
    distributions: Sequence[str] = ("pymmeans", "statsmodels", "patsy", "scipy", "numpy")

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one mixed model."""
        assert isinstance(part, Lmer)
        if not part.reml or not {"ddf", "vcov_kr", "emmeans"} & set(part.kinds):
            raise UnsupportedError("asked about tests after REML only")
        m = design(part, data)
        parsed = parse(part.formula)
        if part.weights is not None or len(m.random) > 1 or m.offset.any():
            raise UnsupportedError("asked about one random term, without weights or an offset")
        model = MixedLM.from_formula(
            f"{parsed.response} ~ {coded(parsed.fixed, part.contrasts, SUM)}",
            data,
            groups=np.array(m.random[0].codes),
            re_formula=f"~ {parsed.bars[0].lhs}",
        )
        if not hasattr(model.data, "design_info"):
            model.data.design_info = model.data.model_spec
            warnings.warn(
                "pymmeans looks for patsy's design under its name in statsmodels before 0.15: it "
                "was given that name",
                stacklevel=1,
            )
        at = same_columns(model.exog, m.X)
        fit = model.fit(reml=True, **StatsmodelsTight.options)
        coef = coef_table(fit.fe_params.iloc[at], fit.bse_fe.iloc[at], m.names)
        tables = {
            "coef": coef[["estimate"]],
            **variance_tables(m.random, [fit.cov_re], float(fit.scale)),
        }
        gaps = {"coef/*/std_error": OF_STATSMODELS, "coef/*/statistic": OF_STATSMODELS}
        found, left_out = _tests(part, m.names, fit, at, data)
        return {**tables, **found}, {**gaps, **left_out}


def _tests(part: Lmer, names: Sequence[str], fit: Any, at: Any, data: pd.DataFrame) -> Found:
    info, rows = from_fitted(fit), np.eye(len(at))[at]
    df = satterthwaite_df(info, rows)
    try:
        kr = pymmeans.get_kr(fit)
    except RuntimeError as error:  # a variance is zero
        places = ("vcov_kr", "ddf/*/kenward_roger", "emmeans", "pairs")
        return {"ddf": table_of_tests("ddf", names, df)}, dict.fromkeys(places, str(error))
    tables = {
        "ddf": table_of_tests("ddf", names, df, pymmeans.ddf_lb(fit, rows)),
        "vcov_kr": square(kr.V_KR[np.ix_(at, at)], names),
    }
    if part.means:
        means = pymmeans.apply_kenward_roger(pymmeans.emmeans(fit, list(part.means)))
        pairs = pymmeans.pairs(means, adjust="tukey").frame
        columns = ("emmean", "SE", "df", "lower_cl", "upper_cl")
        theirs = ("estimate", "SE", "df", "t_ratio", "p_value")
        tables |= mean_tables(
            means.frame[list(part.means)],
            data,
            [means.frame[name] for name in columns],
            [pairs[name] for name in theirs],
        )
    return tables, {}
