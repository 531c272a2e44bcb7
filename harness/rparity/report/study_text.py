"""A study as text: claimed and actual standard errors, and how often each interval is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import pandas as pd
from rich.console import Console
from rich.table import Table

from rparity.report.terminal import marked, plain_table
from rparity.study.coverage import MEAN_OF_LINES, MEAN_OF_POPULATION, SLOPE, Study
from rparity.study.data_sets import World

NAMES = {
    "lm": "lm, contr.sum",
    "wald": "lmer, Wald",
    "satterthwaite": "lmer, Satterthwaite",
    "kenward_roger": "lmer, Kenward-Roger",
    "profile": "lmer, profile",
    "posterior_uniform": "posterior, uniform",
    "posterior_jeffreys": "posterior, Jeffreys",
    "boot_simulate_u": "bootMer, use.u = FALSE",
    "boot_fix_u": "bootMer, use.u = TRUE",
}
WORLDS = {World.FIXED: "the lines stay", World.RANDOM: "the lines are drawn anew"}
PARAMETER_NAMES = {"(Intercept)": "intercept", "x": "slope"}
Row: TypeAlias = Mapping[str, Any]
FAILURES_SHOWN = 3


def show_study(study: Study, out: Console) -> None:
    """Print the study."""
    design = study.design
    sizes = ", ".join(map(str, design.sizes[: design.points]))
    out.print(
        marked(
            ("study", "bold"),
            f"  {study.datasets:,} data sets in each world, seeds {study.seed} to "
            f"{study.seed + study.datasets - 1}; {study.nsim:,} replicates of each bootstrap",
        )
    )
    out.print(
        f"{design.points} lines of {sizes} points, mean intercept {design.intercept:g}, standard "
        f"deviation {design.spread:.4g}, slope {design.slope:g}, noise {design.sd:g}",
        style="dim",
    )
    out.print("\nClaimed standard errors, and the standard deviation of the estimates")
    out.print(_table(study.standard_errors, list(PARAMETER_NAMES), CLAIMS))
    out.print("\nThe intercept: how many 95 % intervals contain")
    out.print(_table(study.coverage, ["(Intercept)"], INTERCEPT))
    out.print("\nThe slope: how many 95 % intervals contain it")
    out.print(_table(study.coverage, ["x"], SLOPES))
    out.print(
        "\n± is the Monte Carlo error, in brackets Wilson's 95 % interval of the coverage; claimed "
        "standard errors and widths are means.",
        style="dim",
    )
    if study.failures:
        out.print(f"\n{len(study.failures)} data sets have no answer:")
        for (world, seed), why in list(study.failures.items())[:FAILURES_SHOWN]:
            out.print(f"  {world} world, seed {seed}: {why}")


def percent(row: Row) -> str:
    """Return a coverage with its Monte Carlo error and Wilson's interval, in percent."""
    names = ("coverage", "coverage_error", "coverage_low", "coverage_high")
    return "{:.1f} ± {:.1f} ({:.1f} to {:.1f})".format(*(100.0 * row[name] for name in names))


@dataclass(frozen=True)
class _Column:
    """A column of a table: its head, the world and target of its rows, and how they are shown."""

    head: str
    show: Callable[[Row], str]
    world: World
    target: str | None = None


WIDTH = "{width:.4g}".format_map
CLAIMED = "{std_error:.4g}".format_map
SPREAD = "{spread:.4g} ± {spread_error:.1g}".format_map
FIXED, RANDOM = World.FIXED, World.RANDOM
CLAIMS = [
    _Column(f"{WORLDS[FIXED]}\nclaimed s.e.", CLAIMED, FIXED),
    _Column("\ns.d. of estimates", SPREAD, FIXED),
    _Column(f"{WORLDS[RANDOM]}\nclaimed s.e.", CLAIMED, RANDOM),
    _Column("\ns.d. of estimates", SPREAD, RANDOM),
]
INTERCEPT = [
    _Column(f"{WORLDS[FIXED]}\nthe lines' mean", percent, FIXED, MEAN_OF_LINES),
    _Column("\nwidth", WIDTH, FIXED, MEAN_OF_LINES),
    _Column(f"{WORLDS[RANDOM]}\nthe population's mean", percent, RANDOM, MEAN_OF_POPULATION),
    _Column("\nthe mean of those drawn", percent, RANDOM, MEAN_OF_LINES),
    _Column("\nwidth", WIDTH, RANDOM, MEAN_OF_LINES),
]
SLOPES = [
    _Column(WORLDS[FIXED], percent, FIXED, SLOPE),
    _Column("width", WIDTH, FIXED, SLOPE),
    _Column(WORLDS[RANDOM], percent, RANDOM, SLOPE),
    _Column("width", WIDTH, RANDOM, SLOPE),
]


def _table(frame: pd.DataFrame, parameters: list[str], columns: list[_Column]) -> Table:
    """Return a table with a row for each parameter and each interval in `frame`."""
    rows: dict[tuple[object, ...], dict[Any, Any]] = {
        (row["parameter"], row["interval"], row["world"], row.get("target")): row
        for row in frame.to_dict("records")
    }
    labels = [""] * min(len(parameters), 2)
    table = plain_table(*labels, *(f">{column.head}" for column in columns))
    for parameter in parameters:
        named = [PARAMETER_NAMES[parameter]] if len(parameters) > 1 else []
        for interval in dict.fromkeys(frame["interval"]):
            cells = [rows.get((parameter, interval, c.world, c.target)) for c in columns]
            shown = [
                column.show(cell) if cell is not None else "–"
                for column, cell in zip(columns, cells, strict=True)
            ]
            table.add_row(*named, NAMES[interval], *shown)
            named = [""] * len(named)
    return table


def as_json(study: Study) -> str:
    """Return one JSON object: the design, the sizes, both tables and the failures."""
    return json.dumps(
        {
            "design": {**asdict(study.design), "spread": study.design.spread},
            "datasets": study.datasets,
            "nsim": study.nsim,
            "seed": study.seed,
            "coverage": study.coverage.to_dict("records"),
            "standard_errors": study.standard_errors.to_dict("records"),
            "failures": [
                {"world": world, "seed": seed, "why": why}
                for (world, seed), why in study.failures.items()
            ],
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
