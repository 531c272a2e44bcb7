"""Measure how the time of a fit grows with rows, groups and replicates, and draw docs/growth.png.

    python benchmarks/growth.py [-o docs/growth.png]

One core, medians of three. The model is y ~ x + (x | g), with groups of unequal sizes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from speed import median_seconds

from rparity import bootmer, lmer

FORMULA = "y ~ x + (x | g)"


def design(rows: int, groups: int) -> pd.DataFrame:
    """Draw groups of sizes 1 : 2 : 3, at least two rows each."""
    rng = np.random.default_rng(1)
    share = np.resize([1.0, 2.0, 3.0], groups)
    g = np.repeat(np.arange(groups), np.maximum(2, (rows * share / share.sum()).astype(int)))
    x = rng.normal(size=len(g))
    u, v = rng.normal(size=(2, groups))
    y = 1.0 + x + u[g] + 0.5 * v[g] * x + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": pd.Categorical(g)})


def fit_seconds(data: pd.DataFrame) -> float:
    """Median seconds of a whole `lmer` call."""
    return median_seconds(lambda: lmer(FORMULA, data), 3)


def main() -> None:
    """Time and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", type=Path, default=Path("docs/growth.png"))
    target = parser.parse_args().o
    fit = lmer(FORMULA, design(200, 20))
    sweeps = {
        "rows (20 groups)": {
            n: fit_seconds(design(n, 20)) for n in (100, 1000, 10_000, 100_000, 1_000_000)
        },
        "groups (20 rows each)": {
            n: fit_seconds(design(20 * n, n)) for n in (10, 100, 1000, 10_000)
        },
        "replicates (200 rows, 20 groups)": {
            n: median_seconds(lambda n=n: bootmer(fit, n, rng=1), 3)
            for n in (10, 100, 1000, 10_000, 100_000)
        },
    }
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (label, times) in zip(
        figure.subplots(1, 3, sharey=True), sweeps.items(), strict=True
    ):
        axes.loglog(list(times), list(times.values()), "o-", color="#2c6fb5")
        axes.set(xlabel=label)
        axes.grid(alpha=0.3)
        for size, seconds in times.items():
            print(f"{label:36}{size:>10}{seconds:12.4f} s")
    figure.axes[0].set_ylabel("seconds, one core")
    figure.suptitle(FORMULA)
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    main()
