"""Recordings of cases: all bits are kept, edited ones are refused, and kills leave one whole."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import writer
from rparity import files, recordings
from rparity.errors import RecordingError
from writer import Server

SPECIAL = [
    0.0,
    -0.0,
    np.nan,
    np.inf,
    -np.inf,
    5e-324,
    -5e-324,
    np.finfo(float).tiny,
    np.finfo(float).max,
    np.nextafter(1.0, 2.0),
    0.1,
    1 / 3,
    100.0,
    2.0**53 + 2,
]


def bits(frame: pd.DataFrame) -> np.ndarray:
    """Return the bits of a frame's values; every NaN has the same bits."""
    values = frame.to_numpy(dtype=np.float64)
    return np.where(np.isnan(values), np.nan, values).view(np.uint64)


def assert_same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    assert list(left.index) == list(right.index)
    assert list(left.columns) == list(right.columns)
    np.testing.assert_array_equal(bits(left), bits(right))


# Encoding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coef", "replicates"])
def test_encoding_keeps_all_bits(kind: str) -> None:
    random = np.random.default_rng(1).integers(0, 2**64, 4000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([SPECIAL, random])
    values = values[: len(values) // 2 * 2].reshape(-1, 2)
    index = pd.RangeIndex(1, len(values) + 1).astype(str)
    table = pd.DataFrame(values, index, ["(Intercept)", "x"])
    name, back = recordings.decode(*recordings.encode(f"part.{kind}", table))
    assert name == f"part.{kind}"
    assert_same(back, table)


@pytest.mark.parametrize(
    "name",
    [
        "(Intercept)",
        "NA",
        "nan",
        "",
        "a,b",
        'a"b',
        "a\nb",
        "p.1.(Intercept)",
        "1",
        "0%",
        "σ²",
        " x ",
    ],
)
def test_any_name_of_a_row_or_column_survives(name: str) -> None:
    table = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], [name, "other"], [name, "other"])
    assert_same(recordings.decode(*recordings.encode("part.coef", table))[1], table)


def test_a_table_without_rows_survives() -> None:
    table = pd.DataFrame(columns=["a", "b"], dtype=np.float64)
    assert_same(recordings.decode(*recordings.encode("part.coef", table))[1], table)


@pytest.mark.parametrize("kind", ["coef", "replicates"])
def test_the_same_table_gives_the_same_bytes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame(np.random.default_rng(2).normal(size=(100, 2)), columns=["a", "b"])
    _, first = recordings.encode(f"part.{kind}", table)
    monkeypatch.setattr(time, "time", lambda: 2e9)  # a zip file could hold the time
    assert recordings.encode(f"part.{kind}", table)[1] == first


def test_replicates_need_no_pickle() -> None:
    table = pd.DataFrame({"(Intercept)": [1.0], "x": [2.0]})
    _, content = recordings.encode("part.replicates", table)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert {archive[name].dtype.kind for name in archive.files} == {"f", "U"}


def test_an_array_of_objects_is_never_unpickled() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, values=np.array([object], dtype=object), columns=np.array(["a"]))
    with pytest.raises(ValueError, match="pickle"):
        recordings.decode("part.replicates.npz", buffer.getvalue())


# Writing and reading ----------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writer.write(tmp_path / "fixtures", "old")
    return tmp_path / "fixtures"


@pytest.fixture
def folder(root: Path) -> Path:
    return root / writer.CASE / writer.VERSION


def refused(root: Path) -> str:
    """Return the error of reading a recording, which is one or two sentences."""
    with pytest.raises(RecordingError) as caught:
        recordings.read(root, writer.CASE, writer.SCRIPTS)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def whose(root: Path) -> str:
    """Return the name of the recording that is there, or the error of reading it."""
    try:
        return writer.whose(root)
    except RecordingError as error:
        return str(error)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_was_written_is_read(root: Path) -> None:
    assert writer.whose(root) == "old"


def test_writing_twice_gives_the_same_bytes(root: Path) -> None:
    first = everything_in(root)
    writer.write(root, "old")
    assert everything_in(root) == first


def test_a_new_recording_replaces_the_old_one_files_and_all(root: Path) -> None:
    writer.write(root, "newer")
    assert writer.whose(root) == "newer"
    assert writer.alone(root)


def test_writing_makes_the_folder(tmp_path: Path) -> None:
    writer.write(tmp_path / "a" / "b", "old")
    assert writer.whose(tmp_path / "a" / "b") == "old"


def test_other_cases_are_left_alone(root: Path) -> None:
    recordings.write(root, "planted.too", writer.tables("x"), writer.PROVENANCE)
    before = everything_in(root / "planted.too")
    writer.write(root, "newer")
    assert everything_in(root / "planted.too") == before


