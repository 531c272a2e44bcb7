"""Model matrices: a formula and data in, R's columns, codes and names out."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.coding import Design, independent
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
    """Columns of X that depend on earlier ones were dropped; the message names them."""


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One random-effects term: row i of Z̃ is `Z[i]` in the columns of level `codes[i]`."""

    group: str
    names: tuple[str, ...]
    levels: tuple[str, ...]
    codes: NDArray[np.intp]  # (n,)
    Z: Floats  # (n, k)


@dataclass(frozen=True, eq=False)
class ModelMatrices:
    """What R's `lFormula()` makes of a formula and data; n rows are kept, X has p columns."""

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
    _fixed: "Design" = field(repr=False)
    _bars: "tuple[tuple[Bar, Design], ...]" = field(repr=False)

    def warn_of_dropped_columns(self) -> None:
        """Say what was dropped for a full rank, as lme4 does."""
        if self.dropped_columns:
            names = ", ".join(self.dropped_columns)
            warnings.warn(
                f"The fixed part is rank deficient: dropped {names}, which depends linearly on the "
                "columns before it.",
                RankDeficientWarning,
                stacklevel=3,
            )

    @property
    def design(self) -> Design:
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
        Z, names = Design.learn(part, values, {}, self.frame).matrix(values, len(self.y))
        return replace(self.random[at], names=names, Z=Z)

    def fixed(self, newdata: pd.DataFrame) -> Floats:
        """X for new data, (m, p), coded as at the fit.

        Raises
        ------
        DataError
            For missing values and for levels that the fit has not seen.
        """
        return self._fixed.of(newdata)

    def known(self, newdata: pd.DataFrame, offset: ArrayLike | None) -> Floats:
        """Return the offset for new data, (m,): the formula's own terms, and `offset`.

        Raises
        ------
        DataError
            If the model was fitted with an offset beside the formula and there is none here.
        """
        if self._offset_given and offset is None:
            raise DataError("The model was fitted with offset=: give newdata's with offset= too.")
        frame = Frame(newdata, self._fixed.state)
        n = len(newdata)
        total = np.zeros(n) if offset is None else _vector(offset, n, "offset")
        return sum((frame.numeric(label, "offset") for label in self._offsets), total)

    def groups(self, newdata: pd.DataFrame) -> tuple[tuple[NDArray[np.intp], Floats], ...]:
        """Codes, (m,), and Z, (m, k), of each random term for new data; -1 for an unknown level."""
        frame = Frame(newdata)
        found = []
        for term, (bar, design) in zip(self.random, self._bars, strict=True):
            factors = [frame.factor(name) for name in bar.group]
            labels = _labels(factors)
            codes = pd.Index(term.levels).get_indexer(pd.Index(labels, dtype=object))
            known = np.logical_and.reduce([factor.codes >= 0 for factor in factors])
            found.append((np.where(known, codes, -1), design.of(newdata)))
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
    """Build the matrices of a model as R's `lFormula()` does, or `lm()` where there are no bars.

    Parameters
    ----------
    formula
        lme4's notation, or what `parse` made of it.
    data
        One row an observation. Categorical and text columns are factors, bool columns logicals.
    weights, offset
        One value a row of `data`; `offset` adds to the formula's own offset() terms.
    contrasts
        Factor to R's contrast function, for X. As in lme4, random terms keep the default ones.
    na_action
        Whether rows with missing values are omitted or a `DataError`.
    rank_deficient
        Whether columns of X that depend on earlier ones are dropped or a `DataError`.
    lme4
        The version whose names of nested groups are used, where the formula is a text.

    Raises
    ------
    FormulaError
        For a formula that does not parse or that names an unknown column or function.
    DataError
        For data that R refuses as well, and for infinite values.
    """
    parsed = parse(formula, lme4) if isinstance(formula, str) else formula
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"The data are a {type(data).__name__}: turn them into a pandas DataFrame.")
    if na_action not in {"omit", "fail"} or rank_deficient not in {"drop", "fail"}:
        raise UsageError("na_action is 'omit' or 'fail', rank_deficient is 'drop' or 'fail'.")
    n = len(data)
    if not n:
        raise DataError("The data have no rows: the model needs observations.")
    frame = Frame(data)
    right = terms(parsed.fixed)
    if parsed.response in (*right.variables, *parsed.offsets):
        raise FormulaError(f"The response `{parsed.response}` stands on both sides of the formula.")
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
        raise DataError("The weights have negative values: weights are zero or more.")

    y = numeric.pop(parsed.response).copy()  # what the caller does to the data later is not ours
    if parsed.bars and (y == y[0]).all():
        raise DataError(f"The response `{parsed.response}` is constant: nothing is left to model.")
    design = Design.learn(right, values, contrasts or {}, frame)
    X, names = design.matrix(values, len(y))
    kept = independent(X)
    dropped = tuple(name for name, ok in zip(names, kept, strict=True) if not ok)
    if dropped and rank_deficient == "fail":
        raise DataError(
            f"The column `{dropped[0]}` of the fixed part depends linearly on the columns before "
            "it: take its term out of the formula."
        )
    if dropped:
        X, names = np.ascontiguousarray(X[:, kept]), tuple(np.array(names, dtype=object)[kept])
        design = design.keeping(kept)

    random, bars = [], []
    for bar, side in zip(parsed.bars, left, strict=True):
        codes, levels = _group(bar, factors)
        part = Design.learn(side, values, {}, frame)
        Z, columns = part.matrix(values, len(y))
        random.append(RandomTerm(bar.name, columns, levels, codes, Z))
        bars.append((bar, part))
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
        _fixed=design,
        _bars=tuple(bars[i] for i in order),
    )


