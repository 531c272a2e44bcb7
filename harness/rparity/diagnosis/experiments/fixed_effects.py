"""Experiments on degrees of freedom and tests of fixed effects: other methods, other contrasts.

The formulas are evaluated at the engine's own variance parameters, so that an early stop of its
optimizer does not matter.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import TEST_TABLES, Lmer
from rparity.compare import Tables, Tolerance, kind_of
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import MOST, VANISHED, Dispute, Trial, compared, predicted
from rparity.diagnosis.experiments.parameters import Sides
from rparity.engines.native import means_table, pairs_table
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.ddf import FTest
from rparity.lmm.inference.emmeans import emmeans
from rparity.lmm.inference.hypotheses import FixedTerms, HypothesisWarning

Array = NDArray[np.float64]
Contrasts = Mapping[str, Array]  # of each term, (r, p)

# The largest step that packages take for central differences, relative to a parameter or not. Their
# error grows with the square of the step, so that it bounds those of smaller ones; what rounding
# adds to them is in the engine's own scatter. Other schemes of differences have other factors.
STEP = 1e-3
SCHEMES = 3.0
FREE = ("satterthwaite", "kenward_roger", "df", "den_df")


class Tests(Protocol):
    """Tests of contrasts by one method: `cov` (p, p) is the covariance that they take."""

    @property
    def cov(self) -> Array:
        """Covariance of the fixed effects."""
        ...

    def df(self, L: Array, /) -> Array:
        """Degrees of freedom of each row of L (r, p): (r,)."""
        ...

    def joint(self, L: Array, /) -> FTest:
        """Test of all rows of L at once."""
        ...


@dataclass(frozen=True)
class OneByOne:
    """Tests whose degrees of freedom are those of single rows, or their harmonic mean."""

    fit: LmerResults
    row_df: Callable[[Array], Array]

    @property
    def cov(self) -> Array:
        """The covariance without adjustment."""
        return self.fit.cov_params().to_numpy()

    def df(self, L: Array, /) -> Array:
        """See `Tests`."""
        return self.row_df(L)

    def joint(self, L: Array, /) -> FTest:
        """See `Tests`."""
        estimate = L @ self.fit.beta
        wald = float(estimate @ np.linalg.solve(L @ self.cov @ L.T, estimate)) / len(L)
        return FTest(wald, 1.0, len(L), float(1.0 / np.mean(1.0 / self.df(L))))


def scale_known(fit: LmerResults, df: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return degrees of freedom for σ profiled out, from Satterthwaite's.

    In (θ, σ) the inverse Hessian is that of the profiled criterion and one part more, which makes
    1/df = 1/df(profiled) + 1/(n − p).
    """
    f = fit.model.divisor(reml=fit.reml)
    return lambda L: np.asarray(1.0 / (1.0 / df(L) - 1.0 / f))


