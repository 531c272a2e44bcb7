"""The modes of the plugin, in sessions of pytest inside a test, with a stand-in for R."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fake_r import FakeR
from plugin_sessions import ONE, Run, recordings, said

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
    assert result.ret != pytest.ExitCode.OK  # of pytest 7.0 with a newer pluggy it is another error
    assert "invalid choice: 'reply'" in result.stderr.str()
    pytester.makeini("[pytest]\nr_parity_mode = reply")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "r_parity_mode is 'reply' in " in result.stderr.str()


def test_help_names_the_modes(run: Run) -> None:
    text = said(run("--help"))
    assert "--r={replay,live,record,check,review,webr}" in text
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
