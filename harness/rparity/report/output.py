"""Files that a command writes: whole or not at all, and checked before the work starts."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rparity.errors import UsageError


def require_folder(file: Path | None) -> None:
    """Check before the work starts that a file can be written after it. `None` is no file.

    Raises
    ------
    UsageError
        If its folder does not exist, or if it is a folder itself.
    """
    if file is None:
        return
    if not file.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {file.absolute().parent} to put {file.name} in.")
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name a file in it.")


@contextmanager
def writing(file: Path) -> Iterator[Path]:
    """Yield a temporary file that then replaces the target, so that the target is always whole.

    A killed run leaves its temporary file. The next run with the same target removes it.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    name, number = f".{file.name}.new.", str(os.getpid())
    temporary = file.with_name(f"{name}{number}{file.suffix}")
    try:
        for left in file.parent.glob(f"{glob.escape(name)}*"):
            process = left.name.removeprefix(name).removesuffix(file.suffix)
            if process == number or not _lives(process):
                left.unlink(missing_ok=True)
        temporary.touch(0o644, exist_ok=False)
        yield temporary
        temporary.replace(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"Cannot write {file}: {reason}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def destination(file: Path | None) -> Iterator[TextIO]:
    """Yield a stream to a file, written as by `writing`, or standard output for `None`."""
    if file is None:
        yield sys.stdout
        return
    with writing(file) as temporary, temporary.open("w", encoding="utf-8") as out:
        yield out


def _lives(process: str) -> bool:
    """Return whether a process with this number runs, or may run."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
