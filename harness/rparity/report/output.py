"""Files that a command writes: whole or not at all, and refused before the work starts."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rparity.errors import UsageError


def require_folder(file: Path) -> None:
    """Refuse, before the work starts, a file that could not be written after it.

    Raises
    ------
    UsageError
        Where its folder does not exist.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {file.absolute().parent} to put {file.name} in.")
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name a file in it.")


@contextmanager
def writing(file: Path) -> Iterator[Path]:
    """Give a file beside the target that takes its place, so that a full disk leaves no half of it.

    What a killed run has left there is removed by the next one that writes the same target.

    Raises
    ------
    UsageError
        Where it cannot be written.
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


def _lives(process: str) -> bool:
    """Whether there is a process of that number; of what is no number, nothing is known."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
