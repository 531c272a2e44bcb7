"""NIST's reference problems: eleven linear models, eleven one-way analyses of variance."""

from __future__ import annotations

import csv
import gzip
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from rparity.cases.base import (
    Case,
    Data,
    Experiment,
    Lm,
    Lmer,
    Part,
    Printed,
    Rule,
)
from rparity.compare import Tolerance

FOLDER = Path(__file__).with_name("nist_data")
SOURCE = (
    "NIST's Statistical Reference Datasets (www.itl.nist.gov/div898/strd), and, where NIST states "
    "none, exact arithmetic on NIST's decimals; all figures to 15 digits"
)
# Wampler1 and Wampler2 have no residuals: of such a fit only the estimates mean something.
PERFECT = frozenset({"wampler1", "wampler2"})
LOOSE = 1e-10  # lm()'s `tol` at which R keeps all of Filip's columns
ANOVA_FORMULA = "y ~ 1 + (1 | treatment)"


@dataclass(frozen=True)
class AnovaTable:
    """NIST's certified values of a balanced one-way analysis: mean squares as printed."""

    df: tuple[int, int]
    between: str
    within: str
    residual_sd: str


def powers(degree: int) -> str:
    """Return R's formula of a polynomial in x: `y ~ x + I(x^2) + …`."""
    return " + ".join(["y ~ x", *(f"I(x^{k})" for k in range(2, degree + 1))])


LINEAR: Mapping[str, str] = {
    "norris": "y ~ x",
    "pontius": powers(2),
    "noint1": "y ~ 0 + x",
    "noint2": "y ~ 0 + x",
    "filip": powers(10),
    "longley": "y ~ x1 + x2 + x3 + x4 + x5 + x6",
    **{f"wampler{i}": powers(5) for i in range(1, 6)},
}
# Problem to the number of leading digits that all responses share, as NIST counts them.
ANOVA: Mapping[str, int] = {
    "SiRstv": 3,
    "AtmWtAg": 7,
    **{f"SmLs0{i}": 1 for i in (1, 2, 3)},
    **{f"SmLs0{i}": 7 for i in (4, 5, 6)},
    **{f"SmLs0{i}": 13 for i in (7, 8, 9)},
}


# -- data ----------------------------------------------------------------------------------------


@cache
def _lines(problem: str) -> tuple[str, ...]:
    """Return a file in NIST's form, line by line."""
    with gzip.open(FOLDER / f"{problem}.dat.gz", "rt", encoding="ascii") as file:
        return tuple(line.rstrip() for line in file)


def _data_lines(lines: Sequence[str]) -> list[list[str]]:
    """Cells of the data, which NIST's header says stand in lines a to b."""
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


def anova_table(problem: str) -> AnovaTable:
    """Return NIST's certified analysis of variance."""
    head = "\n".join(_lines(problem)[:60])
    rows = re.findall(r"^(?:Between|Within) \w+ +(\d+) +\S+ +(\S+)", head, re.MULTILINE)
    sd = re.search(r"Standard Deviation +(\S+)", head)
    if len(rows) != 2 or sd is None:
        raise ValueError(f"{problem}: no analysis of variance in NIST's file")
    (df_between, between), (df_within, within) = rows
    return AnovaTable((int(df_between), int(df_within)), between, within, sd[1])


# -- certified figures -----------------------------------------------------------------------------

Figures = dict[str, dict[str, dict[str, str]]]


@cache
def certified() -> Mapping[str, Figures]:
    """Return every problem's certified figures: table, row and column to the text."""
    found: dict[str, Figures] = {}
    with (FOLDER / "certified.csv").open(newline="", encoding="utf-8") as file:
        for cell in csv.DictReader(file):
            row = found.setdefault(cell["problem"], {}).setdefault(cell["table"], {})
            row.setdefault(cell["row"], {})[cell["column"]] = cell["figure"]
    return found


# -- linear problems -------------------------------------------------------------------------------