def test_no_folder_of_recordings(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "`rparity regenerate planted`" in message


def test_no_recording_of_the_case(root: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    assert refused(root).startswith("There is no recording of 'planted'")


def test_an_edited_table(root: Path, folder: Path) -> None:
    table = folder / "m.coef.csv"
    table.write_text(table.read_text().replace("18.", "17.", 1))
    message = refused(root)
    assert str(table) in message
    assert "edited or truncated" in message
    assert "`rparity regenerate planted`" in message


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_truncated_replicates(root: Path, folder: Path, left: int) -> None:
    table = folder / "b.replicates.npz"
    table.write_bytes(table.read_bytes()[:left])
    assert str(table) in refused(root)


def test_a_table_whose_file_is_gone(root: Path, folder: Path) -> None:
    (folder / "m.vcov.csv").unlink()
    assert f"{folder / 'm.vcov.csv'} is missing" in refused(root)


def test_a_file_that_the_provenance_does_not_list(root: Path, folder: Path) -> None:
    (folder / "m.notes.csv").write_text("row,a\nx,1\n")
    assert f"{folder / 'm.notes.csv'} is not part of the recording" in refused(root)


def test_two_tables_exchanged(root: Path, folder: Path) -> None:
    old, new = folder / "b.replicates.npz", folder / "m.coef.csv"
    content = old.read_bytes()
    old.write_bytes(new.read_bytes())
    new.write_bytes(content)
    assert str(old) in refused(root)


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?"])
def test_an_interrupted_swap_is_undone_for_any_name(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"x": [1.0]}, ["a"])
    recordings.write(tmp_path, name, {"m.coef": table}, writer.PROVENANCE)
    (tmp_path / name).rename(tmp_path / f".{name}.old.1")
    other = tmp_path / ".a1.old.1"
    other.mkdir()
    found = recordings.read(tmp_path, name, writer.SCRIPTS)
    pd.testing.assert_frame_equal(found.tables["m.coef"], table)
    assert other.exists()  # another case's


def test_a_recording_whose_script_has_changed(root: Path) -> None:
    for scripts in ({"planted.R": writer.SCRIPTS["planted.R"] + b"\n"}, {}):
        with pytest.raises(RecordingError, match=r"is stale: planted\.R has changed"):
            recordings.read(root, writer.CASE, scripts)


@pytest.mark.parametrize(
    "edit",
    [
        lambda made: made | {"nsim": 2001},
        lambda made: made | {"digest": "0" * 64},
        lambda made: made | {"scripts": {}},
        lambda made: made | {"note": "all fine"},
        lambda made: {name: value for name, value in made.items() if name != "nsim"},
        lambda made: {name: value for name, value in made.items() if name != "digest"},
        lambda made: made | {"tables": dict(list(made["tables"].items())[1:])},
        lambda _made: [],
        lambda _made: None,
        lambda made: made | {"note": "\ud800"},
    ],
)
def test_edited_provenance(root: Path, folder: Path, edit: Callable[[dict], object]) -> None:
    path = folder / recordings.PROVENANCE
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    assert f"{path} is corrupt" in refused(root)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_provenance_that_is_not_json(root: Path, folder: Path, content: bytes) -> None:
    path = folder / recordings.PROVENANCE
    path.write_bytes(content)
    assert f"{path} is corrupt" in refused(root)


def test_no_provenance(root: Path, folder: Path) -> None:
    (folder / recordings.PROVENANCE).unlink()
    assert f"{folder / recordings.PROVENANCE} is missing" in refused(root)


def test_an_edit_that_keeps_the_hash_of_the_table_up_to_date_is_still_an_edit(
    root: Path, folder: Path
) -> None:
    table, path = folder / "m.coef.csv", folder / recordings.PROVENANCE
    table.write_text(table.read_text().replace("18.", "17.", 1))
    made = json.loads(path.read_text())
    made["tables"][table.name] = files.sha256(table.read_bytes())
    path.write_text(json.dumps(made))
    assert f"{path} is corrupt" in refused(root)


def test_a_flipped_byte_is_refused_by_name_or_changes_nothing(root: Path, folder: Path) -> None:
    rng = np.random.default_rng(3)
    harmless = 0
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for _ in range(80):
            place, flip = int(rng.integers(len(content))), int(rng.integers(1, 256))
            flipped = bytearray(content)
            flipped[place] ^= flip
            path.write_bytes(flipped)
            found = whose(root)
            assert found == "old" or str(path) in found
            harmless += found == "old"
        path.write_bytes(content)
    assert writer.whose(root) == "old"
    assert harmless <= 20  # white space of the JSON; no byte of a table


def test_every_byte_of_replicates_counts_even_those_that_zip_ignores(
    root: Path, folder: Path
) -> None:
    path = folder / "b.replicates.npz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"nothing of note"
    assert str(path) in refused(root)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read(
    root: Path, folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    message = refused(root)
    assert os.strerror(number) in message
    assert str(folder) in message


# A full disk, a folder that cannot be written ---------------------------------------------------


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="Cannot write the recording of 'planted'") as caught:
        writer.write(tmp_path / "file" / "fixtures", "old")
    assert "Not a directory" in str(caught.value)


def steps(monkeypatch: pytest.MonkeyPatch, number: int, at: int) -> list[str]:
    """Let the `at`-th step of a write fail; return the list of steps, which grows."""
    taken: list[str] = []
    clearing_up = False  # a failure of clearing up is no failure of the write
    real_rmtree = shutil.rmtree

    def rmtree(*arguments: object, **options: object) -> None:
        nonlocal clearing_up
        clearing_up = True
        real_rmtree(*arguments, **options)
        clearing_up = False

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if clearing_up:
                return function(*arguments, **options)
            taken.append(name)
            if len(taken) == at:
                raise OSError(number, os.strerror(number))
            return function(*arguments, **options)

        return call

    for owner, name in writer.STEPS:
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    return taken


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("before", ["old", None])
def test_if_any_step_fails_the_old_recording_is_untouched(
    tmp_path: Path, number: int, before: str | None
) -> None:
    root = tmp_path / "fixtures"
    root.mkdir()
    if before:
        writer.write(root, before)
    untouched = everything_in(root)
    seen: set[str] = set()
    for at in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            taken = steps(patch, number, at)
            try:
                writer.write(root, "newer")
            except RecordingError as error:
                failed: RecordingError | None = error
            else:
                failed = None
        if len(taken) < at:
            break
        seen.add(taken[-1])
        assert failed is not None, f"step {at}, {taken[-1]}, failed without an error"
        assert os.strerror(number) in str(failed)
        assert "is untouched" in str(failed)
        assert everything_in(root) == untouched, f"step {at}, {taken[-1]}"
    assert failed is None
    assert {"mkdir", "open", "fsync", "rename"} <= seen
    assert writer.whose(root) == "newer"
    assert writer.alone(root)


class FullDisk(io.RawIOBase):
    def __init__(self, room: int) -> None:
        self.room = room

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        taken = min(self.room, len(memoryview(content)))
        self.room -= taken
        if taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return taken


@pytest.mark.parametrize("room", [0, 10, 1000])
def test_a_disk_that_is_full_in_the_middle_of_a_file(
    root: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = everything_in(root), Path.open

    def full(path: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if mode == "wb":
            return io.BufferedWriter(FullDisk(room))
        return real(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RecordingError, match=r"No space left on device.*is untouched"):
        writer.write(root, "newer")
    monkeypatch.undo()
    assert everything_in(root) == before


SLOW = pytest.mark.slow(reason="writers in processes of their own, at work for seconds")

# Killed in the middle ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(writer.__file__) as server:
        yield server


@SLOW
@pytest.mark.parametrize("before", ["old", None])
def test_a_kill_before_any_step_leaves_the_old_or_the_new_one_whole(
    server: Server, tmp_path: Path, before: str | None
) -> None:
    writer.kill_at_every_step(server, tmp_path, before, writer)


@SLOW
def test_a_kill_at_any_moment_leaves_one_of_the_two_whole(server: Server, root: Path) -> None:
    rng = np.random.default_rng(4)
    seen = set()
    for i in range(20):
        name = ("old", "newer")[i % 2]
        pid = server.ask("start", root, name)
        while writer.whose(root) != name:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.02))
        os.kill(pid, signal.SIGKILL)
        server.ask("wait", pid)
        seen.add(writer.whose(root))
    assert seen == {"old", "newer"}
    writer.write(root, "old")
    assert writer.alone(root)


@SLOW
def test_two_writers_at_once_do_not_mix_and_readers_see_one_of_them(
    server: Server, root: Path
) -> None:
    pids = [server.ask("start", root, name) for name in ("old", "newer")]
    seen = []
    until = time.monotonic() + 1.0
    while time.monotonic() < until or len(set(seen)) < 2:
        seen.append(writer.whose(root))
        assert time.monotonic() < until + 20.0
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        server.ask("wait", pid)
    assert writer.whose(root) in ("old", "newer")
