"""The study: thousands of data sets in both worlds, and the coverage of each interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import RparityError, UsageError
from rparity.study.answers import ALPHA, COLUMNS, INTERVALS, PARAMETERS, answer
from rparity.study.data_sets import StudyDesign, World
from rparity.workers.cluster import Progress, Workers, cluster

# Replicates of each bootstrap in a part of the work, which takes half a second.
REPLICATES_A_PART = 5_000
MEAN_OF_LINES, MEAN_OF_POPULATION, SLOPE = "lines", "population", "slope"


@dataclass(frozen=True)
class _Part:
    """Data sets of one world with consecutive seeds."""

    world: World
    seeds: range

    def __str__(self) -> str:
        """Return the name of the part in messages about a crash."""
        return f"The {self.world} world's part from seed {self.seeds[0]} to {self.seeds[-1]}"


@dataclass(frozen=True)
class Study:
    """The parameters of a study and all its intervals.

    `answers` has a row for each world, data set, interval and parameter, and the columns `world,
    seed, interval, parameter, estimate, std_error, conf_low, conf_high` and `lines`, the mean
    intercept of the data set's own lines. `failures` has the reason for each world and seed that
    could not be answered.
    """

    design: StudyDesign
    nsim: int
    datasets: int
    seed: int
    answers: pd.DataFrame
    failures: dict[tuple[World, int], str]

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """How often each interval contains its target, and how wide it is.

        One row for each `world, parameter, target, interval`. In the fixed world the target of the
        intercept is the mean of the lines. In the random world there are two targets: the mean of
        the population and the mean of the lines that were drawn. Columns: `n`, the data sets with
        this interval; `coverage`, its Monte Carlo error √(c(1 − c)/n), and Wilson's (1927) 95 %
        interval, `coverage_low` and `coverage_high`; `below` and `above`, the shares of intervals
        wholly below and above the target; the mean `width` and its Monte Carlo error.
        """
        from scipy.stats import binomtest

        rows = []
        for (world, parameter, interval), found in self._groups():
            for target, value in self._targets(World(world), parameter, found):
                held = (found["conf_low"] <= value) & (value <= found["conf_high"])
                n, width = len(found), found["conf_high"] - found["conf_low"]
                wilson = binomtest(int(held.sum()), n).proportion_ci(1.0 - ALPHA, "wilson")
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
                        "coverage_low": wilson.low,
                        "coverage_high": wilson.high,
                        "below": float((found["conf_high"] < value).mean()),
                        "above": float((found["conf_low"] > value).mean()),
                        "width": float(width.mean()),
                        "width_error": float(width.std(ddof=1)) / math.sqrt(n),
                    }
                )
        return pd.DataFrame(rows)

    @cached_property
    def standard_errors(self) -> pd.DataFrame:
        """The standard error that each method states, and the actual spread of its estimates.

        One row for each `world, parameter, interval` with a standard error. Columns: `n`; the mean
        `std_error` and its Monte Carlo error; `spread`, the standard deviation of the estimates
        over the data sets, and its Monte Carlo error, spread/√(2(n − 1)); `bias`, the mean estimate
        less the mean of the fixed lines or of the population, and its Monte Carlo error.
        """
        rows = []
        for (world, parameter, interval), found in self._groups():
            if found["std_error"].isna().all():
                continue
            n, spread = len(found), float(found["estimate"].std(ddof=1))
            expected = self.design.slope if parameter == "x" else self.design.intercept
            rows.append(
                {
                    "world": world,
                    "parameter": parameter,
                    "interval": interval,
                    "n": n,
                    "std_error": float(found["std_error"].mean()),
                    "std_error_error": float(found["std_error"].std(ddof=1)) / math.sqrt(n),
                    "spread": spread,
                    "spread_error": spread / math.sqrt(2.0 * max(n - 1, 1)),
                    "bias": float(found["estimate"].mean()) - expected,
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
    design: StudyDesign,
    *,
    datasets: int = 1000,
    nsim: int = 1000,
    seed: int = 1,
    workers: Workers = None,
    tell: Callable[[Progress], None] | None = None,
) -> Study:
    """Draw `datasets` data sets in each world and compute their intervals.

    Parameters
    ----------
    design : StudyDesign
        The parameters of the data sets.
    datasets : int
        Data sets in each world, with the seeds `seed`, `seed` + 1, …
    nsim : int
        Replicates of each of the two bootstraps.
    seed : int
        Seed of the first data set.
    workers : int, str, distributed.Client, Cluster or None
        Where the work is done: see `rparity.workers.cluster`. No result depends on it.
    tell : callable, optional
        Called with the progress, in data sets.

    Raises
    ------
    UsageError
        For too few data sets or replicates, and for seeds that R would not take.
    RparityError
        If no data set could be answered, with the first reason.
    """
    if datasets < 2:
        raise UsageError(
            f"--datasets must be at least 2 to have a standard deviation, and is {datasets}."
        )
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

    def count_data_sets(progress: Progress) -> None:
        if tell is not None:
            done = min(progress.done * size, 2 * datasets)
            tell(replace(progress, done=done, total=2 * datasets))

    found: dict[tuple[World, int], NDArray[np.float64] | str] = {}
    with cluster(workers) as pool:
        for outcome in pool.map(_answered, (design, nsim), parts, on_progress=count_data_sets):
            part = outcome.item
            lost = [str(outcome.error)] * len(part.seeds)
            answered = lost if outcome.error else outcome.result()
            found |= {(part.world, s): one for s, one in zip(part.seeds, answered, strict=True)}
    failures = {at: one for at, one in sorted(found.items()) if isinstance(one, str)}
    if len(failures) == len(found):
        raise RparityError(f"No data set could be answered: {next(iter(failures.values()))}")
    index = pd.MultiIndex.from_product(
        [[world.value for world in World], seeds, INTERVALS, PARAMETERS],
        names=["world", "seed", "interval", "parameter"],
    )
    nothing = np.full((len(INTERVALS) * len(PARAMETERS), len(COLUMNS) + 1), np.nan)
    ordered = [found[world, s] for world in World for s in seeds]
    values = np.concatenate([nothing if isinstance(one, str) else one for one in ordered])
    answers = pd.DataFrame(values, index, [*COLUMNS, "lines"]).reset_index()
    return Study(design, nsim, datasets, seed, answers, failures)


def _answered(shared: tuple[StudyDesign, int], part: _Part) -> list[NDArray[np.float64] | str]:
    """Answer some data sets: numbers (intervals · parameters, columns), or why there are none.

    The last column is the mean intercept of the data set's own lines.
    """
    design, nsim = shared
    found: list[NDArray[np.float64] | str] = []
    for seed in part.seeds:
        try:
            drawn, tables = answer(design, part.world, seed, nsim)
        except RparityError as error:
            found.append(str(error))
        else:
            rows = pd.concat([tables[name] for name in INTERVALS])
            found.append(rows.assign(lines=drawn.lines).to_numpy())
    return found
