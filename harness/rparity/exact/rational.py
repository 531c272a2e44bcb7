"""A model's columns as exact rationals, where `rparity.lmm.matrices` rounds to doubles."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from flint import arb, fmpq
from numpy.typing import ArrayLike

from rparity.errors import UsageError
from rparity.exact.balls import Column, Figures, column, cross_products
from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import Constant, Name, Node, expression, names
from rparity.lmm.language.formula import parse, terms
from rparity.lmm.language.values import Floats
from rparity.lmm.matrices.model_matrices import ModelMatrices, Term, build

Rank = Literal["R", "exact"]


@dataclass(frozen=True, eq=False)
class RationalTerm(Term):
    """One random-effects term, whose columns of Z begin at `start`."""

    codes: Sequence[int]  # (n,)
    Z: Sequence[Column]  # k columns of n
    start: int

    @property
    def starts(self) -> range:
        """First column of Z of each level."""
        return range(self.start, self.start + self.size, self.k)


@dataclass(frozen=True)
class RationalModel:
    """y less the offset, X by columns, Z by terms and the weights of a model, all exact.

    `matrices` are the same in doubles.
    """

    names: tuple[str, ...]
    y: Column  # (n,)
    X: Sequence[Column]  # p columns of n
    terms: tuple[RationalTerm, ...]
    weights: Column | None
    intercept: bool
    matrices: ModelMatrices

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

    def residuals(self, beta: Sequence[arb | fmpq], b: Sequence[arb] = ()) -> list[arb]:
        """Return y − offset − Xβ − Zb, (n,)."""
        out = []
        for i in range(self.n):
            fitted = sum((x[i] * arb(c) for x, c in zip(self.X, beta, strict=True)), arb(0))
            for term in self.terms:
                at = term.start + term.codes[i] * term.k
                fitted += sum((z[i] * b[at + a] for a, z in enumerate(term.Z)), arb(0))
            out.append(self.y[i] - fitted)
        return out


def rational_model(
    formula: str,
    data: pd.DataFrame,
    *,
    figures: Figures,
    rank: Rank = "R",
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Mapping[str, str] | None = None,
    collate: Collate = "en_US",
) -> RationalModel:
    """Build a model exactly.

    Columns of the data, and what I(), +, −, ·, / and whole powers make of them, are exact. Any
    other column (contrasts, `log(x)`) is taken as the double that `build` returns. R drops columns
    that depend on earlier ones to 1e-7; with `rank` "exact", X keeps those that are numeric.

    Raises
    ------
    FormulaError, DataError
        As `rparity.lmm.matrices.model_matrices.build`; also if values are missing.
    """
    parsed = parse(formula)
    m = build(
        parsed,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        na_action="fail",
        collate=collate,
    )
    exact = _Columns(data, figures)
    right = parsed.fixed_terms(data.columns)
    y = exact.variable(parsed.response) or exact.doubles(m.y)
    offsets = [exact.variable(label) for label in parsed.offsets]
    if offset is not None:
        offsets.append(exact.doubles(np.asarray(offset, dtype=np.float64)))
    for values in offsets if all(offsets) else [exact.doubles(m.offset)]:
        y = [a - b for a, b in zip(y, values or (), strict=True)]
    X = {name: exact.named(name, right.terms, m.X[:, j]) for j, name in enumerate(m.names)}
    if rank == "exact":
        X |= {name: exact.named(name, right.terms) for name in m.dropped_columns}
        order = [":".join(term) for term in right.terms]
        X = {
            name: X[name] for name in sorted(X, key=lambda n: order.index(n) if n in order else -1)
        }
    sides = [term for bar in parsed.bars for term in terms(bar.lhs).terms]
    random: list[RationalTerm] = []
    for t in m.random:
        Z = [exact.named(name, sides, t.Z[:, a]) for a, name in enumerate(t.names)]
        start = sum(term.size for term in random)
        random.append(RationalTerm(t.group, t.names, t.levels, t.codes.tolist(), Z, start))
    return RationalModel(
        names=tuple(X),
        y=y,
        X=list(X.values()),
        terms=tuple(random),
        weights=None if weights is None else exact.doubles(m.weights),
        intercept=right.intercept,
        matrices=m,
    )


class _Columns:
    """Columns of the data, and arithmetic on them, as rationals."""

    def __init__(self, data: pd.DataFrame, figures: Figures) -> None:
        self.data = data
        self.figures: Figures = figures

    def doubles(self, values: Floats) -> Column:
        """Return an array (n,) as rationals."""
        return column(values.tolist(), self.figures)

    def named(
        self, name: str, known: Iterable[tuple[str, ...]], doubles: Floats | None = None
    ) -> Column:
        """Return the column with R's name `name`: a product of variables, or else the doubles.

        Raises UsageError if it is no arithmetic on the data and no doubles are given.
        """
        for term in known:
            if ":".join(term) == name:
                factors = [self.variable(label) for label in term]
                if all(factors):
                    rows = zip(*(factor or () for factor in factors), strict=True)
                    return [math.prod(row, start=fmpq(1)) for row in rows]
        if doubles is None:
            raise UsageError(f"The column `{name}` is not arithmetic on the data: use rank='R'.")
        return self.doubles(doubles)

    def variable(self, label: str) -> Column | None:
        """Return one variable of a formula, or None if it is more than arithmetic."""
        node = expression(label)
        used = names(node)
        series = [self.data[name] for name in used if name in self.data.columns]
        types = pd.api.types
        if not series or len(series) < len(used):
            return None
        if not all(types.is_numeric_dtype(s) and not types.is_bool_dtype(s) for s in series):
            return None
        rows = zip(*(self.doubles(s.to_numpy(dtype=np.float64)) for s in series), strict=True)
        try:
            return [_arithmetic(node, dict(zip(used, row, strict=True))) for row in rows]
        except (_MoreThanArithmetic, ZeroDivisionError):
            return None


class _MoreThanArithmetic(Exception):
    """A function, a root or a decimal in an expression."""


_EXACTLY: dict[str, Callable[..., fmpq]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _arithmetic(node: Node, row: Mapping[str, fmpq]) -> fmpq:
    """Evaluate an expression on the rational values of one row."""
    if isinstance(node, Name):
        return row[node.text]
    if isinstance(node, Constant):
        if not isinstance(node.value, float) or not node.value.is_integer():
            raise _MoreThanArithmetic
        return fmpq(int(node.value))
    if node.function in {"I", "("}:
        return _arithmetic(node.operands[0], row)
    if node.function in {"+", "-"} and len(node.operands) == 1:
        value = _arithmetic(node.operands[0], row)
        return -value if node.function == "-" else value
    if node.function == "^":
        base, exponent = (_arithmetic(side, row) for side in node.operands)
        if exponent.q != 1:
            raise _MoreThanArithmetic
        return base ** int(exponent)
    if node.function not in _EXACTLY:
        raise _MoreThanArithmetic
    return _EXACTLY[node.function](*(_arithmetic(side, row) for side in node.operands))
