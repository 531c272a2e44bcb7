"""Work on a Dask cluster. Only this module imports Dask.

Dask starts processes on other machines, restarts them, and carries values. A worker has one item at
a time, so that it is clear which item a worker died of. Everybody who can connect to a cluster at
`tcp://` can run code as its workers' user; `tls://` asks for certificates.
"""

from __future__ import annotations

import faulthandler
import gc
import math
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from distributed import Client, Future, KilledWorker, Security, WorkerPlugin, get_worker

from rparity import __version__
from rparity.errors import ClusterError, UsageError, WorkerCrashedError
from rparity.workers.cluster import TRIES, AnyTask, Cluster, Outcome, crash

T = TypeVar("T")

CONNECT_SECONDS = 10.0
# How often to look for new workers, and how long to wait if there are none.
LOOK_SECONDS = 1.0
NO_WORKERS_SECONDS = 60.0
# A value that has not arrived by then is lost: if its worker dies now, Dask may wait for ever.
ARRIVAL_SECONDS = 60.0

TLS = "DASK_DISTRIBUTED__COMM__TLS__"


@contextmanager
def connected(workers: str | Client) -> Iterator[Dask]:
    """Use the cluster at an address, or that of a client; see `cluster`."""
    if isinstance(workers, Client):
        yield Dask(workers)
    else:
        with _client_at(workers) as client:
            yield Dask(client)


def _client_at(address: str) -> Client:
    secure = address.startswith("tls://")
    if secure and not all(
        Security().get_tls_config_for_role("client")[k] for k in ("ca_file", "cert")
    ):
        raise UsageError(
            f"{address} needs certificates: name them in Dask's configuration, or as "
            f"{TLS}CA_FILE, {TLS}CLIENT__CERT and {TLS}CLIENT__KEY in the environment."
        )
    with suppress(OSError, ValueError, TypeError):
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    # A client that failed closes itself when it is collected. Later, that might be in the thread of
    # another client, where it would wait for ever for a lock.
    gc.collect()
    asks = "which accepts these certificates " if secure else ""
    raise UsageError(
        f"No Dask scheduler answers at {address}: start one {asks}with `dask scheduler`, and give "
        "its address as tls://host:port or tcp://host:port."
    )


class _Shared(WorkerPlugin):  # type: ignore[misc]
    """The argument that all items have in common, on every worker, also on later ones."""

    def __init__(self, value: object) -> None:
        self.value = value


@dataclass(frozen=True)
class _Attempt:
    item: Any
    number: int
    tries: int = 1


