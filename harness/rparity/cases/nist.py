"""NIST's reference problems: eleven linear models, eleven one-way analyses of variance."""

from __future__ import annotations

import csv
import gzip
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import pandas as pd

from rparity.cases.base import (
    EARLY,
    Case,
    Data,
    Figures,
    Lm,
    Lmer,
    Part,
    Printed,
    ROnly,
    read_figures,
    rule,
)

FOLDER = Path(__file__).with_name("nist_data")
SOURCE = (
    "NIST's Statistical Reference Datasets (www.itl.nist.gov/div898/strd), and, where NIST states "
    "none, exact arithmetic on NIST's decimals; all figures to 15 digits"
)
PROBLEMS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
# Each linear problem and its formula in R.
LINEAR: Mapping[str, str] = {name: p["formula"] for name, p in PROBLEMS["linear"].items()}
# Problems without residuals: only their estimates mean something.
PERFECT = frozenset(name for name, p in PROBLEMS["linear"].items() if p.get("perfect"))
# Each analysis of variance and the number of leading digits that its responses share.
ANOVA: Mapping[str, int] = PROBLEMS["anova"]
LOOSE = 1e-10  # lm()'s `tol` at which R keeps all of Filip's columns
ANOVA_FORMULA = "y ~ 1 + (1 | treatment)"
NIST_CASE = partial(Case, script="nist.R", seed=1, nsim=1, engines=("rparity",))
SAME_DATA = rule("data", "*", 0.0, "the same figures: the same bits")


# -- data ----------------------------------------------------------------------------------------


@cache
def _lines(problem: str) -> tuple[str, ...]:
    """Return the lines of one of NIST's own files."""
    with gzip.open(FOLDER / f"{problem}.dat.gz", "rt", encoding="ascii") as file:
        return tuple(line.rstrip() for line in file)


def _data_lines(lines: Sequence[str]) -> list[list[str]]:
    """Return the cells of the data, whose lines are named in NIST's header."""
    found = re.search(r"Data\s+\(lines (\d+) to\s+(\d+)\)", "\n".join(lines[:15]))
    if found is None:
        raise ValueError("NIST's header does not say where the data are")
    first, last = int(found[1]), int(found[2])
    return [line.split() for line in lines[first - 1 : last]]


def linear_data(problem: str) -> pd.DataFrame:
    """Return y and the predictors of a linear problem, as float64."""
    if problem == "norris":
        names, cells = ["y", "x"], _data_lines(_lines("Norris"))
    else:
        with (FOLDER / f"{problem}.csv").open(newline="", encoding="ascii") as file:
            names, *cells = csv.reader(file)
    return pd.DataFrame([[float(text) for text in row] for row in cells], columns=names)


def anova_data(problem: str) -> pd.DataFrame:
    """Return `treatment` (categorical) and `y` (float64) of an analysis of variance."""
    treatments, responses = zip(*_data_lines(_lines(problem)), strict=True)
    treatment = pd.Categorical(treatments, categories=list(dict.fromkeys(treatments)))
    return pd.DataFrame({"treatment": treatment, "y": [float(text) for text in responses]})


def certified() -> Mapping[str, Figures]:
    """Return the certified figures of every problem, by table, row and column."""
    return read_figures(FOLDER / "certified.csv")


# -- linear problems -------------------------------------------------------------------------------

QR = "the condition of X: so many digits does QR in doubles keep, in R and in statsmodels"
REASONS = {
    "qr": QR,
    "inverse": "statsmodels inverts R'R for its standard errors, which squares the condition of X",
}


