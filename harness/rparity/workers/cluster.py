"""Work in numbered items, done here, by processes or by a Dask cluster: the same outcomes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from rparity.errors import UsageError, WorkerCrashedError

if TYPE_CHECKING:
    from distributed import Client

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Value = TypeVar("Value")
Task: TypeAlias = Callable[[Shared, Item], Value]

INSTALL_DASK = 'pip install "rparity[dask]"'
# How often an item is given to a worker, if it costs the first one its life.
TRIES = 2


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of an item: the task's value, or the error that it ended in.

    An item that cost two workers their lives, or that twice took longer than its time limit, ends
    in a `WorkerCrashedError`; whatever the task itself raised is the error as it was raised.
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
    """How far a piece of work is: items done, out of how many if that is known, in what time."""

    done: int
    total: int | None
    seconds: float

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest will take at this rate."""
        return None if self.total is None else (self.total - self.done) / self.rate

    def __str__(self) -> str:
        """Return for example `120 of 2,000, 15.3 a second, 2:03 left`."""
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.remaining is None else f", {_clock(self.remaining)} left"
        return f"{self.done:,}{of}, {self.rate:.3g} a second{left}"


class Cluster(ABC):
    """Somewhere to do work: `map` a task over items."""

    def map(
        self,
        task: Task[Shared, Item, Value],
        shared: Shared,
        items: Iterable[Item],
        *,
        limit: float | None = None,
        tell: Callable[[Progress], None] | None = None,
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield the outcome of `task(shared, item)` for each item, as they come.

        What a task returns must depend on its arguments alone: then nothing depends on the number
        of workers or on their order. Items are taken from `items` as workers become free, so that
        memory does not grow with their number.

        Parameters
        ----------
        task : callable
            A function that a worker can import.
        shared : object
            What all the items have in common; a worker is sent it once.
        items : iterable
            One argument each. An item that crashes is named by its `str`.
        limit : float, optional
            Seconds an item may take before its worker is stopped and replaced. An item is tried
            twice. There is nobody to stop an item that is worked on here, without workers.
        tell : callable, optional
            Called after each item.

        Raises
        ------
        ClusterError
            Where there are no workers left, or the scheduler is gone.
        """
        total = len(items) if isinstance(items, Sized) else None
        began = time.monotonic()
        for done, outcome in enumerate(self._outcomes(task, shared, items, limit), 1):
            if tell is not None:
                tell(Progress(done, total, time.monotonic() - began))
            yield outcome

    @abstractmethod
    def _outcomes(
        self,
        task: Task[Shared, Item, Value],
        shared: Shared,
        items: Iterable[Item],
        limit: float | None,
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield an outcome for each item, in any order."""


class Here(Cluster):
    """Where we are, in this process: one item after the other."""

    def _outcomes(
        self,
        task: Task[Shared, Item, Value],
        shared: Shared,
        items: Iterable[Item],
        limit: float | None,  # noqa: ARG002
    ) -> Iterator[Outcome[Item, Value]]:
        for item in items:
            try:
                outcome = Outcome(item, value=task(shared, item))
            except Exception as error:
                outcome = Outcome(item, error=error)
            yield outcome


def crash(
    item: object, tries: int, limit: float | None, late: bool, ended: str
) -> WorkerCrashedError:
    """Return the error of an item that ended its last worker, or took too long, and how."""
    why = f"took longer than {limit:g} s" if late else "cost its worker process its life"
    how = f" ({ended})" if ended else ""
    times = "" if tries == 1 else f", the {tries}nd time"
    return WorkerCrashedError(f"{item} {why}{times}{how}.")


# Nobody, so many processes, a scheduler's address, or a cluster that is there already.
Workers: TypeAlias = "int | str | Client | Cluster | None"


@contextmanager
def cluster(workers: Workers) -> Iterator[Cluster]:
    """Open somewhere to work, and close what was opened.

    Parameters
    ----------
    workers : int, str, distributed.Client, Cluster or None
        So many processes of one thread on this machine, to which nobody else can connect; the
        address of a Dask scheduler, such as ``tls://host:8786`` with the certificates that Dask's
        configuration names; a client or a cluster that is open and stays so; or None, for this
        process alone, without Dask.

    Raises
    ------
    UsageError
        For fewer than one worker, an address where nobody answers, and where Dask is missing.
    ClusterError
        Where the cluster's workers have no rparity.
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
            raise UsageError(f"Workers need Dask: {INSTALL_DASK}")
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
