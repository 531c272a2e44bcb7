"""The audit's figures: marks are at the right places, and the captions agree with them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pages import Page, unpacked
from rparity.audit.results import Audit
from rparity.report import charts, html
from rparity.report.svg import Scale


def drawings(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


@pytest.mark.parametrize("name", ["everything", "attacked", "real"])
def test_each_figure_has_its_text(name: str, page_of: Callable[[str], str]) -> None:
    text = unpacked(page_of(name))
    ids = set(Page(text).ids)
    assert drawings(text)
    for drawing in drawings(text):
        assert drawing.get("role") == "img"
        labelled = (drawing.get("aria-labelledby") or "").split()
        assert len(labelled) == 2
        assert set(labelled) <= ids
        assert drawing[0].tag == "title"
        assert drawing[1].tag == "desc"
        assert all(len(drawing[i].text or "") > 3 for i in (0, 1))
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    assert all("<figcaption>" in figure and "<table" in figure for figure in figures)


def test_the_real_audit_has_all_three_figures(small_audit: Audit) -> None:
    names = [figure.name for figure in charts.figures(small_audit, html.address)]
    assert names == ["digits", "stops", "replicates"]


def test_each_cell_with_digits_is_a_mark_at_its_digits(small_audit: Audit) -> None:
    figure = charts.digits_by_engine(small_audit, html.address)
    assert figure is not None
    marks = {
        (link.get("href"), float(path.get("transform", "")[10:].split()[0]))
        for link in figure.drawings[0].root.iter("a")
        for path in link
    }
    x = Scale(0, 16, 150, 740)
    expected = {
        (html.address(*place), round(x(cell.digits), 1))
        for place, cell in small_audit.cells.items()
        if cell.digits is not None
    }
    assert marks == expected


def test_stopping_points_are_also_in_words(small_audit: Audit) -> None:
    figure = charts.where_they_stopped(small_audit)
    assert figure is not None
    table = pd.DataFrame(figure.rows, columns=figure.columns).set_index("engine")
    stops = small_audit.stops.query("engine == 'lme4'")
    assert table.loc["lme4", "models"] == str(len(stops))
    assert table.loc["lme4", "furthest"] == f"{stops['distance'].max():.1e}"
    marks = [p for p in figure.drawings[0].root.iter("path") if "stop" in p.get("class", "")]
    # One mark for each, and one in the legend.
    assert len(marks) == len(small_audit.stops) + small_audit.stops["engine"].nunique()


def test_differences_of_replicates_are_in_standard_deviations(small_audit: Audit) -> None:
    figure = charts.replicates(small_audit)
    assert figure is not None
    answer = small_audit.replies["rparity", "sleepstudy"].answer
    assert answer is not None
    mine = answer.tables["boot_simulate_u.replicates"]["Days"]
    r = small_audit.reference_tables["sleepstudy"]["boot_simulate_u.replicates"]["Days"]
    off = ((mine - r) / r.std(ddof=1)).abs()
    table = {row[0]: row for row in figure.rows}
    assert table["boot_simulate_u Days"][1] == "200"
    assert table["boot_simulate_u Days"][-2:] == (f"{off.median():.1e}", f"{off.max():.1e}")


def test_thinning_keeps_the_largest_differences() -> None:
    size = np.random.default_rng(1).random(10_000)
    shown = charts.thinned(size)
    assert len(shown) <= charts.POINTS
    assert set(np.argsort(size)[-20:]) <= set(shown)
    assert len(charts.thinned(size[:100])) == 100
    # The other points are spread evenly.
    assert np.diff(shown).max() < 50


def test_marks_do_not_hide_one_another() -> None:
    places = [100.0] * 9 + [103.0] * 5 + [300.0]
    shifts = charts.swarm(places)
    for i, (x, y) in enumerate(zip(places, shifts, strict=True)):
        for x2, y2 in zip(places[:i], shifts[:i], strict=True):
            assert abs(x - x2) >= 8.0 or abs(y - y2) >= 4.5
    assert shifts[-1] == 0.0


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 16.0), (-1.04, -0.96), (20.8, 21.3), (-3e-5, 3e-5), (-1e9, 5e9)]
)
def test_axes_have_a_few_round_values(low: float, high: float) -> None:
    scale = Scale(low, high, 0, 100)
    ticks = scale.ticks
    assert 3 <= len(ticks) <= 8
    room = 1e-9 * (high - low)
    assert low - room <= min(ticks) < max(ticks) <= high + room
    steps = [b - a for a, b in pairwise(ticks)]
    assert max(steps) - min(steps) < 1e-9 * max(steps)
    leading = steps[0] / 10.0 ** math.floor(math.log10(steps[0] * (1 + 1e-9)))
    assert round(leading, 6) in {1.0, 2.0, 5.0}


def test_positions_on_a_scale() -> None:
    assert Scale(0, 10, 100, 200)(2.5) == 125.0
    assert Scale(1e-4, 1e4, 0, 80, log=True)(1.0) == 40.0
    # Values beyond the ends are on the edge, including zero on a logarithmic axis.
    assert Scale(1e-4, 1e4, 0, 80, log=True)(0.0) == 0.0
    assert Scale(1e-4, 1e4, 0, 80, log=True)(-1e-20) == 0.0
    assert Scale(0, 10, 100, 200)(11.0) == 200.0
