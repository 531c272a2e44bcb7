"""Who examines cases: in this process, or several at once in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rparity.audit.child import Desk, describe
from rparity.audit.examine import Examination, Examined
from rparity.audit.matter import Matter, matter_of
from rparity.audit.results import Reply
from rparity.audit.workers import START
from rparity.cases import case
from rparity.engines.base import Answer, Question
from rparity.workers.child import Child
from rparity.workers.serve import serve


class Clerk:
    """Examines cases in two steps; between them, engines are asked again."""

    def __init__(self) -> None:
        self._open: dict[str, Examination] = {}

    def begin(
        self,
        matter: Matter,
        engines: Sequence[str],
        replies: Mapping[str, Reply],
        *,
        thorough: bool,
    ) -> tuple[list[str], list[Question]]:
        """Examine the replies, and return which engines to ask again, and what."""
        examination = Examination(matter, engines, replies, thorough=thorough)
        self._open[matter.case.name] = examination
        return examination.questions()

    def finish(self, name: str, answers: Mapping[str, Sequence[Answer | None]]) -> Examined:
        """Examine what came of it."""
        return self._open.pop(name).hear(answers)

    def stop(self) -> None:
        """Nothing is left behind."""


class Remote(Clerk):
    """A clerk in a process of its own, who looks cases up by name.

    Raises
    ------
    RuntimeError
        For whatever goes wrong there: a clerk has no business to fail.
    """

    def __init__(self) -> None:
        self._child = Child("rparity.audit.clerk:serve_clerk", limit=START)

    def begin(
        self,
        matter: Matter,
        engines: Sequence[str],
        replies: Mapping[str, Reply],
        *,
        thorough: bool,
    ) -> tuple[list[str], list[Question]]:
        """Have the replies examined."""
        found: tuple[list[str], list[Question]] = self._ask(
            "begin",
            matter.case.name,
            matter.fixtures,
            matter.recording.folder.name,
            engines,
            replies,
            thorough,
        )
        return found

    def finish(self, name: str, answers: Mapping[str, Sequence[Answer | None]]) -> Examined:
        """Have examined what came of it."""
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


def serve_clerk(pipe: Connection) -> None:
    """Examine what comes."""
    serve(pipe, _desk, describe)


def _desk() -> Desk:
    """Return what the process of a remote clerk does."""
    clerk = Clerk()

    def begin(name: str, fixtures: Path, *rest: Any) -> tuple[list[str], list[Question]]:
        version, engines, replies, thorough = rest
        matter = matter_of(case(name), fixtures, version)
        return clerk.begin(matter, engines, replies, thorough=thorough)

    steps: Mapping[str, Callable[..., Any]] = {"begin": begin, "finish": clerk.finish}
    return lambda call: steps[call[0]](*call[1:]), {}
