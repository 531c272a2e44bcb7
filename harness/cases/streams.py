"""R's random streams reduced to a few exact numbers a seed: the Python side of `streams.R`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.cases.base import Call, Case, Rule
from harness.compare import Tables, Tolerance
from harness.errors import UsageError
from harness.rrandom import RRandom

SEEDS = (0, 1, 42, -1, -2147483647, 2147483647, 123456789, 2022, 7, 65536)
N = 1_000_000
MOST = 2**20  # with more draws the checksums would no longer be exact in doubles


def stream_tables(seeds: Sequence[int] = SEEDS, n: int = N) -> dict[str, pd.DataFrame]:
    """Return what `streams(seeds, n)` of `r_scripts/streams.R` returns, from `RRandom`.

    Returns
    -------
    Tables `runif`, `rnorm`, `rexp`, `sample` and `permutation`: a row a seed, and the columns
    `first`, `last`, `checksum`, `position_checksum` and `state_checksum`, all float64.

    Raises
    ------
    UsageError
        If n is not 1 to 2**20, or R would not take a seed.
    """
    if not 1 <= n <= MOST:
        raise UsageError(f"The checksums are exact for 1 to {MOST} draws, not for {n}.")
    kinds: dict[str, Callable[[RRandom], NDArray[Any]]] = {
        "runif": lambda rng: rng.runif(n),
        "rnorm": lambda rng: rng.rnorm(n),
        "rexp": lambda rng: rng.rexp(n),
        "sample": lambda rng: rng.sample(1_000_000, n, replace=True),
        "permutation": lambda rng: rng.sample(n),
    }
    rows = [str(seed) for seed in seeds]
    return {
        kind: pd.DataFrame([_summary(RRandom(seed), draw) for seed in seeds], index=rows)
        for kind, draw in kinds.items()
    }


def _summary(rng: RRandom, draw: Callable[[RRandom], NDArray[Any]]) -> dict[str, float]:
    x = draw(rng).astype("<f8")
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


def _draws(nsim: int) -> Tables:
    return stream_tables(n=min(nsim, N))


STREAMS = Case(
    name="streams",
    title="R's random streams: a million draws of five kinds from ten seeds, bit for bit",
    script="streams.R",
    function="streams",
    seed=1,
    nsim=N,
    parts=(Call("draws", ("runif", "rnorm", "rexp", "sample", "permutation"), python=_draws),),
    rules=(
        # The C library's log() differs in the last bit between processors with and without fused
        # multiply-add, so a recording of rnorm's bits holds for the former (x86-64 since 2013).
        Rule("draws.*", "*", Tolerance(0.0, "the same draws: the same bits")),
    ),
    libraries=(),
    packages=(),
    arguments=lambda nsim: {"n": min(nsim, N)},
)
