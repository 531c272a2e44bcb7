"""Causes of differences in degrees of freedom and tests: each is planted, and found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution

from few import mostly_slow
from planted import BAR, audit_case, fit_of, found, proven
from rparity.audit.inference import derived
from rparity.cases.base import TEST_TABLES, Lmer
from rparity.compare import Reference, compare
from rparity.diagnosis.experiments.base import CaseContext, Dispute
from rparity.diagnosis.experiments.fixed_effects import OneByOne, by_differences, scale_known
from rparity.diagnosis.explain import Finding, explain
from rparity.engines.native import lmer_tables
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.hypotheses import FixedTerms
from rparity.lmm.mixed import lmer

Answer = dict[str, pd.DataFrame]
SLOW = pytest.mark.slow(reason="as the others of its kind, half a second each")
CASES = ("unbalanced_tests", pytest.param("singular_tests", marks=SLOW))
KINDS = ("coef", "varcorr", "theta", "confint_wald", *TEST_TABLES)
EACH = np.eye(6)


def model_of(name: str) -> Lmer:
    part = audit_case(name).context.parts["lmer"]
    assert isinstance(part, Lmer)
    return part


def right(name: str, fit: LmerResults | None = None) -> Answer:
    """The package's answer at a fit, without p-values and ends of intervals."""
    tables = lmer_tables(fit or fit_of(name), KINDS, model_of(name).means)
    tables |= {kind: tables[kind].drop(columns="p_value") for kind in ("anova_type3", "pairs")}
    tables["anova_type3_kr"] = tables["anova_type3_kr"].drop(columns="p_value")
    tables["emmeans"] = tables["emmeans"][["estimate", "std_error", "df"]]
    return {f"lmer.{kind}": table for kind, table in tables.items()}


def with_column(answer: Answer, table: str, column: str, values: object) -> Answer:
    return answer | {table: answer[table].assign(**{column: values})}


def satterthwaites(name: str) -> Answer:
    answer, df = right(name), fit_of(name).ddf("satterthwaite")
    return with_column(answer, "lmer.ddf", "kenward_roger", df)


def unadjusted(name: str) -> Answer:
    return right(name) | {"lmer.vcov_kr": fit_of(name).cov_params()}


def known_scale(name: str) -> Answer:
    fit, answer = fit_of(name), right(name)
    df = scale_known(fit, fit.satterthwaite.df)(EACH)
    return with_column(answer, "lmer.ddf", "satterthwaite", df)


def residuals(name: str) -> Answer:
    answer, fit = right(name), fit_of(name)
    means = answer["lmer.emmeans"].assign(df=float(fit.nobs - fit.model.p))
    return answer | {"lmer.emmeans": means}


def differences(name: str) -> Answer:
    df = by_differences(fit_of(name), 1e-3, relative=True)(EACH)
    return with_column(right(name), "lmer.ddf", "satterthwaite", df)


def rounded(name: str) -> Answer:
    answer = right(name)
    coef, wald = answer["lmer.coef"], answer["lmer.confint_wald"].copy()
    half = 1.96 * coef["std_error"]
    wald.loc[coef.index, "conf_low"] = coef["estimate"] - half
    wald.loc[coef.index, "conf_high"] = coef["estimate"] + half
    return answer | {"lmer.confint_wald": wald}


PLANTED: dict[str, Callable[[str], Answer]] = {
    "Satterthwaite for Kenward and Roger": satterthwaites,
    "covariance without adjustment": unadjusted,
    "residual variance taken as known": known_scale,
    "residual degrees of freedom": residuals,
    "numerical derivatives": differences,
    "quantile of 1.96": rounded,
}


@pytest.mark.parametrize("name", CASES)
def test_the_right_answer_differs_in_nothing(name: str) -> None:
    assert not found(name, right(name))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "cause",
    mostly_slow(
        PLANTED,
        lambda cause: cause in ("numerical derivatives", "quantile of 1.96"),
        "as the others of its kind, half a second each",
    ),
)
def test_a_planted_cause_is_found_and_no_other(cause: str, name: str) -> None:
    assert set(found(name, PLANTED[cause](name))) == {cause}


