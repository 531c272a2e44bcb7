"""`rparity fuzz` with R itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pandas as pd
import pytest

import rparity
from fuzz_r import stored
from places import ROOT
from rparity.fuzz.campaign import run_fuzz
from rparity.fuzz.judge import FuzzVerdict

pytestmark = pytest.mark.live


def test_thirty_designs_against_r(tmp_path: Path) -> None:
    found = run_fuzz(tmp_path, n=30, seed=1)
    assert found.unexplained.empty
    assert found.verdicts["rparity"][FuzzVerdict.EXPLAINED] > 15
    assert found.r_share > 0.3


def test_a_worker_killed_on_the_way_changes_no_result(tmp_path: Path) -> None:
    from rparity.workers.cluster import Progress, cluster

    alone = run_fuzz(tmp_path / "alone", n=16, seed=8)
    with cluster(2) as pool:
        killed: list[int] = []

        def kill_one(progress: Progress) -> None:
            if progress.done == 5:
                killed.append(pool.pids[0])  # type: ignore[attr-defined]
                os.kill(killed[0], signal.SIGKILL)

        found = run_fuzz(tmp_path / "two", n=16, seed=8, workers=pool, on_progress=kill_one)
    assert killed
    # Not the digits: R's own answer for crossed factors differs from process to process.
    same = ["number", "engine", "verdict", "open", "says", "design"]
    pd.testing.assert_frame_equal(found.designs[same], alone.designs[same])


@pytest.mark.parametrize("end", ["normal", "interrupt", "kill"])
def test_a_campaign_leaves_no_files_and_no_processes(tmp_path: Path, end: str) -> None:
    """Also where a worker is killed, the campaign is interrupted or itself killed."""
    scratch, work = tmp_path / "scratch", tmp_path / "work"
    scratch.mkdir()
    work.mkdir()
    n = 12 if end == "normal" else 500
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from rparity.workers.processes import Processes\n"
        "from rparity.cli import main\n"
        "finished = Processes._finished\n"
        "def kill(self, *arguments, seen=[]):\n"
        "    outcome = finished(self, *arguments)\n"
        "    if outcome is not None:\n"
        "        seen.append(outcome)\n"
        "        if len(seen) == 3: os.kill(self.pids[0], signal.SIGKILL)\n"
        "    return outcome\n"
        "Processes._finished = kill\n"
        f"store = ['--store', {str(tmp_path / 'out')!r}]\n"
        f"sys.exit(main(['fuzz', '--n', '{n}', '--workers', '2', *store]))"
    )
    environment = os.environ | {
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(Path(rparity.__file__).parents[1]),
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], cwd=work, env=environment, stderr=subprocess.PIPE
    ) as it:
        until = time.monotonic() + 120
        while stored(tmp_path / "out") < 6:
            assert time.monotonic() < until
            time.sleep(0.05)
        if end != "normal":
            it.send_signal(signal.SIGINT if end == "interrupt" else signal.SIGKILL)
        it.communicate()
    assert it.returncode == {"normal": 0, "interrupt": 130, "kill": -9}[end]
    while left := {*scratch.iterdir(), *work.iterdir()}:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def test_the_port_of_the_how_to_page(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "how-to" / "fuzz.md").read_text("utf-8")
    for name, text in re.findall(r'```\w+ title="(.+?)"\n(.+?)```', page, re.DOTALL):
        (pytester.path / name).write_text(text)
    loaded = any(p.value == "rparity.pytest_plugin" for p in entry_points(group="pytest11"))
    plugin = [] if loaded else ["-p", "rparity.pytest_plugin"]
    # Hypothesis' own plugin would be loaded a second time in this process.
    plugin += ["-p", "no:hypothesispytest"]
    result = pytester.runpytest_inprocess(*plugin, "-q", "--r=live", "test_wcov.py")
    result.assert_outcomes(passed=1)
