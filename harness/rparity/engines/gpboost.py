"""gpboost as an engine: grouped random effects by maximum likelihood."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import gpboost
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Lm, Lmer, Part
from rparity.engines.base import Found, ModelEngine, UnsupportedError
from rparity.engines.designs import design, prior_weights
from rparity.engines.native import one_row
from rparity.engines.tables import coef_table, variance_tables
from rparity.lmm.matrices.arrange import ranef_table
from rparity.lmm.matrices.model_matrices import ModelMatrices, RandomTerm

Array = NDArray[np.float64]

# With more rows than this, a model takes as long as InstEval with 73,421 rows: `seconds`.
MOST_ROWS = 20_000


class Gpboost(ModelEngine):
    """`GPModel(group_data=…, likelihood="gaussian").fit(y, X)` on R's columns, with its defaults.

    Of several random effects the default log-likelihood is a random estimate: iterative methods
    with 50 random vectors of a fixed seed.
    """

    name = "gpboost"
    kinds: Mapping[type[Part], tuple[str, ...]] = {
        Lmer: ("coef", "varcorr", "theta", "ranef", "glance")
    }
    distributions: Sequence[str] = ("gpboost",)
    seconds = 22
    model: Mapping[str, Any] = {}
    optimizer: Mapping[str, Any] = {}

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one mixed model by maximum likelihood, even if the question asks for REML."""
        assert isinstance(part, Lmer)
        if len(data) > MOST_ROWS:
            raise UnsupportedError(
                f"{len(data)} rows: not asked, such a model takes {self.name} {self.seconds} s"
            )
        weights = prior_weights(part, data)
        m = design(part, data)
        if any(len(term.names) > 1 for term in m.random):
            raise UnsupportedError("gpboost has no correlated random effects")
        if part.reml:
            warnings.warn("gpboost has no REML: this is its maximum likelihood", stacklevel=1)
        with _as_warnings():
            model = gpboost.GPModel(
                likelihood="gaussian", weights=weights, **_random(m.random), **self.model
            )
            offset = m.offset if m.offset.any() else None
            model.fit(m.y, X=m.X, offset=offset, params=dict(self.optimizer))
            found, gaps = _tables(m, model)
            reason = self._unpredicted(m.random)
            if reason is None:
                found["ranef"] = _random_effects(m.random, model)
            else:
                gaps["ranef"] = reason
        return found, gaps

    def _unpredicted(self, terms: Sequence[RandomTerm]) -> str | None:
        """Say why there are no random effects. If asked anyway, gpboost would write to stderr."""
        if len(terms) == 1:
            slope = terms[0].names != ("(Intercept)",)
            return "gpboost does not predict a single random coefficient" if slope else None
        exact = self.model.get("matrix_inversion_method") == "cholesky"
        return None if exact else "gpboost does not predict several effects by iterative methods"


class GpboostTight(Gpboost):
    """The same with Cholesky factors, and Newton's method until the parameters stop moving.

    Of its optimizers this one reaches the most digits of the variances, 7 to 15.
    """

    name = "gpboost-tight"
    seconds = 38
    model: Mapping[str, Any] = {"matrix_inversion_method": "cholesky"}
    optimizer: Mapping[str, Any] = {
        "optimizer_cov": "newton",
        "convergence_criterion": "relative_change_in_parameters",
        "delta_rel_conv": 1e-15,
    }


@contextmanager
def _as_warnings() -> Iterator[None]:
    """Turn gpboost's output into warnings."""
    with redirect_stdout(StringIO()) as printed:
        yield
    for line in printed.getvalue().splitlines():
        warnings.warn(line.removeprefix("[GPBoost] [Warning] "), stacklevel=1)


def _names(terms: Sequence[RandomTerm]) -> list[str]:
    """Name each term as gpboost does: by the numbers of its factor and of its coefficient."""
    groups = list(dict.fromkeys(term.group for term in terms))
    coefficients = dict.fromkeys(groups, 0)
    names = []
    for term in terms:
        name = f"Group_{groups.index(term.group) + 1}"
        if term.names != ("(Intercept)",):
            coefficients[term.group] += 1
            name += f"_rand_coef_nb_{coefficients[term.group]}"
        names.append(name)
    return names


def _random(terms: Sequence[RandomTerm]) -> dict[str, Any]:
    """Return GPModel's arguments for random effects: a column for each factor and coefficient."""
    groups = {term.group: term.codes for term in terms}
    numbers = {group: i + 1 for i, group in enumerate(groups)}
    slopes = [term for term in terms if term.names != ("(Intercept)",)]
    found: dict[str, Any] = {"group_data": np.column_stack(list(groups.values()))}
    if slopes:
        with_intercept = {term.group for term in terms if term not in slopes}
        found["group_rand_coef_data"] = np.hstack([term.Z for term in slopes])
        found["ind_effect_group_rand_coef"] = [numbers[term.group] for term in slopes]
        found["drop_intercept_group_rand_effect"] = [g not in with_intercept for g in groups]
    return found


def _tables(m: ModelMatrices, model: Any) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    terms, names = m.random, _names(m.random)
    estimate, std_error = model.get_coef(std_err=True, format_pandas=False)
    variances = model.get_cov_pars().loc["Param."]
    scale = float(variances["Error_var"])
    log_lik = -float(model.get_current_neg_log_likelihood())
    found = {
        "coef": coef_table(estimate, std_error, m.names),
        **variance_tables(terms, [variances[name] for name in names], scale),
        "glance": one_row(
            sigma=np.sqrt(scale), nobs=len(m.y), log_lik=log_lik, criterion=-2.0 * log_lik
        ),
    }
    gaps = dict.fromkeys(
        ("glance/1/aic", "glance/1/bic"), "summary() prints it to two decimals, nothing returns it"
    )
    gaps["glance/1/df_residual"] = "gpboost counts no residual degrees of freedom"
    return found, gaps


def _random_effects(terms: Sequence[RandomTerm], model: Any) -> pd.DataFrame:
    """Take each level's effects from its first row."""
    effects = model.predict_training_data_random_effects(predict_var=True)
    first = [np.unique(term.codes, return_index=True)[1] for term in terms]
    pairs = list(zip(_names(terms), first, strict=True))
    means = [effects[name].to_numpy()[rows, None] for name, rows in pairs]
    sds = [np.sqrt(effects[f"{name}_var"].to_numpy()[rows, None]) for name, rows in pairs]
    return ranef_table(terms, means, sds)
