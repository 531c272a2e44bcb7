"""An engine that crashes, hangs, prints or is not installed costs its answer, not the audit."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pandas as pd
import pytest

from rparity import paths
from rparity.audit.audit_case import audit_case_of
from rparity.audit.examiner import RemoteExaminer
from rparity.audit.results import Audit, EngineReply
from rparity.audit.run_audit import run_audit
from rparity.audit.workers import EngineProcesses
from rparity.cases import case
from rparity.cases.extensions import VARIABLE
from rparity.engines.base import Question
from rparity.workers.child import how

MODULE = '''
"""Engines that go wrong."""
import os, signal, sys, time
from rparity.engines.base import Answer
from rparity.errors import UsageError

class Good:
    name = "good"
    distributions = ("numpy",)
    def expected(self, part): return ()
    def answer(self, question): return Answer({})

class Crashes(Good):
    def answer(self, question): os._exit(3)

class Killed(Good):
    def answer(self, question): os.kill(os.getpid(), signal.SIGSEGV)

class Unheard(Good):
    def answer(self, question): os.kill(os.getpid(), signal.SIGILL)

class Hangs(Good):
    def answer(self, question): time.sleep(600)

class Raises(Good):
    def answer(self, question): raise ZeroDivisionError("by zero\\nand more")

class Prints(Good):
    def answer(self, question):
        print("x" * 2**21); sys.stderr.write("y" * 2**21)
        return Answer({})

class Once(Good):
    """Crashes on dyestuff alone."""
    def answer(self, question):
        if question.case.name == "dyestuff": os._exit(1)
        return Answer({})

ENGINES = {name.lower(): f"wrong_engines:{name}"
           for name in ("Good", "Crashes", "Killed", "Unheard", "Hangs", "Raises", "Prints",
                        "Once")}
ENGINES["absent"] = "not_installed_anywhere:Engine"
'''


@pytest.fixture(scope="module", autouse=True)
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "wrong_engines.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        patch.syspath_prepend(str(folder))
        yield


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return [
        audit_case_of(case(name), paths.fixtures()).question for name in ("dyestuff", "dyestuff2")
    ]


WRONG = ("crashes", "good", "killed", "unheard", "raises", "once", "absent")
SLOW = pytest.mark.slow(reason="a process for each engine, and a further one after each crash")


@pytest.fixture(scope="module")
def replies(questions: list[Question]) -> list[tuple[str, str, EngineReply]]:
    """Engine, case and reply, of all wrong engines asked at once."""
    with EngineProcesses(limit=30.0) as engines:
        return engines.ask(dict.fromkeys(WRONG, questions))


def of(name: str, replies: list[tuple[str, str, EngineReply]]) -> list[EngineReply]:
    return [reply for engine, _, reply in replies if engine == name]


def asked(name: str, questions: list[Question], limit: float = 30.0) -> list[EngineReply]:
    with EngineProcesses(limit=limit) as engines:
        return of(name, engines.ask({name: questions}))


@SLOW
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("crashes", "crashed: ended with status 3"),
        ("killed", "crashed: killed by SIGSEGV"),
        ("unheard", f"crashed: {how(-signal.SIGILL)}"),
        ("raises", "ZeroDivisionError: by zero and more"),
    ],
)
def test_an_engine_that_goes_wrong(
    name: str, problem: str, replies: list[tuple[str, str, EngineReply]]
) -> None:
    assert [each.problem for each in of(name, replies)] == [problem, problem]


@SLOW
def test_an_engine_that_hangs(questions: list[Question]) -> None:
    (reply,) = asked("hangs", questions[:1], limit=0.2)
    assert reply.problem == "gave no answer within 0.2 s"


@SLOW
def test_an_engine_that_is_not_installed(replies: list[tuple[str, str, EngineReply]]) -> None:
    for each in of("absent", replies):
        assert each.answer is None
        assert "not_installed_anywhere" in (each.problem or "")


@SLOW
def test_an_engine_that_prints_megabytes(
    questions: list[Question], capfd: pytest.CaptureFixture[str]
) -> None:
    assert all(reply.answer is not None for reply in asked("prints", questions))
    assert capfd.readouterr() == ("", "")


@SLOW
def test_an_engine_goes_on_after_a_crash(replies: list[tuple[str, str, EngineReply]]) -> None:
    first, second = of("once", replies)
    assert first.problem == "crashed: ended with status 1"
    assert second.answer is not None
    assert set(second.made_by) == {"numpy"}


@SLOW
def test_the_others_are_not_harmed_and_answers_come_in_order(
    replies: list[tuple[str, str, EngineReply]],
) -> None:
    assert [(engine, case) for engine, case, _ in replies] == [
        (name, case) for name in WRONG for case in ("dyestuff", "dyestuff2")
    ]
    answered = [(engine, case) for engine, case, reply in replies if reply.answer is not None]
    assert answered == [("good", "dyestuff"), ("good", "dyestuff2"), ("once", "dyestuff2")]


def test_an_audit_names_the_reason_and_goes_on() -> None:
    audit = run_audit([case("dyestuff")], engines=["crashes", "absent", "lme4"])
    assert audit.cells["crashes", "dyestuff"].problem == "crashed: ended with status 3"
    assert "not_installed_anywhere" in (audit.cells["absent", "dyestuff"].problem or "")
    assert audit.cells["lme4", "dyestuff"].digits is not None
    assert not audit.failed


@pytest.mark.slow(reason="three processes that load all there is; tox -e audit has them too")
def test_two_examiners_find_what_one_finds(small_audit: Audit) -> None:
    one = small_audit
    two = run_audit(one.cases, engines=one.engines, entries=(), processes=2)
    pd.testing.assert_frame_equal(one.comparisons, two.comparisons)
    pd.testing.assert_frame_equal(one.stops, two.stops)
    assert [f.cause for f in one.findings] == [f.cause for f in two.findings] != []


@pytest.mark.slow(reason="a process that loads all there is")
def test_an_examiner_that_fails_names_the_case() -> None:
    examiner = RemoteExaminer()
    with pytest.raises(RuntimeError, match="Examining dyestuff: KeyError: 'dyestuff'"):
        examiner.finish("dyestuff", {})  # which never began
    examiner.stop()
