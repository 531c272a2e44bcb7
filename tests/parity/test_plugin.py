"""The plugin, in sessions of pytest inside a test, with a stand-in for R."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fake_r import FakeR
from places import SUPPORT, TESTS
from rparity.parity import calls
from rparity.parity.store import Place
from rparity.r.session import RSession

ONE = """
def test_one(r_parity):
    r_parity.call("f.R", "double", x=1.5).check(3.0)
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, inner: Run) -> Run:
    """A session of pytest in a folder with an R file; functions of Python answer for R."""
    functions = FakeR.functions | {"double": lambda x: 2 * x, "nothing": lambda: 0.0}
    monkeypatch.setattr(calls, "RSession", FakeR)
    monkeypatch.setattr(FakeR, "functions", functions)
    monkeypatch.setattr(FakeR, "asked", [])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    (pytester.path / "f.R").write_text("# double(), nothing()\n")
    (pytester.path / "lib.R").write_text("# helpers\n")

    return lambda *options: inner(*map(str, options))


def recordings(folder: Path) -> dict[str, bytes]:
    """Return the recordings below a folder, their content by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("r_recordings/**/*"))
        if path.is_file()
    }


def said(result: pytest.RunResult) -> str:
    return result.stdout.str()


# Modes ------------------------------------------------------------------------------------------


def test_what_is_recorded_is_replayed_without_r(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record").assert_outcomes(passed=1)
    assert FakeR.asked == ["double"]
    (name,) = recordings(pytester.path)
    assert name == "r_recordings/test_a/test_one.1.json"
    run().assert_outcomes(passed=1)
    run("--r=replay").assert_outcomes(passed=1)
    assert FakeR.asked == ["double"]


def test_a_recording_holds_the_call_and_its_provenance(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        test_a="""
        def test_one(r_parity):
            r = r_parity.call("f.R", "double", x=1.5, seed=7, libraries=["lib.R"])
            assert r.provenance["made_by"]["packages"] == {"R": "4.2.2"}
            assert r.provenance["time"] == "1970-01-02T00:00:00Z"
        """
    )
    run("--r=record").assert_outcomes(passed=1)
    (content,) = recordings(pytester.path).values()
    document = json.loads(content)
    assert list(document)[:2] == ["asked", "value"]
    asked = document["asked"]
    assert (asked["script"], asked["function"], asked["seed"]) == ("f.R", "double", 7)
    assert list(asked["scripts"]) == ["lib.R", "f.R"]
    assert document["value"] == {"vector": "double", "rows": [[None, 3.0]]}
    assert document["made_by"]["contrasts"]["unordered"] == "contr.treatment"
    assert document["command"] == "pytest --r=record test_a.py::test_one"
    assert str(pytester.path).encode() not in content
    run().assert_outcomes(passed=1)


def test_live_asks_r_and_leaves_the_recordings_alone(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=live").assert_outcomes(passed=1)
    assert FakeR.asked == ["double"]
    assert recordings(pytester.path) == {}


def test_live_compares_with_the_answer_of_today(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record").assert_outcomes(passed=1)
    FakeR.functions["double"] = lambda x: 3 * x
    run().assert_outcomes(passed=1)
    result = run("--r=live")
    result.assert_outcomes(failed=1)
    assert "R 4.2.2 on stand-in, asked now" in said(result)


def test_recording_again_changes_nothing_where_r_answers_the_same(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_a=ONE)
    result = run("--r=record")
    result.stdout.fnmatch_lines(
        ["1 answers of R recorded:", "  r_recordings/test_a/test_one.1.json"]
    )
    before = recordings(pytester.path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "172800")
    result = run("--r=record")
    result.stdout.fnmatch_lines(["1 recordings left as they were: R answers the same"])
    assert recordings(pytester.path) == before
    FakeR.functions["double"] = lambda x: np.nextafter(2 * x, 4)
    run("--r=record").assert_outcomes(passed=1)
    assert recordings(pytester.path) != before


def test_a_call_whose_check_fails_is_recorded(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE.replace("3.0", "4.0"))
    run("--r=record").assert_outcomes(failed=1)
    assert len(recordings(pytester.path)) == 1


def test_an_error_of_r_leaves_the_recording(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record").assert_outcomes(passed=1)
    before = recordings(pytester.path)
    FakeR.functions["double"] = lambda **_: pd.Series([1, 2], ["a", "a"])
    result = run("--r=record")
    result.assert_outcomes(failed=1)
    assert "double() returned a vector of 2 with the name 'a' twice" in said(result)
    assert recordings(pytester.path) == before


def test_the_mode_can_be_set_in_the_ini_file(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    pytester.makeini("[pytest]\nr_parity_mode = live")
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["r_parity: live"])
    result = run("--r", "replay")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("r_parity: *")


def test_an_unknown_mode_is_refused(pytester: pytest.Pytester, run: Run) -> None:
    result = run("--r=reply")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "invalid choice: 'reply'" in result.stderr.str()
    pytester.makeini("[pytest]\nr_parity_mode = reply")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "r_parity_mode is 'reply' in " in result.stderr.str()


def test_help_names_the_modes(run: Run) -> None:
    text = said(run("--help"))
    assert "--r={replay,live,record,check}" in text
    assert "r_parity_mode (string):" in text


def test_a_session_without_calls_shows_nothing(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a="def test_one(): pass")
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*r_parity*")


# Drift ------------------------------------------------------------------------------------------


@pytest.fixture
def drifted(pytester: pytest.Pytester, run: Run) -> Run:
    """Record a test, and run it with --r=check when R's answer has changed by a factor."""

    def check(body: str, factor: float) -> pytest.RunResult:
        pytester.makepyfile(test_a=f"def test_one(r_parity):\n    {body}")
        run("--r=record").assert_outcomes(passed=1)
        before = recordings(pytester.path)
        FakeR.functions["double"] = lambda x: 2 * x * factor
        result = run("--r=check")
        assert recordings(pytester.path) == before
        return result

    return check


