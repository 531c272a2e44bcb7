"""R itself, now: against Python, against its recording, and against what the question printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from places import R_SCRIPTS
from rparity import paths, recordings, regenerate
from rparity.cases import extensions
from rparity.cases.base import Case
from rparity.cases.document import DOCUMENT
from rparity.cases.streams import stream_tables
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.compare import Reference, Tolerance, Verdict, compare
from rparity.diagnosis.between_rs import VersionAnswer, difference
from rparity.engines.base import Question
from rparity.engines.r import R
from rparity.errors import RCrashedError, RecordingError
from rparity.r.session import RSession
from rparity.r.version import nearest
from rparity.recordings import Recording
from rparity.run import CaseRun, run_case

pytestmark = pytest.mark.live

NSIM = 60
FEW = 5
SUMMARIES = R_SCRIPTS / "summaries.R"
Capture = pytest.CaptureFixture[str]


# Python and the recording against R -------------------------------------------------------------


@pytest.fixture(scope="module")
def live() -> CaseRun:
    """The document, with R asked now."""
    return run_case(DOCUMENT, fixtures=Path("nowhere"), live=True, nsim=NSIM)


def failing(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    bad = rows[[Verdict(verdict).fails for verdict in rows["verdict"]]]
    return list(bad[["engine", "table", "row", "column", "verdict"]].itertuples(index=False))


def test_python_agrees_with_live_r(live: CaseRun) -> None:
    assert failing(live.comparisons) == []
    assert live.live
    # The bootstraps too: the same draws, replicate by replicate.
    for part in ("boot_simulate_u", "boot_fix_u"):
        rows = live.comparisons.query(f"table == '{part}.replicates' and reference == 'R'")
        assert len(rows) == 2 * NSIM
    # The published bootstraps had 10,000 replicates: those of a few are not compared with them.
    assert "boot_fix_u.boot" not in set(live.comparisons.query("reference == 'published'")["table"])
    assert len(live.comparisons.query("table == 'lmer.confint_boot'")) == 8


def test_live_r_agrees_with_its_recording(
    live: CaseRun,
) -> None:
    now = VersionAnswer(live.r_tables, live.provenance)
    label = nearest(recordings.versions(paths.fixtures(), "document"), now.version)
    then = DOCUMENT.recording(paths.fixtures(), label)
    found = difference(DOCUMENT, now, VersionAnswer(then.tables, then.provenance))
    assert failing(found.comparisons) == []
    assert found.comparisons["table"].nunique() > 30
    if found.older == found.newer:  # the recorded R: nothing is to be explained
        assert list(found.findings) == []


def test_the_first_replicates_do_not_depend_on_how_many_there_are_with_use_u(
    live: CaseRun, recorded: dict[str, Recording]
) -> None:
    """A check of the checks: without use_u they do, since all random effects are drawn first."""
    now = live.r_tables["boot_simulate_u.replicates"]
    then = recorded["document"].tables["boot_simulate_u.replicates"].iloc[:NSIM]
    assert not np.allclose(now, then)


def test_r_is_the_same_r_as_the_recordings(live: CaseRun, recorded) -> None:
    """Not a rule but a fact to know when the test above fails."""
    made_by = recorded["document"].provenance["made_by"]
    assert live.provenance["made_by"].keys() == made_by.keys()


def test_streams_of_two_seeds() -> None:
    with RSession(timeout=60) as session:
        tables = session.call(
            paths.r_scripts() / "streams.R", "streams", {"seeds": [1, -2147483647], "n": 20_000}
        ).value["tables"]
    exact = Reference("R", tables, lambda _t, _c: Tolerance(0.0, "the same draws"))
    mine = {
        f"draws.{kind}": table for kind, table in stream_tables([1, -2147483647], 20_000).items()
    }
    found = compare("streams", "rparity", mine, exact, list(tables))
    assert len(found) == 2 * 5 * len(mine) == 130
    assert set(found["verdict"]) == {"identical"}


# What the question printed ----------------------------------------------------------------------

FIXED = """
Residuals:
     Min       1Q   Median       3Q      Max
-0.23547 -0.06006 -0.01333  0.06017  0.20400
Coefficients:
             Estimate Std. Error t value Pr(>|t|)
