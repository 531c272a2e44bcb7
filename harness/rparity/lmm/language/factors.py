"""R's functions of factors and text."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import Constant, FunctionCall, Name
from rparity.lmm.language.table import Given, flag, r_function, scalar, vector
from rparity.lmm.language.values import (
    DAY,
    Contrast,
    Floats,
    Unsuitable,
    Value,
    Vector,
    as_factor,
    doubles,
    factor_of,
    logicals,
    texts,
    used,
    with_levels,
)

_CONTRASTS = ("treatment", "sum", "helmert", "poly", "SAS")


@r_function("as.factor(x)", collates=True)
def _as_factor(x: Value, collate: Collate) -> Vector:
    return as_factor(vector(x), collate)


@r_function("factor(x, levels = NULL, labels = NULL, exclude = NA, ordered = NULL)", collates=True)
def _factor(
    x: Value, levels: Value, labels: Value, exclude: Value, ordered: Value, collate: Collate
) -> Vector:
    """Make a factor of the values that occur, or of `levels`; others are missing."""
    value = as_factor(vector(x), collate)
    names = value.strings()
    left_out = set(exclude.strings()) if exclude is not None else set()
    if levels is None:
        known = [level for level, there in zip(value.levels, used(value), strict=True) if there]
    else:
        known = [str(level) for level in levels.strings()]
    known = [level for level in known if level not in left_out]
    _no_repeats(known)
    place = {level: i for i, level in enumerate(known)}
    codes = np.array([place.get(str(name), -1) if name is not None else -1 for name in names])
    is_ordered = value.ordered if ordered is None else flag(ordered, "ordered")
    if labels is not None:
        given = [str(label) for label in labels.strings()]
        if len(given) == 1 < len(known):
            given = [f"{given[0]}{i}" for i in range(1, len(known) + 1)]
        if len(given) != len(known):
            raise Unsuitable(f"{len(given)} labels are given for {len(known)} levels")
        known = list(dict.fromkeys(given))  # equal labels make one level
        codes = np.where(codes < 0, -1, np.array([known.index(label) for label in given])[codes])
    return factor_of(codes, known, ordered=is_ordered)


def _no_repeats(levels: Sequence[str]) -> None:
    if len(set(levels)) < len(levels):
        raise Unsuitable("a level is given twice")


@r_function("ordered(x, levels = NULL, labels = NULL)", "as.ordered(x)", collates=True)
def _ordered(x: Value, collate: Collate, levels: Value = None, labels: Value = None) -> Vector:
    return _factor(x, levels, labels, None, doubles([1.0]), collate)


@r_function("droplevels(x)", collates=True)
def _droplevels(x: Value, collate: Collate) -> Vector:
    value = vector(x)
    if value.kind != "factor":
        raise Unsuitable("x must be a factor")
    return _factor(value, None, None, None, None, collate)


@r_function("relevel(x, ref)")
def _relevel(x: Value, ref: Value) -> Vector:
    """Make one level the first."""
    value, first = vector(x), vector(ref, "ref")
    if value.kind != "factor" or value.ordered:
        raise Unsuitable("relevel() is only for factors that are not ordered: use factor(x)")
    levels = list(value.levels)
    name = str(first.strings()[0]) if first.is_text else levels[int(scalar(ref, "ref")) - 1]
    if name not in levels:
        raise Unsuitable(f"ref must be one of the levels {', '.join(levels)}")
    levels.insert(0, levels.pop(levels.index(name)))
    return with_levels(value, levels)


@r_function('reorder(x, X, FUN = "mean")', lazy=["FUN"], collates=True)
def _reorder(x: Value, X: Value, FUN: Any, collate: Collate) -> Vector:
    """Sort the levels by the mean of another variable."""
    if isinstance(FUN, Name) and FUN.text != "mean":
        raise Unsuitable("FUN must be mean")
    value, numbers = as_factor(vector(x), collate), vector(X, "X").numbers()
    means = [numbers[value.data == code].mean() for code in range(len(value.levels))]
    levels = [value.levels[i] for i in np.argsort(means, kind="stable")]
    return with_levels(value, levels)


@r_function('interaction(..., drop = FALSE, sep = ".", lex.order = FALSE)', collates=True)
def _interaction(
    dots: Given, drop: Value, sep: Value, lex_order: Value, collate: Collate
) -> Vector:
    """Make a factor of all combinations of levels; those of the first factor change fastest."""
    factors = [as_factor(vector(value), collate) for _, value in dots]
    between = str(vector(sep, "sep").strings()[0])
    order = factors if flag(lex_order, "lex.order") else factors[::-1]  # the slowest first
    codes = np.zeros(len(factors[0]), dtype=np.intp)
    missing = np.zeros(len(factors[0]), dtype=bool)
    names: list[tuple[str, ...]] = [()]
    for factor in order:
        codes = codes * len(factor.levels) + factor.data
        missing |= factor.data < 0
        names = [(*name, level) for name in names for level in factor.levels]
    if order is not factors:
        names = [name[::-1] for name in names]
    levels = [between.join(name) for name in names]
    found = factor_of(np.where(missing, -1, codes), levels)
    return _droplevels(found, collate) if flag(drop, "drop") else found


@r_function(
    "cut(x, breaks, labels = NULL, include.lowest = FALSE, right = TRUE, dig.lab = 3, "
    "ordered_result = FALSE)"
)
def _cut(
    x: Value,
    breaks: Value,
    labels: Value,
    include_lowest: Value,
    right: Value,
    dig_lab: Value,
    ordered_result: Value,
) -> Vector:
    """Make a factor of intervals, with R's names such as (0,2]."""
    values = vector(x).numbers()
    closed, lowest = flag(right, "right"), flag(include_lowest, "include.lowest")
    points = _breaks(values, np.sort(vector(breaks, "breaks").numbers()))
    if len(set(points)) < len(points):
        raise Unsuitable("two breaks are equal")
    codes = np.searchsorted(points, values, side="left" if closed else "right") - 1
    if lowest:
        codes[values == points[0 if closed else -1]] = 0 if closed else len(points) - 2
    outside = np.isnan(values) | (codes < 0) | (codes > len(points) - 2)
    codes = np.where(outside, -1, codes).astype(np.intp)
    if labels is not None and labels.kind == "logical" and not flag(labels, "labels"):
        return Vector("integer", np.where(outside, np.nan, codes + 1.0))
    names = (
        _interval_names(points, int(scalar(dig_lab, "dig.lab")), closed=closed, lowest=lowest)
        if labels is None or labels.kind == "logical"
        else [str(label) for label in labels.strings()]
    )
    if len(names) != len(points) - 1:
        raise Unsuitable(f"{len(names)} labels are given for {len(points) - 1} intervals")
    return factor_of(codes, names, ordered=flag(ordered_result, "ordered_result"))


