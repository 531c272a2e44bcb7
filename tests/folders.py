"""Where the files of a recording lie."""

from __future__ import annotations

from pathlib import Path

from harness import recordings


def newest(root: Path, case: str) -> Path:
    """Folder of the newest R's recording of a case, which has all its files."""
    return root / case / recordings.versions(root, case)[0]
