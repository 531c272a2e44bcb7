"""A model's columns as exact rationals: what `build` rounds to doubles is worked out again here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from flint import arb, fmpq
from numpy.typing import ArrayLike

from rparity.errors import UsageError
from rparity.exact.balls import Column, Figures, column, cross_products
from rparity.lmm.formula import expression, parse, terms
from rparity.lmm.matrices import Floats, ModelMatrices, build

Rank = Literal["R", "exact"]


@dataclass(frozen=True)
class Term:
    """One random-effects term: L levels of k coefficients, from column `start` of Z on."""

    group: str
    names: tuple[str, ...]
    levels: tuple[str, ...]
    codes: Sequence[int]  # (n,)
    Z: Sequence[Column]  # k columns of n
    start: int

    @property
    def k(self) -> int:
        """Coefficients a level."""
        return len(self.names)

    @property
    def size(self) -> int:
        """Random effects, kL."""
        return self.k * len(self.levels)


@dataclass(frozen=True)
class Design:
    """y less the offset, X by columns, Z by terms and the weights of a model, all exact."""

    names: tuple[str, ...]
    y: Column  # (n,)
    X: Sequence[Column]  # p columns of n
    terms: tuple[Term, ...]
    weights: Column | None
    intercept: bool

    @property
    def n(self) -> int:
        """Observations."""
        return len(self.y)

    @property
    def p(self) -> int:
        """Fixed effects."""
        return len(self.X)

    @property
    def q(self) -> int:
        """Random effects."""
        return sum(term.size for term in self.terms)

    @cached_property
    def cross(self) -> list[Column]:
        """[Z X y]'W[Z X y], (q + p + 1) square; Z by term, then level, then coefficient."""
        Z: list[Column] = []
        for term in self.terms:
            block = [[fmpq(0)] * self.n for _ in range(term.size)]
            for i, code in enumerate(term.codes):
                for a, values in enumerate(term.Z):
                    block[code * term.k + a][i] = values[i]
            Z += block
        return cross_products([*Z, *self.X, self.y], self.weights)

    def fitted(self, beta: Sequence[arb], b: Sequence[arb]) -> list[arb]:
        """Xβ + Zb (n,), without the offset."""
        out = []
        for i in range(self.n):
            value = sum((x[i] * c for x, c in zip(self.X, beta, strict=True)), arb(0))
            for term in self.terms:
                at = term.start + term.codes[i] * term.k
                value += sum((z[i] * b[at + a] for a, z in enumerate(term.Z)), arb(0))
            out.append(value)
        return out


def design(
    formula: str,
    data: pd.DataFrame,
    *,
    figures: Figures,
    rank: Rank = "R",
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Mapping[str, str] | None = None,
) -> Design:
    """Build a model exactly.

    Columns of the data, and what I(), +, −, ·, / and whole powers make of them, are exact. Any
    other column (of contrasts, `log(x)`) is the double that `build` gives. With `rank` "exact",
    numeric columns that R drops, as dependent to 1e-7, are in X as well.

    Raises
    ------
    FormulaError, DataError
        As `rparity.lmm.matrices.build`; missing values are refused.
    """
    parsed = parse(formula)
    m = build(parsed, data, weights=weights, offset=offset, contrasts=contrasts, na_action="fail")
    evaluate = _Evaluator(data, figures)
    right = terms(parsed.fixed)
    y = evaluate.label(parsed.response) or column(m.y.tolist(), figures)
    offsets = [evaluate.label(label) for label in parsed.offsets]
    if offset is not None:
        offsets.append(column(np.asarray(offset, dtype=np.float64).tolist(), figures))
    for values in offsets if all(offsets) else [column(m.offset.tolist(), figures)]:
        y = [a - b for a, b in zip(y, values or (), strict=True)]
    X = {name: evaluate.named(name, right.terms, m.X[:, j]) for j, name in enumerate(m.names)}
    if rank == "exact":
        X = _with_dropped(X, m.dropped_columns, right.terms, evaluate)
    return Design(
        names=tuple(X),
        y=y,
        X=list(X.values()),
        terms=_random(m, [terms(bar.lhs).terms for bar in parsed.bars], evaluate),
        weights=None if weights is None else column(m.weights.tolist(), figures),
        intercept=right.intercept,
    )


def _with_dropped(
    X: dict[str, Column],
    dropped: Sequence[str],
    known: Sequence[tuple[str, ...]],
    evaluate: _Evaluator,
) -> dict[str, Column]:
    """Put the columns that R drops back where its formula has them."""
    for name in dropped:
        found = evaluate.product(name, known)
        if found is None:
            raise UsageError(f"The column `{name}` is no arithmetic on the data: use rank='R'.")
        X[name] = found
    order = [":".join(term) for term in known]
    return dict(
        sorted(X.items(), key=lambda item: order.index(item[0]) if item[0] in order else -1)
    )


def _random(
    m: ModelMatrices, sides: Sequence[Sequence[tuple[str, ...]]], evaluate: _Evaluator
) -> tuple[Term, ...]:
    known = [term for side in sides for term in side]
    found: list[Term] = []
    start = 0
    for term in m.random:
        Z = [evaluate.named(name, known, term.Z[:, a]) for a, name in enumerate(term.names)]
        found.append(Term(term.group, term.names, term.levels, term.codes.tolist(), Z, start))
        start += found[-1].size
    return tuple(found)


class _Evaluator:
    """Columns of the data, and arithmetic on them, as rationals."""

    def __init__(self, data: pd.DataFrame, figures: Figures) -> None:
        self.data = data
        self.figures: Figures = figures

    def named(self, name: str, known: Sequence[tuple[str, ...]], doubles: Floats) -> Column:
        """Return the column that R names so: a product of variables, or else the doubles."""
        found = self.product(name, known)
        return column(doubles.tolist(), self.figures) if found is None else found

    def product(self, name: str, known: Sequence[tuple[str, ...]]) -> Column | None:
        """Return the term of that name, or None where one of its variables is not arithmetic."""
        for term in known:
            if ":".join(term) == name:
                factors = [factor for label in term if (factor := self.label(label)) is not None]
                return _product(factors) if len(factors) == len(term) else None
        return None

    def label(self, label: str) -> Column | None:
        """Return one variable of a formula, or None where it is more than arithmetic."""
        e = expression(label)
        if set(e.functions) - {"I"} or not e.columns:
            return None
        series = [self.data[name] for name in e.columns]
        if not all(pd.api.types.is_numeric_dtype(s) for s in series):
            return None
        if any(pd.api.types.is_bool_dtype(s) for s in series):
            return None
        values = [column(s.to_numpy(dtype=np.float64).tolist(), self.figures) for s in series]
        code = compile(e.code, label, "eval")
        names: dict[str, Callable[[fmpq], fmpq]] = {"I": lambda value: value}
        out = []
        for row in zip(*values, strict=True):
            cells = {f"c{i}": value for i, value in enumerate(row)}
            try:
                value = eval(code, {"__builtins__": {}, **names}, cells)
            except (TypeError, ZeroDivisionError):
                return None  # a decimal in the formula, a root
            if not isinstance(value, fmpq):
                return None
            out.append(value)
        return out


def _product(factors: Sequence[Column]) -> Column:
    out = factors[0]
    for factor in factors[1:]:
        out = [a * b for a, b in zip(out, factor, strict=True)]
    return out
