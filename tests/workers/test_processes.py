"""Child processes end with their parent, leave nothing behind, and say how they died."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import rparity
from places import R_SCRIPTS, SUPPORT
from proc import eventually, lives, processes_of
from rparity.audit import workers
from rparity.audit.workers import ENGINE, EngineProcesses
from rparity.cases.base import Case
from rparity.commands import UNUSABLE
from rparity.engines.base import Question
from rparity.errors import RCrashedError
from rparity.r.session import RSession
from rparity.workers.child import Child, ChildError, DiedError, LateError, NotLoadedError, how
from rparity.workers.cluster import cluster
from rparity.workers.processes import Processes
from rparity.workers.processor import KERNEL

ROOT = Path(rparity.__file__).parents[1]
R_SCRIPT = R_SCRIPTS / "misbehave.R"
# The command as it is installed: the working directory is not on the path.
COMMAND = "import sys; from rparity.cli import main; sys.exit(main())"

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
    pytest.mark.slow(reason="starts dozens of processes, and waits until each has ended"),
]

# What children do -------------------------------------------------------------------------------


def compute(pipe: Connection, *_arguments: object) -> None:
    """Compute in C for hours, with the interpreter's lock held."""
    pipe.send("begun")
    re.match(r"(a+)+b", "a" * 60)


def litter(pipe: Connection) -> None:
    """Start a process that goes on for long, and write temporary files."""
    Path(os.environ["TMPDIR"], "folder").mkdir()
    Path(os.environ["TMPDIR"], "folder", "file").touch()
    pipe.send(subprocess.Popen(["sleep", "600"]).pid)
    pipe.recv()


def die(_pipe: Connection, number: int) -> None:
    os.kill(os.getpid(), number)


def leave(_pipe: Connection) -> None:
    sys.exit(3)


def origins(_shared: None, _item: int) -> list[str]:
    import bisect
    import random

    return [str(module.__file__) for module in (random, bisect)]


# Watching them ----------------------------------------------------------------------------------


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files; at the end, it is empty, and its processes have ended."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    eventually(lambda: not list(processes_of(folder)), "a process is left")
    eventually(lambda: not list(folder.iterdir()), "files are left")


def environment(scratch: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join(map(str, (ROOT, Path(__file__).parent, SUPPORT)))
    return os.environ | {"PYTHONPATH": path, "TMPDIR": str(scratch)} | more


def started(code: str, scratch: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-P", "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(scratch),
        **options,
    )


# They end with their parent ---------------------------------------------------------------------

PARENT = (
    "import time; from rparity.workers.child import Child\n"
    "child = Child('test_processes:{target}')\n"
    "print(child.pid, {wait}, flush=True); time.sleep(600)\n"
)


@pytest.mark.parametrize("up", [False, True])
def test_a_child_that_computes_in_c_ends_with_its_parent(scratch: Path, up: bool) -> None:
    wait = "child.receive()" if up else "'begun'"
    with started(PARENT.format(target="compute", wait=wait), scratch) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().removesuffix("begun\n"))
        assert lives(pid)
        parent.kill()
    eventually(lambda: not lives(pid), "it computes on")


def test_processes_that_a_child_started_end_too(scratch: Path) -> None:
    with started(PARENT.format(target="litter", wait="child.receive()"), scratch) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(map(lives, pids))
        parent.kill()
    eventually(lambda: not any(map(lives, pids)), "they live on")


