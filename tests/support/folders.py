"""Where the files of a recording lie, and recordings made of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rparity import files, paths, recordings


def newest(root: Path, case: str) -> Path:
    """Folder of the newest R's recording of a case, which has all its files."""
    return root / case / recordings.versions(root, case)[0]


def adopt(root: Path, case: str, into: Path, name: str) -> None:
    """Record R's answers to one case as those to another one, which asks the same."""
    for version in recordings.versions(root, case):
        scripts = {path.name: path.read_bytes() for path in paths.r_scripts().glob("*.R")}
        found = recordings.read(root, case, scripts, version=version)
        told = json.loads((found.folder / recordings.PROVENANCE).read_text())
        provenance = {key: told[key] for key in told.keys() - {"case", "tables", "texts", "digest"}}
        recordings.write(into, name, found.tables, provenance, found.texts)


def reseal(folder: Path, edit: Callable[[dict[str, Any]], object] = lambda _made: None) -> None:
    """Make hashes and digest fit what was edited, as a forger would."""
    path = folder / recordings.PROVENANCE
    made = json.loads(path.read_text())
    del made["digest"]
    for kind in ("tables", "texts"):
        for name in made.get(kind, {}):
            if (folder / name).is_file():
                made[kind][name] = files.sha256((folder / name).read_bytes())
    edit(made)
    path.write_text(json.dumps(files.seal(made)))
