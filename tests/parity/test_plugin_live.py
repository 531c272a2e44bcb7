"""The plugin with R itself: a port in ten lines, random streams, isolation, and bad R code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from places import R_SCRIPTS, TESTS
from plugin_sessions import recordings, said
from rparity.errors import RCrashedError, RError, RTimeoutError
from rparity.parity.calls import RParity

pytestmark = pytest.mark.live

Run = Callable[..., pytest.RunResult]
FILE = Path(__file__)

TEN_LINES = """
import scipy.stats

x = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
y = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 11.0]

def test_welch(r_parity):
    r = r_parity.call("welch.R", "welch", x=x, y=y, seed=1)
    s = scipy.stats.ttest_ind(x, y, equal_var=False)
    r.check({"glance": {"statistic": s.statistic, "p_value": s.pvalue, "df": s.df}}, rtol=1e-10)
"""
WELCH = """
welch <- function(x, y) {
  t <- t.test(x, y)
  list(glance = c(statistic = t$statistic[["t"]], p_value = t$p.value, df = t$parameter[["df"]]))
}
"""


@pytest.fixture
def run(inner: Run) -> Run:
    return inner


def without_r(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("R_HOME", raising=False)


def test_ten_lines_record_and_replay_where_there_is_no_r(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_welch=TEN_LINES)
    (pytester.path / "welch.R").write_text(WELCH)
    run("--r=record").assert_outcomes(passed=1)
    run("--r=live").assert_outcomes(passed=1)
    result = run("--r=check")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 answers of R as recorded, bit for bit"])
    without_r(monkeypatch)
    run().assert_outcomes(passed=1)
    pytester.makepyfile(test_welch=TEN_LINES.replace("equal_var=False", "equal_var=True"))
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*glance p_value *", "*glance df *", "*R 4.*seed 1, recorded *"])


def test_recordings_say_what_r_says(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(R_SCRIPTS / "ports.R", pytester.path)
    pytester.makepyfile(
        test_a="""
        import pathlib
        import pickle

        def test_one(r_parity):
            r = r_parity.call("ports.R", "everything")
            seen = pathlib.Path(f"seen.{len(list(pathlib.Path().glob('seen.*')))}")
            seen.write_bytes(pickle.dumps(r.value))
            r.check(r.value, rtol=0)
        """
    )
    for mode in ("record", "live"):
        run(f"--r={mode}").assert_outcomes(passed=1)
    without_r(monkeypatch)
    run().assert_outcomes(passed=1)
    seen = [path.read_bytes() for path in sorted(pytester.path.glob("seen.*"))]
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_r_answers_as_it_did_when_recorded(pytester: pytest.Pytester, run: Run) -> None:
    for folder in ("r", "data/plugin"):
        shutil.copytree(TESTS / folder, pytester.path / folder)
    result = run("--r=check", "data/plugin/ports.py")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["* answers of R *"])


def test_values_of_every_kind(r: RParity) -> None:
    answer = r.call("../r/ports.R", "everything")
    v = answer.value
    assert (v["number"], v["integer"], v["text"]) == (0.1 + 0.2, 7, "é")
    assert type(v["integer"]) is int
    assert np.isnan(v["logical"])
    assert v["missing"] is None
    assert v["day"] == np.datetime64("2024-02-29")
    np.testing.assert_array_equal(v["special"], [1, np.nan, np.nan, np.inf, -np.inf, -0.0])
    frame = v["frame"]
    assert frame.index.tolist() == ["first", "second", "third"]
    assert frame["ok"].tolist() == [True, pd.NA, False]
    assert frame["level"].cat.categories.tolist() == ["lo", "hi"]
    assert frame["level"].isna().tolist() == [False, False, True]
    assert isinstance(v["numbered"].index, pd.RangeIndex)
    assert v["nested"] == {"a": {"b": True}}
    answer.check(v, rtol=0)


def test_arguments_keep_their_types(r: RParity) -> None:
    frame = pd.DataFrame(
        {
            "x": [1.5, np.nan],
            "i": pd.array([1, None], "Int64"),
            "b": [True, False],
            "s": ["u", None],
            "g": pd.Categorical(["b", None], categories=["b", "z", "a"]),
            "o": pd.Categorical(["lo", "hi"], categories=["lo", "hi"], ordered=True),
            "d": pd.to_datetime(["2024-02-29", None]),
        }
    )
    day = pd.Timestamp("2024-02-29")
    answer = r.call(
        "../r/ports.R", "seen", n=1.5, s="a", b=True, d=day, v=np.array([1.0, np.nan]), f=frame
    )
    answer.check(
        {
            "types": {"n": "double", "s": "character", "b": "logical", "d": "Date", "v": "double"},
            "missing": 1,
            "columns": {
                "x": "numeric",
                "i": "integer",
                "b": "logical",
                "s": "character",
                "g": "factor",
                "o": "ordered",
                "d": "Date",
            },
            "levels": ["b", "z", "a"],
            "ordered": True,
            "gone": {"x": 1, "i": 1, "b": 0, "s": 1, "g": 1, "o": 0, "d": 1},
        }
    )


def test_python_draws_what_r_drew(r: RParity) -> None:
    answer = r.call("../r/ports.R", "draws", n=2000, seed=20240229)
    rng = answer.rng
    mine = {"rnorm": rng.rnorm(2000), "runif": rng.runif(2000), "rexp": rng.rexp(2000)}
    answer.check({**mine, "sample": rng.sample(2000)}, rtol=0)
    with pytest.raises(AssertionError, match="rnorm 1 "):
        answer.check({"rnorm": rng.rnorm(2000)}, only="rnorm", rtol=0)


def test_a_call_sees_nothing_of_earlier_calls(r: RParity, tmp_path: Path) -> None:
    assert r.call("../r/ports.R", "counted").value == 1
    assert r.call("../r/ports.R", "leave_traces").value == 1
    assert not r.call("../r/ports.R", "traces").value.any()
    assert r.call("../r/ports.R", "counted").value == 1


def test_the_user_s_profile_is_not_read(
    r: RParity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".Rprofile").write_text("read_profile <- TRUE; options(digits = 3)")
    (tmp_path / ".Renviron").write_text("RPARITY_TRACE=1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("R_PROFILE_USER", str(tmp_path / ".Rprofile"))
    monkeypatch.chdir(tmp_path)
    assert not r.call("../r/ports.R", "traces").value.any()


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        ("leave", RCrashedError, "R died during leave() (it quit with status 0); R code must not"),
        ("crash", RCrashedError, "R died during crash() (killed by signal 11); run the script"),
        ("fail", RError, "R error in fail(): no good"),
        ("closure", RError, "closure() returned a function (closure); return what it gives"),
        ("environment_", RError, "environment_() returned an environment; return as.list()"),
        ("formula_", RError, "formula_() returned an object of class formula; return its text"),
        ("count", RError, "R error in count(): ports.R defines no such function"),
        ("wichmann", RError, "wichmann() changed R's random number generator to Wichmann-Hill,"),
    ],
)
def test_misbehaving_r_code_fails_with_a_message_and_harms_nothing_else(
    r: RParity, function: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        r.call("../r/ports.R", function, seed=1)
    assert str(caught.value).startswith(says)
    assert r.call("../r/ports.R", "counted").value == 1


def test_a_function_of_a_package_needs_the_package_s_name(r: RParity) -> None:
    with pytest.raises(RError, match=r"; R attaches no package: write lme4::lmer$"):
        r.r("lmer(y ~ 1)", packages=["lme4"])
    with pytest.raises(RError, match=r"write PACKAGE::lmer$"):
        r.r("lmer(y ~ 1)")


def test_an_endless_loop_is_stopped(r: RParity) -> None:
    with pytest.raises(RTimeoutError, match=r"R did not finish spin\(\) within 2 s"):
        r.call("../r/ports.R", "spin", timeout=2.0)


def test_a_megabyte_of_output_is_no_part_of_the_answer(
    r: RParity, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = r.call("../r/ports.R", "shout")
    assert answer.value == 1
    assert answer.provenance["warnings"] == ["and clear"]
    assert answer.provenance["messages"] == ["loud"]
    shown = capsys.readouterr().out
    assert shown.startswith("shout() printed:\nxxx")
    assert len(shown) < 6000


def test_the_provenance_names_versions_and_platform(r: RParity) -> None:
    made_by = r.call("../r/ports.R", "counted", packages=["lme4"]).provenance["made_by"]
    assert made_by["r_version"].startswith("R version ")
    assert made_by["rng_kind"]["sample_kind"] == "Rejection"
    assert made_by["contrasts"] == {"unordered": "contr.treatment", "ordered": "contr.poly"}
    assert set(made_by["packages"]) >= {"R", "lme4"}
    assert {"platform", "blas", "lapack", "locale"} <= set(made_by)


def test_eight_workers_record_at_once(pytester: pytest.Pytester, run: Run) -> None:
    (pytester.path / "f.R").write_text("f <- function(x) c(x = x, y = 2 * x)\n")
    pytester.makepyfile(
        test_a="""
        import pytest

        @pytest.mark.parametrize("x", range(16))
        def test_one(r_parity, x):
            r_parity.call("f.R", "f", x=x).check({"x": x, "y": 2 * x}, rtol=0)
        """
    )
    plugins = ["-p", "rparity.pytest_plugin", "-p", "xdist.plugin"]
    result = pytester.runpytest_subprocess(*plugins, "--r=record", "-n8")
    result.assert_outcomes(passed=16)
    result.stdout.fnmatch_lines(["16 answers of R recorded:"])
    assert len(recordings(pytester.path)) == 16
    result = run()
    result.assert_outcomes(passed=16)
    assert "r_parity" not in said(result).replace("-p rparity", "")
