"""NIST's problems: the arbiter gives the certified values, and doubles give fewer digits."""

from __future__ import annotations

import csv
import gzip
import io
import re
from decimal import Decimal, localcontext
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from few import mostly_slow
from rparity import digits, lmer
from rparity.cases.base import Case
from rparity.cases.nist import (
    ANOVA,
    ANOVA_FORMULA,
    FOLDER,
    LINEAR,
    PERFECT,
    anova_data,
    certified,
    linear_data,
    nist_cases,
)
from rparity.compare import Verdict, compare
from rparity.engines.base import Question
from rparity.engines.native import Native
from rparity.exact import Certified, certify

# NIST's certified estimates and standard deviations of the linear problems, as NIST prints them.
STRD = {
    "norris": """
        -0.262323073774029     0.232818234301152
         1.00211681802045      0.429796848199937E-03""",
    "pontius": """
         0.673565789473684E-03 0.107938612033077E-03
         0.732059160401003E-06 0.157817399981659E-09
        -0.316081871345029E-14 0.486652849992036E-16""",
    "noint1": "2.07438016528926 0.165289256198347E-01",
    "noint2": "0.727272727272727 0.420827318078432E-01",
    "filip": """
        -1467.48961422980      298.084530995537
        -2772.17959193342      559.779865474950
        -2316.37108160893      466.477572127796
        -1127.97394098372      227.204274477751
        -354.478233703349      71.6478660875927
        -75.1242017393757      15.2897178747400
        -10.8753180355343      2.23691159816033
        -1.06221498588947      0.221624321934227
        -0.670191154593408E-01 0.142363763154724E-01
        -0.246781078275479E-02 0.535617408889821E-03
        -0.402962525080404E-04 0.896632837373868E-05""",
    "longley": """
        -3482258.63459582      890420.383607373
         15.0618722713733      84.9149257747669
        -0.358191792925910E-01 0.334910077722432E-01
        -2.02022980381683      0.488399681651699
        -1.03322686717359      0.214274163161675
        -0.511041056535807E-01 0.226073200069370
         1829.15146461355      455.478499142212""",
    "wampler1": "1 0 1 0 1 0 1 0 1 0 1 0",
    "wampler2": "1 0 .1 0 .01 0 .001 0 .0001 0 .00001 0",
    "wampler3": """
        1 2152.32624678170 1 2363.55173469681 1 779.343524331583
        1 101.475507550350 1 5.64566512170752 1 0.112324854679312""",
    "wampler4": """
        1 215232.624678170 1 236355.173469681 1 77934.3524331583
        1 10147.5507550350 1 564.566512170752 1 11.2324854679312""",
    "wampler5": """
        1 21523262.4678170 1 23635517.3469681 1 7793435.24331583
        1 1014755.07550350 1 56456.6512170752 1 1123.24854679312""",
}
# NIST's residual standard deviation, R² and F, for three problems.
FIT = {
    "norris": ("0.884796396144373", "0.999993745883712", "5436385.54079785"),
    "longley": ("304.854073561965", "0.995479004577296", "330.285339234588"),
    "pontius": ("0.205177424076185E-03", "0.999999900178537", None),
}


class AnovaTable(NamedTuple):
    """NIST's certified values of a balanced one-way analysis: mean squares as printed."""

    df: tuple[int, int]
    between: str
    within: str
    residual_sd: str


def anova_table(problem: str) -> AnovaTable:
    """NIST's certified analysis of variance, from the head of NIST's file."""
    with gzip.open(FOLDER / f"{problem}.dat.gz", "rt", encoding="ascii") as file:
        head = "".join(file.readlines()[:60])
    rows = re.findall(r"^(?:Between|Within) \w+ +(\d+) +\S+ +(\S+)", head, re.MULTILINE)
    sd = re.search(r"Standard Deviation +(\S+)", head)
    assert sd is not None
    (df_between, between), (df_within, within) = rows
    return AnovaTable((int(df_between), int(df_within)), between, within, sd[1])


@cache
def exact(problem: str, figures: str = "decimal") -> Certified:
    if problem in ANOVA:
        return certify(ANOVA_FORMULA, anova_data(problem), figures=figures)  # type: ignore[arg-type]
    return certify(
        LINEAR[problem],
        linear_data(problem),
        figures=figures,  # type: ignore[arg-type]
        rank="exact",
    )