CALL = 'r = r_parity.call("f.R", "double", x=1.5)'


def test_no_drift(drifted: Run) -> None:
    result = drifted(f"{CALL}; r.check(3.0)", 1.0)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 answers of R as recorded, bit for bit"])


def test_drift_within_the_tolerance_of_the_test_is_noted(drifted: Run) -> None:
    result = drifted(f"{CALL}; r.check(3.0, rtol=1e-5)", 1 + 1e-7)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "1 answers of R other than recorded:",
            "  r_recordings/test_a/test_one.1.json: 7.0 digits at least; R 4.2.2",
        ]
    )


def test_drift_beyond_the_tolerance_of_the_test_fails(drifted: Run) -> None:
    result = drifted(f"{CALL}; r.check(3.0, rtol=1e-9)", 1 + 1e-7)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*R differs from its recording in 1 value of double() in f.R:",
            "*term * recording * R today  digits  tolerance",
        ]
    )


def test_drift_of_values_that_the_test_does_not_compare_passes(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_a="""
        def test_one(r_parity):
            r_parity.call("f.R", "both").check({"a": 1.0}, only="a")
        """
    )
    FakeR.functions["both"] = lambda: {"a": 1.0, "b": 1.0}
    run("--r=record").assert_outcomes(passed=1)
    FakeR.functions["both"] = lambda: {"a": 1.0, "b": 2.0}
    result = run("--r=check")
    result.assert_outcomes(passed=1)
    assert "1 answers of R other than recorded" in said(result)


def test_drift_of_an_answer_that_is_never_checked_fails(drifted: Run) -> None:
    result = drifted(f"{CALL}; assert r.value > 2", 1 + 1e-7)
    result.assert_outcomes(passed=1, errors=1)
    assert "R differs from its recording" in said(result)


