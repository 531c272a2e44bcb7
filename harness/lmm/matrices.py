"""Model matrices: a formula and data in, R's columns, codes and names out."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_eval, stateful_transform
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, FormulaError, UsageError
from harness.lmm.formula import Bar, Formula, Terms, expression, number_label, parse, terms

Floats = NDArray[np.float64]
Factor: TypeAlias = "pd.Categorical[Any]"
Values: TypeAlias = "NDArray[Any] | Factor"  # float64 with one or two axes, bool, or R's factor

RANK_TOLERANCE = 1e-7  # of R's qr(), as lme4 and lm use it


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
    _fixed: "_Design" = field(repr=False)
    _bars: "tuple[tuple[Bar, _Design], ...]" = field(repr=False)

    def fixed(self, newdata: pd.DataFrame) -> Floats:
        """X for new data, (m, p), coded as at the fit.

        Raises
        ------
        DataError
            For missing values and for levels that the fit has not seen.
        """
        return self._fixed.of(newdata)

    def groups(self, newdata: pd.DataFrame) -> tuple[tuple[NDArray[np.intp], Floats], ...]:
        """Codes, (m,), and Z, (m, k), of each random term for new data; -1 for an unknown level."""
        frame = _Frame(newdata)
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

    Raises
    ------
    FormulaError
        For a formula that does not parse or that names an unknown column or function.
    DataError
        For data that R refuses as well, and for infinite values.
    """
    parsed = parse(formula) if isinstance(formula, str) else formula
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"The data are a {type(data).__name__}: turn them into a pandas DataFrame.")
    if na_action not in {"omit", "fail"} or rank_deficient not in {"drop", "fail"}:
        raise UsageError("na_action is 'omit' or 'fail', rank_deficient is 'drop' or 'fail'.")
    n = len(data)
    if not n:
        raise DataError("The data have no rows: the model needs observations.")
    frame = _Frame(data)
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
    values = {label: _used_levels(value) for label, value in values.items()}
    for label, value in [*numeric.items(), *values.items(), ("weights", w), ("offset", extra)]:
        _check_finite(label, value)
    if (w < 0).any():
        raise DataError("The weights have negative values: weights are zero or more.")

    y = numeric.pop(parsed.response).copy()  # what the caller does to the data later is not ours
    if parsed.bars and (y == y[0]).all():
        raise DataError(f"The response `{parsed.response}` is constant: nothing is left to model.")
    design = _Design.learn(right, values, contrasts or {}, frame)
    X, names = design.matrix(values, len(y))
    kept = _independent(X)
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
        part = _Design.learn(side, values, {}, frame)
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
        _fixed=design,
        _bars=tuple(bars[i] for i in order),
    )


class _Frame:
    """R's model frame: each variable of a formula evaluated once, on all rows of the data."""

    def __init__(self, data: pd.DataFrame, state: dict[str, dict[str, Any]] | None = None) -> None:
        self.data = data
        self.state = {} if state is None else state  # what poly() and scale() learnt
        self._columns: dict[str, Values] = {}

    def series(self, name: str, label: str) -> "pd.Series[Any]":
        if name in self.data.columns:
            found = self.data[name]
            if isinstance(found, pd.Series):
                return found
            raise DataError(f"The data have several columns `{name}`: rename all but one.")
        near = difflib.get_close_matches(name, map(str, self.data.columns), n=3)
        hint = f"did you mean {' or '.join(f'`{c}`' for c in near)}?" if near else "check its name."
        where = "" if label.strip("`") == name else f", which `{label}` needs"
        raise FormulaError(f"The data have no column `{name}`{where}: {hint}")

    def column(self, name: str, label: str) -> Values:
        if name not in self._columns:
            self._columns[name] = _from_pandas(self.series(name, label))
        return self._columns[name]

    def value(self, label: str) -> Values:
        """Evaluate one variable, formulaic's stateful transforms included."""
        e = expression(label)
        if not e.functions and e.code == "c0":
            return self.column(e.columns[0], label)
        if e.code in {"factor ( c0 )", "as_factor ( c0 )"}:
            return self.factor(e.columns[0])
        for function in e.functions:
            if function not in _FUNCTIONS:
                raise FormulaError(
                    f"The function `{function}` in `{label}` is not supported: compute a column "
                    f"first. Supported are {', '.join(sorted(_FUNCTIONS))} and factor(x)."
                )
        columns = [self.column(name, label) for name in e.columns]
        names = {f"c{i}": column for i, column in enumerate(columns)}
        try:
            with np.errstate(all="ignore"):  # as in R, log(-1) is NaN and its row is omitted
                found = stateful_eval(
                    e.code, {**_FUNCTIONS, **names}, None, self.state.setdefault(label, {}), None
                )
        except Exception as error:
            reason = str(error).rstrip(".")
            raise FormulaError(f"`{label}` cannot be evaluated: {reason}.") from error
        array = np.asarray(found)
        if array.shape[:1] != (len(self.data),):
            raise FormulaError(f"`{label}` does not give one value a row: compute a column first.")
        return array if array.dtype == bool else array.astype(np.float64)

    def numeric(self, label: str, role: str) -> Floats:
        found = self.value(label)
        if isinstance(found, pd.Categorical) or found.dtype == bool or found.ndim > 1:
            raise DataError(f"The {role} `{label}` is not numeric: turn it into one number a row.")
        return found

    def factor(self, name: str) -> Factor:
        """R's `factor()` of a column."""
        found = self.column(name, name)
        if isinstance(found, pd.Categorical):
            return found
        if found.dtype == bool:
            return _factor(found.astype(np.intp), ["FALSE", "TRUE"])
        codes, levels = pd.factorize(self.series(name, name), sort=True)
        return _factor(codes, [_level(level) for level in levels])