def _linear(problem: str) -> Case:
    formulas: dict[str, str] = {"lm": LINEAR[problem]}
    parts: tuple[Part, ...] = (Lm("lm", formula=formulas["lm"]),)
    loose = None
    known = PROBLEMS["linear"][problem]
    title, reason, (estimate, spread, fit) = known["title"], REASONS[known["reason"]], known["rtol"]
    data = Data(make=lambda _rng: linear_data(problem), decimal=True)
    if problem in PERFECT:
        return NIST_CASE(
            name=problem,
            title=title,
            function="nist_perfect_fit",
            parts=(data, Lm("lm", ("coef",), formula=LINEAR[problem], perfect=True)),
            rules=(SAME_DATA, rule("lm.coef", "*", estimate, reason)),
            published=Printed(SOURCE, certified()[problem], {"lm.coef": (estimate, reason)}),
            arguments=lambda _nsim: {"data": linear_data(problem), "formula": LINEAR[problem]},
        )
    rules = [
        SAME_DATA,
        rule("lm.coef", "estimate", estimate, reason),
        rule("lm.glance", "*", fit, QR),
        rule("lm.residual_quantiles", "*", fit, QR),
        rule("lm.*", "*", spread, reason),
    ]
    if problem == "filip":
        # R drops a column of `lm` here and has NA in vcov() and confint(). `lm_loose` keeps all.
        formulas["lm_poly"], loose = "y ~ poly(x, 10)", LOOSE
        parts = (
            Lm("lm", ("coef", "glance", "residual_quantiles"), formula=formulas["lm"]),
            Lm("lm_poly", formula=formulas["lm_poly"]),
            ROnly("lm_loose", ("coef", "glance")),
        )
        rules += [
            rule("lm_poly.vcov", "*", 1e-10, "covariances of orthogonal columns are zero", 1e-17),
            rule("lm_poly.*", "*", 2e-10, QR),
            rule("lm_loose.*", "*", 1e-6, QR),
        ]
    figures = {k: rows for k, rows in certified()[problem].items() if not k.startswith("lm_loose")}
    rtol = {table: fit if table.endswith("glance") else max(estimate, spread) for table in figures}
    return NIST_CASE(
        name=problem,
        title=title,
        function="nist_lm",
        parts=(data, *parts),
        rules=tuple(rules),
        published=Printed(SOURCE, figures, {table: (r, reason) for table, r in rtol.items()}),
        arguments=lambda _nsim: {
            "data": linear_data(problem),
            "formulas": formulas,
            "loose": loose,
        },
    )


# -- analyses of variance --------------------------------------------------------------------------

FROM_THE_INTERCEPT = (
    "Python's random effects and residuals are taken from the intercept rounded to double: a unit "
    "in its last place"
)
DIGITS_LOST = (
    "13 leading digits are constant: rounded to double, the responses vary by other amounts than "
    "NIST's decimals, and their exact optimum has 4 digits of the certified one"
)


def _anova(problem: str) -> Case:
    leading = ANOVA[problem]
    figures = certified()[problem]
    estimate = float(figures["lmer.coef"]["(Intercept)"]["estimate"])
    sigma = float(figures["lmer.glance"]["1"]["sigma"])
    unit = max(math.ulp(estimate), 1e-13)
    rounding = 1e-15 if leading == 13 else 1e-13
    # An interval's ends share their leading digits with the intercept. The others are compared.
    ends = {1: 1e-6, 3: 1e-10, 7: 1e-12, 13: 1e-15}[leading]
    scale, reason = (20.0, DIGITS_LOST) if leading == 13 else (1.0, EARLY)
    return NIST_CASE(
        name=problem.lower(),
        title=f"NIST {problem}: one-way analysis of variance, {leading} constant leading digits",
        function="nist_anova",
        parts=(
            Data(make=lambda _rng: anova_data(problem), decimal=True),
            Lmer("lmer", formula=ANOVA_FORMULA),
            # lme4 on the original response: with thirteen constant digits it loses all others.
            ROnly("lmer_raw", ("coef", "varcorr", "theta", "glance")),
        ),
        rules=(
            SAME_DATA,
            rule("lmer.coef", "estimate", rounding, "means of the data: rounding"),
            rule("lmer.confint_wald", "*", ends, EARLY),
            rule("lmer.ranef", "condval", 1e-5, FROM_THE_INTERCEPT, unit),
            rule("lmer.residual_quantiles", "*", 1e-5, FROM_THE_INTERCEPT, unit / sigma),
            rule("lmer.ranef", "condsd", 1e-6, EARLY),
            rule("lmer.glance", "sigma", 1e-7, EARLY),
            rule("lmer.glance", "*", 1e-12, "the criterion is flat at its minimum"),
            rule("lmer.coef", "*", 5e-6, EARLY),
            rule("*", "*", 1e-5, EARLY),
        ),
        published=Printed(
            SOURCE,
            figures,
            {
                "lmer.varcorr": (1e-5 * scale, reason),
                "lmer.coef": (5e-6 * scale, reason),
                "lmer.glance": (5e-6 * scale, reason),
            },
        ),
        arguments=lambda _nsim: {"data": anova_data(problem)},
    )


@cache
def nist_cases() -> tuple[Case, ...]:
    """Return all the cases: first the linear problems, then the analyses of variance."""
    return (*map(_linear, LINEAR), *map(_anova, ANOVA))
