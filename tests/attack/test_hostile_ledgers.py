"""Wrong ledgers: each ends the command in one sentence, and none excuses anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rparity.cases.base import VARIABLE
from rparity.cli import main
from rparity.commands import DISCREPANCY, UNUSABLE
from rparity.diagnosis import ledger
from tally import Tally

ATTACKED = "wrong ledgers"
pytestmark = pytest.mark.attack

Capture = pytest.CaptureFixture[str]

# An engine that is wrong: an entry that excused it would end the audit with 0.
WRONG = """
import pandas as pd
from rparity.cases.base import Lm
from rparity.engines.base import Answer

class Wrong:
    def expected(self, part):
        return tuple(f"{part.name}.{k}" for k in part.kinds if k == "coef" and isinstance(part, Lm))
    def answer(self, question):
        columns = ["estimate", "std_error", "statistic", "p_value"]
        table = pd.DataFrame(7.0, ["(Intercept)", "x"], columns)
        return Answer({"lm.coef": table})

ENGINES = {"wrong": "wrong_engine:Wrong"}
"""
FIELDS = {
    "id": '"a"',
    "cases": '["*"]',
    "engine": '"*"',
    "reference": '"*"',
    "tables": '["*"]',
    "rows": '["*"]',
    "columns": '["*"]',
    "cause": '"stopped early"',
    "why": '"w"',
    "references": '["r"]',
    "reproduce": '"rparity explain"',
}


def entry(without: str = "", **fields: str) -> str:
    """Return an entry as wide as can be, but for some of its fields."""
    lines = (f"{k} = {v}" for k, v in (FIELDS | fields).items() if k != without)
    return "[[discrepancy]]\n" + "\n".join(lines) + "\n"


REFUSED: dict[str, str | bytes] = {
    "no TOML": "this is no ledger",
    "empty": "",
    "bytes that are no text": b"\xff\xfe\x00",
    "NUL": entry() + "\0",
    "a thousand brackets": "a = " + "[" * 100_000,
    "JSON": '{"discrepancy": []}',
    "one table": entry().replace("[[discrepancy]]", "[discrepancy]"),
    "a list of numbers": "discrepancy = [1, 2]",
    "another name": entry().replace("discrepancy", "discrepancies"),
    "twice the same id": entry() + entry(),
    "twice the same key": entry() + 'id = "b"\n',
    "no cause": entry(without="cause"),
    "no why": entry(without="why"),
    "an unknown field": entry(excuse='"all"'),
    "cases as a string": entry(cases='"*"'),
    "no rows": entry(rows="[]"),
    "columns that are numbers": entry(columns="[1]"),
    "an empty pattern": entry(tables='[""]'),
    "an engine that is a number": entry(engine="1"),
    "engines that are numbers": entry(engine="[1]"),
    "a bound that is no number": entry(bound="nan"),
    "an infinite bound": entry(bound="-inf"),
    "a bound below all": entry(bound="-1"),
    "a bound that is true": entry(bound="true"),
    "a cause that needs a bound": entry(cause='"default settings"'),
    "versions that are none": entry(lme4='"newest"'),
    "escape sequences as a bound": entry(bound='"\\u001b[31m"'),
    "escape sequences as an id": entry(id='"\\u001b[2J\\u0007"', bound='"4"'),
    "markup as an id": entry(id='"[bold]x[/nothing]"', bound='"4"'),
    "a cause that there is not": entry(cause='"*"'),
    "markup as a cause": entry(cause='"[link=x]"'),
    "a date as why": entry(why="2020-01-01"),
    "a number of a million digits": entry(bound="1" * 1_000_000),
}
# These are entries, and the engine has no such cause: wide patterns excuse nothing.
READ = {
    "as wide as can be": entry(),
    "wide, without digits": entry(bound="0"),
    "wide, of markup": entry(why='"\\u001b[2J [link=x]"'),
    "no entries": "discrepancy = []",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the engine that is wrong, which is looked for there."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "wrong_engine.py").write_text(WRONG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        patch.syspath_prepend(str(folder))
        yield folder


def audit(content: str | bytes, home: Path) -> int:
    """Audit an engine that is wrong, with this ledger."""
    (home / "ledger.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    ledger._entries.cache_clear()
    return main(["audit", "norris", "--engine", "wrong"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_ledger_is_one_sentence(
    name: str, home: Path, capsys: Capture, tally: Tally
) -> None:
    tally.attacked()
    status = audit(REFUSED[name], home)
    said = capsys.readouterr()
    if status == 0:
        tally.found("green unchecked", name)
    tally.sentence(said.err)
    assert status == UNUSABLE
    assert str(home / "ledger.toml") in said.err
    assert len(said.err) < 2000


@pytest.mark.parametrize("name", READ)
def test_an_entry_for_everything_excuses_nothing(
    name: str, home: Path, capsys: Capture, tally: Tally
) -> None:
    tally.attacked()
    status = audit(READ[name], home)
    if status == 0:
        tally.found("green unchecked", name)
    said = capsys.readouterr()
    assert (status, said.err) == (DISCREPANCY, "")
    assert "\x1b" not in said.out
