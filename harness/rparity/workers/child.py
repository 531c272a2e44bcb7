"""`Child`: the one way in which this package starts a Python process, for R, engines and workers.

A child is a plain process on a pipe, neither forked nor started by `multiprocessing`. So scripts
need no `__main__` guard, and threads and daemonic processes can start one. A child has its own
process group, which is killed as a whole and does not receive Ctrl-C; its own folder for temporary
files; and a guard (`start.py`), which ends the child and removes the folder when this process is
gone, even while C code computes. In the child, `serve.serve` answers questions.
"""

from __future__ import annotations

import errno
import math
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
from rparity.workers.processor import KERNEL

START = Path(__file__).with_name("start.py")
# How often to look whether a process lives. Its pipe may stay open after its death, in a process
# that it has started.
LOOK_SECONDS = 0.2
# The environment of a process that computes with one thread.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ChildError(Exception):
    """A child process gave no answer; the message says why."""


class DiedError(ChildError):
    """A child process ended, or closed its pipe; `status` is `Child.status()`."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"crashed: {how(status)}")
        self.status = status


class LateError(ChildError):
    """A child process did not answer in time. It goes on until it is stopped."""


class NotLoadedError(ChildError):
    """A child process cannot answer any question, because a package is missing or broken."""


class Child:
    """A process in which the function `module:function` runs, and a pipe to it.

    The process ends at the latest when this object is collected, or when this process ends.

    Parameters
    ----------
    target
        The function. Its first argument is its end of the pipe, a `Connection`.
    arguments
        The function's other arguments.
    limit
        Seconds until its first message; None for no limit.
    environment
        The process's environment, by default this process's.
    options
        Options of Python.
    log
        Whether to keep what the process prints, for `last_words`. Otherwise it is lost.

    Raises
    ------
    UsageError
        There is no folder for temporary files, or too many files are open.
    """

    def __init__(
        self,
        target: str,
        *arguments: object,
        limit: float | None = None,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        log: bool = False,
    ) -> None:
        self.owner = os.getpid()
        self.greeting: Any = None
        home = temporary_folder()
        self.folder = home / f"rparity-{secrets.token_hex(8)}"
        program = [sys.executable, "-P", *options, str(START)]
        inherited = os.environ if environment is None else environment
        try:
            with ExitStack() as childs, ExitStack() as on_failure:
                self.log = (
                    on_failure.enter_context(tempfile.TemporaryFile(dir=home)) if log else None
                )
                self.pipe, its_pipe = Pipe()
                on_failure.callback(self.pipe.close)
                childs.callback(its_pipe.close)
                its_life, life = os.pipe()
                on_failure.callback(os.close, life)
                childs.callback(os.close, its_life)
                kept = its_pipe.fileno(), its_life
                output = subprocess.DEVNULL if self.log is None else self.log
                self.process = subprocess.Popen(
                    [*program, *map(str, kept), str(self.owner), str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**inherited, "TMPDIR": str(self.folder)},
                    pass_fds=kept,
                    start_new_session=True,
                )
                on_failure.pop_all()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise UsageError(MORE_FILES) from error
            raise
        #: End the process and all that it has started, at once. It may be called again.
        self.stop = weakref.finalize(
            self, _end, self.owner, self.process, self.pipe, life, self.log, self.folder
        )
        # At Python's prompt, the working directory is on the path as "".
        path = [folder or os.getcwd() for folder in sys.path]  # noqa: PTH109
        self._start_clock(limit)
        with suppress(OSError):  # the process has ended: `receive` will say so
            self.pipe.send((path, target, arguments))

    @property
    def pid(self) -> int:
        """Id of the process, and of its group."""
        return self.process.pid

    def ask(self, question: object, limit: float | None = None) -> tuple[Any, str | None]:
        """Ask a process that runs `serve.serve`: return its answer, or the problem that it met.

        The first time, wait until the process is loaded; `greeting` is then what it said.

        Raises
        ------
        NotLoadedError
            The process could not be loaded.
        DiedError, LateError, ChildError
            The process ended, gave no answer within `limit` seconds, or one that cannot be read.
        """
        if self.greeting is None:
            try:
                greeting, problem = self.receive()
            except ChildError as error:
                raise NotLoadedError(str(error)) from None
            if problem is not None:
                raise NotLoadedError(problem)
            self.greeting = greeting
        try:
            self.send(question, limit)
        except ChildError:
            raise
        except Exception as error:  # of pickle, of several types
            said = " ".join(str(error).split())
            return None, (
                f"the case cannot be sent to another process ({said}): its functions must be "
                "defined by def in a module"
            )
        try:
            reply: tuple[Any, str | None] = self.receive()
        except ChildError:
            raise
        except Exception as error:  # of a class that this process cannot load, for example
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ChildError(f"gave an answer that cannot be read ({said})") from None
        return reply

    def send(self, message: object, limit: float | None = None) -> None:
        """Send a message; the messages that follow must come within `limit` seconds from now.

        Raises
        ------
        DiedError
        """
        self._start_clock(limit)
        try:
            self.pipe.send(message)
        except OSError:
            raise self.died() from None

    def receive(self) -> Any:
        """Return the next message, as soon as it comes.

        Raises
        ------
        DiedError, LateError
        """
        while True:
            left = self._seconds_left()
            try:
                if self.pipe.poll(min(LOOK_SECONDS, left)):
                    return self.pipe.recv()
                if self.process.poll() is not None and not self.pipe.poll(0):
                    raise EOFError
            except (EOFError, OSError):
                raise self.died() from None
            if left <= 0.0:
                raise self.late()

    def ready(self) -> bool:
        """Whether `receive` would return or raise now, rather than wait."""
        try:
            waits = not self.pipe.poll(0) and self.process.poll() is None
        except OSError:
            return True
        return not waits or self._seconds_left() <= 0.0

    def died(self) -> Exception:
        """Return the error to raise when the process has ended."""
        return DiedError(self.status())

    def late(self) -> Exception:
        """Return the error to raise when the process has not answered within `limit` seconds."""
        return LateError(f"gave no answer within {self.limit:g} s")

    def status(self) -> int | None:
        """Exit status of a process that has closed its pipe, −9 for signal 9; None if it lives."""
        try:
            return self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """Return the last line that the process printed, if `log` was set."""
        if self.log is None:
            return ""
        try:
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").split("\n")
        except (OSError, ValueError):  # closed, with the process
            return ""
        return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "")

    def _start_clock(self, limit: float | None) -> None:
        self.limit, self._began = limit, time.monotonic()

    def _seconds_left(self) -> float:
        if self.limit is None:
            return math.inf
        return max(self._began + self.limit - time.monotonic(), 0.0)


def how(status: int | None) -> str:
    """Return in words how a process with this `Child.status()` ended, and the likely cause."""
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
    """Return the likely cause of a signal and the remedy, or nothing if they are not known."""
    if status == -signal.SIGILL:
        if named := os.environ.get(KERNEL):
            return (
                f"{KERNEL} is {named}, a kernel that this processor may not be able to run: "
                f"unset {KERNEL}"
            )
        return "a library was built for another processor: install it anew on this machine"
    return "if the memory ran out, give it less work" if status == -signal.SIGKILL else ""


def temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises
    ------
    UsageError
        TMPDIR names no folder that can be written to, or there is no such folder at all.
    """
    named = os.environ.get("TMPDIR")
    if named and not _usable(named):
        raise UsageError(
            f"TMPDIR is {named}, which is no folder that can be written to: make it one, or unset "
            "TMPDIR."
        )
    # `gettempdir()` is the last resort: it writes a file to try, which a kill would leave behind.
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