(Intercept) 21.043157   0.055888  376.52   <2e-16 ***
x           -1.007443   0.009934 -101.41   <2e-16 ***
p1          -9.009845   0.051524 -174.87   <2e-16 ***
p2          -7.017192   0.045469 -154.33   <2e-16 ***
p3          -5.005483   0.036105 -138.64   <2e-16 ***
p4          -3.034799   0.029087 -104.34   <2e-16 ***
p5          -0.993759   0.027279  -36.43   <2e-16 ***
p6           0.992106   0.028082   35.33   <2e-16 ***
p7           2.966062   0.030515   97.20   <2e-16 ***
p8           4.987105   0.032854  151.79   <2e-16 ***
p9           7.100627   0.045236  156.97   <2e-16 ***
---
Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1
Residual standard error: 0.08983 on 89 degrees of freedom
Multiple R-squared:  0.9993, Adjusted R-squared:  0.9992
F-statistic: 1.194e+04 on 10 and 89 DF,  p-value: < 2.2e-16
"""

MIXED = """
Linear mixed model fit by REML ['lmerMod']
REML criterion at convergence: -88.6
Scaled residuals:
    Min      1Q  Median      3Q     Max
-2.6303 -0.6669 -0.1463  0.6713  2.2773
Random effects:
Groups   Name        Variance Std.Dev.
p        (Intercept) 36.87548 6.07252
Residual              0.00807 0.08983
Number of obs: 100, groups:  p, 10
Fixed effects:
             Estimate Std. Error t value
