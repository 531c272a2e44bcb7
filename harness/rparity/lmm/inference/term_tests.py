"""Tables with a test of each term, in lmerTest's layout: `anova`, `drop1`, `ranova`.

Sources: lmerTest 3.1-3 (`single_anova`, `drop1.lmerModLmerTest`, `ranova`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.arguments import require_mixed
from rparity.lmm.display.html import AnovaTable
from rparity.lmm.inference.ddf import FTest, Method, inference, refuse_ml
from rparity.lmm.inference.hypotheses import FixedTerms, Type, droppable
from rparity.lmm.language.formula import Terms
from rparity.lmm.matrices.model_matrices import ModelMatrices, RandomTerm
from rparity.lmm.numbers.distributions import chi2_tail
from rparity.lmm.solver.model import MixedModel

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]

COLUMNS = ["Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]


def contrasts_of(fit: LmerResults, L: ArrayLike | str | Sequence[str]) -> Array:
    """Contrasts (r, p) from numbers, (p,) or (r, p), or from the names of coefficients.

    Raises
    ------
    UsageError
        For a name that no coefficient has, and for numbers of another shape.
    """
    names = [L] if isinstance(L, str) else list(L) if isinstance(L, list | tuple) else []
    if names and all(isinstance(name, str) for name in names):
        for name in names:
            if name not in fit.term_names:
                raise UsageError(
                    f"No coefficient is called {name!r}: choose from {', '.join(fit.term_names)}."
                )
        return np.asarray(np.eye(fit.model.p)[[fit.term_names.index(name) for name in names]])
    found = np.atleast_2d(np.asarray(L, dtype=np.float64))
    if found.ndim != 2 or found.shape[1] != fit.model.p or not np.isfinite(found).all():
        raise UsageError(
            f"L needs {fit.model.p} finite numbers a row, one for each coefficient, and has the "
            f"shape {np.shape(L)}."
        )
    return found


def linear_test(
    fit: LmerResults, L: ArrayLike | str | Sequence[str], rhs: ArrayLike, ddf: Method
) -> pd.Series[float]:
    """See `LmerResults.test`."""
    refuse_ml(fit, ddf)
    rows = contrasts_of(fit, L)
    right = np.asarray(rhs, dtype=np.float64)
    if right.shape not in {(), (len(rows),)}:
        raise UsageError(f"rhs is one number or {len(rows)}, one for each row of L.")
    found = inference(fit, ddf).joint(rows, right)
    return pd.Series({"F": found.F, "ndf": float(found.ndf), "ddf": found.ddf, "p": found.p})


def _table(fit: LmerResults, hypotheses: Mapping[str, Array], ddf: Method) -> pd.DataFrame:
    """Return a row for each term. Terms without a column in X come last, without numbers."""
    refuse_ml(fit, ddf)
    method = inference(fit, ddf)
    tests: dict[str, FTest] = {label: method.joint(L) for label, L in hypotheses.items() if len(L)}
    rows = [
        [
            test.wald * test.ndf * fit.sigma**2,
            test.wald * fit.sigma**2,
            float(test.ndf),
            test.ddf,
            test.F,
            test.p,
        ]
        for test in tests.values()
    ]
    found = pd.DataFrame(np.array(rows).reshape(-1, len(COLUMNS)), list(tests), COLUMNS)
    every = [*tests, *(label for label in hypotheses if label not in tests)]
    return AnovaTable(found.reindex(every))


def anova_table(fit: LmerResults, type: Type, ddf: Method) -> pd.DataFrame:
    """Test each term of the fixed part; see `rparity.anova`."""
    return _table(fit, FixedTerms(fit.model.matrices).contrasts(type), ddf)


def drop1(
    fit: LmerResults, scope: Iterable[str] | None = None, ddf: Method = "satterthwaite"
) -> pd.DataFrame:
    """Test each term that can be left out while those that contain it stay: lmerTest's `drop1`.

    Parameters
    ----------
    fit : LmerResults
    scope : iterable of str, optional
        Terms to test; all those that no other term contains, if it is left out.
    ddf : {"satterthwaite", "kenward-roger"}

    Returns
    -------
    DataFrame
        As `anova` gives: one row a term.

    Raises
    ------
    UsageError
        For a term that is not there or that another one contains.
    """
    require_mixed(fit, "drop1")
    terms = FixedTerms(fit.model.matrices)
    labels = terms.droppable if scope is None else list(scope)
    for label in labels:
        if label not in terms.droppable:
            raise UsageError(
                f"The term {label!r} cannot be left out alone: choose from "
                f"{', '.join(terms.droppable) or 'none'}."
            )
    return _table(fit, {label: terms.leaving_out(label) for label in labels}, ddf)


# -- random effects --------------------------------------------------------------------------------


def ranova(fit: LmerResults, *, reduce_terms: bool = True) -> pd.DataFrame:
    """Test each random-effects term by a likelihood ratio, as lmerTest's `ranova` does.

    A term `(x | g)` is reduced to `(1 | g)`, one variable at a time; a term with an intercept only
    is left out. The criterion is the fit's own, REML or ML. The hypothesis lies on the boundary of
    the parameters, so that p-values are conservative (as in R).

    Parameters
    ----------
    fit : LmerResults
    reduce_terms : bool
        Whether terms with slopes are reduced; otherwise each term is left out as a whole.

    Returns
    -------
    DataFrame
        Rows `<none>` and one for each deletion; columns `npar`, `logLik`, `AIC`, `LRT`, `Df`,
        `Pr(>Chisq)`.
    """
    require_mixed(fit, "ranova")
    rows = {"<none>": (float(fit.n_parameters), fit.llf)}
    for name, random in _deletions(fit.model.matrices, reduce_terms):
        rows[name] = _without(fit, random)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["npar", "logLik"])
    table["AIC"] = 2.0 * table["npar"] - 2.0 * table["logLik"]
    table["LRT"] = 2.0 * (fit.llf - table["logLik"])
    table["Df"] = table["npar"].iloc[0] - table["npar"]
    table.iloc[0, 3:] = np.nan
    degrees = table["Df"].where(table["Df"] > 0)
    table["Pr(>Chisq)"] = chi2_tail(table["LRT"], degrees)
    return AnovaTable(table)


def _deletions(
    matrices: ModelMatrices, reduce_terms: bool
) -> Iterator[tuple[str, tuple[RandomTerm, ...]]]:
    """Name each deletion as lmerTest does, with the random terms that it leaves."""
    for at, text, terms in matrices.bars():
        others = matrices.random[:at] + matrices.random[at + 1 :]
        scope = droppable(terms) if reduce_terms else []
        if not scope:
            yield f"({text})", others
        for label in scope:
            rest = tuple(term for term in terms.terms if ":".join(term) != label)
            smaller = Terms(terms.intercept or not rest, rest)
            reduced = matrices.random_term(at, smaller)
            # A term that is there already is not added again.
            twice = any(
                each.group == reduced.group and each.names == reduced.names for each in others
            )
            yield f"{label} in ({text})", others if twice else (*others, reduced)


def _without(fit: LmerResults, random: tuple[RandomTerm, ...]) -> tuple[float, float]:
    """Return the number of parameters and the log-likelihood with other random terms, or none."""
    matrices = fit.model.matrices
    if random:
        random = tuple(sorted(random, key=lambda term: -len(term.levels)))
        smaller = type(fit).fit(
            MixedModel(replace(matrices, random=random)), fit.response, reml=fit.reml
        )
        return float(smaller.n_parameters), smaller.llf
    model = fit.model
    deviations = model.deviations(fit.response, model.ordinary_least_squares(fit.response))
    (criterion,) = model.least_squares_criterion(deviations[:, None], reml=fit.reml)
    return model.p + 1.0, -float(criterion) / 2.0
