"""What a worker does: one design answered, judged and recorded, on an R that stays up."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from harness.errors import RCrashedError, RparityError, RTimeoutError
from harness.fuzz.draw import Numbered
from harness.fuzz.judge import US, Judged, Outcome, judge
from harness.fuzz.others import judge_other
from harness.fuzz.problem import LiveR, Problem, Witness
from harness.fuzz.store import Record
from harness.rsession import RSession

TRIES = 2


@dataclass(frozen=True)
class Work:
    """What all the designs have in common: the engines, and seconds that a call of R may take."""

    engines: tuple[str, ...]
    limit: float


@cache
def live_r(limit: float) -> LiveR:
    """Return this process's R."""
    return LiveR(RSession(timeout=limit))


def answered(work: Work, item: Numbered) -> list[Record]:
    """Judge a design: one record an engine.

    R that crashes or takes too long is asked once more; then the design is `crashed`.
    """
    r, began = live_r(work.limit), time.perf_counter()
    r.seconds, why = 0.0, ""
    problem = Problem(item.design.part(), item.design.data())
    for _ in range(TRIES):
        try:
            found = [judged(problem, name, r, work.limit) for name in work.engines]
            break
        except (RCrashedError, RTimeoutError) as error:
            why = f"{item}: {error}"
    else:
        found = [Judged(name, Outcome.CRASHED, says=why) for name in work.engines]
    spent = r.seconds, time.perf_counter() - began
    return records(item, found, *spent, json.dumps(r.session.versions()))


def judged(problem: Problem, name: str, r: Witness, limit: float) -> Judged:
    """Judge this package, or another engine; an error that is nobody's fault but theirs is found.

    Raises
    ------
    RparityError
        Where R is not there, dies, or takes too long.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rank deficiency and the like: R warns as well
        try:
            return judge(problem, r) if name == US else judge_other(problem, name, r, limit)
        except RparityError:
            raise
        except Exception as error:  # a defect, which is what all this is after
            says = f"{type(error).__name__}: {error}"
            return Judged(name, Outcome.UNEXPLAINED, open=("error",), says=says)


def crashed(item: Numbered, engines: Sequence[str], error: Exception) -> list[Record]:
    """Record a design that cost two workers their lives."""
    found = [Judged(name, Outcome.CRASHED, says=str(error)) for name in engines]
    return records(item, found, 0.0, 0.0, "")


def records(
    item: Numbered, found: Sequence[Judged], r_seconds: float, seconds: float, made_by: str
) -> list[Record]:
    """Return a record an engine; the time is the first one's, which is all of the design's."""
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