def test_the_values_of_a_check_are_the_recorded_ones(drifted: Run) -> None:
    drifted(f"{CALL}; assert r.value == 3.0", 1 + 1e-9).assert_outcomes(passed=1)


def test_check_needs_a_recording(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    result = run("--r=check")
    result.assert_outcomes(failed=1)
    assert "There is no recording" in said(result)
    assert FakeR.asked == []


# What is missing or stale -----------------------------------------------------------------------


def test_a_missing_recording_is_an_error_with_the_command_that_makes_it(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(test_a=ONE)
    result = run()
    result.assert_outcomes(failed=1)
    path = pytester.path / "r_recordings" / "test_a" / "test_one.1.json"
    assert (
        f"There is no recording {path} of call 1 of test_one, double() in f.R: run "
        "`pytest --r=record test_a.py::test_one`, which needs R."
    ) in said(result)


def test_the_command_works_from_where_pytest_ran(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pytester.mkdir("deep")
    (folder / "test_a.py").write_text(
        "import pytest\nclass TestB:\n    @pytest.mark.parametrize('x', ['a b'])\n"
        "    def test_c(self, r_parity, x):\n        r_parity.call('../f.R', 'nothing')\n"
    )
    assert "`pytest --r=record 'deep/test_a.py::TestB::test_c[a b]'`" in said(run())
    monkeypatch.chdir(folder)
    result = run()
    assert "`pytest --r=record 'test_a.py::TestB::test_c[a b]'`" in said(result)
    run("--r=record", "test_a.py::TestB::test_c[a b]").assert_outcomes(passed=1)
    monkeypatch.chdir(pytester.path)
    run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("x=1.5", "x=2.5", "the argument x is not what it was when R answered"),
        ("x=1.5", "x=[1.5, 2.5]", "the argument x is not what it was when R answered"),
        ("x=1", "x=1.0", "the argument x is not what it was when R answered"),
        ("x=1.5", "x=1.5, seed=1", "seed was None and is now 1"),
        ("x=1.5, seed=1", "x=1.5, seed=2", "seed was 1 and is now 2"),
        ("x=1.5", "x=1.5, packages=['lme4']", "packages was [] and is now ['lme4']"),
        ("x=1.5", "x=1.5, libraries='lib.R'", "lib.R has changed since R answered"),
        ("x=1.5", "x=1.5, y=2", "the argument y is not what it was when R answered"),
        (
            "'double', x=1.5",
            "'nothing'",
            "call 1 of the test was double() in f.R and is now nothing() in f.R",
        ),
    ],
)
def test_a_recording_of_another_call_is_stale(
    pytester: pytest.Pytester, run: Run, before: str, after: str, says: str
) -> None:
    call = before if before.startswith("'") else f"'double', {before}"
    text = f"def test_one(r_parity):\n    r_parity.call('f.R', {call})"
    pytester.makepyfile(test_a=text)
    run("--r=record").assert_outcomes(passed=1)
    pytester.makepyfile(test_a=text.replace(before, after))
    result = run()
    result.assert_outcomes(failed=1)
    path = pytester.path / "r_recordings" / "test_a" / "test_one.1.json"
    remedy = "run `pytest --r=record test_a.py::test_one`, which needs R."
    assert f"The recording {path} is stale: {says}; {remedy}" in said(result)


def test_another_order_of_arguments_is_the_same_call(pytester: pytest.Pytester, run: Run) -> None:
    FakeR.functions["sum"] = lambda x, y: x + y
    text = "def test_one(r_parity):\n    r_parity.call('f.R', 'sum', x=1, y=2)"
    pytester.makepyfile(test_a=text)
    run("--r=record").assert_outcomes(passed=1)
    pytester.makepyfile(test_a=text.replace("x=1, y=2", "y=2, x=1"))
    run().assert_outcomes(passed=1)


@pytest.mark.parametrize("file", ["f.R", "lib.R"])
def test_a_changed_script_is_stale(pytester: pytest.Pytester, run: Run, file: str) -> None:
    pytester.makepyfile(
        test_a="""
        def test_one(r_parity):
            r_parity.call("f.R", "double", x=1.5, libraries=["lib.R"]).check(3.0)
        """
    )
    run("--r=record").assert_outcomes(passed=1)
    (pytester.path / file).write_text("# another\n")
    result = run()
    result.assert_outcomes(failed=1)
    assert f"is stale: {file} has changed since R answered" in said(result)
    run("--r=record").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_the_recording_of_another_test_is_refused(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record").assert_outcomes(passed=1)
    folder = pytester.path / "r_recordings" / "test_a"
    (folder / "test_one.1.json").rename(folder / "test_two.1.json")
    pytester.makepyfile(test_a=ONE.replace("test_one", "test_two"))
    assert "is stale: it is of another test, test_one;" in said(run())


@pytest.mark.parametrize("content", ["", "{}", "null", "[1]", '{"digest": 3}', "\x00"])
def test_a_file_that_is_not_a_recording_is_refused_by_name(
    pytester: pytest.Pytester, run: Run, content: str
) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record").assert_outcomes(passed=1)
    path = pytester.path / "r_recordings" / "test_a" / "test_one.1.json"
    path.write_text(content)
    assert f"{path} is corrupt" in said(run())
    run("--r=record").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_a_recording_that_another_program_sealed_is_refused_by_name(
    pytester: pytest.Pytester, run: Run
) -> None:
    from rparity.files import seal

    pytester.makepyfile(test_a=ONE)
    path = pytester.path / "r_recordings" / "test_a" / "test_one.1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(seal({"asked": {"test": "test_one"}, "value": {}})))
    assert f"{path} is not a recording of a call" in said(run())


# Arguments of call() ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replay", "live"])
@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("'nowhere.R', 'f'", "There is no R script {path}/nowhere.R that can be read"),
        ("'f.R', 'f', libraries='no.R'", "There is no R script {path}/no.R that can be read"),
        ("'f.R', 'f', seed=1.5", "The seed must be a whole number, and is 1.5."),
        ("'f.R', 'f', x=1j", "argument x of f() cannot be handed to R (complex)"),
        ("'f.R', 'f', x=object()", "argument x of f() cannot be handed to R (object)"),
    ],
)
def test_a_call_that_makes_no_sense(
    pytester: pytest.Pytester, run: Run, mode: str, call: str, says: str
) -> None:
    pytester.makepyfile(test_a=f"def test_one(r_parity):\n    r_parity.call({call})")
    assert says.format(path=pytester.path) in said(run(f"--r={mode}"))


