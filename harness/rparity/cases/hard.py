"""Mixed models with ill-conditioned covariates or a nearly flat criterion: see hard.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

from rparity.cases.base import Case, Data, Lmer, Rule, rule
from rparity.cases.lme4 import LARGE_TABLES, TIGHT, fit_rules

SQUARED = "lme4 factorises X'X, which squares the condition of X"
# How many times the square of the condition number, in units of rounding, R's θ may be off.
FACTOR = 30.0
# How far off R's θ may be at its default in the part `lmer_flat`, where X is well conditioned.
STOPPED = 1e-3


def _squared(name: str, condition: float) -> tuple[Rule, ...]:
    """Return the rules of a model, and of its fit at tight controls, with such a condition number.

    Rounding X'X moves its log-determinant, and so the criterion, by `off`. In θ and in all that
    follows from it the relative error is of the same order.
    """
    off = FACTOR * condition**2 * float(np.finfo(np.float64).eps)
    if off < TIGHT:
        return ()
    return (
        rule(f"{name}*.glance", "sigma", off, SQUARED),
        rule(f"{name}*.glance", "*", 1e-12, SQUARED, atol=off),
        rule(f"{name}*.varcorr", "*", 5 * off, SQUARED),
        rule(f"{name}*.vcov", "*", 2 * off, SQUARED),
        rule(f"{name}*.*", "*", off, SQUARED),
    )


PARTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["part"]
HARD = Case(
    name="hard",
    title="Hard numerics: covariates far from zero or nearly collinear, and a flat criterion",
    script="hard.R",
    function="hard",
    seed=1,
    nsim=1,
    parts=(
        Data(),
        *(
            Lmer(f"{part['name']}{controls}", LARGE_TABLES, formula=part["formula"])
            for part in PARTS
            for controls in ("", "_tight")
        ),
    ),
    rules=(
        *(each for part in PARTS for each in _squared(part["name"], part["condition"])),
        *fit_rules(STOPPED, TIGHT, large=True),
    ),
    libraries=("tables.R", "models.R"),
    engines=("rparity",),
    arguments=lambda _nsim: {
        "formulas": {part["name"]: part["formula"] for part in PARTS},
        "kinds": list(LARGE_TABLES),
    },
)
