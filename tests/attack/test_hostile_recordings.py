"""Hostile recordings: each ends in one sentence and status 2, runs nothing, and takes no memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import ROOT

from places import SUPPORT
from rparity import files, paths, recordings
from rparity.commands import UNUSABLE
from rparity.parity.store import Place
from tally import Tally

ATTACKED = "hostile recordings"
pytestmark = pytest.mark.attack

CASE = "norris"
MEMORY = 3 * 2**30
SECONDS = 60.0
Attack = Callable[[Path], object]


class Crime:
    """What is run where somebody unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch crime",)


# Case recordings --------------------------------------------------------------------------------


def resealed(folder: Path, edit: Callable[[dict[str, Any]], object] = lambda _made: None) -> None:
    """Let hashes and digest be those of what lies there."""
    path = folder / recordings.PROVENANCE
    made = json.loads(path.read_text())
    made.pop("digest")
    for held in ("tables", "texts"):
        for name in made.get(held, {}):
            if (folder / name).is_file():
                made[held][name] = files.sha256((folder / name).read_bytes())
    edit(made)
    path.write_text(json.dumps(files.seal(made)))


def table(content: bytes, name: str = "lm.coef.csv") -> Attack:
    def attack(folder: Path) -> None:
        (folder / name).write_bytes(content)
        resealed(folder)

    return attack


def told(**changes: Any) -> Attack:
    return lambda folder: resealed(folder, lambda made: made.update(changes))


def untold(name: str) -> Attack:
    return lambda folder: resealed(folder, lambda made: made.pop(name))


def provenance(content: bytes) -> Attack:
    return lambda folder: (folder / recordings.PROVENANCE).write_bytes(content)


def packed(write: Callable[[io.BytesIO], object]) -> Attack:
    """Put an archive in the place of a table."""

    def attack(folder: Path) -> None:
        buffer = io.BytesIO()
        write(buffer)
        (folder / "lm.coef.csv").unlink()
        (folder / "lm.coef.npz").write_bytes(buffer.getvalue())

        def edit(made: dict[str, Any]) -> None:
            made["tables"].pop("lm.coef.csv")
            made["tables"]["lm.coef.npz"] = files.sha256(buffer.getvalue())

        resealed(folder, edit)

    return attack


def bomb(file: io.BytesIO) -> None:
    """Two gigabytes of zeros, packed."""
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("values.npy", "w", force_zip64=True) as out,
    ):
        zeros = bytes(2**26)
        for _ in range(32):
            out.write(zeros)


def lying_bomb(file: io.BytesIO) -> None:
    """An array whose header claims more than any machine has."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**50, 2)}
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("values.npy", header.getvalue())
        archive.writestr("columns.npy", b"")


def unpickling(file: io.BytesIO) -> None:
    np.savez(file, values=np.array([Crime()], dtype=object), columns=np.array(["a"]))


def instead(make: Callable[[Path], object], name: str = "lm.coef.csv") -> Attack:
    """Put something else than a file in the place of one."""

    def attack(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return attack


def sparse(path: Path) -> None:
    """Write a file of eight gigabytes that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**33)


def renamed(name: str) -> Attack:
    """Move the recording of this R to another one's folder."""
    return lambda folder: folder.rename(folder.with_name(name))


def moved_outside(folder: Path) -> None:
    """Name a table by a path that leads out of the folder."""
    content = (folder / "lm.coef.csv").read_bytes()
    (folder / "lm.coef.csv").rename(folder.parents[1] / "lm.coef.csv")

    def edit(made: dict[str, Any]) -> None:
        made["tables"].pop("lm.coef.csv")
        made["tables"]["../../lm.coef.csv"] = files.sha256(content)

    resealed(folder, edit)


def absolute(folder: Path) -> None:
    def edit(made: dict[str, Any]) -> None:
        content = Path("/etc/passwd").read_bytes()
        made["tables"]["/etc/passwd"] = files.sha256(content)

    resealed(folder, edit)


def globbing(folder: Path) -> None:
    def edit(made: dict[str, Any]) -> None:
        made["tables"]["**"] = made["tables"].pop("lm.coef.csv")

    resealed(folder, edit)


