"""Indices for samples without weights: R's `R_unif_index`, of either sample kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rparity.rrandom.arrays import BLOCK, Ints
from rparity.rrandom.stream import Stream

HASH_ABOVE = 10_000_000  # above this n, sample.int() hashes if size <= n / 2
LARGEST_INT = 2**31 - 1  # above it Rounding makes each index of two uniforms


def indices(stream: Stream, n: int, size: int) -> Ints:
    """Draw integers from 0 to n - 1, `size` of them."""
    if stream.sample_kind == "Rounding":
        return _rounded(stream, np.full(1, n), size)
    out = np.empty(size, dtype=np.int64)
    done = 0
    while done < size:  # one candidate for each missing index, so that none is taken too many
        drawn = candidates(_rows_of_words(stream, n, min(size - done, BLOCK)), n)
        kept = drawn[drawn < n]
        out[done : done + kept.size] = kept
        done += kept.size
    return out


def distinct_indices(stream: Stream, n: int, size: int) -> Ints:
    """Draw `size` different integers from 0 to n - 1."""
    if n > HASH_ABOVE and size <= n / 2:
        out = np.empty(0, dtype=np.int64)
        while out.size < size:  # R's sample2: duplicates are drawn again
            out = np.concatenate([out, indices(stream, n, size - out.size)])
            out = out[np.sort(np.unique(out, return_index=True)[1])]
        return out
    return shuffled_indices(stream, n, size)


def shuffled_indices(stream: Stream, n: int, size: int) -> Ints:
    """Draw `size` different integers from 0 to n - 1, each from a list of those that are left."""
    left: Any = np.arange(n).data
    drawn = []
    for last, index in zip(range(n - 1, -1, -1), _falling(stream, n, size), strict=False):
        drawn.append(left[index])
        left[index] = left[last]
    return np.array(drawn, dtype=np.int64)


def words_for_index(n: int) -> int:
    """Return how many words a candidate for an index below n takes, 16 bits from each."""
    return _bits(n) // 16 + 1


def candidates(words: NDArray[np.uint64], n: int) -> Ints:
    """Make a candidate for an index (R's `rbits`) of each row of words; n or more is rejected."""
    value = np.zeros(len(words), dtype=np.int64)  # only up to 52 bits are kept: the sign is lost
    for word in words.T >> 16:
        value <<= 16
        value |= word.astype(np.int64)
    value &= 2 ** _bits(n) - 1
    return value


def _rows_of_words(stream: Stream, n: int, size: int) -> NDArray[np.uint64]:
    return stream.words(size * words_for_index(n)).reshape(size, -1)


def _falling(stream: Stream, n: int, size: int) -> Iterator[int]:
    """Draw indices below n, n - 1, n - 2, ..., `size` of them."""
    if stream.sample_kind == "Rounding":
        yield from _rounded(stream, np.arange(n, n - size, -1), size).tolist()
        return
    end = n - size
    while n > end:
        fewest = (1 << _bits(n)) >> 1  # once so few are left, an index takes one bit less
        tries = min(n - end, n - fewest, BLOCK)
        for index in candidates(_rows_of_words(stream, n, tries), n).tolist():
            if index < n:
                n -= 1
                yield index


def _rounded(stream: Stream, n: Ints, size: int) -> Ints:
    """Round n times a uniform down, as R did before 3.6; n is one value or as many as `size`."""
    if n[0] <= LARGEST_INT:
        return np.floor(n * stream.uniforms(size)).astype(np.int64)
    high, low = stream.uniforms(2 * size).reshape(size, 2).T
    return np.floor(n * ((np.floor(high * 2.0**25) + low) / 2.0**25)).astype(np.int64)


def _bits(n: int) -> int:
    return math.ceil(math.log2(n))
