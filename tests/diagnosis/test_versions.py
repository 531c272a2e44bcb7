"""Recordings of several Rs side by side, and why two of them differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import writer
from folders import newest
from rparity import paths, recordings
from rparity.cases import case
from rparity.cases.document import DOCUMENT
from rparity.cli import main
from rparity.commands import AGREE, UNUSABLE
from rparity.compare import Verdict
from rparity.diagnosis.between_rs import VersionAnswer, difference
from rparity.diagnosis.ledger import LEDGER, Entry, apply_ledger, ledger
from rparity.errors import RecordingError, UsageError
from rparity.lmm.lme4 import CHANGES, NESTING, REFIT, SD_FIRST, Lme4
from rparity.lmm.mixed import lmer
from rparity.r.version import RVersion, label_of, nearest, newest_first
from rparity.recordings import Recording
from rparity.run import run_case

FIXTURES = paths.fixtures()
pytestmark = pytest.mark.slow(
    reason="the document's 20,000 replicates, as each of four versions of lme4 draws them"
)
OLD, MIDDLE, NEW = "r4.2.2-lme4-1.1-31", "r4.5.0-lme4-1.1-37", "r4.6.2-lme4-2.1-0"
Capture = pytest.CaptureFixture[str]


# Names and order --------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [OLD, MIDDLE, NEW, "r4.5.0", "r4.2.2-lme4-1.1-35.5"])
def test_a_folder_names_an_r(label: str) -> None:
    version = RVersion.parse(label)
    assert version is not None
    assert version.label == label


def test_versions_are_sorted_by_number_and_not_as_text() -> None:
    labels = ["r4.10.0-lme4-1.1-9", "r4.2.2-lme4-1.1-31", "r4.6.2-lme4-2.1-0", "proven"]
    assert newest_first(labels) == [labels[2], labels[1], labels[0], labels[3]]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (RVersion("4.5.0", "1.1-37"), MIDDLE),
        (RVersion("4.5.1", "1.1-38"), MIDDLE),  # the next older one
        (RVersion("4.7.0", "2.2-0"), NEW),
        (RVersion("4.0.0", "1.1-23"), OLD),  # there is none older
        (RVersion("4.2.2", "1.1-37"), OLD),  # an old R with the middle one's lme4: not newer
        (None, None),
    ],
)
def test_the_nearest_version(now: RVersion | None, expected: str | None) -> None:
    assert nearest([NEW, OLD, MIDDLE], now) == expected


def test_an_answer_without_r_is_proven() -> None:
    assert label_of({"python-flint": "0.8"}) == "proven"


# On disk ----------------------------------------------------------------------------------------


def write(root: Path, r: str, lme4: str, tables: Mapping[str, pd.DataFrame]) -> Recording:
    packages = {"R": r, "lme4": lme4}
    provenance = writer.PROVENANCE | {"made_by": {"packages": packages}}
    return recordings.write(root, writer.CASE, tables, provenance)


def read(root: Path, version: str | None = None) -> Recording:
    return recordings.read(root, writer.CASE, writer.SCRIPTS, version=version)


def frame(value: float) -> pd.DataFrame:
    return pd.DataFrame({"estimate": [value]}, ["x"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three Rs' recordings: one table is the same in all of them, one in two, one in none."""
    for i, (r, lme4) in enumerate((("4.5.0", "1.1-37"), ("4.6.2", "2.1-0"), ("4.2.2", "1.1-31"))):
        tables = {"a.coef": frame(1.0), "b.coef": frame(float(r < "4.5")), "c.coef": frame(i)}
        write(tmp_path, r, lme4, tables)
    return tmp_path


def test_each_version_is_read_whole(root: Path) -> None:
    assert recordings.versions(root, writer.CASE) == [NEW, MIDDLE, OLD]
    values = {v: [t.iloc[0, 0] for t in read(root, v).tables.values()] for v in (NEW, MIDDLE, OLD)}
    assert values == {NEW: [1, 0, 1], MIDDLE: [1, 0, 0], OLD: [1, 1, 2]}
    assert read(root).folder.name == NEW


