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
    kept = [value for value in values if quick(value)]
    assert 0 < len(kept) < len(values), "some values must be quick, and some slow"
    slow = pytest.mark.slow(reason=reason)
    return [
        value
        if value in kept
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=slow)
        for value in values
    ]
