"""`--r=review`: changes of recordings are shown, and made if the user agrees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fake_r import FakeR
from plugin_sessions import ONE, Run, recordings, said
from rparity.parity import session

Review = Callable[..., pytest.RunResult]


@pytest.fixture
def review(run: Run, monkeypatch: pytest.MonkeyPatch) -> Review:
    """Review with these answers of the user; fail if there are more questions or fewer."""

    def with_answers(*answers: str) -> pytest.RunResult:
        left = list(answers)
        monkeypatch.setattr(session, "terminal", lambda: lambda _question: left.pop(0))
        result = run("--r=review")
        assert not left
        return result

    return with_answers


def three_tests(pytester: pytest.Pytester, *lines: str) -> None:
    pytester.makepyfile(
        test_a="".join(
            f"def test_{i}(r_parity):\n    r_parity.call('f.R', 'both', x={i}.0)\n"
            for i in range(3)
        )
    )
    FakeR.functions["both"] = lambda x: {"a": x, "b": 1.5}


def test_nothing_to_review(pytester: pytest.Pytester, run: Run, review: Review) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record")
    result = review()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*= r_parity =*")


@pytest.mark.parametrize("agrees", [True, False])
def test_calls_without_a_recording_are_one_question(
    pytester: pytest.Pytester, review: Review, agrees: bool
) -> None:
    three_tests(pytester)
    result = review("y" if agrees else "n")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["3 calls without a recording:", "  r_recordings/test_a/test_0.1.json"]
    )
    assert len(recordings(pytester.path)) == (3 if agrees else 0)


def test_each_changed_answer_is_shown_with_its_digits(
    pytester: pytest.Pytester, run: Run, review: Review
) -> None:
    three_tests(pytester)
    run("--r=record").assert_outcomes(passed=3)
    before = recordings(pytester.path)
    FakeR.functions["both"] = lambda x: {"a": x, "b": 1.5 + 1e-6 * (x > 0)}
    result = review("what?", "n", "y")
    result.stdout.fnmatch_lines(
        [
            "r_recordings/test_a/test_1.1.json:",
            "term * recorded * R now * digits",
            "b * 1.5 * 1.500001 * 6.2*",
            "r_recordings/test_a/test_2.1.json:",
            "1 changed answers of R not recorded:",
            "1 answers of R recorded:",
        ]
    )
    changed = {n for n, content in recordings(pytester.path).items() if content != before[n]}
    assert changed == {"r_recordings/test_a/test_2.1.json"}
    review("a")
    assert recordings(pytester.path) != before
    review()


def test_quitting_records_nothing_more(pytester: pytest.Pytester, run: Run, review: Review) -> None:
    three_tests(pytester)
    run("--r=record")
    before = recordings(pytester.path)
    FakeR.functions["both"] = lambda x: {"a": x + 1, "b": 1.5}
    review("q")
    assert recordings(pytester.path) == before


def test_stale_recordings_with_the_same_answer_are_one_question(
    pytester: pytest.Pytester, run: Run, review: Review
) -> None:
    three_tests(pytester)
    run("--r=record").assert_outcomes(passed=3)
    (pytester.path / "f.R").write_text("another <- 1\n")
    result = review("y")
    result.assert_outcomes(passed=3)
    expected = "3 recordings of another question, to which R's answer is the same:"
    result.stdout.fnmatch_lines([expected])
    run().assert_outcomes(passed=3)


def test_a_stale_recording_with_another_answer_says_why(
    pytester: pytest.Pytester, run: Run, review: Review
) -> None:
    pytester.makepyfile(test_a=ONE)
    run("--r=record")
    pytester.makepyfile(test_a=ONE.replace("x=1.5", "x=2.5").replace("3.0", "5.0"))
    result = review("y")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*is stale: the argument x is not what it was*", "* 3 * 5 *"])
    run().assert_outcomes(passed=1)


def test_without_a_terminal_nothing_is_recorded(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_a=ONE)
    result = run("--r=review")
    result.stdout.fnmatch_lines(["There is no terminal to ask on, so nothing is recorded."])
    assert recordings(pytester.path) == {}


def test_many_stale_recordings_are_a_line_each_and_one_of_summary(
    pytester: pytest.Pytester, run: Run
) -> None:
    three_tests(pytester)
    run("--r=record").assert_outcomes(passed=3)
    (pytester.path / "f.R").write_text("another <- 1\n")
    result = run()
    result.assert_outcomes(failed=3)
    stale = [line for line in result.outlines if "The recording" in line and "is stale" in line]
    failures = [line for line in stale if line.startswith("test_a.py:")]
    assert [line.partition(": The recording ")[0] for line in failures] == [
        "test_a.py:2",
        "test_a.py:4",
        "test_a.py:6",
    ]
    # pytest's own summary repeats the message where `CI` is set: it cuts the lines elsewhere.
    assert all(line in failures or line.startswith("FAILED ") for line in stale)
    result.stdout.fnmatch_lines(["3 tests without a valid recording: `pytest --r=review`*"])
    assert "r_parity.call" not in said(result)