def test_only_tables_that_differ_are_kept_again(root: Path) -> None:
    kept = {
        v: sorted(p.name for p in (root / writer.CASE / v).iterdir()) for v in (NEW, MIDDLE, OLD)
    }
    assert kept[NEW] == ["a.coef.csv", "b.coef.csv", "c.coef.csv", "provenance.json"]
    assert kept[MIDDLE] == ["c.coef.csv", "provenance.json"]
    assert kept[OLD] == ["b.coef.csv", "c.coef.csv", "provenance.json"]


def test_regenerating_one_version_leaves_the_others_whole(root: Path) -> None:
    before = {version: read(root, version) for version in (MIDDLE, OLD)}
    write(root, "4.6.2", "2.1-0", {"a.coef": frame(7.0), "b.coef": frame(8.0)})
    for version, found in before.items():
        after = read(root, version)
        assert after.provenance == found.provenance
        for name, table in found.tables.items():
            pd.testing.assert_frame_equal(after.tables[name], table)
    assert list(read(root).tables) == ["a.coef", "b.coef"]


def test_a_recording_of_one_r_in_the_folder_of_another_is_refused(root: Path) -> None:
    folder = root / writer.CASE
    shutil.rmtree(folder / OLD)
    shutil.copytree(folder / NEW, folder / OLD)
    with pytest.raises(RecordingError) as caught:
        read(root, OLD)
    assert f"{folder / OLD} holds a recording of 'planted' by R 4.6.2, lme4 2.1-0" in str(
        caught.value
    )
    assert f"move it to planted/{NEW}" in str(caught.value)


def test_a_recording_of_one_case_in_the_folder_of_another_is_refused(root: Path) -> None:
    shutil.copytree(root / writer.CASE, root / "other")
    with pytest.raises(RecordingError, match=r"holds a recording of 'planted'.*not the one"):
        recordings.read(root, "other", writer.SCRIPTS)


def test_a_deleted_table_that_versions_share_is_reported(root: Path) -> None:
    (root / writer.CASE / NEW / "a.coef.csv").unlink()
    with pytest.raises(RecordingError, match=r"a\.coef\.csv is missing"):
        read(root, OLD)


def test_a_shared_table_that_was_edited_is_refused_for_all(root: Path) -> None:
    path = root / writer.CASE / NEW / "a.coef.csv"
    path.write_text(path.read_text().replace("1", "2"))
    for version in (NEW, MIDDLE, OLD):
        with pytest.raises(RecordingError, match=r"a\.coef\.csv"):
            read(root, version)


# A recording is bound to its question -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"seed": 2}, "seed"),
        ({"function": "another"}, "function"),
        ({"arguments": lambda nsim: {"nsim": nsim, "more": 1}}, "arguments"),
        ({"libraries": ("tables.R", "models.R")}, "libraries"),
    ],
)
def test_a_recording_of_another_question_is_stale(changed: dict[str, Any], what: str) -> None:
    from dataclasses import replace

    other = replace(DOCUMENT, **changed)
    with pytest.raises(RecordingError, match=rf"asked otherwise \({what}\)|has changed|is stale"):
        other.recording(FIXTURES)


# What is recorded -------------------------------------------------------------------------------


def test_every_case_is_recorded_of_the_same_three_rs() -> None:
    from rparity.cases import cases

    known = {version.r for label in (OLD, MIDDLE, NEW) if (version := RVersion.parse(label))}
    for name in cases():
        there = {RVersion.parse(label).r for label in recordings.versions(FIXTURES, name)}
        assert there == known, name


