"""One case under audit: what is asked, what R recorded, and who says what is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rparity.audit.questions import audited, has_data, unadorned
from rparity.audit.results import Reply
from rparity.cases.base import Boot, Call, Case
from rparity.compare import Tables
from rparity.diagnosis.experiments.base import PUBLISHED, Asked
from rparity.engines.base import Question
from rparity.lmm.lme4 import Lme4
from rparity.r.version import RVersion
from rparity.recordings import Recording
from rparity.tables import decode_factors

# Who says what is right: the first of these that answers a part.
REFEREES = ("exact", "lme4-tight", "lm")
# R's recording of the case itself has its bootstraps and streams.
RECORDED = "recording"

# For each table, who is the referee, and what it says.
Truth = Mapping[str, tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class Matter:
    """One case under audit: the question, what R recorded, and what the experiments share."""

    case: Case
    fixtures: Path
    question: Question
    recording: Recording
    asked: Asked

    @property
    def version(self) -> RVersion | None:
        """The R whose recording it is."""
        return RVersion.among(self.recording.provenance["made_by"]["packages"])

    def lme4(self, name: str) -> Lme4:
        """Return the lme4 whose conventions an answer follows: engines are asked for the newest."""
        if name == RECORDED:
            return Lme4.among(self.recording.provenance["made_by"]["packages"])
        printed = self.case.published
        return Lme4.among(printed.versions if name == PUBLISHED and printed else {})

    @property
    def size(self) -> int:
        """Numbers in the data: how long it may take."""
        return 0 if self.question.data is None else self.question.data.size

    def truth(self, replies: Mapping[str, Reply]) -> Truth:
        """Return what the referees among the engines say, or R's recording of a bootstrap."""
        found: dict[str, tuple[str, pd.DataFrame]] = {}
        answers = {name: replies[name].answer for name in REFEREES}
        for part in self.question.case.parts:
            if isinstance(part, Boot | Call):
                told = {t: self.recording.tables[t] for t in part.tables}
                found |= {t: (RECORDED, table) for t, table in told.items()}
                continue
            for name, answer in answers.items():
                tables = {} if answer is None else of_part(answer.tables, part.name)
                if tables:
                    found |= {table: (name, frame) for table, frame in tables.items()}
                    break
        exact = answers["exact"]
        if exact is not None:  # variants that experiments ask for: the data as decimals
            found |= {t: ("exact", f) for t, f in exact.tables.items() if t not in found}
        return found


def matter_of(case: Case, fixtures: Path, version: str | None = None) -> Matter:
    """Return a case under audit, with R's recording of it: the newest, or that of `version`.

    Raises
    ------
    RecordingError
        Where the recording is missing, stale or corrupt.
    """
    recording = case.recording(fixtures, version)
    if has_data(case):
        data = decode_factors(recording.tables["data"], recording.provenance["levels"])
        question = audited(case, data, {})
    else:
        versions = recording.provenance["made_by"]["packages"]
        question = Question(unadorned(case, case.parts), case.nsim, versions)
    asked = Asked(case, question.case.parts, question.data, recording.tables, recording.provenance)
    return Matter(case, fixtures, question, recording, asked)


def of_part(tables: Tables, part: str) -> Tables:
    """Return those tables that belong to a part."""
    return {t: frame for t, frame in tables.items() if t.partition(".")[0] == part}
