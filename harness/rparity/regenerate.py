"""New recordings, of R and of engines: written in place of the old ones, or compared with them."""

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
from rparity.diagnosis.between_rs import (
    Difference,
    VersionAnswer,
    difference,
    known_if_explained,
)
from rparity.diagnosis.experiments.base import CaseContext, Dispute
from rparity.engines import kept_answers
from rparity.engines.base import R_ENGINES, Question
from rparity.engines.kept_answers import RecordedEngine
from rparity.engines.r import R, stamp
from rparity.files import require_writable
from rparity.r.version import RVersion, nearest

OnProgress = Callable[[str], None]

# The tolerances of recorded answers: the arbiter's have the same bits everywhere. Those of R's
# engines do not: lme4's answer for Penicillin differs by 2e-7 between two processes on one machine.
PROVEN = Tolerance(0.0, "proven and then rounded once: the same bits everywhere")
STOPS = Tolerance(1e-6, "rounding decides where an optimizer stops", spread=1e-6)


@dataclass(frozen=True)
class Drift:
    """How today's answer differs from a recording, and the versions of both."""

    case: Case
    comparisons: pd.DataFrame
    recorded: Mapping[str, str]
    today: Mapping[str, str]
    engine: str = "R"
    difference: Difference | None = None

    @property
    def failed(self) -> bool:
        """Whether a value is outside its tolerance and no experiment shows why."""
        return any(Verdict(v).fails for v in self.comparisons["verdict"].unique())


def regenerate(
    case: Case, fixtures: Path, on_progress: OnProgress, engine: RecordedEngine | None = None
) -> recordings.Recording:
    """Replace a case's recording by R's answer today, or an engine's recorded answer.

    R runs the case's own script. An engine answers the audit's question about the case.

    Raises
    ------
    RparityError
        There is no answer, or it cannot be written. The old recording stays.
    """
    if engine is not None:
        require_writable(kept_answers.folder(fixtures, engine.name) / case.name)
        question = question_of(case, fixtures)
        on_progress(f"{engine.name}: answering")
        answer = engine.answer(question)
        command = shlex.join(["rparity", "regenerate", "--engine", engine.name, case.name])
        return kept_answers.write(fixtures, engine, question, answer, stamp(command))
    require_writable(fixtures / case.name)
    r = _r(on_progress)
    tables = r.answer(Question(case, case.nsim)).tables
    command = shlex.join(["rparity", "regenerate", case.name])
    return recordings.write(fixtures, case.name, tables, {**r.provenance, **stamp(command)})


def drift(
    case: Case, fixtures: Path, on_progress: OnProgress, engine: RecordedEngine | None = None
) -> Drift:
    """Compare R's answer today, or an engine's, with the recording of the nearest R.

    Another BLAS or processor rounds differently, and an optimizer that stops early makes more of
    it; so the tolerances of the case hold. Experiments look for the cause of larger differences.

    Raises
    ------
    RparityError
        There is no answer, or no sound recording.
    """
    if engine is not None:
        return _engine_drift(case, fixtures, on_progress, engine)
    case.recording(fixtures)  # raises an error before R works for minutes
    r = _r(on_progress)
    today = r.answer(Question(case, case.nsim)).tables
    now = VersionAnswer(today, r.provenance)
    recording = case.recording(
        fixtures, nearest(recordings.versions(fixtures, case.name), now.version)
    )
    on_progress("comparing")
    then = VersionAnswer(recording.tables, recording.provenance)
    found = difference(case, now, then)
    return Drift(case, found.comparisons, then.packages, now.packages, difference=found)


def _engine_drift(
    case: Case, fixtures: Path, on_progress: OnProgress, engine: RecordedEngine
) -> Drift:
    """Compare an engine's answer with the kept one.

    An engine of R may stop elsewhere on another processor: experiments look for the cause of what
    differs. The arbiter's answer must have the same bits.
    """
    question = question_of(case, fixtures)
    on_progress(f"{engine.name}: answering")
    answer = engine.answer(question)
    today = answer.tables
    now = RVersion.among(engine.provenance["made_by"]["packages"])
    kept, provenance = kept_answers.read(fixtures, engine.name, question, now)
    tolerance = STOPS if engine.name in R_ENGINES else PROVEN
    reference = Reference("kept", kept.tables, lambda _table, _column: tolerance)
    rows = compare(case.name, engine.name, today, reference, tuple({**kept.tables, **today}))
    rows = rows.assign(cause="")
    if engine.name in R_ENGINES:
        context = CaseContext(case, question.case.parts, question.data)
        notes = (*answer.notes, *kept.notes)
        dispute = Dispute(context, engine.name, "kept", today, kept.tables, notes)
        rows, _ = known_if_explained(dispute, rows)
    return Drift(
        case,
        rows,
        provenance["made_by"]["packages"],
        engine.provenance["made_by"]["packages"],
        engine.name,
    )


def _r(on_progress: OnProgress) -> R:
    on_progress("R: starting")
    return R(on_message=lambda text: on_progress(f"R: {text.strip()}"))
