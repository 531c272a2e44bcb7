"""R's answers on disk: written whole or not at all, verified on every read.

A recording is the folder `fixtures/CASE/VERSION`, where VERSION names the R that answered, such as
`r4.5.0-lme4-1.1-37`: one CSV a table (`%.17g`, which keeps all the bits), one `.npz` for each table
of replicates, and `provenance.json` with the sha256 of everything, a digest of it all and, where
somebody vouches for it, a signature of the digest. A table that a newer R gave with the same bytes
is kept there alone. The case's folder is staged anew beside the old one and takes
its place by renaming, under a lock.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rparity.compare import Tables
from rparity.errors import RecordingError, UsageError
from rparity.r.version import RVersion, label_of, newest_first
from rparity.signing import Sign, require_trusted

PROVENANCE = "provenance.json"
# What `seal` adds to a document, and `unseal` takes away.
DIGEST, SIGNATURE = "digest", "signature"
# Kept as .npz, rows named "1", "2", …: replicates, and data that nobody reads in a diff.
REPLICATES = "replicates"
LARGE = 5000
# No table takes more memory than this, in bytes; a small file may be packed so as to unpack to it.
LARGEST = 2**28
# Seconds that a lock is waited for; who writes has it for a moment only.
PATIENCE = 10.0
# The files of each version of a case, by name.
Versions = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class Recording:
    """R's tables for a case, and where, when and by what they were made.

    `texts` are files that are kept beside the tables for readers, by name.
    """

    case: str
    folder: Path
    tables: Tables
    provenance: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict)


def sha256(content: bytes) -> str:
    """Hash as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()


def encode(name: str, table: pd.DataFrame) -> tuple[str, bytes]:
    """File name and bytes of a table; the same table always gives the same bytes."""
    buffer = io.BytesIO()
    if name.rpartition(".")[2] == REPLICATES or len(table) > LARGE:
        np.savez_compressed(
            buffer,
            values=table.to_numpy(dtype=np.float64),
            columns=np.array(table.columns, dtype=np.str_),
        )
        return f"{name}.npz", buffer.getvalue()
    table.to_csv(buffer, float_format="%.17g", na_rep="NA", index_label="row", lineterminator="\n")
    return f"{name}.csv", buffer.getvalue()


def decode(file: str, content: bytes) -> tuple[str, pd.DataFrame]:
    """Table name and table of what `encode` gave."""
    name, _, kind = file.rpartition(".")
    if kind == "npz":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(member.file_size for member in packed.infolist()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST >> 20} MB")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            values, columns = archive["values"], archive["columns"]
        if values.dtype != np.float64:
            raise ValueError("its values are no doubles")
        index = pd.RangeIndex(1, len(values) + 1).astype(str)
        return name, pd.DataFrame(values, index, [str(column) for column in columns])
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    if header[:1] != ["row"]:
        raise ValueError("its first line names no rows")
    values = [[np.nan if cell == "NA" else float(cell) for cell in row[1:]] for row in rows]
    return name, pd.DataFrame(values, [row[0] for row in rows], header[1:], dtype=np.float64)


def require_writable(root: Path, case: str) -> None:
    """Find out whether a recording could be written, before R works for minutes.

    Raises
    ------
    RecordingError
        As `write` would.
    """
    with _sentence(root, case):
        root.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=f".{case}.new.", dir=root)).rmdir()


def write(
    root: Path,
    case: str,
    tables: Tables,
    provenance: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> Recording:
    """Write a recording in place of the old one of the same R; those of other Rs stay.

    A failure or a kill leaves what was there whole.

    Raises
    ------
    RecordingError
        Where the folder cannot be written or the disk is full.
    """
    version = label_of(provenance["made_by"]["packages"])
    files = dict(encode(name, table) for name, table in tables.items())
    hashed = {"case": case, **provenance, "tables": {n: sha256(c) for n, c in files.items()}}
    if texts:
        files |= {name: text.encode() for name, text in texts.items()}
        hashed["texts"] = {name: sha256(files[name]) for name in texts}
    files[PROVENANCE] = _encoded(seal(hashed))
    _replace(root, case, lambda there: {**there, version: files})
    return Recording(case, root / case / version, dict(tables), hashed, texts or {})


def sign(root: Path, case: str, key: Sign, remedy: str) -> list[str]:
    """Sign a case's recordings, in place of the signatures that they have; return the versions.

    Raises
    ------
    RecordingError
        Where there is none, one is corrupt, or it cannot be written; none is signed then.
    """

    def signed(there: Versions) -> Versions:
        found = {}
        for label, files in there.items():
            folder, contents = root / case / label, dict(files)
            path = folder / PROVENANCE
            provenance, _ = opened(path, contents.pop(PROVENANCE, None), remedy)
            require_shape(provenance, path, remedy)
            _require_whole(folder, provenance, contents, remedy)
            found[label] = {**files, PROVENANCE: _encoded(seal(provenance, key))}
        return found

    if not (labels := versions(root, case)):
        raise RecordingError(f"There is no recording of {case!r} in {root}: {remedy}.")
    _replace(root, case, signed)
    return labels


def _replace(root: Path, case: str, change: Callable[[Versions], Versions]) -> None:
    """Write what `change` makes of all versions of a case in their place, or nothing."""
    with _sentence(root, case):
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root, fcntl.LOCK_EX):
            _recover(root, case)
            stage = Path(tempfile.mkdtemp(prefix=f".{case}.new.", dir=root))
            try:
                stage.chmod(0o755)
                for label, own in _laid_out(change(_all_versions(root / case))):
                    (stage / label).mkdir()
                    for name, content in own.items():
                        _write_synced(stage / label / name, content)
                    _sync_folder(stage / label)
                _sync_folder(stage)
                _swap(root, case, stage)
            finally:
                shutil.rmtree(stage, ignore_errors=True)


