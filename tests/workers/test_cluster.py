"""Work on processes and on a Dask cluster: the outcomes are the same, also if workers die."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rparity
from places import DATA
from rparity.cli import main
from rparity.commands import AGREE
from rparity.errors import ClusterError, UsageError, WorkerCrashedError, install
from rparity.workers.cluster import Cluster, Here, Outcome, Progress, cluster
from rparity.workers.processes import Processes

if TYPE_CHECKING:  # Dask takes a while to import, also where these tests do not run
    from distributed import Client

pytestmark = pytest.mark.slow(reason="starts workers, kills them, and waits for time limits")

# What the workers do: functions that they can import.


def cube(shared: int, item: int) -> int:
    return shared * item**3


def surroundings(folder: Path, _item: int) -> tuple[int, str | None]:
    """Wait for the other worker, which may start later: each takes one of two items."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def refuse_three(_shared: None, item: int) -> int:
    if item == 3:
        raise UsageError("Three is refused.")
    return item


def die(shared: tuple[Path, set[int], set[int]], item: int) -> int:
    """Kill the worker: for some items always, for others the first time only."""
    folder, always, once = shared
    first = not (mark := folder / str(item)).exists()
    mark.touch()
    if item in always or (item in once and first):
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def hang(shared: set[int], item: int) -> int:
    """Hang in C code, which no Python signal handler interrupts."""
    if item in shared:
        re.match(r"(a+)+b", "a" * 60)
    return item


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A Dask cluster of two workers, as a user starts one."""
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 0,
                "distributed.worker.multiprocessing-method": "spawn",
                # Where the machine is slow, a worker takes long to come back.
                "distributed.deploy.lost-worker-timeout": "1 hour",
                "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},
            }
        ),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            dashboard_address="127.0.0.1:0",
        ) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module", params=["processes", "dask"])
def two(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two workers for all tests; some tests kill them."""
    chosen = 2 if request.param == "processes" else request.getfixturevalue("client")
    with cluster(chosen) as found:
        yield found


def by_item(outcomes: Iterator[Outcome[int, int]]) -> dict[int, int | str]:
    return {o.item: str(o.error) if o.error else o.result() for o in outcomes}


def test_outcomes_do_not_depend_on_the_number_of_workers(two: Cluster) -> None:
    expected = {i: 2 * i**3 for i in range(40)}
    assert by_item(two.map(cube, 2, range(40))) == expected
    assert by_item(two.map(lambda shared, item: shared * item**3, 2, range(40))) == expected
    assert by_item(Here().map(cube, 2, range(40))) == expected
    assert by_item(two.map(cube, 2, ())) == {}


def test_one_process_is_enough() -> None:
    with cluster(1) as one:
        assert by_item(one.map(cube, 2, range(40))) == {i: 2 * i**3 for i in range(40)}


def test_workers_are_processes_of_one_thread(two: Cluster, tmp_path: Path) -> None:
    found = [o.result() for o in two.map(surroundings, tmp_path, range(2))]
    assert len({pid for pid, _ in found} - {os.getpid()}) == 2
    assert {threads for _, threads in found} == {"1"}


def test_a_killed_worker_costs_a_retry_and_an_item_that_always_kills_is_named(
    two: Cluster, tmp_path: Path
) -> None:
    found = by_item(two.map(die, (tmp_path, {1}, {0, 5}), range(8)))
    how = " (killed by SIGKILL; if the memory ran out, give it less work)"
    how = how if isinstance(two, Processes) else ""
    assert found.pop(1) == f"1 cost its worker process its life, the 2nd time{how}."
    assert found == {i: i for i in (0, 2, 3, 4, 5, 6, 7)}


class Lost:
    """A future whose value is on a worker that died, or whose task timed out itself."""

    def __init__(self, status: str) -> None:
        self.status = status

    def result(self, timeout: float) -> None:
        raise TimeoutError

    def release(self) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "error"), [("pending", WorkerCrashedError), ("error", TimeoutError)]
)
def test_a_value_that_does_not_arrive_is_lost_with_its_worker(
    status: str, error: type[Exception]
) -> None:
    from rparity.workers.dask import Dask, _Attempt

    found = Dask.__new__(Dask)._outcome(Lost(status), _Attempt("one", 1), 0.0, None)
    assert type(found.error) is error


