"""Recordings that are not what R answered: a run refuses them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from folders import newest
from rparity import paths, recordings
from rparity.cases.document import DOCUMENT
from rparity.cli import main
from rparity.commands import AGREE, UNUSABLE
from rparity.run import CaseRun

RunOf = Callable[[str], CaseRun]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The document's recordings, to spoil."""
    shutil.copytree(paths.fixtures() / "document", tmp_path / "fixtures" / "document")
    return tmp_path / "fixtures"


def refusal(copy: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["run", "document", "--fixtures", str(copy)]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    return streams.err


def test_an_untouched_copy_of_the_recording_passes(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--nsim", "2", "--fixtures", str(copy)]
    assert main(["run", "document", *options]) == AGREE


def test_a_recording_edited_by_hand(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = newest(copy, "document") / "lmer.coef.csv"
    text = table.read_text()
    table.write_text(text.replace("1.921110", "1.921112", 1))
    assert table.read_text() != text
    assert f"{table} is corrupt: it was edited" in refusal(copy, capsys)


def test_a_recording_whose_script_has_changed(
    copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    today = paths.r_scripts()
    for script in DOCUMENT.scripts():
        scripts = tmp_path / script
        shutil.copytree(today, scripts)
        with (scripts / script).open("a") as file:
            file.write("# changed\n")
        monkeypatch.setattr(paths, "r_scripts", lambda scripts=scripts: scripts)
        message = refusal(copy, capsys)
        assert f"is stale: {script} has changed" in message
        assert "`rparity regenerate document`" in message


def test_pythons_numbers_instead_of_rs(
    copy: Path, run_of: RunOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """What --force-regen would do, which the tests refuse: see tests/cases/test_r_regression.py."""
    answer = run_of("document").answers["rparity"].tables
    name, content = recordings.encode("lmer.coef", answer["lmer.coef"])
    (newest(copy, "document") / name).write_bytes(content)
    assert "is corrupt" in refusal(copy, capsys)
