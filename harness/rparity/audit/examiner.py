"""Examiners find the causes of a case's differences, in this process or in one of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rparity.audit.audit_case import AuditCase, audit_case_of
from rparity.audit.child import Responder, describe
from rparity.audit.examine import Examination, Examined
from rparity.audit.results import EngineReply
from rparity.audit.workers import START
from rparity.cases import case
from rparity.engines.base import Answer, Question
from rparity.workers.child import Child
from rparity.workers.serve import serve


class Examiner:
    """Examines cases in two steps. Between the steps engines answer further questions."""

    def __init__(self) -> None:
        self._open: dict[str, Examination] = {}

    def begin(
        self,
        audited: AuditCase,
        engines: Sequence[str],
        replies: Mapping[str, EngineReply],
        *,
        thorough: bool,
    ) -> tuple[list[str], list[Question]]:
        """Examine the replies; return the engines to ask again, and the questions."""
        examination = Examination(audited, engines, replies, thorough=thorough)
        self._open[audited.case.name] = examination
        return examination.questions()

    def finish(self, name: str, answers: Mapping[str, Sequence[Answer | None]]) -> Examined:
        """Examine the further answers."""
        return self._open.pop(name).finish(answers)

    def stop(self) -> None:
        """Nothing has to be ended."""


class RemoteExaminer(Examiner):
    """An examiner in a process of its own, which looks cases up by name.

    Raises
    ------
    RuntimeError
        For any error there: examining a case must not fail.
    """

    def __init__(self) -> None:
        self._child = Child("rparity.audit.examiner:serve_examiner", limit=START)

    def begin(
        self,
        audited: AuditCase,
        engines: Sequence[str],
        replies: Mapping[str, EngineReply],
        *,
        thorough: bool,
    ) -> tuple[list[str], list[Question]]:
        """Let the process examine the replies."""
        found: tuple[list[str], list[Question]] = self._ask(
            "begin",
            audited.case.name,
            audited.fixtures,
            audited.recording.folder.name,
            engines,
            replies,
            thorough,
        )
        return found

    def finish(self, name: str, answers: Mapping[str, Sequence[Answer | None]]) -> Examined:
        """Let the process examine the further answers."""
        found: Examined = self._ask("finish", name, answers)
        return found

    def stop(self) -> None:
        """End the process."""
        self._child.stop()

    def _ask(self, *call: object) -> Any:
        found, problem = self._child.ask(call, None)
        if problem is not None:
            raise RuntimeError(f"Examining {call[1]}: {problem}")
        return found


def serve_examiner(pipe: Connection) -> None:
    """Examine the cases that come through the pipe."""
    serve(pipe, _responder, describe)


def _responder() -> Responder:
    """Return what the process of a remote examiner does."""
    examiner = Examiner()

    def begin(name: str, fixtures: Path, *rest: Any) -> tuple[list[str], list[Question]]:
        version, engines, replies, thorough = rest
        audited = audit_case_of(case(name), fixtures, version)
        return examiner.begin(audited, engines, replies, thorough=thorough)

    steps: Mapping[str, Callable[..., Any]] = {"begin": begin, "finish": examiner.finish}
    return lambda call: steps[call[0]](*call[1:]), {}
