"""R's functions of each value, and conversions between types."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy  # loads scipy.special when it is first used

from rparity.lmm.language.libm import (
    ROOT,
    atan2,
    exp,
    log,
    log2,
    log10,
    normal_probability,
    normal_quantile,
    of_libm,
)
from rparity.lmm.language.operators import recycle, truth_of
from rparity.lmm.language.table import Given, r_function, scalar, vector
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

_LIBM = {"expm1", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh"}
_INVERSE = {"asin", "acos", "atan", "asinh", "acosh", "atanh"}


def _special(name: str) -> Callable[[Floats], Floats]:
    def compute(x: Floats) -> Floats:
        found: Floats = getattr(scipy.special, name)(x)
        return found

    return compute


_EACH: dict[str, Callable[[Floats], Floats]] = {
    **{f.__name__: f for f in (np.sqrt, np.floor, np.trunc, np.sign)},
    **{name: of_libm(name, getattr(np, name)) for name in _LIBM},
    **{name: of_libm(name, getattr(np, f"arc{name[1:]}")) for name in _INVERSE},
    "exp": exp,
    "log2": log2,
    "log10": log10,
    "ceiling": np.ceil,
    "abs": np.abs,
    "gamma": _special("gamma"),
    "lgamma": _special("gammaln"),
    "digamma": _special("digamma"),
    "trigamma": lambda x: scipy.special.polygamma(1, x),
    "factorial": lambda x: scipy.special.gamma(x + 1.0),
}


def _each(name: str) -> Callable[[Value], Value]:
    compute = _EACH[name]

    def apply(x: Value) -> Vector:
        value = vector(x)
        whole = value.kind in {"integer", "logical"} and name == "abs"
        result = compute(value.numbers())
        return Vector("integer" if whole else "double", result, columns=value.columns)

    return apply


for _name in _EACH:
    r_function(f"{_name}(x)")(_each(_name))


@r_function("log(x, base = NULL)", "logb(x, base = NULL)")
def _log(x: Value, base: Value) -> Vector:
    value = vector(x).numbers()
    if base is None:
        return replace(vector(x), kind="double", data=log(value))
    b = base.numbers()
    known: dict[float, Callable[[Floats], Floats]] = {10.0: log10, 2.0: log2}
    if b.size == 1 and float(b[0]) in known:
        return doubles(known[float(b[0])](value))
    top, bottom = recycle(log(value), log(b))
    return doubles(top / bottom)


@r_function("atan2(y, x)")
def _atan2(y: Value, x: Value) -> Vector:
    a, b = recycle(vector(y).numbers(), vector(x).numbers())
    return doubles(atan2(a, b))


@r_function("round(x, digits = 0)")
def _round(x: Value, digits: Value) -> Vector:
    """Round as R does since 4.0.0: to the nearer of two doubles; halves to the even digit."""
    value, d = vector(x).numbers(), int(scalar(digits, "digits"))
    if d == 0:
        return replace(vector(x), kind="double", data=np.rint(value))
    scale = 10.0 ** abs(d)
    tens = value * scale if d > 0 else value / scale
    below, above = np.floor(tens), np.ceil(tens)
    low, high = (below / scale, above / scale) if d > 0 else (below * scale, above * scale)
    to_low, to_high = value - low, high - value
    down = (to_low < to_high) | ((to_low == to_high) & (below % 2 == 0))
    found = np.where(down, low, high)
    exact = d + np.floor(np.log10(np.maximum(np.abs(value), 1e-300))) >= 15
    return doubles(np.where(exact | ~np.isfinite(value), value, found))


@r_function("signif(x, digits = 6)")
def _signif(x: Value, digits: Value) -> Vector:
    d = max(1, int(scalar(digits, "digits"))) - 1
    value = vector(x).numbers()
    return doubles(np.array([float(f"{v:.{d}e}") for v in value.ravel()]).reshape(value.shape))


@r_function("is.na(x)")
def _is_na(x: Value) -> Vector:
    value = vector(x)
    return logicals(value.data < 0 if value.is_text else np.isnan(value.data))


@r_function("is.finite(x)")
def _is_finite(x: Value) -> Vector:
    return logicals(np.isfinite(vector(x).numbers()))


@r_function("pnorm(q, mean = 0, sd = 1)")
def _pnorm(q: Value, mean: Value, sd: Value) -> Vector:
    return doubles(normal_probability(_standardised(q, mean, sd)))


@r_function("dnorm(x, mean = 0, sd = 1)")
def _dnorm(x: Value, mean: Value, sd: Value) -> Vector:
    z = _standardised(x, mean, sd)
    return doubles(ROOT * exp(-0.5 * z * z) / vector(sd).numbers())


@r_function("qnorm(p, mean = 0, sd = 1)")
def _qnorm(p: Value, mean: Value, sd: Value) -> Vector:
    found, scale = recycle(normal_quantile(vector(p).numbers()), vector(sd).numbers())
    return doubles(np.add(*recycle(found * scale, vector(mean).numbers())))


@r_function("plogis(q, location = 0, scale = 1)", "invlogit(q, location = 0, scale = 1)")
def _plogis(q: Value, location: Value, scale: Value) -> Vector:
    return doubles(1.0 / (1.0 + exp(-_standardised(q, location, scale))))


@r_function("qlogis(p, location = 0, scale = 1)")
def _qlogis(p: Value, location: Value, scale: Value) -> Vector:
    x = vector(p).numbers()
    return doubles(scalar(location, "location") + scalar(scale, "scale") * log(x / (1.0 - x)))


@r_function("logit(p)", "car::logit(p)", "boot::logit(p)", "psych::logit(p)", "gtools::logit(p)")
def _logit(p: Value) -> Vector:
    """log(p / (1 − p)), which all packages mean by `logit` between 0 and 1."""
    x = vector(p).numbers()
    known = x[~np.isnan(x)]
    if (known <= 0.0).any() or (known >= 1.0).any():
        raise Unsuitable(
            "packages define logit differently outside of (0, 1): write qlogis(p), or an expression"
        )
    return doubles(log(x / (1.0 - x)))


def _standardised(x: Value, middle: Value, scale: Value) -> Floats:
    moved = np.subtract(*recycle(vector(x).numbers(), vector(middle).numbers()))
    return np.asarray(np.divide(*recycle(moved, vector(scale).numbers())))


# -- types -----------------------------------------------------------------------------------------


@r_function("as.numeric(x)", "as.double(x)")
def _as_numeric(x: Value) -> Vector:
    value = vector(x)
    if value.kind == "factor":
        return doubles(np.where(value.data < 0, np.nan, value.data + 1.0))
    if value.kind == "character":
        known = np.array([*(_parsed(level) for level in value.levels), np.nan])
        return doubles(known[value.data])
    return doubles(value.data)


def _parsed(text: str) -> float:
    try:
        return float(text.replace("_", "?"))
    except ValueError:
        return float("nan")


@r_function("as.integer(x)")
def _as_integer(x: Value) -> Vector:
    whole = np.trunc(_as_numeric(x).data)
    return Vector("integer", np.where(np.abs(whole) < 2.0**31, whole, np.nan))


@r_function("as.logical(x)")
def _as_logical(x: Value) -> Vector:
    value = vector(x)
    if not value.is_text:
        return logicals(truth_of(value))
    true, false = {"T", "TRUE", "true", "True"}, {"F", "FALSE", "false", "False"}
    known = [1.0 if v in true else 0.0 if v in false else np.nan for v in value.levels]
    return logicals(np.array([*known, np.nan])[value.data])


@r_function("as.character(x)")
def _as_character(x: Value) -> Vector:
    value = vector(x)
    return replace(texts(value.strings()), columns=None)


@r_function("c(...)")
def _combine(dots: Given) -> Value:
    parts: list[Vector] = [value for _, value in dots if value is not None]
    if not parts:
        return None
    if any(part.is_text for part in parts):
        if all(part.kind == "factor" for part in parts) and len(parts) == 1:
            return parts[0]
        return texts([text for part in parts for text in part.strings()])
    order = ("logical", "integer", "double", "Date", "POSIXct")
    kind: Any = max((part.kind for part in parts), key=order.index)
    return Vector(kind, np.concatenate([part.data.ravel(order="F") for part in parts]))


@r_function("ifelse(test, yes, no)")
def _ifelse(test: Value, yes: Value, no: Value) -> Vector:
    truth = truth_of(test)
    sides = [vector(side) for side in (yes, no)]
    if any(side.kind == "character" for side in sides):
        a, b = (np.resize(np.array(side.strings(), dtype=object), len(truth)) for side in sides)
        chosen = np.where(truth == 1.0, a, b)
        chosen[np.isnan(truth)] = None
        return texts(list(chosen))
    a, b = (np.resize(vector(_plain(side)).data, len(truth)) for side in sides)
    order = ("logical", "integer", "double")
    kinds: list[Kind] = [_plain(side).kind for side in sides]
    chosen = np.where(np.isnan(truth), np.nan, np.where(truth == 1.0, a, b))
    return Vector(max(kinds, key=lambda k: order.index(k) if k in order else 2), chosen)


def _plain(side: Vector) -> Vector:
    """Take the codes of a factor, as R's `ifelse()` does."""
    return Vector("integer", _as_numeric(side).data) if side.kind == "factor" else side


@r_function("rep(x, times = 1, each = 1, length.out = NULL)")
def _rep(x: Value, times: Value, each: Value, length_out: Value) -> Vector:
    value, counts = vector(x), vector(times).numbers().astype(np.intp)
    rows = np.repeat(np.arange(len(value)), int(scalar(each, "each")))
    rows = np.repeat(rows, counts) if len(counts) > 1 else np.tile(rows, counts[0])
    if length_out is not None:
        rows = np.resize(rows, int(scalar(length_out, "length.out")))
    return value.take(rows)
