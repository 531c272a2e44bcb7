"""Degrees of freedom, tests of terms and marginal means of mixed models: see fixed_effects.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from rparity.cases.base import EARLY, TEST_TABLES, Case, Data, Lmer, Rule, rule
from rparity.cases.lme4 import BLIND, LARGE_TABLES, TIGHT, fit_rules
from rparity.compare import kind_of

# Of a fit, the tables from which an experiment predicts the tests.
FIT_TABLES = LARGE_TABLES

DERIVATIVES = "lmerTest takes numerical derivatives of the criterion"
# lmerTest rounds to seven digits, beside the largest of them, the contrasts that a test is about.
SEVEN_DIGITS = "lmerTest rounds its contrasts of type III to seven digits"
ROUNDED = 5e-7
TAIL = "a p-value in the tail magnifies the errors of F and of its degrees of freedom"
# R's ptukey integrates by fixed rules: at 5 degrees of freedom it is off by 2.5e-7.
PTUKEY = "R's ptukey is good to six decimals"
TUKEY = 1e-6
FLAT = "the criterion is of second order in a standard deviation that is zero"


def _case(
    name: str,
    title: str,
    dataset: str,
    formula: str,
    *,
    contrasts: Mapping[str, str] | None = None,
    means: Sequence[str] = (),
    tests: Sequence[str] = TEST_TABLES,
    early: float,
    tight: float = TIGHT,
    numerical: float = 1e-7,
    tail: float = 20.0,
    zero: Sequence[float] = (0.0, 0.0),
) -> Case:
    kinds = (*FIT_TABLES, *tests)
    parts = [
        Lmer(fit, kinds, formula=formula, contrasts=dict(contrasts or {}), means=tuple(means))
        for fit in ("lmer", "lmer_tight")
    ]
    options: Mapping[str, object] = {
        "dataset": dataset,
        "formula": formula,
        "kinds": list(FIT_TABLES),
        "tests": list(tests),
        "contrasts": dict(contrasts) if contrasts else None,
        "means": list(means) or None,
    }
    return Case(
        name=name,
        title=title,
        script="fixed_effects.R",
        function="fixed_effects",
        seed=1,
        nsim=1,
        parts=(Data(), *parts),
        rules=_rules(tests, (early, tight), numerical, tail, zero),
        libraries=("tables.R", "models.R", "document.R"),
        packages=("lme4", "lmerTest", "pbkrtest", "emmeans"),
        engines=("rparity",),
        arguments=lambda _nsim: options,
    )


def _rules(
    tests: Sequence[str],
    theta: tuple[float, float],
    numerical: float,
    tail: float,
    zero: Sequence[float],
) -> tuple[Rule, ...]:
    """Return the rules of the tables `tests` and of the fit: what R's θ and R's methods are off by.

    `theta` and `zero` are for fits at R's default and at tight controls.

    All tests are of first order in θ. Satterthwaite's degrees of freedom move most, because they
    need the curvature of the criterion. A p-value far out in the tail magnifies an error of F and
    of the degrees of freedom: `tail` times.
    """
    rules: list[Rule] = []
    for fits, off, nothing, reason in (
        ("lmer*_tight", theta[1], zero[1], BLIND),
        ("lmer*", theta[0], zero[0], EARLY),
    ):
        satterthwaite = 5 * off + numerical
        derived = f"{reason}; {DERIVATIVES}"
        rounded = f"{reason}; {SEVEN_DIGITS}"
        rules += [
            rule(f"{fits}.ddf", "satterthwaite", satterthwaite, derived),
            rule(f"{fits}.ddf", "kenward_roger", off, reason),
            rule(f"{fits}.vcov_kr", "*", 2 * off, reason, spread=off),
            rule(f"{fits}.anova_type3*", "num_df", 1e-12, "a count"),
            rule(f"{fits}.anova_type3", "den_df", satterthwaite, derived),
            rule(f"{fits}.anova_type3_kr", "den_df", off + ROUNDED, rounded),
            rule(f"{fits}.anova_type3*", "f_statistic", 2 * off + ROUNDED, rounded),
            rule(f"{fits}.anova_type3*", "p_value", tail * (off + ROUNDED), f"{rounded}; {TAIL}"),
            rule(f"{fits}.emmeans", "estimate", max(off / 5, 1e-10), reason),
            rule(f"{fits}.emmeans", "*", off, reason),
            rule(f"{fits}.pairs", "estimate", max(off / 5, 1e-10), reason),
            rule(f"{fits}.pairs", "p_value", tail * off, f"{reason}; {PTUKEY}", atol=TUKEY),
            rule(f"{fits}.pairs", "*", off, reason),
            # Contrasts make small coefficients, which are differences of larger means.
            rule(f"{fits}.coef", "estimate", max(off / 5, 1e-10), reason),
        ]
        if nothing:
            flat = f"{reason}; {FLAT}"
            rules += [
                rule(f"{fits}.theta", "*", off, flat, nothing),
                rule(f"{fits}.varcorr", "*", 5 * off, flat, spread=nothing),
            ]
    # A rule of ours replaces the general one for the same tables and columns.
    found = {(each.table, each.column): each for each in (*fit_rules(*theta, large=True), *rules)}
    asked = (*FIT_TABLES, *tests, "data")
    return tuple(
        each
        for each in found.values()
        if any(fnmatchcase(kind, kind_of(each.table)) for kind in asked)
    )


FIXED_EFFECTS = tuple(
    _case(**entry)
    for entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["case"]
)
