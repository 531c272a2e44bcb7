"""The order in which a sparse symmetric matrix is factorised: nested dissection into fronts.

A *front* is a set of rows that are eliminated together, as one dense block. Separators divide the
graph of the matrix into parts that do not touch (George 1973; Lipton, Rose and Tarjan 1979). They
are eliminated after these parts, so the fronts form a tree: what is left of a part concerns the
separators above it only. A separator is one level of a breadth-first search, which is good for
graphs that are long or fall into parts, as nearly nested factors do. Where no separator is small,
the rows stay together in one front. So a dense matrix is a tree with one front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra

Index = NDArray[np.intp]

# Parts of the graph with at most so many rows are not divided further.
PART = 12
# A part is divided only if the separator has at most this share of its rows.
SEPARATOR = 1 / 3
# The most often that parts are divided one within another.
ROUNDS = 60
# Rows with more than this number times √q of neighbours are eliminated last (as in AMD).
HUB = 10.0
# Sizes of fronts are rounded up to one of these, or to a multiple of the last: then many fronts
# have the same shape, and are computed at once.
SIZES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])


@dataclass(frozen=True)
class Tree:
    """Fronts of q rows: `front` (q,) has the front of each row, `round` (F,) its depth.

    Fronts with a larger number are eliminated earlier; a front's parent has a smaller round.
    `owner` and `member` have all pairs of a front and a row that its elimination changes, sorted:
    these rows belong to fronts above it.
    """

    front: Index
    round: Index
    owner: Index
    member: Index

    @classmethod
    def single(cls, q: int) -> Tree:
        """Put all rows in one front: dense algebra."""
        none = np.zeros(0, dtype=np.intp)
        return cls(np.zeros(q, dtype=np.intp), np.zeros(1, dtype=np.intp), none, none)

    @classmethod
    def dissect(cls, pattern: sp.csr_array) -> Tree:
        """Dissect the graph of a symmetric matrix (q, q)."""
        graph = sp.csr_array(
            (np.ones(pattern.nnz, dtype=np.int8), pattern.indices, pattern.indptr),
            shape=pattern.shape,
        )
        front, rounds = _fronts(graph)
        return cls(front, rounds, *_changed(graph, front, rounds))

    @cached_property
    def order(self) -> Index:
        """The rows in the order of their elimination, (q,)."""
        return np.argsort(-self.front, kind="stable")

    @cached_property
    def place(self) -> Index:
        """The place of each row in that order, (q,)."""
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(place))
        return place

    @cached_property
    def widths(self) -> tuple[Index, Index]:
        """How many rows each front eliminates, and how many others it changes, (F,)."""
        F = len(self.round)
        return np.bincount(self.front, minlength=F), np.bincount(self.owner, minlength=F)

    @property
    def work(self) -> float:
        """Multiplications of a factorisation and of the selected inverse."""
        pivots, others = (each.astype(np.float64) for each in self.widths)
        side = pivots + others
        return float((pivots * side**2).sum())


def padded(sizes: Index) -> Index:
    """Round sizes up to `SIZES`, or to a multiple of its last."""
    last = int(SIZES[-1])
    small = SIZES[np.searchsorted(SIZES, np.minimum(sizes, last))]
    return np.where(sizes <= last, small, -(-sizes // last) * last)


def _fronts(graph: sp.csr_array) -> tuple[Index, Index]:
    """Return the front of each row, and the round in which each front was found."""
    q = graph.shape[0]
    front = np.full(q, -1, dtype=np.intp)
    rounds: list[int] = []
    degree = np.diff(graph.indptr)
    hubs = np.flatnonzero(degree > max(16.0, HUB * np.sqrt(q)))
    if len(hubs):
        front[hubs] = 0
        rounds.append(0)
    rows = np.flatnonzero(front < 0)
    depth = len(rounds)
    while len(rows):
        part = graph[rows][:, rows]
        label = connected_components(part, directed=False)[1].astype(np.intp)
        chosen = _separators(part, label) if depth < ROUNDS else np.ones(len(rows), dtype=bool)
        # Each part that a separator divides, and each that is not divided, has one new front.
        _, new = np.unique(label[chosen], return_inverse=True)
        front[rows[chosen]] = len(rounds) + new
        rounds += [depth] * (int(new.max()) + 1)
        rows = rows[~chosen]
        depth += 1
    return front, np.array(rounds, dtype=np.intp)


def _separators(graph: sp.csr_array, label: Index) -> NDArray[np.bool_]:
    """Choose the rows of the next fronts: of small parts all, of others a separator."""
    sizes = np.bincount(label)
    whole = sizes <= PART
    large = np.flatnonzero(~whole[label])
    if not len(large):
        return whole[label]
    # Breadth-first from a row that is far from another one (Gibbs, Poole and Stockmeyer 1976).
    start = large[np.unique(label[large], return_index=True)[1]]
    distance = _distances(graph, start)
    for _ in range(2):
        ranked = large[np.lexsort((distance[large], label[large]))]
        start = ranked[np.append(label[ranked][1:] != label[ranked][:-1], True)]
        distance = _distances(graph, start)
    # The smallest level with at most two thirds of the part on either side. The last level cannot
    # divide: if half of the part is there, the level before it is taken.
    depth = int(distance[large].max()) + 1
    levels, counts = np.unique(label[large] * depth + distance[large], return_counts=True)
    part, level = levels // depth, levels % depth
    after = np.cumsum(counts)
    ends = np.flatnonzero(np.append(part[1:] != part[:-1], True))
    after -= np.repeat(np.append(0, after[ends[:-1]]), np.diff(np.append(-1, ends)))
    before, total = after - counts, sizes[part]
    middle = (3 * before <= 2 * total) & (3 * after >= total)
    middle[ends] = False
    middle[ends - 1] |= 2 * before[ends] <= total[ends]
    best = np.lexsort((counts, ~middle, part))
    best = best[np.append(True, part[best][1:] != part[best][:-1])]
    cut = np.full(len(sizes), -1, dtype=np.intp)
    cut[part[best]] = level[best]
    # Of the level, only rows with a neighbour on the next one are needed.
    i, j = graph.nonzero()
    needed = np.zeros(len(label), dtype=bool)
    needed[i[(distance[i] == cut[label[i]]) & (distance[j] == distance[i] + 1)]] = True
    needed &= ~whole[label]
    size = np.bincount(label, needed, minlength=len(sizes))
    whole |= (size == 0) | (size > SEPARATOR * sizes)
    return needed | whole[label]


def _distances(graph: sp.csr_array, start: Index) -> Index:
    """Return the number of steps from the nearest of some rows to each row."""
    found = dijkstra(graph, directed=False, indices=start, unweighted=True, min_only=True)
    return np.where(np.isfinite(found), found, 0).astype(np.intp)


def _changed(graph: sp.csr_array, front: Index, rounds: Index) -> tuple[Index, Index]:
    """Return the pairs of fronts and rows above them that their elimination changes."""
    q = len(front)
    i, j = graph.nonzero()
    above = front[j] < front[i]
    owner, member = front[i][above], j[above].astype(np.intp)
    by_round = rounds[owner]
    keys: list[Index] = []
    inherited = np.zeros(0, dtype=np.intp)
    waiting: dict[int, list[Index]] = {}
    for depth in range(int(rounds.max()), -1, -1):
        own = owner[by_round == depth] * q + member[by_round == depth]
        inherited = np.concatenate([own, *waiting.pop(depth, [])])
        found = np.unique(inherited)
        keys.append(found)
        who, what = found // q, found % q
        if not len(who):
            continue
        # The parent is the deepest front above: the one with the largest number.
        parent = np.full(len(rounds), -1, dtype=np.intp)
        np.maximum.at(parent, who, front[what])
        up = front[what] != parent[who]
        passed = parent[who[up]] * q + what[up]
        for level in np.unique(rounds[parent[who[up]]]):
            at = rounds[parent[who[up]]] == level
            waiting.setdefault(int(level), []).append(passed[at])
    every = np.sort(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.intp)
    return every // q, every % q
