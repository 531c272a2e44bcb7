"""Every error is a message of one sentence, and status 1 means a discrepancy only."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from few import mostly_slow
from folders import reseal
from rparity import cli, files, recordings
from rparity.audit.workers import ENGINE
from rparity.cases import case
from rparity.cases.base import Part
from rparity.cli import main
from rparity.commands import UNUSABLE
from rparity.diagnosis.ledger import ledger
from rparity.engines.base import Answer, Question, _Theirs
from rparity.errors import RecordingError, RNotAvailableError, UsageError, install
from rparity.parity import store
from rparity.r.process import _why_unavailable
from rparity.workers.child import Child

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def said(capsys: Capture) -> str:
    err = capsys.readouterr().err
    assert err.startswith("rparity: ")
    assert err.count("\n") == 1
    return err


# The command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("x"), "This is a bug of rparity (KeyError: 'x'; test_errors.py:"),
        (OSError(28, "No space left on device", "f.csv"), "device (f.csv). Make room on the disk."),
        (OSError(24, "Too many open files"), "(`ulimit -n 1024`)"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/x']"), "Set TMPDIR to a"),
        (MemoryError(), "There is not enough memory"),
        (RecursionError("deep\nwithin"), "RecursionError: deep within; "),
    ],
)
def test_an_unexpected_exception_is_one_sentence_with_status_2(
    monkeypatch: Patch, capsys: Capture, error: Exception, sentence: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("rparity.run.run_case", fail)
    assert main(["run", "norris"]) == UNUSABLE
    assert sentence in said(capsys)
    assert main(["--traceback", "run", "norris"]) == UNUSABLE
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv(cli.TRACEBACK, "1")
    assert main(["run", "norris"]) == UNUSABLE
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    mostly_slow(
        [["list"], ["run", "norris"], ["run", "norris", "--format=json"]],
        lambda command: command == ["run", "norris"],
        "a process for each command",
    ),
)
def test_a_full_disk_behind_the_output(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "rparity.cli", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == UNUSABLE
    assert ended.stderr == (
        "rparity: The operating system reports: No space left on device. Make room on the disk.\n"
    )


def test_few_open_files_are_named_as_the_reason(monkeypatch: Patch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _what: (64, 64))
    found = _why_unavailable("/usr/lib/R", "StopIteration", "")
    assert isinstance(found, RNotAvailableError)
    assert str(found) == "R does not start: only 64 files may be open at once: `ulimit -n 1024`"


# Recordings that were sealed again --------------------------------------------------------------


PROVENANCE = {"scripts": {}, "made_by": {"packages": {"R": "4.2.2"}}, "nsim": 2}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    tables = {
        "m.coef": pd.DataFrame({"estimate": [1.5]}, ["x"]),
        "b.replicates": pd.DataFrame({"x": [1.0, 2.0]}, ["1", "2"]),
    }
    return recordings.write(tmp_path, "toy", tables, PROVENANCE).folder


def resealed(folder: Path, edit: Callable[[dict], object] = lambda _made: None) -> str:
    """Make hashes and digest fit an edited recording, and return the error of reading it."""
    reseal(folder, edit)
    with pytest.raises(RecordingError) as caught:
        recordings.read(folder.parents[1], "toy", {})
    message = str(caught.value)
    assert "\n" not in message
    assert "rparity regenerate toy" in message
    return message


@pytest.mark.parametrize(
    "text", ["row,estimate\nx,one\n", "row,estimate\nx\n", "", "row,estimate\nx,1,2\n", "\udcff"]
)
def test_a_resealed_table_of_garbage(recorded: Path, text: str) -> None:
    (recorded / "m.coef.csv").write_text(text, errors="surrogateescape")
    assert "m.coef.csv does not hold what was recorded" in resealed(recorded)


class Crime:
    def __reduce__(self) -> object:
        return os.system, ("touch crime",)


def pickled(file: io.BytesIO) -> None:
    np.savez(file, values=np.array([Crime()], dtype=object), columns=np.array(["x"]))


def bomb(file: io.BytesIO) -> None:
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("values.npy", "w", force_zip64=True) as out,
    ):
        for _ in range(300):
            out.write(bytes(2**20))


def missing(file: io.BytesIO) -> None:
    np.savez(file, columns=np.array(["x"]))


def of_strings(file: io.BytesIO) -> None:
    np.savez(file, values=np.array([["a"]]), columns=np.array(["x"]))


@pytest.mark.parametrize(
    "make",
    mostly_slow(
        [pickled, bomb, missing, of_strings, lambda file: file.write(b"x")],
        lambda make: make is not bomb,
        "compresses an array that would fill the memory",
    ),
)
def test_resealed_replicates_of_garbage(
    recorded: Path, monkeypatch: Patch, make: Callable[[io.BytesIO], object]
) -> None:
    monkeypatch.chdir(recorded.parent)
    file = io.BytesIO()
    make(file)
    (recorded / "b.replicates.npz").write_bytes(file.getvalue())
    message = resealed(recorded)
    assert "b.replicates.npz does not hold what was recorded" in message
    assert ("unpacks to more than 256 MB" in message) == (make is bomb)
    assert not Path("crime").exists()
    assert len(pickle.dumps(Crime())) > 0  # it could have been run


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda made: made.pop("tables"), "it lacks tables"),
        (lambda made: made.pop("scripts"), "it lacks scripts"),
        (lambda made: made.update(tables=[]), "a strange tables"),
        (lambda made: made.update(scripts={"a.R": 1}), "a strange scripts"),
        (lambda made: made.update(texts=None), "a strange texts"),
        (lambda made: made.update(made_by="R"), "a strange made_by"),
        (lambda made: made.update(made_by={}), "a strange made_by.packages"),
        (lambda made: made.update(nsim="many"), "a strange nsim"),
        (lambda made: made.update(time=[]), "a strange time"),
    ],
)
def test_a_resealed_provenance_of_garbage(
    recorded: Path, edit: Callable[[dict], object], what: str
) -> None:
    assert what in resealed(recorded, edit)


@pytest.mark.parametrize("listed", ["../../outside.csv", "m.*f.csv", "m.link.csv"])
def test_a_resealed_provenance_that_lists_a_file_elsewhere(recorded: Path, listed: str) -> None:
    content = (recorded / "m.coef.csv").read_bytes()
    (recorded.parents[1] / "outside.csv").write_bytes(content)
    (recorded / "m.link.csv").symlink_to("/dev/null")
    known = files.sha256(b"" if "link" in listed else content)
    path = recorded / recordings.PROVENANCE
    made = json.loads(path.read_text())
    del made["digest"]
    made["tables"][listed] = known
    path.write_text(json.dumps(files.seal(made)))
    with pytest.raises(RecordingError, match=r"is missing from the recording|has a strange tables"):
        recordings.read(recorded.parents[1], "toy", {})


@pytest.mark.parametrize(
    "value",
    [
        1,
        {},
        {"list": 3},
        {"vector": "double", "rows": [["a"]]},
        {"vector": "double", "rows": [[None, "x"]]},
        {"vector": "integer", "rows": [[None, 10**30]]},
        {"vector": "Date", "rows": [[None, "never"]]},
        {"vector": {"factor": ["a", "a"], "ordered": False}, "rows": [[None, "a"]]},
        {"table": [["x"]], "rows": []},
    ],
)
@pytest.mark.parametrize("made_by", [{"packages": {}, "platform": "x"}, {}, None])
def test_a_resealed_answer_of_garbage(tmp_path: Path, value: object, made_by: object) -> None:
    asked = {
        "test": "t", "call": 1, "script": "f.R", "function": "f", "scripts": {}, "arguments": {},
        "seed": None, "packages": [],
    }  # fmt: skip
    path = tmp_path / "t.1.json"
    document = {"asked": asked, "value": value, "made_by": made_by, "time": "now"}
    path.write_text(json.dumps(files.seal(document)))
    with pytest.raises(RecordingError, match="not a recording of a call: run it"):
        store.read(path, asked, "run it")


# Locks ------------------------------------------------------------------------------------------


def test_a_reader_gives_up_on_a_lock_and_names_its_holder(
    recorded: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    descriptor = os.open(recorded.parents[1], os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(RecordingError) as caught:
            recordings.read(recorded.parents[1], "toy", {})
    finally:
        os.close(descriptor)
    assert f"are locked by process {os.getpid()} (" in str(caught.value)
    assert recordings.read(recorded.parents[1], "toy", {}).tables


def test_a_reader_waits_for_a_writer(recorded: Path) -> None:
    descriptor = os.open(recorded.parents[1], os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    def release() -> None:
        time.sleep(0.3)
        os.close(descriptor)

    thread = threading.Thread(target=release)
    thread.start()
    assert recordings.read(recorded.parents[1], "toy", {}).tables
    thread.join()


@pytest.mark.parametrize("number", files.NO_LOCKS)
def test_on_a_disk_without_locks_reading_works_and_writing_does_not(
    recorded: Path, monkeypatch: Patch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert recordings.read(recorded.parents[1], "toy", {}).tables
    with pytest.raises(RecordingError, match="No locks available"):
        recordings.write(recorded.parents[1], "toy", {}, PROVENANCE)


# The ledger -------------------------------------------------------------------------------------

ENTRY = {
    "id": '"a"',
    "cases": '["c"]',
    "engine": '"e"',
    "reference": '"R"',
    "tables": '["*"]',
    "rows": '["*"]',
    "columns": '["*"]',
    "cause": '"stopped early"',
    "bound": "4",
    "why": '"w"',
    "references": "[]",
    "reproduce": '"r"',
}


def entry(**fields: str) -> str:
    lines = (f"{name} = {value}" for name, value in (ENTRY | fields).items())
    return "[[discrepancy]]\n" + "\n".join(lines) + "\n"


def test_the_entry_is_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.toml"
    path.write_text(entry())
    assert [each.id for each in ledger(path)] == ["a"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (entry(cases='"c"'), "cases = 'c', which must be a list of strings"),
        (entry(cases="[]"), "must be a list of strings"),
        (entry(rows="[1]"), "must be a list of strings"),
        (entry(tables="3"), "must be a list of strings"),
        (entry(columns="{}"), "must be a list of strings"),
        (entry(references='"r"'), "must be a list of strings"),
        (entry(bound="nan"), "must be a number of digits from 0 to 16"),
        (entry(bound="inf"), "must be a number of digits"),
        (entry(bound="-1"), "must be a number of digits"),
        (entry(bound="true"), "must be a number of digits"),
        (entry(bound='"4"'), "must be a number of digits"),
        (entry(engine="1"), "must be a string that is not empty"),
        (entry(cause='" "'), "must be a string that is not empty"),
        (entry(cause='"bad luck"'), "which must be one of: stopped early, conditioning, "),
        (entry(id="1"), "must be a string that is not empty"),
        (entry(why="[]"), "must be a string that is not empty"),
        (entry(engin='"e"'), "has unknown or missing fields: engin"),
        (entry() + entry(), "'a' of {path} is there twice"),
        ("discrepancy = 1\n", "is not TOML with entries [[discrepancy]]"),
        ("discrepancy = [1]\n", "is not TOML with entries [[discrepancy]]"),
        ("[discrepancy]\nid = 1\n", "is not TOML with entries [[discrepancy]]"),
        ('a = "\udcff"', "is not TOML with entries [[discrepancy]]"),
    ],
)
def test_an_entry_that_is_wrong_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "ledger.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError) as caught:
        ledger(path)
    assert what.format(path=path) in str(caught.value)
    assert str(path) in str(caught.value)


# Engines and cases of others --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({}, "with dict, and must with Answer"),
        (None, "with NoneType, and must with Answer"),
        (Answer([]), "with tables that are list"),
        (Answer({"lm.coef": [1]}), "with lm.coef as list"),
        (
            Answer({"lm.coef": pd.DataFrame({"a": ["x"]})}),
            "with lm.coef, of which not all columns are numbers",
        ),
    ],
)
def test_an_engine_that_answers_with_something_else(answer: object, what: str) -> None:
    class Mine:
        def expected(self, _part: Part) -> tuple[str, ...]:
            return ()

        def answer(self, _question: Question) -> object:
            return answer

    with pytest.raises(UsageError, match="add-an-engine") as caught:
        _Theirs("mine", Mine()).answer(Question(case("norris"), 1))
    assert f"The engine 'mine' answers 'norris' {what}" in str(caught.value)


@pytest.mark.slow(reason="an engine in a process of its own")
def test_a_case_with_a_lambda_cannot_be_sent_and_the_problem_says_why() -> None:
    child = Child(ENGINE, "rparity")
    try:
        answer, problem = child.ask(lambda: None, 10.0)
    finally:
        child.stop()
    assert answer is None
    assert "must be defined by def in a module" in str(problem)


# How to install -----------------------------------------------------------------------------------


class Origin:
    """A distribution with a record of its origin (PEP 610), or without one."""

    def __init__(self, record: object) -> None:
        self.record = record

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self.record) if self.record else None


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, 'pip install "rparity[r,test]"'),
        (
            {"url": "https://host/r.git", "vcs_info": {"vcs": "git", "commit_id": "a1"}},
            'pip install "rparity[r,test] @ git+https://host/r.git"',
        ),
        (
            {
                "url": "https://host/r.git",
                "vcs_info": {"vcs": "git", "commit_id": "a1", "requested_revision": "v1"},
            },
            'pip install "rparity[r,test] @ git+https://host/r.git@v1"',
        ),
        (
            {"url": "https://host/rparity-1.whl", "archive_info": {}},
            'pip install "rparity[r,test] @ https://host/rparity-1.whl"',
        ),
        (
            {"url": "file:///home/a%20b", "dir_info": {"editable": True}},
            'pip install -e "/home/a b[r,test]"',
        ),
        ({"url": "file:///home/c", "dir_info": {}}, 'pip install "/home/c[r,test]"'),
    ],
)
def test_the_command_installs_from_where_the_package_came(
    monkeypatch: Patch, origin: object, command: str
) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda _name: Origin(origin))
    assert install("r", "test") == command
