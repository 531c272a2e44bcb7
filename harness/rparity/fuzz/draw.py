"""Designs by their numbers: some at once, drawn by Hypothesis from a seed of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from rparity.fuzz.design import Design

# Designs that are drawn at once, which costs less.
BLOCK = 20


@dataclass(frozen=True)
class Numbered:
    """A design and its number under a seed."""

    seed: int
    number: int
    design: Design

    def __str__(self) -> str:
        """Return what a crash is named by."""
        return f"Design {self.number} of seed {self.seed}"


class Designs:
    """The designs of some numbers, drawn as they are asked for; its length is known before."""

    def __init__(self, seed: int, numbers: Collection[int]) -> None:
        self._seed = seed
        self._numbers = sorted(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Numbered]:
        return (Numbered(self._seed, k, design(self._seed, k)) for k in self._numbers)


def design(seed: int, number: int) -> Design:
    """Return design `number`, from 0, under a seed: it depends on these two alone."""
    block, place = divmod(number, BLOCK)
    return replace(_block(seed, block)[place], seed=_integer(seed, number, "numbers"))


@lru_cache(maxsize=4)
def _block(seed: int, block: int) -> tuple[Design, ...]:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from rparity.fuzz.strategies import designs

    drawn: list[tuple[Design, ...]] = []

    # The second example: the first one is always the simplest of all, and those after the second
    # are mostly made from those before.
    @seeded(_integer(seed, block))
    @settings(
        max_examples=2,
        phases=[Phase.generate],
        database=None,
        derandomize=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*[designs()] * BLOCK))
    def draw(found: tuple[Design, ...]) -> None:
        drawn.append(found)

    draw()
    return drawn[-1]


def _integer(*parts: object) -> int:
    """Return 32 bits that depend on all the parts."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")
