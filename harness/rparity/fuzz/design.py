"""A random design: all that determines a data set and its mixed model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Lmer

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Slope = Literal["none", "correlated", "uncorrelated"]
Place = Literal["nested", "in turn", "at random"]
CONTRASTS = ("contr.treatment", "contr.sum", "contr.helmert", "contr.poly")
LETTERS = "abcdefghij"


def _factor(codes: NDArray[np.signedinteger[Any]], levels: list[str]) -> pd.Categorical[Any]:
    return pd.Categorical.from_codes(codes, pd.Index(levels, dtype=object))


@dataclass(frozen=True)
class Grouping:
    """A grouping factor, and its random effects.

    The first factor of a design has the levels of `Design.sizes`. A further factor is either
    `nested`, with `levels` levels in each level of the factor before it, or crossed: then rows get
    its `levels` in turn or at random. `ratio` is the variance over σ² of the intercepts, and of the
    slopes on a covariate of size 1. `correlation` is the correlation of intercepts and slopes.
    """

    ratio: float = 1.0
    slope: Slope = "none"
    correlation: float = 0.0
    place: Place = "nested"
    levels: int = 2


@dataclass(frozen=True)
class Covariate:
    """A covariate of size 10^`scale` with a mean of `shift` times that.

    If `near` is k > 0, it differs from the covariate before it only by a share of 10^−k. If
    `between`, it has one value for each level of the first grouping factor.
    """

    scale: int = 0
    shift: float = 0.0
    near: int = 0
    between: bool = False


@dataclass(frozen=True)
class FixedFactor:
    """A factor among the fixed effects: its number of levels, and R's contrast function."""

    levels: int = 2
    contrast: str = "contr.treatment"


