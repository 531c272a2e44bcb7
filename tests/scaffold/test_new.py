"""`rparity new`: the files that it writes compile, record and pass without changes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rparity.cases.extensions import VARIABLE
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.compare import Verdict
from rparity.r import session as rsession
from test_examples import PLUGIN, Run

Capture = pytest.CaptureFixture[str]
KINDS = {
    "parity": ([], ["slope.R", "slope.csv", "test_slope.py"]),
    "case": (["--case"], ["case_slope.py", "slope.R"]),
}
kinds = pytest.mark.parametrize(("options", "files"), KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True)
def no_other_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the effect of `--project` after a test."""
    monkeypatch.setenv(VARIABLE, "")


def new(folder: Path, *options: str) -> int:
    return main(["new", "slope", "--dir", str(folder), *options])


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir())}


@kinds
def test_written_files_compile(tmp_path: Path, options: list[str], files: list[str]) -> None:
    assert new(tmp_path / "a" / "b", *options) == AGREE
    written = content(tmp_path / "a" / "b")
    assert list(written) == files
    for name, text in written.items():
        assert "NAME" not in name + text
        if name.endswith(".py"):
            compile(text, name, "exec")


def test_the_next_two_commands_are_printed(tmp_path: Path, capsys: Capture) -> None:
    assert main(["new", "slope", "--dir", str(tmp_path / "my tests")]) == AGREE
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert f"pytest --r=record '{tmp_path}/my tests/test_slope.py'  #" in first
    assert f"pytest '{tmp_path}/my tests/test_slope.py'  " in second
    assert new(tmp_path, "--case") == AGREE
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert f"rparity regenerate slope --project {tmp_path}  #" in first
    assert f"rparity run slope --project {tmp_path}  " in second


@kinds
def test_no_file_is_overwritten(
    tmp_path: Path, capsys: Capture, options: list[str], files: list[str]
) -> None:
    for name in files:
        (tmp_path / name).write_text("mine")
        assert new(tmp_path, *options) == UNUSABLE
        assert f"The file {tmp_path / name} exists already" in capsys.readouterr().err
        assert content(tmp_path) == {name: "mine"}
        (tmp_path / name).unlink()


@pytest.mark.parametrize("name", ["", "3x", "a-b", "../a", "größe", "a b"])
def test_an_invalid_name_in_python_or_r_is_refused(
    tmp_path: Path, capsys: Capture, name: str
) -> None:
    assert main(["new", name, "--dir", str(tmp_path)]) == UNUSABLE
    assert f"{name!r} is not a name in Python and R" in capsys.readouterr().err
    assert not content(tmp_path)


def test_a_case_with_an_existing_name_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["new", "norris", "--dir", str(tmp_path), "--case"]) == UNUSABLE
    assert "A case 'norris' exists already" in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    assert new(tmp_path / "file") == UNUSABLE
    assert f"Cannot write to {tmp_path / 'file'}: " in capsys.readouterr().err


# Without changes --------------------------------------------------------------------------------


def test_a_test_without_its_recording_names_the_command(
    pytester: pytest.Pytester, inner: Run
) -> None:
    assert new(pytester.path) == AGREE
    result = inner()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*run `pytest --r=record test_slope.py::test_slope`*"])


def test_a_case_without_its_recording_names_the_command(tmp_path: Path, capsys: Capture) -> None:
    assert new(tmp_path, "--case") == AGREE
    assert main(["run", "slope", "--project", str(tmp_path)]) == UNUSABLE
    assert "run `rparity regenerate slope --project " in capsys.readouterr().err


def test_the_engine_in_the_comment_answers(tmp_path: Path, capsys: Capture) -> None:
    assert main(["new", "slope_engine", "--dir", str(tmp_path), "--case"]) == AGREE
    module = tmp_path / "case_slope_engine.py"
    above, rule, below = module.read_text("utf-8").partition("# from typing import ClassVar")
    module.write_text(above + re.sub("^# ?", "", rule + below, flags=re.MULTILINE), "utf-8")
    capsys.readouterr()
    options = ["--engine", "mine", "--project", str(tmp_path), "--format", "json"]
    assert main(["run", "norris", *options]) == DISCREPANCY
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    answered = [row for row in rows if row["engine"] == "mine"]
    assert {row["table"] for row in answered} == {"lm.coef"}
    assert len(answered) == 8
    failing = [row for row in answered if Verdict(row["verdict"]).fails]
    # SciPy takes the residual variance from 1 − r², whose rounding depends on the machine.
    assert {row["column"] for row in failing} <= {"std_error", "statistic", "p_value"}
    assert ("x", "p_value") in {(row["row"], row["column"]) for row in failing}
    assert min(row["digits"] for row in failing) > 8.0


@pytest.mark.live
def test_a_test_records_and_passes_and_can_fail(pytester: pytest.Pytester) -> None:
    assert new(pytester.path) == AGREE
    for option in ("--r=record", "--r=replay", "--r=check"):
        pytester.runpytest_subprocess(*PLUGIN, option).assert_outcomes(passed=1)
    test = pytester.path / "test_slope.py"
    test.write_text(test.read_text("utf-8").replace("fit.rvalue**2", "fit.rvalue"), "utf-8")
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.stdout.fnmatch_lines(["*glance r_squared*"])


@pytest.mark.live
def test_a_case_is_recorded_and_passes_and_can_fail(tmp_path: Path) -> None:
    assert new(tmp_path, "--case") == AGREE

    def rparity(command: str) -> int:
        line = [sys.executable, "-m", "rparity.cli", command, "slope", "--project", str(tmp_path)]
        return subprocess.run(line, check=False).returncode

    assert rparity("regenerate") == AGREE
    assert rparity("run") == AGREE
    module = tmp_path / "case_slope.py"
    module.write_text(module.read_text("utf-8").replace("1 + 2 * x", "1 + 3 * x"), "utf-8")
    assert rparity("run") == DISCREPANCY


# Doctor -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        ("R is not installed", "apt-get install r-base-core r-cran-lme4 make"),
        ("The R package lme4 is not installed", "apt-get install r-cran-lme4"),
        ("rpy2 is not installed", 'pip install "rparity[r]"'),
    ],
)
def test_doctor_ends_with_the_next_command_to_run(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, problem: str, remedy: str
) -> None:
    there = rsession.Availability(problem=problem, remedy=remedy)
    monkeypatch.setattr(rsession, "availability", lambda: there)
    monkeypatch.setattr("rparity.doctor.cases", dict)
    assert main(["doctor"]) == AGREE
    said = capsys.readouterr().out.splitlines()
    assert f"– R: {problem}; needed only" in "\n".join(said)
    assert said[-1] == f"First: {remedy}"


@pytest.mark.parametrize(("required", "status"), [([], AGREE), (["--require-r"], UNUSABLE)])
def test_doctor_names_the_packages_that_some_cases_need(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, required: list[str], status: int
) -> None:
    versions = {"lmerTest": "3.1-3", "pbkrtest": None, "emmeans": None}
    there = rsession.Availability("4.2.2", lme4_version="1.1-31", package_versions=versions)
    monkeypatch.setattr(rsession, "availability", lambda: there)
    monkeypatch.setattr("rparity.doctor.cases", dict)
    assert main(["doctor", *required]) == status
    said = " ".join(capsys.readouterr().out.split())
    assert "lmerTest 3.1-3, pbkrtest missing, emmeans missing; needed only to ask R" in said
    assert "apt-get install r-cran-lmertest r-cran-pbkrtest r-cran-emmeans" in said
