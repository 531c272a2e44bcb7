"""Model matrices: from a formula and data to R's columns, codes and names."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.coding import Coding, independent
from rparity.lmm.formula import Bar, Formula, Terms, deparse, expression, parse, terms
from rparity.lmm.frame import (
    Factor,
    Frame,
    Values,
    check_finite,
    count_missing,
    is_missing,
    used_levels,
)
from rparity.lmm.lme4 import NEWEST, Lme4

Floats = NDArray[np.float64]


class RankDeficientWarning(UserWarning):
    """Columns of X that depend linearly on earlier ones were dropped; the message names them."""


@dataclass(frozen=True, eq=False)
class Term:
    """R's names of one random-effects term with L levels of k coefficients."""

    group: str
    names: tuple[str, ...]
    levels: tuple[str, ...]

    @property
    def k(self) -> int:
        """Coefficients a level."""
        return len(self.names)

    @property
    def size(self) -> int:
        """Random effects, kL."""
        return self.k * len(self.levels)


@dataclass(frozen=True, eq=False)
class RandomTerm(Term):
    """One random-effects term. Row i of its full matrix is `Z[i]` in the columns of its level."""

    codes: NDArray[np.intp]  # the level of each row, (n,)
    Z: Floats  # (n, k)


@dataclass(frozen=True, eq=False)
class ModelMatrices:
    """The matrices of a model, as from R's `lFormula()`, with n rows used and p columns of X."""

    formula: str
    response: str
    y: Floats  # (n,)
    X: Floats  # (n, p)
    names: tuple[str, ...]
    random: tuple[RandomTerm, ...]
    offset: Floats  # (n,)
    weights: Floats  # (n,)
    rows: "pd.Index[Any]"
    dropped_rows: int
    dropped_columns: tuple[str, ...]
    lme4: Lme4
    predictors: pd.DataFrame = field(repr=False)  # the columns that X and Z are made of, (n, …)
    _offsets: tuple[str, ...] = field(repr=False)
    _offset_given: bool = field(repr=False)
    _fixed: Coding = field(repr=False)
    _bars: tuple[tuple[Bar, Coding], ...] = field(repr=False)

    def warn_of_dropped_columns(self) -> None:
        """Warn of columns that were dropped to make X full rank, as lme4 does."""
        if self.dropped_columns:
            names = ", ".join(self.dropped_columns)
            warnings.warn(
                f"The fixed part is rank deficient: dropped {names}, which depends linearly on the "
                "columns before it.",
                RankDeficientWarning,
                stacklevel=3,
            )

    @property
    def design(self) -> Coding:
        """How X is coded."""
        return self._fixed

    @property
    def frame(self) -> Frame:
        """The variables of X and Z on the rows that were used."""
        return Frame(self.predictors, self._fixed.state)

    def values(self, part: Terms) -> dict[str, Values]:
        """Evaluate the variables of some terms on the rows that were used."""
        frame = self.frame
        return {label: used_levels(frame.value(label)) for label in part.variables}

    def bars(self) -> "list[tuple[int, str, Terms]]":
        """Each random term in the formula's order: its place in `random`, its text, its terms."""
        places = [bar for bar, _ in self._bars]
        return [
            (at, f"{deparse(bar.lhs)} | {bar.name}", self._bars[at][1].terms)
            for bar in parse(self.formula, self.lme4).bars
            for at in [places.index(bar)]
        ]

    def random_term(self, at: int, part: Terms) -> RandomTerm:
        """The random term at a place of `random` with other terms to the left of its bar."""
        values = self.values(part)
        Z, names = Coding.learn(part, values, {}, self.frame).matrix(values, len(self.y))
        return replace(self.random[at], names=names, Z=Z)

    def fixed(self, newdata: pd.DataFrame) -> Floats:
        """Return X for new data, (m, p), with the coding of the fit.

        Raises
        ------
        DataError
            For missing values, and for levels that the data of the fit do not have.
        """
        return self._fixed.of(newdata)

    def known(self, newdata: pd.DataFrame, offset: ArrayLike | None) -> Floats:
        """Return the offset for new data, (m,): that of the formula plus `offset`.

        Raises
        ------
        DataError
            If the model was fitted with the argument `offset` and it is missing here.
        """
        if self._offset_given and offset is None:
            raise DataError("The model was fitted with offset=: give the offset of newdata, too.")
        frame = Frame(newdata, self._fixed.state)
        n = len(newdata)
        total = np.zeros(n) if offset is None else _vector(offset, n, "offset")
        return sum((frame.numeric(label, "offset") for label in self._offsets), total)

    def groups(self, newdata: pd.DataFrame) -> tuple[tuple[NDArray[np.intp], Floats], ...]:
        """Return codes, (m,), and Z, (m, k), of each random term; the code of a new level is -1."""
        frame = Frame(newdata)
        found = []
        for term, (bar, coding) in zip(self.random, self._bars, strict=True):
            factors = [frame.factor(name) for name in bar.group]
            labels = pd.Index(_labels(factors, [factor.codes for factor in factors]), dtype=object)
            codes = pd.Index(term.levels).get_indexer(labels)
            known = np.logical_and.reduce([factor.codes >= 0 for factor in factors])
            found.append((np.where(known, codes, -1), coding.of(newdata)))
        return tuple(found)


