"""Engines in processes of their own: one that crashes or hangs costs its answer, not the audit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from rparity.engines.base import Answer, Question
from rparity.workers.child import Child, ChildError, NotLoadedError

# Seconds that an engine may take to load: some compile at their first import.
START = 60.0
ENGINE = "rparity.audit.child:serve_engine"


@dataclass(frozen=True)
class Told:
    """What became of one question: the answer, or the problem that kept the engine from one."""

    engine: str
    case: str
    answer: Answer | None
    problem: str | None
    seconds: float
    made_by: Mapping[str, str] = field(default_factory=dict)


class Engines:
    """Engines, each in a process of its own, which stays from one question to the next.

    `limit` is the time that an answer may take, in seconds; so many engines work at once as there
    are processors.
    """

    def __init__(self, *, limit: float) -> None:
        self._limit = limit
        # Threads add to them while another one, that was interrupted, ends them.
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
        on_answer: Callable[[Told], None] | None = None,
    ) -> list[Told]:
        """Ask each engine its questions; the order of the answers does not depend on time."""
        tell = on_answer or (lambda _found: None)

        def work(name: str) -> list[Told]:
            found = []
            for reply in self._ask(name, questions[name]):
                tell(reply)
                found.append(reply)
            return found

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                return [reply for replies in pool.map(work, questions) for reply in replies]
            except BaseException:
                self.__exit__()  # or the pool would wait for answers that nobody wants
                raise

    def _ask(self, name: str, questions: Sequence[Question]) -> Iterator[Told]:
        problem: str | None = None
        for question in questions:
            if self._ended:
                return
            case, begun = question.case.name, time.monotonic()
            if problem is not None:
                yield Told(name, case, None, problem, 0.0)
                continue
            made_by: Mapping[str, str] = {}
            answer, failed = None, None
            try:
                service = self._service(name)
                answer, failed = service.ask(question, self._limit)
                made_by = service.greeting
            except ChildError as error:
                failed = str(error)
                problem = failed if isinstance(error, NotLoadedError) else None
                self._drop(name)
            yield Told(name, case, answer, failed, time.monotonic() - begun, made_by)

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
