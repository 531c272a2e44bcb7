"""`pytest --r=record`, killed at any moment: each recording is the old or the new one, whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from killing import Attacked, attack, names_in

from rparity.parity.calls import RParity
from rparity.parity.store import Place
from tally import Tally

ATTACKED = "kills of pytest --r=record"
pytestmark = pytest.mark.attack

PYTEST = ("-m", "pytest", "-q", "-p", "rparity.pytest_plugin", "-p", "no:cacheprovider")
ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
TESTS = """
import pytest

@pytest.mark.parametrize("i", range({n}))
def test_one(r_parity, i):
    r_parity.call("f.R", "f", i=i, seed=1)
"""
SCRIPT = """
f <- function(i) {
  mark <- as.numeric(Sys.getenv("MARK"))
  list(mark = mark, vector = c(a = mark, b = mark), table = data.frame(x = rep(mark, 30)))
}
"""
FAKE = """
import os
import pandas as pd
from fake_r import FakeR
from rparity.parity import calls

def f(i):
    mark = float(os.environ["MARK"])
    table = pd.DataFrame({"x": [mark] * 30})
    return {"mark": mark, "vector": pd.Series({"a": mark, "b": mark}), "table": table}

FakeR.functions["f"] = f
calls.RSession = FakeR
"""


@pytest.mark.parametrize(("kills", "calls", "fake"), [(50, 60, True), (12, 3, False)])
def test_kills_while_calls_are_recorded(
    tmp_path: Path, tally: Tally, kills: int, calls: int, fake: bool
) -> None:
    command = Attacked(tmp_path, lambda _run: [*PYTEST, "--r=record", "test_f.py"], ENVIRONMENT)
    (command.work / "test_f.py").write_text(TESTS.format(n=calls))
    (command.work / "f.R").write_text(SCRIPT)
    if fake:
        (command.work / "conftest.py").write_text(FAKE)
    marks = dict.fromkeys(range(calls), 2.0)

    def check(run: int) -> None:
        for i in range(calls):
            place = Place(command.work / "test_f.py", f"test_one[{i}]")
            answer = RParity(place, "replay").call("f.R", "f", i=i, seed=1)
            mark = answer.value["mark"]
            assert mark in (marks[i], run), f"{i}: {mark}, not {marks[i]} or {run}"
            assert (answer.value["vector"] == mark).all()
            assert (answer.value["table"] == mark).all(axis=None)
            assert answer.value["table"].shape == (30, 1)
            marks[i] = mark

    attack(command, tally, kills, check=check, files=lambda: names_in(command.work))