def build(
    formula: str | Formula,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Mapping[str, str] | None = None,
    na_action: Literal["omit", "fail"] = "omit",
    rank_deficient: Literal["drop", "fail"] = "drop",
    lme4: Lme4 = NEWEST,
) -> ModelMatrices:
    """Build the matrices of a model as R's `lFormula()` does, or `lm()` without random effects.

    Parameters
    ----------
    formula
        In lme4's notation, or the result of `parse`.
    data
        One row for each observation. Categories and text are factors, bool columns logicals.
    weights, offset
        One value for each row of `data`. `offset` is added to offset() terms of the formula.
    contrasts
        From factors of X to names of R's contrasts. As in lme4, random terms have the default ones.
    na_action
        Omit rows with missing values, or raise DataError.
    rank_deficient
        Drop columns of X that depend linearly on earlier ones, or raise DataError.
    lme4
        The version whose names of nested groups are used, if the formula is text.

    Raises
    ------
    FormulaError
        For a formula that does not parse, or with an unknown column or function.
    DataError
        For data that R refuses, and for infinite values.
    """
    parsed = parse(formula, lme4) if isinstance(formula, str) else formula
    if not isinstance(data, pd.DataFrame):
        raise DataError(
            f"The data are a {type(data).__name__}: convert them to a pandas DataFrame."
        )
    if na_action not in {"omit", "fail"} or rank_deficient not in {"drop", "fail"}:
        raise UsageError("na_action must be 'omit' or 'fail', and rank_deficient 'drop' or 'fail'.")
    n = len(data)
    if not n:
        raise DataError("The data have no rows: the model needs observations.")
    frame = Frame(data)
    right = terms(parsed.fixed)
    if parsed.response in (*right.variables, *parsed.offsets):
        raise FormulaError(f"The response `{parsed.response}` is on both sides of the formula.")
    left = [terms(bar.lhs) for bar in parsed.bars]
    numeric = {parsed.response: frame.numeric(parsed.response, "response")}
    numeric |= {label: frame.numeric(label, "offset") for label in parsed.offsets}
    w = np.ones(n) if weights is None else _vector(weights, n, "weights")
    extra = np.zeros(n) if offset is None else _vector(offset, n, "offset")
    used = dict.fromkeys(label for part in (right, *left) for label in part.variables)
    values: dict[str, Values] = {label: frame.value(label) for label in used}
    factors = {name: frame.factor(name) for bar in parsed.bars for name in bar.group}

    variables = [*numeric.items(), *values.items(), *factors.items(), ("weights", w)]
    keep = _complete([*variables, ("offset", extra)], n, na_action)
    if not keep.all():
        numeric = {label: value[keep] for label, value in numeric.items()}
        values = {label: value[keep] for label, value in values.items()}
        factors = {name: found[keep] for name, found in factors.items()}
        w, extra = w[keep], extra[keep]
    values = {label: used_levels(value) for label, value in values.items()}
    for label, value in [*numeric.items(), *values.items(), ("weights", w), ("offset", extra)]:
        check_finite(label, value)
    if (w < 0).any():
        raise DataError("The weights have negative values: weights must be zero or more.")

    y = numeric.pop(parsed.response).copy()  # later changes to the caller's data have no effect
    if parsed.bars and (y == y[0]).all():
        raise DataError(f"The response `{parsed.response}` is constant: there is nothing to model.")
    fixed = Coding.learn(right, values, contrasts or {}, frame)
    X, names = fixed.matrix(values, len(y))
    kept = independent(X)
    dropped = tuple(name for name, ok in zip(names, kept, strict=True) if not ok)
    if dropped and rank_deficient == "fail":
        raise DataError(
            f"The column `{dropped[0]}` of the fixed part depends linearly on the columns before "
            "it: remove its term from the formula."
        )
    if dropped:
        X, names = np.ascontiguousarray(X[:, kept]), tuple(np.array(names, dtype=object)[kept])
        fixed = replace(fixed, kept=kept)

    random, bars = [], []
    for bar, side in zip(parsed.bars, left, strict=True):
        codes, levels = _group([factors[name] for name in bar.group])
        coding = Coding.learn(side, values, {}, frame)
        Z, columns = coding.matrix(values, len(y))
        random.append(RandomTerm(bar.name, columns, levels, codes, Z))
        bars.append((bar, coding))
        _check_identifiable(random[-1], bar)
    order = _lme4_order([len(term.levels) for term in random])
    return ModelMatrices(
        formula=parsed.text,
        response=parsed.response,
        y=y,
        X=X,
        names=names,
        random=tuple(random[i] for i in order),
        offset=sum(numeric.values(), extra),
        weights=w,
        rows=data.index if keep.all() else data.index[keep],
        dropped_rows=n - len(y),
        dropped_columns=dropped,
        lme4=lme4,
        predictors=_predictors((right, *left), data, keep),
        _offsets=parsed.offsets,
        _offset_given=offset is not None,
        _fixed=fixed,
        _bars=tuple(bars[i] for i in order),
    )