@SLOW
@pytest.mark.parametrize("cause", ["Satterthwaite for Kenward and Roger"])
def test_an_optimizer_that_stopped_early_hides_no_cause(cause: str) -> None:
    """The formulas are evaluated at the engine's own variances."""
    name = "unbalanced_tests"
    fit = fit_of(name).at(fit_of(name).theta_hat * (1.0 + 1e-4))
    answer = right(name, fit)
    answer = with_column(answer, "lmer.ddf", "kenward_roger", fit.ddf("satterthwaite"))
    assert set(found(name, answer)) == {"stopped early", cause}


@SLOW
def test_a_factor_with_the_coefficients_of_its_interaction() -> None:
    name = "singular_tests"
    fit, answer = fit_of(name), right(name)
    terms = FixedTerms(fit.model.matrices)
    rows = np.vstack([terms.coefficients("late"), terms.coefficients("late:grp")])
    test = OneByOne(fit, scale_known(fit, fit.satterthwaite.df)).joint(rows)
    table = answer["lmer.anova_type3"].copy()
    table.loc["late"] = [test.ndf, test.ddf, test.F]
    assert set(found(name, answer | {"lmer.anova_type3": table})) == {"contrasts of type III"}


def test_type_three_of_coefficients_under_treatment_contrasts() -> None:
    """Of sums, the contrasts that the cases have, coefficients are the right ones."""
    known = audit_case("unbalanced_tests")
    part = Lmer(
        "lmer",
        ("theta", "varcorr", "anova_type3"),
        formula="Reaction ~ late * grp + (1 | Subject)",
    )
    fit = lmer(part.formula, known.context.data)
    reference = {f"lmer.{k}": t for k, t in lmer_tables(fit, part.kinds).items()}
    rows = FixedTerms(fit.model.matrices).coefficients("late")
    test = fit.satterthwaite.joint(rows)
    wrong = reference["lmer.anova_type3"].drop(columns="p_value")
    assert abs(wrong.loc["late", "f_statistic"] / test.F - 1.0) > 0.1
    wrong.loc["late"] = [test.ndf, test.ddf, test.F]
    reference["lmer.anova_type3"] = reference["lmer.anova_type3"].drop(columns="p_value")
    answer = reference | {"lmer.anova_type3": wrong}
    compared = compare(
        "x", "planted", answer, Reference("exact", reference, lambda *_: BAR), list(reference)
    )
    context = CaseContext(known.case, [part], known.context.data)
    findings = explain(Dispute(context, "planted", "exact", answer, reference), compared)[1]
    assert {finding.cause for finding in findings} == {"contrasts of type III"}


# What no cause explains ---------------------------------------------------------------------------

BUGS: dict[str, tuple[str, str, float]] = {
    "degrees of freedom a hundredth too large": ("lmer.ddf", "satterthwaite", 1.01),
    "Kenward and Roger's a thousandth too large": ("lmer.ddf", "kenward_roger", 1.001),
    "a denominator halved": ("lmer.anova_type3", "den_df", 0.5),
    "F twice as large": ("lmer.anova_type3_kr", "f_statistic", 2.0),
    "standard errors of means a millionth too large": ("lmer.emmeans", "std_error", 1.0 + 1e-6),
    "degrees of freedom of means doubled": ("lmer.emmeans", "df", 2.0),
    "differences of the other sign": ("lmer.pairs", "estimate", -1.0),
    "the adjustment twice": ("lmer.vcov_kr", "(Intercept)", 1.02),
}


# The first one always.
@pytest.mark.parametrize(
    "bug", [*list(BUGS)[:1], *(pytest.param(bug, marks=SLOW) for bug in list(BUGS)[1:])]
)
def test_a_bug_of_no_known_cause_stays_unexplained(bug: str) -> None:
    answer = right("unbalanced_tests")
    table, column, factor = BUGS[bug]
    wrong = with_column(answer, table, column, answer[table][column] * factor)
    assert "" in found("unbalanced_tests", wrong)