def versions(root: Path, case: str) -> list[str]:
    """Return the versions of R that a case is recorded of, the newest first, by folder."""
    try:
        return newest_first(path.name for path in (root / case).iterdir() if path.is_dir())
    except OSError:
        return []


def choose(root: Path, case: str, asked: str) -> str:
    """Return the folder of the version asked for: by R's version, as `4.5.0`, or by its own name.

    Raises
    ------
    UsageError
        Where the case has none of that version.
    """
    there = versions(root, case)
    for label in there:
        version = RVersion.parse(label)
        if label == asked or (version is not None and version.r == asked):
            return label
    known = ", ".join(v.r for label in there if (v := RVersion.parse(label)))
    raise UsageError(f"{case!r} is not recorded of R {asked}: there are {known or 'none'}.")


def _all_versions(folder: Path) -> dict[str, dict[str, bytes]]:
    """Read every version of a case, each with all its files, wherever they are kept."""
    if not folder.is_dir():
        return {}
    found = {}
    for label in versions(folder.parent, folder.name):
        found[label] = _files(folder / label)
        # What is broken stays as it is: whoever reads it is told.
        with suppress(ValueError, AttributeError, TypeError):
            hashes = _hashes(json.loads(found[label].get(PROVENANCE, b"{}")))
            found[label] |= _shared(folder, hashes, found[label])
    return found


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in folder.iterdir() if path.is_file()}


def content_of(path: Path) -> bytes:
    """Return what a file holds: a plain one, since pipes never end, and no more than `LARGEST`.

    Raises
    ------
    OSError
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if found.st_size > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST >> 20} MB", str(path))
    return path.read_bytes()


def _hashes(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of every file that a recording has, by name."""
    return {**provenance.get("tables", {}), **provenance.get("texts", {})}


def _shared(folder: Path, hashes: Mapping[str, str], own: Iterable[str]) -> dict[str, bytes]:
    """Return those of a recording's files that another version keeps for it."""
    found = {}
    for name in hashes.keys() - set(own):
        # Whoever forges a recording may list a path to elsewhere, or link to a device without end.
        paths = [version / name for version in folder.iterdir() if Path(name).name == name]
        for path in filter(Path.is_file, paths):
            content = content_of(path)
            if sha256(content) == hashes[name]:
                found[name] = content
                break
    return found