def _factor(codes: NDArray[np.intp], levels: list[str], ordered: bool = False) -> Factor:
    made: Factor = pd.Categorical.from_codes(codes, pd.Index(levels), ordered=ordered)
    return made


def _from_pandas(series: "pd.Series[Any]") -> Values:
    """Give a column as R has it: numbers as float64, logicals as bool, text as a sorted factor."""
    dtype, array = series.dtype, series.array
    if isinstance(array, pd.Categorical):
        if array.categories.inferred_type == "string":
            return array
        levels = [_level(level) for level in array.categories]
        return _factor(array.codes.astype(np.intp), levels, bool(array.ordered))
    kind = "" if dtype != np.dtype(object) else pd.api.types.infer_dtype(series, skipna=True)
    if pd.api.types.is_bool_dtype(dtype) or kind == "boolean":
        if not series.isna().any():
            return series.to_numpy(dtype=bool)
        return pd.Categorical(series.map({False: "FALSE", True: "TRUE"}), ["FALSE", "TRUE"])
    numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    if numeric or kind in {"integer", "floating", "mixed-integer-float", "empty"}:
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "string" or pd.api.types.is_string_dtype(dtype):
        found: Factor = pd.Categorical(series.astype(object))
        return found
    raise DataError(
        f"The column `{series.name}` holds {kind or dtype} values: turn it into numbers, text or "
        "a category."
    )


def _level(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).upper()
    return number_label(float(value)) if isinstance(value, float | np.floating) else str(value)


