"""Files that a failure or a kill leaves whole, and documents in which an accident shows.

`replacing` writes a file or a folder. The new one is staged beside the old one, synced to the disk,
and renamed to its place, under a lock on the folder that holds both. `seal` adds a digest to a
document and, with a key, a signature of the digest; `unseal` checks them.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rparity.errors import RecordingError
from rparity.signing import Sign, require_trusted

# The fields that `seal` adds to a document and `unseal` takes away.
DIGEST, SIGNATURE = "digest", "signature"
# The largest file that is read, in bytes.
LARGEST = 2**28
# Seconds to wait for a lock. A writer holds it for a moment only.
PATIENCE = 10.0
# The errors of a disk that has no locks, as some network disks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def sha256(content: bytes | bytearray) -> str:
    """Return the hash of some bytes as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()


def content_of(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    OSError
        The file cannot be read, is larger than `LARGEST`, or is no regular file: reading a pipe or
        a device might never end.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if found.st_size > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST >> 20} MB", str(path))
    return path.read_bytes()


# Writing -----------------------------------------------------------------------------------------


@contextmanager
def replacing(target: Path, tidy: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Replace a file or a folder by the one that the caller makes at the path that is yielded.

    The folder of `target` is made if it is missing. It stays locked until the end, when `tidy` may
    remove what the old one needed.

    Raises
    ------
    RecordingError
        The new one cannot be written. The old one stays as it was.
    """
    with _explained(target), locked(target.parent, fcntl.LOCK_EX):
        recover(target)
        for abandoned in target.parent.glob(".*.new.*"):  # by killed writers: the lock is ours
            _remove(abandoned)
        stage = target.with_name(f".{target.name}.new.{os.getpid()}")
        try:
            yield stage
            for path in (*stage.rglob("*"), stage):
                _sync(path)
            _swap(stage, target)
            tidy()
        finally:
            _remove(stage)


def require_writable(target: Path) -> None:
    """Find out whether `target` could be replaced, before hours of work go into the new one.

    Raises
    ------
    RecordingError
        As `replacing` would raise.
    """
    with _explained(target), locked(target.parent, fcntl.LOCK_EX):
        Path(tempfile.mkdtemp(prefix=f".{target.name}.new.", dir=target.parent)).rmdir()


def recover(target: Path) -> None:
    """Undo the swap of a folder that was killed half-way. The caller holds the lock."""
    old = _set_aside(target)
    if old and not target.exists():
        old.pop().rename(target)
    for path in old:
        _remove(path)


def _set_aside(target: Path) -> list[Path]:
    return sorted(target.parent.glob(f".{glob.escape(target.name)}.old.*"))


def _swap(stage: Path, target: Path) -> None:
    if stage.is_file():
        stage.replace(target)
        with suppress(OSError):  # the file is whole; after a loss of power it may be the old one
            _sync(target.parent)
        return
    # A folder cannot replace another one in one step.
    aside = target.with_name(stage.name.replace(".new.", ".old.", 1))
    if target.exists():
        target.rename(aside)
    try:
        stage.rename(target)
        _sync(target.parent)
    except OSError:
        if not stage.exists():
            target.rename(stage)
        if aside.exists():
            aside.rename(target)
        raise
    _remove(aside)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Make the folder of `target`; turn what the system says into a sentence for the user."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RecordingError(
            f"Cannot write the recording of {target.name!r} to {target.parent}: "
            f"{error.strerror or error}. The old recording, if there was one, is untouched."
        ) from error


# Locks -------------------------------------------------------------------------------------------


@contextmanager
def reading(target: Path) -> Iterator[None]:
    """Hold a shared lock while a folder is read; first undo a swap that was killed half-way.

    Where a disk has no locks, reading works without one: the hashes show a mixture.

    Raises
    ------
    RecordingError
        A writer holds the lock for longer than `PATIENCE`.
    """
    if not target.is_dir() and _set_aside(target):
        with locked(target.parent, fcntl.LOCK_EX):
            recover(target)
    with locked(target.parent, fcntl.LOCK_SH):
        yield


@contextmanager
def locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold a lock on a folder, `fcntl.LOCK_SH` or `LOCK_EX`. It ends with the process.

    Raises
    ------
    RecordingError
        Another process holds the lock for longer than `PATIENCE`; the message names the process.
    OSError
        The folder cannot be opened, or, for `LOCK_EX`, its disk has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - begun > PATIENCE:
                    raise RecordingError(
                        f"The recordings in {folder} are locked by {_holder(folder)}: wait for it, "
                        "or end it."
                    ) from None
                time.sleep(0.02)
            except OSError as error:
                if kind == fcntl.LOCK_SH and error.errno in NO_LOCKS:
                    break
                raise
        yield
    finally:
        os.close(descriptor)


def _holder(folder: Path) -> str:
    """Name the process that holds the lock on a folder, as far as Linux says."""
    inode = str(folder.stat().st_ino)
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "FLOCK" in fields and "->" not in fields and fields[5].rpartition(":")[2] == inode:
                command = Path(f"/proc/{fields[4]}/cmdline").read_bytes().split(b"\0")
                shown = b" ".join(command).decode(errors="replace").strip()[:80]
                return f"process {fields[4]} ({shown})"
    except (OSError, IndexError):
        pass
    return "another process"


# Seals -------------------------------------------------------------------------------------------


def seal(document: Mapping[str, Any], key: Sign | None = None) -> dict[str, Any]:
    """Add a digest of the document and, with a key, a signature.

    The layout of the document as JSON does not count. The digest shows accidents only, since
    anybody can compute it. A signature needs the key.
    """
    digest = _digest(document)
    return {**document, DIGEST: digest, **({SIGNATURE: key(digest)} if key else {})}


def unseal(path: Path, content: bytes | None, remedy: str) -> dict[str, Any]:
    """Read a document that `seal` made from a file's content, and check its digest and signature.

    A signature is asked for only where trusted keys are named (`rparity.signing`).

    Raises
    ------
    RecordingError
        As `opened` does; a `SignatureError` if no trusted key has signed the document.
    UsageError
        The trusted keys cannot be read.
    """
    document, signature = opened(path, content, remedy)
    require_trusted(path, _digest(document), signature)
    return document


def opened(path: Path, content: bytes | None, remedy: str) -> tuple[dict[str, Any], object]:
    """Return the document that `seal` made, without its seal, and its signature, if it has one.

    `path` and `remedy` are for the error; `content` is None for a file that is missing.

    Raises
    ------
    RecordingError
        The file is missing or no JSON, or the digest does not fit the document.
    """
    if content is None:
        raise RecordingError(f"{path} is missing: {remedy}.")
    try:
        document: dict[str, Any] = json.loads(content)
        digest, signature = document.pop(DIGEST), document.pop(SIGNATURE, None)
        actual = _digest(document)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RecordingError(
            f"{path} is corrupt: it is not a sealed recording; {remedy}."
        ) from error
    if digest != actual:
        raise RecordingError(
            f"{path} is corrupt: it was edited after it was written. Restore it from version "
            f"control, or {remedy}."
        )
    return document, signature


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
