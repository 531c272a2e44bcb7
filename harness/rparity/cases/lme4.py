"""Mixed models of the data sets that lme4's users know, and of two designs drawn here."""

from __future__ import annotations

from collections.abc import Mapping

from rparity.cases.base import (
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
from rparity.compare import Tolerance

# A model of 73,421 rows: what R needs more than a minute for, or megabytes, is left out.
LARGE_TABLES = ("coef", "vcov", "varcorr", "theta", "glance", "confint_wald")


EARLY = "R's optimizer stops early: nloptr's xtol_rel of 1e-4, which lme4 does not set"
BLIND = "R's optimizer sees no gradient: it stops where rounding hides the criterion's slope"
SPLINE = "lme4 reads the interval off a spline through its profile"
REPLICATES = f"{BLIND}, in each of the refits"
# A deviance d is computed to about 1e-13 of its size. z standard errors beside its minimum it is
# higher by z²: what is below √(1e-13 · d) is hidden. d is below 2,000 here; a factor of four is for
# optimizers that stop a few steps earlier.
HIDDEN = 4.0 * (1e-13 * 2000.0) ** 0.5
# An element of θ by the same argument, with d to the last bit and relative to itself: 7e-7.
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
        published=published,
        engines=("rparity",),
        arguments=lambda nsim: {**options, "nsim": nsim},
    )


def _rules(early: float, tight: float, spline: float, *, large: bool) -> tuple[Rule, ...]:
    """State what R's θ may be off by at its default (`early`) and at `tight` controls.

    Measured as the worst relative error of an element of θ and rounded up; everything else follows
    from it: what is of first order in θ, and the criterion, which is of second order. Covariances,
    random effects and residuals may be near zero and are measured in units of their spread.
    """
    rules = [Rule("data", "*", Tolerance(0.0, "R's own data"), "R")]
    for fits, off, reason in (("lmer*_tight", tight, BLIND), ("lmer*", early, EARLY)):

        def rule(
            kind: str,
            column: str,
            rtol: float,
            *,
            atol: float = 0.0,
            spread: float = 0.0,
            fits: str = fits,
            reason: str = reason,
        ) -> Rule:
            return Rule(f"{fits}.{kind}", column, Tolerance(rtol, reason, atol, spread))

        rules += [
            rule("coef", "estimate", max(off / 20, 1e-10)),
            rule("coef", "*", off),
            rule("vcov", "*", 2 * off, spread=off),
            rule("varcorr", "*", 5 * off),
            rule("theta", "*", off),
            rule("glance", "sigma", off),
            rule("glance", "*", max(off**2, 1e-12)),
            rule("confint_wald", "*", off, spread=off),
        ]
        if not large:
            rules += [
                rule("ranef", "condval", 0.0, atol=1e-12, spread=2 * off),
                rule("ranef", "condsd", off, atol=1e-12),
                rule("residual_quantiles", "*", 0.0, spread=off),
            ]
    if large:
        return tuple(rules)
    return (
        Rule("lmer_tight.confint_profile", "*", Tolerance(spline, SPLINE)),
        *rules,
        Rule("boot_*.boot", "bias", Tolerance(2e-4, f"{REPLICATES}; bias is a small difference")),
        Rule("boot_*.boot", "estimate", Tolerance(5 * tight, BLIND)),
        Rule("boot_*.boot", "std_error", Tolerance(max(tight, 1e-6), REPLICATES)),
        Rule("boot_*.replicates", "*", Tolerance(0.0, REPLICATES, spread=HIDDEN)),
    )


JULIA = "the test suite of MixedModels.jl (test/pls.jl), fitted by maximum likelihood"
JSS = "Bates et al. (2015), JSS 67(1), section 1.2"


def _julia(
    criterion: str,
    theta: Mapping[str, str],
    coef: Mapping[str, tuple[str, str]],
    varcorr: Mapping[str, str] | None = None,
) -> dict[str, dict[str, dict[str, str]]]:
    """Arrange figures of MixedModels.jl, whose optimizer, like R's, stops early."""
    return {
        "lmer_ml_tight.glance": {"1": {"criterion": criterion}},
        "lmer_ml_tight.theta": {row: {"value": text} for row, text in theta.items()},
        "lmer_ml_tight.coef": {
            row: {"estimate": estimate, "std_error": error}
            for row, (estimate, error) in coef.items()
        },
        "lmer_ml_tight.varcorr": {row: {"sdcor": text} for row, text in (varcorr or {}).items()},
    }


STOPPED = "printed to 16 digits, of which the optimizer's tolerance and the test's vouch for these"
AS_TESTED = {
    "lmer_ml_tight.glance": (1e-9, STOPPED),
    "lmer_ml_tight.theta": (1e-4, STOPPED),
    "lmer_ml_tight.coef": (1e-4, STOPPED),
    "lmer_ml_tight.varcorr": (1e-4, STOPPED),
}

