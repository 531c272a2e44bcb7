"""`rparity regenerate`, killed at any moment: every recording is the old or the new one, whole."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import fakes
import numpy as np
import pytest
from killing import COMMAND, Attacked, attack, names_in

from rparity import recordings
from rparity.audit.questions import question_of
from rparity.cases import case
from rparity.engines import kept_answers
from rparity.r.version import label_of
from tally import Tally

ATTACKED = "kills of rparity regenerate"
pytestmark = pytest.mark.attack

CASES = ("norris", "longley", "noint1", "noint2", "filip", "wampler1")
FAKE = "import fakes; fakes.for_regenerate(); " + COMMAND


def test_fifty_kills_while_recordings_are_written(tmp_path: Path, tally: Tally) -> None:
    root = tmp_path / "work" / "fixtures"
    command = Attacked(
        tmp_path,
        lambda _run: ["-c", FAKE, "regenerate", *CASES, "--engine", "R", "--fixtures", str(root)],
    )
    for name in CASES:
        older = fakes.provenance(case(name), 0, fakes.OLDER)
        recordings.write(root, name, fakes.tables(case(name), 0), older)
    marks = dict.fromkeys(CASES, 1)

    def check(run: int) -> None:
        for name in CASES:
            older = recordings.read(root, name, {}, version=label_of(fakes.OLDER))
            assert mark_of(older) == 0
            found = mark_of(recordings.read(root, name, {}, version=label_of(fakes.PACKAGES)))
            assert found in (marks[name], run), f"{name}: {found}, not {marks[name]} or {run}"
            marks[name] = found

    def files() -> set[str]:
        return {name for name in names_in(tmp_path / "work") if "extra" not in name}

    marks = dict.fromkeys(CASES, 2)
    attack(command, tally, 50, check=check, files=files)
    assert len(set(marks.values())) == 1


def mark_of(found: recordings.Recording) -> int:
    """Return whose a recording is, which all its values must say."""
    mark = int(found.provenance["mark"])
    expected = fakes.tables(case(found.case), mark)
    assert found.tables.keys() == expected.keys()
    for name, frame in expected.items():
        assert np.array_equal(found.tables[name].to_numpy(), frame.to_numpy()), name
    return mark


def test_kills_while_r_and_its_engines_answer_workers(tmp_path: Path, tally: Tally) -> None:
    """R itself, in the children of two workers, and an engine of R's whose answer is kept."""
    root, names = tmp_path / "work" / "fixtures", "norris noint1"
    command = Attacked(
        tmp_path,
        lambda _run: shlex.split(
            f"-m rparity.cli regenerate {names} --workers 2 --engine R --engine lm"
            f" --fixtures {root}"
        ),
    )
    before: dict[tuple[str, str], str] = {}

    def check(run: int) -> None:
        now = datetime.fromtimestamp(1_000_000_000 + run, UTC)  # as SOURCE_DATE_EPOCH says
        new = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        for name in names.split():
            found = case(name).recording(root)
            _, kept = kept_answers.read(root, "lm", question_of(case(name), root))
            for who, time in (("R", found.provenance["time"]), ("lm", kept["time"])):
                assert time in (before.get((who, name), new), new)
                before[who, name] = time

    (tmp_path / "first").mkdir()
    alone = Attacked(
        tmp_path / "first",
        lambda _run: shlex.split(f"-m rparity.cli regenerate {names} --engine R --fixtures {root}"),
    )
    alone.whole()  # what engines are asked is in R's recording
    attack(command, tally, 12, check=check, files=lambda: names_in(tmp_path / "work"))
