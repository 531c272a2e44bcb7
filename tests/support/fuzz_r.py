"""A stand-in for R in tests of `rparity fuzz`: this package's own answers, made worse on demand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rparity.engines.base import Answer
from rparity.engines.native import lmer_tables
from rparity.errors import RCrashedError
from rparity.fuzz.problem import PART, Problem, refused
from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]


class FakeSession:
    def versions(self) -> dict[str, str]:
        return {"R": "4.2.2", "lme4": "1.1-31"}


@dataclass
class FakeR:
    """Answers at `moved(θ̂)`; `refuses` says of a problem that R cannot; `dies` so many times."""

    moved: Callable[[Array], Array] = lambda theta: theta
    refuses: Callable[[Problem], bool] = lambda _problem: False
    fit: Callable[[Problem], LmerResults | str] = lambda problem: problem.mine
    dies: int = 0
    seconds: float = 0.0
    session: FakeSession = field(default_factory=FakeSession)

    def answer(self, _engine: str, problem: Problem) -> Answer:
        if self.dies:
            self.dies -= 1
            raise RCrashedError("R died during fuzz_answer().")
        fit = self.fit(problem)
        if isinstance(fit, str) or self.refuses(problem):
            return refused("R error: refused")
        fit = fit.at(self.moved(fit.theta_hat))
        tables = lmer_tables(fit, problem.part.kinds)
        return Answer({f"{PART}.{kind}": table for kind, table in tables.items()})

    def criterion(self, problem: Problem, theta: Array) -> Array:
        fit = self.fit(problem)
        assert isinstance(fit, LmerResults)
        return np.array([fit.at(column).criterion for column in theta.T])


def stored(folder: Path) -> int:
    """Return the number of designs in a store that may not be there yet."""
    try:
        with closing(sqlite3.connect(folder / "fuzz.sqlite")) as db:
            return int(db.execute("SELECT count(*) FROM designs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