CASES = (
    _case(
        "dyestuff",
        "Batches of dyestuff: one random intercept, six levels",
        "Dyestuff",
        "Yield ~ 1 + (1 | Batch)",
        early=1e-08,
        published=Printed(
            JULIA,
            _julia(
                "327.32705988112673",
                {"Batch.(Intercept)": "0.7525806540074477"},
                {"(Intercept)": ("1527.5", "17.694552929494222")},
                {"Batch.(Intercept)": "37.260343703061764", "Residual": "49.51010035223816"},
            ),
            AS_TESTED,
        ),
    ),
    _case(
        "dyestuff2",
        "Batches without a difference: the variance is estimated as zero",
        "Dyestuff2",
        "Yield ~ 1 + (1 | Batch)",
        early=1e-08,
        published=Printed(
            JULIA,
            _julia(
                "162.87303665382575",
                {"Batch.(Intercept)": "0"},
                {"(Intercept)": ("5.6656", "0.6669857396443264")},
                {"Residual": "3.6532313513746537"},
            ),
            AS_TESTED,
        ),
    ),
    _case(
        "penicillin",
        "Plates and samples of penicillin: two crossed factors",
        "Penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        early=5e-05,
        published=Printed(
            JULIA,
            _julia(
                "332.1883486700085",
                {
                    "plate.(Intercept)": "1.5375939045981573",
                    "sample.(Intercept)": "3.219792193110907",
                },
                {"(Intercept)": ("22.97222222222222", "0.7446037806555799")},
                {
                    "plate.(Intercept)": "0.845571948075415",
                    "sample.(Intercept)": "1.770666460750787",
                    "Residual": "0.549931906953287",
                },
            ),
            AS_TESTED,
        ),
    ),
    _case(
        "pastes",
        "Casks within batches of paste: two nested factors",
        "Pastes",
        "strength ~ 1 + (1 | batch/cask)",
        early=1e-05,
        published=Printed(
            JULIA,
            _julia(
                "247.9944658624955",
                {
                    "cask:batch.(Intercept)": "3.5269029347766856",
                    "batch.(Intercept)": "1.3299137410046242",
                },
                {"(Intercept)": ("60.0533333333333", "0.6421355774401101")},
                {
                    "cask:batch.(Intercept)": "2.90407793598792",
                    "batch.(Intercept)": "1.0950608007768226",
                    "Residual": "0.8234073887751603",
                },
            ),
            AS_TESTED,
        ),
    ),
    _case(
        "cake",
        "Breaking angle of cakes: a split-plot design, polynomial contrasts",
        "cake",
        "angle ~ recipe * temperature + (1 | recipe:replicate)",
        early=5e-09,
    ),
    _case(
        "sleepstudy",
        "Reaction times under sleep deprivation: correlated intercept and slope",
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        early=5e-05,
        published=Printed(
            f"{JSS}, and {JULIA}",
            {
                "lmer.coef": {
                    "(Intercept)": {
                        "estimate": "251.405",
                        "std_error": "6.825",
                        "statistic": "36.84",
                    },
                    "Days": {"estimate": "10.467", "std_error": "1.546", "statistic": "6.77"},
                },
                "lmer.varcorr": {
                    "Subject.(Intercept)": {"vcov": "612.09", "sdcor": "24.740"},
                    "Subject.Days": {"vcov": "35.07", "sdcor": "5.922"},
                    "Subject.(Intercept).Days": {"sdcor": "0.07"},
                    "Residual": {"vcov": "654.94", "sdcor": "25.592"},
                },
                "lmer.glance": {"1": {"criterion": "1743.6", "nobs": "180"}},
                "lmer.residual_quantiles": {
                    "0%": {"value": "-3.9536"},
                    "25%": {"value": "-0.4634"},
                    "50%": {"value": "0.0231"},
                    "75%": {"value": "0.4634"},
                    "100%": {"value": "5.1793"},
                },
            }
            | _julia(
                "1751.9393444636682",
                {
                    "Subject.(Intercept)": "0.9292297167514472",
                    "Subject.Days.(Intercept)": "0.01816466496782548",
                    "Subject.Days": "0.22264601131030412",
                },
                {
                    "(Intercept)": ("251.40510484848454", "6.632295312722272"),
                    "Days": ("10.467285959596126", "1.5022387911441102"),
                },
                {
                    "Subject.(Intercept)": "23.78066438213187",
                    "Subject.Days": "5.7168446983832775",
                },
            ),
            AS_TESTED,
        ),
    ),
    _case(
        "sleepstudy_intercept",
        "Reaction times: a random intercept only",
        "sleepstudy",
        "Reaction ~ Days + (1 | Subject)",
        early=5e-09,
    ),
    _case(
        "sleepstudy_slope",
        "Reaction times: a random slope only",
        "sleepstudy",
        "Reaction ~ Days + (0 + Days | Subject)",
        early=1e-06,
    ),
    _case(
        "sleepstudy_uncorrelated",
        "Reaction times: intercept and slope without correlation",
        "sleepstudy",
        "Reaction ~ Days + (Days || Subject)",
        early=2e-05,
    ),
    _case(
        "sleepstudy_quadratic",
        "Reaction times: a polynomial in the fixed part",
        "sleepstudy",
        "Reaction ~ poly(Days, 2) + (Days | Subject)",
        early=0.0001,
        tight=2e-06,
    ),
    _case(
        "weighted",
        "Groups of 1 to 50 rows, prior weights, an offset, a random slope",
        "weighted",
        "y ~ x + offset(o) + (x | g)",
        early=5e-05,
        weights="w",
    ),
    _case(
        "factor_slopes",
        "A factor of three levels whose effects vary and are correlated",
        "factor_slopes",
        "y ~ f + (f | g)",
        early=0.001,
        tight=2e-06,
        profile=1 / 8,
        spline=2e-4,
    ),
    _case(
        "insteval",
        "73,421 ratings of lecturers by students in departments: three crossed factors",
        "InstEval",
        "y ~ 1 + service + (1 | s) + (1 | d) + (1 | dept)",
        early=0.0005,
        tight=2e-05,
        large=True,
        published=Printed(
            JULIA, {"lmer_ml_tight.glance": {"1": {"criterion": "237721.76877450474"}}}, AS_TESTED
        ),
    ),
)
