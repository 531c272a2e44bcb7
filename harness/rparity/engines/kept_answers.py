"""Recorded answers of engines that not every machine has: R's engines and the arbiter.

An answer is a recording in the folder `fixtures/engines/ENGINE/CASE/VERSION`. VERSION names the R;
that of the arbiter is `proven`. The recording holds the question, and is stale for any other one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from rparity import paths, recordings
from rparity.cases.base import ENGINES, Data, Lm, Lmer
from rparity.compare import Tables
from rparity.engines.base import KEPT_ENGINES, Answer, Engine, Question, engine
from rparity.errors import RecordingError, UsageError
from rparity.r.version import RVersion, nearest
from rparity.recordings import Recording
from rparity.rrandom import RRandom
from rparity.tables import fingerprint

# Longer tables, such as the random effects of large models, would be megabytes: they are left out.
MOST_ROWS = 200
# The file of an answer's tables, one value a line, and that of the arbiter's decimals.
ANSWER, CERTIFIED = "answer.csv", "certified.csv"
HEADER = ("table", "row", "column", "value")
NEEDED = ("engine", "asked", "gaps", "remarks", "made_by", "time")


class RecordedEngine(Engine, Protocol):
    """An engine whose answers are recorded; after `answer`, it has their provenance."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions and settings, and as `scripts` the sha256 of each of its R files by name."""
        ...

    @property
    def decimals(self) -> Tables:
        """The tables as text with more digits than doubles have; none if it computes in doubles."""
        ...


def recorded_engine(name: str) -> RecordedEngine:
    """Return the engine of that name.

    Raises
    ------
    UsageError
        Answers of that engine are not recorded; the message names those that are.
    """
    if name not in KEPT_ENGINES:
        kept = ", ".join(KEPT_ENGINES)
        raise UsageError(f"No answers of {name!r} are recorded: those of R are, and of {kept}.")
    return cast("RecordedEngine", engine(name))


def folder(fixtures: Path, name: str) -> Path:
    """Return the folder of an engine's answers."""
    return fixtures / ENGINES / name


def write(
    fixtures: Path, by: RecordedEngine, question: Question, answer: Answer, made: Mapping[str, str]
) -> Recording:
    """Record an engine's answer in place of the old one; `made` has the command and the time.

    Raises
    ------
    RecordingError
        The folder cannot be written, or the disk is full.
    """
    tables = {name: t for name, t in answer.tables.items() if len(t) <= MOST_ROWS}
    too_long = {
        name: f"{len(t)} rows: up to {MOST_ROWS} are kept"
        for name, t in answer.tables.items()
        if name not in tables
    }
    provenance = {
        "engine": by.name,
        "asked": asked(question),
        "gaps": {**answer.gaps, **too_long},
        "remarks": list(answer.notes),
        **by.provenance,
        **made,
    }
    root = folder(fixtures, by.name)
    texts = {ANSWER: _encoded(tables, _text)}
    if by.decimals:
        texts[CERTIFIED] = _encoded(by.decimals, str)
    return recordings.write(root, question.case.name, {}, provenance, texts)


def read(
    fixtures: Path, name: str, question: Question, by: RVersion | None = None
) -> tuple[Answer, Mapping[str, Any]]:
    """Return an engine's answer to the question, and its provenance.

    If there are answers of several Rs, it is that of the R nearest to `by`, by default the newest.

    Raises
    ------
    RecordingError
        The answer is missing, corrupt, or stale: the question or the R files were others.
    """
    found = _read(fixtures, name, question, by)
    provenance = found.provenance
    with _sound(name, question):
        tables = _decoded(found.texts[ANSWER])
    return Answer(tables, provenance["gaps"], provenance["remarks"]), provenance


def certified(fixtures: Path, question: Question) -> pd.DataFrame:
    """Return the arbiter's values as decimals: columns `table, row, column, value`, all text.

    Raises
    ------
    RecordingError
        As `read` does.
    """
    found = _read(fixtures, "exact", question)
    with _sound("exact", question):
        return pd.DataFrame(_lines(found.texts[CERTIFIED]), columns=list(HEADER))


@contextmanager
def _sound(name: str, question: Question) -> Iterator[None]:
    """Refuse an answer that has a valid digest but holds no tables."""
    case = question.case.name
    try:
        yield
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise RecordingError(
            f"The answer of {name} to {case!r} is corrupt: it holds no tables "
            f"({type(error).__name__}: {error}); {_remedy(name, case)}."
        ) from error


def _remedy(name: str, case: str) -> str:
    return f"run `rparity regenerate --engine {name} {case}`"


def _read(fixtures: Path, name: str, question: Question, by: RVersion | None = None) -> Recording:
    case = question.case.name
    remedy = _remedy(name, case)
    scripts = {path.name: path.read_bytes() for path in paths.r_scripts().glob("*.R")}
    root = folder(fixtures, name)
    version = nearest(recordings.versions(root, case), by)
    found = recordings.read(root, case, scripts, remedy, version)
    path = found.folder / recordings.PROVENANCE
    recordings.require_shape(found.provenance, path, remedy, NEEDED)
    if (by_whom := found.provenance["engine"]) != name:
        raise RecordingError(
            f"{found.folder} holds an answer of {by_whom!r} instead of {name}: {remedy}."
        )
    then, now = [*map(str, found.provenance["asked"])], asked(question)
    if then != now:
        changed = [line for line in [*now, *then] if not (line in now and line in then)]
        what = ", ".join(dict.fromkeys(line.partition(":")[0] for line in changed))
        raise RecordingError(
            f"The answer of {name} to {case!r} is stale: it was given to another question, of "
            f"other {what}; {remedy}."
        )
    return found


def asked(question: Question) -> list[str]:
    """Return what an answer depends on: the data's sha256 and each model's specification."""
    found = []
    for part in question.case.parts:
        match part:
            case Data():
                data = question.draw(part, RRandom(question.case.seed))
                found.append(f"{part.name}: {fingerprint(data)}{' decimal' * part.decimal}")
            case Lmer() | Lm():
                more = " perfect" if isinstance(part, Lm) and part.perfect else ""
                if isinstance(part, Lmer) and part.means:
                    more = f" means of {part.means}"
                found.append(f"{part.name}: {part.key} {part.kinds}{more}")
    return found


def _encoded(tables: Tables, render: Callable[[Any], str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for name, table in tables.items():
        for row, cells in zip(table.index, table.to_numpy(), strict=True):
            for column, value in zip(table.columns, cells, strict=True):
                writer.writerow((name, row, column, render(value)))
    return out.getvalue()


def _text(value: float) -> str:
    """Return a double as text that keeps all bits, and NaN as R's NA."""
    return "NA" if np.isnan(value) else f"{value:.17g}"


def _lines(text: str) -> list[list[str]]:
    """Return the lines below the header, or raise ValueError if the header is another one."""
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    if tuple(header) != HEADER:
        raise ValueError(f"the columns are not {', '.join(HEADER)}")
    return lines


def _decoded(text: str) -> dict[str, pd.DataFrame]:
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for name, row, column, value in _lines(text):
        cells = tables.setdefault(name, {}).setdefault(row, {})
        cells[column] = np.nan if value == "NA" else float(value)
    return {name: _frame(rows) for name, rows in tables.items()}


def _frame(rows: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    columns = list(next(iter(rows.values())))
    values = np.array([[cells[column] for column in columns] for cells in rows.values()])
    return pd.DataFrame(values, list(rows), columns)