# Relative tolerances of estimates, of what their spread is made of, and of the fit, measured with
# R 4.2.2 and some four times as wide: another BLAS rounds otherwise.
QR = "the condition of X: so many digits does QR in doubles keep, in R and in statsmodels"
INVERSE = "statsmodels inverts R'R for its standard errors, which squares the condition of X"
LEAST_SQUARES: Mapping[str, tuple[float, float, float, str]] = {
    "norris": (1e-11, 1e-11, 5e-11, QR),
    "pontius": (2e-12, 5e-11, 5e-11, QR),
    "noint1": (1e-12, 1e-12, 2e-12, QR),
    "noint2": (1e-12, 1e-12, 1e-12, QR),
    "filip": (1e-7, 1e-6, 1e-6, QR),
    "longley": (1e-10, 5e-7, 1e-10, INVERSE),
    "wampler1": (2e-9, 2e-9, 2e-9, QR),
    "wampler2": (1e-12, 1e-12, 1e-12, QR),
    "wampler3": (5e-9, 5e-9, 1e-11, QR),
    "wampler4": (2e-7, 2e-7, 1e-12, QR),
    "wampler5": (2e-5, 2e-5, 1e-12, QR),
}
TITLES: Mapping[str, str] = {
    "norris": "NIST Norris: a line through ozone monitors' readings",
    "pontius": "NIST Pontius: a parabola, x up to 3e6",
    "noint1": "NIST NoInt1: a line through the origin",
    "noint2": "NIST NoInt2: a line through the origin, three points",
    "filip": "NIST Filip: degree 10, of which lm() drops x^10 unless by orthogonal polynomials",
    "longley": "NIST Longley: six predictors that hardly differ",
    "wampler1": "NIST Wampler1: degree 5 without residuals, all coefficients 1",
    "wampler2": "NIST Wampler2: degree 5 without residuals, coefficients 10^-k",
    "wampler3": "NIST Wampler3: degree 5, all coefficients 1, residuals of 2e3",
    "wampler4": "NIST Wampler4: degree 5, all coefficients 1, residuals of 2e5",
    "wampler5": "NIST Wampler5: degree 5, all coefficients 1, residuals of 2e7",
}


def _linear(problem: str) -> Case:
    if problem in PERFECT:
        return _perfect(problem)
    formulas = {"lm": LINEAR[problem]}
    parts: tuple[Part, ...] = (Lm("lm", formula=formulas["lm"]),)
    loose = None
    estimate, spread, fit, reason = LEAST_SQUARES[problem]
    rules = [
        _rule("lm.coef", "estimate", estimate, reason),
        _rule("lm.glance", "*", fit, QR),
        _rule("lm.residual_quantiles", "*", fit, QR),
        _rule("lm.*", "*", spread, reason),
    ]
    if problem == "filip":
        # Where a column is dropped R's vcov() and confint() have NA. `lm_loose` has them all.
        formulas["lm_poly"], loose = "y ~ poly(x, 10)", LOOSE
        parts = (
            Lm("lm", ("coef", "glance", "residual_quantiles"), formula=formulas["lm"]),
            Lm("lm_poly", formula=formulas["lm_poly"]),
            Experiment("lm_loose", ("coef", "glance")),
        )
        rules += [
            _rule("lm_poly.vcov", "*", 1e-10, "covariances of orthogonal columns are zero", 1e-17),
            _rule("lm_poly.*", "*", 2e-10, QR),
            _rule("lm_loose.*", "*", 1e-6, QR),
        ]
    figures = {k: rows for k, rows in certified()[problem].items() if not k.startswith("lm_loose")}
    rtol = {table: fit if table.endswith("glance") else max(estimate, spread) for table in figures}
    return _case(
        problem,
        TITLES[problem],
        "nist_lm",
        parts=(Data(make=lambda _rng: linear_data(problem), decimal=True), *parts),
        rules=rules,
        published=Printed(SOURCE, figures, {table: (r, reason) for table, r in rtol.items()}),
        arguments=lambda: {"data": linear_data(problem), "formulas": formulas, "loose": loose},
    )


