"""The study itself: thousands of data sets in both worlds, and how often each interval is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from rparity.errors import RparityError, UsageError
from rparity.study.answers import ALPHA, COLUMNS, INTERVALS, PARAMETERS, answer
from rparity.study.design import Design, World
from rparity.workers.cluster import Progress, Workers, cluster

# Replicates of each bootstrap that a worker is asked for at a time: half a second's work.
REPLICATES_A_PART = 5_000
MEAN_OF_LINES, MEAN_OF_POPULATION, SLOPE = "lines", "population", "slope"


@dataclass(frozen=True)
class _Part:
    """Data sets of a world with consecutive seeds."""

    world: World
    seeds: range

    def __str__(self) -> str:
        """Return what a crash is named by."""
        return f"The {self.world} world's part from seed {self.seeds[0]} to {self.seeds[-1]}"


@dataclass(frozen=True)
class _Answered:
    """A data set's numbers (intervals, parameters, columns), or why there are none."""

    seed: int
    values: NDArray[np.float64]
    lines: float
    failure: str | None


@dataclass(frozen=True)
class Study:
    """What was asked and every answer: a row for each world, data set, interval and parameter.

    `answers` has the columns `world, seed, interval, parameter, estimate, std_error, conf_low,
    conf_high` and `lines`, the mean of the intercepts of the data set's own lines; `failures` says
    of a world's seed why there is no answer.
    """

    design: Design
    nsim: int
    datasets: int
    seed: int
    answers: pd.DataFrame
    failures: dict[tuple[World, int], str]

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """How often each interval holds its target, and how wide it is.

        One row for each `world, parameter, target, interval`. In the fixed world the intercept's
        target is the mean of the lines that stay; in the random one there are two, the population's
        mean and the mean of the lines that were drawn. Columns: `n`, the data sets that have this
        interval; `coverage`, its Monte Carlo error √(c(1 − c)/n), and Wilson's 95 % interval,
        `coverage_low` and `coverage_high`; `below` and `above`, the shares of intervals that lie
        wholly below and above the target; the mean `width` and its Monte Carlo error.
        """
        rows = []
        for (world, parameter, interval), found in self._groups():
            for target, truth in self._targets(World(world), parameter, found):
                held = (found["conf_low"] <= truth) & (truth <= found["conf_high"])
                n, width = len(found), found["conf_high"] - found["conf_low"]
                low, high = wilson(int(held.sum()), n)
                share = float(held.mean())
                rows.append(
                    {
                        "world": world,
                        "parameter": parameter,
                        "target": target,
                        "interval": interval,
                        "n": n,
                        "coverage": share,
                        "coverage_error": math.sqrt(share * (1.0 - share) / n),
                        "coverage_low": low,
                        "coverage_high": high,
                        "below": float((found["conf_high"] < truth).mean()),
                        "above": float((found["conf_low"] > truth).mean()),
                        "width": float(width.mean()),
                        "width_error": _error_of_mean(width),
                    }
                )
        return pd.DataFrame(rows)

    @cached_property
    def standard_errors(self) -> pd.DataFrame:
        """What each method claims as standard error, and how much its estimate really varies.

        One row for each `world, parameter, interval` that has a standard error. Columns: `n`;
        `std_error`, its mean, and the Monte Carlo error of that; `spread`, the standard deviation
        of the estimates over the data sets, and its Monte Carlo error, spread/√(2(n − 1)); `bias`,
        the estimates' mean less the fixed lines' or the population's, and its Monte Carlo error.
        """
        rows = []
        for (world, parameter, interval), found in self._groups():
            if found["std_error"].isna().all():
                continue
            n, spread = len(found), float(found["estimate"].std(ddof=1))
            truth = self.design.slope if parameter == "x" else self.design.intercept
            rows.append(
                {
                    "world": world,
                    "parameter": parameter,
                    "interval": interval,
                    "n": n,
                    "std_error": float(found["std_error"].mean()),
                    "std_error_error": _error_of_mean(found["std_error"]),
                    "spread": spread,
                    "spread_error": spread / math.sqrt(2.0 * max(n - 1, 1)),
                    "bias": float(found["estimate"].mean()) - truth,
                    "bias_error": spread / math.sqrt(n),
                }
            )
        return pd.DataFrame(rows)

    def _groups(self) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
        complete = self.answers.dropna(subset=["conf_low", "conf_high"])
        grouped = complete.groupby(["world", "parameter", "interval"], sort=False, observed=True)
        for key, found in grouped:
            world, parameter, interval = key
            yield (str(world), str(parameter), str(interval)), found

    def _targets(
        self, world: World, parameter: str, found: pd.DataFrame
    ) -> Iterator[tuple[str, float | pd.Series[float]]]:
        if parameter == "x":
            yield SLOPE, self.design.slope
            return
        if world is World.RANDOM:
            yield MEAN_OF_POPULATION, self.design.intercept
        yield MEAN_OF_LINES, found["lines"]


