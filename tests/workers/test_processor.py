"""A BLAS kernel that this processor cannot run is refused before it kills the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rparity.cli import main
from rparity.commands import UNUSABLE
from rparity.workers import processor

CPUINFO = Path("/proc/cpuinfo")
ILLEGAL = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"


def test_a_kernel_that_dies_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(processor.KERNEL, "Unheard")
    monkeypatch.setattr(processor, "PRODUCT", ILLEGAL)
    assert main(["list"]) == UNUSABLE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "rparity: OPENBLAS_CORETYPE=Unheard names a kernel of OpenBLAS with instructions that "
        "this processor lacks: unset OPENBLAS_CORETYPE.\n"
    )


def test_no_process_is_started_where_no_kernel_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(processor.KERNEL, raising=False)
    monkeypatch.setattr(processor, "PRODUCT", ILLEGAL)
    assert main(["list", "--fixtures", str(tmp_path)]) == 0


@pytest.mark.slow(reason="a process that runs a case; the processor decides, not the Python")
@pytest.mark.skipif(not CPUINFO.is_file(), reason="asks Linux what the processor can do")
def test_a_kernel_of_avx512_runs_or_is_refused() -> None:
    able = "avx512f" in CPUINFO.read_text(encoding="utf-8").split()
    run = subprocess.run(
        [sys.executable, "-m", "rparity.cli", "run", "dyestuff"],
        env=os.environ | {processor.KERNEL: "SkylakeX", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == (0 if able else UNUSABLE), run.stderr
    assert able or run.stderr.count("\n") == 1
