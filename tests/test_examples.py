"""The examples pass without R, and R still gives the recorded answers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from places import ROOT
from rparity.parity import FOLDER, calls

EXAMPLES = ROOT / "examples"
TESTS = sorted(EXAMPLES.glob("test_*.py"))
# If the package is installed, pytest finds the plugin by itself.
IS_INSTALLED = any(p.value == "rparity.pytest_plugin" for p in entry_points(group="pytest11"))
PLUGIN = [] if IS_INSTALLED else ["-p", "rparity.pytest_plugin"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def copy(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the examples to a folder, without R on the PATH."""

    def no_r(**_options: object) -> None:
        pytest.fail("R was asked")

    monkeypatch.setattr(calls, "RSession", no_r)
    shutil.copytree(EXAMPLES, pytester.path, dirs_exist_ok=True)
    return pytester.path


def test_the_examples_pass_without_r(inner: Run, copy: Path) -> None:
    result = inner("-W", "error")
    result.assert_outcomes(passed=26)
    assert "r_parity" not in result.stdout.str()  # no recording is left over


WRONG = {
    "test_welch.py": ("equal_var=False", "equal_var=True"),
    "test_lm.py": ("fit.aic + 2", "fit.aic"),
    "test_glm.py": ("smf.glm(formula,", "smf.glm(formula + ' - 1',"),
    "test_loess.py": ("frac=2 / 3", "frac=1 / 2"),
    "test_htests.py": (".pvalue", ".pvalue / 2"),
    "test_tukey.py": ('"plants").value', '"plants").value.assign(weight=range(30))'),
    "test_prcomp.py": ("len(arrests) - 1", "len(arrests)"),
    "test_hclust.py": ("arrests.to_numpy(), in_scipy", 'arrests.to_numpy(), "single"'),
    "test_arima.py": ("ARIMA(lh,", "ARIMA(lh[1:],"),
    "test_nls.py": ("return vm * conc / (k + conc)", "return vm * conc / (k + conc) + 1e-6"),
}


@pytest.mark.slow(reason="runs all examples once more, each with a mistake")
def test_wrong_ports_fail(inner: Run, copy: Path) -> None:
    assert set(WRONG) == {path.name for path in TESTS}
    for file, (right, wrong) in WRONG.items():
        text = (copy / file).read_text("utf-8")
        assert right in text
        (copy / file).write_text(text.replace(right, wrong), "utf-8")
    inner().assert_outcomes(failed=26)


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_an_example_is_short_and_in_the_table(test: Path) -> None:
    assert len(test.read_text("utf-8").splitlines()) <= 60
    script = test.with_name(f"{test.stem.removeprefix('test_')}.R")
    assert script.exists()
    assert f"[{script.stem}]({test.name})" in (EXAMPLES / "README.md").read_text("utf-8")


@pytest.mark.live
def test_r_gives_the_recorded_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "--r=check", "."],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    recorded = len(list((EXAMPLES / FOLDER).glob("*/*.json")))
    assert sum(map(int, re.findall(r"(\d+) answers of R", done.stdout))) == recorded == 32