def _predictors(
    parts: Iterable[Terms], data: pd.DataFrame, keep: NDArray[np.bool_]
) -> pd.DataFrame:
    """Copy the columns that the model's terms are made of: the caller may change the data later."""
    labels = (label for part in parts for label in part.variables)
    used = (name for label in labels for name in expression(label).columns)
    return data.loc[keep, list(dict.fromkeys(used))].copy()


def response(formula: str, data: pd.DataFrame) -> "pd.Series[float]":
    """Evaluate the left-hand side of a formula for each row of the data, under its label.

    Raises
    ------
    FormulaError, DataError
        As `build` does.
    """
    label = parse(formula).response
    return pd.Series(Frame(data).numeric(label, "response"), data.index, name=label)


def _group(bar: Bar, factors: Mapping[str, Factor]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Codes and levels of a grouping factor; those that no row has are dropped."""
    parts = [factors[name] for name in bar.group]
    shape = [len(part.categories) for part in parts]
    cells = reduce(
        lambda cells, part: cells * len(part.categories) + part.codes,
        parts,
        np.zeros(len(parts[0]), dtype=np.intp),
    )
    used, codes = np.unique(cells, return_inverse=True)
    columns = [
        np.asarray(part.categories, dtype=object)[codes_]
        for part, codes_ in zip(parts, np.unravel_index(used, shape), strict=True)
    ]
    return codes, tuple(":".join(labels) for labels in zip(*columns, strict=True))


def _labels(factors: Sequence[Factor]) -> list[str]:
    """Each row's level of an interaction, under R's name."""
    columns = [np.asarray(f.categories, dtype=object)[f.codes] for f in factors]
    return [":".join(labels) for labels in zip(*columns, strict=True)]


def _lme4_order(counts: list[int]) -> list[int]:
    """lme4's order of terms: kept if levels never increase, else `rev(order(counts))`.

    The reversal turns ties round as well; so does lme4.
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
    """Find the rows in which no variable is missing: R's `na.omit()` or `na.fail()`."""
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
    """lme4's checks of a random term against the number of rows."""
    n, k = term.Z.shape
    levels = len(term.levels)
    if levels < 2:
        raise DataError(f"The grouping factor `{term.group}` has one level only: it needs two.")
    if levels >= n:
        raise DataError(
            f"The grouping factor `{term.group}` has {levels} levels in {n} rows: it needs fewer "
            "levels than rows."
        )
    if levels * k >= n:
        raise DataError(
            f"The term ({bar.lhs} | {term.group}) has {levels * k} random effects for {n} rows, "
            "which cannot be told from the residuals: take coefficients out of it."
        )
