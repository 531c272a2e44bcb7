"""A task done for many items: in this process, by processes of this machine, or by Dask."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from rparity.errors import UsageError, WorkerCrashedError, install

if TYPE_CHECKING:
    from distributed import Client

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Value = TypeVar("Value")
Task: TypeAlias = Callable[[Shared, Item], Value]
AnyTask: TypeAlias = Callable[[Any, Any], Any]

# How many workers may die of an item before it is given up.
TRIES = 2


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of an item: the task's value, or the error that it ended in.

    The error is the one that the task raised; or a `WorkerCrashedError` if two workers died of the
    item, or it took longer than its limit twice.
    """

    item: Item
    value: Value | None = None
    error: Exception | None = None

    def result(self) -> Value:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


@dataclass(frozen=True)
class Progress:
    """How far the work is: items done, their total if it is known, and the seconds so far."""

    done: int
    total: int | None
    seconds: float

    @property
    def rate(self) -> float:
        """Items per second."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest will take at this rate; None if the total is not known."""
        return None if self.total is None else (self.total - self.done) / self.rate

    def __str__(self) -> str:
        """Return for example `120 of 2,000, 15.3 a second, 2:03 left`."""
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.remaining is None else f", {_clock(self.remaining)} left"
        return f"{self.done:,}{of}, {self.rate:.3g} a second{left}"


class Cluster(ABC):
    """A place where work is done: `map` does a task for many items."""

    def map(
        self,
        task: Task[Shared, Item, Value],
        shared: Shared,
        items: Iterable[Item],
        *,
        limit: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield the outcome of `task(shared, item)` for each item, in the order in which they end.

        What a task returns must depend on its arguments alone. Then no result depends on the number
        of workers, or on their order. An item is taken from `items` when a worker is free, so that
        memory does not grow with the number of items.

        Parameters
        ----------
        task : callable
            A function that a worker can import.
        shared : object
            An argument that all items have in common. It is sent to each worker once.
        items : iterable
            The other argument. Errors name an item by its `str`.
        limit : float, optional
            Seconds that an item may take; then its worker is stopped and replaced, and the item is
            tried once more. Without workers there is no limit.
        on_progress : callable, optional
            Called after each item.

        Raises
        ------
        ClusterError
            There are no workers left, or the scheduler is gone.
        """
        total = len(items) if isinstance(items, Sized) else None
        began = time.monotonic()
        for done, outcome in enumerate(self._outcomes(task, shared, items, limit), 1):
            if on_progress is not None:
                on_progress(Progress(done, total, time.monotonic() - began))
            yield outcome

    @abstractmethod
    def _outcomes(
        self, task: AnyTask, shared: object, items: Iterable[Any], limit: float | None
    ) -> Iterator[Outcome[Any, Any]]:
        """Yield an outcome for each item, in any order."""


class Here(Cluster):
    """The process itself as a cluster: it does one item after the other."""

    def _outcomes(
        self, task: AnyTask, shared: object, items: Iterable[Any], _limit: float | None
    ) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            try:
                outcome = Outcome(item, value=task(shared, item))
            except Exception as error:
                outcome = Outcome(item, error=error)
            yield outcome


def crash(
    item: object, tries: int, limit: float | None, late: bool, ended: str
) -> WorkerCrashedError:
    """Return the error of an item that its last worker died of, or that took too long.

    `ended` says how the worker died, if that is known.
    """
    why = f"took longer than {limit:g} s" if late else "cost its worker process its life"
    how = f" ({ended})" if ended else ""
    times = "" if tries == 1 else f", the {tries}nd time"
    return WorkerCrashedError(f"{item} {why}{times}{how}.")


# What users give as `workers`: see `cluster`.
Workers: TypeAlias = "int | str | Client | Cluster | None"


@contextmanager
def cluster(workers: Workers) -> Iterator[Cluster]:
    """Open a cluster, and close it at the end.

    Parameters
    ----------
    workers : int, str, distributed.Client, Cluster or None
        A number: so many processes of this machine, of one thread each, to which nobody else can
        connect. A string: the address of a Dask scheduler, such as ``tls://host:8786``, with the
        certificates that Dask's configuration names. A client or a cluster: it is used, and stays
        open. None: this process alone, without Dask.

    Raises
    ------
    UsageError
        The number is less than 1, no scheduler answers at the address, or Dask is missing.
    ClusterError
        The workers cannot run rparity, or there are none.
    """
    if workers is None:
        yield Here()
    elif isinstance(workers, Cluster):
        yield workers
    else:
        if isinstance(workers, int) and workers < 1:
            raise UsageError(f"The number of workers must be at least 1, and is {workers}.")
        # Dask brings cloudpickle, by which functions of a script and of the prompt are sent.
        if find_spec("distributed") is None:
            raise UsageError(f"Workers need Dask: {install('dask')}")
        if isinstance(workers, int):
            from rparity.workers.processes import processes

            with processes(workers) as ours:
                yield ours
        else:
            from rparity.workers.dask import connected

            with connected(workers) as theirs:
                yield theirs


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
