"""Indices for weighted samples, R's `sample(prob=)`: by search, or by aliases if there are many.

Walker (1977), ACM Transactions on Mathematical Software 3, 253-256; Ripley (1987), Stochastic
Simulation, algorithm 3.13B.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rparity.errors import UsageError
from rparity.rrandom.arrays import BLOCK, Floats, Ints, Parameter, visited
from rparity.rrandom.indices import candidates, words_for_index
from rparity.rrandom.stream import Stream, uniforms_from

MANY = 200  # with more probabilities above 0.1 / n than this, R uses Walker's aliases


def probabilities(prob: Parameter, n: int, size: int, replace: bool) -> Floats:
    """Return the weights divided by their sum; raises UsageError if R would not take them."""
    try:
        weights = np.asarray(prob, dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.empty(0)
    if weights.shape != (n,):
        raise UsageError(f"prob must be one number for each of the {n} elements.")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise UsageError("prob must not have negative, infinite or NaN values.")
    positive = np.count_nonzero(weights)
    if positive == 0 or (size > positive and not replace):
        raise UsageError(f"A sample of {size} needs more than {positive} positive values in prob.")
    total: float = np.add.accumulate(weights)[-1]  # summed in order, as R does
    return weights / total


def weighted_indices(stream: Stream, p: Floats, size: int) -> Ints:
    """Draw `size` indices of p, with replacement."""
    if np.count_nonzero(p.size * p > 0.1) > MANY:
        return _by_aliases(stream, p, size)
    order = descending(p)
    return order[np.add.accumulate(p[order])[:-1].searchsorted(stream.uniforms(size))]


def distinct_weighted_indices(stream: Stream, p: Floats, size: int) -> Ints:
    """Draw `size` indices of p, without replacement."""
    order = descending(p)
    p = p[order]
    mass = np.add.accumulate(p)
    total = 1.0
    drawn = np.empty(size, dtype=np.int64)
    for draw, u in enumerate(stream.uniforms(size).tolist()):
        last = p.size - 1 - draw
        j = int(mass[:last].searchsorted(total * u))
        drawn[draw] = order[j]
        total -= float(p[j])
        p[j:last] = p[j + 1 : last + 1]
        order[j:last] = order[j + 1 : last + 1]
        if j < last:  # the sums before j do not change
            mass[j:last] = p[j:last]
            mass[j] += mass[j - 1] if j else 0.0
            np.add.accumulate(mass[j:last], out=mass[j:last])
    return drawn


def descending(p: Floats) -> Ints:
    """Return the order of decreasing p, ties included, that R's heapsort `revsort` gives."""
    order = np.argsort(-p)
    if (p[order[1:]] < p[order[:-1]]).all():
        return order
    heap = list(zip(p.tolist(), range(p.size), strict=True))
    for root in range(p.size // 2 - 1, -1, -1):
        _sift(heap, heap[root], root, p.size)
    for end in range(p.size - 1, 0, -1):
        item, heap[end] = heap[end], heap[0]
        _sift(heap, item, 0, end)
    return np.array([index for _, index in heap])


def _sift(heap: list[tuple[float, int]], item: tuple[float, int], hole: int, end: int) -> None:
    """Sift item down from `hole` in a heap of `end` elements whose least is at the top."""
    while (child := 2 * hole + 1) < end:
        if child + 1 < end and heap[child + 1][0] < heap[child][0]:
            child += 1
        if not heap[child][0] < item[0]:
            break
        heap[hole] = heap[child]
        hole = child
    heap[hole] = item


def _by_aliases(stream: Stream, p: Floats, size: int) -> Ints:
    """Draw an index and a uniform, which decides between the index and its alias."""
    keep, alias = _aliases(p)
    if stream.sample_kind == "Rounding":
        place = p.size * stream.uniforms(size)
        index = place.astype(np.int64)
    else:
        index, fraction = _indices_and_uniforms(stream, p.size, size)
        place = index + fraction
    return np.where(place < keep[index], index, alias[index])


def _indices_and_uniforms(stream: Stream, n: int, size: int) -> tuple[Ints, Floats]:
    """Draw `size` times an index below n, then a uniform.

    A candidate for an index is made at every word, then followed from one to the next, which is a
    uniform later if the index is accepted. Only the words that the missing draws need at least are
    read at a time.
    """
    index, fraction = np.empty(size, dtype=np.int64), np.empty(size)
    width = words_for_index(n)
    words = np.empty(0, dtype=np.uint64)
    done = 0
    while done < size:
        wanted = min(size - done, BLOCK) * (width + 1)
        words = np.concatenate([words, stream.words(wanted - words.size)])
        tried = candidates(sliding_window_view(words[:-1], width), n)
        accepted = tried < n
        following = np.arange(width, width + tried.size) + accepted
        at = visited(np.append(np.minimum(following, tried.size), tried.size))
        rest = words[following[at[-1]] :]
        at = at[accepted[at]]
        rows = slice(done, done + at.size)
        index[rows] = tried[at]
        uniforms_from(words[at + width], fraction[rows])
        words = rest
        done += at.size
    return index, fraction


def _aliases(p: Floats) -> tuple[Floats, Ints]:
    """Return the limits up to which index + uniform keeps the index, and the aliases."""
    n = p.size
    q = p * n
    is_small = q < 1.0
    small = np.flatnonzero(is_small)
    queue = np.concatenate([small, np.flatnonzero(~is_small)[::-1]]).tolist()
    share, alias, giver = q.tolist(), list(range(n)), small.size
    if 0 < giver < n:
        for taker in queue[:-1]:
            alias[taker] = j = queue[giver]
            share[j] += share[taker] - 1.0
            giver += share[j] < 1.0
            if giver == n:
                break
    return np.arange(n) + share, np.array(alias)
