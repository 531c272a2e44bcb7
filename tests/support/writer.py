"""A process that writes recordings in children of its own, so that a test can kill them.

Reads commands from stdin and answers each with a line:

    start ROOT NAME     fork a child that writes the recording NAME over and over; answers its pid
    once ROOT NAME K    fork a child that writes it once and dies, as if killed, before its K-th
                        call of `STEPS`; answers its exit status, 0 if it has written all
    wait PID            wait for a killed child

The children are forked, because pandas takes long to start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rparity import files, recordings
from rparity.errors import RecordingError


class Server:
    """A process that runs a script that calls `serve`."""

    def __init__(self, script: str) -> None:
        paths = [str(Path(recordings.__file__).parents[1]), str(Path(__file__).parent)]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process as process:
            process.stdin.close()
            process.stdout.close()

    def ask(self, *words: object) -> int:
        """Send a command and read the answer."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


CASE = "planted"
PACKAGES = {"R": "4.5.0", "lme4": "1.1-37"}
VERSION = "r4.5.0-lme4-1.1-37"
SCRIPTS = {"planted.R": b"planted <- function() 1\n"}
PROVENANCE = {
    "scripts": {name: files.sha256(content) for name, content in SCRIPTS.items()},
    "nsim": 2000,
    "made_by": {"packages": PACKAGES},
}
KILLED = 9


def tables(name: str) -> dict[str, pd.DataFrame]:
    """Return tables in which every value shows the name of the recording."""
    value = float(len(name)) + ord(name[0]) / 7.0
    frame = pd.DataFrame(value, [f"r{i}" for i in range(50)], ["a", "b"])
    replicates = pd.DataFrame(
        np.full((2000, 2), value), pd.RangeIndex(1, 2001).astype(str), ["a", "b"]
    )
    more = {f"only_{name}.coef": frame}  # the recordings have different files, too
    return {"m.coef": frame, "m.vcov": frame, "b.replicates": replicates} | more


def write(root: Path, name: str) -> None:
    """Write the recording `name` of the case."""
    recordings.write(root, CASE, tables(name), PROVENANCE | {"written_by": name})


def whose(root: Path) -> str:
    """Return the name of the recording that is there; fail if it is a mixture of two."""
    found = recordings.read(root, CASE, SCRIPTS)
    name = found.provenance["written_by"]
    expected = tables(name)
    assert found.tables.keys() == expected.keys()
    for table, frame in expected.items():
        pd.testing.assert_frame_equal(found.tables[table], frame, check_exact=True)
    return name


def die_at(k: int) -> None:
    """Make this process die before its k-th call of `STEPS`."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == k:
                os._exit(KILLED)
            return function(*arguments, **options)

        return call

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))


# The calls of a write at which something can fail.
STEPS = [
    (os, "fsync"),
    (os, "open"),
    (os, "rename"),
    (Path, "mkdir"),
    (shutil, "rmtree"),
    (Path, "open"),
    (Path, "rename"),
]


def alone(root: Path) -> bool:
    """Whether there is nothing beside the recording."""
    return [path.name for path in root.iterdir()] == [CASE]


def kill_at_every_step(server: Server, tmp_path: Path, before: str | None, by: Any) -> None:
    """Kill writers before each step, and see that the old or the new recording is there, whole.

    `by` is this module, or another one with `write`, `whose` and `alone`.
    """
    found: list[str | None] = []
    for k in range(1, 100):
        root = tmp_path / str(k)
        root.mkdir()
        if before:
            by.write(root, before)
        status = server.ask("once", root, "newer", k)
        if status == 0:
            break
        assert status == KILLED
        try:
            found.append(by.whose(root))
        except RecordingError as error:  # there is none, or it is corrupt
            found.append(None if "There is no recording" in str(error) else str(error))
        by.write(root, "third")  # which clears up what was left
        assert by.whose(root) == "third"
        assert by.alone(root)
    assert by.whose(root) == "newer"
    assert set(found) == {before, "newer"}
    assert found == sorted(found, key=lambda name: name == "newer")  # never new, then old again
    assert len(found) >= 5


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def forever(root: Path, name: str) -> None:
    while True:
        write(root, name)


def serve() -> None:
    """Obey the commands on stdin until it ends."""
    for line in sys.stdin:
        match line.split():
            case ["start", root, name]:
                answer = fork(lambda root=root, name=name: forever(Path(root), name))
            case ["once", root, name, k]:

                def dying(root: str = root, name: str = name, k: str = k) -> None:
                    die_at(int(k))
                    write(Path(root), name)

                _, status = os.waitpid(fork(dying), 0)
                answer = os.waitstatus_to_exitcode(status)
            case ["wait", pid]:
                os.waitpid(int(pid), 0)
                answer = 0
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