def test_an_item_that_hangs_ends_at_its_time_limit(two: Cluster) -> None:
    found = by_item(two.map(hang, {2}, range(6), limit=1.0))
    assert found.pop(2) == "2 took longer than 1 s, the 2nd time."
    assert found == {i: i for i in (0, 1, 3, 4, 5)}


@pytest.mark.parametrize("where", ["here", "workers"])
def test_an_error_of_the_task_is_an_outcome(two: Cluster, where: str) -> None:
    outcomes = {
        o.item: o for o in (two if where == "workers" else Here()).map(refuse_three, None, range(5))
    }
    assert {item for item, outcome in outcomes.items() if outcome.error} == {3}
    with pytest.raises(UsageError, match=r"^Three is refused\.$"):
        outcomes[3].result()
    assert outcomes[4].result() == 4


def test_items_are_taken_as_workers_become_free(two: Cluster) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    outcomes = two.map(cube, 1, items())
    for done in range(1, 21):
        next(outcomes)
        assert len(taken) <= done + 2
    outcomes.close()  # and what is under way is dropped
    assert len(taken) < 30
    assert by_item(two.map(cube, 1, range(3))) == {0: 0, 1: 1, 2: 8}


@pytest.mark.parametrize("where", ["here", "workers"])
def test_on_progress_is_called_after_each_item(two: Cluster, where: str) -> None:
    seen: list[Progress] = []
    list((two if where == "workers" else Here()).map(cube, 1, range(5), on_progress=seen.append))
    assert [(p.done, p.total) for p in seen] == [(i, 5) for i in range(1, 6)]
    assert seen[-1].remaining == 0
    list(Here().map(cube, 1, iter(range(5)), on_progress=seen.append))
    assert seen[-1].total is None


def test_progress_reads_well() -> None:
    assert str(Progress(120, 2000, 8.0)) == "120 of 2,000, 15 a second, 2:05 left"
    assert str(Progress(120, 500_000, 8.0)) == "120 of 500,000, 15 a second, 9:15:25 left"
    assert str(Progress(3, None, 6.0)) == "3, 0.5 a second"


def test_an_address_and_a_client_are_used_and_left_open(client: Client) -> None:
    for where in (client.scheduler.address, client):
        with cluster(where) as theirs:
            assert by_item(theirs.map(cube, 1, range(3))) == {0: 0, 1: 1, 2: 8}
            with cluster(theirs) as again:
                assert again is theirs
            assert by_item(theirs.map(cube, 1, range(3))) == {0: 0, 1: 1, 2: 8}
    with cluster(None) as again:
        assert isinstance(again, Here)


# What goes wrong is one sentence with a remedy --------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere"])
def test_an_address_where_nobody_answers(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rparity.workers.dask.CONNECT_SECONDS", 0.3)
    with pytest.raises(UsageError, match=rf"No Dask scheduler answers at {address}: start one"):
        cluster(address).__enter__()


def test_no_worker_at_all() -> None:
    with pytest.raises(UsageError, match="must be at least 1, and is 0"):
        cluster(0).__enter__()


def test_without_dask_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rparity.workers.cluster.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=re.escape(install("dask"))):
        cluster(2).__enter__()
    with cluster(None) as here:
        assert by_item(here.map(cube, 1, range(2))) == {0: 0, 1: 1}


def test_workers_with_another_version_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rparity.workers.dask.__version__", "9.9")
    with pytest.raises(ClusterError, match=rf"have rparity {re.escape(rparity.__version__)}, and"):
        cluster(client).__enter__()


UNGUARDED = """
from rparity.workers.cluster import cluster
def power(shared, item):
    return shared**item
with cluster(1) as workers:
    print([outcome.result() for outcome in workers.map(power, 2, [1, 2])])
"""


