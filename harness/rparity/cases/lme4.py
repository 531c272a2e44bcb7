"""Mixed models of lme4's data sets, and of two designs drawn for the purpose: see lme4.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from rparity.cases.base import (
    BOOT_TABLES,
    EARLY,
    LMER_TABLES,
    PUBLISHED,
    SPLINE,
    Boot,
    Case,
    Data,
    Lmer,
    Part,
    Printed,
    Rule,
    read_figures,
    rule,
)
from rparity.compare import Tolerance

# Of a model of 73,421 rows, the tables that take R less than a minute and little space.
LARGE_TABLES = ("coef", "vcov", "varcorr", "theta", "glance", "confint_wald")

BLIND = "R's optimizer sees no gradient: it stops where rounding hides the criterion's slope"
REPLICATES = f"{BLIND}, in each of the refits"
# A deviance d is computed to about 1e-13 of its size, and z standard errors from its minimum it is
# higher by z². So an optimizer cannot see a distance below √(1e-13 · d) standard errors. Here d is
# below 2,000. The factor of four allows for optimizers that stop a few steps earlier.
HIDDEN = 4.0 * (1e-13 * 2000.0) ** 0.5
# By the same argument an element of θ is good to 7e-7 of itself, with d known to the last bit.
TIGHT = 1e-6


def _case(
    name: str,
    title: str,
    dataset: str,
    formula: str,
    *,
    weights: str | None = None,
    large: bool = False,
    profile: float = 1 / 32,
    early: float,
    tight: float = TIGHT,
    spline: float = 2e-5,
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
        "profile": None if large else profile,
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
        rules=_rules(early, tight, spline, large=large),
        published=_printed(name),
        engines=("rparity",),
        arguments=lambda nsim: {**options, "nsim": nsim},
    )


def _rules(early: float, tight: float, spline: float, *, large: bool) -> tuple[Rule, ...]:
    fits = fit_rules(early, tight, large=large)
    if large:
        return fits
    return (
        rule("lmer_tight.confint_profile", "*", spline, SPLINE),
        *fits,
        rule("boot_*.boot", "bias", 2e-4, f"{REPLICATES}; bias is a small difference"),
        rule("boot_*.boot", "estimate", 5 * tight, BLIND),
        rule("boot_*.boot", "std_error", max(tight, 1e-6), REPLICATES),
        rule("boot_*.replicates", "*", 0.0, REPLICATES, spread=HIDDEN),
    )


def fit_rules(early: float, tight: float, *, large: bool = False) -> tuple[Rule, ...]:
    """Return the rules for fits whose θ in R may be off by `early` at R's default controls.

    `early` and `tight` are the worst relative errors of an element of θ, measured and rounded up.
    The other tolerances follow from them: the criterion is of second order in θ, everything else of
    first order. Covariances, random effects and residuals may be near zero, so their tolerances are
    in units of their spread.
    """
    rules = [Rule("data", "*", Tolerance(0.0, "R's own data"), "R")]
    for fits, off, reason in (("lmer*_tight", tight, BLIND), ("lmer*", early, EARLY)):
        rules += [
            rule(f"{fits}.coef", "estimate", max(off / 20, 1e-10), reason),
            rule(f"{fits}.coef", "*", off, reason),
            rule(f"{fits}.vcov", "*", 2 * off, reason, spread=off),
            rule(f"{fits}.varcorr", "*", 5 * off, reason),
            rule(f"{fits}.theta", "*", off, reason),
            rule(f"{fits}.glance", "sigma", off, reason),
            rule(f"{fits}.glance", "*", max(off**2, 1e-12), reason),
            rule(f"{fits}.confint_wald", "*", off, reason, spread=off),
        ]
        if not large:
            rules += [
                rule(f"{fits}.ranef", "condval", 0.0, reason, 1e-12, 2 * off),
                rule(f"{fits}.ranef", "condsd", off, reason, 1e-12),
                rule(f"{fits}.residual_quantiles", "*", 0.0, reason, spread=off),
            ]
    return tuple(rules)


JULIA = "the test suite of MixedModels.jl (test/pls.jl), fitted by maximum likelihood"
JSS = "Bates et al. (2015), JSS 67(1), section 1.2"
# The sources of the figures in published.csv. All but sleepstudy's are of MixedModels.jl alone.
SOURCES = {"sleepstudy": f"{JSS}, and {JULIA}"}
STOPPED = "printed to 16 digits, but optimized and tested to these tolerances only"
AS_TESTED = {
    "lmer_ml_tight.glance": (1e-9, STOPPED),
    "lmer_ml_tight.theta": (1e-4, STOPPED),
    "lmer_ml_tight.coef": (1e-4, STOPPED),
    "lmer_ml_tight.varcorr": (1e-4, STOPPED),
}


def _printed(name: str) -> Printed | None:
    """Return what is published about a case. Like R's, Julia's optimizer stops early."""
    figures = read_figures(PUBLISHED).get(name)
    return None if figures is None else Printed(SOURCES.get(name, JULIA), figures, AS_TESTED)


CASES = tuple(
    _case(**entry)
    for entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["case"]
)
