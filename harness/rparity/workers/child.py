"""Python processes of ours: R's, an engine's, a examiner's, a worker's; nothing else starts one.

Each is a plain process on a pipe, neither forked nor started by `multiprocessing`: it needs no
`__main__` guard and starts from threads and from daemonic processes. It has a group of its own,
which is killed as one and deaf to Ctrl-C; a folder for its temporary files; and a guard, which ends
both when this process is gone, whatever the child computes then (`start.py`).
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rparity.errors import MORE_FILES, UsageError

START = Path(__file__).with_name("start.py")
# How often to look whether the process lives: what it has started may hold its pipe open.
LOOK_SECONDS = 0.2
CORETYPE = "OPENBLAS_CORETYPE"


class DiedError(Exception):
    """The process ended; `Child.how` says how."""


class LateError(Exception):
    """The process did not answer in time. It goes on until it is stopped."""


class Child:
    """A function, `module:function`, that is called with a pipe and arguments in its own process.

    It ends at the latest when this object is collected, or when this process ends.

    Parameters
    ----------
    target
        The function. Its first argument is the pipe, a `Connection`.
    arguments
        What else it is called with.
    environment
        Its environment, instead of this process's.
    options
        Options of Python.
    log
        Whether to keep what it prints (`last_words`); else nobody sees it.

    Raises
    ------
    UsageError
        Where there is no folder for temporary files, or no room for another open file.
    """

    def __init__(
        self,
        target: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        log: bool = False,
    ) -> None:
        self.owner = os.getpid()
        home = temporary_folder()
        self.folder = home / f"rparity-{secrets.token_hex(8)}"
        program = [sys.executable, "-P", *options, str(START)]
        told = dict(os.environ if environment is None else environment)
        try:
            with ExitStack() as theirs, ExitStack() as unless_started:
                self.log = (
                    unless_started.enter_context(tempfile.TemporaryFile(dir=home)) if log else None
                )
                self.pipe, its_pipe = Pipe()
                unless_started.callback(self.pipe.close)
                theirs.callback(its_pipe.close)
                its_life, life = os.pipe()
                unless_started.callback(os.close, life)
                theirs.callback(os.close, its_life)
                kept = its_pipe.fileno(), its_life
                output = subprocess.DEVNULL if self.log is None else self.log
                self.process = subprocess.Popen(
                    [*program, *map(str, kept), str(self.owner), str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=told | {"TMPDIR": str(self.folder)},
                    pass_fds=kept,
                    start_new_session=True,
                )
                unless_started.pop_all()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise UsageError(MORE_FILES) from error
            raise
        #: End the process and what it has started, whatever they do. It may be called again.
        self.stop = weakref.finalize(
            self, _end, self.owner, self.process, self.pipe, life, self.log, self.folder
        )
        # What stands for the folder worked in, as at the prompt, means this one.
        path = [folder or os.getcwd() for folder in sys.path]  # noqa: PTH109
        with suppress(OSError):  # it has ended: `receive` says so
            self.pipe.send((path, target, arguments))

    @property
    def pid(self) -> int:
        """The process's id, which is its group's."""
        return self.process.pid

    def send(self, message: object) -> None:
        """Send a message.

        Raises
        ------
        DiedError
        """
        try:
            self.pipe.send(message)
        except OSError:
            raise DiedError from None

    def receive(self, until: float | None = None) -> Any:
        """Return the next message, waiting for it at most until `time.monotonic()` says `until`.

        Raises
        ------
        DiedError, LateError
        """
        while True:
            left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, until - time.monotonic())
            try:
                if self.pipe.poll(max(left, 0.0)):
                    return self.pipe.recv()
                if self.process.poll() is not None and not self.pipe.poll(0):
                    raise EOFError
            except (EOFError, OSError):
                raise DiedError from None
            if until is not None and left <= 0.0:
                raise LateError

    def status(self) -> int | None:
        """Exit status of a process that has closed its pipe, −9 for signal 9; None if it lives."""
        try:
            return self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """Last line that the process printed, where that is kept."""
        if self.log is None:
            return ""
        try:
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").split("\n")
        except (OSError, ValueError):  # closed, with the process
            return ""
        return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "")


def how(status: int | None) -> str:
    """Say in words how a process ended that had this status, with the likely cause of a signal."""
    if status is None:
        return "closed its pipe and goes on"
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    advice = likely_cause(status)
    return f"killed by {name}; {advice}" if advice else f"killed by {name}"


def likely_cause(status: int | None) -> str:
    """Say what a process most likely died of, and the remedy, where its status tells."""
    if status == -signal.SIGILL:
        named = os.environ.get(CORETYPE)
        if named:
            return (
                f"{CORETYPE} is {named}, a kernel that this processor may not be able to run: "
                f"unset {CORETYPE}"
            )
        return "a library was built for another processor: install it anew on this machine"
    return "if the memory ran out, give it less work" if status == -signal.SIGKILL else ""


def temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises
    ------
    UsageError
        Where TMPDIR names no folder that can be written to, and where there is none at all.
    """
    named = os.environ.get("TMPDIR")
    if named and not _usable(named):
        raise UsageError(
            f"TMPDIR is {named}, which is no folder that can be written to: make it one, or unset "
            "TMPDIR."
        )
    # Not by `gettempdir()`, if it can be helped: it tries a file, which a kill would leave behind.
    for folder in (tempfile.tempdir, named, "/tmp"):
        if folder and _usable(folder):
            return Path(os.fsdecode(folder)).absolute()
    try:
        return Path(tempfile.gettempdir()).absolute()
    except OSError as error:
        raise UsageError(
            "There is no folder for temporary files: set TMPDIR to one that can be written to."
        ) from error


def _usable(folder: str) -> bool:
    return Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _end(
    owner: int,
    process: subprocess.Popen[bytes],
    pipe: Connection,
    life: int,
    log: Any,
    folder: Path,
) -> None:
    # A forked process inherits the object, but must leave its parent's child alone.
    if owner == os.getpid():
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    pipe.close()
    os.close(life)
    if log is not None:
        log.close()
