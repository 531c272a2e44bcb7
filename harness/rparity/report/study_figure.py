"""The study's figure: the intervals of some data sets, and how often each interval is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rparity.lmm.display.plots import lettered
from rparity.report.document_figure import FIXED as BLUE
from rparity.report.document_figure import MIXED as RED
from rparity.report.output import writing
from rparity.report.study_text import NAMES, WORLDS
from rparity.study.coverage import MEAN_OF_LINES, MEAN_OF_POPULATION, SLOPE, Study
from rparity.study.data_sets import World

# The number of data sets whose intervals are drawn one by one.
SHOWN = 40
# A lower coverage is drawn at this edge as an arrow.
LEAST = 84.0
COLOURS = {
    "lm": BLUE,
    "wald": RED,
    "satterthwaite": RED,
    "kenward_roger": RED,
    "profile": RED,
    "posterior_uniform": RED,
    "posterior_jeffreys": RED,
    "boot_simulate_u": RED,
    "boot_fix_u": BLUE,
}
FILL = {True: "full", False: "none"}
# The targets of the intervals in each world: parameter, target, symbol, filled, label.
MARKS = {
    World.FIXED: [
        ("(Intercept)", MEAN_OF_LINES, "o", True, "intercept: the lines' mean"),
        ("x", SLOPE, "D", False, "slope"),
    ],
    World.RANDOM: [
        ("(Intercept)", MEAN_OF_POPULATION, "o", True, "intercept: the population's mean"),
        ("(Intercept)", MEAN_OF_LINES, "o", False, "intercept: the mean of those drawn"),
        ("x", SLOPE, "D", False, "slope"),
    ],
}


def draw(study: Study, file: Path) -> None:
    """Draw the study. The suffix of `file` chooses the format.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9.5), layout="constrained")
    axes = figure.subplots(3, 2, sharex="row", sharey="row", height_ratios=[2, 1, 4])
    lettered(axes.flat, size=11.0)
    for (above, near, below), world in zip(axes.T, World, strict=True):
        _intervals(above, near, study, world)
        _coverage(below, study, world)
    low, high = min(drawn.get_ylim() for drawn in axes[0])
    axes[0, 0].set(ylabel="intercept", ylim=(low, high + 0.3 * (high - low)))  # the legend's place
    axes[1, 0].set_ylabel("difference")
    figure.suptitle(
        f"Which interval is right in which world: {study.datasets:,} data sets in each, "
        f"{study.nsim:,} replicates of each bootstrap"
    )
    with writing(file) as temporary:
        figure.savefig(temporary, dpi=150)


def _intervals(axes: Any, near: Any, study: Study, world: World) -> None:
    """Draw the intervals of lmer and of lm in the first data sets, around their target.

    `near` shows those of lm less the mean of the data set's own lines: they are too short to be
    seen at the other scale.
    """
    target = study.design.intercept
    rows = study.answers.query("world == @world.value and parameter == '(Intercept)'")
    seeds = rows["seed"].unique()[:SHOWN]
    rows = rows[rows["seed"].isin(seeds)].dropna(subset=["conf_low"])
    axes.axhline(target, color="black", linewidth=0.8, zorder=0)
    for interval, width in (("wald", 4.5), ("lm", 2.5)):
        _bars(axes, rows[rows["interval"] == interval], target, width, interval)
    what = "mean" if world is World.FIXED else "population mean"
    axes.set_title(f"{WORLDS[world].capitalize()}, {what} {target:g}", fontsize=10)
    axes.set_xticks([])
    if world is World.FIXED:
        axes.legend(
            fontsize=8,
            frameon=False,
            loc="upper left",
            ncols=2,
            title="pale: contains the target; full: misses it",
            title_fontsize=8,
            alignment="left",
        )
    lm = rows[rows["interval"] == "lm"]
    own = lm.assign(**{end: lm[end] - lm["lines"] for end in ("conf_low", "conf_high")})
    near.axhline(0.0, color="black", linewidth=0.8, zorder=0)
    _bars(near, own, 0.0, 2.5, "lm")
    near.set_title("lm, less the mean of the own lines", fontsize=10)
    near.set_xticks([])
    near.set_xlabel(f"data sets with the seeds {seeds[0]} to {seeds[-1]}")


def _bars(axes: Any, rows: pd.DataFrame, target: float, width: float, interval: str) -> None:
    """Draw an interval for each data set. Those that miss the target have a full colour."""
    held = (rows["conf_low"] <= target) & (target <= rows["conf_high"])
    for those, alpha in ((held, 0.35), (~held, 1.0)):
        axes.vlines(
            np.flatnonzero(those),
            rows["conf_low"][those],
            rows["conf_high"][those],
            color=COLOURS[interval],
            linewidth=width,
            alpha=alpha,
            label=NAMES[interval] if those is held else None,
        )


def _coverage(axes: Any, study: Study, world: World) -> None:
    """Draw how often each interval contains its targets."""
    marks = MARKS[world]
    names = list(NAMES)
    rows: dict[tuple[object, ...], dict[Any, Any]] = {
        (row["parameter"], row["target"], row["interval"]): row
        for row in study.coverage.to_dict("records")
        if row["world"] == world.value
    }
    axes.axvline(95, color="black", linewidth=0.8, linestyle=":", zorder=0)
    for i, (parameter, target, symbol, filled, label) in enumerate(marks):
        axes.plot([], [], symbol, color="black", fillstyle=FILL[filled], label=label, markersize=5)
        for y, name in enumerate(names):
            if (row := rows.get((parameter, target, name))) is None:
                continue
            share, low, high = (
                100.0 * row[end] for end in ("coverage", "coverage_low", "coverage_high")
            )
            at = y + 0.25 * (i - (len(marks) - 1) / 2)
            style = {"color": COLOURS[name], "fillstyle": FILL[filled], "markersize": 5}
            inside = share >= LEAST
            axes.plot([max(low, LEAST), max(high, LEAST)], [at, at], color=COLOURS[name])
            axes.plot(max(share, LEAST), at, symbol if inside else "<", **style)
            beside = axes.get_yaxis_transform()
            axes.text(1.09, at, f"{share:.1f}", transform=beside, size=7.5, ha="right", va="center")
    axes.set_yticks(range(len(names)), [NAMES[name] for name in names])
    axes.set(xlim=(LEAST - 0.4, 100.6), ylim=(len(names) - 0.4, -0.6))
    axes.set_title("Intervals that contain their target", fontsize=10)
    axes.set_xlabel("% of all data sets (dotted: 95)")
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
