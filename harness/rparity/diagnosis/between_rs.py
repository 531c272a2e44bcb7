"""Which R says what: two Rs' answers to a case, in how many digits they agree, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from rparity import recordings
from rparity.cases.base import Boot, Case
from rparity.compare import Reference, Tables, Verdict, compare
from rparity.diagnosis.diagnose import Finding, diagnose
from rparity.diagnosis.experiments.base import Asked, Dispute
from rparity.lmm.lme4 import CHANGES, Lme4
from rparity.r.version import RVersion
from rparity.tables import decode_factors


@dataclass(frozen=True)
class RAnswer:
    """What an R answered to a case, recorded or just now."""

    tables: Tables
    provenance: Mapping[str, Any]

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of R and its packages."""
        found: Mapping[str, str] = self.provenance["made_by"]["packages"]
        return found

    @property
    def version(self) -> RVersion:
        """The R that answered."""
        found = RVersion.among(self.packages)
        assert found is not None  # only R answers a case
        return found


@dataclass(frozen=True)
class Difference:
    """How a newer R's answer to a case differs from an older one's.

    `comparisons` has the columns of `rparity.compare.COLUMNS` and `cause`, "" where there is
    nothing to explain or nothing explains it. Between two Rs nobody is wrong: what an experiment
    explains is `known`, without an entry of the ledger.
    """

    case: Case
    older: RVersion
    newer: RVersion
    comparisons: pd.DataFrame
    findings: Sequence[Finding]

    @property
    def failed(self) -> bool:
        """Whether something differs beyond its tolerance and no experiment shows why."""
        return any(Verdict(v).fails for v in self.comparisons["verdict"].unique())

    @property
    def sources(self) -> list[str]:
        """Where the changes of lme4 that explain differences are documented."""
        causes = {finding.cause for finding in self.findings}
        return [change.source for change in CHANGES if change.cause in causes]


def difference(case: Case, newer: RAnswer, older: RAnswer) -> Difference:
    """Compare two Rs' answers, and find the cause of what differs beyond the case's tolerances.

    Bootstraps are compared where both have as many replicates: others have other draws.
    """
    skip = _drawn_otherwise(case, newer, older)
    reference = Reference(
        str(older.version), older.tables, lambda table, column: case.tolerance("R", table, column)
    )
    expected = [table for table in case.tables if table not in skip]
    rows = compare(case.name, str(newer.version), newer.tables, reference, expected)
    rows = rows.assign(cause="")
    data = newer.tables.get("data")
    asked = Asked(
        case,
        case.parts,
        None if data is None else decode_factors(data, newer.provenance["levels"]),
        newer.tables,
        newer.provenance,
    )
    dispute = Dispute(
        asked,
        str(newer.version),
        str(older.version),
        newer.tables,
        older.tables,
        lme4=(Lme4.among(newer.packages), Lme4.among(older.packages)),
    )
    findings = diagnose(dispute, rows)
    for finding in findings:
        rows.loc[finding.rows, "cause"] = finding.cause
    explained = (rows["verdict"] == Verdict.UNEXPLAINED) & (rows["cause"] != "")
    rows.loc[explained, "verdict"] = Verdict.KNOWN.value
    return Difference(case, older.version, newer.version, rows, findings)


def recorded(case: Case, fixtures: Path) -> list[RAnswer]:
    """Return what each recorded R answered to a case, from old to new.

    Raises
    ------
    RecordingError
        Where a recording is missing, stale or corrupt.
    """
    found = [
        case.recording(fixtures, label) for label in recordings.versions(fixtures, case.name)[::-1]
    ]
    return [RAnswer(recording.tables, recording.provenance) for recording in found]


def neighbours(case: Case, answers: Sequence[RAnswer]) -> Iterator[Difference]:
    """Yield how each R differs from the next older one, from old to new."""
    for older, newer in pairwise(answers):
        yield difference(case, newer, older)


def _drawn_otherwise(case: Case, newer: RAnswer, older: RAnswer) -> frozenset[str]:
    """Tables that depend on the number of replicates, where the two differ in it."""
    if newer.provenance["nsim"] == older.provenance["nsim"]:
        return frozenset()
    boots = [part for part in case.parts if isinstance(part, Boot)]
    return frozenset(table for part in boots for table in part.tables)