(Intercept) 21.040772   1.921112   10.95
x           -1.007014   0.009933 -101.38
Correlation of Fixed Effects:
x -0.029
"""


def words(text: str) -> list[str]:
    """Lines without their spacing, which the web page did not keep."""
    ascii_quotes = text.replace("‘", "'").replace("’", "'")
    return [" ".join(line.split()) for line in ascii_quotes.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def printed() -> tuple[list[str], list[str]]:
    """What R prints now of the mixed and of the fixed model."""
    with RSession(timeout=60) as session:
        output = session.call(
            SUMMARIES,
            "summaries",
            seed=1,
            libraries=[paths.r_scripts() / "document.R"],
        ).output
    mixed, fixed = output.split("Fixed Model\n")
    return words(mixed), words(fixed)


def test_the_fixed_model_is_printed_as_in_the_question_to_the_letter(printed) -> None:
    assert [line for line in words(FIXED) if line not in printed[1]] == []


def test_the_mixed_model_is_printed_as_in_the_question_except_three_numbers(printed) -> None:
    differing = [line for line in words(MIXED) if line not in printed[0]]
    assert differing == ["p (Intercept) 36.87548 6.07252", "(Intercept) 21.040772 1.921112 10.95"]
    assert "p (Intercept) 36.87541 6.07251" in printed[0]
    assert "(Intercept) 21.040772 1.921110 10.95" in printed[0]


# Recordings made now ----------------------------------------------------------------------------


@pytest.fixture
def few() -> Case:
    """The document with a handful of replicates."""
    return replace(DOCUMENT, nsim=FEW, arguments=lambda _n: {"nsim": FEW, "nsim_confint": FEW})


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.*")
        if path.is_file()
    }


def silent(_text: str) -> None:
    pass


def test_regenerating_twice_gives_the_same_bytes(
    few: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    written = []
    for name in ("one", "two"):
        regenerate.regenerate(few, tmp_path / name, silent)
        written.append(everything_in(tmp_path / name))
    assert written[0] == written[1]
    assert len(written[0]) == len(few.tables) + 1
    made = recordings.read(tmp_path / "one", few.name, few.scripts()).provenance
    assert made["time"] == "2017-07-14T02:40:00Z"
    assert (made["asked"]["seed"], made["nsim"]) == (1, FEW)
    for known in ("r_version", "platform", "blas", "lapack", "rng_kind", "contrasts", "locale"):
        assert made["made_by"][known]
    assert made["made_by"]["rng_kind"] == {
        "kind": "Mersenne-Twister",
        "normal_kind": "Inversion",
        "sample_kind": "Rejection",
    }
    assert "nloptwrap" in str(made["notes"]["lmer"])
    assert "bobyqa" in str(made["notes"]["lmer_bobyqa"])

    # And what was recorded so is sound, and drifts from R by nothing but time.
    before = everything_in(tmp_path / "one")
    report = regenerate.drift(few, tmp_path / "one", silent)
    assert not report.failed
    assert set(report.comparisons["verdict"]) == {"identical"}
    assert set(report.comparisons["table"]) == set(few.tables)
    assert report.recorded == report.today
    assert {"R", "lme4"} <= report.today.keys()
    assert everything_in(tmp_path / "one") == before


def test_check_names_the_versions_and_the_digits(
    few: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("rparity.commands.chosen_cases", lambda _names: [few])
    options = ["--engine", "R", "--fixtures", str(tmp_path)]
    assert main(["regenerate", "document", *options]) == AGREE
    found = recordings.read(tmp_path, few.name, few.scripts())
    shutil.rmtree(found.folder)  # or today's R would be compared with itself
    wrong = {**found.tables, "lmer.coef": found.tables["lmer.coef"] * (1 + 1e-4)}
    other = {**found.provenance["made_by"]["packages"], "lme4": "1.1-29"}
    made_by = {**found.provenance["made_by"], "packages": other}
    recordings.write(tmp_path, few.name, wrong, {**found.provenance, "made_by": made_by})
    capsys.readouterr()
    before = everything_in(tmp_path)
    assert main(["regenerate", "document", "--check", *options]) == DISCREPANCY
    out = capsys.readouterr().out
    assert re.search(r"lme4 1\.1-29 → \d", out)
    assert re.search(r"lmer\.coef +6 +4\.0", out)
    assert everything_in(tmp_path) == before


REGENERATE = """
import sys
from dataclasses import replace
from pathlib import Path
from rparity import regenerate
from rparity.cases.document import DOCUMENT
case = replace(DOCUMENT, nsim=2000)
regenerate.regenerate(case, Path(sys.argv[1]), lambda text: print(text, flush=True))
"""


def test_a_killed_regenerate_leaves_the_old_recording_and_no_r(
    tmp_path: Path, recorded: dict[str, Recording]
) -> None:
    shutil.copytree(paths.fixtures() / "document", tmp_path / "document")
    before = everything_in(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", REGENERATE, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(recordings.__file__).parents[1])},
    ) as process:
        for line in process.stdout:
            if "bootMer" in line:
                break
        children = _children(process.pid)
        assert children
        process.send_signal(signal.SIGKILL)
    assert everything_in(tmp_path) == before
    recordings.read(tmp_path, "document", DOCUMENT.scripts())
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in children):
        assert time.monotonic() < until, "R works on for nobody"
        time.sleep(0.2)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# R that fails -----------------------------------------------------------------------------------


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """R scripts of one's own: the body of `document()` is replaced."""
    folder = tmp_path / "r_scripts"
    shutil.copytree(paths.r_scripts(), folder)
    monkeypatch.setattr(paths, "r_scripts", lambda: folder)

    def write(body: str) -> None:
        with (folder / "document.R").open("a") as file:
            file.write(f"\ndocument <- function(nsim) {{ {body} }}\n")

    return write


