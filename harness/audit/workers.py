"""Engines in processes of their own: one that crashes or hangs costs its answer, not the audit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import Pipe
from typing import Any, Self

from harness.engines.base import Answer, Question

# Seconds that an engine may take to load: some compile at their first import.
START = 60.0
ENGINE = "harness.audit.child"


@dataclass(frozen=True)
class Told:
    """What became of one question: the answer, or the problem that kept the engine from one."""

    engine: str
    case: str
    answer: Answer | None
    problem: str | None
    seconds: float
    made_by: Mapping[str, str] = field(default_factory=dict)


class Engines:
    """Engines, each in a process of its own, which stays from one question to the next.

    `limit` is the time that an answer may take, in seconds; so many engines work at once as there
    are processors.
    """

    def __init__(self, *, limit: float) -> None:
        self._limit = limit
        self._children: dict[str, Child] = {}
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended = True
        for child in self._children.values():
            child.stop()

    def ask(
        self,
        questions: Mapping[str, Sequence[Question]],
        *,
        on_answer: Callable[[Told], None] | None = None,
    ) -> list[Told]:
        """Ask each engine its questions; the order of the answers does not depend on time."""
        tell = on_answer or (lambda _found: None)

        def work(name: str) -> list[Told]:
            found = []
            for reply in self._ask(name, questions[name]):
                tell(reply)
                found.append(reply)
            return found

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                return [reply for replies in pool.map(work, questions) for reply in replies]
            except BaseException:
                self.__exit__()  # or the pool would wait for answers that nobody wants
                raise

    def _ask(self, name: str, questions: Sequence[Question]) -> Iterator[Told]:
        problem: str | None = None
        for question in questions:
            if self._ended:
                return
            case, begun = question.case.name, time.monotonic()
            if problem is None and name not in self._children:
                try:
                    self._children[name] = Child(ENGINE, name)
                except ChildError as error:
                    problem = str(error)
            child = self._children.get(name)
            if child is None:
                yield Told(name, case, None, problem, 0.0)
                continue
            try:
                answer, failed = child.ask(question, self._limit)
            except ChildError as error:
                answer, failed = None, str(error)
                self._children.pop(name).stop()
            made_by = child.made_by if name in self._children else {}
            yield Told(name, case, answer, failed, time.monotonic() - begun, made_by)


class ChildError(Exception):
    """A process that ended, or did not answer in time."""


class Child:
    """A module that serves in a process of its own (see harness/audit/child.py).

    Raises
    ------
    ChildError
        Where what it serves cannot be loaded: its package is missing or broken.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        # A plain process on a pipe needs no `__main__` guard and works from any thread.
        self._pipe, theirs = Pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what a package prints is not the audit's output
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a group of its own: killed as one
            )
        try:
            made_by, problem = self._receive(START)
        except ChildError as error:
            made_by, problem = {}, str(error)
        if problem is not None:
            self.stop()
            raise ChildError(problem)
        self.made_by: Mapping[str, str] = made_by

    def ask(self, question: object, limit: float | None) -> tuple[Any, str | None]:
        """Return the answer, or the problem that was met.

        Raises
        ------
        ChildError
            Where the process ends, or says nothing within `limit` seconds, if there is one.
        """
        try:
            self._pipe.send(question)
        except OSError:
            pass  # it has ended: `_receive` says how
        except Exception as error:  # of pickle, of several types
            said = " ".join(str(error).split())
            return None, (
                f"the case cannot be sent to another process ({said}): its functions must be "
                "defined by def in a module"
            )
        return self._receive(limit)

    def _receive(self, limit: float | None) -> tuple[Any, str | None]:
        """Wait for what the process has to say."""
        if not self._pipe.poll(limit):
            raise ChildError(f"gave no answer within {limit:.0f} s")
        try:
            received: tuple[Any, str | None] = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise ChildError(f"crashed: {_how(self._process.wait(5.0))}") from None
        return received

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _how(code: int) -> str:
    if code == -signal.SIGILL:
        return "killed by SIGILL, an instruction that this processor lacks"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"
