"""Tables of balls, named as R names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from flint import arb, fmpq

from rparity.exact import balls

Rows = Mapping[str, Sequence[arb]]


@dataclass(frozen=True)
class Table:
    """Rows by columns of balls; NaN where R has none."""

    columns: tuple[str, ...]
    rows: Rows

    @property
    def sizes(self) -> dict[str, float]:
        """Largest absolute value of each column, beside which zeros are told."""
        out = {}
        for j, name in enumerate(self.columns):
            cells = [abs(float(row[j])) for row in self.rows.values() if row[j].is_finite()]
            out[name] = max([1.0, *cells]) if max(cells, default=0.0) == 0.0 else max(cells)
        return out

    def cells(self) -> Iterator[tuple[str, str, arb, float]]:
        """Each row, column, ball and the column's size."""
        sizes = self.sizes
        for row, values in self.rows.items():
            for name, ball in zip(self.columns, values, strict=True):
                yield row, name, ball, sizes[name]

    def frame(self) -> pd.DataFrame:
        """Return the doubles nearest the values."""
        return self._filled(balls.to_float)

    def decimals(self, digits: int) -> pd.DataFrame:
        """Return the values as text to so many significant digits."""
        return self._filled(lambda ball, size: balls.to_decimal(ball, digits, size))

    def _filled(self, render: Callable[[arb, float], object]) -> pd.DataFrame:
        sizes = self.sizes
        return pd.DataFrame(
            [
                [render(ball, sizes[name]) for name, ball in zip(self.columns, row, strict=True)]
                for row in self.rows.values()
            ],
            index=list(self.rows),
            columns=list(self.columns),
        )


def one_row(**values: arb | int) -> Table:
    """Return a table with the row "1", as `glance` has it."""
    return Table(tuple(values), {"1": [arb(value) for value in values.values()]})


def square(names: Sequence[str], cells: Sequence[Sequence[arb]]) -> Table:
    """Return a covariance matrix (p, p)."""
    return Table(tuple(names), dict(zip(names, cells, strict=True)))


def quantiles(values: Sequence[arb]) -> Table:
    """Return R's five quantiles of a summary."""
    rows = {f"{25 * k}%": [balls.quantile(values, fmpq(k, 4))] for k in range(5)}
    return Table(("value",), rows)


def least_accuracy(tables: Mapping[str, Table]) -> float:
    """Digits of the least certain value."""
    found = [
        balls.accuracy(ball, size) for table in tables.values() for *_, ball, size in table.cells()
    ]
    return min(found)


def least_agreement(one: Mapping[str, Table], other: Mapping[str, Table]) -> float:
    """Fewest digits in which the values of two computations agree."""
    found = [
        balls.agreement(a, b, size)
        for name in one
        for (*_, a, size), (*_, b, _) in zip(one[name].cells(), other[name].cells(), strict=True)
    ]
    return min(found)
