"""Drawings as inline SVG: axes, marks and text. A style sheet gives the colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

# Outlines of marks within a unit circle. They differ in shape, not only in colour.
MARKS = (
    "M-.9 0A.9 .9 0 1 0 .9 0 .9 .9 0 1 0-.9 0z",
    "M-.8-.8h1.6v1.6h-1.6z",
    "M0-1.1L1.1 0 0 1.1-1.1 0z",
    "M0-1L1 .8H-1z",
    "M0 1L1-.8H-1z",
    "M-.35-1h.7v.65H1v.7H.35V1h-.7V.35H-1v-.7h.65z",
)


@dataclass(frozen=True)
class Scale:
    """A scale from `low` to `high` between `start` and `end` of a drawing; `log`: logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of a value. Values beyond the ends are put on the ends."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        if self.log:
            value = math.log10(value) if value > 0.0 else low
        share = (value - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Return about five round values."""
        if self.log:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**power for power in powers[:: max(1, round(len(powers) / 7))]]
        rough = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough * 0.99)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


class Drawing:
    """One drawing of `width` × `height` units, with a title and a description for screen readers.

    `name` is unique on the page.
    """

    def __init__(
        self, name: str, width: float, height: float, title: str, description: str
    ) -> None:
        self.root = Element(
            "svg",
            {
                "viewBox": f"0 0 {width:g} {height:g}",
                "role": "img",
                "aria-labelledby": f"{name}t {name}d",
            },
        )
        SubElement(self.root, "title", {"id": f"{name}t"}).text = title
        SubElement(self.root, "desc", {"id": f"{name}d"}).text = description
        self.width, self.height = width, height

    def line(self, x: Sequence[float], y: Sequence[float], kind: str, end: str = "") -> None:
        """Draw a line of the class `kind` through points. The `end` `z` closes it."""
        points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
        SubElement(self.root, "path", {"class": kind, "d": f"M{points}{end}"})

    def area(self, x: Sequence[float], y: Sequence[float], kind: str) -> None:
        """Fill the area inside a line of points."""
        self.line(x, y, kind, end="z")

    def dots(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Draw many equal dots as one path. The style sheet gives their size."""
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
        SubElement(self.root, "path", {"class": kind, "d": path})

    def mark(
        self, x: float, y: float, kind: str, says: str, *, shape: int = 0, href: str = ""
    ) -> None:
        """Draw one mark with a tooltip and a link."""
        parent = SubElement(self.root, "a", {"href": href}) if href else self.root
        where = f"translate({x:.1f} {y:.1f}) scale(4.5)"
        outline = MARKS[shape % len(MARKS)]
        mark = SubElement(parent, "path", {"class": kind, "d": outline, "transform": where})
        if says:
            SubElement(mark, "title").text = says

    def text(self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> None:
        """Write a line of text; `anchor` is start, middle or end."""
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
        SubElement(self.root, "text", place | ({"class": kind} if kind else {})).text = text

    def axes(self, x: Scale, y: Scale, across: str, up: str) -> None:
        """Draw both axes with their ticks and names."""
        for value in x.ticks:
            self.line([x(value)] * 2, [y.start, y.end], "grid")
            self.text(x(value), y.start + 15, tick(value, x), "tick", anchor="middle")
        for value in y.ticks:
            self.line([x.start, x.end], [y(value)] * 2, "grid")
            self.text(x.start - 6, y(value) + 4, tick(value, y), "tick", anchor="end")
        self.line([x.start, x.start, x.end], [y.end, y.start, y.start], "axis")
        self.text((x.start + x.end) / 2, y.start + 33, across, "name", anchor="middle")
        self.text(x.start - 46, y.end - 10, up, "name")

    def __str__(self) -> str:
        """Return the drawing as text for a page. Text from data is escaped."""
        return tostring(self.root, encoding="unicode")


def tick(value: float, scale: Scale) -> str:
    """Return the label of a value on an axis: a power of ten on a logarithmic scale."""
    if scale.log:
        return f"1e{round(math.log10(value))}"
    return f"{value:.6g}".replace("-", "−") if abs(value) > 1e-300 else "0"
