"""The work of one worker: fit a design, judge it and record it, with an R that stays up."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from rparity.errors import RCrashedError, RNotAvailableError, RparityError, RTimeoutError
from rparity.fuzz.draw import Numbered
from rparity.fuzz.judge import US, FuzzResult, FuzzVerdict, judge
from rparity.fuzz.others import judge_other
from rparity.fuzz.problem import LiveR, Problem, RProtocol
from rparity.fuzz.store import Record
from rparity.r.session import RSession

TRIES = 2
T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """What all designs share: the engines, and the seconds that a call of R may take."""

    engines: tuple[str, ...]
    limit: float


@cache
def live_r(limit: float) -> LiveR:
    """Return this process's R."""
    return LiveR(RSession(timeout=limit))


def with_retry(ask: Callable[[], T]) -> T:
    """Ask R, and ask once more if it died, took too long or did not start.

    Raises
    ------
    RCrashedError, RTimeoutError, RNotAvailableError
        If the last try fails, too.
    """
    for _ in range(TRIES - 1):
        with suppress(RCrashedError, RTimeoutError, RNotAvailableError):
            return ask()
    return ask()


def answered(work: Work, item: Numbered) -> list[Record]:
    """Judge a design for every engine.

    If R crashes or takes too long, it is asked once more; then the design is `crashed`.

    Raises
    ------
    RNotAvailableError
        If there is no R.
    """
    r, began = live_r(work.limit), time.perf_counter()
    r.seconds = 0.0
    problem = Problem(item.design.part(), item.design.data())

    def ask() -> tuple[list[FuzzResult], str]:
        found = [judged(problem, name, r, work.limit) for name in work.engines]
        return found, json.dumps(r.session.versions())

    try:
        found, made_by = with_retry(ask)
    except (RCrashedError, RTimeoutError) as error:
        why = f"{item}: {error}"
        found = [FuzzResult(name, FuzzVerdict.CRASHED, says=why) for name in work.engines]
        made_by = ""
    return records(item, found, r.seconds, time.perf_counter() - began, made_by)


def judged(problem: Problem, name: str, r: RProtocol, limit: float) -> FuzzResult:
    """Judge this package or another engine. An unexpected exception is reported as unexplained.

    Raises
    ------
    RparityError
        If R is missing, dies, or takes too long.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about rank deficiency, for example: R warns as well
        try:
            return judge(problem, r) if name == US else judge_other(problem, name, r, limit)
        except RparityError:
            raise
        except Exception as error:  # a defect: what fuzzing looks for
            says = f"{type(error).__name__}: {error}"
            return FuzzResult(name, FuzzVerdict.UNEXPLAINED, open=("error",), says=says)


def crashed(item: Numbered, engines: Sequence[str], error: Exception) -> list[Record]:
    """Record a design that killed two workers."""
    found = [FuzzResult(name, FuzzVerdict.CRASHED, says=str(error)) for name in engines]
    return records(item, found, 0.0, 0.0, "")


def records(
    item: Numbered, found: Sequence[FuzzResult], r_seconds: float, seconds: float, made_by: str
) -> list[Record]:
    """Return a record for each engine. The first has the time of the whole design."""
    design = item.design
    made = [
        Record(
            number=item.number,
            engine=judged.engine,
            verdict=judged.verdict.value,
            causes=json.dumps(dict(judged.causes)),
            digits=json.dumps(dict(judged.digits)),
            open=" ".join(judged.open),
            says=judged.says,
            rows=design.rows,
            formula=design.formula,
            r_seconds=r_seconds,
            seconds=seconds,
            design=design.as_json(),
            made_by=made_by,
        )
        for judged in found
    ]
    return [made[0], *(replace(each, r_seconds=0.0, seconds=0.0) for each in made[1:])]
