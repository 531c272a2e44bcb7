"""The plugin beside other plugins, and without R."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from places import SUPPORT, TESTS
from plugin_sessions import ALL, ONE, Run, recordings, said
from rparity.parity import calls
from rparity.r.session import RSession

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


@pytest.mark.slow(reason="starts workers of xdist")
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
