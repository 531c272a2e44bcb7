"""Processes of this machine, as Linux shows them in /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def lives(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def processes_of(folder: Path) -> Iterator[int]:
    """Yield the other processes that have this folder in their arguments or environment."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in said and lives(int(entry.name)):
            yield int(entry.name)


def eventually(true: Callable[[], bool], problem: str, seconds: float = 60.0) -> None:
    """Wait until something is true; fail with `problem` if it is not true within `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, problem
        time.sleep(0.05)