def _perfect(problem: str) -> Case:
    """Estimates alone: standard errors that are rounding, and what they enter, say nothing."""
    figures = certified()[problem]
    rtol, *_, reason = LEAST_SQUARES[problem]
    return _case(
        problem,
        TITLES[problem],
        "nist_perfect_fit",
        parts=(
            Data(make=lambda _rng: linear_data(problem), decimal=True),
            Lm("lm", ("coef",), formula=LINEAR[problem], perfect=True),
        ),
        rules=[_rule("lm.coef", "*", rtol, reason)],
        published=Printed(SOURCE, figures, {"lm.coef": (rtol, reason)}),
        arguments=lambda: {"data": linear_data(problem), "formula": LINEAR[problem]},
    )


# -- analyses of variance --------------------------------------------------------------------------

EARLY = "R's optimizer stops early: nloptr's xtol_rel of 1e-4, which lme4 does not set"
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
    # Interval ends are the intercept but for their last digits, which are those compared.
    ends = {1: 1e-6, 3: 1e-10, 7: 1e-12, 13: 1e-15}[leading]
    scale, reason = (20.0, DIGITS_LOST) if leading == 13 else (1.0, EARLY)
    return _case(
        problem.lower(),
        f"NIST {problem}: one-way analysis of variance, {leading} constant leading digits",
        "nist_anova",
        parts=(
            Data(make=lambda _rng: anova_data(problem), decimal=True),
            Lmer("lmer", formula=ANOVA_FORMULA),
            # lme4 on the response as it is: of thirteen constant digits it keeps no other.
            Experiment("lmer_raw", ("coef", "varcorr", "theta", "glance")),
        ),
        rules=[
            _rule("lmer.coef", "estimate", rounding, "means of the data: rounding"),
            _rule("lmer.confint_wald", "*", ends, EARLY),
            _rule("lmer.ranef", "condval", 1e-5, FROM_THE_INTERCEPT, unit),
            _rule("lmer.residual_quantiles", "*", 1e-5, FROM_THE_INTERCEPT, unit / sigma),
            _rule("lmer.ranef", "condsd", 1e-6, EARLY),
            _rule("lmer.glance", "sigma", 1e-7, EARLY),
            _rule("lmer.glance", "*", 1e-12, "the criterion is flat at its minimum"),
            _rule("lmer.coef", "*", 5e-6, EARLY),
            _rule("*", "*", 1e-5, EARLY),
        ],
        published=Printed(
            SOURCE,
            figures,
            {
                "lmer.varcorr": (1e-5 * scale, reason),
                "lmer.coef": (5e-6 * scale, reason),
                "lmer.glance": (5e-6 * scale, reason),
            },
        ),
        arguments=lambda: {"data": anova_data(problem)},
    )


# -- what both have in common ----------------------------------------------------------------------


def _rule(table: str, column: str, rtol: float, reason: str, atol: float = 0.0) -> Rule:
    return Rule(table, column, Tolerance(rtol, reason, atol))


def _case(
    name: str,
    title: str,
    function: str,
    *,
    parts: tuple[Part, ...],
    rules: Sequence[Rule],
    published: Printed,
    arguments: Callable[[], Mapping[str, object]],
) -> Case:
    same = Rule("data", "*", Tolerance(0.0, "the same figures: the same bits"))
    return Case(
        name=name,
        title=title,
        script="nist.R",
        function=function,
        seed=1,
        nsim=1,
        parts=parts,
        rules=(same, *rules),
        published=published,
        engines=("rparity",),
        arguments=lambda _nsim: arguments(),
    )


@cache
def nist_cases() -> tuple[Case, ...]:
    """Return all the cases: first the linear problems, then the analyses of variance."""
    return (*map(_linear, LINEAR), *map(_anova, ANOVA))
