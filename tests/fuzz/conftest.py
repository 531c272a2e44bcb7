"""A bug in this package, planted, and an R that Python imitates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fuzz_r import Array, FakeR
from rparity.errors import RparityError
from rparity.fuzz import campaign, work
from rparity.fuzz.problem import Problem
from rparity.lmm.fit import LmerResults
from rparity.lmm.solver.model import MixedModel

RIGHT = LmerResults.fit.__func__  # type: ignore[attr-defined]
LEAST = 1.0


def planted(cls: type[LmerResults], model: MixedModel, y: Array, **options: Any) -> LmerResults:
    """The fit with a wrong bound, θ of 1 at least, where there are weights and an offset."""
    fit: LmerResults = RIGHT(cls, model, y, **options)
    if model.matrices.offset.any() and np.ptp(model.matrices.weights) > 0:
        return fit.at(np.maximum(fit.theta_hat, np.where(model.template.diagonal, LEAST, -np.inf)))
    return fit


def right(problem: Problem) -> LmerResults | str:
    model = problem.model
    if isinstance(model, str):
        return model
    try:
        fit: LmerResults = RIGHT(LmerResults, model, model.matrices.y, reml=problem.part.reml)
    except RparityError as error:
        return str(error)
    return fit


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> FakeR:
    """A planted bug in this package, and an R without it."""
    monkeypatch.setattr(LmerResults, "fit", classmethod(planted))
    return FakeR(fit=right)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeR], FakeR]:
    def use(r: FakeR) -> FakeR:
        for module in (work, campaign):
            monkeypatch.setattr(module, "live_r", lambda _limit: r)
        return r

    return use
