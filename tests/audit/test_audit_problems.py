"""An audit whose engines or kept answers fail ends with status 2 and the reason, never green."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from folders import newest, reseal
from rparity import paths
from rparity.cases.extensions import VARIABLE
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.r.version import PROVEN

pytestmark = pytest.mark.slow(reason="audits with engines in processes of their own")
Capture = pytest.CaptureFixture[str]
CASE = "dyestuff"

# Each engine answers as this package does, and then goes wrong.
MODULE = '''
import os, signal, time
from dataclasses import replace

from rparity.engines.base import Answer
from rparity.engines.native import Native

class Good(Native):
    name = "good"

class Crashes(Good):
    def answer(self, question): os._exit(3)

class Killed(Good):
    def answer(self, question): os.kill(os.getpid(), signal.SIGKILL)

class Hangs(Good):
    def answer(self, question): time.sleep(600)

class Empty(Good):
    def answer(self, question): return Answer({})

class Once(Good):
    """Is wrong in a way that nothing explains, and answers no second time."""
    asked = 0
    def answer(self, question):
        Once.asked += 1
        if Once.asked > 1: raise RuntimeError("not again")
        found = super().answer(question)
        tables = {name: table * 1.01 for name, table in found.tables.items()}
        return replace(found, tables=tables)
'''


WRONG = {
    "crashes": "crashed: ended with status 3",
    "killed": "crashed: killed by SIGKILL",
    "hangs": "gave no answer within",
    "absent": "not_installed_anywhere",
}
OTHERS = ("good", "empty", "once")


@pytest.fixture(scope="module", autouse=True)
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the engines known as those of another project are."""
    engines = {name: f"failing_engines:{name.title()}" for name in (*WRONG, *OTHERS)}
    engines["absent"] = "not_installed_anywhere:Engine"
    folder = tmp_path_factory.mktemp("engines")
    (folder / "failing_engines.py").write_text(f"{MODULE}\nENGINES = {engines!r}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        patch.syspath_prepend(str(folder))
        yield


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """Recordings of one's own to spoil."""
    shutil.copytree(paths.fixtures() / CASE, tmp_path / "fixtures" / CASE)
    for engine in (paths.fixtures() / "engines").iterdir():
        shutil.copytree(engine / CASE, tmp_path / "fixtures" / "engines" / engine.name / CASE)
    return tmp_path / "fixtures"


def audit(fixtures: Path, engine: str, *more: str) -> int:
    options = ["--engine", engine, "--fixtures", str(fixtures), "--timeout", "5", *more]
    return main(["audit", CASE, *options])


@pytest.mark.parametrize("form", ["text", "json", "html"])
@pytest.mark.parametrize("name", WRONG)
def test_an_engine_without_an_answer_is_status_2_with_its_reason(
    capsys: Capture, fixtures: Path, name: str, form: str
) -> None:
    assert audit(fixtures, name, "--engine", "good", "--format", form) == UNUSABLE
    streams = capsys.readouterr()
    assert WRONG[name] in " ".join(streams.out.split())
    assert "passes" not in streams.out
    assert "1 of the questions could not be answered" in streams.err
    assert "Traceback" not in streams.err


def test_allow_problems_judges_what_was_answered(capsys: Capture, fixtures: Path) -> None:
    both = ("--engine", "good", "--allow-problems")
    assert audit(fixtures, "crashes", *both) == AGREE
    assert audit(fixtures, "crashes", "--engine", "once", "--allow-problems") == DISCREPANCY
    assert "What fails" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--allow-problems",)])
@pytest.mark.parametrize(("name", "status"), [("empty", DISCREPANCY), ("crashes", UNUSABLE)])
def test_an_empty_answer_is_missing_and_no_answer_is_status_2(
    capsys: Capture, fixtures: Path, name: str, status: int, more: tuple[str, ...]
) -> None:
    assert audit(fixtures, name, *more) == status
    assert "passes" not in capsys.readouterr().out


def test_an_engine_that_does_not_answer_again_has_a_problem(
    capsys: Capture, fixtures: Path
) -> None:
    assert audit(fixtures, "once") == UNUSABLE
    streams = capsys.readouterr()
    assert "asked again" in streams.out
    assert "not again" in streams.out
    assert "What was compared fails as well." in streams.err


def deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def edited(folder: Path) -> None:
    path = folder / "answer.csv"
    path.write_text(path.read_text().replace("lmer.coef", "lmer.coat", 1))


def resealed(folder: Path) -> None:
    (folder / "answer.csv").write_text("garbage")
    reseal(folder)


@pytest.mark.parametrize("spoil", [deleted, edited, resealed])
@pytest.mark.parametrize("engine", ["nlme", "exact"])
def test_a_kept_answer_that_is_gone_or_corrupt_is_status_2(
    capsys: Capture, fixtures: Path, engine: str, spoil: Callable[[Path], None]
) -> None:
    """Also the arbiter's, which nobody named: another reference must not stand in silently."""
    root = fixtures / "engines" / engine
    spoil(root / CASE / PROVEN if engine == "exact" else newest(root, CASE))
    assert audit(fixtures, "nlme") == UNUSABLE
    streams = capsys.readouterr()
    told = " ".join(streams.out.split())
    assert f"rparity regenerate --engine {engine} {CASE}" in told
    assert ("is the reference" in told) == (engine == "exact")
    assert "Traceback" not in streams.err


def test_a_corrupt_recording_of_the_case_is_an_error(capsys: Capture, fixtures: Path) -> None:
    (newest(fixtures, CASE) / "lmer.coef.csv").write_text("garbage")
    assert audit(fixtures, "good", "--allow-problems") == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "is corrupt" in streams.err


def test_json_has_a_list_of_problems(capsys: Capture, fixtures: Path) -> None:
    assert audit(fixtures, "killed", "--engine", "good", "--format", "json") == UNUSABLE
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["engine"], problem["case"]) == ("killed", CASE)
