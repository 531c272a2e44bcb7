"""R's summaries of all values, and functions along the rows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import Constant, Name
from rparity.lmm.language.operators import recycle
from rparity.lmm.language.table import FUNCTIONS, Given, flag, r_function, scalar, vector
from rparity.lmm.language.values import (
    Floats,
    Unsuitable,
    Value,
    Vector,
    as_factor,
    doubles,
)


def total(x: Floats) -> np.longdouble:
    """R's sum, one after the other in long double."""
    return np.cumsum(x, dtype=np.longdouble)[-1] if x.size else np.longdouble(0.0)


def average(x: Floats) -> float:
    """R's `mean()`: in long double, then corrected by the mean of what is left."""
    if not x.size:
        return float("nan")
    first = total(x) / x.size
    if not np.isfinite(first):
        return float(first)
    return float(first + np.cumsum(x - first)[-1] / x.size)


def _variance(x: Floats) -> float:
    if x.size < 2:
        return float("nan")
    first = total(x) / x.size
    middle = first + np.cumsum(x - first)[-1] / x.size
    return float(np.cumsum((x - middle) ** 2)[-1] / (x.size - 1))


def quantile(x: Floats, probabilities: Floats) -> Floats:
    """R's `quantile()` of type 7."""
    ordered = np.sort(x)
    place = (len(x) - 1) * probabilities
    low, high = np.floor(place).astype(np.intp), np.ceil(place).astype(np.intp)
    found, h = ordered[low].copy(), place - low
    other = (h > 0) & (ordered[high] != found)
    h = h[other]
    found[other] = (1.0 - h) * found[other] + h * ordered[high[other]]
    return found


def _median(x: Floats) -> float:
    if not x.size or np.isnan(x).any():
        return float("nan")
    ordered, half = np.sort(x), (len(x) + 1) // 2
    return float(ordered[half - 1]) if len(x) % 2 else average(ordered[half - 1 : half + 1])


_SUMMARIES: dict[str, Callable[[Floats], float]] = {
    "mean": average,
    "sd": lambda x: float(np.sqrt(_variance(x))),
    "var": _variance,
    "median": _median,
    "sum": lambda x: float(total(x)),
    "min": lambda x: float(x.min(initial=np.inf)),
    "max": lambda x: float(x.max(initial=-np.inf)),
    "prod": lambda x: float(np.prod(x, dtype=np.longdouble)),
}


def _summary(name: str) -> Callable[..., Value]:
    compute = _SUMMARIES[name]

    def apply(x: Value, na_rm: Value) -> Vector:
        value = vector(x)
        numbers = value.numbers().ravel()
        if flag(na_rm, "na.rm"):
            numbers = numbers[~np.isnan(numbers)]
        kind = "integer" if value.kind == "logical" else value.kind
        kept = name in {"min", "max", "sum"}
        return Vector(kind if kept else "double", np.array([compute(numbers)]))

    return apply


for _name in _SUMMARIES:
    r_function(f"{_name}(x, na.rm = FALSE)")(_summary(_name))


@r_function("length(x)")
def _length(x: Value) -> Vector:
    return Vector("integer", np.array([float(len(vector(x)))]))


@r_function("range(x, na.rm = FALSE)")
def _limits(x: Value, na_rm: Value) -> Vector:
    least, most = (vector(_summary(name)(x, na_rm)) for name in ("min", "max"))
    return replace(least, data=np.concatenate([least.data, most.data]))


@r_function("quantile(x, probs = NULL, na.rm = FALSE)")
def _quantile(x: Value, probs: Value, na_rm: Value) -> Vector:
    numbers = vector(x).numbers()
    numbers = numbers[~np.isnan(numbers)] if flag(na_rm, "na.rm") else numbers
    places = np.linspace(0.0, 1.0, 5) if probs is None else probs.numbers()
    if np.isnan(numbers).any():
        raise Unsuitable("quantile() does not allow missing values: write na.rm = TRUE")
    return doubles(quantile(numbers, places))


def _extremes(dots: Given, compute: Callable[[Any, Any], Any]) -> Vector:
    found = [vector(value).numbers() for _, value in dots]
    out = found[0]
    for other in found[1:]:
        out = compute(*recycle(out, other))
    whole = all(value.kind in {"logical", "integer"} for _, value in dots)
    return Vector("integer" if whole else "double", out)