class Dask(Cluster):
    """The workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._check_workers()

    def _check_workers(self) -> None:
        """Refuse workers that are not there, or have another version of rparity or none."""
        try:
            self._client.wait_for_workers(1, timeout=NO_WORKERS_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"The Dask cluster at {self._address} has no workers: start some with "
                f"`dask worker {self._address} --nthreads 1`."
            ) from error
        found = self._patiently(lambda: self._client.run(_version, on_error="return").values())
        # An OSError is a worker that died meanwhile. If it comes back, it is like the others.
        for answer in found:
            if isinstance(answer, Exception) and not isinstance(answer, OSError):
                raise ClusterError(
                    f"The workers at {self._address} cannot run rparity ({_last_line(answer)}): "
                    f"install version {__version__} there."
                ) from answer
        versions = {answer for answer in found if isinstance(answer, str)} - {__version__}
        if versions:
            raise ClusterError(
                f"The workers at {self._address} have rparity {', '.join(sorted(versions))}, and "
                f"this is {__version__}: install the same version there."
            )

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask all workers something, and again if one of them dies meanwhile."""
        until = time.monotonic() + NO_WORKERS_SECONDS
        while True:
            try:
                return ask()
            except OSError as error:
                if self._client.status != "running" or time.monotonic() > until:
                    raise self._gone() from error
            time.sleep(LOOK_SECONDS)

    @property
    def _address(self) -> str:
        return str(self._client.scheduler.address)

    def _outcomes(
        self, task: AnyTask, shared: object, items: Iterable[Any], limit: float | None
    ) -> Iterator[Outcome[Any, Any]]:
        name = f"rparity-{uuid.uuid4().hex}"
        plugin = _Shared(shared)
        self._patiently(lambda: self._client.register_plugin(plugin, name=name))
        fresh = (_Attempt(item, number) for number, item in enumerate(items))
        again: deque[_Attempt] = deque()
        running: dict[Future, tuple[_Attempt, str, float]] = {}
        finished: SimpleQueue[Future] = SimpleQueue()
        workers: set[str] = set()
        looked, seen = -math.inf, time.monotonic()

        def fill() -> None:
            """Give each idle worker an item."""
            for address in workers - {address for _, address, _ in running.values()}:
                attempt = again.popleft() if again else next(fresh, None)
                if attempt is None:
                    return
                future = self._client.submit(
                    _worked,
                    task,
                    name,
                    attempt.item,
                    limit,
                    key=(name, attempt.number, attempt.tries),
                    pure=False,
                    # If this worker is gone by now, any other one may do it.
                    workers=[address],
                    allow_other_workers=True,
                )
                running[future] = attempt, address, time.monotonic()
                future.add_done_callback(finished.put)

        try:
            while True:
                if (now := time.monotonic()) - looked > LOOK_SECONDS:
                    looked, workers = now, self._workers()
                    seen = now if workers else seen
                    if now - seen > NO_WORKERS_SECONDS:
                        raise ClusterError(f"All the workers at {self._address} are gone.")
                fill()
                if not running and not again and workers:
                    return
                try:
                    future = finished.get(timeout=LOOK_SECONDS)
                except Empty:
                    continue
                attempt, _, began = running.pop(future)
                took = time.monotonic() - began
                if not _killed(future):
                    fill()  # the worker goes on while the value travels
                outcome = self._outcome(future, attempt, took, limit)
                if isinstance(outcome.error, WorkerCrashedError):
                    looked = -math.inf  # its worker is gone: look for workers now
                    if attempt.tries < TRIES:
                        again.append(replace(attempt, tries=attempt.tries + 1))
                        continue
                yield outcome
        finally:
            with suppress(Exception):  # the cluster may be gone
                self._client.cancel(list(running), force=True)
                self._client.unregister_worker_plugin(name)

    def _outcome(
        self, future: Future, attempt: _Attempt, took: float, limit: float | None
    ) -> Outcome[Any, Any]:
        try:
            return Outcome(attempt.item, value=future.result(ARRIVAL_SECONDS))
        except KilledWorker:
            late = limit is not None and took >= limit
            error = crash(attempt.item, attempt.tries, limit, late, "")
            return Outcome(attempt.item, error=error)
        except TimeoutError as error:
            # The task's own, or else the worker died with a value that has not arrived.
            lost = crash(attempt.item, attempt.tries, limit, False, "")
            return Outcome(attempt.item, error=error if future.status == "error" else lost)
        except CancelledError as error:
            raise self._gone() from error
        except Exception as error:
            return Outcome(attempt.item, error=error)
        finally:
            future.release()

    def _workers(self) -> set[str]:
        try:
            return set(self._client.nthreads())
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> ClusterError:
        return ClusterError(f"The Dask scheduler at {self._address} is gone.")


def _killed(future: Future) -> bool:
    return future.status == "error" and isinstance(future.exception(), KilledWorker)


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _version() -> str:
    return __version__


def _worked(task: AnyTask, name: str, item: object, limit: float | None) -> Any:
    """Do the task for an item, on a worker.

    faulthandler keeps the time limit. Its watchdog is not a Python thread, and so ends the process
    even if C code hangs. Dask then replaces the process.
    """
    shared = get_worker().plugins[name].value
    if limit is None:
        return task(shared, item)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
        try:
            return task(shared, item)
        finally:
            faulthandler.cancel_dump_traceback_later()
