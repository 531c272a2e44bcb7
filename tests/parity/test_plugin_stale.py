"""Recordings that are missing or stale, and calls that make no sense, with a stand-in for R."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fake_r import FakeR
from plugin_sessions import ONE, Run, recordings, said


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
    (pytester.path / file).write_text("another <- 1\n")
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


# Arguments of call() -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replay", "live"])
@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("'nowhere.R', 'f'", "There is no R script {path}/nowhere.R that can be read"),
        ("'f.R', 'f', libraries='no.R'", "There is no R script {path}/no.R that can be read"),
        ("'f.R', 'f', seed=1.5", "The seed must be a whole number, and is 1.5."),
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
    for result in (run("--r=record"), run(), run("--r=live")):
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
