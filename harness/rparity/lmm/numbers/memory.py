"""How much memory this process can still get from the operating system."""

from __future__ import annotations

import os
from pathlib import Path

GIB = 2**30


def available() -> float:
    """Return the bytes that can be allocated without swapping; infinite where that is unknown.

    On Linux this is `MemAvailable`, or less in a container with a limit of its own.
    """
    return min(_of_system(), _of_container())


def _of_system() -> float:
    try:
        with Path("/proc/meminfo").open() as lines:
            found = [line.split() for line in lines if line.startswith("MemAvailable:")]
        return 1024.0 * float(found[0][1])
    except (OSError, IndexError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


def _of_container() -> float:
    group = Path("/sys/fs/cgroup")
    try:
        limit = float((group / "memory.max").read_text())
        return limit - float((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit is the word "max"
        return float("inf")
