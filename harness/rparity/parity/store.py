"""Recordings of calls, one JSON file each: where it lies, and whether it answers this call."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rparity.errors import RecordingError
from rparity.files import content_of, opened, replacing, seal, sha256, unseal
from rparity.parity import FOLDER
from rparity.parity.blocks import compress, decompress, pack, unpack
from rparity.parity.values import Tree, decode, encode, layout, require_distinct, value_of
from rparity.signing import Sign

# Names of tests that are file names on every system: the recordings have these names.
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}(\[[a-z0-9_.,=+-]{1,99}\])?")
NUMBERED = re.compile(r"(?P<stem>.+)\.(?P<number>\d+)\.json")
STAMP = ("command", "time")
# End of the name of the file with the numbers of a recording's large parts.
NUMBERS = ".numbers"


@dataclass(frozen=True)
class Place:
    """A test: its file, and its name in it, such as `TestWelch.test_welch[3]`."""

    file: Path
    test: str

    @property
    def folder(self) -> Path:
        """Folder of the recordings of the file's tests, beside it."""
        return self.file.parent / FOLDER / self.file.stem

    @property
    def stem(self) -> str:
        """Start of the file names of its recordings; the call's number follows."""
        if PLAIN.fullmatch(self.test):
            return self.test
        tidy = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", self.test)[:60].strip("-.")
        return f"{tidy}-{sha256(self.test.encode())[:12]}"

    def recording(self, number: int) -> Path:
        """File of the recording of one of the test's calls; the first has the number 1."""
        return self.folder / f"{self.stem}.{number}.json"


@dataclass(frozen=True)
class RecordedCall:
    """R's answer to a call, and where, when and by what it was made."""

    answer: Tree
    provenance: Mapping[str, Any]


def write(path: Path, recorded: RecordedCall) -> bool:
    """Write a recording in place of the old one. Return False if only the command or time differs.

    In that case the old one stays.

    Raises
    ------
    RecordingError
        The folder cannot be written, the disk is full, or another test's recording has a name that
        differs in capitals only.
    """
    block = bytearray()
    asked, value = recorded.provenance["asked"], pack(encode(recorded.answer), block)
    # In the order in which a person reads it.
    document = {"asked": asked, "value": value, **recorded.provenance}
    if block:
        document["numbers"] = {"sha256": sha256(bytes(block)), "bytes": len(block)}
    try:
        old, _ = opened(path, _content(path), "")
        _block(path, dict(old), "")
    except RecordingError:
        old = {}
    numbers = _numbers(path, document)
    if _unstamped(old) == _unstamped(document):
        return False
    for other in path.parent.glob("*.json"):
        if other.name != path.name and other.name.lower() == path.name.lower():
            raise RecordingError(
                f"Some disks would take {path} and {other.name} for one file: give one of the "
                "tests another name, and remove the recording that no test uses any more."
            )
    _replace(path, seal(document), numbers, bytes(block))
    return True


def sign(folder: Path, key: Sign) -> list[Path]:
    """Sign all recordings in a folder and below it; return their files.

    Raises
    ------
    RecordingError
        One is corrupt, or cannot be written. Those before it are signed by then.
    """
    found = [path for inner in (folder, *folder.rglob("*/")) for path in recordings_in(inner)]
    for path in found:
        document, _ = opened(path, _content(path), "record it again")
        _replace(path, seal(document, key), _numbers(path, document))
    return found


class StaleRecordingError(RecordingError):
    """A recording of another call: of another script, or with other arguments."""

    def __init__(self, message: str, recorded: RecordedCall) -> None:
        super().__init__(message)
        self.recorded = recorded


def read(
    path: Path, asked: Mapping[str, Any], remedy: str, bytes_of: Mapping[str, str] | None = None
) -> RecordedCall:
    """Read the recording of the call `asked` and check every byte of it.

    `bytes_of` has hashes of all bytes of the scripts, which early recordings have in place of those
    that comments do not change.

    Raises
    ------
    RecordingError
        It is missing or corrupt; the message names the file and the remedy.
    StaleRecordingError
        It is the recording of another call; the message says what has changed.
    """
    call = f"call {asked['call']} of {asked['test']}, {asked['function']}() in {asked['script']}"
    content = _content(path)
    if content is None:
        raise RecordingError(f"There is no recording {path} of {call}: {remedy}.")
    document = unseal(path, content, remedy)
    block = _block(path, document, remedy)
    try:
        changed = _changed(document["asked"], asked, bytes_of or {})
        value = document.pop("value")
        answer = decode(value if block is None else unpack(value, block))
        dict(document["made_by"]["packages"])
        str.__str__(document["made_by"]["platform"]), str.__str__(document["time"])
        {str.__str__(name): float(n) for name, n in document.get("sensitivity", {}).items()}
        value_of(answer)
        require_distinct(answer)
    except Exception as error:  # of many types: the file may hold anything
        raise RecordingError(f"{path} is not a recording of a call: {remedy}.") from error
    recorded = RecordedCall(answer, document)
    if changed:
        raise StaleRecordingError(f"The recording {path} is stale: {changed}; {remedy}.", recorded)
    return recorded