def test_a_package_that_is_not_installed(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        test_a="def test_one(r_parity): r_parity.call('f.R', 'nothing', packages='mgcv')"
    )
    expected = 'The R package mgcv is not installed: install.packages("mgcv") in R'
    assert expected in said(run("--r=record"))
    assert recordings(pytester.path) == {}


def test_a_function_that_changes_the_generator(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeR, "rng_kind", ("Wichmann-Hill", "Inversion", "Rejection"))
    text = "def test_one(r_parity): r_parity.call('f.R', 'nothing', seed=1)"
    pytester.makepyfile(test_a=text)
    expected = (
        "nothing() changed R's random number generator to Wichmann-Hill, Inversion, Rejection"
    )
    assert expected in said(run("--r=live"))
    pytester.makepyfile(test_a=text.replace(", seed=1", ""))
    run("--r=live").assert_outcomes(passed=1)


def test_errors_show_the_line_of_the_test_and_none_of_the_plugin(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(test_a=ONE.replace("3.0", "4.0"))
    for result in (run(), run("--r=live")):
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([">   * r_parity.call(*"])
        result.stdout.no_fnmatch_line("*harness/rparity/parity/*")


def test_all_differences_are_shown_where_asked_for(pytester: pytest.Pytester, run: Run) -> None:
    FakeR.functions["zeros"] = lambda: np.zeros(100)
    pytester.makepyfile(
        test_a="def test_one(r_parity): r_parity.call('f.R', 'zeros').check([1] * 100)"
    )
    assert "… and 40 more; pytest -vv shows them all." in said(run("--r=live"))
    result = run("--r=live", "-vv")
    result.stdout.no_fnmatch_line("*more; pytest*")
    assert sum(line.endswith("rtol 1e-08") for line in result.outlines) >= 100


# Names ------------------------------------------------------------------------------------------


def test_classes_parameters_and_calls_have_recordings_of_their_own(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_a="""
        import pytest

        class TestB:
            class TestC:
                @pytest.mark.parametrize("x", [1, 2.5, "a b/c", "é", "A", "a", "x" * 300, "", ".."])
                def test_d(self, r_parity, x):
                    assert r_parity.call("f.R", "echo", x=x).value == x
                    assert r_parity.call("f.R", "echo", x=[x, x]).value.tolist() == [x, x]

        @pytest.mark.parametrize("x", ["a", "A", "a-b", "a:b", "a*b"])
        def test_d(r_parity, x):
            assert r_parity.call("f.R", "echo", x=x).value == x
        """
    )
    FakeR.functions["echo"] = lambda x: x
    run("--r=record").assert_outcomes(passed=14)
    names = [Path(name).name for name in recordings(pytester.path)]
    assert len(names) == 2 * 9 + 5
    assert len({name.lower() for name in names}) == len(names)  # for file systems that fold case
    assert all(name.isascii() and len(name) < 220 for name in names)
    assert not any(character in name for name in names for character in ' /\\:*?"<>|')
    assert {"TestB.TestC.test_d[1].1.json", "TestB.TestC.test_d[1].2.json", "test_d[a].1.json"} < (
        set(names)
    )
    run().assert_outcomes(passed=14)


def test_files_of_the_same_name_in_two_folders(pytester: pytest.Pytester, run: Run) -> None:
    for folder in ("one", "two"):
        pytester.mkpydir(folder)
        (pytester.path / folder / "f.R").write_text(f"# {folder}")
        (pytester.path / folder / "test_a.py").write_text(ONE)
    run("--r=record").assert_outcomes(passed=2)
    assert sorted(recordings(pytester.path)) == [
        f"{folder}/r_recordings/test_a/test_one.1.json" for folder in ("one", "two")
    ]
    run().assert_outcomes(passed=2)


def test_names_of_tests_that_differ_in_capitals_only_are_refused(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_a="""
        def test_case(r_parity):
            r_parity.call("f.R", "echo", x=1)

        def test_Case(r_parity):
            r_parity.call("f.R", "echo", x=1)
        """
    )
    FakeR.functions["echo"] = lambda x: x
    result = run("--r=record")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_Case.1.json and test_case.1.json for one file*"])
    assert sorted(recordings(pytester.path)) == ["r_recordings/test_a/test_case.1.json"]


def test_names_of_recordings_are_stable() -> None:
    file = Path("/tests/test_a.py")
    long, odd = Place(file, "t[" + "x" * 150 + "]"), Place(file, "t[é b]")
    assert Place(file, "TestA.test_b[x-1]").stem == "TestA.test_b[x-1]"
    assert long.stem == "t-" + "x" * 58 + "-f6177f6c5d42"
    assert odd.recording(3) == Path("/tests/r_recordings/test_a") / f"{odd.stem}.3.json"


# Orphans ----------------------------------------------------------------------------------------

THREE = """
import pytest

@pytest.mark.parametrize("x", [1, 2])
def test_one(r_parity, x):
    r_parity.call("f.R", "double", x=x).check(2 * x)
    r_parity.call("f.R", "nothing").check(0.0)

def test_two(r_parity):
    r_parity.call("f.R", "nothing").check(0.0)

def test_three():
    pass
"""
ALL = ["test_one[1].1", "test_one[1].2", "test_one[2].1", "test_one[2].2", "test_two.1"]


@pytest.fixture
def three(pytester: pytest.Pytester, run: Run) -> Run:
    """Change the recorded file of tests, run pytest, and list the orphans it reports."""
    pytester.makepyfile(test_a=THREE)
    run("--r=record").assert_outcomes(passed=4)
    assert len(recordings(pytester.path)) == len(ALL)

    def orphans(change: Callable[[str], str], *options: str, of: Run = run) -> list[str]:
        pytester.makepyfile(test_a=change(THREE))
        lines = of(*options).outlines
        found = [i for i, line in enumerate(lines) if "recordings that no test uses" in line]
        if not found:
            return []
        listed = [line.strip() for line in lines[found[0] + 1 :] if line.startswith("  r_rec")]
        assert lines[found[0]] == f"{len(listed)} recordings that no test uses: remove them:"
        names = [line.removeprefix("r_recordings/") for line in listed]
        return [name.removeprefix("test_a/").removesuffix(".json") for name in names]

    return orphans


def same(text: str) -> str:
    return text


def test_there_are_no_orphans_if_all_recordings_are_used(three: Run) -> None:
    assert three(same) == three(same, "--r=live") == three(same, "--r=check") == []


@pytest.mark.parametrize(
    ("before", "after", "orphans"),
    [
        ("def test_two", "def test_2", ["test_two.1"]),
        ("[1, 2]", "[1]", ["test_one[2].1", "test_one[2].2"]),
        ('(2 * x)\n    r_parity.call("f.R", "nothing").check(0.0)', "(2 * x)", ALL[1:4:2]),
        ("def test_", "def no_test_", []),  # nothing collected: nothing known
        ("def test_one", "def no_test_one", ALL[:4]),
        ("(r_parity)", "()", []),  # fails: it might have called
        ("(r_parity):\n", "():\n    return\n", ["test_two.1"]),
        ("(r_parity):\n", "(r_parity):\n    pytest.skip('later')\n", []),
        ("(r_parity):\n", "(r_parity):\n    assert 0\n", []),
    ],
)
def test_recordings_that_no_test_uses_are_listed(
    three: Run, before: str, after: str, orphans: list[str]
) -> None:
    assert three(lambda text: text.replace(before, after)) == orphans


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "test_three"],
        ["-k", "not test_one"],
        ["test_a.py::test_three"],
        ["test_a.py::test_two", "test_a.py::test_three"],
        ["--deselect", "test_a.py::test_one"],
        ["--collect-only"],
        ["-x"],
        ["--maxfail=1"],
    ],
)
def test_recordings_of_deselected_tests_are_not_listed(three: Run, options: list[str]) -> None:
    # test_two does not exist, but a session that runs a part of the file cannot know that.
    if options[0] in ("-x", "--maxfail=1"):
        assert three(lambda text: text.replace("2 * x", "0 * x"), *options) == []
    else:
        assert three(lambda text: text.replace("def test_two", "def two"), *options) == []


