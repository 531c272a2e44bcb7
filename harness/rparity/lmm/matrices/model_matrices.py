"""Model matrices: from a formula and data to R's columns, codes and names."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.control import DEFAULT, Control, check_rank, check_term
from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import expression, name_label, names
from rparity.lmm.language.formula import Bar, Formula, Terms, parse, terms
from rparity.lmm.language.values import Floats, Vector, doubles, with_levels
from rparity.lmm.lme4 import NEWEST, Lme4
from rparity.lmm.matrices.coding import Coding, Contrasts, independent
from rparity.lmm.matrices.frame import (
    Context,
    Frame,
    check_finite,
    count_missing,
    is_missing,
    used_levels,
)


class RankDeficientWarning(UserWarning):
    """Columns of X that depend linearly on earlier ones were dropped; the message names them."""


@dataclass(frozen=True, eq=False)
class Excluded:
    """The rows of the data, and which of them were used, (m,), as R's `na.exclude` keeps them."""

    rows: "pd.Index[Any]"
    used: NDArray[np.bool_]


NaAction: TypeAlias = Literal["omit", "exclude", "fail"]


class AbsentContrastWarning(UserWarning):
    """contrasts= names a variable that the fixed part does not have, and is ignored, as in R."""


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
    used: NDArray[np.bool_] = field(repr=False)  # which rows of the data these are
    dropped_rows: int
    excluded: Excluded | None
    dropped_columns: tuple[str, ...]
    lme4: Lme4
    columns: Mapping[str, "pd.Series[Any]"] = field(repr=False)  # that X and Z are made of, (n,)
    _offsets: tuple[str, ...] = field(repr=False)
    _offset_given: bool = field(repr=False)
    _fixed: Coding = field(repr=False)
    _bars: tuple[tuple[Bar, Coding], ...] = field(repr=False)
    _values: Mapping[str, Vector] = field(repr=False)
    # Levels of the variables of grouping factors; none for numbers, whose levels are sorted anew.
    _levels: Mapping[str, tuple[str, ...]] = field(repr=False)

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

    def by_row(self, values: Floats) -> "pd.Series[float]":
        """Index values (n,) by the rows used; with `na_action="exclude"` others have NaN."""
        if self.excluded is None:
            return pd.Series(values, self.rows)
        out = np.full(len(self.excluded.rows), np.nan)
        out[self.excluded.used] = values
        return pd.Series(out, self.excluded.rows)

    @property
    def design(self) -> Coding:
        """How X is coded."""
        return self._fixed

    def values(self, part: Terms) -> dict[str, Vector]:
        """The variables of some of the model's terms on the rows that were used."""
        return {label: self._values[label] for label in part.variables}

    def bars(self) -> "list[tuple[int, str, Terms]]":
        """Each random term in the formula's order: its place in `random`, its text, its terms."""
        places = [bar for bar, _ in self._bars]
        return [
            (at, f"{bar.lhs} | {bar.label}", self._bars[at][1].terms)
            for bar in parse(self.formula, self.lme4).bars
            for at in [places.index(bar)]
        ]

    def random_variables(self, places: Iterable[int]) -> set[str]:
        """The variables to the left of the bars of some random terms."""
        return {label for at in places for label in self._bars[at][1].terms.variables}

    def random_term(self, at: int, part: Terms) -> RandomTerm:
        """The random term at a place of `random` with other terms to the left of its bar."""
        values = self.values(part)
        Z, names = Coding.learn(part, values, {}, self._fixed.context).matrix(values, len(self.y))
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
        frame = Frame(newdata, self._fixed.context)
        n = len(newdata)
        total = np.zeros(n) if offset is None else vector(offset, n, "offset")
        return sum((frame.numeric(label, "offset") for label in self._offsets), total)

    def groups(
        self, newdata: pd.DataFrame, which: Iterable[int] | None = None
    ) -> Iterator[tuple[NDArray[np.intp], Floats]]:
        """Yield codes, (m,), and Z, (m, k), of random terms; the code of a new level is -1."""
        frame = Frame(newdata, self._fixed.context)
        for at in range(len(self.random)) if which is None else which:
            bar, coding = self._bars[at]
            factors = [frame.factor(name) for name in bar.group]
            labels = pd.Index(_labels(factors, [factor.data for factor in factors]), dtype=object)
            codes = pd.Index(self.random[at].levels).get_indexer(labels)
            known = np.logical_and.reduce([factor.data >= 0 for factor in factors])
            yield np.where(known, codes, -1), coding.of(newdata)

    def regrouped(self, newdata: pd.DataFrame, at: int) -> RandomTerm:
        """The random term at a place of `random` for new data, (m,); a missing level's code is -1.

        It has the levels that occur: those of the fit in their order, then new ones as they come.
        """
        frame = Frame(newdata, self._fixed.context)
        bar, coding = self._bars[at]
        factors = [_extended(frame.factor(name), self._levels[name]) for name in bar.group]
        known = np.logical_and.reduce([factor.data >= 0 for factor in factors])
        codes = np.full(len(newdata), -1)
        codes[known], levels = _group([factor.take(known) for factor in factors])
        return replace(self.random[at], codes=codes, levels=levels, Z=coding.of(newdata))

    def incomplete(
        self, newdata: pd.DataFrame, which: Iterable[int], *, fixed: bool
    ) -> NDArray[np.bool_]:
        """Return which rows lack a variable of X, if `fixed`, or of Z of some terms, (m,)."""
        codings = [*([self._fixed] if fixed else []), *(self._bars[at][1] for at in which)]
        gaps = np.zeros(len(newdata), dtype=np.bool_)
        for coding in codings:
            frame = Frame(newdata, coding.context)
            for label in coding.terms.variables:
                gaps |= is_missing(frame.value(label))
        return gaps


