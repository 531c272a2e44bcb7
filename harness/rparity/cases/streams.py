"""The case `streams`: R's random streams, reduced to a few exact numbers for each seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Call, Case, rule
from rparity.compare import Tables
from rparity.errors import UsageError
from rparity.rrandom import RRandom, SampleKind

SEEDS = (0, 1, 42, -1, -2147483647, 2147483647, 123456789, 2022, 7, 65536)
N = 1_000_000
MOST = 2**20  # with more draws, doubles would not hold the checksums exactly


class Kind(NamedTuple):
    """A kind of draw: n / `share` draws from a stream with this `sample_kind`."""

    draw: Callable[[RRandom, int], NDArray[Any]]
    share: int = 1
    sample_kind: SampleKind = "Rejection"


def _sample_prob(rng: RRandom, n: int) -> NDArray[Any]:
    by_search = rng.sample(50, n, replace=True, prob=range(1, 51))
    by_aliases = rng.sample(1000, n, replace=True, prob=range(1, 1001))
    return np.concatenate([by_search, by_aliases, rng.sample(300, prob=100 * [1, 2, 3])])


def _sample_rounding(rng: RRandom, n: int) -> NDArray[Any]:
    any_of_many, permutation = rng.sample(1_000_000, n, replace=True), rng.sample(n)
    by_aliases = rng.sample(1000, n, replace=True, prob=range(1, 1001))
    return np.concatenate([any_of_many, permutation, by_aliases])


# The parameters are recycled. Together they reach every algorithm of R's generators.
SIZE, PROB = [1e6, 1000, 100, 60, 10, 1], [0.3, 0.02, 0.75, 0.99, 0.5]
MEAN = [1e6, 400, 25, 10, 9.9, 3, 0.1]
SHAPE, SCALE = [0.05, 0.7, 1, 2.5, 8, 40, 1e4], [0.3, 1, 7]
SHAPE1, SHAPE2 = [0.4, 1, 2.5, 20, 1000], [0.2, 1, 3, 50]

KINDS = {
    "runif": Kind(lambda rng, n: rng.runif(n)),
    "rnorm": Kind(lambda rng, n: rng.rnorm(n)),
    "rexp": Kind(lambda rng, n: rng.rexp(n)),
    "sample": Kind(lambda rng, n: rng.sample(1_000_000, n, replace=True)),
    "permutation": Kind(lambda rng, n: rng.sample(n)),
    "rbinom": Kind(lambda rng, n: rng.rbinom(n, SIZE, PROB), 50),
    "rpois": Kind(lambda rng, n: rng.rpois(n, MEAN), 50),
    "rgamma": Kind(lambda rng, n: rng.rgamma(n, SHAPE, scale=SCALE), 50),
    "rchisq": Kind(lambda rng, n: rng.rchisq(n, [0.3, 1, 2, 7, 90]), 50),
    "rt": Kind(lambda rng, n: rng.rt(n, [1, 2.5, 30, math.inf]), 50),
    "rbeta": Kind(lambda rng, n: rng.rbeta(n, SHAPE1, SHAPE2), 50),
    "sample_prob": Kind(_sample_prob, 50),
    "sample_rounding": Kind(_sample_rounding, 50, "Rounding"),
}


def stream_tables(seeds: Sequence[int] = SEEDS, n: int = N) -> dict[str, pd.DataFrame]:
    """Return what `streams(seeds, n)` of `r_scripts/streams.R` returns, from `RRandom`.

    Returns
    -------
    A table for each of `KINDS`, with a row for each seed and the columns `first`, `last`,
    `checksum`, `position_checksum` and `state_checksum`, all float64.

    Raises
    ------
    UsageError
        If n is not between 1 and 2**20, or a seed is not valid in R.
    """
    if not 1 <= n <= MOST:
        raise UsageError(f"The checksums are exact for 1 to {MOST} draws, not for {n}.")
    rows = [str(seed) for seed in seeds]
    return {
        name: pd.DataFrame([_summary(kind, seed, n) for seed in seeds], index=rows)
        for name, kind in KINDS.items()
    }


def _summary(kind: Kind, seed: int, n: int) -> dict[str, float]:
    rng = RRandom(seed, kind.sample_kind)
    x = kind.draw(rng, math.ceil(n / kind.share)).astype("<f8")
    words = x.view("<u4").astype(np.int64)
    state = rng.state.astype("<i4").view("<u4").astype(np.int64)
    position = np.arange(1, words.size + 1)
    return {
        "first": float(x[0]),
        "last": float(x[-1]),
        "checksum": float(words.sum()),
        "position_checksum": float(((words % 65536) * (position % 8191)).sum()),
        "state_checksum": float((state * np.arange(1, state.size + 1)).sum()),
    }


def _draws(nsim: int, _versions: Mapping[str, str]) -> Tables:
    return stream_tables(n=min(nsim, N))


STREAMS = Case(
    name="streams",
    title="R's random streams: draws of thirteen kinds from ten seeds, bit for bit",
    script="streams.R",
    function="streams",
    seed=1,
    nsim=N,
    parts=(Call("draws", tuple(KINDS), python=_draws),),
    rules=(
        # The C library's log() differs in the last bit between processors with and without fused
        # multiply-add. The recording of rnorm is of one with it (x86-64 since 2013).
        rule("draws.*", "*", 0.0, "the same draws: the same bits"),
    ),
    libraries=(),
    packages=(),
    arguments=lambda nsim: {"n": min(nsim, N)},
    engines=("rparity",),
)
