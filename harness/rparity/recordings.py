"""R's answers to cases on disk: `write`, `read`, `sign`. Every read checks every byte.

A recording is the folder `fixtures/CASE/VERSION`. VERSION names the R that answered, such as
`r4.5.0-lme4-1.1-37`. The folder holds one CSV for each table (`%.17g`, which keeps all the bits),
one `.npz` for each table of replicates, and `provenance.json`: where, when and by what the tables
were made, the sha256 of each, and a digest of all this, perhaps with a signature. If a newer R gave
a table with the same bytes, only the newer folder holds the table.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rparity.compare import Tables, kind_of
from rparity.errors import RecordingError, UsageError
from rparity.files import LARGEST, content_of, opened, reading, replacing, seal, sha256, unseal
from rparity.r.version import RVersion, label_of, newest_first
from rparity.signing import Sign

PROVENANCE = "provenance.json"
# Tables of this kind, and longer tables than this, are kept as .npz with rows named "1", "2", …
REPLICATES = "replicates"
LARGE = 5000
# The files of each version of a case, by name.
Versions = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class Recording:
    """R's tables for a case, and where, when and by what they were made.

    `texts` are other files of the recording, by name.
    """

    case: str
    folder: Path
    tables: Tables
    provenance: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verified:
    """A recording whose bytes are those that its provenance lists: its files by name."""

    case: str
    folder: Path
    provenance: Mapping[str, Any]
    contents: Mapping[str, bytes]
    remedy: str

    def recording(self) -> Recording:
        """Make tables and texts of the files; raise RecordingError if a file holds neither."""
        tables, texts = {}, {}
        for file in _hashes(self.provenance):
            try:
                if file in self.provenance.get("texts", {}):
                    texts[file] = self.contents[file].decode()
                else:
                    name, table = decode(file, self.contents[file])
                    tables[name] = table
            except Exception as error:  # of many types: the file may hold anything
                said = " ".join(str(error).split())[:150]
                raise RecordingError(
                    f"{self.folder / file} does not hold what was recorded ({said}): {self.remedy}."
                ) from error
        return Recording(self.case, self.folder, tables, self.provenance, texts)


def encode(name: str, table: pd.DataFrame) -> tuple[str, bytes]:
    """Return the file name and the bytes of a table. The same table always gives the same bytes."""
    buffer = io.BytesIO()
    if kind_of(name) == REPLICATES or len(table) > LARGE:
        np.savez_compressed(
            buffer,
            values=table.to_numpy(dtype=np.float64),
            columns=np.array(table.columns, dtype=np.str_),
        )
        return f"{name}.npz", buffer.getvalue()
    table.to_csv(buffer, float_format="%.17g", na_rep="NA", index_label="row", lineterminator="\n")
    return f"{name}.csv", buffer.getvalue()


def decode(file: str, content: bytes) -> tuple[str, pd.DataFrame]:
    """Return the name and the table that `encode` made these bytes of.

    Raises
    ------
    Exception
        The bytes are not those of a table; of many types, from NumPy, zipfile and csv.
    """
    name, _, kind = file.rpartition(".")
    if kind == "npz":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(member.file_size for member in packed.infolist()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST >> 20} MB")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            values, columns = archive["values"], archive["columns"]
        if values.dtype != np.float64:
            raise ValueError("its values are not doubles")
        index = pd.RangeIndex(1, len(values) + 1).astype(str)
        return name, pd.DataFrame(values, index, [str(column) for column in columns])
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    if header[:1] != ["row"]:
        raise ValueError("the first column of its header is not 'row'")
    cells = [[np.nan if cell == "NA" else float(cell) for cell in row[1:]] for row in rows]
    values = np.array(cells, dtype=np.float64).reshape(len(rows), len(header) - 1)
    return name, pd.DataFrame(values, [row[0] for row in rows], header[1:])


def write(
    root: Path,
    case: str,
    tables: Tables,
    provenance: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> Recording:
    """Write a recording in place of the old one of the same R. Those of other Rs stay.

    After a failure or a kill, the old recordings or the new ones are there, whole.

    Raises
    ------
    RecordingError
        The folder cannot be written, or the disk is full.
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
    """Sign all recordings of a case, replacing signatures that they have; return the versions.

    Raises
    ------
    RecordingError
        There is none, one is corrupt, or the folder cannot be written. None is signed then.
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
    """Replace all versions of a case by what `change` makes of them."""
    with replacing(root / case) as stage:
        stage.mkdir()
        for label, files in _laid_out(change(_all_versions(root / case))):
            (stage / label).mkdir()
            for name, content in files.items():
                (stage / label / name).write_bytes(content)


def versions(root: Path, case: str) -> list[str]:
    """Return the folders of a case's recordings, one for each version of R, the newest first."""
    try:
        return newest_first(path.name for path in (root / case).iterdir() if path.is_dir())
    except OSError:
        return []


def choose(root: Path, case: str, asked: str) -> str:
    """Return the folder for a version of R, given as `4.5.0` or as the folder's own name.

    Raises
    ------
    UsageError
        The case has no recording of that version; the message lists those it has.
    """
    there = versions(root, case)
    for label in there:
        version = RVersion.parse(label)
        if label == asked or (version is not None and version.r == asked):
            return label
    known = ", ".join(v.r for label in there if (v := RVersion.parse(label)))
    raise UsageError(f"{case!r} is not recorded of R {asked}: there are {known or 'none'}.")


