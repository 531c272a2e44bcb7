"""What a command found, in the one form that every format for machines and for CI is made of."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from rparity import __version__
from rparity.audit.child import versions
from rparity.audit.results import Audit
from rparity.cases.base import Case
from rparity.compare import COLUMNS, Verdict, failing
from rparity.diagnosis.between_rs import Difference
from rparity.engines.base import Answer, engine
from rparity.run import CaseRun

# The Python packages whose versions are in each report. They round this package's numbers.
PACKAGES = ("numpy", "scipy", "pandas", "statsmodels")


@dataclass(frozen=True)
class LeftOut:
    """Something that has no answer, and why: a gap of an engine, or a problem.

    `place` is the part or the table that a gap is about. A problem is about the whole case.
    """

    case: str
    engine: str
    reason: str
    place: str = ""


@dataclass(frozen=True)
class MadeBy:
    """Who gave an answer: the engine, the versions of its packages, and when (None is now)."""

    case: str
    engine: str
    when: str | None
    packages: Mapping[str, str]


@dataclass(frozen=True)
class CommandResults:
    """What `rparity run`, `audit` or `versions` found.

    `comparisons` has the columns `COLUMNS` and `cause`. `problems` are questions without an answer.
    `sources` are the R scripts of the cases, by case.
    """

    command: str
    comparisons: pd.DataFrame
    problems: Sequence[LeftOut]
    gaps: Sequence[LeftOut]
    answers: Sequence[MadeBy]
    sources: Mapping[str, Path]

    @property
    def failed(self) -> bool:
        """Whether a comparison has a verdict that fails."""
        return bool(failing(self.comparisons).any())

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How often each verdict occurs, also those that do not."""
        counts = self.comparisons["verdict"].value_counts()
        return {verdict: int(counts.get(verdict.value, 0)) for verdict in Verdict}

    @property
    def packages(self) -> dict[str, str]:
        """The versions of rparity, of Python and of the packages that this process uses."""
        return {"rparity": __version__, "Python": platform.python_version(), **installed(PACKAGES)}


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def of_runs(runs: Sequence[CaseRun]) -> CommandResults:
    """Return what `rparity run` found. What changed between two Rs is among the comparisons."""
    frames = [run.comparisons for run in runs]
    frames += [run.changed.comparisons for run in runs if run.changed is not None]
    gaps = [
        left_out
        for run in runs
        for name, answer in run.answers.items()
        for left_out in _gaps(run.case.name, name, answer)
    ]
    answers = []
    for run in runs:
        when = None if run.live else str(run.provenance["time"])
        answers.append(MadeBy(run.case.name, "R", when, run.provenance["made_by"]["packages"]))
        answers += [
            MadeBy(run.case.name, name, None, versions(engine(name))) for name in run.answers
        ]
    return _results("run", frames, [run.case for run in runs], gaps=gaps, answers=answers)


def of_audit(audit: Audit) -> CommandResults:
    """Return what `rparity audit` found."""
    return _results(
        "audit",
        [audit.comparisons],
        audit.cases,
        problems=[LeftOut(case, name, why) for (name, case), why in audit.problems.items()],
        gaps=[
            left_out
            for (name, case), reply in audit.replies.items()
            for left_out in _gaps(case, name, reply.answer)
        ],
        answers=[
            MadeBy(case, name, reply.when, reply.made_by)
            for (name, case), reply in audit.replies.items()
            if reply.answer is not None
        ],
    )


def of_versions(differences: Sequence[Difference]) -> CommandResults:
    """Return what `rparity versions` found."""
    cases = {each.case.name: each.case for each in differences}
    frames = [each.comparisons for each in differences]
    return _results("versions", frames, list(cases.values()))


def _results(
    command: str, frames: Sequence[pd.DataFrame], cases: Sequence[Case], **found: Any
) -> CommandResults:
    columns = [*COLUMNS, "cause"]
    full = [frame.reindex(columns=columns) for frame in frames if len(frame)]
    rows = pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=columns)
    sources = {case.name: case.path(case.script) for case in cases}
    found = {"problems": (), "gaps": (), "answers": ()} | found
    return CommandResults(command, rows.fillna({"cause": ""}), sources=sources, **found)


def _gaps(case: str, name: str, answer: Answer | None) -> list[LeftOut]:
    if answer is None:
        return []
    return [LeftOut(case, name, reason, place) for place, reason in answer.gaps.items()]