@pytest.fixture(scope="module")
def known() -> dict[str, Case]:
    return {case.name: case for case in nist_cases()}


def units_off(found: str, printed: str) -> Decimal:
    """Distance in units of the last printed place."""
    unit = Decimal(1).scaleb(int(Decimal(printed).as_tuple().exponent))
    return abs(Decimal(found) - Decimal(printed)) / unit


# Certified values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", LINEAR)
def test_linear_problems_have_nists_values_to_all_digits(problem: str) -> None:
    coef = exact(problem).decimals("coef", 25)[["estimate", "std_error"]]
    printed = np.array(STRD[problem].split()).reshape(-1, 2)
    assert printed.shape == coef.shape
    for found, figure in zip(coef.to_numpy().ravel(), printed.ravel(), strict=True):
        assert units_off(found, figure) <= Decimal("0.5")
    glance = exact(problem).decimals("glance", 25)
    for column, figure in zip(
        ("sigma", "r_squared", "f_statistic"), FIT.get(problem, ()), strict=False
    ):
        assert figure is None or units_off(glance.loc["1", column], figure) <= Decimal("0.5")


LARGE = ("SmLs03", "SmLs06", "SmLs09")


@pytest.mark.parametrize(
    "problem",
    mostly_slow(ANOVA, lambda problem: problem not in LARGE, "proves fits of up to 18,009 rows"),
)
def test_variances_are_nists_mean_squares_to_all_digits(problem: str) -> None:
    """MSW is the residual variance, (MSB − MSW) / n the treatments', √(MSB / N) the SE."""
    table, found = anova_table(problem), exact(problem)
    data = anova_data(problem)
    cells, N = data["treatment"].nunique(), len(data)
    assert (cells - 1, N - cells) == table.df
    assert (data["treatment"].value_counts() == N // cells).all()
    varcorr, coef = found.decimals("varcorr", 25), found.decimals("coef", 25)
    # NIST truncates or rounds its last digit.
    assert units_off(varcorr.loc["Residual", "vcov"], table.within) <= 1
    assert units_off(varcorr.loc["Residual", "sdcor"], table.residual_sd) <= 1
    with localcontext(prec=30):
        between, within = Decimal(table.between), Decimal(table.within)
        group = Decimal(varcorr.loc["treatment.(Intercept)", "vcov"])
        assert units_off(str(group * (N // cells) + within), table.between) <= 2
        error = Decimal(coef.loc["(Intercept)", "std_error"])
        assert units_off(str(error**2 * N), table.between) <= 1
        mean = sum(map(Decimal, map(str, data["y"]))) / N
        assert abs(Decimal(coef.loc["(Intercept)", "estimate"]) - mean) < Decimal("1e-10")
        assert between > within


def certified_figures(problem: str) -> dict[str, dict[str, dict[str, str]]]:
    """Return the arbiter's values to 15 digits, which certified.csv must contain."""
    spread, fit = ("estimate", "std_error"), ("sigma", "r_squared", "f_statistic")
    wanted: dict[str, tuple[str, ...]] = {"lm.coef": spread, "lm.glance": fit}
    if problem in ANOVA:
        wanted = {"lmer.coef": spread, "lmer.varcorr": ("vcov", "sdcor"), "lmer.glance": fit[:1]}
    elif problem in PERFECT:
        wanted = {"lm.coef": spread[:1]}
    elif problem == "filip":
        wanted = {"lm_loose.coef": spread, "lm_poly.glance": fit}
    return {
        table: {
            str(row): cells.to_dict()
            for row, cells in exact(problem)
            .decimals(table.partition(".")[2], 15)[list(columns)]
            .iterrows()
        }
        for table, columns in wanted.items()
    }


@pytest.mark.parametrize(
    "problem",
    mostly_slow(
        [*LINEAR, *ANOVA],
        lambda problem: problem not in LARGE,
        "proves fits of up to 18,009 rows",
    ),
)
def test_the_published_figures_are_the_arbiters(problem: str) -> None:
    assert certified()[problem] == certified_figures(problem)


def test_the_figures_are_those_of_all_problems() -> None:
    assert list(certified()) == [*LINEAR, *ANOVA]
    text = (FOLDER / "certified.csv").read_text(encoding="utf-8")
    cells = [tuple(cell)[:4] for cell in csv.reader(io.StringIO(text))]
    assert len(cells) == len(set(cells))


# Digits left by doubles ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "least", "most"),
    [("SmLs01", 14.5, 16), ("AtmWtAg", 9.5, 11), ("SmLs04", 9.5, 11), ("SmLs07", 3.5, 5)],
)
def test_rounding_the_data_to_double_costs_the_leading_digits(
    problem: str, least: float, most: float
) -> None:
    """No engine that reads doubles can have more of NIST's digits than this."""
    proven, given = exact(problem), exact(problem, "double")
    assert least <= proven.digits_of("varcorr", given.frame("varcorr")).min(axis=None) <= most


@pytest.mark.parametrize(
    "problem",
    mostly_slow(ANOVA, lambda problem: problem not in LARGE, "proves fits of up to 18,009 rows"),
)
def test_lmer_has_the_optimum_of_the_doubles_it_was_given(problem: str) -> None:
    """`lmer` squares deviations, not responses, so thirteen constant digits cost no accuracy."""
    fit = lmer(ANOVA_FORMULA, anova_data(problem))
    proven = exact(problem, "double")
    assert proven.digits_of("varcorr", fit.varcorr).min(axis=None) >= 12.5
    assert proven.digits_of("theta", fit.theta.to_frame("value")).min(axis=None) >= 12.5
    assert digits(fit.bse, proven.frame("coef")["std_error"]).min() >= 12.5


# The cases ----------------------------------------------------------------------------------------


def test_there_are_eleven_problems_of_each_kind(known: dict[str, Case]) -> None:
    assert len(LINEAR) == len(ANOVA) == 11
    assert list(known) == [*LINEAR, *(problem.lower() for problem in ANOVA)]


@pytest.mark.parametrize("name", ["norris", "longley", "wampler1", "wampler5", "sirstv", "smls09"])
def test_python_is_within_the_tolerances_of_nists_figures(
    known: dict[str, Case], name: str
) -> None:
    tables = Native().answer(Question(known[name], 1)).tables
    published = known[name].published
    assert published is not None
    found = compare(name, "rparity", tables, published.reference(), list(published.figures))
    assert len(found)
    assert not any(Verdict(verdict).fails for verdict in found["verdict"]), found.to_string()


@pytest.mark.parametrize("name", ["norris", "longley", "wampler5", "sirstv", "smls09"])
def test_a_wrong_figure_is_outside_the_tolerance(known: dict[str, Case], name: str) -> None:
    published = known[name].published
    assert published is not None
    reference = published.reference()
    for table, proven in reference.tables.items():
        for column in proven:
            room = reference.tolerance(table, column)
            for wrong in (
                proven[[column]] * 0.0,
                proven[[column]] * (1 + 10 * room.rtol)
                + 10 * np.spacing(proven[[column]].abs()) * 16,
            ):
                found = compare(name, "planted", {table: wrong}, reference, [table])
                failing = [
                    Verdict(v).fails for v in found.loc[found["column"] == column, "verdict"]
                ]
                assert all(failing), (table, column)


@pytest.mark.slow(reason="answers all problems")
def test_every_column_has_a_rule(known: dict[str, Case]) -> None:
    for name, case in known.items():
        tables = Native().answer(Question(case, 1)).tables
        for table, frame in tables.items():
            for column in frame:
                assert case.tolerance("rparity", table, column).reason, (name, table, column)


def test_the_data_are_nists_and_new_each_time() -> None:
    assert [len(linear_data(problem)) for problem in LINEAR] == [
        *(36, 40, 11, 3, 82, 16),
        *[21] * 5,
    ]
    assert [len(anova_data(problem)) for problem in ANOVA] == [25, 48, *[189, 1809, 18009] * 3]
    data = linear_data("norris")
    data["y"] = 0.0
    assert linear_data("norris")["y"].iloc[1] == 338.8
    assert isinstance(anova_data("SmLs07")["treatment"].dtype, pd.CategoricalDtype)
    assert anova_data("SmLs07")["y"].iloc[0] == 1000000000000.4
