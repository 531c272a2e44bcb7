"""Folders of recordings, and recordings that are made of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rparity import files, paths, recordings


def newest(root: Path, case: str) -> Path:
    """Return the folder of the newest recording of a case, which holds all its files."""
    return root / case / recordings.versions(root, case)[0]


def adopt(root: Path, case: str, into: Path, name: str) -> None:
    """Copy the recordings of a case to another case with the same scripts."""
    for version in recordings.versions(root, case):
        scripts = {path.name: path.read_bytes() for path in paths.r_scripts().glob("*.R")}
        found = recordings.read(root, case, scripts, version=version)
        made = json.loads((found.folder / recordings.PROVENANCE).read_text())
        provenance = {key: made[key] for key in made.keys() - {"case", "tables", "texts", "digest"}}
        recordings.write(into, name, found.tables, provenance, found.texts)


def reseal(folder: Path, edit: Callable[[dict[str, Any]], object] = lambda _made: None) -> None:
    """Make the hashes and the digest fit edited files, as a forger would."""
    path = folder / recordings.PROVENANCE
    made = json.loads(path.read_text())
    del made["digest"]
    for kind in ("tables", "texts"):
        for name in made.get(kind, {}):
            if (folder / name).is_file():
                made[kind][name] = files.sha256((folder / name).read_bytes())
    edit(made)
    path.write_text(json.dumps(files.seal(made)))
