"""R in its own process: values keep all bits, and every crash of R is survived."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from places import R_SCRIPTS, ROOT
from proc import eventually, lives
from rparity.errors import (
    RCrashedError,
    RError,
    RNotAvailableError,
    RTimeoutError,
    UsageError,
    install,
)
from rparity.r import process
from rparity.r.from_r import from_wire
from rparity.r.process import CASE_PACKAGES, INSTALL_PACKAGES, missing_package
from rparity.r.session import RSession, availability
from rparity.r.to_r import to_wire

SCRIPT = R_SCRIPTS / "misbehave.R"
PROVENANCE = ROOT / "r_scripts" / "provenance.R"
# The tests below fail in these seconds instead of hanging.
LIMIT = 30.0
# set.seed(1); sprintf("%.17g", rnorm(1))
FIRST_DRAW = -0.62645381074233242

live = pytest.mark.live


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    with RSession(timeout=LIMIT) as session:
        yield session


# Values without R -------------------------------------------------------------------------------


def wired(value: object) -> object:
    return from_wire(to_wire(value))


@pytest.mark.parametrize(
    "value", [None, True, 3, -(2**31) + 1, 2**31, 2**53, 0.1, -0.0, "é", "", {"a": {"b": 1}}]
)
def test_scalars_survive_translation(value: object) -> None:
    back = wired(value)
    assert back == value
    assert repr(back) == repr(float(value) if isinstance(value, int) and value > 2**30 else value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "NULL"),
        (True, "logical"),
        (np.bool_(True), "logical"),
        (1, "integer"),
        (np.int64(1), "integer"),
        (-(2**31), "double"),
        (np.uint64(2**40), "double"),
        (np.float32(1), "double"),
        ("a", "character"),
        ([1, None], "integer"),
        ([1, float("nan")], "double"),
        ([True, 2.5], "double"),
        ([None, "a"], "character"),
        ([None], "logical"),
        ([1, [2]], "list"),
        ((), "list"),
        (np.array(["a"]), "character"),
        (np.array([], dtype=float), "double"),
        (np.array([], dtype=int), "integer"),
        (np.array(2.0), "double"),
        (pd.Series([1, None], dtype="Int64"), "integer"),
        (pd.Series([True, None], dtype="boolean"), "logical"),
        (pd.Series([1.5, None], dtype="Float64"), "double"),
        (pd.Series(["a", None]), "character"),
        (pd.Index(["a"]), "character"),
        (pd.Categorical(["a"]), "integer"),
        (pd.Timestamp("2024-01-01"), "double"),
        (np.datetime64("2024-01-01"), "double"),
    ],
)
def test_each_value_has_its_type_in_r(value: object, kind: str) -> None:
    assert to_wire(value)[0] == kind


# No R -------------------------------------------------------------------------------------------


@pytest.fixture
def fake_r(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An R on the PATH that knows its home and its version and nothing else."""
    home = tmp_path / "R"
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "R"
    program.write_text(
        f'#!/bin/sh\ncase $1 in RHOME) echo {home};; *) echo "R version 4.2.2 (fake)";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home / "bin"))
    monkeypatch.delenv("R_HOME", raising=False)
    return home


def fake_rpy2(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    (folder / "rpy2").mkdir()
    (folder / "rpy2" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def refusal() -> str:
    with RSession() as session, pytest.raises(RNotAvailableError) as caught:
        session.call(SCRIPT, "echo", {"x": 1})
    found = availability()
    assert str(caught.value) == f"{found.problem}: {found.remedy}"
    return str(caught.value)


def test_no_r(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    assert refusal() == (
        "R is not installed (no R on the PATH): apt-get install r-base-core r-cran-lme4 make"
    )
    assert availability().r_version is None


def test_wrong_r_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_HOME", str(tmp_path))
    assert refusal() == f"R_HOME is {tmp_path}, but there is no R in it: unset R_HOME"


def test_no_rpy2(fake_r: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_rpy2(tmp_path, monkeypatch, "raise ModuleNotFoundError('No module named rpy2')")
    monkeypatch.setattr(process, "rpy2_version", lambda: None)
    assert refusal() == f"rpy2 is not installed: RPY2_CFFI_MODE=ABI {install('r')}"
    assert availability().r_version == "4.2.2"
    assert availability().r_home == str(fake_r)


def test_rpy2_too_new(fake_r: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_rpy2(tmp_path, monkeypatch, "raise AttributeError('R_ParentEnv')")
    monkeypatch.setattr(process, "rpy2_version", lambda: "3.6.7")
    assert refusal() == (
        "rpy2-rinterface 3.6.7 needs R 4.5 or newer and this is R 4.2.2: "
        'RPY2_CFFI_MODE=ABI pip install "rpy2-rinterface>=3.6.5,<3.6.6"'
    )


def test_r_without_its_library(
    fake_r: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_rpy2(tmp_path, monkeypatch, "raise OSError('cannot load libR.so: no such file')")
    monkeypatch.setattr(process, "rpy2_version", lambda: "3.6.5")
    assert str(fake_r) in refusal()
    assert "--enable-R-shlib" in refusal()


def test_rpy2_that_dies(fake_r: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_rpy2(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(process, "rpy2_version", lambda: "3.6.5")
    assert "killed by signal 11" in refusal()


def test_import_leaves_rpy2_alone() -> None:
    code = "import sys, rparity.r.session; sys.exit(any('rpy2' in m for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_such_script() -> None:
    with RSession() as session, pytest.raises(UsageError, match=r"nowhere\.R"):
        session.call(Path("nowhere.R"), "f")


def test_seed_of_more_than_32_bits() -> None:
    with RSession() as session, pytest.raises(UsageError, match="seed"):
        session.call(SCRIPT, "draws", {"n": 1}, seed=2**31)


# Values through R -------------------------------------------------------------------------------


def assert_same_bits(left: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_array_equal(left.view(np.uint64), right.view(np.uint64))


@live
def test_doubles_keep_all_bits(r: RSession) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**63, 100_000).view(np.float64)
    values = values[np.isfinite(values)]
    special = [0.0, -0.0, np.inf, -np.inf, 5e-324, np.nextafter(1, 2), np.finfo(float).max]
    values = np.concatenate([special, values, -values])
    assert_same_bits(r.call(SCRIPT, "echo", {"x": values}).value, values)


@live
def test_r_sees_special_doubles_as_python_has_them(r: RSession) -> None:
    seen = r.call(SCRIPT, "bits", {"x": np.array([0.1, -0.0, np.nan])}).value
    assert seen["hex"].tolist()[:2] == ["0x1.999999999999ap-4", "-0x0p+0"]
    assert seen["na"].tolist() == [False, False, True]


@live
def test_values_of_every_kind_from_r(r: RSession) -> None:
    v = r.call(SCRIPT, "values").value
    assert v["double"] == 0.1 + 0.2
    assert type(v["integer"]) is int
    assert v["logical"] is True
    assert v["string"] == "é"
    assert v["nothing"] is None
    assert np.isnan(v["na"])
    assert np.isnan(v["na_integer"])
    assert v["na_string"] is None
    np.testing.assert_array_equal(v["vector"], [1, np.nan, np.nan, np.inf, -np.inf, 0])
    assert np.signbit(v["vector"][-1])
    assert v["integers"].dtype == np.int64
    np.testing.assert_array_equal(v["integers_na"], [1, np.nan])
    assert v["logicals"].tolist() == [True, False]
    assert v["strings"].tolist() == ["a", None]
    assert v["empty"].shape == (0,)
    assert v["no_strings"].shape == (0,)
    pd.testing.assert_series_equal(v["named"], pd.Series({"(Intercept)": 1.5, "x": 2.0}))
    pd.testing.assert_series_equal(v["named_one"], pd.Series({"x": 1.0}))
    expected = pd.DataFrame(
        np.array([[1, 3, 5], [2, 4, 6]]) / 3, index=["a", "b"], columns=["p", "q", "r"]
    )
    pd.testing.assert_frame_equal(v["matrix"], expected, check_exact=True)
    assert isinstance(v["bare_matrix"].columns, pd.RangeIndex)
    assert v["bare_matrix"].loc[0].tolist() == ["a", "b"]
    np.testing.assert_array_equal(v["array"], np.arange(1, 9).reshape(2, 2, 2, order="F"))
    pd.testing.assert_series_equal(v["table"], pd.Series({"u": 4.0, "v": 2.0}))
    assert v["factor"].categories.tolist() == ["b", "a"]
    assert v["factor"].codes.tolist() == [0, 1, -1]
    assert v["ordered"].ordered
    assert v["date"] == np.datetime64("2024-02-29")
    assert v["dates"].astype(str).tolist() == ["1969-12-31", "NaT"]
    assert v["frame"].index.tolist() == ["first", "second"]
    assert v["frame"]["s"].isna().tolist() == [False, True]
    assert v["frame"]["x"].dtype == np.float64
    assert isinstance(v["numbered"].index, pd.RangeIndex)
    assert v["numbered"]["i"].tolist() == [1, 2]
    assert v["no_rows"].shape == (0, 1)
    assert v["nested"] == {"a": {"b": 1.0}}
    assert v["bare_list"] == [1.0, "a"]
    assert v["empty_list"] == []


@live
def test_strings_of_another_encoding(r: RSession) -> None:
    assert r.call(SCRIPT, "in_latin1").value == "é"


@live
@pytest.mark.parametrize(
    ("value", "r_type", "r_class", "missing"),
    [
        (np.array([1.0, np.nan]), "double", "numeric", 1),
        (pd.Series([1, None], dtype="Int64"), "integer", "integer", 1),
        (pd.Series([True, None], dtype="boolean"), "logical", "logical", 1),
        (["a", None], "character", "character", 1),
        (pd.Categorical(["b", None], categories=["b", "a"]), "integer", "factor", 1),
        (pd.to_datetime(pd.Series(["2024-02-29", None])), "double", "Date", 1),
        (np.arange(3), "integer", "integer", 0),
        ([], "list", "list", 0),
    ],
)
def test_types_of_arguments(
    r: RSession, value: object, r_type: str, r_class: str, missing: int
) -> None:
    seen = r.call(SCRIPT, "typed", {"x": value}).value
    assert (seen["type"], seen["class"], seen["missing"]) == (r_type, r_class, missing)


@live
def test_a_data_frame_comes_back_from_r_unchanged(r: RSession) -> None:
    frame = pd.DataFrame(
        {
            "x": [0.1, np.nan, -0.0],
            "i": [1, 2, 3],
            "b": [True, False, True],
            "s": ["u", "é", None],
            "f": pd.Categorical(["b", "a", None], categories=["b", "z", "a"]),
            "o": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
            "d": pd.to_datetime(["2024-02-29", None, "1900-01-01"]).astype("datetime64[s]"),
        }
    )
    back = r.call(SCRIPT, "echo", {"x": frame}).value
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    named = frame.set_axis(["first", "10", "é"])
    back = r.call(SCRIPT, "echo", {"x": named}).value
    pd.testing.assert_frame_equal(back, named, check_exact=True)


@live
def test_a_dict_of_a_matrix_and_a_series_comes_back_from_r(r: RSession) -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    back = r.call(SCRIPT, "echo", {"x": {"m": matrix, "s": pd.Series({"a": 1, "b": 2})}}).value
    np.testing.assert_array_equal(back["m"].to_numpy(), matrix)
    pd.testing.assert_series_equal(back["s"], pd.Series({"a": 1, "b": 2}))


@live
def test_large_values_are_quick(r: RSession) -> None:
    values = np.random.default_rng(1).normal(size=1_000_000)
    r.call(SCRIPT, "echo", {"x": 1})
    start = time.perf_counter()
    assert_same_bits(r.call(SCRIPT, "echo", {"x": values}).value, values)
    assert time.perf_counter() - start < 3


@live
@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("return_closure", r"returned a function \(closure\); return what it gives"),
        ("return_environment", "an environment"),
        ("return_formula", "an object of class formula"),
        ("twice", "occur twice"),
    ],
)
def test_values_that_python_cannot_take_are_refused(r: RSession, function: str, what: str) -> None:
    with pytest.raises(RError, match=what):
        r.call(SCRIPT, function)


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
