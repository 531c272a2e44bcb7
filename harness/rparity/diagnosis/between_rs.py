"""How the answers of two versions of R differ, in how many digits, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from rparity import recordings
from rparity.cases.base import Boot, Case
from rparity.compare import Reference, Tables, Verdict, compare, failing
from rparity.diagnosis.experiments.base import CaseContext, Dispute
from rparity.diagnosis.explain import Finding, explain
from rparity.lmm.lme4 import CHANGES, Lme4
from rparity.r.version import RVersion
from rparity.tables import decode_factors


@dataclass(frozen=True)
class VersionAnswer:
    """The answer of one version of R to a case, recorded or live."""

    tables: Tables
    provenance: Mapping[str, Any]

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of R and its packages."""
        found: Mapping[str, str] = self.provenance["made_by"]["packages"]
        return found

    @property
    def version(self) -> RVersion:
        """The version of R that answered."""
        found = RVersion.among(self.packages)
        assert found is not None  # only R answers a case
        return found


@dataclass(frozen=True)
class Difference:
    """How a newer R's answer to a case differs from an older one's.

    `comparisons` has the columns of `rparity.compare.COLUMNS` and `cause`, which is "" if nothing
    differs or nothing explains the difference. Between two Rs neither is wrong, so a difference
    with a cause is `known` without a ledger entry.
    """

    case: Case
    older: RVersion
    newer: RVersion
    comparisons: pd.DataFrame
    findings: Sequence[Finding]

    @property
    def failed(self) -> bool:
        """Whether a value differs beyond its tolerance and no experiment explains why."""
        return bool(failing(self.comparisons).any())

    @property
    def sources(self) -> list[str]:
        """Where lme4 documents the changes that explain differences."""
        causes = {finding.cause for finding in self.findings}
        return [change.source for change in CHANGES if change.cause in causes]


def difference(case: Case, newer: VersionAnswer, older: VersionAnswer) -> Difference:
    """Compare the answers of two Rs, and find the cause of what is outside the case's tolerances.

    Bootstraps are compared only if both have the same number of replicates, and so the same draws.
    """
    skip = _drawn_otherwise(case, newer, older)
    reference = Reference(
        str(older.version), older.tables, lambda table, column: case.tolerance("R", table, column)
    )
    expected = [table for table in case.tables if table not in skip]
    rows = compare(case.name, str(newer.version), newer.tables, reference, expected)
    data = newer.tables.get("data")
    context = CaseContext(
        case,
        case.parts,
        None if data is None else decode_factors(data, newer.provenance["levels"]),
        newer.tables,
        newer.provenance,
    )
    dispute = Dispute(
        context,
        str(newer.version),
        str(older.version),
        newer.tables,
        older.tables,
        lme4=(Lme4.among(newer.packages), Lme4.among(older.packages)),
    )
    rows, findings = known_if_explained(dispute, rows)
    return Difference(case, older.version, newer.version, rows, findings)


def known_if_explained(
    dispute: Dispute, comparisons: pd.DataFrame
) -> tuple[pd.DataFrame, list[Finding]]:
    """Find causes as `explain` does, and give every difference with a cause the verdict `known`."""
    rows, findings = explain(dispute, comparisons)
    explained = (rows["verdict"] == Verdict.UNEXPLAINED) & (rows["cause"] != "")
    rows.loc[explained, "verdict"] = Verdict.KNOWN.value
    return rows, findings


def recorded(case: Case, fixtures: Path) -> list[VersionAnswer]:
    """Return the recorded answers to a case, from the oldest R to the newest.

    Raises
    ------
    RecordingError
        If a recording is missing, stale or corrupt.
    """
    found = [
        case.recording(fixtures, label) for label in recordings.versions(fixtures, case.name)[::-1]
    ]
    return [VersionAnswer(recording.tables, recording.provenance) for recording in found]


def neighbours(case: Case, answers: Sequence[VersionAnswer]) -> Iterator[Difference]:
    """Yield how each R differs from the next older one, from old to new."""
    for older, newer in pairwise(answers):
        yield difference(case, newer, older)


def _drawn_otherwise(case: Case, newer: VersionAnswer, older: VersionAnswer) -> frozenset[str]:
    """Return the tables whose draws differ because the numbers of replicates differ."""
    if newer.provenance["nsim"] == older.provenance["nsim"]:
        return frozenset()
    boots = [part for part in case.parts if isinstance(part, Boot)]
    return frozenset(table for part in boots for table in part.tables)