def _predictors(
    parts: Iterable[Terms], data: pd.DataFrame, keep: NDArray[np.bool_]
) -> pd.DataFrame:
    """Copy the columns that the model's terms are made of: the caller may change the data later."""
    labels = (label for part in parts for label in part.variables)
    used = (name for label in labels for name in expression(label).columns)
    columns = data[list(dict.fromkeys(used))]  # a copy
    return columns if keep.all() else columns[keep]


def response(formula: str, data: pd.DataFrame) -> "pd.Series[float]":
    """Evaluate the left-hand side of a formula for each row of the data, under its label.

    Raises
    ------
    FormulaError, DataError
        As `build` does.
    """
    label = parse(formula).response
    return pd.Series(Frame(data).numeric(label, "response"), data.index, name=label)


def _group(factors: Sequence[Factor]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return codes and levels of a grouping factor, the interaction of `factors`, as used."""
    shape = [len(factor.categories) for factor in factors]
    cells = np.ravel_multi_index([factor.codes.astype(np.intp) for factor in factors], shape)
    used, codes = np.unique(cells, return_inverse=True)
    return codes, tuple(_labels(factors, np.unravel_index(used, shape)))


def _labels(factors: Sequence[Factor], codes: Sequence[NDArray[Any]]) -> list[str]:
    """Return R's names of levels of an interaction, given the codes of each factor."""
    columns = [
        np.asarray(factor.categories, dtype=object)[code]
        for factor, code in zip(factors, codes, strict=True)
    ]
    return [":".join(labels) for labels in zip(*columns, strict=True)]


def _lme4_order(counts: list[int]) -> list[int]:
    """Return lme4's order of terms: unchanged if counts never increase, else `rev(order(counts))`.

    As in lme4, the reversal also reverses ties.
    """
    if all(a >= b for a, b in pairwise(counts)):
        return list(range(len(counts)))
    return sorted(range(len(counts)), key=counts.__getitem__)[::-1]


def _vector(values: ArrayLike, n: int, what: str) -> Floats:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (n,):
        raise DataError(f"The {what} must be {n} numbers, one for each row of the data.")
    return array


def _complete(variables: Iterable[tuple[str, Values]], n: int, na_action: str) -> NDArray[np.bool_]:
    """Return which rows have no missing value (R's `na.omit()` or `na.fail()`)."""
    keep = np.ones(n, dtype=bool)
    for label, value in variables:
        gaps = is_missing(value)
        if not gaps.any():
            continue
        if na_action == "fail":
            raise DataError(f"`{label}` has {count_missing(gaps)}: drop or fill those rows.")
        keep &= ~gaps
        if not keep.any():
            raise DataError(f"No row is complete: `{label}` has {count_missing(gaps)} in {n} rows.")
    return keep


def _check_identifiable(term: RandomTerm, bar: Bar) -> None:
    """Make lme4's checks of a random term against the number of rows."""
    n, k = term.Z.shape
    levels = len(term.levels)
    if levels < 2:
        raise DataError(
            f"The grouping factor `{term.group}` has only one level: it needs at least two."
        )
    if levels >= n:
        raise DataError(
            f"The grouping factor `{term.group}` has {levels} levels in {n} rows: it needs fewer "
            "levels than rows."
        )
    if levels * k >= n:
        raise DataError(
            f"The term ({bar.lhs} | {term.group}) has {levels * k} random effects for {n} rows, "
            "which cannot be distinguished from the residuals: remove coefficients from it."
        )
