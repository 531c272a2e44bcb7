"""What tests of the plugin share: files of tests, and what a session of pytest leaves and says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ONE = """
def test_one(r_parity):
    r_parity.call("f.R", "double", x=1.5).check(3.0)
"""

THREE = """
import pytest

@pytest.mark.parametrize("x", [1, 2])
def test_one(r_parity, x):
    r_parity.call("f.R", "double", x=x).check(2 * x)
    r_parity.call("f.R", "nothing").check(0.0)

def test_two(r_parity):
    r_parity.call("f.R", "nothing").check(0.0)

def test_three():
    pass
"""
ALL = ["test_one[1].1", "test_one[1].2", "test_one[2].1", "test_one[2].2", "test_two.1"]

Run = Callable[..., pytest.RunResult]


def recordings(folder: Path) -> dict[str, bytes]:
    """Return the recordings below a folder, their content by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("r_recordings/**/*"))
        if path.is_file()
    }


RECORDED: dict[bytes, dict[str, bytes]] = {}


def record_once(folder: Path, run: Run, passed: int) -> None:
    """Record the answers to test_a.py, or write what was recorded for the same file before."""
    tests = (folder / "test_a.py").read_bytes()
    if tests not in RECORDED:
        run("--r=record").assert_outcomes(passed=passed)
        RECORDED[tests] = recordings(folder)
    for name, content in RECORDED[tests].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def said(result: pytest.RunResult) -> str:
    return result.stdout.str()


def same(text: str) -> str:
    return text
