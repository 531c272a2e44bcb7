"""Designs by number: Hypothesis draws them in blocks, each from a seed of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from rparity.fuzz.design import Design

# Drawing this many designs at once is faster.
BLOCK = 20


@dataclass(frozen=True)
class Numbered:
    """A design and its number under a seed."""

    seed: int
    number: int
    design: Design

    def __str__(self) -> str:
        """Return the name that messages use."""
        return f"Design {self.number} of seed {self.seed}"


class Designs:
    """The designs with some numbers. They are drawn when iterated; the length is known before."""

    def __init__(self, seed: int, numbers: Collection[int]) -> None:
        self._seed = seed
        self._numbers = sorted(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Numbered]:
        return (Numbered(self._seed, k, design(self._seed, k)) for k in self._numbers)


def design(seed: int, number: int) -> Design:
    """Return design `number`, counted from 0, of a seed. It depends on these two numbers alone."""
    block, place = divmod(number, BLOCK)
    return replace(_block(seed, block)[place], seed=_integer(seed, number, "numbers"))


@lru_cache(maxsize=4)
def _block(seed: int, block: int) -> tuple[Design, ...]:
    # No design depends on what Hypothesis keeps, by default in `.hypothesis` of the working folder.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from rparity.fuzz.strategies import designs

    drawn: list[tuple[Design, ...]] = []

    # Take the second example: Hypothesis' first is always the simplest, and later ones are mostly
    # variations of earlier ones.
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
    """Return 32 bits that depend on all the arguments."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")
