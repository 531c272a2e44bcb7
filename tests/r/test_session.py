"""R in its own process: what it says, its scripts, random numbers, and crashes."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bits import assert_same_bits
from places import R_SCRIPTS, ROOT
from proc import eventually, lives
from rparity.errors import (
    RCrashedError,
    RError,
    RNotAvailableError,
    RTimeoutError,
)
from rparity.r.process import CASE_PACKAGES, INSTALL_PACKAGES, missing_package
from rparity.r.session import RSession, availability

SCRIPT = R_SCRIPTS / "misbehave.R"
PROVENANCE = ROOT / "r_scripts" / "provenance.R"
# The tests below fail in these seconds instead of hanging.
LIMIT = 30.0
# set.seed(1); sprintf("%.17g", rnorm(1))
FIRST_DRAW = -0.62645381074233242

live = pytest.mark.live


# Talk -------------------------------------------------------------------------------------------


@live
def test_warnings_and_messages(r: RSession) -> None:
    result = r.call(SCRIPT, "talk")
    assert result.messages == ("one", "two")
    assert len(result.warnings) == 2
    assert result.warnings[0].endswith("x" * 3000)
    assert "NAs introduced by coercion" in result.warnings[1]
    assert result.output == ""
    assert result.elapsed > 0


@live
def test_messages_arrive_at_once() -> None:
    arrived: list[tuple[str, float]] = []
    with RSession(on_message=lambda text: arrived.append((text, time.monotonic()))) as session:
        session.call(SCRIPT, "message_then_sleep", {"seconds": 0.5}, timeout=LIMIT)
    (first, t1), (second, t2) = arrived
    assert (first, second) == ("now", "later")
    assert t2 - t1 > 0.4


@live
def test_an_error_in_on_message_stops_r() -> None:
    def refuse(text: str) -> None:
        raise KeyboardInterrupt

    with RSession(on_message=refuse) as session:
        with pytest.raises(KeyboardInterrupt):
            session.call(SCRIPT, "message_then_sleep", {"seconds": 60})
        assert session.pid is None
        assert session.call(SCRIPT, "echo", {"x": 1}).value == 1


@live
def test_an_oserror_in_on_message_is_raised_unchanged() -> None:
    def refuse(text: str) -> None:
        raise BrokenPipeError("the terminal is gone")

    with RSession(on_message=refuse) as session, pytest.raises(BrokenPipeError, match="terminal"):
        session.call(SCRIPT, "message_then_sleep", {"seconds": 60})


@live
def test_printed_output(r: RSession, capfd: pytest.CaptureFixture[str]) -> None:
    assert r.call(SCRIPT, "print_little").output == "[1] 1 2 3\nto stderr\n"
    assert r.call(SCRIPT, "ask").value == ""
    assert capfd.readouterr() == ("", "")


@live
def test_much_output_is_cut_off(r: RSession) -> None:
    result = r.call(SCRIPT, "print_much", {"n": 1_500_000})
    assert result.value == 1_500_000
    assert result.output == "é" * 1_000_000 + "\n[500000 more characters cut off]"
    assert r.call(SCRIPT, "echo", {"x": 1}).output == ""


@live
def test_errors_carry_r_s_message(r: RSession) -> None:
    with pytest.raises(RError, match=r"^R error in fail\(\): no good$"):
        r.call(SCRIPT, "fail")
    with pytest.raises(RError, match="grouping factors must have > 1 sampled level"):
        r.call(SCRIPT, "fail_deep")
    with pytest.raises(RError, match=r"misbehave\.R defines no such function"):
        r.call(SCRIPT, "mean")
    with pytest.raises(RError, match="unused argument"):
        r.call(SCRIPT, "echo", {"x": 1, "y": 2})


@live
def test_errors_end_with_the_calls_that_led_to_them(r: RSession, tmp_path: Path) -> None:
    script = tmp_path / "deep.R"
    script.write_text(
        "g <- function(y) h(y = y + 1)\n"
        'h <- function(y) stop("no good")\n'
        "f <- function(x) {\n  g(x)\n}\n"
        'falls <- function(n) if (n > 0) falls(n - 1) else stop("the ground")\n'
        "long <- function(x) do.call(solve.default, list(matrix(0, 99, 99)))\n"
        "caught <- function(x) tryCatch(f(x), error = conditionMessage)\n"
        'unfit <- function(x) { try(f(x), silent = TRUE); list(x = quote(a + "b")) }\n'
    )

    def error(function: str, **arguments: Any) -> RError:
        with pytest.raises(RError) as found:
            r.call(script, function, arguments)
        return found.value

    assert str(error("f", x=1)) == (
        "R error in f(): no good\n  in h(y = y + 1)\n  called from g(x)\n  called from f(x = x)"
    )
    calls = error("falls", n=60).calls
    assert len(calls) == 20
    assert {*calls} == {"falls(n - 1)", "… (42 more calls)", "falls(n = n)"}
    calls = error("long", x=1).calls
    assert calls[0].startswith("(function (a, b, tol")
    assert max(map(len, calls)) <= 100
    assert r.call(script, "caught", {"x": 1}).value == "no good"
    assert error("unfit", x=1).calls == ()  # no call of R's raised this one
    with pytest.raises(RError) as found:
        r.evaluate("function(x) f(x)", {"x": 1}, libraries=[script])
    assert found.value.calls == ("h(y = y + 1)", "g(x)", "f(x)", "r(x = x)")
    script.write_text('g <- function() stop("at once")\ng()')
    assert str(error("f")) == 'R error in source("deep.R"): at once\n  in g()'


@pytest.mark.parametrize("package", CASE_PACKAGES)
def test_a_missing_package_of_a_case_is_installed_with_the_others(package: str) -> None:
    assert str(missing_package(package)) == (
        f"The R package {package} is not installed: {INSTALL_PACKAGES} "
        f'(or install.packages("{package}") in R)'
    )


@live
def test_missing_package(r: RSession) -> None:
    with pytest.raises(RNotAvailableError) as caught:
        r.call(SCRIPT, "use_package")
    assert str(caught.value) == (
        "The R package aPackageThatNobodyHas is not installed: "
        'install.packages("aPackageThatNobodyHas") in R'
    )


@live
def test_r_sees_names_of_arguments_not_data(r: RSession) -> None:
    assert r.call(SCRIPT, "call_of", {"data": np.zeros(1000)}).value == "call_of(data = data)"


# Scripts ----------------------------------------------------------------------------------------


@live
def test_edited_script_is_sourced_again(r: RSession, tmp_path: Path) -> None:
    script = tmp_path / "edited.R"
    script.write_text("f <- function() helper() + 1")
    helper = tmp_path / "helper.R"
    helper.write_text("helper <- function() 1")
    assert r.call(script, "f", libraries=[helper]).value == 2
    helper.write_text("helper <- function() 2")
    assert r.call(script, "f", libraries=[helper]).value == 3
    script.write_text("f <- function() -helper()")
    assert r.call(script, "f", libraries=[helper]).value == -2
    with pytest.raises(RError, match="helper"):
        r.call(script, "f")


@live
def test_scripts_do_not_see_each_other(r: RSession, tmp_path: Path) -> None:
    one, two = tmp_path / "one.R", tmp_path / "two.R"
    one.write_text("f <- function() g()\ng <- function() 1")
    two.write_text("f <- function() g()\ng <- function() 2")
    assert [r.call(script, "f").value for script in (one, two, one)] == [1, 2, 1]


@live
def test_script_that_does_not_parse(r: RSession, tmp_path: Path) -> None:
    script = tmp_path / "broken.R"
    script.write_text("f <- function( {")
    with pytest.raises(RError, match=r'^R error in source\("broken\.R"\): .*unexpected'):
        r.call(script, "f")
    script.write_text("f <- function() 1")
    assert r.call(script, "f").value == 1


# Random numbers and settings --------------------------------------------------------------------


@live
def test_seed(r: RSession) -> None:
    first = r.call(SCRIPT, "draws", {"n": 3}, seed=1).value
    assert first[0] == FIRST_DRAW
    rest = r.call(SCRIPT, "draws", {"n": 3}).value
    both = r.call(SCRIPT, "draws", {"n": 6}, seed=1).value
    assert_same_bits(np.concatenate([first, rest]), both)


@live
def test_a_call_cannot_poison_the_next(r: RSession) -> None:
    before = r.call(SCRIPT, "settings").value
    draw = r.call(SCRIPT, "draws", {"n": 2}, seed=1).value
    r.call(SCRIPT, "poison")
    assert_same_bits(r.call(SCRIPT, "draws", {"n": 2}, seed=1).value, draw)
    r.call(SCRIPT, "poison")
    result = r.call(SCRIPT, "settings")
    for name, value in before.items():
        np.testing.assert_array_equal(result.value[name], value, err_msg=name)
    assert before["kinds"].tolist() == ["Mersenne-Twister", "Inversion", "Rejection"]
    assert before["contrasts"].tolist() == ["contr.treatment", "contr.poly"]
    assert before["collate"] == "C"


@live
def test_profiles_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    for place in (home, folder):
        place.mkdir()
        (place / ".Rprofile").write_text(
            'poisoned_by_profile <- TRUE; options(contrasts = c("contr.sum", "contr.poly"))\n'
            'cat("hello from the profile\\n"); stop("no start")'
        )
        (place / ".Renviron").write_text("R_DEFAULT_PACKAGES=NULL\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("R_PROFILE_USER", str(home / ".Rprofile"))
    monkeypatch.chdir(folder)
    with RSession(timeout=LIMIT) as session:
        seen = session.call(SCRIPT, "settings").value
    assert seen["contrasts"].tolist() == ["contr.treatment", "contr.poly"]
    assert not seen["poisoned"]
    assert "--vanilla" in seen["args"]
    assert sorted(path.name for path in folder.iterdir()) == [".Renviron", ".Rprofile"]


@live
def test_two_sessions_have_streams_of_their_own(r: RSession) -> None:
    expected = r.call(SCRIPT, "draws", {"n": 20}, seed=1).value
    drawn: dict[int, np.ndarray] = {}

    def draw(key: int) -> None:
        with RSession(timeout=LIMIT) as session:
            drawn[key] = session.call(SCRIPT, "pause_and_draw", {"n": 20}, seed=1).value

    threads = [threading.Thread(target=draw, args=(key,)) for key in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same_bits(drawn[1], expected)
    assert_same_bits(drawn[2], expected)


# Crashes and hangs ------------------------------------------------------------------------------


@live
@pytest.mark.parametrize(
    ("function", "arguments", "cause"),
    [
        ("leave", {"status": 0}, r"quit with status 0\); .*quit\(\)"),
        ("leave", {"status": 3}, "quit with status 3"),
        ("crash", {}, "killed by signal 11"),
        ("spawn_and_crash", {}, "killed by signal 9"),
    ],
)
def test_death_of_r(function: str, arguments: dict[str, int], cause: str) -> None:
    with RSession(timeout=LIMIT) as session:
        with pytest.raises(RCrashedError, match=rf"R died during {function}\(\) \(.*{cause}"):
            session.call(SCRIPT, function, arguments)
        assert session.call(SCRIPT, "echo", {"x": 1}).value == 1


@live
def test_kill_in_mid_call() -> None:
    with RSession(timeout=LIMIT, on_message=lambda _: os.kill(pids[-1], signal.SIGKILL)) as session:
        session.call(SCRIPT, "echo", {"x": 1})
        assert session.pid is not None
        pids = [session.pid]
        start = time.monotonic()
        with pytest.raises(RCrashedError, match=r"killed by signal 9\); if the memory ran out"):
            session.call(SCRIPT, "message_then_sleep", {"seconds": 60})
        assert time.monotonic() - start < 5
        assert session.call(SCRIPT, "echo", {"x": 2}).value == 2
        assert session.pid not in pids


@live
def test_time_out() -> None:
    with RSession() as session:
        session.call(SCRIPT, "echo", {"x": 1})
        pid = session.pid
        assert pid is not None
        start = time.monotonic()
        with pytest.raises(RTimeoutError, match=r"spin\(\) within 0\.3 s"):
            session.call(SCRIPT, "spin", timeout=0.3)
        assert time.monotonic() - start < 2
        assert not lives(pid)
        assert session.call(SCRIPT, "echo", {"x": 2}).value == 2


@live
def test_endless_recursion(r: RSession) -> None:
    with pytest.raises((RError, RCrashedError)):
        r.call(SCRIPT, "recurse")
    assert r.call(SCRIPT, "echo", {"x": 1}).value == 1


@live
def test_forgotten_session_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    session = RSession(timeout=LIMIT)
    session.call(SCRIPT, "echo", {"x": 1})
    pid = session.pid
    assert pid is not None
    assert list(tmp_path.iterdir())
    del session
    assert not lives(pid)
    assert not list(tmp_path.iterdir())


@live
def test_r_ends_when_its_parent_is_killed() -> None:
    code = (
        "import sys, pathlib; from rparity.r.session import RSession\n"
        "s = RSession(on_message=lambda text: print(s.pid, flush=True))\n"
        "s.call(pathlib.Path(sys.argv[1]), 'message_then_sleep', {'seconds': 60})\n"
    )
    command = [sys.executable, "-c", code, str(SCRIPT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert lives(pid)
        parent.kill()
    eventually(lambda: not lives(pid), "R goes on", 5.0)


# From everywhere --------------------------------------------------------------------------------


def draw_elsewhere(connection: object = None) -> float:
    with RSession(timeout=LIMIT) as session:
        value = float(session.call(SCRIPT, "draws", {"n": 1}, seed=1).value)
    if connection is not None:
        with contextlib.closing(connection):  # type: ignore[type-var]
            connection.send(value)  # type: ignore[attr-defined]
    return value


@live
@pytest.mark.parametrize("daemon", [False, True])
def test_from_a_spawned_process(daemon: bool) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=draw_elsewhere, args=(theirs,), daemon=daemon)
    process.start()
    theirs.close()
    assert ours.poll(LIMIT)
    assert ours.recv() == FIRST_DRAW
    ours.close()
    process.join()
    assert process.exitcode == 0
    process.close()


@live
def test_one_session_in_many_threads(r: RSession) -> None:
    seen: list[float] = []
    threads = [
        threading.Thread(
            target=lambda i=i: seen.append(r.call(SCRIPT, "echo", {"x": i}).value)  # type: ignore[misc]
        )
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(8))


@live
def test_availability() -> None:
    found = availability()
    assert found.problem is None
    assert found.r_version
    assert found.lme4_version
    assert found.rpy2_version
    assert Path(str(found.r_home)).is_dir()


@live
def test_provenance(r: RSession) -> None:
    seen = r.call(PROVENANCE, "provenance", {"packages": ["lme4", "aPackageThatNobodyHas"]}).value
    assert seen["r_version"].startswith("R version ")
    assert seen["rng_kind"].tolist() == ["Mersenne-Twister", "Inversion", "Rejection"]
    assert seen["contrasts"].tolist() == ["contr.treatment", "contr.poly"]
    assert {"R", "lme4", "Matrix", "nloptr", "minqa", "boot", "Rcpp"} <= set(seen["packages"].index)
    assert pd.isna(seen["packages"]["aPackageThatNobodyHas"])
    assert "stats" not in seen["packages"].index
    assert not any("/" in str(seen[name]) for name in ("blas", "lapack"))


@live
def test_provenance_by_hand() -> None:
    command = ["Rscript", "--vanilla", str(PROVENANCE)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
    assert "lapack" in answer.stdout