def build(
    formula: str | Formula,
    data: pd.DataFrame,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    contrasts: Contrasts | None = None,
    subset: str | ArrayLike | None = None,
    na_action: NaAction = "omit",
    rank_deficient: Literal["drop", "fail"] = "drop",
    collate: Collate = "en_US",
    lme4: Lme4 = NEWEST,
    control: Control = DEFAULT,
) -> ModelMatrices:
    """Build the matrices of a model as R's `lFormula()` does, or `lm()` without random effects.

    Parameters
    ----------
    formula
        In lme4's notation, or the result of `parse`.
    data
        One row for each observation. Categories and text are factors, bool columns logicals.
    weights, offset
        One value for each row of `data`, or an expression such as ``"w"`` or ``"1 / n"``, which
        is evaluated in `data` as R does. With random effects, rows of weight zero are left out, as
        missing values are. `offset` is added to offset() terms of the formula.
    contrasts
        From factors of X to names of R's contrasts, or to matrices (levels, contrasts). As in lme4,
        random terms have the default ones.
    subset
        Which rows to use: an expression such as ``"x > 0"``, or one bool for each row. As in R,
        functions such as scale() are computed from all rows.
    na_action
        Omit rows with missing values, or raise DataError; with "exclude", fitted values and
        residuals have NaN in these rows.
    rank_deficient
        Drop columns of X that depend linearly on earlier ones, or raise DataError.
    collate
        The locale in which text is sorted to make levels: R's default session sorts as a dictionary
        does, apple before Banana; R with LC_COLLATE=C by code point.
    lme4
        The version whose names of nested groups are used, if the formula is text.
    control
        What to do if a random term fails a check.

    Raises
    ------
    FormulaError
        For a formula that does not parse, or with an unknown column or function.
    DataError
        For data that R refuses, and for infinite values.
    """
    parsed = parse(formula, lme4) if isinstance(formula, str) else formula
    require_frame(data, "The data")
    if na_action not in get_args(NaAction):
        raise UsageError("na_action must be 'omit', 'exclude' or 'fail'.")
    if rank_deficient not in {"drop", "fail"}:
        raise UsageError("rank_deficient must be 'drop' or 'fail'.")
    n = len(data)
    if not n:
        raise DataError("The data have no rows: the model needs observations.")
    context = Context(collate)
    frame = Frame(data, context)
    right = parsed.fixed_terms(data.columns)
    if parsed.response in (*right.variables, *parsed.offsets):
        raise FormulaError(f"The response `{parsed.response}` is on both sides of the formula.")
    left = [terms(bar.lhs) for bar in parsed.bars]
    parts = (right, *left)
    for nodes in (parsed.nodes, *(part.nodes for part in parts)):
        context.nodes.update(nodes)
    numeric = {parsed.response: frame.numeric(parsed.response, "response")}
    numeric |= {label: frame.numeric(label, "offset") for label in parsed.offsets}
    w = _given(weights, 1.0, frame, "weights")
    extra = _given(offset, 0.0, frame, "offset")
    used = dict.fromkeys(x for part in parts for x in (*part.variables, *part.removed))
    values = {label: frame.value(label) for label in used}
    factors = {name: frame.factor(name) for bar in parsed.bars for name in bar.group}
    chosen = np.ones(n, dtype=bool) if subset is None else frame.subset(subset)
    if not chosen.any():
        raise DataError("subset= leaves no row: the model needs observations.")

    numbers = [*numeric.items(), ("weights", w), ("offset", extra)]
    variables = [*((label, doubles(each)) for label, each in numbers), *values.items()]
    keep = _complete([*variables, *factors.items()], chosen, na_action)
    if not w[keep].any():
        raise DataError("All weights are zero: at least one row must have a positive weight.")
    if parsed.bars:
        keep &= w != 0
    if not keep.all():
        numeric = {label: value[keep] for label, value in numeric.items()}
        values = {label: value.take(keep) for label, value in values.items()}
        factors = {name: found.take(keep) for name, found in factors.items()}
        w, extra = w[keep], extra[keep]
    values = {x: used_levels(values[x]) for part in parts for x in part.variables}
    numbers = [*numeric.items(), ("weights", w), ("offset", extra)]
    for label, found in [*((label, doubles(each)) for label, each in numbers), *values.items()]:
        check_finite(label, found)
    if (w < 0).any():
        raise DataError("The weights have negative values: weights must be zero or more.")

    y = numeric.pop(parsed.response).copy()  # later changes to the caller's data have no effect
    if parsed.bars and (y == y[0]).all():
        raise DataError(f"The response `{parsed.response}` is constant: there is nothing to model.")
    fixed = Coding.learn(right, values, _present(contrasts, right), context)
    X, names = fixed.matrix(values, len(y))
    kept = independent(X if w.all() else X[w > 0])  # a row of weight zero is no observation of lm
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
        # As in lme4, a variable that is the group as well is a factor to the left of the bar.
        own = {name_label(name): used_levels(factors[name]) for name in bar.group}
        coding = Coding.learn(side, values | own, {}, context)
        Z, columns = coding.matrix(values | own, len(y))
        random.append(RandomTerm(bar.name, columns, levels, codes, Z))
        bars.append((bar, coding))
        check_term(control, random[-1], bar.lhs)
    check_rank(control, random, len(y))
    order = lme4_order([len(term.levels) for term in random])
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
        used=keep,
        dropped_rows=int(chosen.sum()) - len(y),
        excluded=Excluded(data.index[chosen], keep[chosen]) if na_action == "exclude" else None,
        dropped_columns=dropped,
        lme4=lme4,
        columns=_predictors((right, *left), data, keep),
        _offsets=parsed.offsets,
        _offset_given=offset is not None,
        _fixed=fixed,
        _bars=tuple(bars[i] for i in order),
        _values=values,
        _levels={
            name: used_levels(found).levels if frame.column(name, name).is_text else ()
            for name, found in factors.items()
        },
    )


