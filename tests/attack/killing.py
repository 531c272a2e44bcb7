"""Commands killed at random moments, and what is looked at after each kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import rparity
from places import SUPPORT, TESTS
from proc import processes_of
from tally import Tally

ROOT = Path(rparity.__file__).parents[1]
SEED = 20260101
# Seconds within which all processes and temporary files of a killed command are gone.
PATIENCE = 20.0
COMMAND = "import sys; from rparity.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class Attacked:
    """A command, run in a folder of its own, with a TMPDIR of its own.

    `arguments` are those of Python; the number of the run is `run` in the environment variable
    MARK, so that what a run writes tells whose it is.
    """

    home: Path
    arguments: Callable[[int], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    statuses: Sequence[int] = (0,)
    run: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.work, self.scratch = self.home / "work", self.home / "scratch"
        self.work.mkdir(parents=True)
        self.scratch.mkdir()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the next run."""
        self.run += 1
        path = os.pathsep.join(map(str, (ROOT, SUPPORT, TESTS / "attack")))
        mine = {
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.scratch),
            "MARK": str(self.run),
            "SOURCE_DATE_EPOCH": str(1_000_000_000 + self.run),
        }
        with (self.home / "stderr").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", *self.arguments(self.run)],
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=os.environ | mine | dict(self.environment),
            )

    def said(self) -> str:
        """Return what the last run wrote to its standard error."""
        return (self.home / "stderr").read_text(errors="replace")

    def whole(self) -> None:
        """Let a run come to its end, which takes `seconds`, and leave nothing."""
        begun = time.monotonic()
        with self.start() as process:
            status = process.wait(300.0)
        self.seconds = time.monotonic() - begun
        assert status in self.statuses, self.said()

    def killed(self, rng: np.random.Generator, ended: Callable[[int], None]) -> None:
        """Kill a run at a moment, drawn uniformly from its length.

        One that has ended before counts for nothing; `ended` looks at it, and there is another.
        """
        while True:
            moment = rng.uniform(0.0, self.seconds)
            with self.start() as process:
                try:
                    process.wait(moment)
                except subprocess.TimeoutExpired:
                    process.kill()
                    return
            assert process.returncode in self.statuses, self.said()
            ended(self.run)

    def left(self) -> tuple[list[int], list[Path]]:
        """Return the processes that live on, and the temporary files that lie."""
        return left_of(self.home, self.scratch)


def left_of(home: Path, scratch: Path) -> tuple[list[int], list[Path]]:
    """Return the processes that have to do with a folder, and the files of another.

    What is gone within `PATIENCE` does not count.
    """
    until = time.monotonic() + PATIENCE
    while True:
        processes, files = list(processes_of(home)), list(scratch.iterdir())
        if not (processes or files) or time.monotonic() > until:
            return processes, files
        time.sleep(0.02)


def attack(
    command: Attacked,
    tally: Tally,
    kills: int,
    *,
    check: Callable[[int], None],
    files: Callable[[], set[str]],
    seed: int = SEED,
) -> None:
    """Kill a command so many times, and look at what is there after each; at the end it is run.

    `check` raises AssertionError for what is neither the old nor the new one whole, and any other
    error for what cannot be read; `files` gives the names of all files that the last, whole run may
    not leave other than it found them.
    """
    command.whole()
    command.whole()  # the first one has to load more
    check(command.run)
    sound = files()
    rng = np.random.default_rng(seed)
    for _ in range(kills):
        command.killed(rng, check)
        tally.attacked()
        processes, lying = command.left()
        if processes:
            tally.found("processes", processes)
        if lying:
            tally.found("files", lying)
        if "Traceback" in command.said():
            tally.found("tracebacks", command.said())
        try:
            check(command.run)
        except AssertionError as error:
            tally.found("mixed", error)
        except Exception as error:
            tally.found("lost", repr(error))
    command.whole()
    check(command.run)
    if extra := files() - sound:
        tally.found("files", sorted(extra))
    if any(command.left()):
        tally.found("files", command.left())


def names_in(folder: Path) -> set[str]:
    """Return the names of all files and folders below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