def test_a_killed_child_leaves_nothing_while_its_parent_goes_on(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    child = Child("test_processes:litter")
    started_by_it = child.receive()
    assert list(scratch.iterdir()) == [child.folder]
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(DiedError):
        child.receive()
    eventually(lambda: not lives(started_by_it), "what it started lives on")
    eventually(lambda: not list(scratch.iterdir()), "its folder is left")
    child.stop()


STOPS = (
    "import os; from rparity.workers.child import Child\n"
    "child = Child('test_processes:litter'); child.receive()\n"
    "child.process.wait = lambda *_: os.kill(os.getpid(), 9)\n"
    "print(child.folder, flush=True); child.stop()\n"
)


def test_a_parent_that_is_killed_while_it_ends_a_child_leaves_nothing(scratch: Path) -> None:
    with started(STOPS, scratch) as parent:
        assert parent.stdout is not None
        assert Path(parent.stdout.readline().strip()).parent == scratch
    assert parent.returncode == -signal.SIGKILL  # and `scratch` looks whether anything is left


def test_a_child_ends_when_it_is_collected(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    child = Child("test_processes:compute")
    pid = child.pid
    assert child.receive() == "begun"
    del child
    assert not lives(pid)
    assert not list(scratch.iterdir())


def test_the_processes_of_an_audit_end_with_it(scratch: Path) -> None:
    """Killed at several moments of its first seconds."""
    for moment in (0.0, 0.5, 1.0, 2.0):
        code = COMMAND.replace("main()", "main(['audit', 'dyestuff', 'sleepstudy'])")
        with started(code, scratch, stderr=subprocess.DEVNULL) as parent:
            eventually(lambda: bool(list(scratch.iterdir())), "nothing is started")
            time.sleep(moment)
            parent.kill()
        eventually(lambda: not list(processes_of(scratch)), "an engine is left")


def test_a_child_that_hangs_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child("test_processes:compute")
    assert child.receive() == "begun"
    child.send("anything", 0.1)
    with pytest.raises(LateError, match=r"no answer within 0\.1 s"):
        child.receive()
    child.stop()


# Whose modules they load ------------------------------------------------------------------------


@pytest.fixture
def shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with modules that have names of Python's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("random", "bisect", "tempfile", "pickle"):
        (folder / f"{name}.py").write_text("raise SystemExit('not the one of Python')\n")
    monkeypatch.chdir(folder)
    return folder


def test_processes_of_an_audit_load_nothing_from_the_working_directory(
    shadows: Path, scratch: Path
) -> None:
    names = ("rparity", "statsmodels")
    engines = [part for name in names for part in ("--engine", name)]
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND, "audit", "norris", "noint1", *engines],
        capture_output=True,
        text=True,
        env=environment(scratch),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Problems" not in done.stdout


def test_workers_load_nothing_from_the_working_directory(shadows: Path) -> None:
    with cluster(1) as pool:
        (outcome,) = pool.map(origins, None, [0])
    assert not any(str(shadows) in origin for origin in outcome.result())


def test_engines_in_the_working_directory_are_found(
    shadows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At Python's prompt, the working directory is on the path; it is on that of engines, too."""
    (shadows / "mine.py").write_text(
        "import random\n"
        "from rparity.engines.base import Answer\n"
        "class Engine:\n"
        "    def expected(self, part): return ()\n"
        "    def answer(self, question): return Answer({}, {'random': random.__file__})\n"
        "ENGINES = {'mine': 'mine:Engine'}\n"
    )
    (shadows / "bisect.py").unlink()
    monkeypatch.setenv("RPARITY_PROJECT", str(shadows / "more"))
    (shadows / "more").mkdir()
    (shadows / "more" / "registry.py").write_text("ENGINES = {'mine': 'mine:Engine'}\n")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    child = Child(ENGINE, "mine")
    question = Question(Case("planted", "", "none.R", "none", 1, 2, (), ()), 2)
    answer, problem = child.ask(question, 30.0)
    child.stop()
    assert problem is None
    assert not str(answer.gaps["random"]).startswith(str(shadows))


@pytest.mark.live
def test_r_loads_nothing_from_the_working_directory(shadows: Path) -> None:
    with RSession() as session:
        assert session.call(R_SCRIPT, "echo", {"x": 1}).value == 1


# How they died ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (3, "ended with status 3"),
        (-11, "killed by SIGSEGV"),
        (-9, "killed by SIGKILL; if the memory ran out, give it less work"),
        (-64, "killed by SIGRTMAX"),
        (None, "closed its pipe and goes on"),
    ],
)
def test_how_a_process_died(status: int | None, said: str) -> None:
    assert how(status) == said


