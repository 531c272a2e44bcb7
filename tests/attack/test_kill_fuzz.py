"""`rparity fuzz`, killed at any moment: the store has whole designs, and all that it had before."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from killing import COMMAND, Attacked, attack, names_in

from rparity.fuzz.design import Design
from rparity.fuzz.draw import design
from tally import Tally

ATTACKED = "kills of rparity fuzz"
pytestmark = pytest.mark.attack

FAKE = "import fakes; fakes.for_fuzz(); " + COMMAND
SEED = 6
DESIGNS = 10
CLOCK = ["seconds", "r_seconds", "script", "made_by", "digits", "causes"]


def rows(folder: Path) -> pd.DataFrame:
    """Return all designs of a store, which must be sound."""
    with closing(sqlite3.connect(folder / "fuzz.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return pd.read_sql("SELECT * FROM designs ORDER BY number, engine", db)


@pytest.mark.parametrize(
    ("kills", "fake", "options"),
    [(36, True, []), (12, True, ["--engine", "lme4-tight"]), (12, False, ["--workers", "2"])],
)
def test_kills_while_designs_are_judged(
    tmp_path: Path, tally: Tally, kills: int, fake: bool, options: list[str]
) -> None:
    folder = tmp_path / "work" / "store"
    done: dict[tuple[int, str], dict[Hashable, object]] = {}
    engines = {"rparity", *options[1:]} if "--engine" in options else {"rparity"}

    def arguments(_run: int) -> list[str]:
        # Each run goes on: it has some more designs to judge than there are.
        n = str(len({number for number, _ in done}) + DESIGNS)
        start = ["-c", FAKE] if fake else ["-m", "rparity.cli"]
        command = ["fuzz", "--n", n, "--seed", str(SEED), "--store", str(folder), *options]
        return [*start, *command, "--allow-problems"]

    def check(_run: int) -> None:
        found = rows(folder)
        by = {(int(row["number"]), str(row["engine"])): row for row in found.to_dict("records")}
        assert all(by.get(key) == row for key, row in done.items()), "what was done is gone"
        for number, of in found.groupby("number"):
            assert set(of["engine"]) == engines, f"half of design {number}"
        for number, engine in by.keys() - done.keys():
            assert Design.from_json(str(by[number, engine]["design"])) == design(SEED, number)
        done.update(by)

    def files() -> set[str]:
        return names_in(tmp_path / "work")

    command = Attacked(tmp_path, arguments, statuses=(0, 1))
    attack(command, tally, kills, check=check, files=files)
    numbers = sorted({number for number, _ in done})
    assert numbers == list(range(len(numbers)))
    # The killed campaign has what one that nobody killed has.
    first = rows(folder).query("number < @DESIGNS")
    other = Attacked(tmp_path / "other", arguments, statuses=(0, 1))
    done.clear()
    before, folder = folder, tmp_path / "other" / "work" / "store"
    other.whole()
    assert before != folder
    pd.testing.assert_frame_equal(first.drop(columns=CLOCK), rows(folder).drop(columns=CLOCK))