FAILURES = {
    "an error": ("stop('no such luck')", "no such luck"),
    "one level": (
        "lme4::lmer(y ~ x + (1 | p), data.frame(x = 1:9, y = rnorm(9), p = 'a'))",
        "sampled level",
    ),
    "one level in lm": ("lm(y ~ p, data.frame(y = 1:9, p = factor('a')))", "2 or more levels"),
    "no data": ("lme4::lmer(y ~ (1 | p), data.frame(y = NA_real_, p = gl(3, 3)))", "0 (non-NA)"),
    "a kill": ("tools::pskill(Sys.getpid(), 9)", "killed by signal 9"),
    "quit()": ("quit(status = 3)", "it quit with status 3"),
    "a package": ("library(aPackageThatNobodyHas)", "aPackageThatNobodyHas is not installed"),
    "syntax": ("1 +", "document.R"),
    "no tables": ("list()", "must return list(tables"),
}
RUN, REGENERATE_NOW = ["run", "--live", "--nsim", "2"], ["regenerate"]


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        *((RUN, failure) for failure in FAILURES),
        *((REGENERATE_NOW, f) for f in ("an error", "a kill")),
    ],
)
def test_a_failure_of_r_is_one_sentence_and_leaves_the_recording(
    scripts: Callable[[str], None],
    tmp_path: Path,
    capsys: Capture,
    command: list[str],
    failure: str,
) -> None:
    body, expected = FAILURES[failure]
    shutil.copytree(paths.fixtures() / "document", tmp_path / "fixtures" / "document")
    before = everything_in(tmp_path / "fixtures")
    scripts(body)
    assert main([*command, "document", "--fixtures", str(tmp_path / "fixtures")]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert expected in streams.err
    assert "Traceback" not in streams.err
    # R shows where a script does not parse, and an error of R ends with its calls.
    said = [line for line in streams.err.splitlines() if not re.match("  (in|called from) ", line)]
    assert len(said) <= 4
    assert everything_in(tmp_path / "fixtures") == before


def test_r_killed_in_the_middle_of_a_call_and_asked_again() -> None:
    killed: list[int] = []
    others = set(_children(os.getpid()))  # of sessions that other tests left

    def kill(text: str) -> None:
        if "bootMer" in text and not killed:
            killed.append(1)
            (pid,) = set(_children(os.getpid())) - others
            threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()

    with pytest.raises(RCrashedError, match="killed by signal 9"):
        R(on_message=kill).answer(Question(DOCUMENT, 2000))
    tables = R().answer(Question(replace(DOCUMENT, arguments=quick), FEW)).tables
    assert set(tables) == set(DOCUMENT.tables)


def quick(_nsim: int) -> dict[str, int]:
    return {"nsim": FEW, "nsim_confint": FEW}


def test_live_does_not_look_at_recordings(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        run_case(DOCUMENT, fixtures=tmp_path, nsim=2)
    # … and `live` above was asked with a folder that does not exist.


LOGGED_R = """
logged <- function() {
  suppressPackageStartupMessages(library(lme4))
  g <- factor(rep(1:8, each = 6))
  x <- rnorm(48)
  y <- exp(5 + 0.1 * x + rnorm(8, sd = 0.2)[g] + rnorm(48, sd = 0.1))
  data <- data.frame(y, x, g)
  parts <- list(
    lmer = lmer_tables(lmer(log(y) ~ x + (1 | g), data)),
    lm = lm_tables(lm(log(y) ~ x, data))
  )
  list(tables = c(list(data = data), flatten_tables(parts)), notes = list())
}
"""
LOGGED_PY = """
from rparity.cases.base import Case, Data, Lm, Lmer, Rule
from rparity.compare import Tolerance

CASES = [
    Case(
        name="logged", title="A logarithm on the left", script="logged.R", function="logged",
        seed=1, nsim=0, arguments=lambda nsim: {},
        parts=(
            Data(),
            Lmer("lmer", formula="log(y) ~ x + (1 | g)"),
            Lm("lm", formula="log(y) ~ x"),
        ),
        rules=(Rule("*", "*", Tolerance(1e-4, "R stops early", spread=1e-4)),),
        engines=("rparity",),
    )
]
"""


def test_a_function_of_the_response_is_audited_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its digits are counted, its values centred, and no experiment drops out: y is no column."""
    monkeypatch.setenv(extensions.VARIABLE, "")
    (tmp_path / "logged.R").write_text(LOGGED_R)
    (tmp_path / "logged_case.py").write_text(LOGGED_PY)
    where = ["--project", str(tmp_path)]
    assert main(["regenerate", "logged", *where]) == AGREE
    assert main(["run", "logged", *where]) == AGREE
    capsys.readouterr()
    assert main(["audit", "logged", *where, "--format", "json"]) in (AGREE, DISCREPANCY)
    found = json.loads(capsys.readouterr().out)
    rows = found["comparisons"]
    assert not found["problems"]
    engines = {row["engine"] for row in rows}
    assert {"lme4", "nlme", "rparity", "statsmodels"} <= engines
    ours = [row for row in rows if row["engine"] == "rparity"]
    assert {row["verdict"] for row in ours} <= {"identical", "rounding", "within"}
    assert not [row for row in rows if row["verdict"] in ("unexplained", "missing")]