@r_function("pmin(..., na.rm = FALSE)")
def _pmin(dots: Given, na_rm: Value) -> Vector:
    compute = np.fmin if flag(na_rm, "na.rm") else np.minimum
    return _extremes(dots, compute)


@r_function("pmax(..., na.rm = FALSE)")
def _pmax(dots: Given, na_rm: Value) -> Vector:
    compute = np.fmax if flag(na_rm, "na.rm") else np.maximum
    return _extremes(dots, compute)


# -- along the rows --------------------------------------------------------------------------------

_ALONG: dict[str, Callable[[Floats], Any]] = {
    "cumsum": lambda x: np.cumsum(x, dtype=np.longdouble),
    "cumprod": lambda x: np.cumprod(x, dtype=np.longdouble),
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "rev": lambda x: x[::-1],
}


def _along(name: str) -> Callable[[Value], Value]:
    def apply(x: Value) -> Vector:
        value = vector(x)
        if name == "rev":
            return value.take(slice(None, None, -1))
        found = np.asarray(_ALONG[name](value.numbers()), dtype=np.float64)
        whole = value.kind in {"integer", "logical"} and name != "cumprod"
        return Vector("integer" if whole else "double", found)

    return apply


for _name in _ALONG:
    r_function(f"{_name}(x)")(_along(_name))


@r_function('rank(x, na.last = TRUE, ties.method = "average")')
def _rank(x: Value, na_last: Value, ties_method: Value) -> Vector:
    method = str(vector(ties_method).strings()[0])
    if method not in {"average", "min", "max"}:
        raise Unsuitable("ties.method must be average, min or max")
    value = vector(x)
    numbers = value.numbers()
    known = ~np.isnan(numbers)
    found = np.full(len(numbers), np.nan)
    _, places, counts = np.unique(numbers[known], return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    first = last - counts + 1
    ranks = {"average": (first + last) / 2.0, "min": first, "max": last}[method]
    found[known] = ranks[places]
    if vector(na_last, "na.last").kind == "logical" and flag(na_last, "na.last"):
        found[~known] = known.sum() + np.arange(1.0, (~known).sum() + 1.0)
    return Vector("double" if method == "average" else "integer", found)


@r_function("seq_along(x)")
def _seq_along(x: Value) -> Vector:
    return Vector("integer", np.arange(1.0, len(vector(x)) + 1.0))


@r_function("seq_len(length.out)")
def _seq_len(length_out: Value) -> Vector:
    return Vector("integer", np.arange(1.0, scalar(length_out, "length.out") + 1.0))


@r_function("dplyr::lag(x, n = 1)")
def _shift(x: Value, n: Value) -> Vector:
    value, steps = vector(x), int(scalar(n, "n"))
    missing = np.full(steps, -1 if value.is_text else np.nan, dtype=value.data.dtype)
    return replace(value, data=np.concatenate([missing, value.data])[: len(value)])


@r_function("stats::lag(x, k = 1)")
def _lag(x: Value, k: Value) -> Value:  # noqa: ARG001
    """R's `lag()` of a plain vector moves no value: it changes the time of a time series."""
    return x


@r_function('ave(x, ..., FUN = "mean")', lazy=["FUN"], collates=True)
def _ave(dots: Given, x: Value, FUN: Any, collate: Collate) -> Vector:
    """Replace each value by a summary of its group."""
    name = FUN.text if isinstance(FUN, Name) else FUN.value if isinstance(FUN, Constant) else "mean"
    if name not in {*_SUMMARIES, *_ALONG, "length", "seq_along", "rank"}:
        raise Unsuitable("FUN must be the name of a summary, such as mean or sd")
    values = vector(x)
    numbers = values.numbers()
    codes = np.zeros(len(values), dtype=np.intp)
    known = np.ones(len(values), dtype=bool)
    for _, group in dots:
        factor = as_factor(vector(group), collate)
        codes = codes * len(factor.levels) + factor.data
        known &= factor.data >= 0
    function = FUNCTIONS[str(name)]
    out = numbers.copy()  # as in R, values without a group stay
    for cell in np.unique(codes[known]):
        rows = known & (codes == cell)
        summary = function({"x": doubles(numbers[rows])}, collate)
        out[rows] = vector(summary).numbers()
    return doubles(out)