def another_case(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    for path in next((paths.fixtures() / "noint1").iterdir()).iterdir():
        shutil.copy(path, folder)


def twice(folder: Path) -> None:
    path = folder / recordings.PROVENANCE
    path.write_text(path.read_text().replace("{", '{"nsim": 7, "nsim": 7,', 1))


def escapes(folder: Path) -> None:
    """Let a file that nobody recorded have a name that commands the terminal."""
    (folder / "\x1b[2J[bold]x.csv").write_text("row,a\n")


GOOD = "row,estimate,std_error,statistic,p_value\n"
CASES: dict[str, Attack] = {
    "garbage": table(b"this is no table"),
    "an empty table": table(b""),
    "NUL": table(b"row,estimate\n(Intercept),\0\n"),
    "bytes that are no text": table(b"row,estimate\n\xff\xfe,1\n"),
    "numbers that are none": table(GOOD.encode() + b"x,1,2,3,four\n"),
    "a number that runs code": table(GOOD.encode() + b"x,1,2,3,__import__('os').abort()\n"),
    "a row too short": table(GOOD.encode() + b"x,1\n"),
    "a row too long": table(GOOD.encode() + b"x,1,2,3,4,5,6\n"),
    "a field of megabytes": table(GOOD.encode() + b"x," + b"9" * 2**22 + b"\n"),
    "a quote that never ends": table(GOOD.encode() + b'"x' + b"\n" * 2**18),
    "a table of 8 GB": instead(sparse),
    "an archive of 2 GB of zeros": packed(bomb),
    "an archive that claims petabytes": packed(lying_bomb),
    "an archive to unpickle": packed(unpickling),
    "an archive that is none": packed(lambda file: file.write(b"PK\x03\x04")),
    "a pickle": provenance(pickle.dumps(Crime())),
    "no provenance": provenance(b""),
    "provenance of 8 GB": instead(sparse, recordings.PROVENANCE),
    "deep JSON": provenance(b"[" * 1_000_000),
    "deep JSON that ends": provenance(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "JSON of a list": provenance(b"[]"),
    "JSON of a number": provenance(b"1e999"),
    "an integer of a million digits": provenance(b'{"digest": ' + b"1" * 1_000_000 + b"}"),
    "no tables": untold("tables"),
    "no nsim": untold("nsim"),
    "no levels": untold("levels"),
    "no scripts": untold("scripts"),
    "no time": untold("time"),
    "nsim of text": told(nsim="two"),
    "levels of text": told(levels={"x": 3}),
    "tables that are none": told(tables={"lm.coef.csv": None}),
    "made by nobody": told(made_by={"packages": {}}),
    "made by numbers": told(made_by={"packages": {"R": 4, "lme4": [1]}}),
    "another case's name": told(case="noint1"),
    "another seed": told(asked={"seed": 99}),
    "asked for a list": told(asked=[1, 2]),
    "asked for other arguments": told(asked={"arguments": {"n": 10**400}}),
    "another case's files": another_case,
    "another R's folder": renamed("r4.9.9-lme4-9.9-9"),
    "a folder of no R": renamed("\x1b[2J"),
    "a link to /etc/passwd": instead(lambda path: path.symlink_to("/etc/passwd")),
    "a link to itself": instead(lambda path: path.symlink_to(path)),
    "a link to /dev/zero": instead(lambda path: path.symlink_to("/dev/zero")),
    "a pipe": instead(os.mkfifo),
    "a pipe as provenance": instead(os.mkfifo, recordings.PROVENANCE),
    "a folder": instead(Path.mkdir),
    "a folder as provenance": instead(Path.mkdir, recordings.PROVENANCE),
    "a path out of the folder": moved_outside,
    "an absolute path": absolute,
    "a pattern as a path": globbing,
    "escape sequences in a name": escapes,
}


# What is read rightly, whatever stands beside it.
HARMLESS: dict[str, Attack] = {
    "duplicate keys, the last of which are as sealed": twice,
    "a folder beside the versions": lambda folder: (folder.parent / "more").mkdir(),
    "a file beside the versions": lambda folder: (folder.parent / "r9.9.9").touch(),
    "a pipe beside the versions": lambda folder: os.mkfifo(folder.parent / "r9.9.9-lme4-9"),
    "other white space": lambda folder: (
        (folder / recordings.PROVENANCE).write_text(
            json.dumps(json.loads((folder / recordings.PROVENANCE).read_text()), indent=7)
        )
        and None
    ),
}


def limited() -> None:
    """Limit what a command may take of the machine's memory."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def asked(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command within its limits of memory and time, in an empty folder."""
    (work := folder / "work").mkdir()
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=work,
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert time.monotonic() - begun < SECONDS
    assert not list(work.iterdir()), "something was run"
    return done


@pytest.fixture
def norris(tmp_path: Path) -> Path:
    """The newest recording of a small case, in a folder that may be spoilt."""
    root = tmp_path / "fixtures"
    shutil.copytree(paths.fixtures() / CASE, root / CASE)
    newest, *others = recordings.versions(root, CASE)
    for other in others:
        shutil.rmtree(root / CASE / other)
    return root / CASE / newest


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_recording_of_a_case(
    name: str, norris: Path, tmp_path: Path, tally: Tally
) -> None:
    CASES[name](norris)
    tally.attacked()
    root = norris.parents[1]
    done = asked(["-m", "rparity.cli", "run", CASE, "--fixtures", str(root)], tmp_path)
    if done.returncode == 0:
        tally.found("green unchecked", name)
    tally.sentence(done.stderr)
    assert done.returncode == UNUSABLE
    assert done.stderr.startswith("rparity: ")
    assert len(done.stderr) < 2000
    assert "root:" not in done.stderr


def test_the_recording_is_sound_before_it_is_damaged(norris: Path, tmp_path: Path) -> None:
    command = ["-m", "rparity.cli", "run", CASE, "--fixtures", str(norris.parents[1])]
    done = asked(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    resealed(norris)


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_changes_are_accepted(
    name: str, norris: Path, tmp_path: Path, tally: Tally
) -> None:
    HARMLESS[name](norris)
    tally.attacked()
    command = ["-m", "rparity.cli", "run", CASE, "--fixtures", str(norris.parents[1])]
    done = asked(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


# Recordings of calls ----------------------------------------------------------------------------

TEST = """
def test_one(r_parity):
    r_parity.call("f.R", "f", x=1.5, seed=1).check({"a": 3.0})
"""
FAKE = """
import pandas as pd
from fake_r import FakeR
from rparity.parity import calls
FakeR.functions["f"] = lambda x: pd.Series({"a": 2.0 * x})
calls.RSession = FakeR
"""
PYTEST = ["-m", "pytest", "-q", "-p", "rparity.pytest_plugin", "-p", "no:cacheprovider"]


def document(**changes: Any) -> Attack:
    def attack(file: Path) -> None:
        made = json.loads(file.read_text())
        made.pop("digest")
        file.write_text(json.dumps(files.seal({**made, **changes})))

    return attack


def question(**changes: Any) -> Attack:
    def attack(file: Path) -> None:
        made = json.loads(file.read_text())
        document(asked={**made["asked"], **changes})(file)

    return attack


def content(data: bytes) -> Attack:
    return lambda file: file.write_bytes(data)


def file_instead(make: Callable[[Path], object]) -> Attack:
    def attack(file: Path) -> None:
        file.unlink()
        make(file)

    return attack


CALLS: dict[str, Attack] = {
    "empty": content(b""),
    "garbage": content(b"\x00\xff garbage"),
    "a pickle": content(pickle.dumps(Crime())),
    "deep JSON": content(b"[" * 1_000_000),
    "8 GB": file_instead(sparse),
    "a pipe": file_instead(os.mkfifo),
    "a folder": file_instead(Path.mkdir),
    "a link to itself": file_instead(lambda path: path.symlink_to(path)),
    "a link to /dev/zero": file_instead(lambda path: path.symlink_to("/dev/zero")),
    "a link to /etc/passwd": file_instead(lambda path: path.symlink_to("/etc/passwd")),
    "no value": document(value=None),
    "a value of 60 lists": document(value=json.loads('{"list":{"a":' * 60 + "1" + "}}" * 60)),
    "a value of text": document(value={"vector": "double", "rows": [["a", "0x"]]}),
    "a value of another kind": document(value={"vector": "os.system", "rows": [["a", 1.0]]}),
    "a huge value": document(value={"vector": "double", "rows": [["a", 10**400]]}),
    "rows of different length": document(value={"vector": "double", "rows": [["a", 1], ["b"]]}),
    "names twice": document(value={"vector": "double", "rows": [["a", 3.0], ["a", 4.0]]}),
    "names of escape sequences": document(
        value={"vector": "double", "rows": [["\x1b[2J[bold]", 3.0]]}
    ),
    "made by nobody": document(made_by=None),
    "made by a number": document(made_by={"packages": {"R": 4}, "platform": 3}),
    "no time": document(time=None),
    "another test": question(test="test_two"),
    "another function": question(function="\x1b[31mg"),
    "another script": question(script="../../etc/passwd"),
    "another seed": question(seed=2),
    "other arguments": question(arguments={"x": "0" * 64}),
    "arguments of text": question(arguments="x"),
    "another script's hash": question(scripts={"f.R": "0" * 64}),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test beside its recording, which it agrees with."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "test_f.py").write_text(TEST)
    (folder / "f.R").write_text("f <- function(x) c(a = 2 * x)\n")
    (folder / "conftest.py").write_text(FAKE)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, *PYTEST, "--r=record", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (folder / "conftest.py").unlink()
    return folder


@pytest.mark.parametrize("name", CALLS)
def test_a_hostile_recording_of_a_call(
    name: str, recorded: Path, tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(recorded, folder := tmp_path / "tests")
    file = Place(folder / "test_f.py", "test_one").recording(1)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    CALLS[name](file)
    tally.attacked()
    done = asked([*PYTEST, "--tb=line", f"--rootdir={folder}", str(folder)], tmp_path)
    if done.returncode == 0:
        tally.found("green unchecked", name)
    assert done.returncode == 1, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("E  ") or ".json" in line]
    assert "Traceback" not in done.stdout
    assert "\x1b" not in done.stdout
    assert "INTERNALERROR" not in done.stdout
    errors = ("RecordingError", "AssertionError", "UsageError")
    assert any(error in done.stdout for error in errors), done.stdout
    assert said or "AssertionError" in done.stdout, done.stdout


# Answers that are kept --------------------------------------------------------------------------


def answer(text: str) -> Attack:
    def attack(folder: Path) -> None:
        (folder / "answer.csv").write_text(text)
        resealed(folder)

    return attack


HEADER = "table,row,column,value\n"
KEPT: dict[str, Attack] = {
    "edited": lambda folder: (folder / "answer.csv").write_text(HEADER),
    "no answer": lambda folder: (folder / "answer.csv").unlink(),
    "deep JSON": provenance(b"[" * 1_000_000),
    "asked otherwise": told(asked=["lm: another model"]),
    "another case": told(case="noint1"),
    "gaps of text": told(gaps="all"),
    "remarks of text": told(remarks="none"),
    "8 GB": instead(sparse, "answer.csv"),
    "a pipe": instead(os.mkfifo, "answer.csv"),
    # Sealed again, so that the digest fits.
    "no gaps": untold("gaps"),
    "garbage": answer("garbage"),
    "an empty answer": answer(""),
    "numbers that are none": answer(HEADER + "lm.coef,x,estimate,one\n"),
    "uneven rows": answer(HEADER + "lm.coef,x,estimate,1\nlm.coef,y,std_error,1\n"),
}


def kept_answer(attack: Attack, norris: Path, tmp_path: Path, tally: Tally) -> None:
    root = norris.parents[1]
    shutil.copytree(paths.fixtures() / "engines" / "lm" / CASE, root / "engines" / "lm" / CASE)
    shutil.copytree(
        paths.fixtures() / "engines" / "exact" / CASE, root / "engines" / "exact" / CASE
    )
    newest, *others = recordings.versions(root / "engines" / "lm", CASE)
    for other in others:
        shutil.rmtree(root / "engines" / "lm" / CASE / other)
    attack(root / "engines" / "lm" / CASE / newest)
    tally.attacked()
    report = tmp_path / "report.json"
    command = ["-m", "rparity.cli", "audit", CASE, "--engine", "lm", "--fixtures", str(root)]
    done = asked([*command, "--format", "json", "-o", str(report)], tmp_path)
    if done.returncode == 0:
        tally.found("green unchecked")
    tally.sentence(done.stderr)
    assert done.returncode == UNUSABLE
    if report.exists():
        problems = json.loads(report.read_text())["problems"]
        assert problems
        for problem in problems:
            tally.sentence(problem["reason"])


@pytest.mark.parametrize("name", KEPT)
def test_a_hostile_kept_answer(name: str, norris: Path, tmp_path: Path, tally: Tally) -> None:
    kept_answer(KEPT[name], norris, tmp_path, tally)