def test_orphans_of_a_passed_test_are_listed_although_others_are_deselected(three: Run) -> None:
    def with_one_call(text: str) -> str:
        return text.replace("(r_parity):\n", "():\n    return\n")

    assert three(with_one_call, "-k", "test_two") == ["test_two.1"]


def test_last_failed_deselects_tests(three: Run) -> None:
    def failing(text: str) -> str:
        return text.replace("def test_two", "def test_2").replace("    pass", "    assert 0")

    assert three(failing) == ["test_two.1"]
    assert three(failing, "--lf") == []


def test_tests_that_a_conftest_drops_are_deselected(pytester: pytest.Pytester, three: Run) -> None:
    pytester.makeconftest("def pytest_collection_modifyitems(items): del items[:3]")
    assert three(same) == []


def test_recordings_of_a_missing_test_file_are_listed(
    pytester: pytest.Pytester, three: Run
) -> None:
    (pytester.path / "r_recordings" / "test_a").rename(pytester.path / "r_recordings" / "test_b")
    assert three(same, "--r=record") == [f"test_b/{name}" for name in ALL]


def test_other_files_are_no_orphans(pytester: pytest.Pytester, three: Run) -> None:
    (pytester.path / "r_recordings" / "test_a" / "notes.json").write_text("{}")
    (pytester.path / "r_recordings" / "README.md").write_text("")
    assert three(same) == []


