"""What R needs to start, and the message that says what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from places import R_SCRIPTS
from rparity.errors import RNotAvailableError, UsageError, install
from rparity.r import process
from rparity.r.session import RSession, availability

SCRIPT = R_SCRIPTS / "misbehave.R"


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
