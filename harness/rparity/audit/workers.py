"""Engines in processes of their own: a crash or a hang costs one answer, not the audit."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from rparity.audit.results import EngineReply
from rparity.engines.base import Question
from rparity.workers.child import Child, ChildError, NotLoadedError

# Seconds that an engine may take to load: some compile at their first import.
START = 60.0
ENGINE = "rparity.audit.child:serve_engine"


class EngineProcesses:
    """Engines, each in a process of its own that stays from one question to the next.

    `limit` is the time an answer may take, in seconds. As many engines work at once as the machine
    has processors.
    """

    def __init__(self, *, limit: float) -> None:
        self._limit = limit
        # After an interruption one thread ends the processes while others still start some.
        self._lock = threading.Lock()
        self._services: dict[str, Child] = {}
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._ended = True
            services = list(self._services.values())
        for service in services:
            service.stop()

    def ask(
        self,
        questions: Mapping[str, Sequence[Question]],
        *,
        on_answer: Callable[[int, str, str], None] | None = None,
    ) -> list[tuple[str, str, EngineReply]]:
        """Ask each engine its questions.

        `on_answer` is called after each answer with the number of answers so far, the engine and
        the case. Returns engine, case and reply in an order that does not depend on time.
        """
        count = itertools.count(1)

        def work(name: str) -> list[tuple[str, str, EngineReply]]:
            found = []
            for case, reply in self._ask(name, questions[name]):
                if on_answer is not None:
                    on_answer(next(count), name, case)
                found.append((name, case, reply))
            return found

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                return [reply for replies in pool.map(work, questions) for reply in replies]
            except BaseException:
                self.__exit__()  # otherwise the pool waits for the other answers
                raise

    def _ask(self, name: str, questions: Sequence[Question]) -> Iterator[tuple[str, EngineReply]]:
        broken: str | None = None
        for question in questions:
            if self._ended:
                return
            case, begun = question.case.name, time.monotonic()
            if broken is not None:
                yield case, EngineReply(None, broken)
                continue
            made_by: Mapping[str, str] = {}
            answer, problem = None, None
            try:
                service = self._service(name)
                answer, problem = service.ask(question, self._limit)
                made_by = service.greeting
            except ChildError as error:
                problem = str(error)
                broken = problem if isinstance(error, NotLoadedError) else None
                self._drop(name)
            yield case, EngineReply(answer, problem, time.monotonic() - begun, made_by)

    def _service(self, name: str) -> Child:
        with self._lock:
            if self._ended:
                raise NotLoadedError("was not asked: the audit has ended")
            if name not in self._services:
                self._services[name] = Child(ENGINE, name, limit=START)
            return self._services[name]

    def _drop(self, name: str) -> None:
        with self._lock:
            service = self._services.pop(name, None)
        if service is not None:
            service.stop()