def by_differences(fit: LmerResults, step: float, *, relative: bool) -> Callable[[Array], Array]:
    """Return Satterthwaite's degrees of freedom by central differences in (θ, σ).

    The step of σ is always relative.
    """
    x = np.append(fit.theta_hat, fit.sigma)
    size = np.where(x == 0.0, 1.0, np.abs(x)) if relative else np.ones(len(x))
    size[-1] = fit.sigma
    h = step * size

    def at(*moves: tuple[int, float]) -> LmerResults:
        there = x.copy()
        for i, sign in moves:
            there[i] += sign * h[i]
        return fit.at(there[:-1], abs(there[-1]))

    hessian = np.empty((len(x), len(x)))
    for i, j in product(range(len(x)), repeat=2):
        if j <= i:
            corners = [a * b * at((i, a), (j, b)).criterion for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = sum(corners) / (4.0 * h[i] * h[j])
    slopes = np.stack(
        [
            (at((i, 1)).cov_params() - at((i, -1)).cov_params()).to_numpy() / (2.0 * h[i])
            for i in range(len(x))
        ]
    )
    inverse, cov = np.linalg.pinv(hessian), fit.cov_params().to_numpy()

    def df(L: Array) -> Array:
        g = np.einsum("ra,iab,rb->ri", L, slopes, L)
        v = np.einsum("ra,ab,rb->r", L, cov, L)
        return np.asarray(v**2 / np.einsum("ri,ij,rj->r", g, inverse, g))

    return df


@dataclass(frozen=True)
class Variation:
    """What an engine may do in place of what it was asked for.

    `satterthwaite` and `kenward_roger` return the tests that stand in the tables of these methods,
    from Satterthwaite's degrees of freedom as they are or by differences. `contrasts` changes the
    contrasts of type III.
    """

    name: str
    cause: Cause
    says: str
    satterthwaite: Callable[[LmerResults], Tests] = lambda fit: fit.satterthwaite
    kenward_roger: Callable[[LmerResults], Tests] = lambda fit: fit.kenward_roger
    contrasts: Callable[[FixedTerms], Contrasts] = lambda terms: terms.contrasts("III")


def _profiled(fit: LmerResults) -> Tests:
    return OneByOne(fit, scale_known(fit, fit.satterthwaite.df))


def _coefficients(terms: FixedTerms) -> Contrasts:
    return {label: terms.coefficients(label) for label in terms.labels}


def _first_factors(terms: FixedTerms) -> Contrasts:
    """Count the coefficients of interactions to the first of their variables."""
    found = {label: terms.coefficients(label) for label in terms.labels if ":" not in label}
    for label in terms.labels:
        first = label.split(":")[0]
        if ":" in label and first in found:
            found[first] = np.vstack([found[first], terms.coefficients(label)])
    return found


KNOWN = (
    "at its own variance parameters its degrees of freedom are Satterthwaite's with the residual "
    "variance taken as known: 1/df lacks the part 1/(n − p). For several coefficients it takes the "
    "harmonic mean of theirs"
)
# The right formulas: what is left is the error of derivatives.
NUMERICAL = Variation(
    "derivatives by differences",
    Cause.NUMERICAL,
    "at its own variance parameters the formulas give its degrees of freedom, up to what central "
    "differences with a step of 1e-3 cost",
)
VARIATIONS = (
    NUMERICAL,
    Variation(
        "the covariance without adjustment",
        Cause.UNADJUSTED,
        "where Kenward and Roger's method is asked for, its covariance of the fixed effects is the "
        "usual one, at its own variance parameters",
        kenward_roger=lambda fit: OneByOne(fit, fit.kenward_roger.df),
    ),
    Variation(
        "Satterthwaite's method for Kenward and Roger's",
        Cause.SATTERTHWAITE,
        "where Kenward and Roger's method is asked for, it gives Satterthwaite's degrees of "
        "freedom, at its own variance parameters",
        kenward_roger=lambda fit: fit.satterthwaite,
    ),
    Variation(
        "each term's own coefficients for type III",
        Cause.TYPE_THREE,
        "its test of a term is about the term's coefficients, which depend on the factors' coding",
        contrasts=_coefficients,
    ),
    Variation(
        "the residual variance taken as known",
        Cause.SCALE_KNOWN,
        KNOWN,
        satterthwaite=_profiled,
        kenward_roger=_profiled,
        contrasts=_coefficients,
    ),
    Variation(
        "coefficients of interactions counted to their first factor",
        Cause.TYPE_THREE,
        "its test of a factor is about the factor's coefficients and about those of interactions "
        "whose names begin with the factor's, with the residual variance taken as known",
        satterthwaite=_profiled,
        contrasts=_first_factors,
    ),
)


def other_tests(
    variation: Variation, dispute: Dispute, part: str, rows: pd.DataFrame
) -> Trial | None:
    """Evaluate a variation at the engine's own variance parameters."""
    if not rows["table"].map(kind_of).isin(TEST_TABLES).any():
        return None
    pair = Sides.of(dispute, part)
    if pair is None or not pair.fit.reml:
        return None
    fit, model = pair.mine, pair.model
    key = f"{part}: {variation.name}"
    if key not in dispute.shared:
        tests = (variation.satterthwaite(fit), variation.kenward_roger(fit))
        found = tables_by(fit, model, *tests, variation.contrasts)
        only = _degrees_of_freedom if variation is NUMERICAL else _changed
        dispute.shared[key] = only(found, pair)
    tables: Tables = dispute.shared[key]
    rooms = _rooms(dispute, pair, tables)
    reference = predicted(dispute, tables, part)

    def tolerance(table: str, column: str) -> Tolerance:
        usual = reference.tolerance(table, column)
        if column not in FREE or table not in rooms:
            return usual
        return replace(usual, atol=usual.atol + rooms[table][column])

    return compared(
        variation.name,
        variation.cause,
        variation.says,
        rows,
        dispute.answer,
        replace(reference, tolerance=tolerance),
        instead_of=None if variation is NUMERICAL else dispute.reference_tables,
    )


def _degrees_of_freedom(tables: Tables, _pair: Sides) -> Tables:
    """Return only the columns that are degrees of freedom."""
    return {
        kind: table[[column for column in FREE if column in table]]
        for kind, table in tables.items()
        if kind != "vcov_kr"
    }


def _changed(tables: Tables, pair: Sides) -> Tables:
    """Return tables in which what a variation does not change is NaN, so that it explains none."""
    usual = tables_by(
        pair.mine,
        pair.model,
        pair.mine.satterthwaite,
        pair.mine.kenward_roger,
        NUMERICAL.contrasts,
    )
    return {
        kind: table.where((table / usual[kind].reindex_like(table) - 1.0).abs() > VANISHED.rtol)
        for kind, table in tables.items()
    }


def residual_df(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Give all means the same whole number of degrees of freedom, n less some parameters."""
    kinds = [kind for kind in ("emmeans", "pairs") if f"{part}.{kind}" in dispute.answer]
    pair = Sides.of(dispute, part)
    if pair is None or not kinds or not rows["table"].map(kind_of).isin(kinds).any():
        return None
    df = np.unique(dispute.answer[f"{part}.{kinds[0]}"]["df"])
    less = pair.fit.nobs - df[0]
    if len(df) > 1 or less != round(less) or not 0 <= less <= pair.fit.n_parameters:
        return None
    tests = OneByOne(pair.mine, lambda L: np.full(len(L), df[0]))
    found = tables_by(pair.mine, pair.model, tests, tests, lambda _terms: {})
    return compared(
        "residual degrees of freedom",
        Cause.RESIDUAL_DF,
        f"it takes n − {less:.0f} = {df[0]:.0f} degrees of freedom for every mean, and the "
        "covariance without adjustment, at its own variance parameters",
        rows,
        dispute.answer,
        predicted(dispute, {kind: found[kind] for kind in kinds}, part),
        instead_of=dispute.reference_tables,
    )


def rounded_quantile(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Take 1.96 standard errors for Wald intervals in place of the normal quantile."""
    coef, table = dispute.answer.get(f"{part}.coef"), f"{part}.confint_wald"
    if coef is None or not (rows["table"] == table).any():
        return None
    ends = dispute.answer[table].reindex(coef.index)
    widths = (ends["conf_high"] - ends["conf_low"]) / (2.0 * coef["std_error"])
    # Where the ends share their leading digits, any quantile would seem to fit.
    if not (abs(widths - 1.96) < 1e-6).all():
        return None
    half = 1.96 * coef["std_error"]
    limits = pd.DataFrame(
        {"conf_low": coef["estimate"] - half, "conf_high": coef["estimate"] + half}
    )
    return compared(
        "a quantile of 1.96",
        Cause.QUANTILE,
        "its intervals extend 1.96 of its own standard errors; the normal quantile is 1.95996…",
        rows,
        dispute.answer,
        predicted(dispute, {"confint_wald": limits}, part),
        instead_of=dispute.reference_tables,
    )


def tables_by(
    fit: LmerResults,
    model: Lmer,
    satterthwaite: Tests,
    kenward_roger: Tests,
    contrasts: Callable[[FixedTerms], Contrasts],
) -> dict[str, pd.DataFrame]:
    """Return the tables of tests that a part asks for, with other tests than its methods'.

    What follows from other values is left out: p-values and the ends of intervals.
    """
    names, each = fit.term_names, np.eye(fit.model.p)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        terms = contrasts(FixedTerms(fit.model.matrices))
    tables = {
        "ddf": pd.DataFrame(
            {"satterthwaite": satterthwaite.df(each), "kenward_roger": kenward_roger.df(each)},
            names,
        ),
        "vcov_kr": pd.DataFrame(kenward_roger.cov, names, names),
        "anova_type3": _term_tests(terms, satterthwaite),
        "anova_type3_kr": _term_tests(terms, kenward_roger),
    }
    if model.means:
        means = emmeans(fit, model.means, ddf="asymptotic")
        estimator = replace(means.estimator, cov=kenward_roger.cov, df=kenward_roger.df)
        means = replace(means, estimator=estimator)
        columns = ["estimate", "std_error", "df"]
        tables["emmeans"] = means_table(means)[columns]
        tables["pairs"] = pairs_table(means.pairs())[[*columns, "statistic"]]
    return {kind: table for kind, table in tables.items() if kind in model.kinds}


def _term_tests(terms: Contrasts, tests: Tests) -> pd.DataFrame:
    found = {label: tests.joint(L) for label, L in terms.items() if len(L)}
    return pd.DataFrame.from_dict(
        {label: (float(t.ndf), t.ddf, t.F) for label, t in found.items()},
        orient="index",
        columns=["num_df", "den_df", "f_statistic"],
    )


def _rooms(dispute: Dispute, pair: Sides, tables: Tables) -> Tables:
    """Return how far degrees of freedom may be off that come from differences.

    It is `SCHEMES` times the largest error, relative to Satterthwaite's degrees of freedom
    of a coefficient, that differences cause with the formulas of this package.
    """
    key = f"{pair.part}: differences"
    if key not in dispute.shared:
        fit, each = pair.mine, np.eye(pair.mine.model.p)
        exact = fit.satterthwaite.df(each)
        found = [by_differences(fit, STEP, relative=relative)(each) for relative in (True, False)]
        off = np.max([np.abs(each / exact - 1.0) for each in found], axis=0)
        dispute.shared[key] = min(SCHEMES * float(np.nanmax(off)), MOST)
    share: float = dispute.shared[key]
    free = _degrees_of_freedom(tables, pair)
    return {f"{pair.part}.{kind}": share * table.abs() for kind, table in free.items()}