def _laid_out(versions: Versions) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield what is kept in the folder of each version: all that no newer one has as well."""
    kept: set[tuple[str, bytes]] = set()
    for label in newest_first(versions):
        files = versions[label].items()
        yield label, {n: c for n, c in files if n == PROVENANCE or (n, c) not in kept}
        kept |= {(name, content) for name, content in files}


def write_file(path: Path, content: bytes) -> None:
    """Write a recording of one file in place of the old one, which a failure or a kill leaves.

    Raises
    ------
    RecordingError
        Where the folder cannot be written or the disk is full.
    """
    root, name = path.parent, path.name
    with _sentence(root, name):
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root, fcntl.LOCK_EX):
            for left in root.glob(".*.new.*"):  # by killed runs: whoever runs has the lock
                left.unlink()
            stage = root / f".{name}.new.{os.getpid()}"
            try:
                _write_synced(stage, content)
                stage.replace(path)
            finally:
                stage.unlink(missing_ok=True)
            with suppress(OSError):  # what is there is whole; a loss of power may bring the old one
                _sync_folder(root)


def read(
    root: Path,
    case: str,
    scripts: Mapping[str, bytes],
    remedy: str | None = None,
    version: str | None = None,
) -> Recording:
    """Read a recording, every byte of it checked against its provenance.

    `scripts` are today's R files by name; a recording made by other ones is stale. `remedy` is what
    errors advise, if not the command that makes a case's recording. `version` is the folder of the
    R that is asked for, by default the newest.

    Raises
    ------
    RecordingError
        Where the recording is missing, stale or corrupt; it names the file and the remedy.
    """
    folder = root / case
    remedy = remedy or f"run `rparity regenerate {case}`, which needs R"
    if not root.is_dir():
        raise RecordingError(f"There is no folder of recordings at {root}: {remedy}.")
    try:
        if not folder.is_dir() and _leftovers(root, case, "old"):
            with _lock(root, fcntl.LOCK_EX):
                _recover(root, case)
        with _lock(root, fcntl.LOCK_SH):
            label = version or next(iter(versions(root, case)), "")
            if not label or not (folder / label).is_dir():
                raise RecordingError(f"There is no recording of {case!r} in {root}: {remedy}.")
            contents = _files(folder / label)
            provenance = unseal(folder / label / PROVENANCE, contents.pop(PROVENANCE, None), remedy)
            require_shape(provenance, folder / label / PROVENANCE, remedy)
            wanted = _hashes(provenance)
            contents |= _shared(folder, wanted, contents)
            folder = folder / label
    except OSError as error:
        raise RecordingError(
            f"Cannot read {error.filename or folder}: {error.strerror or error}. "
            "Make it readable, or name another folder with --fixtures."
        ) from error

    texts: dict[str, str] = provenance.get("texts", {})
    _require_whole(folder, provenance, contents, remedy)
    for name, recorded in provenance["scripts"].items():
        if name not in scripts or sha256(scripts[name]) != recorded:
            raise RecordingError(
                f"The recording of {case!r} is stale: {name} has changed since R "
                f"answered; {remedy}."
            )
    tables, decoded = {}, {}
    for file in wanted:
        try:
            if file in texts:
                decoded[file] = contents[file].decode()
            else:
                name, table = decode(file, contents[file])
                tables[name] = table
        except Exception as error:  # whatever is in it is not what R's run wrote
            said = " ".join(str(error).split())[:150]
            raise RecordingError(
                f"{folder / file} is not what R's run wrote ({said}): {remedy}."
            ) from error
    return Recording(case, folder, tables, provenance, decoded)


def _require_whole(
    folder: Path, provenance: Mapping[str, Any], contents: Mapping[str, bytes], remedy: str
) -> None:
    """Refuse a recording in a folder of another name, or whose files are not those recorded."""
    wanted = _hashes(provenance)
    made = label_of(provenance["made_by"]["packages"])
    if (made, provenance["case"]) != (folder.name, folder.parent.name):
        raise RecordingError(
            f"{folder} holds a recording of {provenance['case']!r} by "
            f"{RVersion.parse(made) or 'the arbiter'}, and not the one that its name says: move it "
            f"to {provenance['case']}/{made}, or {remedy}."
        )
    for name in sorted(wanted.keys() | contents.keys()):
        if name not in contents:
            raise RecordingError(f"{folder / name} is missing from the recording: {remedy}.")
        if name not in wanted:
            raise RecordingError(
                f"{folder / name} is not part of the recording (provenance.json does not list "
                f"it): remove it, or {remedy}."
            )
        if sha256(contents[name]) != wanted[name]:
            raise RecordingError(
                f"{folder / name} is corrupt: it was edited or truncated after it was written. "
                f"Restore it from version control, or {remedy}."
            )


def seal(document: Mapping[str, Any], key: Sign | None = None) -> dict[str, Any]:
    """Add a digest of the rest, however it is laid out as JSON, so that an accident shows.

    Whoever forges a document can seal it, too; what `key` adds, only who has the key can make.
    """
    digest = _digest(document)
    return {**document, DIGEST: digest, **({SIGNATURE: key(digest)} if key else {})}


def unseal(path: Path, content: bytes | None, remedy: str) -> dict[str, Any]:
    """Read what `seal` gave as JSON, as `opened` does, and ask for a signature if keys are named.

    Raises
    ------
    RecordingError
        As `opened` does; a `SignatureError` where no trusted key has signed it.
    UsageError
        Where the trusted keys cannot be read.
    """
    document, signature = opened(path, content, remedy)
    require_trusted(path, _digest(document), signature)
    return document


def opened(path: Path, content: bytes | None, remedy: str) -> tuple[dict[str, Any], object]:
    """Read what `seal` gave as JSON from the content of a file: the document, and its signature.

    Raises
    ------
    RecordingError
        Where it is missing (None), no JSON, or not what was sealed.
    """
    if content is None:
        raise RecordingError(f"{path} is missing: {remedy}.")
    try:
        provenance: dict[str, Any] = json.loads(content)
        digest, signature = provenance.pop(DIGEST), provenance.pop(SIGNATURE, None)
        actual = _digest(provenance)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RecordingError(
            f"{path} is corrupt: it is not what R's run wrote; {remedy}."
        ) from error
    if digest != actual:
        raise RecordingError(
            f"{path} is corrupt: it was edited after R's run wrote it. Restore it from version "
            f"control, or {remedy}."
        )
    return provenance, signature


# What a provenance has, and of what type each is; what is not told by all may be missing.
SHAPE: Mapping[str, type | tuple[type, ...]] = {
    "tables": dict,
    "scripts": dict,
    "texts": dict,
    "made_by": dict,
    "levels": dict,
    "gaps": dict,
    "remarks": list,
    "asked": (list, dict),
    "warnings": list,
    "messages": list,
    "nsim": int,
    "time": str,
    "command": str,
}
REQUIRED = ("case", "tables", "scripts", "made_by")


def require_shape(
    provenance: Mapping[str, Any], path: Path, remedy: str, required: Collection[str] = REQUIRED
) -> None:
    """Refuse a provenance that is sealed, but not one that R's run writes.

    Raises
    ------
    RecordingError
        With what is missing in it, or is of another type.
    """
    missing = [name for name in required if name not in provenance]
    strange = [
        name
        for name, kind in SHAPE.items()
        if name in provenance and not isinstance(provenance[name], kind)
    ]
    for name in ("tables", "scripts", "texts"):
        held = provenance.get(name, {})
        if isinstance(held, dict) and not all(isinstance(value, str) for value in held.values()):
            strange.append(name)
    for name in ("tables", "texts"):  # files of this folder: no path leads out of it
        if any("/" in file or file in ("", ".", "..") for file in _keys(provenance.get(name))):
            strange.append(name)
    for known in _values(provenance.get("levels")):
        if not isinstance(known, dict) or not {"levels", "ordered"} <= known.keys():
            strange.append("levels")
    made_by = provenance.get("made_by")
    if isinstance(made_by, dict) and not isinstance(made_by.get("packages"), dict):
        strange.append("made_by.packages")
    if missing or strange:
        what = f"lacks {', '.join(missing)}" if missing else f"has a strange {', '.join(strange)}"
        raise RecordingError(f"{path} is not what R's run wrote: it {what}; {remedy}.")


def _encoded(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _keys(held: object) -> list[str]:
    return list(held) if isinstance(held, dict) else []


def _values(held: object) -> list[object]:
    return list(held.values()) if isinstance(held, dict) else []


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode())


@contextmanager
def _sentence(root: Path, case: str) -> Iterator[None]:
    """Turn what the system says into one for the user."""
    try:
        yield
    except OSError as error:
        raise RecordingError(
            f"Cannot write the recording of {case!r} to {root}: {error.strerror or error}. "
            "The old recording, if there was one, is untouched."
        ) from error


@contextmanager
def _lock(root: Path, kind: int) -> Iterator[None]:
    """Hold a lock on the folder itself; it goes with the process, even one that is killed.

    Some disks of a network have no locks. What is read there is checked against its hashes anyway;
    nothing is written without one.
    """
    descriptor = os.open(root, os.O_RDONLY)
    try:
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - begun > PATIENCE:
                    raise RecordingError(
                        f"The recordings in {root} are locked by {_holder(root)}: wait for it, "
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


NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def _holder(root: Path) -> str:
    """Name the process that holds the lock on a folder, where the system tells."""
    inode = str(root.stat().st_ino)
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


def _leftovers(root: Path, case: str, kind: str) -> list[Path]:
    return sorted(root.glob(f".{glob.escape(case)}.{kind}.*"))


def _recover(root: Path, case: str) -> None:
    """Undo a swap that was killed half-way, and clear what killed runs left; needs the lock."""
    old = _leftovers(root, case, "old")
    if old and not (root / case).exists():
        old.pop().rename(root / case)
    for path in old + _leftovers(root, case, "new"):
        shutil.rmtree(path, ignore_errors=True)


def _swap(root: Path, case: str, stage: Path) -> None:
    target = root / case
    aside = root / stage.name.replace(".new.", ".old.", 1)
    if target.exists():
        target.rename(aside)
    try:
        stage.rename(target)
        _sync_folder(root)
    except OSError:
        if not stage.exists():
            target.rename(stage)
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
