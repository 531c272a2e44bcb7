"""R's unif_rand, norm_rand and exp_rand, one draw a call, as rejection methods need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import repeat, starmap
from typing import NamedTuple, TypeAlias

import numpy as np

from rparity.rrandom.arrays import BLOCK, Floats
from rparity.rrandom.exponential import one_exponential
from rparity.rrandom.normal import normals_from, one_normal
from rparity.rrandom.stream import SMALLEST_UNIFORM, WORD_UNIT, Stream, uniforms_from

FEW = 32  # below this number of draws, reading ahead costs more than it saves
AHEAD = 4  # words read ahead for each draw
SETUPS = 2**14  # rows of parameters whose constants are cached


class Source(NamedTuple):
    """The three functions of R from which all other draws are made."""

    unif_rand: Callable[[], float]
    norm_rand: Callable[[], float]
    exp_rand: Callable[[], float]


Draw: TypeAlias = Callable[[], float]
Sampler: TypeAlias = Callable[..., Draw]  # (source, *parameters) -> a function that draws


def each(stream: Stream, n: int, sampler: Sampler, *parameters: Floats) -> Floats:
    """Make n draws one after another, each by the function `sampler(source, *parameters)`.

    A parameter is one value or n. A sampler computes its constants once for each row of parameters.
    """
    with one_by_one(stream, n) as source:
        make = partial(sampler, source)
        if all(values.size == 1 for values in parameters):
            draw = make(*(float(values[0]) for values in parameters))
            return np.fromiter(starmap(draw, repeat((), n)), np.float64, count=n)
        make_once = lru_cache(SETUPS)(make)
        draws = (make_once(*row)() for row in _rows(n, parameters))
        return np.fromiter(draws, np.float64, count=n)


def _rows(n: int, parameters: tuple[Floats, ...]) -> Iterator[tuple[float, ...]]:
    columns = [np.broadcast_to(values, n) for values in parameters]
    for start in range(0, n, BLOCK):
        yield from zip(*(column[start : start + BLOCK].tolist() for column in columns), strict=True)


@contextmanager
def one_by_one(stream: Stream, draws: int) -> Iterator[Source]:
    """Yield a source of single draws; the stream then continues after the last word used."""
    if draws < FEW:
        yield _word_by_word(stream)
        return
    mark = stream.mark()
    source, used = _reading_ahead(stream, min(BLOCK, AHEAD * draws))
    try:
        yield source
    finally:
        stream.rewind(mark, used())


def _word_by_word(stream: Stream) -> Source:
    word = stream.word

    def unif_rand() -> float:
        return max(word() * WORD_UNIT, SMALLEST_UNIFORM)

    def norm_rand() -> float:
        return one_normal(word(), unif_rand())

    return Source(unif_rand, norm_rand, partial(one_exponential, unif_rand))


def _reading_ahead(stream: Stream, block: int) -> tuple[Source, Callable[[], int]]:
    """Return a source that reads words in blocks, and a function that counts the words used.

    Normals are computed for a whole block, as if one began at each word.
    """
    words = np.empty(block + 1, dtype=np.uint64)
    words[-1] = stream.word()
    u, z, scratch = np.empty(block + 1), np.empty(block), np.empty((3, block))
    uniform: list[float] = []
    normal: list[float] = []
    at, past = block, -block

    def read() -> None:
        nonlocal at, past, uniform
        words[0] = words[-1]  # a normal that began with the last word needs the next one too
        words[1:] = stream.words(block)
        uniforms_from(words, u)
        uniform = u.tolist()
        normal.clear()
        at -= block
        past += block

    def unif_rand() -> float:
        nonlocal at
        if at >= block:
            read()
        at += 1
        return uniform[at - 1]

    def norm_rand() -> float:
        nonlocal at
        if at >= block:
            read()
        if not normal:
            normals_from(words[:-1], u[1:], z, scratch)
            normal.extend(z.tolist())
        at += 2
        return normal[at - 2]

    return Source(unif_rand, norm_rand, partial(one_exponential, unif_rand)), lambda: past + at
