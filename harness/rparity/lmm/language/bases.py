"""R's functions that make columns from the data and use what they learnt again on new data.

R's `predict()` calls scale(), poly(), bs() and ns() on new data with what they found in the data
of the fit (`makepredictcall()`), if the call stands alone as a variable of the formula. All other
functions, and these inside another call, are computed from the new data, as in R.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import Name
from rparity.lmm.language.libm import power
from rparity.lmm.language.summaries import average, quantile, total
from rparity.lmm.language.table import Given, flag, r_function, scalar, vector
from rparity.lmm.language.values import Floats, Unsuitable, Value, Vector, as_factor, doubles, used

Long = Any  # an array of long doubles


@r_function("cbind(...)", lazy=["..."])
def _cbind(dots: Given) -> Vector:
    """Bind columns: those of names and of named arguments have a name."""
    columns: list[Floats] = []
    names: list[str] = []
    for name, (node, value) in dots:
        given = vector(value)
        block = given.numbers().reshape(len(given), -1)
        columns.append(block)
        own = name or (node.text if isinstance(node, Name) else "")
        names += given.columns or ([own] if block.shape[1] == 1 else [""] * block.shape[1])
    n = max(map(len, columns))
    if any(len(block) not in {1, n} for block in columns):
        raise Unsuitable("the columns have different lengths")
    whole = np.hstack([np.resize(block, (n, block.shape[1])) for block in columns])
    return Vector("double", whole, columns=tuple(names) if any(names) else None)


@r_function("scale(x, center = TRUE, scale = TRUE)")
def _scale(x: Value, center: Value, scale: Value) -> Vector:
    """Centre by the mean, and divide by the standard deviation, leaving out missing values."""
    value = vector(x)
    columns = value.numbers().reshape(len(value), -1)
    again: dict[str, Value] = {}
    for name, given in (("center", center), ("scale", scale)):
        by = vector(given, name).numbers()
        if vector(given, name).kind == "logical":
            if not by[0]:
                continue
            find = _middle if name == "center" else _spread
            by = np.array([find(column[~np.isnan(column)]) for column in columns.T])
        if len(by) != columns.shape[1]:
            raise Unsuitable(f"`{name}` must be one number for each column")
        columns = columns - by if name == "center" else columns / by
        again[name] = doubles(by)
    return Vector("double", columns.reshape(value.data.shape), columns=value.columns, again=again)


def _middle(x: Floats) -> float:
    return float(total(x) / x.size) if x.size else float("nan")


def _spread(x: Floats) -> float:
    return float(np.sqrt(float(total(x * x)) / max(1, x.size - 1)))


@r_function("arm::rescale(x)")
def _rescale(x: Value) -> Vector:
    """Centre, and divide by two standard deviations; two values are only centred."""
    values = vector(x).numbers()
    known = values[~np.isnan(values)]
    different = np.unique(known)
    if len(different) == 2:
        values, known = (np.where(v == different[1], 1.0, v * 0.0) for v in (values, known))
        return doubles(values - average(known))
    middle = average(known)
    spread = np.sqrt(np.cumsum((known - np.longdouble(middle)) ** 2)[-1] / (known.size - 1))
    return doubles((values - middle) / (2 * float(spread)))


@r_function("scales::rescale(x)")
def _to_unit(x: Value) -> Vector:
    """Map the values to [0, 1]."""
    values = vector(x).numbers()
    low, high = np.nanmin(values), np.nanmax(values)
    return doubles((values - low) / (high - low))


# -- polynomials -----------------------------------------------------------------------------------


@r_function("poly(x, ..., degree = 1, coefs = NULL, raw = FALSE)")
def _poly(dots: Given, x: Value, degree: Value, coefs: Any, raw: Value) -> Vector:
    """Orthogonal polynomials of one variable or of several, or with `raw` plain powers."""
    variables = [vector(x).numbers()]
    if len(dots) == 1 and len(vector(dots[0][1])) == 1:
        degree = dots[0][1]
    else:
        variables += [vector(value).numbers() for _, value in dots]
    if variables[0].ndim > 1:
        variables[:1] = list(variables[0].T)
    most, plain = scalar(degree, "degree"), flag(raw, "raw")
    if not most >= 1:
        raise Unsuitable("the degree of poly() must be at least 1")
    d = int(most)
    again: dict[str, Any] = {}
    if plain:
        powers = [power(values[:, None], np.arange(d + 1.0)) for values in variables]
    else:
        again["coefs"] = coefs or [_recurrence(values, d) for values in variables]
        found = zip(variables, again["coefs"], strict=True)
        powers = [_orthogonal(values, alpha, norms) for values, (alpha, norms) in found]
    if len(powers) == 1:
        names = tuple(str(i) for i in range(1, d + 1))
        return Vector("double", powers[0][:, 1:], columns=names, again=again)
    degrees = [
        each[::-1] for each in product(range(d + 1), repeat=len(powers)) if 0 < sum(each) <= d
    ]
    columns = [
        np.prod([block[:, k] for block, k in zip(powers, each, strict=True)], axis=0)
        for each in degrees
    ]
    names = tuple(".".join(map(str, each)) for each in degrees)
    return Vector("double", np.column_stack(columns), columns=names, again=again)


def _recurrence(x: Floats, degree: int) -> tuple[Long, Long]:
    """Return α and the squared norms of the orthogonal polynomials, in long double.

    P₀ = 1 and P_{k+1} = (x − α_k) P_k − (|P_k|² / |P_{k−1}|²) P_{k−1}. R finds the same numbers by
    QR. Source: Kennedy and Gentle (1980), Statistical Computing, pp. 343 to 344.
    """
    if np.isnan(x).any():
        raise Unsuitable("poly() does not allow missing values: drop those rows first")
    if degree >= len(np.unique(x)):
        raise Unsuitable("the degree of poly() must be below the number of different values")
    centre = np.longdouble(average(x))
    at = x - centre
    before, now = np.zeros_like(at), np.ones_like(at)
    alpha: list[Long] = []
    norms: list[Long] = [np.longdouble(1.0), np.longdouble(len(x))]
    for _ in range(degree):
        middle = (at * now * now).sum() / norms[-1]
        ratio = norms[-1] / norms[-2] if alpha else np.longdouble(0.0)
        before, now = now, (at - middle) * now - ratio * before
        alpha.append(middle + centre)
        norms.append((now * now).sum())
    return np.array(alpha), np.array(norms)


def _orthogonal(x: Floats, alpha: Long, norms: Long) -> Floats:
    """Return P₀ and the polynomials over their norms, (n, degree + 1)."""
    columns = [np.ones(len(x), dtype=np.longdouble)]
    before = np.zeros_like(columns[0])
    for k, middle in enumerate(alpha):
        ratio = norms[k + 1] / norms[k] if k else 0.0
        columns.append((x - middle) * columns[-1] - ratio * before)
        before = columns[-2]
    scaled = [columns[0]] + [c / np.sqrt(s) for c, s in zip(columns[1:], norms[2:], strict=True)]
    return np.asarray(np.column_stack(scaled), dtype=np.float64)


# -- splines ---------------------------------------------------------------------------------------


def spline_basis(knots: Floats, x: Floats, order: int, derivative: int = 0) -> Floats:
    """Return the B-splines of `order` on sorted `knots` at x, (n, knots − order).

    A spline is continuous from the right, and from the left at the last inner knot. Source: de Boor
    (1978), A Practical Guide to Splines, ch. X; R's `splineDesign()`.
    """
    count = len(knots) - order
    if derivative:
        lower = spline_basis(knots, x, order - 1, derivative - 1)
        width = knots[order - 1 :] - knots[: -order + 1]
        slope = np.divide(order - 1.0, width, out=np.zeros_like(width), where=width > 0)
        weighted = lower * slope
        return np.asarray(weighted[:, :-1] - weighted[:, 1:])
    # The last knot at or before x, so that knots[at] <= x < knots[at + 1].
    last = np.searchsorted(knots, knots[-1]) - 1
    at = np.clip(np.searchsorted(knots, x, side="right") - 1, order - 1, last)
    b = np.zeros((len(x), order))
    b[:, 0] = 1.0
    for j in range(1, order):
        saved = np.zeros(len(x))
        for r in range(j):
            right, left = knots[at + r + 1] - x, x - knots[at + 1 - j + r]
            width = right + left
            term = np.divide(b[:, r], width, out=np.zeros_like(width), where=width != 0)
            b[:, r] = saved + right * term
            saved = left * term
        b[:, j] = saved
    out = np.zeros((len(x), count))
    np.put_along_axis(out, at[:, None] + np.arange(1 - order, 1), b, axis=1)
    return out


def _knots(
    x: Floats, df: Value, knots: Value, boundary: Value, taken: int
) -> tuple[Floats, Floats]:
    """Return inner knots, at quantiles for a given df, and the boundary knots."""
    known = x[~np.isnan(x)]
    ends = np.array([known.min(), known.max()]) if boundary is None else np.sort(boundary.numbers())
    if knots is not None:
        return np.sort(knots.numbers()), ends
    inner = 0 if df is None else max(0, int(scalar(df, "df")) - taken)
    inside = known[(known >= ends[0]) & (known <= ends[1])]
    places = np.asarray(np.arange(1, inner + 1) * (1.0 / (inner + 1)), dtype=np.float64)
    return quantile(inside, places), ends


def _beyond(
    basis: Floats, x: Floats, knots: Floats, order: int, ends: Floats, degree: int, pivots: Floats
) -> None:
    """Continue a basis beyond the boundary knots by its Taylor polynomial at the pivots."""
    for outside, pivot in ((x < ends[0], pivots[0]), (x > ends[1], pivots[1])):
        if outside.any():
            at = np.array([pivot])
            slopes = [spline_basis(knots, at, order, k)[0] for k in range(degree + 1)]
            factorials = np.cumprod([1.0, *range(1, degree + 1)])
            powers = (x[outside] - pivot)[:, None] ** np.arange(degree + 1.0)
            basis[outside] = powers @ (np.array(slopes) / factorials[:, None])


def _spline(basis: Floats, missing: Any, again: dict[str, Value]) -> Vector:
    basis[missing] = np.nan
    names = tuple(str(i) for i in range(1, basis.shape[1] + 1))
    return Vector("double", basis, columns=names, again=again)


@r_function("bs(x, df = NULL, knots = NULL, degree = 3, intercept = FALSE, Boundary.knots = NULL)")
def _bs(
    x: Value, df: Value, knots: Value, degree: Value, intercept: Value, Boundary_knots: Value
) -> Vector:
    """B-splines of a degree."""
    values, d = vector(x).numbers(), int(scalar(degree, "degree"))
    if d < 1:
        raise Unsuitable("the degree of bs() must be at least 1")
    whole, order = flag(intercept, "intercept"), d + 1
    inner, ends = _knots(values, df, knots, Boundary_knots, order - 1 + whole)
    every = np.sort(np.concatenate([np.repeat(ends, order), inner]))
    missing = np.isnan(values)
    at = np.where(missing, ends[0], values)
    basis = spline_basis(every, np.clip(at, *ends), order)
    quarter = 0.25
    pivots = np.array(
        [
            (1 - quarter) * ends[0] + quarter * every[order],
            (1 - quarter) * ends[1] + quarter * every[len(every) - order - 1],
        ]
    )
    _beyond(basis, at, every, order, ends, d, pivots)
    again = {
        "knots": doubles(inner),
        "Boundary.knots": doubles(ends),
        "degree": degree,
        "intercept": intercept,
    }
    return _spline(basis if whole else basis[:, 1:].copy(), missing, again)


@r_function("ns(x, df = NULL, knots = NULL, intercept = FALSE, Boundary.knots = NULL)")
def _ns(x: Value, df: Value, knots: Value, intercept: Value, Boundary_knots: Value) -> Vector:
    """Natural cubic splines: linear beyond the boundary knots."""
    values, whole = vector(x).numbers(), flag(intercept, "intercept")
    inner, ends = _knots(values, df, knots, Boundary_knots, 1 + whole)
    every = np.sort(np.concatenate([np.repeat(ends, 4), inner]))
    missing = np.isnan(values)
    at = np.where(missing, ends[0], values)
    basis = spline_basis(every, np.clip(at, *ends), 4)
    _beyond(basis, at, every, 4, ends, 1, ends)
    curvature = spline_basis(every, ends, 4, 2)
    if not whole:
        basis, curvature = basis[:, 1:], curvature[:, 1:]
    Q = np.linalg.qr(curvature.T, mode="complete")[0]
    again = {
        "knots": doubles(inner),
        "Boundary.knots": doubles(ends),
        "intercept": intercept,
    }
    return _spline(basis @ Q[:, 2:], missing, again)


@r_function("dummy(f, levelsToKeep = NULL)", collates=True)
def _dummy(f: Value, levelsToKeep: Value, collate: Collate) -> Vector:
    """lme4's `dummy()`: a column of zeros and ones for each level, but not for the first."""
    value = as_factor(vector(f), collate)
    occurs = used(value)
    kept = value.levels[1:] if levelsToKeep is None else levelsToKeep.strings()
    unknown = [str(level) for level in kept if level not in value.levels]
    if unknown:
        raise Unsuitable(f"{unknown[0]} is not a level")
    places = [value.levels.index(str(level)) for level in kept]
    if not occurs[places].all():
        raise Unsuitable("a level that is kept does not occur")
    columns = (value.data[:, None] == np.array(places)).astype(np.float64)
    columns[value.data < 0] = np.nan
    return replace(doubles(columns), columns=tuple(str(level) for level in kept))
