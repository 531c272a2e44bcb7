"""Tables of balls, named as R names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from flint import arb, fmpq

from rparity.exact import balls

Rows = Mapping[str, Sequence[arb]]


@dataclass(frozen=True)
class BallTable:
    """Rows by columns of balls; NaN where R has none."""

    columns: tuple[str, ...]
    rows: Rows

    @property
    def sizes(self) -> list[float]:
        """Largest absolute value of each column, against which zeros are recognised."""
        columns = zip(*self.rows.values(), strict=True)
        finite = [[abs(float(ball)) for ball in c if ball.is_finite()] for c in columns]
        return [max(sizes, default=0.0) or 1.0 for sizes in finite]

    def cells(self) -> Iterator[tuple[arb, float]]:
        """Yield each ball, row by row, and its column's size."""
        sizes = self.sizes
        for row in self.rows.values():
            yield from zip(row, sizes, strict=True)

    def frame(self) -> pd.DataFrame:
        """Return the doubles nearest the values."""
        return self._filled(balls.to_float)

    def decimals(self, digits: int) -> pd.DataFrame:
        """Return the values as text to so many significant digits."""
        return self._filled(lambda ball, size: balls.to_decimal(ball, digits, size))

    def _filled(self, render: Callable[[arb, float], object]) -> pd.DataFrame:
        sizes = self.sizes
        cells = [list(map(render, row, sizes)) for row in self.rows.values()]
        return pd.DataFrame(cells, list(self.rows), list(self.columns))


def fixed_effects(
    names: Sequence[str],
    beta: Sequence[arb],
    vcov: Sequence[Sequence[arb]],
    quantile: arb,
    p_value: Callable[[arb], arb] | None = None,
) -> dict[str, BallTable]:
    """Return `coef`, `vcov` and `confint_wald` of estimates (p,) with a covariance matrix (p, p).

    Intervals extend `quantile` standard errors to either side. With a function that makes p-values
    of statistics, `coef` has them too.
    """
    coef, wald = {}, {}
    for i, (name, b) in enumerate(zip(names, beta, strict=True)):
        error = vcov[i][i].sqrt()
        coef[name] = [b, error, b / error, *([p_value(b / error)] if p_value else [])]
        wald[name] = [b - quantile * error, b + quantile * error]
    columns = ("estimate", "std_error", "statistic", "p_value")
    return {
        "coef": BallTable(columns if p_value else columns[:3], coef),
        "vcov": BallTable(tuple(names), dict(zip(names, vcov, strict=True))),
        "confint_wald": BallTable(("conf_low", "conf_high"), wald),
    }


def one_row(**values: arb | int) -> BallTable:
    """Return a table with the row "1", as `glance` has it."""
    return BallTable(tuple(values), {"1": [arb(value) for value in values.values()]})


def quantiles(values: Sequence[arb]) -> BallTable:
    """Return the five quantiles of R's summaries."""
    rows = {f"{25 * k}%": [balls.quantile(values, fmpq(k, 4))] for k in range(5)}
    return BallTable(("value",), rows)


def least_accuracy(tables: Mapping[str, BallTable]) -> float:
    """Digits of the least accurate value."""
    return min(balls.accuracy(*cell) for table in tables.values() for cell in table.cells())


def least_agreement(one: Mapping[str, BallTable], other: Mapping[str, BallTable]) -> float:
    """Fewest digits in which the values of two computations agree."""
    return min(
        balls.agreement(a, b, size)
        for name in one
        for (a, size), (b, _) in zip(one[name].cells(), other[name].cells(), strict=True)
    )
