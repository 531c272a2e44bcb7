"""Python compared with R's recordings, table by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from r_regression import Parity
from rparity.cases import case, cases
from rparity.cases.base import AtlasPair, Part
from rparity.cases.document import DOCUMENT
from rparity.compare import ALL, Reference, Verdict, compare, digits
from rparity.engines.base import engine
from rparity.recordings import Recording
from rparity.run import CaseRun

RunOf = Callable[[str], CaseRun]

# Cases that take seconds to compute.
SLOW = {
    "factor_slopes": "bootstraps and profiles of a factor's slopes",
    "insteval": "73,421 rows with three crossed factors",
    **dict.fromkeys(("smls03", "smls06", "smls09"), "up to 18,009 rows"),
    **dict.fromkeys(
        [f"sleepstudy_{which}" for which in ("intercept", "quadratic", "slope", "uncorrelated")],
        "one more model of sleepstudy, with bootstraps and profiles",
    ),
    "streams": "draws by the hundred thousand, one at a time",
    "study": "a hundred data sets with two bootstraps each",
    **dict.fromkeys(
        (
            *("cake", "cake_tests", "dyestuff2", "machines_tests", "pastes", "pastes_tests"),
            *("penicillin_tests", "singular_tests", "sleepstudy_tests", "weighted"),
        ),
        "one more mixed model; other cases have its tables under each Python",
    ),
    **dict.fromkeys(
        ("smls01", "smls02", "smls04", "smls05", "smls07", "smls08", "sirstv"),
        "one more of NIST's analyses of variance",
    ),
}


# The tests of the atlas ask under each Python whether its values agree.
AGAIN = dict.fromkeys(
    (name for name in cases() if name.startswith("atlas_")),
    "compares hundreds of values of the atlas a second time, by pytest-regressions",
)
FAMILIES = dict.fromkeys(
    (name for name in AGAIN if name not in ("atlas_numerical", "atlas_series")),
    "a family a second; the tests of the atlas run a few under each Python",
)


def asked_of(name: str, *more: object, of: str, slow: Mapping[str, str] = SLOW) -> object:
    """Return a test parameter, marked slow if the case is among the slow ones."""
    marks = [pytest.mark.slow(reason=slow[name])] if name in slow else []
    return pytest.param(name, *more, id=of, marks=marks)


QUESTIONS = [
    asked_of(name, who, part, of=f"{name}-{who}-{part.name}", slow=SLOW | AGAIN)
    for name, known in cases().items()
    for who in known.engines
    for part in known.parts
    if engine(who).expected(part)
]


def answered(run: CaseRun, who: str, part: Part) -> tuple[str, ...]:
    """Return the tables of a part, or none if its call needs a package that is not here."""
    why = run.answers[who].gaps.get(part.name, "")
    if isinstance(part, AtlasPair) and (why.endswith("is not installed") or " is older " in why):
        return ()
    return engine(who).expected(part)


# Python against R -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "who", "part"), QUESTIONS)
def test_python_gives_what_r_gives(
    parity: Parity, run_of: RunOf, name: str, who: str, part: Part
) -> None:
    run = run_of(name)
    rows = run.comparisons
    rows = rows[(rows["verdict"] == "known") & (rows["engine"] == who) & (rows["reference"] == "R")]
    tables = answered(run, who, part)
    if not tables:
        pytest.skip("a package of the extra atlas is not installed: tox -e atlas")
    for table in tables:
        frame = run.answers[who].tables[table].copy()
        # `rparity run` tests known discrepancies. Here R's value replaces them.
        known = rows[rows["table"] == table]
        for row, column, value in zip(
            known["row"], known["column"], known["reference_value"], strict=True
        ):
            frame.loc[row, column] = value
        parity.check(case(name), who, table, frame)


@pytest.mark.parametrize("name", cases())
def test_every_table_of_a_case_is_recorded_and_nothing_else(
    recorded: dict[str, Recording], name: str
) -> None:
    assert set(recorded[name].tables) == set(case(name).tables)


@pytest.mark.parametrize(
    "name", [asked_of(name, of=name, slow=SLOW | FAMILIES) for name in cases()]
)
def test_a_run_ends_without_a_failing_verdict(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    assert not run.failed
    # Every value of every table that an engine answers, once.
    against_r = run.comparisons.query("reference == 'R'")
    expected = sum(
        run.r_tables[table].size
        for who in run.answers
        for part in run.case.parts
        for table in answered(run, who, part)
    )
    assert len(against_r) == expected


@pytest.mark.parametrize("who", ["R", "rparity"])
def test_the_published_figures_are_reproduced_to_the_printed_digits(
    run_of: RunOf, who: str
) -> None:
    run = run_of("document")
    mine = run.comparisons.query("engine == @who and reference == 'published'")
    figures = [
        (table, row, column)
        for table, rows in DOCUMENT.published.figures.items()
        for row, columns in rows.items()
        for column in columns
    ]
    assert set(mine[["table", "row", "column"]].itertuples(index=False, name=None)) == set(figures)
    known = mine.query("verdict == 'known'")
    assert set(known[["table", "row", "column"]].itertuples(index=False, name=None)) == {
        ("lmer.coef", "(Intercept)", "std_error"),
        ("lmer.varcorr", "p.(Intercept)", "vcov"),
        ("lmer.varcorr", "p.(Intercept)", "sdcor"),
        # Published in 2017 from refits, whose divisor lme4 changed in 1.1-33.
        ("boot_fix_u.boot", "(Intercept)", "std_error"),
        ("boot_fix_u.boot", "x", "std_error"),
    }
    others = mine.drop(known.index)
    assert not any(Verdict(verdict).fails for verdict in others["verdict"])
    if who == "R":  # Rounded as printed; R itself rounds twice, hence 151.79 for 151.79543.
        text = {k: DOCUMENT.published.figures[k[0]][k[1]][k[2]] for k in figures}
        for _, found in others.iterrows():
            printed = text[found["table"], found["row"], found["column"]]
            if not printed.startswith("<") and not found["table"].startswith("boot"):
                assert abs(found["value"] - float(printed)) <= 0.55 * 10.0 ** -_decimals(printed)


def _decimals(printed: str) -> int:
    mantissa, _, exponent = printed.partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def test_the_four_published_standard_deviations_hold_to_five_digits(run_of: RunOf) -> None:
    rows = run_of("document").comparisons.query(
        "reference == 'published' and table.str.endswith('.boot')"
    )
    assert len(rows) == 8  # four of R's and four of Python's
    assert (rows["digits"] >= 5).all()


@pytest.mark.parametrize("claim", DOCUMENT.claims, ids=lambda claim: claim.table)
def test_the_conclusion_of_the_published_answer_holds(run_of: RunOf, claim) -> None:
    run = run_of("document")
    rows = run.comparisons.query("reference == @claim.equals and table == @claim.table")
    assert set(zip(rows["engine"], rows["row"], strict=True)) == {
        (who, term) for who in ("R", "rparity") for term in ("(Intercept)", "x")
    }
    assert set(rows["verdict"]) <= {"within", "rounding", "identical"}
    assert (rows["rtol"] < 0.0213).all()


def test_the_two_bootstraps_claims_are_not_interchangeable(run_of: RunOf) -> None:
    tables = run_of("document").r_tables
    drawn, kept = (tables[f"boot_{how}_u.boot"]["std_error"] for how in ("simulate", "fix"))
    assert drawn["(Intercept)"] > 30 * kept["(Intercept)"]


def test_replicates_agree_one_by_one_and_their_standard_deviations_to_six_digits(
    run_of: RunOf,
) -> None:
    run = run_of("document")
    for part in ("boot_simulate_u", "boot_fix_u"):
        mine = run.answers["rparity"].tables[f"{part}.replicates"]
        theirs = run.r_tables[f"{part}.replicates"]
        assert mine.shape == theirs.shape == (10_000, 2)
        assert ((mine - theirs).abs().max() <= 1e-3 * theirs.std()).all()
        assert (digits(mine.std(), theirs.std()) >= 6).all()


def test_the_digits_that_the_project_promises(run_of: RunOf) -> None:
    rows = run_of("document").comparisons.query("engine == 'rparity' and reference == 'R'")

    def fewest(table: str, *columns: str) -> float:
        found = rows[(rows["table"] == table) & rows["column"].isin(columns)]
        assert len(found)
        return found["digits"].min()

    assert fewest("lm.coef", "estimate", "std_error") >= 12
    assert fewest("lm_treatment.coef", "estimate", "std_error") >= 12
    assert fewest("lmer.coef", "estimate") >= 9
    assert fewest("lmer.coef", "std_error") >= 7
    assert fewest("lmer.varcorr", "vcov", "sdcor") >= 7


@pytest.mark.slow(reason=SLOW["study"])
def test_a_hundred_data_sets_agree_with_r_to_the_digits_that_are_stated(run_of: RunOf) -> None:
    found = run_of("study").comparisons
    assert not any(Verdict(verdict).fails for verdict in found["verdict"].unique())
    fewest = found.groupby(found["table"].str.partition(".")[2])["digits"].min()
    stated = {"lm": 13.5, "wald": 6.0, "profile": 6.0, "boot_simulate_u": 6.0, "boot_fix_u": 6.0}
    assert {name: fewest[name] > least for name, least in stated.items()} == dict.fromkeys(
        stated, True
    )
    assert found["row"].nunique() == 50
    assert len(found) == 2 * 50 * 2 * (4 * 4 + 3)  # worlds, data sets, parameters, numbers


# Tolerances -------------------------------------------------------------------------------------

COMPARED = [
    pytest.param(name, who, id=f"{name}-{who}")
    for name, known in cases().items()
    for who in known.engines
]


def failing(
    name: str, who: str, table: str, answer: pd.DataFrame, expected: pd.DataFrame
) -> np.ndarray:
    """Return which values fail, in the shape of the expected table."""
    known = case(name)
    reference = Reference("R", {table: expected}, lambda t, column: known.tolerance(who, t, column))
    found = compare(name, who, {table: answer}, reference, [table])
    bad = np.array([Verdict(verdict).fails for verdict in found["verdict"]])
    return bad.reshape(expected.shape[::-1]).T  # compared column by column


@pytest.mark.slow(reason="each value of each table five times; no answer of Python's is asked for")
@pytest.mark.parametrize(("name", "who"), COMPARED)
def test_no_tolerance_is_vacuous(recorded: dict[str, Recording], name: str, who: str) -> None:
    for table in (t for part in case(name).parts for t in engine(who).expected(part)):
        expected = recorded[name].tables[table]
        assert not failing(name, who, table, expected, expected).any()

        # Replace each value by zero. A value within the absolute tolerance of zero may pass, and
        # this tolerance must be small compared with the largest value of the column.
        zeroed = failing(name, who, table, expected * 0.0, expected)
        for j, column in enumerate(expected):
            tolerance = case(name).tolerance(who, table, column)
            nothing = expected[column].abs().to_numpy() <= tolerance.absolute(
                expected[column].to_numpy(), expected.index
            )
            zeroed[:, j] |= nothing
            nothing |= expected[column].isna().to_numpy()
            largest = expected[column].abs().max()
            assert (
                nothing.all()
                or tolerance.absolute(expected[column].to_numpy(), expected.index).max()
                <= 2e-3 * largest
            )
        missing = expected.isna().to_numpy()
        zeroed |= missing
        assert zeroed.all(), f"{table}: zero passes for {expected.to_numpy()[~zeroed]}"
        zero_for_missing = failing(name, who, table, expected.fillna(0.0), expected)
        assert (zero_for_missing == missing).all()

        # Change each value by ten tolerances, up and down, or by one ulp if the tolerance is zero.
        for sign in (1.0, -1.0):
            off = expected.copy()
            for column in expected:
                tolerance = case(name).tolerance(who, table, column)
                room = (
                    tolerance.absolute(expected[column].to_numpy(), expected.index)
                    + tolerance.rtol * expected[column].abs()
                )
                ulp = np.nextafter(expected[column], sign * np.inf)
                ulp = np.where(expected[column] == 0.0, sign * 1e-6, ulp)
                off[column] = np.where(room > 0.0, expected[column] + sign * 10.0 * room, ulp)
            caught = failing(name, who, table, off, expected)
            caught |= missing
            assert caught.all(), f"{table}: ten tolerances off passes"


@pytest.mark.parametrize("factor", [1 + 1e-15, 1 - 1e-15, 1 + 3e-15, 1 + 1e-13])
def test_a_tolerance_of_zero_rejects_rounding(
    recorded: dict[str, Recording], factor: float
) -> None:
    for name, table in [("document", "data"), ("streams", "draws.rnorm")]:
        expected = recorded[name].tables[table]
        assert failing(name, "rparity", table, expected * factor, expected).all()


def test_no_published_figures_tolerance_is_vacuous(recorded: dict[str, Recording]) -> None:
    published = DOCUMENT.published.reference()
    for table, expected in published.tables.items():
        for column in expected:
            cells = expected[[column]].dropna()
            tolerance = published.tolerance(table, column)
            room = tolerance.atol.reindex(cells.index) + tolerance.rtol * cells[column].abs()
            bound = [
                DOCUMENT.published.figures[table][row][column].startswith("<")
                for row in cells.index
            ]
            told = Reference("published", {table: cells}, published.tolerance, partial=True)

            def caught(values: pd.Series, table=table, column=column, told=told) -> np.ndarray:
                answer = {table: values.to_frame(column)}
                found = compare("document", "x", answer, told, [table])
                return np.array([Verdict(verdict).fails for verdict in found["verdict"]])

            # `<2e-16` is printed for anything below, zero among it.
            assert (caught(cells[column] * 0.0) | bound).all()
            assert caught(cells[column] + 10 * room).all()
            assert caught(cells[column] - 10 * room).all()


def compared_columns(recorded: dict[str, Recording]) -> list[tuple[str, str, str, str]]:
    return [
        (name, who, table, column)
        for name, known in cases().items()
        for who in ("R", *known.engines)
        for part in known.parts
        for table in (part.tables if who == "R" else engine(who).expected(part))
        for column in recorded[name].tables[table].columns
    ]


def test_every_column_has_a_tolerance_with_a_reason(recorded: dict[str, Recording]) -> None:
    for name, who, table, column in compared_columns(recorded):
        assert case(name).tolerance(who, table, column).reason.strip()


def test_no_tolerance_rule_is_unused(recorded: dict[str, Recording]) -> None:
    used = {
        id(case(name).tolerance(who, table, column))
        for name, who, table, column in compared_columns(recorded)
    }
    unused = [
        (name, rule.table, rule.column, rule.engine)
        for name, known in cases().items()
        for rule in known.rules
        if id(rule.tolerance) not in used
    ]
    assert unused == []


def test_a_column_without_a_rule_is_an_error_not_a_pass() -> None:
    with pytest.raises(LookupError, match="no tolerance for rparity, anova, p_value"):
        DOCUMENT.tolerance("rparity", "anova", "p_value")


def test_no_row_or_column_is_called_star(recorded: dict[str, Recording]) -> None:
    for recording in recorded.values():
        for table in recording.tables.values():
            assert ALL not in table.index
            assert ALL not in table.columns


def test_every_case_has_an_answer_to_compare() -> None:
    for known in cases().values():
        assert any(engine(who).expected(part) for who in known.engines for part in known.parts)