# Beside other plugins, and without R ------------------------------------------------------------

CONFTEST = """
import rparity.parity.calls
from fake_r import FakeR

rparity.parity.calls.RSession = FakeR
FakeR.functions |= {"double": lambda x: 2 * x, "nothing": lambda: 0.0}
"""


@pytest.fixture
def apart(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """A session of pytest in its own process, with pytest-xdist."""
    paths = [str(SUPPORT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    pytester.makeconftest(CONFTEST)
    plugins = ["-p", "rparity.pytest_plugin", "-p", "xdist.plugin"]
    return lambda *options: pytester.runpytest_subprocess(*plugins, *options)


def test_xdist_workers_record_and_list_orphans_once(
    pytester: pytest.Pytester, run: Run, three: Run, apart: Run
) -> None:
    def changed(text: str) -> str:
        return text.replace("def test_two", "def test_2").replace("[1, 2]", "[1, 3]")

    assert three(changed, "--r=record", "-n2", "-v", of=apart) == ALL[2:]
    names = {Path(name).name.removesuffix(".json") for name in recordings(pytester.path)}
    assert names == {*ALL, "test_one[3].1", "test_one[3].2", "test_2.1"}
    run().assert_outcomes(passed=4)


def test_beside_pytest_regressions_and_without_a_cache(pytester: pytest.Pytester, run: Run) -> None:
    both = ["-p", "pytest_datadir.plugin", "-p", "pytest_regressions.plugin"]
    pytester.makepyfile(
        test_a=ONE + "\ndef test_two(num_regression): num_regression.check({'a': [1.0]})"
    )
    run(*both, "--r=record", "--force-regen")
    before = recordings(pytester.path)
    run(*both, "-p", "no:cacheprovider").assert_outcomes(passed=2)
    pytester.makepyfile(test_a=ONE.replace("3.0", "4.0") + "\ndef test_two(num_regression): pass")
    result = run(*both, "-p", "no:cacheprovider", "--force-regen")
    result.assert_outcomes(passed=1, failed=1)
    assert recordings(pytester.path) == before


def test_recordings_of_r_are_replayed_without_r(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RSession", None)
    for folder in ("r", "data/plugin"):
        shutil.copytree(TESTS / folder, pytester.path / folder)
    run("data/plugin/ports.py").assert_outcomes(passed=4)


@pytest.mark.parametrize("mode", ["live", "record", "check"])
def test_a_missing_r_fails_with_what_to_install(
    pytester: pytest.Pytester, run: Run, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record").assert_outcomes(passed=1)
    monkeypatch.setattr(calls, "RSession", RSession)
    monkeypatch.setenv("PATH", str(pytester.path))
    monkeypatch.delenv("R_HOME", raising=False)
    result = run(f"--r={mode}")
    result.assert_outcomes(failed=1)
    expected = "R is not installed (no R on the PATH): apt-get install r-base-core r-cran-lme4 make"
    assert expected in said(result)
    run().assert_outcomes(passed=1)


def test_the_plugin_imports_no_heavy_package() -> None:
    code = (
        "import sys, rparity.pytest_plugin;"
        "heavy = {'numpy', 'pandas', 'scipy', 'rich', 'rpy2', 'rparity.compare'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
