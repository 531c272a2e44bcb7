"""The question's own problem: one data set, a mixed and a fixed-effects model, two bootstraps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.cases.base import (
    LMER_TABLES,
    Boot,
    Case,
    Claim,
    Data,
    Experiment,
    Lm,
    Lmer,
    Printed,
    Rule,
)
from rparity.compare import Tolerance
from rparity.rrandom import RRandom


def document_data(rng: RRandom | int, points: int = 10, n: int = 10) -> pd.DataFrame:
    """Draw the question's data as its R code does: 10 lines of 10 points.

    Returns a frame of `points` · `n` rows: `x`, `y` (float64) and `p` (categorical "1", "2", …).
    `rng` is a stream, which is moved on, or a seed.
    """
    stream = rng if isinstance(rng, RRandom) else RRandom(int(rng))
    levels = [str(point) for point in range(1, points + 1)]
    x, y = np.empty((points, n)), np.empty((points, n))
    for i in range(points):
        x[i] = stream.rnorm(n) + (i + 1)
        y[i] = -x[i] + 10 + 2 * (i + 1) + stream.rnorm(n, sd=0.1)
    p = pd.Categorical(np.repeat(levels, n), categories=levels)
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "p": p})


PUBLISHED = Printed(
    source="the question and its answer (stats.stackexchange.com, December 2017)",
    figures={
        "lmer.coef": {
            "(Intercept)": {"estimate": "21.040772", "std_error": "1.921112", "statistic": "10.95"},
            "x": {"estimate": "-1.007014", "std_error": "0.009933", "statistic": "-101.38"},
        },
        "lmer.varcorr": {
            "p.(Intercept)": {"vcov": "36.87548", "sdcor": "6.07252"},
            "Residual": {"vcov": "0.00807", "sdcor": "0.08983"},
        },
        "lmer.glance": {"1": {"criterion": "-88.6", "nobs": "100"}},
        "lmer.residual_quantiles": {
            "0%": {"value": "-2.6303"},
            "25%": {"value": "-0.6669"},
            "50%": {"value": "-0.1463"},
            "75%": {"value": "0.6713"},
            "100%": {"value": "2.2773"},
        },
        "lm.coef": {
            row: dict(
                zip(("estimate", "std_error", "statistic", "p_value"), cells.split(), strict=True)
            )
            for row, cells in {
                "(Intercept)": "21.043157 0.055888 376.52 <2e-16",
                "x": "-1.007443 0.009934 -101.41 <2e-16",
                "p1": "-9.009845 0.051524 -174.87 <2e-16",
                "p2": "-7.017192 0.045469 -154.33 <2e-16",
                "p3": "-5.005483 0.036105 -138.64 <2e-16",
                "p4": "-3.034799 0.029087 -104.34 <2e-16",
                "p5": "-0.993759 0.027279 -36.43 <2e-16",
                "p6": "0.992106 0.028082 35.33 <2e-16",
                "p7": "2.966062 0.030515 97.20 <2e-16",
                "p8": "4.987105 0.032854 151.79 <2e-16",
                "p9": "7.100627 0.045236 156.97 <2e-16",
            }.items()
        },
        "lm.residual_quantiles": {
            "0%": {"value": "-0.23547"},
            "25%": {"value": "-0.06006"},
            "50%": {"value": "-0.01333"},
            "75%": {"value": "0.06017"},
            "100%": {"value": "0.20400"},
        },
        "lm.glance": {
            "1": {
                "sigma": "0.08983",
                "df_residual": "89",
                "r_squared": "0.9993",
                "adj_r_squared": "0.9992",
                "f_statistic": "1.194e+04",
                "p_value": "<2.2e-16",
            }
        },
        "lm_treatment.coef": {"(Intercept)": {"estimate": "12"}},
        "boot_simulate_u.boot": {
            "(Intercept)": {"std_error": "1.915025294"},
            "x": {"std_error": "0.009903413"},
        },
        "boot_fix_u.boot": {
            "(Intercept)": {"std_error": "0.055405505"},
            "x": {"std_error": "0.009868006"},
        },
    },
    rtol=dict.fromkeys(
        ("boot_simulate_u.boot", "boot_fix_u.boot"),
        (
            2e-06,
            "printed to 7 to 10 digits, of which the optimizer of the time left 6: each of the "
            "10,000 refits stopped early",
        ),
    ),
    # The release of the time: the question is of December 2017.
    versions={"lme4": "1.1-15"},
)


def _rule(table: str, column: str, rtol: float, reason: str) -> Rule:
    return Rule(table, column, Tolerance(rtol, reason))


# Measured with R 4.2.2 and lme4 1.1-31 and rounded up to a figure of 1, 2 or 5; the bootstraps'
# leave room for runs of few replicates, whose mean and spread one early stop moves more.
STOPS_EARLY = "R's optimizer stops early: nloptr's xtol_rel of 1e-4, which lme4 does not set"
REPLICATES = f"{STOPS_EARLY}, in each of the refits"
SPLINE = "lme4 reads the interval off a spline through its profile"
LEAST_SQUARES = "both solve by QR; what is left is rounding"

RULES = (
    _rule("data", "*", 0.0, "the same draws: the same bits"),
    _rule("lmer*.coef", "estimate", 1e-10, STOPS_EARLY),
    _rule("lmer*.coef", "*", 1e-7, STOPS_EARLY),
    _rule("lmer*.vcov", "*", 1e-7, STOPS_EARLY),
    _rule("lmer*.varcorr", "*", 1e-7, STOPS_EARLY),
    _rule("lmer*.theta", "*", 1e-7, STOPS_EARLY),
    _rule("lmer*.ranef", "condval", 1e-9, STOPS_EARLY),
    _rule("lmer*.ranef", "condsd", 1e-8, STOPS_EARLY),
    _rule("lmer*.glance", "sigma", 1e-8, STOPS_EARLY),
    _rule("lmer*.glance", "*", 1e-12, "the criterion is flat at its minimum"),
    _rule("lmer*.residual_quantiles", "*", 1e-8, STOPS_EARLY),
    _rule("lmer*.confint_wald", "*", 2e-8, STOPS_EARLY),
    _rule("lmer.confint_profile", "*", 5e-5, SPLINE),
    _rule("lmer.confint_boot", "*", 2e-6, REPLICATES),
    _rule("lm*.coef", "p_value", 1e-11, "the tails of Student's t, which two libraries compute"),
    _rule("lm*.glance", "p_value", 1e-11, "the tails of F, which two libraries compute"),
    _rule("lm*.residual_quantiles", "*", 1e-11, "residuals are differences of larger numbers"),
    _rule("lm*", "*", 1e-12, LEAST_SQUARES),
    _rule("boot_*.boot", "estimate", 1e-10, STOPS_EARLY),
    _rule("boot_*.boot", "bias", 1e-4, REPLICATES),
    _rule("boot_*.boot", "std_error", 1e-6, REPLICATES),
    _rule("boot_*.replicates", "*", 1e-6, REPLICATES),
)

DOCUMENT = Case(
    name="document",
    title="Intercept's standard error: 1.92 in the mixed model, 0.056 in the fixed-effects model",
    script="document.R",
    function="document",
    seed=1,
    nsim=10_000,
    parts=(
        Data(make=document_data),
        Lmer("lmer", (*LMER_TABLES, "confint_profile", "confint_boot"), formula="y ~ x + (1 | p)"),
        Lm("lm", formula="y ~ x + p", contrasts={"p": "contr.sum"}),
        Boot("boot_simulate_u", of="lmer", use_u=False),
        Boot("boot_fix_u", of="lmer", use_u=True),
        Lmer("lmer_ml", formula="y ~ x + (1 | p)", reml=False),
        Lm("lm_treatment", formula="y ~ x + p", contrasts={"p": "contr.treatment"}),
        Experiment("lmer_bobyqa", ("coef", "varcorr", "theta", "glance")),
    ),
    rules=RULES,
    published=PUBLISHED,
    engines=("rparity",),
    claims=(
        Claim(
            "bootMer with use.u=TRUE gives lm's standard errors",
            "boot_fix_u.boot",
            "std_error",
            equals="lm.coef",
        ),
        Claim(
            "bootMer with use.u=FALSE gives lmer's standard errors",
            "boot_simulate_u.boot",
            "std_error",
            equals="lmer.coef",
        ),
    ),
)