@SLOW
@pytest.mark.parametrize("df", [111.5, [112.0, 111.0, 112.0], 200.0])
def test_degrees_of_freedom_of_all_means_must_be_whole_and_the_same(df: object) -> None:
    wrong = with_column(right("unbalanced_tests"), "lmer.emmeans", "df", df)
    assert set(found("unbalanced_tests", wrong)) == {""}


@SLOW
def test_differences_explain_no_more_than_they_cost() -> None:
    name = "unbalanced_tests"
    answer = differences(name)
    exact = right(name)["lmer.ddf"]["satterthwaite"]
    off = answer["lmer.ddf"]["satterthwaite"] - exact
    wrong = with_column(answer, "lmer.ddf", "satterthwaite", exact + 1000.0 * off)
    assert set(found(name, wrong)) == {""}


# p-values and intervals ---------------------------------------------------------------------------


def causes_of_p(p_value: Callable[[pd.DataFrame], object]) -> set[str]:
    """Causes in a table of which only the degrees of freedom are Satterthwaite's."""
    name = "unbalanced_tests"
    reference = {"lmer.anova_type3_kr": proven(name)["lmer.anova_type3_kr"]}
    fits = right(name)
    wrong = reference["lmer.anova_type3_kr"].copy()
    wrong["den_df"] = proven(name)["lmer.anova_type3"]["den_df"]
    wrong["p_value"] = p_value(wrong)
    answer = {**fits, "lmer.anova_type3_kr": wrong}
    rows = compare(
        name,
        "planted",
        answer,
        Reference("exact", reference, lambda *_: BAR, partial=True),
        list(reference),
    ).assign(cause="")
    context = audit_case(name).context
    dispute = Dispute(context, "planted", "exact", answer, proven(name))
    rows, findings = explain(dispute, rows)
    found_: list[Finding] = derived(context, findings, rows)
    return {finding.cause for finding in found_}


@SLOW
def test_a_p_value_has_the_cause_of_what_it_is_computed_from() -> None:
    assert causes_of_p(lambda t: f_distribution.sf(t.f_statistic, t.num_df, t.den_df)) == {
        "Satterthwaite for Kenward and Roger"
    }
    assert "" in causes_of_p(lambda t: 1.1 * f_distribution.sf(t.f_statistic, t.num_df, t.den_df))


# The methods --------------------------------------------------------------------------------------


def test_differences_approach_the_exact_degrees_of_freedom() -> None:
    fit = fit_of("unbalanced_tests")
    exact = fit.satterthwaite.df(EACH)
    coarse, fine = (by_differences(fit, step, relative=True)(EACH) for step in (1e-2, 1e-3))
    errors = [np.abs(df / exact - 1.0).max() for df in (coarse, fine)]
    assert errors[1] < 1e-4
    assert 50.0 < errors[0] / errors[1] < 200.0  # of second order


def test_scale_known_is_the_method_in_theta_alone() -> None:
    """As interlace has it: σ profiled out of the variance and of the criterion."""
    fit = fit_of("unbalanced_tests")
    theta, h = fit.theta_hat, 1e-4

    def at(*moves: tuple[int, float]) -> LmerResults:
        there = theta.copy()
        for i, sign in moves:
            there[i] += sign * h
        return fit.at(there)

    m = len(theta)
    hessian, slopes = np.empty((m, m)), np.empty((m, 6))
    for i in range(m):
        up, down = (np.diagonal(at((i, sign)).cov_params()) for sign in (1, -1))
        slopes[i] = (up - down) / (2.0 * h)
        for j in range(m):
            corners = [a * b * at((i, a), (j, b)).criterion for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = sum(corners) / (4.0 * h * h)
    v = np.diagonal(fit.cov_params())
    df = v**2 / np.einsum("ia,ij,ja->a", slopes, np.linalg.inv(hessian), slopes)
    known = scale_known(fit, fit.satterthwaite.df)(EACH)
    np.testing.assert_allclose(known, df, rtol=1e-4)
    assert (np.abs(known / fit.satterthwaite.df(EACH) - 1.0) > 1e-2).all()
