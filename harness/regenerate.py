"""R's answers made anew: written as recordings, or compared with the ones there are."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness import recordings
from harness.cases.base import Case
from harness.compare import Reference, Verdict, compare
from harness.engines.base import Question
from harness.engines.r import R, stamp

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Drift:
    """How today's R differs from a recording, and the versions on both sides."""

    case: Case
    comparisons: pd.DataFrame
    recorded: Mapping[str, str]
    today: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """Whether R's answer changed beyond the case's tolerances."""
        return any(Verdict(v).fails for v in self.comparisons["verdict"].unique())


def regenerate(case: Case, fixtures: Path, tell: Tell) -> recordings.Recording:
    """Run R and write its answer in place of the old recording.

    Raises
    ------
    RparityError
        Whatever keeps R from answering or the recording from being written; the old one stays.
    """
    recordings.require_writable(fixtures, case.name)
    r = _r(tell)
    tables = r.answer(Question(case, case.nsim)).tables
    command = shlex.join(["rparity", "regenerate", case.name])
    return recordings.write(fixtures, case.name, tables, {**r.provenance, **stamp(command)})


def drift(case: Case, fixtures: Path, tell: Tell) -> Drift:
    """Run R and compare its answer with the recording; writes nothing.

    The tolerances are the case's: another BLAS or processor rounds otherwise, and an optimizer
    that stops early turns rounding into its own tolerance.
    """
    recording = recordings.read(fixtures, case.name, case.scripts())
    r = _r(tell)
    today = r.answer(Question(case, int(recording.provenance["nsim"]))).tables
    reference = Reference(
        "recording",
        recording.tables,
        lambda table, column: case.tolerance("R", table, column),
    )
    return Drift(
        case,
        compare(case.name, "R", today, reference, case.tables),
        recording.provenance["made_by"]["packages"],
        r.provenance["made_by"]["packages"],
    )


def _r(tell: Tell) -> R:
    tell("R: starting")
    return R(on_message=lambda text: tell(f"R: {text.strip()}"))