def _breaks(values: Floats, given: Floats) -> Floats:
    """Return the breaks that are given, or so many intervals of the same length."""
    if len(given) > 1:
        return given
    if not given[0] >= 2:
        raise Unsuitable("breaks must be at least 2 intervals")
    known = values[~np.isnan(values)]
    if not known.size:
        raise Unsuitable("all values are missing")
    low, high = known.min(), known.max()
    width, count = high - low, int(given[0]) + 1
    if width == 0.0:
        width = abs(low) or 1.0
        return np.linspace(low - width / 1000, high + width / 1000, count)
    points = low + np.arange(count) * (width / (count - 1))
    points[[0, -1]] = low - width / 1000, high + width / 1000
    return np.asarray(points)


def _interval_names(points: Floats, digits: int, *, closed: bool, lowest: bool) -> list[str]:
    for figures in range(digits, max(12, digits) + 1):
        ends = [f"{point:.{figures}g}" for point in points]
        ends = [{"inf": " Inf"}.get(end, end.replace("inf", "Inf")) for end in ends]
        if all(a != b for a, b in pairwise(ends)):
            break
    else:
        return [f"Range_{i}" for i in range(1, len(points))]
    left, right = ("(", "]") if closed else ("[", ")")
    names = [f"{left}{a},{b}{right}" for a, b in pairwise(ends)]
    if lowest and closed:
        names[0] = f"[{names[0][1:]}"
    elif lowest:
        names[-1] = f"{names[-1][:-1]}]"
    return names


@r_function("findInterval(x, vec)")
def _find_interval(x: Value, vec: Value) -> Vector:
    values = vector(x).numbers()
    found = np.searchsorted(vector(vec, "vec").numbers(), values, side="right")
    return Vector("integer", np.where(np.isnan(values), np.nan, found))


@r_function("C(object, contr = NULL, how.many = NULL, ...)", lazy=["contr"], collates=True)
def _contrasts(dots: Given, object: Value, contr: Any, how_many: Value, collate: Collate) -> Vector:
    """Give a factor contrasts, by the name of R's function or a call of it."""
    value = vector(object)
    if value.kind not in {"factor", "logical"}:
        raise Unsuitable("C() needs a factor: write C(factor(x), …)")
    value = as_factor(value, collate)
    options = {name or "base": given for name, given in dots}
    base = options.pop("base", None)
    if isinstance(contr, FunctionCall):
        for argument in contr.arguments[1:] if contr.arguments else ():
            if isinstance(argument.value, Constant) and argument.name in {"", "base"}:
                base = doubles([argument.value.value])
            else:
                raise Unsuitable(f"`{argument.name}` of {contr.function} is not supported")
        contr = Name(contr.function)
    name = contr.text if isinstance(contr, Name) else contr.value if contr is not None else ""
    if options:
        raise Unsuitable(f"the argument `{next(iter(options))}` is not supported")
    chosen = Contrast(
        f"contr.{name}" if name in _CONTRASTS else str(name),
        None if base is None else int(scalar(base, "base")),
        None if how_many is None else int(scalar(how_many, "how.many")),
    )
    return replace(value, contrasts=chosen)


