"""Data sets of the study: lines with a common slope, which stay the same or are drawn anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from rparity.errors import UsageError
from rparity.rrandom import RRandom

# The document's lines have the intercepts 12, 14, …, 30.
BASE, STEP = 10.0, 2.0
# Noise this small beside the response cannot be distinguished from rounding.
ROUNDING = 1e-9


class World(StrEnum):
    """What is drawn anew in another data set of the same kind."""

    FIXED = "fixed"  # x and the noise; the lines stay
    RANDOM = "random"  # x, the noise and the lines


@dataclass(frozen=True)
class StudyDesign:
    """The parameters from which data sets are drawn; the defaults are the document's.

    Line i has the intercept 10 + d_i and `sizes[i]` points, with x from N(i, 1) and noise of
    standard deviation `sd`. In the fixed world, d_i is i steps. In the random world, the d_i are
    drawn from a normal distribution with the mean and the standard deviation (divisor `points` − 1)
    of the fixed ones. A step is 2, unless `between` states another standard deviation.

    Parameters
    ----------
    points : int
        Number of lines.
    sizes : tuple of int
        Points on each line; repeated if there are fewer sizes than lines.
    sd : float
        Standard deviation of the noise.
    slope : float
        Slope of all the lines.
    between : float, optional
        Standard deviation of the lines' intercepts.
    """

    points: int = 10
    sizes: tuple[int, ...] = (10,)
    sd: float = 0.1
    slope: float = -1.0
    between: float | None = None

    def __post_init__(self) -> None:
        """Refuse data sets that could not be fitted."""
        if self.points < 2:
            raise UsageError(f"A study needs at least 2 lines, not {self.points}.")
        if not self.sizes or min(self.sizes) < 1:
            raise UsageError("A study needs at least 1 point on each line.")
        if self.n < self.points + 2:
            raise UsageError(
                f"{self.points} lines and a slope cannot be fitted to {self.n} points: give more."
            )
        if not (math.isfinite(self.sd) and self.sd > 0.0):
            raise UsageError(f"The noise needs a standard deviation above 0, not {self.sd:g}.")
        if not math.isfinite(self.slope):
            raise UsageError(f"The slope must be a finite number, not {self.slope:g}.")
        if self.between is not None and not (math.isfinite(self.between) and self.between >= 0.0):
            raise UsageError(
                f"The lines need a standard deviation of at least 0, not {self.between:g}."
            )
        largest = self.points * (abs(self.slope) + self.step) + BASE
        if self.sd < ROUNDING * largest:
            raise UsageError(
                f"Noise of {self.sd:g} is lost in the rounding of responses of {largest:g}."
            )

    @property
    def counts(self) -> list[int]:
        """Points on each line."""
        return [self.sizes[i % len(self.sizes)] for i in range(self.points)]

    @property
    def n(self) -> int:
        """Rows of a data set."""
        return sum(self.counts)

    @property
    def step(self) -> float:
        """Distance between neighbouring lines in the fixed world."""
        return STEP if self.between is None else self.between / self._spread_of_one

    @property
    def spread(self) -> float:
        """Standard deviation of the lines' intercepts."""
        return self.step * self._spread_of_one

    @property
    def _spread_of_one(self) -> float:
        """Standard deviation of 1, 2, …, `points`."""
        return math.sqrt(self.points * (self.points + 1) / 12.0)

    @property
    def centre(self) -> float:
        """Mean of d: of the fixed lines, and of the population."""
        return self.step * (self.points + 1) / 2.0

    @property
    def intercept(self) -> float:
        """Mean intercept: of the fixed lines, and of the population."""
        return BASE + self.centre

    def draw(self, world: World, rng: RRandom) -> DataSet:
        """Draw a data set as `study_data()` of r_scripts/study.R does, bit for bit.

        In the fixed world, the default design gives the document's data (`document_data`).
        """
        if world is World.FIXED:
            d = self.step * np.arange(1.0, self.points + 1)
        else:
            d = rng.rnorm(self.points, mean=self.centre, sd=self.spread)
        x, y = [], []
        for i, n in enumerate(self.counts):
            x.append(rng.rnorm(n) + (i + 1))
            y.append(self.slope * x[-1] + BASE + d[i] + rng.rnorm(n, sd=self.sd))
        levels = [str(i) for i in range(1, self.points + 1)]
        p = pd.Categorical(np.repeat(levels, self.counts), categories=levels)
        data = pd.DataFrame({"x": np.concatenate(x), "y": np.concatenate(y), "p": p})
        return DataSet(data, float(BASE + np.mean(d)))


@dataclass(frozen=True)
class DataSet:
    """A data set, and the mean of the intercepts of its own lines."""

    data: pd.DataFrame
    lines: float
