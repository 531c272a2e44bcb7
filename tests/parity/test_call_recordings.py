"""Recordings of calls: edited ones are refused, and kills and many writers leave one whole."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import call_writer
import writer
from rparity.errors import RecordingError
from rparity.parity.store import recordings_in
from writer import Server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    call_writer.write(tmp_path, "old")
    return tmp_path


@pytest.fixture
def file(root: Path) -> Path:
    return call_writer.place(root).recording(1)


def whose(root: Path) -> str:
    """Return the name of the recording that is there, or the error of reading it."""
    try:
        return call_writer.whose(root)
    except RecordingError as error:
        return str(error)


# Edited files -----------------------------------------------------------------------------------


def test_what_was_written_is_read(root: Path, file: Path) -> None:
    assert call_writer.whose(root) == "old"
    assert call_writer.alone(root)
    assert recordings_in(file.parent) == {file: ("TestPlanted.test_planted[1]", 1)}


def test_a_thousand_flipped_bytes_are_refused_by_name_or_change_nothing(
    root: Path, file: Path
) -> None:
    rng, content, harmless = np.random.default_rng(5), file.read_bytes(), []
    for place in rng.integers(len(content), size=1000).tolist():
        flipped = bytearray(content)
        flipped[place] ^= int(rng.integers(1, 256))
        file.write_bytes(flipped)
        found = whose(root)
        if found == "old":
            harmless.append(content[place : place + 1])
        else:
            assert str(file) in found, (place, content[place : place + 20])
    # White space between values, and nothing that is one.
    assert set(harmless) <= {b" ", b"\n"}
    assert len(harmless) < 150


@pytest.mark.parametrize("left", [0, 1, 100, -2])
def test_a_truncated_recording(root: Path, file: Path, left: int) -> None:
    file.write_bytes(file.read_bytes()[:left])
    assert f"{file} is corrupt" in whose(root)


def test_an_edited_number(root: Path, file: Path) -> None:
    text = file.read_text()
    assert '["a", 18.857142857142858]' in text
    file.write_text(text.replace('["a", 18.857142857142858]', '["a", 18.857142857142859]'))
    assert whose(root) == "old"  # other digits of the same number
    file.write_text(text.replace('["a", 18.857142857142858]', '["a", 18.857142857142862]'))
    assert f"{file} is corrupt: it was edited after it was written" in whose(root)


def test_another_layout_of_the_json_is_accepted(root: Path, file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_bytes()), indent=3))
    assert whose(root) == "old"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_recording_that_cannot_be_read(
    root: Path, file: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert whose(root) == f"Cannot read {file}: {os.strerror(number)}. Make it readable."


# A full disk, a folder that cannot be written ---------------------------------------------------


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "r_recordings").write_text("")
    with pytest.raises(RecordingError, match=r"Cannot write the recording of .*Not a directory"):
        call_writer.write(tmp_path, "old")


@pytest.mark.parametrize("owner", [(os, "fsync"), (Path, "replace"), (Path, "open")])
def test_a_step_that_fails_leaves_the_old_recording(
    root: Path, file: Path, owner: tuple[object, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(*owner, fail)
        with pytest.raises(RecordingError, match=r"No space left on device.*is untouched"):
            call_writer.write(root, "newer")
    assert file.read_bytes() == before
    assert call_writer.alone(root)
    call_writer.write(root, "newer")
    assert call_writer.whose(root) == "newer"


def test_a_disk_that_is_full_in_the_middle_of_a_file(
    root: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.BytesIO):
        def write(self, _content: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_, **__: FullDisk())
        with pytest.raises(RecordingError, match=r"No space left on device.*is untouched"):
            call_writer.write(root, "newer")
    assert whose(root) == "old"
    assert call_writer.alone(root)


SLOW = pytest.mark.slow(reason="writers in processes of their own, at work for seconds")

# Killed -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(call_writer.__file__) as server:
        yield server


@SLOW
@pytest.mark.parametrize("before", ["old", None])
def test_a_kill_before_any_step_leaves_the_old_or_the_new_one_whole(
    server: Server, tmp_path: Path, before: str | None
) -> None:
    writer.kill_at_every_step(server, tmp_path, before, call_writer)


@SLOW
def test_a_hundred_kills_at_any_moment_leave_one_of_the_two_whole(
    server: Server, root: Path, file: Path
) -> None:
    rng = np.random.default_rng(4)
    seen = []
    for _ in range(50):
        pids = [server.ask("start", root, name) for name in ("old", "newer")]
        wait_for_writes(file)
        time.sleep(rng.uniform(0.0, 0.005))
        # The one that is killed last has the file for itself: now this one, now that.
        for pid in rng.permutation(pids):
            os.kill(pid, signal.SIGKILL)
            server.ask("wait", int(pid))
        seen.append(call_writer.whose(root))
    assert set(seen) <= {"old", "newer"}
    call_writer.write(root, "third")
    assert call_writer.whose(root) == "third"
    assert call_writer.alone(root)


@SLOW
def test_eight_writers_at_once_do_not_mix_and_readers_see_one_of_them(
    server: Server, root: Path, file: Path
) -> None:
    names = ["old", "newer", *(f"w{'x' * i}" for i in range(6))]
    pids = [server.ask("start", root, name) for name in names]
    seen = set()
    for i in range(1000):
        wait_for_writes(file)
        seen.add(call_writer.whose(root))
        if i >= 50 and len(seen) >= 3:
            break
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        server.ask("wait", pid)
    assert len(seen) >= 3
    assert call_writer.whose(root) in names
    call_writer.write(root, "last")
    assert call_writer.alone(root)


def wait_for_writes(file: Path) -> None:
    """Wait until a recording has been replaced twice, so that its writers are at work."""
    for _ in range(2):
        before, until = file.stat().st_mtime_ns, time.monotonic() + 60.0
        while file.stat().st_mtime_ns == before:
            assert time.monotonic() < until, "nobody writes"
            time.sleep(0.0002)