# -- text ------------------------------------------------------------------------------------------


@r_function('paste(..., sep = " ")')
def _paste(dots: Given, sep: Value) -> Vector:
    columns = [[str(t) if t is not None else "NA" for t in vector(v).strings()] for _, v in dots]
    n, between = max(map(len, columns)), str(vector(sep, "sep").strings()[0])
    rows = (between.join(column[i % len(column)] for column in columns) for i in range(n))
    return texts(list(rows))


@r_function("paste0(...)")
def _paste0(dots: Given) -> Vector:
    return _paste(dots, texts([""]))


def _map(x: Value, change: Any) -> list[str | None]:
    return [None if text is None else change(text) for text in vector(x).strings()]


@r_function("toupper(x)")
def _upper(x: Value) -> Vector:
    return texts(_map(x, str.upper))


@r_function("tolower(x)")
def _lower(x: Value) -> Vector:
    return texts(_map(x, str.lower))


@r_function("startsWith(x, prefix)")
def _starts_with(x: Value, prefix: Value) -> Vector:
    start = str(vector(prefix, "prefix").strings()[0])
    return logicals([np.nan if t is None else t.startswith(start) for t in vector(x).strings()])


@r_function("endsWith(x, suffix)")
def _ends_with(x: Value, suffix: Value) -> Vector:
    end = str(vector(suffix, "suffix").strings()[0])
    return logicals([np.nan if t is None else t.endswith(end) for t in vector(x).strings()])


@r_function("grepl(pattern, x, ignore.case = FALSE, fixed = FALSE)")
def _grepl(pattern: Value, x: Value, ignore_case: Value, fixed: Value) -> Vector:
    """Search for a pattern that means the same in R and Python; a missing text has none."""
    wanted = str(vector(pattern, "pattern").strings()[0])
    if flag(fixed, "fixed"):
        wanted = re.escape(wanted)
    elif not re.fullmatch(r"[\w .,;:^$|*+?()/-]*", wanted):
        raise Unsuitable("the pattern of grepl() may have only letters, digits and .^$|*+?()")
    options = re.IGNORECASE if flag(ignore_case, "ignore.case") else 0
    found = re.compile(wanted, options)
    return logicals([t is not None and bool(found.search(t)) for t in vector(x).strings()])


@r_function("nchar(x)")
def _nchar(x: Value) -> Vector:
    return Vector(
        "integer", np.array([np.nan if t is None else len(t) for t in vector(x).strings()])
    )


@r_function("substr(x, start, stop)", "substring(x, start, stop = 1000000)")
def _substr(x: Value, start: Value, stop: Value) -> Vector:
    first, last = int(scalar(start, "start")), int(scalar(stop, "stop"))
    return texts(_map(x, lambda text: text[max(0, first - 1) : last]))


@r_function("nlevels(x)")
def _nlevels(x: Value) -> Vector:
    return Vector("integer", np.array([float(len(vector(x).levels))]))


@r_function("levels(x)")
def _levels(x: Value) -> Vector:
    return texts(vector(x).levels)


@r_function("as.Date(x)")
def _as_date(x: Value) -> Vector:
    value = vector(x)
    if value.kind == "POSIXct":
        return Vector("Date", np.floor(value.data / DAY))
    if value.kind == "Date":
        return value
    try:
        days = [np.datetime64("NaT" if t is None else t, "D") for t in value.strings()]
    except ValueError as error:
        raise Unsuitable("a date reads year-month-day, such as 2020-02-24") from error
    known = np.array(days)
    return Vector("Date", np.where(np.isnat(known), np.nan, known.astype(np.float64)))


@r_function("weekdays(x)")
def _weekdays(x: Value) -> Vector:
    return texts(_formatted(x, "%A"))


@r_function("months(x)")
def _months(x: Value) -> Vector:
    return texts(_formatted(x, "%B"))


@r_function("format(x, format)")
def _format(x: Value, format: Value) -> Vector:
    return texts(_formatted(x, str(vector(format, "format").strings()[0])))


def _formatted(x: Value, how: str) -> list[str | None]:
    value = vector(x)
    if value.kind not in {"Date", "POSIXct"}:
        raise Unsuitable("a date is needed")
    seconds = value.data * (DAY if value.kind == "Date" else 1.0)
    times = [None if math.isnan(t) else datetime.fromtimestamp(t, UTC) for t in seconds.tolist()]
    return [None if time is None else time.strftime(how) for time in times]