@pytest.mark.parametrize("version", [OLD, MIDDLE, NEW])
def test_the_document_agrees_with_each_r(version: str) -> None:
    run = run_case(DOCUMENT, fixtures=FIXTURES, version=version)
    assert not run.failed
    entries = {finding.entry.id for finding in run.findings if finding.entry}
    # The published bootstrap is an old refit's: known to a current R, and equal to the old one's.
    assert ("published-by-an-older-refit" in entries) == (version != OLD)
    figures = run.comparisons.query("table == 'boot_fix_u.boot' and reference == 'published'")
    assert set(figures["verdict"]) == ({"within"} if version == OLD else {"known"})


def test_run_against_every_version(capsys: Capture) -> None:
    assert main(["run", "dyestuff", "--against", "all"]) == AGREE
    out = capsys.readouterr().out
    for who in ("R 4.2.2, lme4 1.1-31", "R 4.5.0, lme4 1.1-37", "R 4.6.2, lme4 2.1-0"):
        assert f"Against the recording of {who}" in out


def test_a_version_that_is_not_recorded(capsys: Capture) -> None:
    assert main(["run", "dyestuff", "--against", "4.7.0"]) == UNUSABLE
    err = capsys.readouterr().err
    assert "'dyestuff' is not recorded of R 4.7.0: there are 4.6.2, 4.5.0, 4.2.2." in err


def test_live_and_against_exclude_each_other(capsys: Capture) -> None:
    for command in ("run", "audit"):
        assert main([command, "dyestuff", "--live", "--against", "4.5.0"]) == UNUSABLE
        assert "leave out --against, or --live" in capsys.readouterr().err


# Why two Rs differ ------------------------------------------------------------------------------


def of(name: str, version: str) -> VersionAnswer:
    found = case(name).recording(FIXTURES, version)
    return VersionAnswer(found.tables, found.provenance)


@pytest.mark.parametrize(
    ("name", "older", "newer", "causes", "source"),
    [
        ("document", OLD, MIDDLE, {"refit degrees of freedom"}, "1.1-33"),
        ("document", MIDDLE, NEW, set(), None),
        ("sleepstudy", MIDDLE, NEW, {"order of the variance parameters"}, "2.0-1"),
    ],
)
def test_a_change_between_versions_has_its_cause(
    name: str, older: str, newer: str, causes: set[str], source: str | None
) -> None:
    found = difference(case(name), of(name, newer), of(name, older))
    assert not found.failed
    assert {finding.cause for finding in found.findings} == causes
    assert [source in text for text in found.sources] == [True] * bool(source)


def test_a_change_that_no_version_made_stays_unexplained() -> None:
    new, old = of("sleepstudy", NEW), of("sleepstudy", MIDDLE)
    wrong = {**new.tables, "lmer.coef": new.tables["lmer.coef"] * (1 + 1e-3)}
    found = difference(case("sleepstudy"), VersionAnswer(wrong, new.provenance), old)
    assert found.failed
    rows = found.comparisons[found.comparisons["verdict"] == Verdict.UNEXPLAINED]
    assert set(rows["table"]) == {"lmer.coef"}


def test_the_divisor_explains_no_replicate_that_it_does_not_move() -> None:
    new, old = of("document", MIDDLE), of("document", OLD)
    name = "boot_fix_u.replicates"
    wrong = new.tables[name].copy()
    wrong.iloc[174] *= 1.0 + 1e-3
    found = difference(
        case("document"), VersionAnswer({**new.tables, name: wrong}, new.provenance), old
    )
    rows = found.comparisons.query("table == @name and verdict == 'unexplained'")
    assert set(rows["row"]) == {"175"}


def test_the_command_shows_the_step_and_its_source(capsys: Capture) -> None:
    assert main(["versions", "document"]) == AGREE
    out = capsys.readouterr().out
    assert "R 4.2.2 → 4.5.0" in out
    assert "refit degrees of freedom" in out
    assert "lme4 NEWS, version 1.1-33 (2023-04-25)" in out


