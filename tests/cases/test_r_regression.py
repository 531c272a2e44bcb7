"""The wrapper of pytest-regressions, which compares tables with R's: it avoids each pitfall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from places import ROOT, TESTS
from r_regression import REFUSAL, Parity
from rparity import paths
from rparity.cases.base import Rule
from rparity.cases.document import DOCUMENT
from rparity.compare import Tables, Tolerance
from rparity.run import CaseRun

RunOf = Callable[[str], CaseRun]
EXPECTED = pd.DataFrame(
    {"estimate": [1.5, -2.5e-9, 3.0], "df": [8.0, 9.0, 10.0]}, ["(Intercept)", "x", "z"]
)


def toy(**rtol: float) -> tuple[str, tuple[Rule, ...]]:
    rules = tuple(Rule("t", name, Tolerance(value, "planted")) for name, value in rtol.items())
    return replace(DOCUMENT, name="toy", rules=rules)


@pytest.fixture
def plain(
    dataframe_regression: object, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[Tables], Parity]:
    """Return a function that makes a wrapper with expected values of its own."""

    def make(expected: pd.DataFrame = EXPECTED) -> Parity:
        return Parity(
            dataframe_regression, tmp_path / "expected", request.config, {"toy": {"t": expected}}
        )

    return make


def test_the_recording_itself_passes(plain) -> None:
    plain().check(toy(estimate=0.0, df=0.0), "rparity", "t", EXPECTED)


def test_the_order_of_rows_and_columns_does_not_matter(plain) -> None:
    plain().check(toy(estimate=0.0, df=0.0), "rparity", "t", EXPECTED.iloc[::-1, ::-1])


PLANTED = {
    "a missing column": EXPECTED[["estimate"]],
    "a misspelt column": EXPECTED.rename(columns={"df": "dF"}),
    "a column too many": EXPECTED.assign(more=1.0),
    "a missing row": EXPECTED.iloc[:2],
    "a row too many": pd.concat([EXPECTED, EXPECTED.iloc[:1].set_axis(["w"])]),
    "two rows swapped": EXPECTED.iloc[[1, 0, 2]].set_axis(EXPECTED.index),
    "two columns swapped": EXPECTED.iloc[:, ::-1].set_axis(EXPECTED.columns, axis=1),
    "a value zeroed": EXPECTED.replace(1.5, 0.0),
    "a small value zeroed, within numpy's atol of 1e-8": EXPECTED.replace(-2.5e-9, 0.0),
    "a value missing": EXPECTED.replace(1.5, np.nan),
    "no rows": EXPECTED.iloc[:0],
    "no columns": EXPECTED.iloc[:, :0],
}


@pytest.mark.parametrize("wrong", PLANTED.values(), ids=PLANTED)
def test_a_planted_error_is_caught(plain, wrong: pd.DataFrame) -> None:
    with pytest.raises(pytest.fail.Exception, match="differs from R in toy, t"):
        plain().check(toy(estimate=1e-6, df=1e-6), "rparity", "t", wrong)


# The comparison of pytest-regressions must be right without the help of rparity.compare.


@pytest.mark.parametrize(
    "wrong",
    [
        EXPECTED.replace(1.5, 1.5 * (1 + 1e-5)),
        EXPECTED.replace(-2.5e-9, -2.5e-9 * (1 + 1e-5)),
        EXPECTED.replace(-2.5e-9, 0.0),
        EXPECTED.replace(9.0, 9.0 * (1 + 1e-5)),
        EXPECTED.replace(9.0, 10.0),
        EXPECTED.replace(1.5, np.nan),
        EXPECTED.drop(columns="df"),
        EXPECTED.drop(index="z"),
    ],
    ids=["large", "small", "zeroed", "whole to not", "whole", "nan", "column", "row"],
)
def test_pytest_regressions_too_gets_each_columns_own_tolerance(plain, wrong) -> None:
    with pytest.raises(AssertionError):
        plain().check_numbers(toy(estimate=1e-6, df=1e-6), "rparity", "t", wrong)


def test_both_comparisons_are_made(plain, monkeypatch: pytest.MonkeyPatch) -> None:
    for blinded in ("check_names_and_verdicts", "check_numbers"):
        with monkeypatch.context() as patch:
            patch.setattr(Parity, blinded, lambda *_arguments: None)
            with pytest.raises((AssertionError, pytest.fail.Exception)):
                plain().check(toy(estimate=1e-6, df=1e-6), "rparity", "t", EXPECTED * 2.0)


def test_the_tolerance_of_one_column_does_not_apply_to_another(plain) -> None:
    loose_elsewhere = toy(estimate=1e-2, df=1e-9)
    parity = plain()
    parity.check_numbers(loose_elsewhere, "rparity", "t", EXPECTED.replace(1.5, 1.501))
    with pytest.raises(AssertionError):
        parity.check_numbers(loose_elsewhere, "rparity", "t", EXPECTED.replace(9.0, 9.00001))


def test_whole_floats_are_compared_as_floats(plain) -> None:
    nearly = EXPECTED.replace(9.0, 9.0 * (1 + 1e-13))
    plain().check(toy(estimate=1e-12, df=1e-12), "rparity", "t", nearly)
    nearly = EXPECTED.assign(df=EXPECTED["df"] * (1 + 1e-13))
    plain(nearly).check(toy(estimate=1e-12, df=1e-12), "rparity", "t", EXPECTED)


def test_missing_values_agree_with_missing_values(plain) -> None:
    with_gap = EXPECTED.replace(1.5, np.nan)
    plain(with_gap).check(toy(estimate=0.0, df=0.0), "rparity", "t", with_gap)
    with pytest.raises(pytest.fail.Exception):
        plain(with_gap).check(toy(estimate=0.0, df=0.0), "rparity", "t", EXPECTED)


def test_a_column_without_a_tolerance_is_an_error(plain) -> None:
    with pytest.raises(LookupError):
        plain().check(toy(estimate=1e-6), "rparity", "t", EXPECTED)


# Only R writes expected values ------------------------------------------------------------------


def everything_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("option", ["--force-regen", "--regen-all"])
def test_with_an_option_that_would_write_the_suite_refuses_to_run(
    pytester: pytest.Pytester, option: str
) -> None:
    before = everything_in(paths.fixtures())
    assert before
    here = Path(__file__)
    root = ["--rootdir", ROOT, "-c", ROOT / "pyproject.toml"]
    only = f"{here}::test_the_recording_itself_passes"
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", *root, option, only)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert REFUSAL in done.stderr.str()
    assert "rparity regenerate" in REFUSAL
    assert "passed" not in done.stdout.str()
    assert everything_in(paths.fixtures()) == before


class Configuration:
    """pytest's configuration under one of the options."""

    def __init__(self, option: str) -> None:
        self.option = option

    def getoption(self, name: str, _default: object = None) -> bool:
        return name == self.option


@pytest.mark.parametrize("option", ["force_regen", "regen_all"])
def test_the_wrapper_refuses_even_where_no_conftest_does(tmp_path: Path, option: str) -> None:
    with pytest.raises(pytest.UsageError, match="rparity regenerate"):
        Parity(object(), tmp_path, Configuration(option), {})


def test_what_pytest_regressions_writes_stays_in_the_tests_own_folder(
    parity: Parity, run_of: RunOf, dataframe_regression, tmp_path: Path
) -> None:
    before = everything_in(paths.fixtures()), everything_in(TESTS)
    wrong = run_of("document").answers["rparity"].tables["lmer.coef"] * 2.0
    dataframe_regression._force_regen = True  # as a test might do itself
    with pytest.raises(pytest.fail.Exception, match="regenerating file at"):
        parity.check_numbers(DOCUMENT, "rparity", "lmer.coef", wrong)
    assert list(tmp_path.rglob("document.rparity.lmer.coef.csv"))
    assert (everything_in(paths.fixtures()), everything_in(TESTS)) == before