def _predictors(
    parts: Iterable[Terms], data: pd.DataFrame, keep: NDArray[np.bool_]
) -> dict[str, "pd.Series[Any]"]:
    """Copy the columns that the model's terms are made of: the caller may change the data later."""
    labels = (label for part in parts for label in part.variables)
    used = dict.fromkeys(name for label in labels for name in names(expression(label)))
    whole = bool(keep.all())
    return {
        name: data[name].copy() if whole else data[name][keep]
        for name in used
        if name in data.columns
    }


def _given(values: str | ArrayLike | None, default: float, frame: Frame, what: str) -> Floats:
    """Return weights or an offset, (n,): given as numbers, or as an expression of columns."""
    if isinstance(values, str):
        return frame.numeric(values, what)
    n = len(frame.data)
    return np.full(n, default) if values is None else vector(values, n, what)


def _present(contrasts: Contrasts | None, part: Terms) -> Contrasts:
    """Leave out contrasts of variables that the fixed part does not have, with R's warning."""
    if contrasts is None:
        return {}
    if not isinstance(contrasts, Mapping):
        raise UsageError(
            "contrasts must be a mapping from factors to contrasts, such as {'f': 'contr.sum'}, "
            f"and is a {type(contrasts).__name__}."
        )
    absent = [label for label in contrasts if label not in part.variables]
    if absent:
        warnings.warn(
            f"The fixed part has no {', '.join(absent)}, whose contrasts are ignored.",
            AbsentContrastWarning,
            stacklevel=4,
        )
    return {label: given for label, given in contrasts.items() if label not in absent}


