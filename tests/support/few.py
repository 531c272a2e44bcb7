"""Parameters of one claim: a few of them run under each Python, all of them once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], quick: Callable[[Any], bool], reason: str) -> list[Any]:
    """Mark as slow the values that are not quick; some must be, so that the claim is tested.

    A tuple is the values of several parameters.
    """
    values = list(values)
    kept = [bool(quick(value)) for value in values]
    assert 0 < sum(kept) < len(values), "some values must be quick, and some slow"
    slow = pytest.mark.slow(reason=reason)
    return [
        value
        if stays
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=slow)
        for value, stays in zip(values, kept, strict=True)
    ]


def first_of_each(values: Iterable[Any], kind: Callable[[Any], Any]) -> Callable[[Any], bool]:
    """Return what `mostly_slow` asks: whether a value is the first one of its kind."""
    firsts: dict[Any, Any] = {}
    for value in values:
        firsts.setdefault(kind(value), value)
    return lambda value: firsts[kind(value)] is value
