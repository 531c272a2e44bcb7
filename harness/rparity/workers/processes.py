"""Work in processes of this machine. They are reached by pipes, so nobody else can reach them.

A worker has one item at a time, so that it is clear which item a worker died of. It gets the first
one when it has said that it is loaded: a death before that is no item's fault.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle

from rparity.errors import ClusterError
from rparity.workers.child import LOOK_SECONDS, ONE_THREAD, Child, DiedError, LateError, how
from rparity.workers.cluster import TRIES, AnyTask, Cluster, Outcome, crash
from rparity.workers.serve import serve

WORK = "rparity.workers.processes:work"
# If so many workers die one after the other before they are loaded, the work is given up.
FAILED_STARTS = 5


@contextmanager
def processes(n: int) -> Iterator[Processes]:
    """Open `n` processes of one thread each, and end them."""
    found = Processes(n)
    try:
        yield found
    finally:
        found.close()


@dataclass(frozen=True)
class _Attempt:
    item: Any
    sent: bytes
    tries: int = 1


def _child() -> Child:
    return Child(WORK, environment=os.environ | ONE_THREAD)


@dataclass
class _Worker:
    """A process, the item that it works on, and the task that it was sent last."""

    child: Child = field(default_factory=_child)
    loaded: bool = False
    task: bytes | None = None
    attempt: _Attempt | None = None

    def begin(self, attempt: _Attempt, task: bytes, limit: float | None) -> None:
        """Send an item, and the task unless the process has it."""
        with suppress(DiedError):  # `_finished` will see it
            self.child.send((None if self.task is task else task, attempt.sent), limit)
        self.attempt, self.task = attempt, task

    def replace(self) -> None:
        """End the process, and start another in its place."""
        self.child.stop()
        self.child, self.loaded, self.task, self.attempt = _child(), False, None, None


class Processes(Cluster):
    """`n` processes of this machine."""

    def __init__(self, n: int) -> None:
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        try:
            for _ in range(n):
                self._workers.append(_Worker())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes at once."""
        for worker in self._workers:
            worker.child.stop()

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [worker.child.pid for worker in self._workers]

    def _outcomes(
        self, task: AnyTask, shared: object, items: Iterable[Any], limit: float | None
    ) -> Iterator[Outcome[Any, Any]]:
        packed = cloudpickle.dumps((task, shared))
        fresh = (_Attempt(item, cloudpickle.dumps(item)) for item in items)
        again: deque[_Attempt] = deque()

        def fill() -> bool:
            """Give each idle worker an item; return whether there may be more."""
            for worker in self._workers:
                if worker.loaded and worker.attempt is None:
                    attempt = again.popleft() if again else next(fresh, None)
                    if attempt is None:
                        return False
                    worker.begin(attempt, packed, limit)
            return True

        for worker in self._workers:
            if not worker.child.stop.alive:
                worker.replace()
        try:
            while (more := fill()) or any(worker.attempt for worker in self._workers):
                for worker in self._waited_for(starting=more):
                    outcome = self._finished(worker, again)
                    if outcome is not None:
                        fill()  # the worker goes on while the caller looks at the outcome
                        yield outcome
        finally:
            for worker in self._workers:
                if worker.attempt is not None:
                    worker.child.stop()  # nobody waits for its answer

    def _waited_for(self, *, starting: bool) -> list[_Worker]:
        """Wait a little for workers that have an item, and for those that start if `starting`."""
        ours = [w for w in self._workers if w.attempt is not None or (starting and not w.loaded)]
        wait([worker.child.pipe for worker in ours], LOOK_SECONDS)
        return ours

    def _finished(self, worker: _Worker, again: deque[_Attempt]) -> Outcome[Any, Any] | None:
        """Return the outcome of a worker's item if there is one by now.

        A worker that died or is late is replaced; its item goes to `again` unless it had its tries.
        """
        if not worker.child.ready():
            return None
        late, ended, attempt, limit = False, "", worker.attempt, worker.child.limit
        try:
            value, error = worker.child.receive()
        except LateError:
            late = True
        except DiedError as death:
            ended = how(death.status)
        else:
            if attempt is None:
                worker.loaded, self._failed_starts = True, 0
                return None
            worker.attempt = None
            return Outcome(attempt.item, None if value is None else pickle.loads(value), error)
        if attempt is None:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise ClusterError(
                    f"The worker processes do not start: one after the other {ended}."
                )
        worker.replace()
        if attempt is None:
            return None
        if attempt.tries < TRIES:
            again.append(replace(attempt, tries=attempt.tries + 1))
            return None
        return Outcome(attempt.item, error=crash(attempt.item, attempt.tries, limit, late, ended))


# -- in the worker ---------------------------------------------------------------------------------


def work(pipe: Connection) -> None:
    """Work on the items that come, until the pipe closes."""
    task: Any = None
    shared: Any = None

    def value(message: tuple[bytes | None, bytes]) -> bytes:
        nonlocal task, shared
        new_task, item = message
        if new_task is not None:
            task, shared = pickle.loads(new_task)
        # cloudpickle, because the value may be of a class that a script defines, or hold a lambda.
        dumped: bytes = cloudpickle.dumps(task(shared, pickle.loads(item)))
        return dumped

    serve(pipe, lambda: (value, None), _portable)


def _portable(error: Exception) -> Exception:
    """Return the error, or one with its text if another process could not read it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
