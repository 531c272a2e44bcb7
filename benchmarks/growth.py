"""Measure how time and memory of a fit grow with its size, and draw docs/growth.png.

    python benchmarks/growth.py [-o docs/growth.png]

One core. Three kinds of designs: one factor with random slopes, two crossed factors, and one
factor nearly nested in another. Each fit runs in a process of its own, which gives its processor
time and its peak memory, less the memory before the fit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from large import CROSSED, crossed, neighbours, one_factor
from matplotlib.figure import Figure

# For each kind: the formula, the design of a size in rows, and the sizes.
KINDS = {
    "one factor": ("y ~ x + (x | a)", lambda n: one_factor(max(10, n // 100), n)),
    "crossed": (CROSSED, lambda n: crossed(n // 30, n // 30, n)),
    "nearly nested": (CROSSED, lambda n: neighbours(n // 5, 5)),
}
SIZES = {
    "one factor": (3000, 10_000, 100_000, 1_000_000),
    "crossed": (3000, 10_000, 30_000, 60_000),
    "nearly nested": (3000, 10_000, 30_000, 100_000),
}
WARM_UP = 2000  # rows of a first fit, which imports what the others need
COLOURS = {"one factor": "#2c6fb5", "crossed": "#c44e52", "nearly nested": "#3a923a"}
MIB = 1024  # KiB, the unit of ru_maxrss


def peak() -> float:
    """Return the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def one(kind: str, rows: int) -> None:
    """Fit a design in this process, and print seconds and MiB."""
    from rparity import lmer

    formula, draw = KINDS[kind]
    lmer(formula, draw(WARM_UP))
    data = draw(rows)
    before, begin = peak(), time.process_time()
    lmer(formula, data)
    print(json.dumps([time.process_time() - begin, max(peak() - before, 1.0)]))


def measured(kind: str, rows: int) -> tuple[float, float]:
    """Return the seconds and the MiB of a fit in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", kind, str(rows)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind:16}{rows:>10} rows{seconds:12.3f} s{memory:10.0f} MiB", flush=True)
    return seconds, memory


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", type=Path, default=Path("docs/growth.png"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], int(options.one[1]))
        return
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for kind, sizes in SIZES.items():
        seconds, memory = zip(*(measured(kind, rows) for rows in sizes), strict=True)
        for axes, values in ((time_axes, seconds), (memory_axes, memory)):
            axes.loglog(sizes, values, "o-", color=COLOURS[kind], label=f"{kind}, {KINDS[kind][0]}")
    for axes, label in ((time_axes, "processor time, s"), (memory_axes, "memory of the fit, MiB")):
        axes.set(xlabel="rows", ylabel=label)
        axes.grid(alpha=0.3)
    handles, labels = time_axes.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=3, loc="outside lower center")
    figure.savefig(options.o, dpi=120)


if __name__ == "__main__":
    main()
