"""Work in processes of this machine, which nobody else can reach: they are spoken to by pipes.

Each worker is given one item at a time, so that when a worker dies there is no doubt which item it
died of. It has to say that it is up before it is given one: what kills it earlier costs no item.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle

from rparity.errors import ClusterError
from rparity.workers.child import LOOK_SECONDS, Child, DiedError, LateError, how
from rparity.workers.cluster import TRIES, Cluster, Item, Outcome, Shared, Task, Value, crash

WORK = "rparity.workers.processes:work"
READY = "ready"
# So many workers that die one after the other before they are up: it is not chance.
FAILED_STARTS = 5
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@contextmanager
def processes(n: int) -> Iterator[Processes]:
    """Open so many processes of one thread, and end them."""
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
    """A process, what it is at and since when; `knows` is the task that it was told."""

    child: Child = field(default_factory=_child)
    up: bool = False
    knows: bytes | None = None
    attempt: _Attempt | None = None
    began: float = 0.0

    def begin(self, attempt: _Attempt, task: bytes) -> None:
        """Hand over an item, with the task if it is another one."""
        with suppress(DiedError):  # the next look at it tells
            self.child.send((None if self.knows is task else task, attempt.sent))
        self.attempt, self.knows, self.began = attempt, task, time.monotonic()

    def replace(self) -> None:
        """End the process, and start another in its place."""
        self.child.stop()
        self.child, self.up, self.knows, self.attempt = _child(), False, None, None


class Processes(Cluster):
    """So many processes of this machine."""

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
        """End the processes, whatever they do."""
        for worker in self._workers:
            worker.child.stop()

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [worker.child.pid for worker in self._workers]

    def _outcomes(
        self,
        task: Task[Shared, Item, Value],
        shared: Shared,
        items: Iterable[Item],
        limit: float | None,
    ) -> Iterator[Outcome[Item, Value]]:
        told = cloudpickle.dumps((task, shared))
        fresh = (_Attempt(item, cloudpickle.dumps(item)) for item in items)
        again: deque[_Attempt] = deque()

        def fill() -> bool:
            """Give each idle worker an item; tell whether there may be more."""
            for worker in self._workers:
                if worker.up and worker.attempt is None:
                    attempt = again.popleft() if again else next(fresh, None)
                    if attempt is None:
                        return False
                    worker.begin(attempt, told)
            return True

        for worker in self._workers:
            if not worker.child.stop.alive:
                worker.replace()
        try:
            while (more := fill()) or any(worker.attempt for worker in self._workers):
                for worker in self._reporting(wanted=more):
                    outcome = self._heard(worker, limit, again)
                    if outcome is not None:
                        fill()  # the worker goes on while the outcome is looked at
                        yield outcome
        finally:
            for worker in self._workers:
                if worker.attempt is not None:
                    worker.child.stop()  # nobody wants its answer

    def _reporting(self, *, wanted: bool) -> list[_Worker]:
        """Wait a little for those that work, or start where they are wanted; return all these."""
        ours = [w for w in self._workers if w.attempt is not None or (wanted and not w.up)]
        wait([worker.child.pipe for worker in ours], LOOK_SECONDS)
        return ours

    def _heard(
        self, worker: _Worker, limit: float | None, again: deque[_Attempt]
    ) -> Outcome[Any, Any] | None:
        """Return the outcome of a worker's item, if there is one by now."""
        now = time.monotonic()
        late = False
        try:
            value, error = worker.child.receive(now)
        except LateError:
            late = worker.attempt is not None and limit is not None and now - worker.began >= limit
            if not late:
                return None
        except DiedError:
            pass
        else:
            if worker.attempt is None:
                worker.up, self._failed_starts = True, 0
                return None
            item, worker.attempt = worker.attempt.item, None
            return Outcome(item, None if value is None else pickle.loads(value), error)
        attempt, ended = worker.attempt, "" if late else how(worker.child.status())
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
    pipe.send((READY, None))
    while True:
        try:
            told, item = pipe.recv()
        except EOFError:
            return
        try:
            if told is not None:
                task, shared = pickle.loads(told)
            # What a function of a script returns may be of its own classes, or hold a lambda.
            value = cloudpickle.dumps(task(shared, pickle.loads(item)))
            reply: tuple[bytes | None, Exception | None] = value, None
        except Exception as error:
            reply = None, _portable(error)
        try:
            pipe.send(reply)
        except OSError:
            return


def _portable(error: Exception) -> Exception:
    """Return the error, or what it says if another process could not read it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