def test_one_version_alone_has_nothing_to_compare(capsys: Capture, tmp_path: Path) -> None:
    shutil.copytree(newest(FIXTURES, "dyestuff"), tmp_path / "dyestuff" / NEW)
    assert main(["versions", "dyestuff", "--fixtures", str(tmp_path)]) == UNUSABLE
    assert "no case has recordings of two versions of R" in capsys.readouterr().err


def test_json_has_the_cause(capsys: Capture) -> None:
    assert main(["versions", "dyestuff", "--format", "json"]) == AGREE
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    assert {row["engine"] for row in rows} == {"R 4.5.0, lme4 1.1-37", "R 4.6.2, lme4 2.1-0"}
    assert {row["cause"] for row in rows} == {""}


# Conventions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "has"),
    [
        (None, (True, True, True)),
        ("2.1-0", (True, True, True)),
        ("2.0-1", (True, True, True)),
        ("1.1-37", (True, True, False)),
        ("1.1-36", (True, True, False)),
        ("1.1-35.5", (True, False, False)),
        ("1.1-33", (True, False, False)),
        ("1.1-32", (False, False, False)),
    ],
)
def test_which_version_made_which_change(version: str | None, has: tuple[bool, ...]) -> None:
    assert CHANGES == (REFIT, NESTING, SD_FIRST)
    assert tuple(Lme4(version).has(change) for change in CHANGES) == has


@pytest.mark.parametrize("nonsense", ["nonsense", "", "lme4<1.1-33", "2"])
def test_an_invalid_version_is_refused(nonsense: str) -> None:
    with pytest.raises(UsageError, match="is not a version of lme4"):
        lmer("y ~ 1 + (1 | g)", pd.DataFrame({"y": [1.0], "g": ["a"]}), lme4=nonsense)


# The ledger's ranges ----------------------------------------------------------------------------


def entry(lme4: str) -> Entry:
    return Entry(
        id="planted",
        cases=["document"],
        engine="*",
        reference="*",
        tables=["*"],
        rows=["*"],
        columns=["*"],
        cause="planted",
        bound=1.0,
        why="",
        references=[],
        reproduce="",
        lme4=lme4,
    )


@pytest.mark.parametrize(
    ("lme4", "version", "covered"),
    [
        ("", "1.1-31", True),
        ("<1.1-33", "1.1-31", True),
        ("<1.1-33", "1.1-33", False),
        (">=1.1-33, <2.0-1", "1.1-37", True),
        (">=1.1-33, <2.0-1", "2.1-0", False),
        ("<1.1-33", None, True),
    ],
)
def test_an_entry_covers_its_versions(lme4: str, version: str | None, covered: bool) -> None:
    assert entry(lme4).covers(version) == covered


def test_an_entry_does_not_count_outside_its_range_of_versions() -> None:
    rows = pd.DataFrame(
        [["document", "R", "t", "r", "c", "x", 1.0, 1.1, 1.0, 0.0, 0.0, "unexplained", "planted"]],
        columns=[*recorded_columns(), "cause"],
    )
    for version, expected in (("1.1-31", ["known"]), ("2.1-0", ["new"])):
        judged, _ = apply_ledger(rows, [entry("<1.1-33")], ["document"], version)
        assert list(judged["verdict"]) == expected
    agreeing = rows.assign(verdict="rounding", cause="")
    for version, expected in (("1.1-31", ["rounding", "stale"]), ("2.1-0", ["rounding"])):
        judged, _ = apply_ledger(agreeing, [entry("<1.1-33")], ["document"], version)
        assert list(judged["verdict"]) == expected


def recorded_columns() -> list[str]:
    from rparity.compare import COLUMNS

    return list(COLUMNS)


def test_an_invalid_range_of_versions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.toml"
    text = LEDGER.read_text().replace('lme4 = ">=1.1-33"', 'lme4 = "1.1-33"')
    path.write_text(text)
    with pytest.raises(UsageError, match=r"lme4 = '1\.1-33', which must be a range of versions"):
        ledger(path)
