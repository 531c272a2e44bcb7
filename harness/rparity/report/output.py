"""Files that a command writes: whole or not at all, and refused before the work starts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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

    Raises
    ------
    UsageError
        Where it cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=file.suffix, delete=False) as out:
            temporary = Path(out.name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"Cannot write {file}: {reason}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
