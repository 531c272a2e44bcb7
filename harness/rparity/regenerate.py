"""Answers made anew, R's own and those that are kept: written, or compared with what there is."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rparity import recordings
from rparity.audit.questions import question_of
from rparity.cases.base import Case
from rparity.compare import Reference, Tolerance, Verdict, compare
from rparity.diagnosis.between_rs import Difference, RAnswer, difference
from rparity.engines import kept_answers as keep
from rparity.engines.base import R_ENGINES, Question
from rparity.engines.r import R, stamp
from rparity.files import require_writable
from rparity.r.version import RVersion, nearest

Tell = Callable[[str], None]


# A proven value has the same bits everywhere. What R's engines gave may differ by this much: lme4's
# Penicillin differs between two processes on one machine, by 2e-7 where its optimizer is tight.
PROVEN = Tolerance(0.0, "proven and then rounded once: the same bits everywhere")
STOPS = Tolerance(1e-6, "where an optimizer stops turns on rounding", spread=1e-6)


@dataclass(frozen=True)
class Drift:
    """How today's answer differs from a recording, and the versions on both sides."""

    case: Case
    comparisons: pd.DataFrame
    recorded: Mapping[str, str]
    today: Mapping[str, str]
    engine: str = "R"
    difference: Difference | None = None

    @property
    def failed(self) -> bool:
        """Whether the answer changed beyond its tolerances, and no experiment shows why."""
        return any(Verdict(v).fails for v in self.comparisons["verdict"].unique())


def regenerate(
    case: Case, fixtures: Path, tell: Tell, engine: keep.Witness | None = None
) -> recordings.Recording:
    """Run R and write its answer in place of the old recording; or the answer of an engine.

    R answers with the case's own script, an engine what the audit asks.

    Raises
    ------
    RparityError
        Whatever keeps it from answering or the recording from being written; the old one stays.
    """
    if engine is not None:
        return _regenerate_kept(case, fixtures, tell, engine)
    require_writable(fixtures / case.name)
    r = _r(tell)
    tables = r.answer(Question(case, case.nsim)).tables
    command = shlex.join(["rparity", "regenerate", case.name])
    return recordings.write(fixtures, case.name, tables, {**r.provenance, **stamp(command)})


def drift(case: Case, fixtures: Path, tell: Tell, engine: keep.Witness | None = None) -> Drift:
    """Run R, or ask an engine, and compare with the recording of the nearest R; writes nothing.

    The tolerances are the case's: another BLAS or processor rounds otherwise, and an optimizer
    that stops early turns rounding into its own tolerance. What differs beyond them goes through
    the experiments.
    """
    if engine is not None:
        return _kept_drift(case, fixtures, tell, engine)
    case.recording(fixtures)  # before R works for minutes: is there anything to compare with?
    r = _r(tell)
    today = r.answer(Question(case, case.nsim)).tables
    now = RAnswer(today, r.provenance)
    recording = case.recording(
        fixtures, nearest(recordings.versions(fixtures, case.name), now.version)
    )
    tell("comparing")
    then = RAnswer(recording.tables, recording.provenance)
    found = difference(case, now, then)
    return Drift(case, found.comparisons, then.packages, now.packages, difference=found)


def _regenerate_kept(
    case: Case, fixtures: Path, tell: Tell, engine: keep.Witness
) -> recordings.Recording:
    require_writable(keep.folder(fixtures, engine.name) / case.name)
    question = question_of(case, fixtures)
    tell(f"{engine.name}: answering")
    answer = engine.answer(question)
    command = shlex.join(["rparity", "regenerate", "--engine", engine.name, case.name])
    return keep.write(fixtures, engine, question, answer, stamp(command))


def _kept_drift(case: Case, fixtures: Path, tell: Tell, engine: keep.Witness) -> Drift:
    question = question_of(case, fixtures)
    tell(f"{engine.name}: answering")
    today = engine.answer(question).tables
    now = RVersion.among(engine.provenance["made_by"]["packages"])
    kept, provenance = keep.read(fixtures, engine.name, question, now)
    tolerance = STOPS if engine.name in R_ENGINES else PROVEN
    reference = Reference("kept", kept.tables, lambda _table, _column: tolerance)
    return Drift(
        case,
        compare(case.name, engine.name, today, reference, tuple({**kept.tables, **today})),
        provenance["made_by"]["packages"],
        engine.provenance["made_by"]["packages"],
        engine.name,
    )


def _r(tell: Tell) -> R:
    tell("R: starting")
    return R(on_message=lambda text: tell(f"R: {text.strip()}"))
