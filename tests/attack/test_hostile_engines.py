"""Hostile engines in an audit: each is counted for what it did, and none is green unchecked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import left_of

from rparity.cases.base import VARIABLE
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.text import visible
from tally import Tally

ATTACKED = "hostile engines"
pytestmark = pytest.mark.attack

Capture = pytest.CaptureFixture[str]
ENGINES = Path(__file__).parent / "engines"

# Status, and what the problem says; None where there is none.
OUTCOMES: dict[str, tuple[int, str | None]] = {
    "right": (AGREE, None),
    # They end, or do not.
    "exits": (UNUSABLE, "crashed: ended with status 3"),
    "exitswell": (UNUSABLE, "crashed: ended with status 0"),
    "segv": (UNUSABLE, "killed by SIGSEGV"),
    "ill": (UNUSABLE, "killed by SIGILL"),
    "killed": (UNUSABLE, "killed by SIGKILL"),
    "aborts": (UNUSABLE, "killed by SIGABRT"),
    "hangs": (UNUSABLE, "gave no answer within 2 s"),
    "hangsdeaf": (UNUSABLE, "gave no answer within 2 s"),
    "stops": (UNUSABLE, "gave no answer within 2 s"),
    "closesall": (UNUSABLE, "crashed: "),
    "grandchild": (UNUSABLE, "crashed: ended with status 1"),
    "dies": (UNUSABLE, "crashed: ended with status 0"),
    "diesagain": (UNUSABLE, "crashed: ended with status 3"),
    # They raise.
    "raises": (UNUSABLE, "ValueError"),
    "raisesmute": (UNUSABLE, "crashed: ended with status 1"),
    "raisesexit": (UNUSABLE, "ended with status 0"),
    "raisesinterrupt": (UNUSABLE, "crashed"),
    "raisesgroup": (UNUSABLE, "ExceptionGroup: many"),
    "recurses": (UNUSABLE, "RecursionError"),
    "swallows": (UNUSABLE, "MemoryError"),
    "loads": (UNUSABLE, "libnowhere"),
    "absent": (UNUSABLE, "not_installed_anywhere"),
    "nowhere": (UNUSABLE, "Nowhere"),
    "nomethods": (UNUSABLE, "needs the methods expected and answer"),
    # They answer with something else.
    "dict": (UNUSABLE, "with dict, and must with Answer"),
    "nothing": (UNUSABLE, "with NoneType, and must with Answer"),
    "type": (UNUSABLE, "must with Answer"),
    "lambda": (UNUSABLE, "notes that are no tuple of strings"),
    "lists": (UNUSABLE, "which must be a DataFrame"),
    "listoftables": (UNUSABLE, "must be a dict"),
    "strings": (UNUSABLE, "not all columns are numbers"),
    "objects": (UNUSABLE, "not all columns are numbers"),
    "complex": (UNUSABLE, "not all columns are numbers"),
    "dates": (UNUSABLE, "not all columns are numbers"),
    "tablesofnumbers": (UNUSABLE, "tables whose names are not all strings"),
    "gapsofnone": (UNUSABLE, "gaps that are NoneType"),
    "gapsofnumbers": (UNUSABLE, "gaps whose names are not all strings"),
    "notesofnone": (UNUSABLE, "notes that are no tuple"),
    "rowstwice": (UNUSABLE, "stands twice"),
    "columnstwice": (UNUSABLE, "stands twice"),
    "rowsofnumbers": (UNUSABLE, "have a string as name"),
    "rowsofnan": (UNUSABLE, "have a string as name"),
    "rowsoflevels": (UNUSABLE, "have a string as name"),
    # They answer wrongly: that is found.
    "nan": (DISCREPANCY, None),
    "infinite": (DISCREPANCY, None),
    "zero": (DISCREPANCY, None),
    "otherrows": (DISCREPANCY, None),
    "norows": (DISCREPANCY, None),
    "notables": (DISCREPANCY, None),
    "gapsforall": (DISCREPANCY, None),
    # They answer rightly, and do other things besides.
    "prints": (AGREE, None),
    "warns": (AGREE, None),
    "elsewhere": (AGREE, None),
    "shadowed": (AGREE, None),
    "unreadable": (AGREE, None),  # what it would run is not handed on
    "notesofescapes": (AGREE, None),
    "expectsmore": (AGREE, None),
    # Nothing was held against them, so that nothing was checked.
    "expectsless": (UNUSABLE, None),
    "expectsnone": (UNUSABLE, "returns None from expected("),
    "expectsnumbers": (UNUSABLE, "returns (1, 2) from expected("),
    "expectstext": (UNUSABLE, "returns 'lm.coef' from expected("),
    "expectsexits": (UNUSABLE, "crashed: ended with status 0"),
    "expectshangs": (UNUSABLE, "gave no answer within 2 s"),
    "expectsraises": (UNUSABLE, "no idea"),
}


@pytest.fixture(scope="module", autouse=True)
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let them be found, from a folder with modules that have names of Python's own."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("random", "bisect", "pickle"):
        (folder / f"{name}.py").write_text("raise SystemExit('not the one of Python')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(ENGINES))
        patch.syspath_prepend(str(ENGINES))
        patch.chdir(folder)
        yield folder


def test_every_hostile_engine_is_used() -> None:
    from hostile import ENGINES as known

    assert known.keys() == OUTCOMES.keys()


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_hostile_engine(
    name: str, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    tally.attacked()
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    report = tmp_path / "report.json"
    command = ["audit", "norris", "--engine", name, "--timeout", "2"]
    status = main([*command, "--format", "json", "-o", str(report)])
    said = capfd.readouterr()
    expected, what = OUTCOMES[name]
    if status == AGREE != expected:
        tally.found("green unchecked", name)
    assert said.out == ""
    if status == UNUSABLE:
        tally.sentence(said.err)
    else:
        assert said.err == ""
    if what is not None and report.exists():
        (problem,) = json.loads(report.read_text())["problems"]
        tally.sentence(visible(problem["cause"]))
        assert what in problem["cause"]
    assert status == expected, said.err
    processes, files = left_of(scratch, scratch)
    if processes:
        tally.found("processes", processes)
    if files:
        tally.found("files", files)