def _all_versions(folder: Path) -> dict[str, dict[str, bytes]]:
    """Read every version of a case, each with all its files, also those kept in other folders."""
    if not folder.is_dir():
        return {}
    found = {}
    for label in versions(folder.parent, folder.name):
        found[label] = _files(folder / label)
        # A broken recording is kept as it is; reading it raises an error.
        with suppress(ValueError, AttributeError, TypeError):
            hashes = _hashes(json.loads(found[label].get(PROVENANCE, b"{}")))
            found[label] |= _shared(folder, hashes, found[label])
    return found


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in folder.iterdir() if path.is_file()}


def _hashes(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of every file that a recording has, by name."""
    return {**provenance.get("tables", {}), **provenance.get("texts", {})}


def _shared(folder: Path, hashes: Mapping[str, str], own: Iterable[str]) -> dict[str, bytes]:
    """Return those of a recording's files that lie in the folder of another version."""
    found = {}
    for name in hashes.keys() - set(own):
        # A forged recording may list a path outside the folder, or hold a link to a device.
        paths = [version / name for version in folder.iterdir() if Path(name).name == name]
        for path in filter(Path.is_file, paths):
            content = content_of(path)
            if sha256(content) == hashes[name]:
                found[name] = content
                break
    return found


def _laid_out(versions: Versions) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield each version's folder and its files, without those that a newer version has too."""
    kept: set[tuple[str, bytes]] = set()
    for label in newest_first(versions):
        files = versions[label].items()
        yield label, {n: c for n, c in files if n == PROVENANCE or (n, c) not in kept}
        kept |= {(name, content) for name, content in files}


def verified(
    root: Path,
    case: str,
    scripts: Mapping[str, bytes],
    remedy: str | None = None,
    version: str | None = None,
) -> Verified:
    """Check every byte of a recording as `read` does, but make no tables of them.

    Raises
    ------
    RecordingError
        The recording is missing, stale or corrupt; the message names the file and the remedy.
    """
    folder = root / case
    remedy = remedy or f"run `rparity regenerate {case}`, which needs R"
    if not root.is_dir():
        raise RecordingError(f"There is no folder of recordings at {root}: {remedy}.")
    try:
        with reading(folder):
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
    _require_whole(folder, provenance, contents, remedy)
    for name, recorded in provenance["scripts"].items():
        if name not in scripts or sha256(scripts[name]) != recorded:
            raise RecordingError(
                f"The recording of {case!r} is stale: {name} has changed since R "
                f"answered; {remedy}."
            )
    return Verified(case, folder, provenance, contents, remedy)


def read(
    root: Path,
    case: str,
    scripts: Mapping[str, bytes],
    remedy: str | None = None,
    version: str | None = None,
) -> Recording:
    """Read a recording and check every byte of it against its provenance.

    Parameters
    ----------
    scripts
        Today's R files by name. A recording that was made with other contents is stale.
    remedy
        The advice in errors, by default the command that makes a case's recording.
    version
        The folder of the R to read, by default the newest.

    Raises
    ------
    RecordingError
        The recording is missing, stale or corrupt; the message names the file and the remedy.
    """
    return verified(root, case, scripts, remedy, version).recording()


def _require_whole(
    folder: Path, provenance: Mapping[str, Any], contents: Mapping[str, bytes], remedy: str
) -> None:
    """Refuse a recording that lies in another's folder, or whose files are not those listed."""
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


# The type of each field of a provenance. Fields that are not required may be missing.
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
    """Refuse a provenance that has a valid digest but not the form that `write` gives it.

    Raises
    ------
    RecordingError
        A field is missing, or has another type; the message names it.
    """
    missing = [name for name in required if name not in provenance]
    strange = [
        name
        for name, kind in SHAPE.items()
        if name in provenance and not isinstance(provenance[name], kind)
    ]
    if not strange:
        held = {name: provenance.get(name, {}) for name in SHAPE}
        sound = {
            "tables": all(map(_is_file_name, held["tables"])) and _has_texts(held["tables"]),
            "texts": all(map(_is_file_name, held["texts"])) and _has_texts(held["texts"]),
            "scripts": _has_texts(held["scripts"]),
            "levels": all(
                isinstance(known, dict) and {"levels", "ordered"} <= known.keys()
                for known in held["levels"].values()
            ),
            "made_by.packages": isinstance(held["made_by"].get("packages"), dict),
        }
        strange = [name for name, good in sound.items() if not good]
    if missing or strange:
        what = f"lacks {', '.join(missing)}" if missing else f"has a strange {', '.join(strange)}"
        raise RecordingError(f"{path} is not a provenance: it {what}; {remedy}.")


def _encoded(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _is_file_name(name: str) -> bool:
    """Whether a name is that of a file in the folder itself, rather than a path out of it."""
    return "/" not in name and name not in ("", ".", "..")


def _has_texts(held: Mapping[str, object]) -> bool:
    return all(isinstance(value, str) for value in held.values())