@dataclass(frozen=True)
class _Coding:
    """One factor's levels and contrast matrix."""

    levels: tuple[str, ...]
    matrix: Floats  # (levels, contrasts)
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Design:
    """How one `model.matrix()` is coded: all that new data need to get the same columns."""

    terms: Terms
    codings: Mapping[str, _Coding]
    state: dict[str, dict[str, Any]]
    kept: NDArray[np.bool_] | None = None

    @classmethod
    def learn(
        cls,
        parts: Terms,
        values: Mapping[str, Values],
        contrasts: Mapping[str, str],
        frame: _Frame,
    ) -> "_Design":
        """Fix levels and contrasts on the rows that the model keeps."""
        codings = {}
        for label in parts.variables:
            value = values[label]
            if isinstance(value, pd.Categorical) or value.dtype == bool:
                codings[label] = _code(label, value, contrasts.get(label))
        for label in set(contrasts) - set(codings):
            raise UsageError(
                f"contrasts names `{label}`, which is no factor of the fixed part: "
                f"its factors are {', '.join(codings) or 'none'}."
            )
        return cls(parts, codings, frame.state)

    def keeping(self, kept: NDArray[np.bool_]) -> "_Design":
        return _Design(self.terms, self.codings, self.state, kept)

    def matrix(self, values: Mapping[str, Values], n: int) -> tuple[Floats, tuple[str, ...]]:
        """Compute the columns, (n, p), and R's names for them."""
        blocks, names = [np.ones((n, int(self.terms.intercept)))], []
        names += ["(Intercept)"] * self.terms.intercept
        for term, full in zip(self.terms.terms, self._full(), strict=True):
            pieces = [self._columns(k, values[k], f) for k, f in zip(term, full, strict=True)]
            block, columns = reduce(_product, pieces)
            blocks.append(block)
            names += columns
        X = np.hstack(blocks)
        return (X, tuple(names)) if self.kept is None else (X[:, self.kept], tuple(names))

    def of(self, newdata: pd.DataFrame) -> Floats:
        """Compute the columns for new data."""
        frame = _Frame(newdata, self.state)
        values: dict[str, Values] = {}
        for label in self.terms.variables:
            value = frame.value(label)
            if (missing := _missing(value)).any():
                raise DataError(f"`{label}` has {_count(missing)} in newdata: drop those rows.")
            _check_finite(label, value)
            if label in self.codings:
                levels = self.codings[label].levels
                if isinstance(value, pd.Categorical):
                    factor = value
                elif value.dtype == bool:
                    factor = _factor(value.astype(np.intp), ["FALSE", "TRUE"])
                else:
                    factor = frame.factor(expression(label).columns[0])
                value = factor.set_categories(list(levels))
                if (unknown := value.codes < 0).any():
                    raise DataError(
                        f"`{label}` has the level `{factor[unknown][0]}` in newdata, which "
                        "the fit has not seen."
                    )
            elif isinstance(value, pd.Categorical) or value.dtype == bool:
                raise DataError(f"`{label}` is numeric in the fit, but not in newdata.")
            values[label] = value
        return self.matrix(values, len(newdata))[0]

    def _full(self) -> list[list[bool]]:
        """Which factors of which terms get a dummy for each level: TermCode of R's `terms()`.

        A factor is coded by contrasts if an earlier term holds all the other variables of its
        term. Without an intercept, the first factor of all gets dummies.
        """
        parts = [set(term) for term in self.terms.terms]
        full = [
            [len(term) > 1 and not any(parts[i] - {k} <= p for p in parts[:i]) for k in term]
            for i, term in enumerate(self.terms.terms)
        ]
        if not self.terms.intercept:
            for term, dummies in zip(self.terms.terms, full, strict=True):
                first = next((j for j, label in enumerate(term) if label in self.codings), None)
                if first is not None:
                    dummies[first] = True
                    break
        return full

    def _columns(self, label: str, value: Values, full: bool) -> tuple[Floats, list[str]]:
        if label not in self.codings:
            block = np.asarray(value).reshape(len(value), -1)
            ends = range(1, block.shape[1] + 1) if block.shape[1] > 1 else [""]
            return block, [f"{label}{end}" for end in ends]
        coding = self.codings[label]
        codes = value.codes if isinstance(value, pd.Categorical) else value.astype(np.intp)
        coded = np.eye(len(coding.levels)) if full else coding.matrix
        return coded[codes], [f"{label}{end}" for end in (coding.levels if full else coding.names)]


def _product(a: tuple[Floats, list[str]], b: tuple[Floats, list[str]]) -> tuple[Floats, list[str]]:
    """Multiply columns for an interaction: those of the first factor vary fastest."""
    block = b[0][:, :, None] * a[0][:, None, :]
    return block.reshape(len(block), -1), [f"{left}:{right}" for right in b[1] for left in a[1]]


def _code(label: str, value: Values, contrast: str | None) -> _Coding:
    """Choose a factor's contrasts: R's `contrasts<-` and `options("contrasts")`."""
    ordered = False
    levels: tuple[str, ...] = ("FALSE", "TRUE")
    if isinstance(value, pd.Categorical):
        levels, ordered = tuple(value.categories), bool(value.ordered)
    if len(levels) < 2:
        raise DataError(f"The factor `{label}` has one level only: take it out of the formula.")
    contrast = contrast or ("contr.poly" if ordered else "contr.treatment")
    n, eye = len(levels), np.eye(len(levels))
    numbers = tuple(str(i) for i in range(1, n))
    match contrast:
        case "contr.treatment":
            return _Coding(levels, eye[:, 1:], levels[1:])
        case "contr.SAS":
            return _Coding(levels, eye[:, :-1], levels[:-1])
        case "contr.sum":
            return _Coding(levels, np.vstack([eye[:-1, :-1], -np.ones(n - 1)]), numbers)
        case "contr.helmert":
            below = np.diag(np.arange(1.0, n), -1)[:, :-1]
            return _Coding(levels, below - np.triu(np.ones((n, n)))[:, :-1], numbers)
        case "contr.poly":
            scores = np.arange(1.0, n + 1)
            q, r = np.linalg.qr(np.vander(scores - scores.mean(), increasing=True))
            names = (".L", ".Q", ".C", *(f"^{d}" for d in range(4, n)))
            return _Coding(levels, (q * np.sign(np.diag(r)))[:, 1:], names[: n - 1])
    known = "contr.treatment, contr.sum, contr.helmert, contr.poly and contr.SAS"
    raise UsageError(f"contrasts for `{label}`: `{contrast}` is not one of {known}.")


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


