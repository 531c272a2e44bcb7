"""R's operators: arithmetic, comparisons, logic and indexing."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.language.collation import Collate, sorted_levels
from rparity.lmm.language.libm import power
from rparity.lmm.language.table import r_function, scalar, vector
from rparity.lmm.language.values import (
    Floats,
    Kind,
    Unsuitable,
    Value,
    Vector,
    doubles,
    logicals,
    texts,
)


def recycle(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Repeat the shorter operand; a vector goes along the rows of a matrix."""
    n = max(len(a), len(b)) if min(len(a), len(b)) else 0
    if n % max(1, len(a)) or n % max(1, len(b)):
        raise Unsuitable(f"the lengths {len(a)} and {len(b)} do not fit")
    long = [side if len(side) == n else np.resize(side, (n, *side.shape[1:])) for side in (a, b)]
    most = max(a.ndim, b.ndim)
    left, right = (side[:, None] if side.ndim < most else side for side in long)
    return left, right


def _modulo(a: Floats, b: Floats) -> Floats:
    """R's `%%`; see `myfmod` in R's src/main/arithmetic.c."""
    rest = a - np.floor(a / b) * b.astype(np.longdouble)
    again = np.floor(np.asarray(rest / b, dtype=np.float64))
    return np.asarray(rest - again * b, dtype=np.float64)


def _quotient(a: Floats, b: Floats) -> Floats:
    """R's `%/%`; see `myfloor` in R's src/main/arithmetic.c."""
    whole = np.floor(a / b)
    rest = a - whole * b.astype(np.longdouble)
    exact = np.asarray(whole + np.floor(rest / b), dtype=np.float64)
    small = np.abs(a / b) < 1.0
    found = np.where(small, np.where(a * b < 0.0, -1.0, 0.0), exact)
    return np.where((b == 0.0) | ~np.isfinite(whole), a / b, found)


_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": power,
    "%%": _modulo,
    "%/%": _quotient,
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}


def _arithmetic(operator: str) -> Callable[..., Value]:
    compute = _ARITHMETIC[operator]

    def apply(e1: Value, e2: Value) -> Vector:
        a, b = vector(e1, "NULL"), vector(e2, "NULL")
        for side in (a, b):
            if side.is_text:
                what = "factors" if side.kind == "factor" else "text"
                raise Unsuitable(f"`{operator}` is not meaningful for {what}")
        whole = {a.kind, b.kind} <= {"logical", "integer"} and operator not in {"/", "^"}
        kind: Kind = "integer" if whole else "double"
        dates = [side.kind for side in (a, b) if side.kind in {"Date", "POSIXct"}]
        if len(dates) == 1 and operator in {"+", "-"} and a.kind != "double":
            kind = dates[0]
        left, right = recycle(a.data, b.data)
        result = compute(left, right)
        if whole and operator in {"%%", "%/%"}:
            result = np.where(right == 0.0, np.nan, result)  # NA, as whole numbers have no Inf
        return Vector(kind, result, columns=a.columns or b.columns)

    return apply


def _signed(operator: str) -> Callable[..., Value]:
    binary = _arithmetic(operator)

    def apply(e1: Value, e2: Value) -> Value:
        if e2 is None:
            return binary(Vector("integer", np.zeros(1)), e1)
        return binary(e1, e2)

    return apply


def _comparison(operator: str) -> Callable[..., Value]:
    compute = _COMPARE[operator]

    def apply(e1: Value, e2: Value, collate: Collate) -> Vector:
        a, b = vector(e1, "NULL"), vector(e2, "NULL")
        if not a.is_text and not b.is_text:
            left, right = recycle(a.data, b.data)
            missing = np.isnan(left) | np.isnan(right)
            return logicals(np.where(missing, np.nan, compute(left, right)))
        factors = [side for side in (a, b) if side.kind == "factor"]
        if len(factors) == 2 and (set(a.levels) != set(b.levels) or a.ordered != b.ordered):
            raise Unsuitable("factors with different levels cannot be compared")
        if operator not in {"==", "!="} and factors:
            return _compare_ordered(compute, operator, a, b)
        one, other = _common_codes(a, b, collate)
        left, right = recycle(one, other)
        missing = (left < 0) | (right < 0)
        return logicals(np.where(missing, np.nan, compute(left, right)))

    return apply


def _common_codes(a: Vector, b: Vector, collate: Collate) -> tuple[Floats, Floats]:
    """Return the places of both texts in one sorted list, −1 for NA."""
    sides = [side if side.is_text else texts(side.strings()) for side in (a, b)]
    places = sorted_levels(list({level for side in sides for level in side.levels}), collate)
    at = {level: i for i, level in enumerate(places)}
    found = [np.array([*(at[level] for level in side.levels), -1.0])[side.data] for side in sides]
    return found[0], found[1]


