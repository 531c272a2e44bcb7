"""Speed beside R: both sides in one run on one core, as ratios.

    python benchmarks/speed.py [--nsim 10000]

R's times are R's own (`system.time`), Python's the median of five. Whole processes are timed from
outside. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

from harness import bootmer, document_data, lmer, paths
from harness.rsession import RSession


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def process(*command: str) -> Callable[[], object]:
    return lambda: subprocess.run(
        [sys.executable, "-m", "harness.cli", *command], check=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nsim", type=int, default=10_000)
    nsim = parser.parse_args().nsim

    scripts = paths.r_scripts()
    with RSession() as session:
        r = session.call(
            Path(__file__).with_name("speed.R"),
            "speed",
            {"nsim": nsim},
            libraries=[scripts / "tables.R", scripts / "document.R"],
            seed=1,
        ).value
    data = document_data(1)
    fit = lmer("y ~ x + (1 | p)", data)
    python = {
        "lmer": median_seconds(lambda: [lmer("y ~ x + (1 | p)", data) for _ in range(20)]) / 20,
        "simulate_u": median_seconds(lambda: bootmer(fit, nsim, False, rng=1)),
        "fix_u": median_seconds(lambda: bootmer(fit, nsim, True, rng=1)),
    }
    labels = {
        "lmer": "lmer, the document",
        "simulate_u": f"bootMer, use.u = FALSE, {nsim} replicates",
        "fix_u": f"bootMer, use.u = TRUE, {nsim} replicates",
    }
    print(f"{'':45}{'R, s':>10}{'Python, s':>12}{'ratio':>8}")
    for key, label in labels.items():
        print(f"{label:45}{r[key]:10.4f}{python[key]:12.4f}{r[key] / python[key]:8.0f}")
    both_r, both = (side["simulate_u"] + side["fix_u"] for side in (r, python))
    print(f"{'both bootstraps':45}{both_r:10.4f}{both:12.4f}{both_r / both:8.0f}")
    print()
    for command in (("run", "document"), ("--help",)):
        print(
            f"{'rparity ' + ' '.join(command):45}{'':10}{median_seconds(process(*command)):12.4f}"
        )


if __name__ == "__main__":
    main()
