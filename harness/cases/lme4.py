"""Mixed models of the data sets that lme4's users know, and of two designs drawn for the purpose."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cases.base import (
    BOOT_TABLES,
    LMER_TABLES,
    Boot,
    Case,
    Data,
    Lmer,
    Part,
    Printed,
    Rule,
)
from harness.compare import Tolerance

# A model of 73,421 rows: what R needs more than a minute for, or megabytes, is left out.
LARGE_TABLES = ("coef", "vcov", "varcorr", "theta", "glance", "confint_wald")


def _case(
    name: str,
    title: str,
    dataset: str,
    formula: str,
    *,
    weights: str | None = None,
    large: bool = False,
    published: Printed | None = None,
) -> Case:
    kinds = LARGE_TABLES if large else LMER_TABLES
    with_profile = kinds if large else (*kinds, "confint_profile")
    parts: list[Part] = [
        Data(),
        Lmer("lmer", kinds, formula=formula, weights=weights),
        Lmer("lmer_tight", with_profile, formula=formula, weights=weights),
        Lmer("lmer_ml", kinds, formula=formula, weights=weights, reml=False),
        Lmer("lmer_ml_tight", kinds, formula=formula, weights=weights, reml=False),
    ]
    if not large:
        parts += [
            Boot(name, BOOT_TABLES, of="lmer_tight", use_u=use_u, seed=seed, everything=True)
            for name, use_u, seed in (("boot_simulate_u", False, 101), ("boot_fix_u", True, 102))
        ]
    options: Mapping[str, object] = {
        "dataset": dataset,
        "formula": formula,
        "weights": weights,
        "kinds": list(kinds) if large else None,
        "profile": not large,
        "boot": not large,
    }
    return Case(
        name=name,
        title=title,
        script="models.R",
        function="model",
        seed=1,
        nsim=200,
        parts=tuple(parts),
        rules=RULES,
        published=published,
        engines=("rparity",),
        arguments=lambda nsim: {**options, "nsim": nsim},
    )


def _rule(table: str, column: str, rtol: float, reason: str, atol: float = 0.0) -> Rule:
    return Rule(table, column, Tolerance(rtol, reason, atol))


EARLY = "R's optimizer stops early: nloptr's xtol_rel of 1e-4, which lme4 does not set"
ROUNDING = "R's optimizer sees no gradient: it stops where rounding hides the criterion's slope"
RULES: tuple[Rule, ...] = (_rule("*", "*", 1e-4, EARLY),)

CASES = (
    _case(
        "dyestuff",
        "Batches of dyestuff: one random intercept, six levels",
        "Dyestuff",
        "Yield ~ 1 + (1 | Batch)",
    ),
    _case(
        "dyestuff2",
        "Batches without a difference: the variance is estimated as zero",
        "Dyestuff2",
        "Yield ~ 1 + (1 | Batch)",
    ),
    _case(
        "penicillin",
        "Plates and samples of penicillin: two crossed factors",
        "Penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
    ),
    _case(
        "pastes",
        "Casks within batches of paste: two nested factors",
        "Pastes",
        "strength ~ 1 + (1 | batch/cask)",
    ),
    _case(
        "cake",
        "Breaking angle of cakes: a split-plot design, polynomial contrasts",
        "cake",
        "angle ~ recipe * temperature + (1 | recipe:replicate)",
    ),
    _case(
        "sleepstudy",
        "Reaction times under sleep deprivation: correlated intercept and slope",
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
    ),
    _case(
        "sleepstudy_intercept",
        "Reaction times: a random intercept only",
        "sleepstudy",
        "Reaction ~ Days + (1 | Subject)",
    ),
    _case(
        "sleepstudy_slope",
        "Reaction times: a random slope only",
        "sleepstudy",
        "Reaction ~ Days + (0 + Days | Subject)",
    ),
    _case(
        "sleepstudy_uncorrelated",
        "Reaction times: intercept and slope without correlation",
        "sleepstudy",
        "Reaction ~ Days + (Days || Subject)",
    ),
    _case(
        "sleepstudy_quadratic",
        "Reaction times: a polynomial in the fixed part",
        "sleepstudy",
        "Reaction ~ poly(Days, 2) + (Days | Subject)",
    ),
    _case(
        "weighted",
        "Groups of 1 to 50 rows, prior weights, an offset, a random slope",
        "weighted",
        "y ~ x + offset(o) + (x | g)",
        weights="w",
    ),
    _case(
        "factor_slopes",
        "A factor of three levels whose effects vary and are correlated",
        "factor_slopes",
        "y ~ f + (f | g)",
    ),
    _case(
        "insteval",
        "73,421 ratings of lecturers by students in departments: three crossed factors",
        "InstEval",
        "y ~ 1 + service + (1 | s) + (1 | d) + (1 | dept)",
        large=True,
    ),
)