def run_study(
    design: Design,
    *,
    datasets: int = 1000,
    nsim: int = 1000,
    seed: int = 1,
    workers: Workers = None,
    tell: Callable[[Progress], None] | None = None,
) -> Study:
    """Ask the question of `datasets` data sets in each world.

    Parameters
    ----------
    design : Design
        What the data sets are like.
    datasets : int
        Data sets in each world. Each is its seed: `seed`, `seed` + 1, …, in both worlds.
    nsim : int
        Replicates of each of the two bootstraps.
    seed : int
        Seed of the first data set.
    workers : int, str, distributed.Client, Cluster or None
        Where the data sets are answered: see `rparity.workers.cluster`. No result depends on it.
    tell : callable, optional
        Called with the progress, in data sets.

    Raises
    ------
    UsageError
        For too few data sets or replicates, and for seeds that R would not take.
    RparityError
        The first data set's, where none could be answered.
    """
    if datasets < 2:
        raise UsageError(f"--datasets must be at least 2 for a spread, and is {datasets}.")
    if nsim < 2:
        raise UsageError(f"--nsim must be at least 2 to have a standard deviation, and is {nsim}.")
    if not -(2**31) < seed <= seed + datasets - 1 < 2**31:
        raise UsageError(f"The seeds {seed} to {seed + datasets - 1} are not all 32-bit integers.")
    size = max(1, round(REPLICATES_A_PART / nsim))
    seeds = range(seed, seed + datasets)
    parts = [
        _Part(world, seeds[first : first + size])
        for first in range(0, datasets, size)
        for world in World
    ]

    def told(progress: Progress) -> None:
        if tell is not None:
            done = min(progress.done * size, 2 * datasets)
            tell(replace(progress, done=done, total=2 * datasets))

    found: dict[tuple[World, int], _Answered] = {}
    with cluster(workers) as pool:
        for outcome in pool.map(_answered, (design, nsim), parts, on_progress=told):
            part = outcome.item
            values = [_nothing(s, str(outcome.error)) for s in part.seeds]
            for one in values if outcome.error else outcome.result():
                found[part.world, one.seed] = one
    failures = {at: one.failure for at, one in sorted(found.items()) if one.failure is not None}
    if len(failures) == len(found):
        raise RparityError(f"No data set could be answered: {next(iter(failures.values()))}")
    return Study(design, nsim, datasets, seed, _long(found), failures)


def _answered(shared: tuple[Design, int], part: _Part) -> list[_Answered]:
    """Answer some data sets, on a worker or here."""
    design, nsim = shared
    found = []
    for seed in part.seeds:
        try:
            drawn, tables = answer(design, part.world, seed, nsim)
        except RparityError as error:
            found.append(_nothing(seed, str(error)))
        else:
            values = np.array([tables[name].to_numpy() for name in INTERVALS])
            found.append(_Answered(seed, values, drawn.lines, None))
    return found


def _nothing(seed: int, failure: str) -> _Answered:
    shape = len(INTERVALS), len(PARAMETERS), len(COLUMNS)
    return _Answered(seed, np.full(shape, np.nan), math.nan, failure)


def _long(found: dict[tuple[World, int], _Answered]) -> pd.DataFrame:
    """Return a row for each world, seed, interval and parameter, in that order."""
    ordered = [
        (world, seed) for world in World for seed in sorted(s for w, s in found if w == world)
    ]
    index = pd.MultiIndex.from_tuples(
        [
            (world.value, seed, interval, parameter)
            for world, seed in ordered
            for interval in INTERVALS
            for parameter in PARAMETERS
        ],
        names=["world", "seed", "interval", "parameter"],
    )
    values = np.concatenate([found[at].values.reshape(-1, len(COLUMNS)) for at in ordered])
    frame = pd.DataFrame(values, index, COLUMNS).reset_index()
    each = len(INTERVALS) * len(PARAMETERS)
    return frame.assign(lines=np.repeat([found[at].lines for at in ordered], each))


def wilson(held: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Wilson's (1927) interval of a share, which has a width also where the share is 0 or 1."""
    z = float(norm.ppf(1.0 - alpha / 2.0))
    share = held / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _error_of_mean(values: pd.Series[float]) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values))