def test_a_script_needs_no_main_guard_and_may_use_its_own_functions(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(rparity.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2, 4]\n", "")


class Unreadable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def refuse_oddly(_shared: None, item: int) -> object:
    if item == 0:
        raise Unreadable(1, 2)
    return (i for i in range(3))  # which cannot be pickled


def test_a_value_that_cannot_be_sent_back_is_an_error() -> None:
    with cluster(1) as one:
        found = {o.item: str(o.error) for o in one.map(refuse_oddly, None, range(2))}
    assert found[0] == "Unreadable: 1 and 2"
    assert "cannot pickle 'generator' object" in found[1]


def test_a_worker_killed_before_its_work_begins_costs_nothing() -> None:
    with cluster(2) as pool:
        assert isinstance(pool, Processes)
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        assert by_item(pool.map(cube, 1, range(4))) == {i: i**3 for i in range(4)}
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        assert by_item(pool.map(cube, 1, range(4))) == {i: i**3 for i in range(4)}


def test_a_dask_worker_killed_before_its_work_begins_costs_nothing(client: Client) -> None:
    pids = client.run(os.getpid).values()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    with cluster(client) as pool:
        for pid in set(client.run(os.getpid, on_error="ignore").values()) - set(pids):
            os.kill(pid, signal.SIGKILL)
        assert by_item(pool.map(cube, 1, range(4))) == {i: i**3 for i in range(4)}


# Certificates ------------------------------------------------------------------------------------

KEYS = DATA / "tls"


def certificates(whose: str) -> dict[str, str]:
    """Return Dask's configuration of a client with the certificates of the tests."""
    tls = "distributed.comm.tls"
    return {
        f"{tls}.ca-file": str(KEYS / f"{whose}.crt"),
        f"{tls}.client.cert": str(KEYS / f"{whose}.crt"),
        f"{tls}.client.key": str(KEYS / f"{whose}.key"),
    }


@pytest.fixture(scope="module")
def secure() -> Iterator[str]:
    """Address of a cluster whose clients need our certificate."""
    from distributed import LocalCluster, Security

    files = {
        f"tls_{role}_{kind}": str(KEYS / f"ours.{end}")
        for role in ("client", "scheduler", "worker")
        for kind, end in (("cert", "crt"), ("key", "key"))
    }
    security = Security(tls_ca_file=str(KEYS / "ours.crt"), require_encryption=True, **files)
    with LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tls://",
        host="127.0.0.1",
        security=security,
        silence_logs=logging.CRITICAL,
        dashboard_address="127.0.0.1:0",
    ) as local:
        yield local.scheduler_address


def test_a_cluster_is_used_with_the_certificates_of_dasks_configuration(secure: str) -> None:
    import dask

    assert secure.startswith("tls://")
    with dask.config.set(certificates("ours")), cluster(secure) as pool:
        assert by_item(pool.map(cube, 1, range(3))) == {0: 0, 1: 1, 2: 8}


def test_without_certificates_the_error_says_where_to_name_them(secure: str) -> None:
    with pytest.raises(UsageError, match=r"needs certificates: .*COMM__TLS__CA_FILE"):
        cluster(secure).__enter__()


@pytest.mark.parametrize("protocol", ["tls", "tcp"])
def test_clients_with_other_certificates_or_none_cannot_connect(
    secure: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    monkeypatch.setattr("rparity.workers.dask.CONNECT_SECONDS", 1.0)
    address = secure.replace("tls", protocol)
    with (
        dask.config.set(certificates("theirs")),
        pytest.raises(UsageError, match=f"No Dask scheduler answers at {address}"),
    ):
        cluster(address).__enter__()


def test_workers_that_never_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rparity.workers.processes.WORK", "os:abort")
    with (
        cluster(2) as pool,
        pytest.raises(ClusterError, match=r"do not start: one after the other"),
    ):
        list(pool.map(cube, 1, range(4)))


def test_a_crash_is_an_error_of_the_package() -> None:
    assert issubclass(WorkerCrashedError, rparity.RparityError)


def test_only_one_module_loads_dask() -> None:
    package = Path(rparity.__file__).parent
    users = {
        path.name
        for path in package.rglob("*.py")
        if re.search(r"^(import|from) (dask|distributed)\b", path.read_text("utf-8"), re.M)
    }
    assert users == {"dask.py"}


@pytest.mark.live
def test_regenerate_writes_the_same_files_with_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    cases = ["norris", "longley", "noint1"]
    said = []
    for workers in ([], ["--workers", "2"]):
        folder = tmp_path / "-".join(["on", *workers])
        command = ["regenerate", *cases, "--engine", "R", "--fixtures", str(folder)]
        assert main([*command, *workers]) == AGREE
        said.append(capsys.readouterr().out.replace(str(folder), ""))
        assert main([*command, *workers, "--check"]) == AGREE
        capsys.readouterr()
    assert said[0] == said[1]
    one, other = (
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*.*")
            if path.is_file()
        }
        for folder in sorted(tmp_path.iterdir())
    )
    assert one == other
    assert len(one) > 2 * len(cases)