def _compare_ordered(
    compute: Callable[[Any, Any], Any], operator: str, a: Vector, b: Vector
) -> Vector:
    """Compare an ordered factor with one of the same levels, or with the name of a level."""
    factor = a if a.kind == "factor" else b
    if not factor.ordered:
        raise Unsuitable(f"`{operator}` is not meaningful for factors that are not ordered")
    sides = []
    for side in (a, b):
        if side.kind == "factor" and side.levels != factor.levels:
            raise Unsuitable("the levels of the factors differ")
        names = side.strings()
        place = {name: float(i) for i, name in enumerate(factor.levels)}
        sides.append(np.array([place.get(name or "", np.nan) for name in names]))
    left, right = recycle(*sides)
    missing = np.isnan(left) | np.isnan(right)
    return logicals(np.where(missing, np.nan, compute(left, right)))


for _operator in _ARITHMETIC:
    if _operator not in {"+", "-"}:
        r_function(f"`{_operator}`(e1, e2)")(_arithmetic(_operator))
for _operator in ("+", "-"):
    r_function(f"`{_operator}`(e1, e2 = NULL)")(_signed(_operator))
for _operator in _COMPARE:
    r_function(f"`{_operator}`(e1, e2)", collates=True)(_comparison(_operator))


@r_function("`&`(e1, e2)")
def _and(e1: Value, e2: Value) -> Vector:
    a, b = recycle(truth_of(e1), truth_of(e2))
    return logicals(np.where((a == 0) | (b == 0), 0.0, a * b))


@r_function("`|`(e1, e2)")
def _or(e1: Value, e2: Value) -> Vector:
    a, b = recycle(truth_of(e1), truth_of(e2))
    return logicals(np.where((a == 1) | (b == 1), 1.0, a + b))


@r_function("`!`(x)")
def _not(x: Value) -> Vector:
    return logicals(1.0 - truth_of(x))


@r_function("xor(x, y)")
def _xor(x: Value, y: Value) -> Vector:
    a, b = recycle(truth_of(x), truth_of(y))
    return logicals(np.abs(a - b))


def truth_of(value: Value) -> Floats:
    """Logicals as 0, 1 and NaN."""
    numbers = vector(value).numbers("a logical")
    return np.where(np.isnan(numbers), np.nan, numbers != 0.0)


@r_function("`%in%`(x, table)")
def _in(x: Value, table: Value) -> Vector:
    return logicals(np.array(_matched(vector(x), vector(table))) > 0)


@r_function("match(x, table, nomatch = NA)")
def _match(x: Value, table: Value, nomatch: Value) -> Vector:
    found = np.array(_matched(vector(x), vector(table)), dtype=np.float64)
    return Vector("integer", np.where(found == 0, scalar(nomatch, "nomatch"), found))


def _matched(x: Vector, table: Vector) -> list[int]:
    place: dict[str | None, int] = {}
    for i, name in enumerate(table.strings(), 1):
        place.setdefault(name, i)
    return [place.get(name, 0) for name in x.strings()]


@r_function("`:`(from, to)")
def _range(**ends: Value) -> Vector:
    start, stop = scalar(ends["from"], "from"), scalar(ends["to"], "to")
    step = 1.0 if stop >= start else -1.0
    found = np.arange(start, stop + step * 1e-10, step)
    return Vector("integer" if start.is_integer() else "double", found)


@r_function("seq(from = 1, to = 1, by = NULL, length.out = NULL)")
def _seq(by: Value, length_out: Value, **ends: Value) -> Vector:
    start, stop = scalar(ends["from"], "from"), scalar(ends["to"], "to")
    if length_out is not None:
        return doubles(np.linspace(start, stop, int(scalar(length_out, "length.out"))))
    step = (1.0 if stop >= start else -1.0) if by is None else scalar(by, "by")
    if step == 0.0 or (stop - start) / step < 0.0:
        raise Unsuitable("by has the wrong sign")
    return doubles(start + np.arange(int((stop - start) / step + 1e-10) + 1) * step)


@r_function("`(`(x)", "identity(x)", "I(x)", "as.vector(x)", "unname(x)", "suppressWarnings(x)")
def _same(x: Value) -> Value:
    return x


@r_function("`[`(x, i)", "`[[`(x, i)")
def _element(x: Value, i: Value) -> Vector:
    values, at = vector(x), vector(i, "i")
    if at.kind == "logical":
        return values.take(np.flatnonzero(np.resize(at.data, len(values)) == 1.0))
    places = at.numbers("an index").astype(np.intp)
    if (places < 0).all():
        return values.take(np.setdiff1d(np.arange(len(values)), -places - 1))
    if (places < 1).any() or (places > len(values)).any():
        raise Unsuitable("an index is outside the values")
    return values.take(places - 1)
