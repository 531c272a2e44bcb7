"""The case `document`: one data set, a mixed and a fixed-effects model, two bootstraps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.cases.base import (
    EARLY,
    LMER_TABLES,
    PUBLISHED,
    SPLINE,
    Boot,
    Case,
    Claim,
    Data,
    Lm,
    Lmer,
    Printed,
    ROnly,
    read_figures,
    rule,
)
from rparity.rrandom import RRandom


def document_data(rng: RRandom | int, points: int = 10, n: int = 10) -> pd.DataFrame:
    """Draw the question's data as its R code does: 10 lines of 10 points.

    Returns a frame of `points` · `n` rows: `x`, `y` (float64) and `p` (categorical "1", "2", …).
    `rng` is a seed, or a stream, which then stands after the draws.
    """
    stream = RRandom.of(rng)
    levels = [str(point) for point in range(1, points + 1)]
    x, y = np.empty((points, n)), np.empty((points, n))
    for i in range(points):
        x[i] = stream.rnorm(n) + (i + 1)
        y[i] = -x[i] + 10 + 2 * (i + 1) + stream.rnorm(n, sd=0.1)
    p = pd.Categorical(np.repeat(levels, n), categories=levels)
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "p": p})


PRINTED = Printed(
    source="the question and its answer (stats.stackexchange.com, December 2017)",
    figures=read_figures(PUBLISHED)["document"],
    rtol=dict.fromkeys(
        ("boot_simulate_u.boot", "boot_fix_u.boot"),
        (
            2e-06,
            "printed to 7 to 10 digits, of which the optimizer of the time left 6: each of the "
            "10,000 refits stopped early",
        ),
    ),
    # The release at the time of the question, December 2017.
    versions={"lme4": "1.1-15"},
)


# Measured with R 4.2.2 and lme4 1.1-31 and rounded up to a figure of 1, 2 or 5. The tolerances of
# the bootstraps are wider, because one early stop matters more in a run of few replicates.
REPLICATES = f"{EARLY}, in each of the refits"
LEAST_SQUARES = "both solve by QR; what is left is rounding"

RULES = (
    rule("data", "*", 0.0, "the same draws: the same bits"),
    rule("lmer*.coef", "estimate", 1e-10, EARLY),
    rule("lmer*.coef", "*", 1e-7, EARLY),
    rule("lmer*.vcov", "*", 1e-7, EARLY),
    rule("lmer*.varcorr", "*", 1e-7, EARLY),
    rule("lmer*.theta", "*", 1e-7, EARLY),
    rule("lmer*.ranef", "condval", 1e-9, EARLY),
    rule("lmer*.ranef", "condsd", 1e-8, EARLY),
    rule("lmer*.glance", "sigma", 1e-8, EARLY),
    rule("lmer*.glance", "*", 1e-12, "the criterion is flat at its minimum"),
    rule("lmer*.residual_quantiles", "*", 1e-8, EARLY),
    rule("lmer*.confint_wald", "*", 2e-8, EARLY),
    rule("lmer.confint_profile", "*", 5e-5, SPLINE),
    rule("lmer.confint_boot", "*", 2e-6, REPLICATES),
    rule("lm*.coef", "p_value", 1e-11, "the tails of Student's t, which two libraries compute"),
    rule("lm*.glance", "p_value", 1e-11, "the tails of F, which two libraries compute"),
    rule("lm*.residual_quantiles", "*", 1e-11, "residuals are differences of larger numbers"),
    rule("lm*", "*", 1e-12, LEAST_SQUARES),
    rule("boot_*.boot", "estimate", 1e-10, EARLY),
    rule("boot_*.boot", "bias", 1e-4, REPLICATES),
    rule("boot_*.boot", "std_error", 1e-6, REPLICATES),
    rule("boot_*.replicates", "*", 1e-6, REPLICATES),
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
        ROnly("lmer_bobyqa", ("coef", "varcorr", "theta", "glance")),
    ),
    rules=RULES,
    published=PRINTED,
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
