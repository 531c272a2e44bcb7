"""`rparity study`, killed at any moment: its files are the old or the new ones, whole."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
from killing import Attacked, attack, names_in

from tally import Tally

ATTACKED = "kills of rparity study"
pytestmark = pytest.mark.attack

DATASETS = 4


@pytest.mark.parametrize(("kills", "workers"), [(42, ""), (18, "--workers 2")])
def test_kills_while_a_study_is_made(
    tmp_path: Path, tally: Tally, kills: int, workers: str
) -> None:
    answers, report = tmp_path / "work" / "answers.csv", tmp_path / "work" / "report.json"
    command = Attacked(
        tmp_path,
        lambda run: shlex.split(
            f"-m rparity.cli study --datasets {DATASETS} --nsim 2 --points 3 --n 3 --seed {run}"
            f" --answers {answers} --format json -o {report} {workers}"
        ),
    )
    marks = {answers: 2, report: 2}

    def check(run: int) -> None:
        # The files are written one after the other: each of them is whole.
        found = pd.read_csv(answers)
        mark = int(found["seed"].min())
        assert set(found["seed"]) == set(range(mark, mark + DATASETS))
        assert len(found) == 2 * DATASETS * len(found.query("seed == @mark")) / 2
        assert not found["lines"].isna().any()
        told = json.loads(report.read_text())
        for file, seen in ((answers, mark), (report, int(told["seed"]))):
            assert seen in (marks[file], run), f"{file}: {seen}, not {marks[file]} or {run}"
            marks[file] = seen

    attack(command, tally, kills, check=check, files=lambda: names_in(tmp_path / "work"))


WRITES = """
import os, sys
from pathlib import Path
from rparity.report.output import writing
with writing(Path("report.json")) as file:
    file.write_text("half")
    if len(sys.argv) > 1:
        os.kill(os.getpid(), 9)
"""


def test_a_kill_while_a_report_is_written(tmp_path: Path, tally: Tally) -> None:
    """At the one moment at which something lies beside it, which the next run removes."""
    command = Attacked(tmp_path, lambda run: ["-c", WRITES, *(["die"] if run > 1 else [])])
    command.whole()
    sound = names_in(command.work)
    for _ in range(2):
        with command.start() as process:
            assert process.wait(60.0) == -9
        tally.attacked()
        assert len(names_in(command.work)) == 2
        assert (command.work / "report.json").read_text() == "half"
    command.arguments = lambda _run: ["-c", WRITES]
    command.whole()
    if extra := names_in(command.work) - sound:
        tally.found("files", extra)
