"""The audit's figures: digits by engine, stopping points, and bootstrap replicates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.audit.results import Audit, Cell
from rparity.compare import MAX_DIGITS, ROUNDING_DIGITS
from rparity.report.numbers import number
from rparity.report.svg import Drawing, Scale

Array = NDArray[np.float64]
Link = Callable[[str, str], str]

PYTHON = "rparity"
REPLICATES = ".replicates"
# A scatter plot shows this many points, among them this many of those furthest off.
POINTS, FURTHEST = 1200, 60
PANELS = 6
# Values below these limits are rounding and are drawn on the edge.
NEAREST, LOWEST = 1e-14, 1e-14
COLOURS = 7


@dataclass(frozen=True)
class Figure:
    """A figure: its drawings, a caption, and its numbers as a table."""

    name: str
    title: str
    says: str
    drawings: Sequence[Drawing]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def figures(audit: Audit, link: Link) -> list[Figure]:
    """Draw all figures of an audit. `link` returns the address of an engine and a case."""
    drawn = (digits_by_engine(audit, link), where_they_stopped(audit), replicates(audit))
    return [figure for figure in drawn if figure is not None]


# -- digits by engine ------------------------------------------------------------------------------


def digits_by_engine(audit: Audit, link: Link) -> Figure | None:
    """Draw a row for each engine, with a mark at the fewest digits of each case."""
    cells = {
        engine: sorted(
            (c for (e, _), c in audit.cells.items() if e == engine and c.digits is not None),
            key=_digits,
        )
        for engine in audit.engines
    }
    cells = {engine: found for engine, found in cells.items() if found}
    if not cells:
        return None
    row, left = 34, 150
    height = row * len(cells) + 70
    most = max(cells, key=lambda engine: _median(cells[engine]))
    says = (
        "Each mark is a case, at the fewest digits in which the engine agrees with the reference; "
        f"the tick is the median. From {ROUNDING_DIGITS:g} digits on, what is left is rounding. "
        f"The highest median is that of {most}, {_median(cells[most]):.1f}."
    )
    title = "Digits by engine"
    drawing = Drawing("digits", 760, height, title, says)
    x = Scale(0, 16, left, 740)
    top, bottom = 30.0, float(height - 40)
    drawing.area(
        [x(ROUNDING_DIGITS), x(16), x(16), x(ROUNDING_DIGITS)], [top, top, bottom, bottom], "zone"
    )
    drawing.text(x(ROUNDING_DIGITS) + 4, top - 6, "rounding", "tick")
    for value in range(0, 17, 2):
        drawing.line([x(value)] * 2, [top, bottom], "grid")
        drawing.text(x(value), bottom + 16, f"{value}", "tick", anchor="middle")
    drawing.text(x(8), bottom + 34, "fewest digits of a case", "name", anchor="middle")
    for i, (engine, found) in enumerate(cells.items()):
        y = top + row * (i + 0.5)
        drawing.text(left - 12, y + 4, engine, "label", anchor="end")
        drawing.line([x(0), x(16)], [y, y], "grid")
        for cell, shift in zip(found, swarm([x(_digits(c)) for c in found]), strict=True):
            says_it = f"{cell.case}: {_digits(cell):.1f} digits, {cell.verdict}"
            kind = f"dot v-{cell.verdict}"
            place = x(_digits(cell)), y + min(max(shift, -13.0), 13.0)
            drawing.mark(*place, kind, says_it, href=link(engine, cell.case))
        middle = x(_median(found))
        drawing.line([middle, middle], [y - 14, y + 14], "median")
    rows = [
        (
            engine,
            str(len(found)),
            f"{_digits(found[0]):.1f}",
            f"{_median(found):.1f}",
            f"{_digits(found[-1]):.1f}",
            found[0].case,
        )
        for engine, found in cells.items()
    ]
    columns = ("engine", "cases", "fewest", "median", "most", "fewest at")
    return Figure("digits", title, says, [drawing], columns, rows)


def swarm(places: Sequence[float], apart: float = 8.0, step: float = 4.5) -> list[float]:
    """Return how far to move each mark off its line, so that no mark hides another."""
    shifts: list[float] = []
    for i, place in enumerate(places):
        near = [shifts[j] for j in range(i) if abs(place - places[j]) < apart]
        free = (sign * k * step for k in range(len(places) + 1) for sign in (1, -1))
        shifts.append(next(s for s in free if all(abs(s - other) >= step for other in near)))
    return shifts


def _digits(cell: Cell) -> float:
    return 0.0 if cell.digits is None else min(cell.digits + 0.0, MAX_DIGITS)


def _median(cells: Sequence[Cell]) -> float:
    return float(np.median([_digits(cell) for cell in cells]))


# -- stopping points -------------------------------------------------------------------------------


def where_they_stopped(audit: Audit) -> Figure | None:
    """Draw how far above its minimum the criterion is at each engine's stopping point."""
    stops = audit.stops
    if stops.empty:
        return None
    measured = stops[(stops["rise"] > 1e-10) & (stops["distance"] > 1e-8)]
    curvature = float((measured["rise"] / measured["distance"] ** 2).median())
    says = (
        "Each mark is a model: how far from the optimum an engine stopped, as a share of θ, and "
        "how much higher the criterion is there. Near its minimum the criterion is a parabola, a "
        "line of slope two here (drawn at the models' median curvature): a tenth of the distance "
        "costs a hundredth of the rise. What is on the edges is rounding."
    )
    title = "Where each engine stopped on the criterion's curve"
    engines = [name for name in audit.engines if (stops["engine"] == name).any()]
    drawing = Drawing("stops", 760, 440 + 20 * math.ceil(len(engines) / 5), title, says)
    top = max(1.0, float(stops["rise"].max()) * 2)
    x = Scale(NEAREST, 10.0, 75, 740, log=True)
    y = Scale(LOWEST, 10.0 ** np.ceil(np.log10(top)), 380, 30, log=True)
    drawing.axes(x, y, "distance from the optimum, relative", "criterion above its minimum")
    if np.isfinite(curvature):
        ends = np.sqrt(np.array([y.low, y.high]) / curvature)
        ends = np.clip(ends, x.low, x.high)
        drawing.line([x(v) for v in ends], [y(curvature * v**2) for v in ends], "curve")
    rows = []
    for i, name in enumerate(engines):
        mine = stops[stops["engine"] == name]
        kind = f"stop s{i % COLOURS}"
        of_each = zip(*(mine[column] for column in stops.columns), strict=True)
        for case, model, _, distance, rise in of_each:
            label = f"{name}, {case} {model}: {distance:.1e} off, the criterion {rise:+.1e}"
            drawing.mark(x(distance), y(rise), kind, label, shape=i)
        at = 80 + 135 * (i % 5), 428 + 20 * (i // 5)
        drawing.mark(*at, kind, "", shape=i)
        drawing.text(at[0] + 10, at[1] + 4, name, "tick")
        furthest = mine.iloc[int(mine["distance"].argmax())]
        rows.append(
            (
                name,
                str(len(mine)),
                f"{mine['distance'].median():.1e}",
                f"{furthest['distance']:.1e}",
                f"{mine['rise'].max():.1e}",
                f"{furthest['case']} {furthest['model']}",
            )
        )
    columns = ("engine", "models", "median distance", "furthest", "highest rise", "furthest at")
    return Figure("stops", title, says, [drawing], columns, rows)


# -- replicates ------------------------------------------------------------------------------------


def replicates(audit: Audit) -> Figure | None:
    """Draw R's bootstrap replicates against this package's, for the first case with both."""
    for case in audit.cases:
        reply = audit.replies.get((PYTHON, case.name))
        mine = {} if reply is None or reply.answer is None else reply.answer.tables
        theirs = audit.reference_tables[case.name]
        both = [name for name in mine if name.endswith(REPLICATES) and name in theirs]
        if both:
            pairs = [
                (name.removesuffix(REPLICATES), str(term), mine[name][term], theirs[name][term])
                for name in both
                for term in theirs[name].columns
                if term in mine[name] and len(mine[name]) == len(theirs[name])
            ]
            return _replicates(case.name, pairs[:PANELS]) if pairs else None
    return None


def _replicates(case: str, pairs: Sequence[tuple[str, str, pd.Series, pd.Series]]) -> Figure:
    drawings, rows = [], []
    for i, (part, term, mine, theirs) in enumerate(pairs):
        r, python = theirs.to_numpy(np.float64), mine.to_numpy(np.float64)
        spread = float(r.std(ddof=1))
        off = (python - r) / spread
        size = np.abs(off)
        rows.append(
            (
                f"{part} {term}",
                str(len(r)),
                number(float(spread)),
                number(float(python.std(ddof=1))),
                f"{np.median(size):.1e}",
                f"{size.max():.1e}",
            )
        )
        drawings.append(_pair(f"replicates{i}", f"{part}, {term}", r, python, off))
    n = len(pairs[0][2])
    says = (
        f"The bootstrap replicates of {case}, R's against Python's, draw for draw; the line is "
        "where they are equal. Below, their difference in standard deviations of R's replicates. "
        f"Of {n} replicates {min(n, POINTS)} are drawn, the furthest off among them."
    )
    columns = ("replicates of", "number", "R's sd", "Python's sd", "median difference", "largest")
    title = "Bootstrap replicates, R against Python"
    return Figure("replicates", title, says, drawings, columns, rows)


def _pair(name: str, what: str, r: Array, python: Array, off: Array) -> Drawing:
    """Draw one term: Python against R, and below it their differences."""
    size = np.abs(off)
    worst = float(size.max())
    says = (
        f"{what}: Python's replicates against R's; the median difference is "
        f"{np.median(size):.1e} and the largest {worst:.1e} standard deviations."
    )
    drawing = Drawing(name, 300, 400, what, says)
    shown = thinned(size)
    low, high = float(min(r.min(), python.min())), float(max(r.max(), python.max()))
    x = Scale(low, high, 62, 290)
    y = Scale(low, high, 215, 45)
    drawing.text(62, 14, what, "label")
    drawing.axes(x, y, "", "Python")
    drawing.line([x(low), x(high)], [y(low), y(high)], "curve")
    drawing.dots(((x(r[k]), y(python[k])) for k in shown), "points")
    limit = 1.1 * worst or 1e-16
    beneath = Scale(-limit, limit, 360, 275)
    drawing.axes(x, beneath, "R", "difference, sd")
    drawing.dots(((x(r[k]), beneath(off[k])) for k in shown), "points")
    return drawing


def thinned(size: Array) -> NDArray[np.intp]:
    """Return the points to draw: an even selection, and the largest."""
    if len(size) <= POINTS:
        return np.arange(len(size))
    even = np.linspace(0, len(size) - 1, POINTS - FURTHEST).astype(np.intp)
    return np.union1d(even, np.argsort(size)[-FURTHEST:])
