"""webR in place of an R that is installed: the same calls, values, errors and recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rparity.cli import main
from rparity.errors import RCrashedError, RError, RNotAvailableError, UsageError
from rparity.r.session import RSession

SCRIPT = """
port <- function(x, y) {
  message("it begins")
  warning("it warns")
  print("it prints")
  test <- t.test(x, y)
  list(p = test$p.value, table = data.frame(a = 1:3, b = c("x", NA, "é")),
       levels = factor(c("u", "v", "u")), named = c(a = 1, b = NA))
}
draws <- function() rnorm(3)
fails <- function() stop("no good")
quits <- function() quit(status = 3)
fits <- function() lme4::lmer(1)
leaks <- function() { options(digits = 3); assign("leaked", 1, envir = globalenv()); 1 }
sees <- function() c(getOption("digits"), exists("leaked"))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("webr") / "script.R"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RPARITY_R", "webr")
        with RSession(timeout=120) as session:
            yield session


@pytest.mark.webr
def test_values_messages_warnings_and_output_cross(r: RSession, script: Path) -> None:
    found = r.call(script, "port", {"x": np.array([1.0, 2, 3, 5]), "y": [2.0, 3.0, 9.1]})
    assert found.value["p"] == pytest.approx(0.4805547737492352, rel=1e-12)
    assert found.value["table"]["b"].tolist()[::2] == ["x", "é"]
    assert list(found.value["levels"]) == ["u", "v", "u"]
    pd.testing.assert_series_equal(found.value["named"], pd.Series({"a": 1.0, "b": np.nan}))
    assert (found.messages, found.warnings) == (("it begins",), ("it warns",))
    assert found.output == '[1] "it prints"\n'


@pytest.mark.webr
def test_the_random_stream_is_that_of_r(r: RSession, script: Path) -> None:
    # set.seed(1); rnorm(3)
    expected = [-0.6264538107423324, 0.18364332422208224, -0.8356286124100471]
    assert r.call(script, "draws", seed=1).value.tolist() == pytest.approx(expected, rel=1e-15)
    assert r.call(script, "draws").drawn is not None


@pytest.mark.webr
def test_errors_are_those_of_r(r: RSession, script: Path) -> None:
    with pytest.raises(RError, match=r"R error in fails\(\): no good"):
        r.call(script, "fails")
    with pytest.raises(
        RNotAvailableError, match="only the packages that are part of R, and not lme4"
    ):
        r.call(script, "fits")
    with pytest.raises(RCrashedError, match=r"quit with status 3.*R code must not call quit"):
        r.call(script, "quits")
    assert r.call(script, "sees").value[0] == 7


@pytest.mark.webr
def test_calls_apart_leave_nothing_behind(r: RSession, script: Path) -> None:
    with r.apart(("stats4",)):
        r.call(script, "leaks")
    with r.apart():
        assert r.call(script, "sees").value.tolist() == [7, 0]


@pytest.mark.webr
def test_a_test_is_recorded_by_webr(pytester: pytest.Pytester, script: Path) -> None:
    pytester.makepyfile(
        """
        def test_mean(r_parity):
            r_parity.r("mean(x)", x=[1.0, 2.0, 6.0]).check(3.0)
        """
    )
    pytester.runpytest_subprocess("--r=webr").assert_outcomes(passed=1)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    (recording,) = pytester.path.rglob("test_mean.1.json")
    assert "wasm32-unknown-emscripten" in recording.read_text("utf-8")


def test_without_node_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RPARITY_R", "webr")
    monkeypatch.setenv("PATH", str(tmp_path))
    with RSession() as session, pytest.raises(RNotAvailableError, match="npm install webr ws"):
        session.versions()


def checked(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Return the status of `rparity doctor`, and what it says about R."""
    status = main(["doctor", *options])
    lines = " ".join(capsys.readouterr().out.split()).split(" – signatures")[0]
    return status, lines[lines.index(" R: ") - 1 :]


@pytest.fixture
def no_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rparity.doctor.cases", dict)


@pytest.mark.usefixtures("no_cases")
def test_the_doctor_says_how_to_install_node_and_webr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPARITY_R", "webr")
    monkeypatch.setenv("PATH", str(tmp_path))
    status, says = checked(capsys)
    assert status == 0
    assert says.startswith("– R: Node is not installed, which runs webR; the cases need an R that")
    assert "[webr]" in says
    assert says.endswith("&& npm install webr ws")
    status, _ = checked(capsys, "--require-r")
    assert status == 2


@pytest.mark.usefixtures("no_cases")
def test_the_doctor_says_where_webr_is_sought(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program in the place of Node says what Node says where the package is missing."""
    said = {"problem": ["MODULE_NOT_FOUND", "Cannot find module 'webr'"]}
    (tmp_path / "said").write_text(json.dumps(said))
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\nexec /bin/cat {tmp_path}/said\n")
    node.chmod(0o755)
    monkeypatch.setenv("RPARITY_R", "webr")
    monkeypatch.setenv("PATH", str(tmp_path))
    _, says = checked(capsys)
    assert "webR is neither in this folder nor in that of RPARITY_WEBR (" in says
    assert says.endswith("npm install webr ws")


@pytest.mark.webr
@pytest.mark.usefixtures("no_cases")
def test_the_doctor_names_webr_and_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPARITY_R", "webr")
    status, says = checked(capsys)
    assert status == 0
    assert says.startswith("✓ R: webR, R 4.")
    assert "for calls of tests; the cases need an R that is installed (unset RPARITY_R)" in says


@pytest.mark.usefixtures("no_cases")
def test_the_doctor_says_that_a_choice_of_r_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPARITY_R", "rust")
    _, says = checked(capsys)
    assert "RPARITY_R is 'rust'; it is 'webr' or not set; needed only by" in says
    assert says.endswith("unset RPARITY_R")


def test_another_choice_of_r_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPARITY_R", "rust")
    with (
        RSession() as session,
        pytest.raises(UsageError, match="RPARITY_R is 'rust'; it is 'webr'"),
    ):
        session.versions()