@pytest.mark.parametrize("coretype", ["SkylakeX", None])
def test_an_illegal_instruction_names_the_likely_cause(
    coretype: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if coretype is None:
        monkeypatch.delenv(KERNEL, raising=False)
    else:
        monkeypatch.setenv(KERNEL, coretype)
    child = Child("test_processes:die", signal.SIGILL)
    said = (
        "OPENBLAS_CORETYPE is SkylakeX, .* unset OPENBLAS_CORETYPE"
        if coretype
        else "a library was built for another processor: install it anew"
    )
    with pytest.raises(NotLoadedError, match=f"^crashed: killed by SIGILL; {said}"):
        child.ask("anything", 30.0)
    child.stop()


def test_a_process_that_leaves_says_its_status() -> None:
    child = Child("test_processes:leave")
    with pytest.raises(NotLoadedError, match=r"^crashed: ended with status 3$"):
        child.ask("anything", 30.0)
    child.stop()


ODD = """
class Dict:
    def expected(self, part): return ()
    def answer(self, question): return {"lmer.coef": None}

class Local(Dict):
    def answer(self, question):
        from rparity.engines.base import Answer
        return Answer({}, notes=(lambda: None,))

class Here(Exception):
    pass

ENGINES = {"dict": "odd_engines:Dict", "local": "odd_engines:Local"}
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dict", "answers 'planted' with dict, and must with Answer"),
        ("local", "with notes that are no tuple of strings"),
    ],
)
def test_an_engine_that_returns_no_answer_has_a_problem(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_engines.py").write_text(ODD)
    monkeypatch.setenv("RPARITY_PROJECT", str(tmp_path))
    child = Child(ENGINE, name)
    question = Question(Case("planted", "", "none.R", "none", 1, 2, (), ()), 2)
    for _ in range(2):  # and the process goes on
        answer, problem = child.ask(question, 30.0)
        assert answer is None
        assert said in (problem or "")
    child.stop()


# Where they cannot be started -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_tmpdir_that_cannot_be_used_is_named(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "nowhere"
    if kind == "a file":
        folder.touch()
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND, "audit", "norris", "--engine", "statsmodels"],
        capture_output=True,
        text=True,
        env=environment(folder),
        check=False,
    )
    assert done.returncode == UNUSABLE
    assert done.stderr == (
        f"rparity: TMPDIR is {folder}, which is no folder that can be written to: make it one, "
        "or unset TMPDIR.\n"
    )


@pytest.mark.parametrize("most", [12, 20])
def test_too_many_open_files_have_their_advice(most: int, scratch: Path) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))\n"
    # Loaded before: what is short of files is the work, not Python's import system.
    code = (
        "import rparity.audit.run_audit, rparity.fuzz.campaign\n"
        + limit
        + (
            "from rparity.workers.child import Child\n"
            "from rparity import cli\n"
            "import rparity.commands.doctor as d\n"
            "d.run = lambda _options: [Child('test_processes:compute') for _ in range(20)]\n"
            "import sys; sys.exit(cli.main(['doctor']))\n"
        )
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        env=environment(scratch),
        check=False,
    )
    assert done.stderr.splitlines()[-1] == (
        "rparity: Too many open files: allow more of them (`ulimit -n 1024`) and try again."
    )
    assert done.returncode == UNUSABLE
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > most


# Interrupted ------------------------------------------------------------------------------------


def test_no_engine_is_started_once_the_audit_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption ends the engines while threads go on that start engines."""
    stopped: list[str] = []

    class Slow:
        def __init__(self, _target: str, name: str, **_options: object) -> None:
            self.name = name

        def stop(self) -> None:
            stopped.append(self.name)
            refused = []

            def late() -> None:
                try:
                    engines._service(f"more than {self.name}")
                except ChildError as error:
                    refused.append(str(error))

            thread = threading.Thread(target=late)
            thread.start()
            thread.join()
            assert refused == ["was not asked: the audit has ended"]

    monkeypatch.setattr(workers, "Child", Slow)
    with EngineProcesses(limit=1.0) as engines:
        for name in ("one", "two"):
            engines._service(name)
    assert stopped == ["one", "two"]


@pytest.mark.parametrize("moment", [0.0, 0.7, 1.5, 3.0])
def test_an_interrupted_audit_says_one_sentence(scratch: Path, moment: float) -> None:
    code = COMMAND.replace("main()", "main(['audit', 'dyestuff', 'sleepstudy'])").replace(
        "import sys;",
        "import sys, signal; signal.signal(signal.SIGINT, signal.default_int_handler);",
    )
    with started(code, scratch, stderr=subprocess.PIPE) as parent:
        eventually(lambda: bool(list(scratch.iterdir())), "nothing is started")
        time.sleep(moment)
        parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=60.0)
    assert said == "rparity: interrupted; nothing was left half-written.\n"
    assert parent.returncode == 130


# Nobody else can reach them ---------------------------------------------------------------------


def listening(pids: list[int]) -> set[str]:
    """Sockets at which these processes listen."""
    theirs = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
            except OSError:
                continue
            if found:
                theirs.add(found[1])
    open_ = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                open_.add(fields[9])
    return theirs & open_


def test_workers_of_this_machine_listen_at_no_port() -> None:
    before = listening([os.getpid()])
    with cluster(2) as pool:
        assert isinstance(pool, Processes)
        assert len(list(pool.map(origins, None, range(4)))) == 4
        assert listening([os.getpid(), *pool.pids]) == before


# R ----------------------------------------------------------------------------------------------


@pytest.mark.live
def test_r_killed_while_it_starts_has_died_and_starts_again() -> None:
    with RSession() as session:
        for _ in range(2):  # the first start of all, and a later one

            def kill() -> None:
                while session.pid is None:
                    time.sleep(0.001)
                os.kill(session.pid, signal.SIGKILL)

            thread = threading.Thread(target=kill)
            thread.start()
            with pytest.raises(
                RCrashedError, match=r"R died during its start \(killed by signal 9"
            ):
                session.call(R_SCRIPT, "echo", {"x": 1})
            thread.join()
            assert session.call(R_SCRIPT, "echo", {"x": 2}).value == 2
            session.close()


def test_only_two_modules_start_python() -> None:
    package = Path(rparity.__file__).parent
    users = {
        path.name
        for path in package.rglob("*.py")
        if re.search(
            r"sys\.executable|Popen\(|LocalCluster|multiprocessing import .*Process\b",
            path.read_text("utf-8"),
        )
    }
    # Whether numpy can be loaded at all has to be tried before anything loads it. webr.py starts
    # Node, not Python.
    assert users == {"child.py", "processor.py", "webr.py"}


def test_a_fork_leaves_the_children_of_its_parent_alone() -> None:
    child = Child("test_processes:compute")
    assert child.receive() == "begun"
    pid = os.fork()
    if pid == 0:
        child.stop()
        os._exit(0)
    os.waitpid(pid, 0)
    assert lives(child.pid)
    child.stop()
    assert not lives(child.pid)