@dataclass(frozen=True)
class Design:
    """A data set and its mixed model. Equal designs have equal data.

    Parameters
    ----------
    sizes
        Rows of each level of the first grouping factor.
    groupings, covariates, factors
        The random and the fixed part. Groupings take the covariates for their slopes in turn.
    interaction
        Whether there is one, of the first covariate with the first factor.
    weights
        Orders of magnitude over which prior weights spread; None for no weights.
    offset
        Whether the formula has one.
    missing
        Percentage of missing values in the response and in the first covariate.
    scale, shift
        σ is 10^`scale`, and the intercept is `shift` times that.
    reml
        REML, or else maximum likelihood.
    seed
        The seed of the data.
    """

    sizes: tuple[int, ...]
    groupings: tuple[Grouping, ...] = (Grouping(),)
    covariates: tuple[Covariate, ...] = ()
    factors: tuple[FixedFactor, ...] = ()
    interaction: bool = False
    weights: float | None = None
    offset: bool = False
    missing: int = 0
    scale: int = 0
    shift: float = 0.0
    reml: bool = True
    seed: int = 0

    @property
    def rows(self) -> int:
        """Number of rows, including those with missing values."""
        return sum(self.sizes)

    @property
    def formula(self) -> str:
        """The model in lme4's notation."""
        fixed = [f"x{i}" for i, _ in enumerate(self.covariates, 1)]
        fixed += [f"f{i}" for i, _ in enumerate(self.factors, 1)]
        if self.interaction and self.covariates and self.factors:
            fixed.append("x1:f1")
        if self.offset:
            fixed.append("offset(o)")
        bars = [
            f"({self._inner(i, grouping)} | {self._group(i)})".replace("| |", "||")
            for i, grouping in enumerate(self.groupings)
        ]
        return f"y ~ {' + '.join([*(fixed or ['1']), *bars])}"

    def _inner(self, i: int, grouping: Grouping) -> str:
        x = self._slope_on(i)
        if x is None:
            return "1"
        return f"x{x + 1}" + (" |" if grouping.slope == "uncorrelated" else "")

    def _slope_on(self, i: int) -> int | None:
        """Return the covariate whose slope varies between the levels of grouping i, or None."""
        if self.groupings[i].slope == "none" or not self.covariates:
            return None
        return i % len(self.covariates)

    def _group(self, i: int) -> str:
        """Return R's name of grouping i; a nested factor is an interaction with the outer ones."""
        own = f"g{i + 1}"
        return f"{self._group(i - 1)}:{own}" if i and self.groupings[i].place == "nested" else own

    def part(self) -> Lmer:
        """Return the model as the part of a case."""
        return Lmer(
            "lmer",
            formula=self.formula,
            reml=self.reml,
            weights=None if self.weights is None else "w",
            contrasts={f"f{i}": factor.contrast for i, factor in enumerate(self.factors, 1)},
        )

    def data(self) -> pd.DataFrame:
        """Draw the data: `y`, covariates `x1`…, factors `f1`…, groups `g1`…, `w` and `o`.

        Each column has its own random stream, so removing one does not change the others.
        """
        n = self.rows
        xs = [self._covariate(i, covariate) for i, covariate in enumerate(self.covariates)]
        y = self.shift + np.zeros(n)
        for i, (_, unit) in enumerate(xs):
            y += self._rng("slope", i).normal() * unit
        columns: dict[str, Any] = {}
        for i, factor in enumerate(self.factors, 1):
            rng = self._rng("factor", i)
            codes = rng.integers(0, factor.levels, n)
            y += rng.normal(size=factor.levels)[codes]
            columns[f"f{i}"] = _factor(codes, list(LETTERS[: factor.levels]))
        for i, grouping in enumerate(self.groupings):
            labels, codes = self._codes[i]
            columns[f"g{i + 1}"] = _factor(
                labels, [str(level + 1) for level in range(int(labels.max()) + 1)]
            )
            on = self._slope_on(i)
            y += self._effects(i, grouping, codes, None if on is None else xs[on][1])
        w = self._weights()
        y += self._rng("noise").normal(size=n) / np.sqrt(w)
        if self.offset:
            columns["o"] = self._rng("offset").uniform(-2.0, 2.0, n) * 10.0**self.scale
        y = y * 10.0**self.scale + columns.get("o", 0.0)
        values = {f"x{i}": x for i, (x, _) in enumerate(xs, 1)}
        if self.missing:
            for name, column in (("y", y), *list(values.items())[:1]):
                rng = self._rng(f"missing {name}")
                column[rng.random(n) < self.missing / 100.0] = np.nan
        if self.weights is not None:
            columns["w"] = w
        return pd.DataFrame({"y": y, **values, **columns})

    def _rng(self, piece: str, number: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, number, *piece.encode()])

    def _covariate(self, i: int, covariate: Covariate) -> tuple[Array, Array]:
        """Return a covariate (n,), and the same covariate with size 1 and mean 0."""
        rng = self._rng("covariate", i)
        first = self._codes[0][1]
        unit = rng.normal(size=len(self.sizes))[first] if covariate.between else None
        unit = rng.normal(size=self.rows) if unit is None else unit
        if covariate.near and i:
            unit = self._covariate(i - 1, self.covariates[i - 1])[1] + 10.0**-covariate.near * unit
        return 10.0**covariate.scale * (unit + covariate.shift), unit

    @cached_property
    def _codes(self) -> Sequence[tuple[Index, Index]]:
        """Each grouping's labels in the data (n,), and its distinct levels (n,)."""
        codes = np.repeat(np.arange(len(self.sizes)), self.sizes)
        found = [(codes, codes)]
        for i, grouping in enumerate(self.groupings[1:], 1):
            row = np.arange(self.rows)
            if grouping.place == "at random":
                labels = self._rng("crossed", i).integers(0, grouping.levels, self.rows)
            elif grouping.place == "in turn":
                labels = row % grouping.levels
            else:
                outer = found[-1][1]
                order = np.argsort(outer, kind="stable")
                starts = np.searchsorted(outer[order], outer[order])
                labels = np.empty_like(row)
                labels[order] = (row - starts) % grouping.levels
                found.append((labels, outer * grouping.levels + labels))
                continue
            found.append((labels, labels))
        return found

    def _effects(self, i: int, grouping: Grouping, codes: Index, x: Array | None) -> Array:
        """Random intercepts and slopes (n,)."""
        b, c = self._rng("effects", i).normal(size=(2, int(codes.max()) + 1))
        sd, rho = np.sqrt(grouping.ratio), grouping.correlation
        if x is None:
            return np.asarray(sd * b[codes])
        rho = rho if grouping.slope == "correlated" else 0.0
        slopes = rho * b + np.sqrt(1.0 - rho**2) * c
        return np.asarray(sd * (b[codes] + slopes[codes] * x))

    def _weights(self) -> Array:
        if self.weights is None:
            return np.ones(self.rows)
        return np.asarray(
            10.0 ** (self._rng("weights").uniform(-0.5, 0.5, self.rows) * self.weights)
        )

    def as_json(self) -> str:
        """Return the design as text; `from_json` restores it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Design:
        """Return the design that `as_json` wrote."""
        fields = json.loads(text)
        parts = {"groupings": Grouping, "covariates": Covariate, "factors": FixedFactor}
        for name, kind in parts.items():
            fields[name] = tuple(kind(**each) for each in fields[name])
        return cls(**{**fields, "sizes": tuple(fields["sizes"])})
