"""The whole audit: every engine on every case, nothing unexplained, the ledger enforced."""

from __future__ import annotations

import math
import os

import pytest

from rparity import paths, recordings
from rparity.audit.questions import has_data
from rparity.audit.results import Audit
from rparity.audit.run_audit import all_engines, run_audit
from rparity.cases import cases
from rparity.cases.base import AtlasPair
from rparity.compare import Verdict
from rparity.diagnosis.ledger import Entry, apply_ledger, ledger
from rparity.r.version import RVersion

pytestmark = pytest.mark.audit
AUDITED = [
    case
    for case in cases().values()
    if has_data(case) or any(isinstance(part, AtlasPair) for part in case.parts)
]


@pytest.fixture(scope="module")
def audit() -> Audit:
    return run_audit(AUDITED, processes=os.cpu_count() or 1)


def test_there_are_at_least_ten_engines_and_twenty_cases(audit: Audit) -> None:
    assert len(audit.engines) >= 10
    assert len(audit.cases) >= 20
    filled = {engine for (engine, _), cell in audit.cells.items() if cell.digits is not None}
    assert filled == set(all_engines()) - {"exact"}


def test_nothing_is_unexplained_new_stale_or_missing(audit: Audit) -> None:
    failing = [Verdict(v).fails for v in audit.comparisons["verdict"]]
    assert audit.comparisons[failing].empty, audit.comparisons[failing].to_string()


def test_every_engine_answered(audit: Audit) -> None:
    assert {place: r.problem for place, r in audit.replies.items() if r.problem} == {}


def audited_entries() -> list[Entry]:
    """Entries about what the newest recordings are of: others are about older versions of lme4."""
    newest = RVersion.parse(recordings.versions(paths.fixtures(), "document")[0])
    assert newest is not None
    return [
        entry
        for entry in ledger()
        if entry.reference not in ("R", "published") and entry.covers(newest.lme4)
    ]


def not_called(audit: Audit) -> set[str]:
    """Ids of the entries about pairs of the atlas whose package is not installed, or too old."""
    return {
        f"{case}-{pair}"
        for (_, case), reply in audit.replies.items()
        for pair, why in (reply.answer.gaps if reply.answer else {}).items()
        if why.endswith("is not installed") or " is older than " in why
    }


@pytest.mark.parametrize("entry", audited_entries(), ids=lambda entry: entry.id)
def test_every_entry_is_reproduced(audit: Audit, entry: Entry) -> None:
    if entry.id in not_called(audit):
        pytest.skip("a package of the extra atlas is not installed: tox -e atlas")
    met = [finding for finding in audit.findings if finding.cause == entry.cause]
    rows = [row for finding in met for row in finding.rows]
    mine = audit.comparisons.loc[[row for row in rows if row in audit.comparisons.index]]
    mine = mine[entry.about(mine) & (mine["digits"] >= (entry.bound or 0.0))]
    assert len(mine)
    assert entry.bound is None or float(mine["digits"].min()) < entry.bound + 1.0


def test_without_an_entry_its_discrepancies_are_new(audit: Audit) -> None:
    before = audit.comparisons.assign(
        verdict=audit.comparisons["verdict"].replace("known", Verdict.UNEXPLAINED.value)
    )
    names = [case.name for case in audit.cases]
    for entry in audited_entries():
        if entry.id in not_called(audit):
            continue
        others = [other for other in ledger() if other.id != entry.id]
        judged, _ = apply_ledger(before[entry.about(before)], others, names)
        assert (judged["verdict"] == Verdict.NEW).any(), entry.id


def test_this_package_has_the_optimum_on_every_case(audit: Audit) -> None:
    """At least 12 digits of every mixed model that the arbiter answers, thirteen leading or not."""
    for case in audit.cases:
        if any(
            f"{part}.varcorr" in audit.reference_tables[case.name] for part in ("lmer", "lmer_ml")
        ):
            cell = audit.cells["rparity", case.name]
            least = 4.0 if case.name == "insteval" else 12.0
            assert (cell.digits or 0.0) >= least, case.name


def test_the_digits_are_finite(audit: Audit) -> None:
    assert all(math.isfinite(value) for value in audit.comparisons["digits"])
