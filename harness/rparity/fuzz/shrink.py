"""Reduce a design with an unexplained difference to the smallest data set that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rparity.errors import RparityError
from rparity.fuzz.design import Covariate, Design
from rparity.fuzz.judge import FuzzResult, FuzzVerdict
from rparity.fuzz.problem import Problem

T = TypeVar("T")
Shows = Callable[[Problem], bool]
MOST_TRIALS = 300
DIGITS = (1, 2, 3, 4, 6)


def same_as(first: FuzzResult, judge: Callable[[Problem], FuzzResult]) -> Shows:
    """Return the condition to keep: a difference without a cause in one of the same tables."""

    def shows(problem: Problem) -> bool:
        try:
            judged = judge(problem)
        except RparityError:
            return False
        return judged.verdict is FuzzVerdict.UNEXPLAINED and bool(
            set(judged.open) & set(first.open)
        )

    return shows


def shrink(design: Design, shows: Shows) -> Problem:
    """Remove from the design, and then from its data, all that the difference does not need.

    Hypothesis can only shrink examples that it has just drawn, not stored designs.
    """
    left = MOST_TRIALS

    def still(problem: Problem) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and shows(problem)

    simpler: Design | None = design
    while simpler is not None:
        design = simpler
        simpler = next((d for d in simplifications(design) if still(_problem(d))), None)
    problem = _problem(design)
    data = problem.data.dropna()
    if len(data) < len(problem.data) and still(problem.of(data)):
        problem = problem.of(data)
    for group in [name for name in map(str, problem.data) if name.startswith("g")]:
        problem = _fewer(problem, problem.data[group].astype(str).to_numpy(), still)
    before = len(problem.data) + 1
    while len(problem.data) < before:
        before = len(problem.data)
        problem = _fewer(problem, np.arange(before), still)
    return _rounded(problem, still)


def _problem(design: Design) -> Problem:
    return Problem(design.part(), design.data())


def simplifications(design: Design) -> Iterator[Design]:
    """Yield simpler designs, those that lack most first."""
    half = len(design.sizes) // 2
    if half >= 2:
        yield replace(design, sizes=design.sizes[:half])
        yield replace(design, sizes=design.sizes[half:])
    if max(design.sizes) > 1:
        yield replace(design, sizes=tuple((size + 1) // 2 for size in design.sizes))
    for i in reversed(range(len(design.groupings))):
        if len(design.groupings) > 1:
            yield replace(design, groupings=_without(design.groupings, i))
    for i in reversed(range(len(design.covariates))):
        yield replace(design, covariates=_without(design.covariates, i))
    for i in reversed(range(len(design.factors))):
        yield replace(design, factors=_without(design.factors, i))
    if design.interaction:
        yield replace(design, interaction=False)
    plain = Design(design.sizes)
    for name in ("weights", "offset", "missing", "scale", "shift"):
        if getattr(design, name) != getattr(plain, name):
            changes: dict[str, Any] = {name: getattr(plain, name)}
            yield replace(design, **changes)
    for i, grouping in enumerate(design.groupings):
        for changed in (
            replace(grouping, slope="none"),
            replace(grouping, ratio=1.0),
            replace(grouping, levels=max(2, grouping.levels // 2)),
        ):
            if changed != grouping:
                yield replace(design, groupings=_instead(design.groupings, i, changed))
    for i, covariate in enumerate(design.covariates):
        if covariate != Covariate():
            yield replace(design, covariates=_instead(design.covariates, i, Covariate()))
    for i, factor in enumerate(design.factors):
        if factor.levels > 2:
            yield replace(design, factors=_instead(design.factors, i, replace(factor, levels=2)))


def _without(items: tuple[T, ...], i: int) -> tuple[T, ...]:
    return items[:i] + items[i + 1 :]


def _instead(items: tuple[T, ...], i: int, item: T) -> tuple[T, ...]:
    return (*items[:i], item, *items[i + 1 :])


def _fewer(problem: Problem, labels: NDArray[Any], still: Shows) -> Problem:
    """Leave out the rows of as many labels as possible: first half of them, then fewer at once."""
    names = list(dict.fromkeys(labels.tolist()))
    size = max(1, len(names) // 2)
    while True:
        at = 0
        while at < len(names):
            keep = names[:at] + names[at + size :]
            smaller = problem.of(problem.data[np.isin(labels, keep)])
            if len(smaller.data) >= 2 and still(smaller):
                labels = labels[np.isin(labels, keep)]
                problem, names = smaller, keep
            else:
                at += size
        if size == 1:
            return problem
        size //= 2


def _rounded(problem: Problem, still: Shows) -> Problem:
    """Round each column to as few digits as possible."""
    for name in problem.data.select_dtypes("float"):
        for digits in DIGITS:
            rounded = problem.data.copy()
            rounded[name] = [float(f"{x:.{digits}g}") for x in rounded[name]]
            if still(problem.of(rounded)):
                problem = problem.of(rounded)
                break
    return problem
