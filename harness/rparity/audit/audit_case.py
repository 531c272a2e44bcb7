"""One case under audit: what is asked, what R recorded, and what engines are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rparity.audit.questions import audit_question, has_data, unadorned
from rparity.audit.results import EngineReply
from rparity.cases.base import TEST_TABLES, Boot, Call, Case, Lmer, Part
from rparity.compare import Tables, kind_of, part_of
from rparity.diagnosis.experiments.base import PUBLISHED, CaseContext
from rparity.engines.base import Question
from rparity.lmm.lme4 import Lme4
from rparity.r.version import RVersion
from rparity.recordings import Recording
from rparity.tables import decode_factors

# The reference of a model is the first of these engines that answers it.
REFERENCES = ("exact", "lme4-tight", "lm")
# The reference of bootstraps and streams is R's recording of the case, and so it is of the tests of
# fixed effects that none of those engines answers.
RECORDED = "recording"
# The name of a part that R also fitted at tight controls, less this, is the name of the model.
TIGHT_PART = "_tight"

# For each table the name of the reference, and its values.
References = Mapping[str, tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class AuditCase:
    """One case under audit: the question, R's recording, and what its experiments share."""

    case: Case
    fixtures: Path
    question: Question
    recording: Recording
    context: CaseContext

    @property
    def version(self) -> RVersion | None:
        """The version of R that made the recording."""
        return RVersion.among(self.recording.provenance["made_by"]["packages"])

    def lme4(self, name: str) -> Lme4:
        """Return the lme4 whose conventions an answer follows; engines follow the newest."""
        if name == RECORDED:
            return Lme4.among(self.recording.provenance["made_by"]["packages"])
        printed = self.case.published
        return Lme4.among(printed.versions if name == PUBLISHED and printed else {})

    @property
    def size(self) -> int:
        """How many numbers the data have; examining a case takes longer the more there are."""
        return 0 if self.question.data is None else self.question.data.size

    def references(self, replies: Mapping[str, EngineReply]) -> References:
        """Return what each table is compared with, from the replies of the `REFERENCES`."""
        found: dict[str, tuple[str, pd.DataFrame]] = {}
        answers = {name: replies[name].answer for name in REFERENCES}
        for part in self.question.case.parts:
            if isinstance(part, Boot | Call):
                found |= {t: (RECORDED, self.recording.tables[t]) for t in part.tables}
                continue
            if isinstance(part, Lmer):
                recorded = self.recorded(part).items()
                found |= {t: (RECORDED, f) for t, f in recorded if kind_of(t) in TEST_TABLES}
            for name, answer in answers.items():
                tables = {} if answer is None else of_part(answer.tables, part.name)
                if tables:
                    found |= {table: (name, frame) for table, frame in tables.items()}
                    break
        exact = answers["exact"]
        if exact is not None:  # variants that experiments ask for, such as the data as decimals
            found |= {t: ("exact", f) for t, f in exact.tables.items() if t not in found}
        return found

    def recorded(self, part: Part) -> Tables:
        """Return R's recorded tables of a part, at tight controls if the case has such a part."""
        recorded = self.recording.tables
        names = {table: self.recorded_name(table) for table in part.tables}
        return {table: recorded[name] for table, name in names.items() if name in recorded}

    def recorded_name(self, table: str) -> str:
        """Return the name under which R's recording has a table: see `recorded`."""
        tight = f"{part_of(table)}{TIGHT_PART}.{kind_of(table)}"
        return tight if tight in self.recording.tables else table


def audit_case_of(case: Case, fixtures: Path, version: str | None = None) -> AuditCase:
    """Return a case under audit with R's recording: of the newest R, or of `version`.

    Raises
    ------
    RecordingError
        If the recording is missing, stale or corrupt.
    """
    recording = case.recording(fixtures, version)
    if has_data(case):
        data = decode_factors(recording.tables["data"], recording.provenance["levels"])
        question = audit_question(case, data, {})
    else:
        versions = recording.provenance["made_by"]["packages"]
        question = Question(unadorned(case, case.parts), case.nsim, versions)
    context = CaseContext(
        case, question.case.parts, question.data, recording.tables, recording.provenance
    )
    return AuditCase(case, fixtures, question, recording, context)


def of_part(tables: Tables, part: str) -> Tables:
    """Return the tables that belong to a part."""
    return {name: frame for name, frame in tables.items() if part_of(name) == part}
