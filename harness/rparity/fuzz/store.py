"""The results of a campaign, in an SQLite file, which survives a kill at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import pandas as pd

from rparity.errors import UsageError
from rparity.fuzz.judge import FuzzVerdict

NAME = "fuzz.sqlite"


@dataclass(frozen=True)
class Record:
    """The result of one design for one engine: a row of the table `designs`.

    `causes` (number of values by cause) and `digits` (fewest by table) are JSON. `open` names the
    tables with a difference that has no cause, and `script` the scripts that show it. `r_seconds`
    is the time spent waiting for R, out of `seconds`. `made_by` has the versions of R and lme4.
    """

    number: int
    engine: str
    verdict: str
    causes: str
    digits: str
    open: str
    says: str
    rows: int
    formula: str
    r_seconds: float
    seconds: float
    design: str
    made_by: str
    script: str = ""


COLUMNS = tuple(field.name for field in fields(Record))
KINDS = {"number": "INTEGER", "rows": "INTEGER", "r_seconds": "REAL", "seconds": "REAL"}
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS designs (
    {", ".join(f"{name} {KINDS.get(name, 'TEXT')}" for name in COLUMNS)},
    PRIMARY KEY (number, engine)
);
"""


class Store:
    """The store of one campaign, in `folder`. `about` describes the campaign.

    Raises
    ------
    UsageError
        If the file is a store of another campaign, is no store, or cannot be written.
    """

    def __init__(self, folder: Path, about: Mapping[str, str]) -> None:
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as unless_sound:
                self._db = sqlite3.connect(self.path)
                unless_sound.callback(self._db.close)
                # A commit appends one frame, so a kill loses only what was not yet committed.
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.executescript(SCHEMA)
                self._check(about)
                unless_sound.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise UsageError(f"{self.path} cannot be used as a store: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def _check(self, about: Mapping[str, str]) -> None:
        known = dict(self._db.execute("SELECT key, value FROM about"))
        if not known:
            with self._db:
                self._db.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            return
        for key in sorted(known.keys() | about.keys()):
            if known.get(key) != about.get(key):
                raise UsageError(
                    f"{self.path} was begun with {key} {known.get(key)}, and this is "
                    f"{key} {about.get(key)}: give another folder by --store, or remove it."
                )

    def done(self) -> set[int]:
        """Return the numbers of the designs that every engine has answered."""
        answered = "SELECT number FROM designs GROUP BY number HAVING sum(verdict = ?) = 0"
        return {number for (number,) in self._db.execute(answered, (FuzzVerdict.CRASHED.value,))}

    def write(self, records: Iterable[Record]) -> None:
        """Add a design's records, all or none."""
        marks = ", ".join("?" * len(COLUMNS))
        rows = [[getattr(record, name) for name in COLUMNS] for record in records]
        with self._db:
            self._db.executemany(f"INSERT OR REPLACE INTO designs VALUES ({marks})", rows)

    def shown(self, number: int, engine: str, script: str) -> None:
        """Record the scripts that show an unexplained difference."""
        with self._db:
            self._db.execute(
                "UPDATE designs SET script = ? WHERE number = ? AND engine = ?",
                (script, number, engine),
            )

    def records(self, numbers: range | None = None) -> pd.DataFrame:
        """Return all records, or those of some numbers, by number and engine."""
        found = pd.read_sql("SELECT * FROM designs ORDER BY number, engine", self._db)
        if numbers is not None:
            found = found[found["number"].between(numbers.start, numbers.stop - 1)]
        return found.assign(
            causes=found["causes"].map(json.loads), digits=found["digits"].map(json.loads)
        )