def _independent(X: Floats) -> NDArray[np.bool_]:
    """Which columns R's `qr(X, tol = 1e-7)` keeps: those that earlier kept ones do not span."""
    n, p = X.shape
    least = RANK_TOLERANCE * np.sqrt((X * X).sum(axis=0))
    if p <= n and least.all():
        scaled = X / (least / RANK_TOLERANCE)
        with suppress(np.linalg.LinAlgError):
            # The diagonal is what each column adds to the earlier ones: well clear of rounding,
            # and of the tolerance, it spares the costly way.
            if np.diag(np.linalg.cholesky(scaled.T @ scaled)).min(initial=1.0) > 1e-4:
                return np.ones(p, dtype=bool)
    Q = np.empty((n, 0))
    kept = np.zeros(p, dtype=bool)
    for j in range(p):
        rest = X[:, j] - Q @ (Q.T @ X[:, j])
        rest -= Q @ (Q.T @ rest)  # twice is enough for orthogonality
        norm = np.linalg.norm(rest)
        if Q.shape[1] < n and norm >= least[j] > 0:
            kept[j] = True
            Q = np.column_stack([Q, rest / norm])
    return kept


def _used_levels(value: Values) -> Values:
    """Drop the levels that no row has, as `model.frame(drop.unused.levels = TRUE)` does."""
    if not isinstance(value, pd.Categorical):
        return value
    used = np.bincount(value.codes, minlength=len(value.categories)).all()
    return value if used else value.remove_unused_categories()


def _vector(values: ArrayLike, n: int, what: str) -> Floats:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (n,):
        raise DataError(f"The {what} must be {n} numbers, one for each row of the data.")
    return array


def _missing(value: Values) -> NDArray[np.bool_]:
    if isinstance(value, pd.Categorical):
        return value.codes < 0
    return np.asarray(np.isnan(value).reshape(len(value), -1).any(axis=1))


def _count(missing: NDArray[np.bool_]) -> str:
    count = int(missing.sum())
    return f"{count} missing value{'s' if count > 1 else ''}"


def _complete(variables: Iterable[tuple[str, Values]], n: int, na_action: str) -> NDArray[np.bool_]:
    """Find the rows in which no variable is missing: R's `na.omit()` or `na.fail()`."""
    keep = np.ones(n, dtype=bool)
    for label, value in variables:
        missing = _missing(value)
        if not missing.any():
            continue
        if na_action == "fail":
            raise DataError(f"`{label}` has {_count(missing)}: drop or fill those rows.")
        keep &= ~missing
        if not keep.any():
            raise DataError(f"No row is complete: `{label}` has {_count(missing)} in {n} rows.")
    return keep


def _check_finite(label: str, value: Values) -> None:
    if isinstance(value, pd.Categorical) or value.dtype == bool or np.isfinite(value).all():
        return
    raise DataError(f"`{label}` has infinite values: drop those rows or mend the expression.")


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


def _log(x: Floats, base: float | None = None) -> Floats:
    return np.log(x) if base is None else np.log(x) / np.log(base)


@stateful_transform  # type: ignore[untyped-decorator]
def _scale(
    x: Floats, center: bool | float = True, scale: bool | float = True, _state: Any = None
) -> Floats:
    """R's `scale()` of one column; what it learns serves new data as well."""
    if not _state:
        middle = np.nanmean(x) if center is True else float(center)
        spread = np.sqrt(np.nansum((x - middle) ** 2) / max(1, np.isfinite(x).sum() - 1))
        _state |= {"center": middle, "scale": spread if scale is True else float(scale) or 1.0}
    scaled: Floats = (x - _state["center"]) / _state["scale"]
    return scaled


# What means the same in R; everything else is refused instead of guessed.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "I": TRANSFORMS["I"],
    "poly": TRANSFORMS["poly"],
    "scale": _scale,
    "log": _log,
    **{
        name: getattr(np, name)
        for name in ["log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs"]
    },
    **{f.__name__: f for f in (np.log2, np.log10, np.log1p, np.exp, np.expm1, np.sqrt, np.floor)},
    **{f.__name__: f for f in (np.sin, np.cos, np.tan)},
    "abs": np.abs,
    "ceiling": np.ceil,
}
