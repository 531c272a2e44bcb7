"""R itself, live or as recorded: the engine that the others are compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from rparity import paths
from rparity.cases.base import Part
from rparity.engines.base import Answer, Question
from rparity.errors import RError
from rparity.files import sha256
from rparity.r.session import RSession
from rparity.recordings import encode
from rparity.tables import encode_factors


class R:
    """R through rpy2, in a process of its own.

    After `answer`, `provenance` tells what gave it: versions, libraries, settings, seed and hashes.
    """

    name = "R"

    def __init__(
        self, *, timeout: float | None = None, on_message: Callable[[str], None] | None = None
    ) -> None:
        self._timeout = timeout
        self._on_message = on_message
        self.provenance: dict[str, Any] = {}

    def expected(self, part: Part) -> tuple[str, ...]:
        """Answer everything."""
        return part.tables

    def answer(self, question: Question) -> Answer:
        """Run the case's script in a fresh R.

        Raises
        ------
        RError, RCrashedError, RNotAvailableError, RTimeoutError
        """
        case, nsim = question.case, question.nsim
        scripts = case.scripts()
        with RSession(timeout=self._timeout, on_message=self._on_message) as session:
            result = session.call(
                case.path(case.script),
                case.function,
                case.arguments(nsim),
                libraries=[case.path(name) for name in case.libraries],
                seed=case.seed,
            )
            software = made_by(session, case.packages)
        if not isinstance(result.value, dict) or "tables" not in result.value:
            raise RError(
                f"{case.function}() in {case.script} must return list(tables = …, notes = …)."
            )
        encoded = {name: encode_factors(table) for name, table in result.value["tables"].items()}
        tables = {name: table for name, (table, _levels) in encoded.items()}
        self.provenance = {
            "made_by": software,
            "notes": plain(result.value.get("notes") or {}),
            "asked": case.asked(nsim),
            "nsim": nsim,
            "scripts": {name: sha256(content) for name, content in scripts.items()},
            "levels": encoded["data"][1] if "data" in encoded else {},
            "data": sha256(encode("data", tables["data"])[1]) if "data" in tables else None,
            "warnings": sorted(set(result.warnings)),
            "messages": [text.strip() for text in result.messages],
        }
        return Answer(tables)


def stamp(command: str) -> dict[str, str]:
    """Return the part of the provenance that differs between two equal runs.

    SOURCE_DATE_EPOCH, if set, is the time, as reproducible builds have it.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    time = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return {"command": command, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ")}


def made_by(session: RSession, packages: Sequence[str]) -> dict[str, Any]:
    """Return what answers in a session: R, its libraries, its settings and its packages.

    Raises
    ------
    RError, RCrashedError, RNotAvailableError, RTimeoutError
    """
    script = paths.r_scripts() / "provenance.R"
    found: dict[str, Any] = plain(
        session.call(script, "provenance", {"packages": list(packages)}).value
    )
    return found


def plain(value: Any) -> Any:
    """Return R's lists and named vectors as what JSON can hold."""
    if isinstance(value, pd.Series):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return value