def same(one: RecordedCall | None, other: RecordedCall) -> bool:
    """Whether two answers have the same bits."""
    return one is not None and json.dumps(encode(one.answer)) == json.dumps(encode(other.answer))


def recordings_in(folder: Path) -> dict[Path, tuple[str, int]]:
    """Return a folder's recordings, each with its test's `Place.stem` and its call's number."""
    found = {path: NUMBERED.fullmatch(path.name) for path in sorted(folder.glob("*.json"))}
    return {path: (name["stem"], int(name["number"])) for path, name in found.items() if name}


def numbers_of(path: Path) -> list[Path]:
    """Return the files with the numbers of a recording's large parts: one, or none."""
    return sorted(path.parent.glob(f"{glob.escape(path.stem)}.*{NUMBERS}"))


def _replace(
    path: Path, document: Mapping[str, Any], numbers: Path | None, block: bytes = b""
) -> None:
    """Write a recording, with the file of its numbers before it, and remove the one of the old.

    The name of the file of numbers depends on them. So a kill leaves the old recording whole.
    """

    def tidy() -> None:
        for other in numbers_of(path):
            if other != numbers:
                other.unlink()

    with replacing(path, tidy) as stage:
        if numbers is not None and block:
            stage.write_bytes(compress(block))
            stage.replace(numbers)
        stage.write_bytes((layout(document) + "\n").encode())


def _numbers(path: Path, document: Mapping[str, Any]) -> Path | None:
    """Return the file with the numbers of the large parts of a recording, if it has such parts."""
    if "numbers" not in document:
        return None
    return path.with_name(f"{path.stem}.{document['numbers']['sha256'][:12]}{NUMBERS}")


def _block(path: Path, document: dict[str, Any], remedy: str) -> bytes | None:
    """Return the numbers of the large parts of a recording, if it has such parts."""
    try:
        numbers = _numbers(path, document)
        if numbers is None:
            return None
        stated = document.pop("numbers")
        content = _content(numbers)
        if content is not None:
            return decompress(content, stated["bytes"], stated["sha256"])
    except RecordingError:
        raise
    except Exception as error:  # of many types: the files may hold anything
        raise RecordingError(
            f"The numbers of the recording {path}, beside it, are corrupt. Restore them from "
            f"version control, or {remedy}."
        ) from error
    raise RecordingError(
        f"{numbers} is missing, which holds numbers of the recording {path.name}: restore it from "
        f"version control, or {remedy}."
    )


def _content(path: Path) -> bytes | None:
    try:
        return content_of(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordingError(f"Cannot read {path}: {error.strerror}. Make it readable.") from error


def _unstamped(document: Mapping[str, Any]) -> str:
    return layout({name: value for name, value in document.items() if name not in STAMP})


def _changed(then: Mapping[str, Any], now: Mapping[str, Any], bytes_of: Mapping[str, str]) -> str:
    """Return how a call differs from the one that R answered, or nothing if it is the same."""
    if then["test"] != now["test"]:
        return f"it is of another test, {then['test']}"
    if (then["script"], then["function"]) != (now["script"], now["function"]):
        return (
            f"call {now['call']} of the test was {then['function']}() in {then['script']} and is "
            f"now {now['function']}() in {now['script']}"
        )
    for name in then["scripts"] | now["scripts"]:
        hashes = {now["scripts"].get(name), bytes_of.get(name)} - {None}
        if then["scripts"].get(name) not in hashes:
            return f"{name} has changed since R answered"
    for name in then["arguments"] | now["arguments"]:
        if then["arguments"].get(name) != now["arguments"].get(name):
            return f"the argument {name} is not what it was when R answered"
    for name in ("seed", "packages"):
        if then[name] != now[name]:
            return f"{name} was {then[name]} and is now {now[name]}"
    return ""