def response(formula: str, data: pd.DataFrame) -> "pd.Series[float]":
    """Evaluate the left-hand side of a formula for each row of the data, under its label.

    Raises
    ------
    FormulaError, DataError
        As `build` does.
    """
    label = parse(formula).response
    return pd.Series(Frame(data).numeric(label, "response"), data.index, name=label)


def _group(factors: Sequence[Vector]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return codes and levels of a grouping factor, the interaction of `factors`, as used."""
    shape = [len(factor.levels) for factor in factors]
    cells = np.ravel_multi_index([factor.data for factor in factors], shape)
    used, codes = np.unique(cells, return_inverse=True)
    return codes, tuple(_labels(factors, np.unravel_index(used, shape)))


def _extended(factor: Vector, known: tuple[str, ...]) -> Vector:
    """Give a factor the levels `known`, if any, and after them its others as they come."""
    if not known:
        return factor
    found = [factor.levels[code] for code in dict.fromkeys(factor.data) if code >= 0]
    return with_levels(factor, list(dict.fromkeys([*known, *found])))


def _labels(factors: Sequence[Vector], codes: Sequence[NDArray[Any]]) -> list[str]:
    """Return R's names of levels of an interaction, given the codes of each factor."""
    columns = [
        np.array([*factor.levels, "NA"], dtype=object)[code]
        for factor, code in zip(factors, codes, strict=True)
    ]
    return [":".join(labels) for labels in zip(*columns, strict=True)]


def lme4_order(counts: list[int]) -> list[int]:
    """Return lme4's order of terms: unchanged if counts never increase, else `rev(order(counts))`.

    As in lme4, the reversal also reverses ties.
    """
    if all(a >= b for a, b in pairwise(counts)):
        return list(range(len(counts)))
    return sorted(range(len(counts)), key=counts.__getitem__)[::-1]


def require_frame(data: object, what: str) -> None:
    """Refuse data that are not a DataFrame; `what` is their name in the message."""
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"{what} are a {type(data).__name__}: convert them to a pandas DataFrame.")


def vector(values: ArrayLike, n: int, what: str) -> Floats:
    """Convert to one number for each row, (n,), which may be NaN."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (n,):
        raise DataError(f"The {what} must be {n} numbers, one for each row of the data.")
    return array


def _complete(
    variables: Iterable[tuple[str, Vector]], chosen: NDArray[np.bool_], na_action: str
) -> NDArray[np.bool_]:
    """Return which chosen rows have no missing value (R's `na.omit()` or `na.fail()`)."""
    keep = chosen.copy()
    n = int(chosen.sum())
    for label, value in variables:
        gaps = is_missing(value) & chosen
        if not gaps.any():
            continue
        if na_action == "fail":
            raise DataError(f"`{label}` has {count_missing(gaps)}: drop or fill those rows.")
        keep &= ~gaps
        if not keep.any():
            raise DataError(f"No row is complete: `{label}` has {count_missing(gaps)} in {n} rows.")
    return keep
