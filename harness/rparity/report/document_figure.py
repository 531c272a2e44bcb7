"""The figure of the case `document`: the data, and each bootstrap with both standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from rparity.errors import UsageError, install
from rparity.lmm.display.plots import lettered
from rparity.report.output import require_folder, writing

if TYPE_CHECKING:
    from rparity.run import CaseRun

# A symbol for each level, as R's pch = 1, 2, …
SYMBOLS = "o^+xDvsPdX"
LINES = "+x"  # symbols that cannot be filled
MIXED, FIXED = "#b5452c", "#2c6fb5"


def require(file: Path, cases: Sequence[str]) -> None:
    """Check before the work starts that the figure can be drawn.

    Raises
    ------
    UsageError
        If `document` is not among the cases, or for the reasons of `require_drawing`.
    """
    if "document" not in cases:
        raise UsageError("--plot draws the figure of the case document: run that case.")
    require_drawing(file)


def require_drawing(file: Path) -> None:
    """Check that a figure can be drawn.

    Raises
    ------
    UsageError
        If the folder does not exist, matplotlib is not installed, or the suffix is not that of a
        format of matplotlib.
    """
    require_folder(file)
    if find_spec("matplotlib") is None:
        raise UsageError(f"--plot needs matplotlib: {install('plot')}")
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if file.suffix.removeprefix(".").lower() not in known:
        raise UsageError(f"Cannot draw {file}: its suffix must be one of {', '.join(known)}.")


def draw(run: CaseRun, file: Path) -> None:
    """Draw the figure from Python's answer. The suffix of `file` chooses the format.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    tables = run.answers["rparity"].tables
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    scatter, anew, kept = figure.subplot_mosaic(
        [["scatter", "anew"], ["scatter", "kept"]], width_ratios=[1, 1.15]
    ).values()
    lettered((scatter, anew, kept), size=11.0)
    _scatter(scatter, tables["data"])
    errors = {
        "lmer": (tables["lmer.coef"], MIXED, "-"),
        "lm, contr.sum": (tables["lm.coef"], FIXED, "--"),
    }
    _bootstrap(anew, tables["boot_simulate_u.replicates"], errors, MIXED)
    anew.set_title("use.u = FALSE: the lines are drawn anew", fontsize=10)
    _bootstrap(kept, tables["boot_fix_u.replicates"], errors, FIXED)
    kept.set_title("use.u = TRUE: the lines stay", fontsize=10)
    kept.set_xlabel("intercept")
    figure.suptitle(
        "The intercept's standard error is lmer's if the lines are drawn anew, and lm's if they "
        f"stay: {run.nsim:,} replicates each",
        fontsize=11,
    )
    with writing(file) as target:
        figure.savefig(target, dpi=150)


def _scatter(axes: Any, data: pd.DataFrame) -> None:
    from matplotlib import colormaps

    levels = np.unique(data["p"])
    shades = colormaps["viridis"](np.linspace(0.0, 0.85, len(levels)))
    for i, level in enumerate(levels):
        mine = data[data["p"] == level]
        symbol = SYMBOLS[i % len(SYMBOLS)]
        fill = {} if symbol in LINES else {"facecolors": "none", "edgecolors": shades[i]}
        style = fill or {"color": shades[i]}
        axes.scatter(mine["x"], mine["y"], s=26, marker=symbol, label=f"{level:g}", **style)
    axes.set(xlabel="x", ylabel="y")
    axes.set_title("The data: a symbol for each level of p", fontsize=10)
    axes.legend(title="p", ncols=2, fontsize=8, frameon=False, loc="upper left")


def _bootstrap(axes: Any, replicates: pd.DataFrame, errors: dict[str, Any], colour: str) -> None:
    values = replicates["(Intercept)"].to_numpy()
    centre, spread = float(values.mean()), float(values.std(ddof=1))
    grid = np.linspace(centre - 4 * spread, centre + 4 * spread, 400)
    axes.hist(
        values,
        bins=60,
        range=(grid[0], grid[-1]),
        density=True,
        color=colour,
        alpha=0.3,
        label=f"bootstrap, standard deviation {spread:.4g}",
    )
    top = 1.6 * norm.pdf(0.0, scale=spread)
    for name, (coef, line, dashes) in errors.items():
        estimate, error = coef.loc["(Intercept)", ["estimate", "std_error"]]
        axes.plot(
            grid,
            norm.pdf(grid, estimate, error),
            dashes,
            color=line,
            label=f"{name}, standard error {error:.4g}",
        )
    axes.set(ylim=(0, top), yticks=[], ylabel="density")
    axes.legend(fontsize=8, frameon=False, loc="upper left", handlelength=1.4)
