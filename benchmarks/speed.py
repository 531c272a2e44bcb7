"""Compare the speed with R's, in one run on one core.

    python benchmarks/speed.py [CASE ...] [--nsim 10000]

Times are processor times, which other work on the machine hardly changes. R measures its own
(`system.time`, once). Python's are medians of five. This script is not a test.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import pandas as pd

from rparity import bootmer, lmer, paths, pbmodcomp, recordings
from rparity.cases import case
from rparity.cases.base import Lmer
from rparity.r.session import RSession
from rparity.tables import decode_factors

# The smaller model of a parametric bootstrap test, and the number of replicates.
SMALLER = {"sleepstudy": "Reaction ~ 1 + (Days | Subject)"}
TEST_NSIM = 1_000
CASES = ("document", "sleepstudy", "penicillin", "insteval")
# How often a fit is repeated. InstEval has no bootstrap, because R would take hours for it.
REPEATS = {"insteval": 1}
WITHOUT_BOOTSTRAP = ("insteval",)


def of_children() -> float:
    """Return the processor time of processes that this one has started, and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def median_seconds(
    work: Callable[[], object],
    repeats: int = 5,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return the median seconds of `repeats` runs, after one run that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = clock()
        work()
        times.append(clock() - begin)
    return statistics.median(times)


def model(name: str) -> tuple[pd.DataFrame, str]:
    """Return the data and the formula of a case."""
    chosen = case(name)
    recording = recordings.read(paths.fixtures(), name, chosen.scripts())
    data = decode_factors(recording.tables["data"], recording.provenance["levels"])
    return data, next(part.formula for part in chosen.parts if isinstance(part, Lmer))


def compare(name: str, nsim: int, session: RSession) -> None:
    """Time one case on both sides and print the ratios."""
    data, formula = model(name)
    repeats = REPEATS.get(name, 20)
    nsim = 0 if name in WITHOUT_BOOTSTRAP else nsim
    r = session.call(
        Path(__file__).with_name("speed.R"),
        "speed",
        {"data": data, "formula": formula, "repeats": repeats, "nsim": nsim},
        seed=1,
    ).value
    fit = lmer(formula, data)
    python = {
        "lmer": median_seconds(lambda: [lmer(formula, data) for _ in range(repeats)]) / repeats
    }
    if nsim:
        python["simulate_u"] = median_seconds(lambda: bootmer(fit, nsim, False, rng=1))
        python["fix_u"] = median_seconds(lambda: bootmer(fit, nsim, True, rng=1))
        for side in (r, python):
            side["both bootstraps"] = side["simulate_u"] + side["fix_u"]
    for what, seconds in python.items():
        label = what if what == "lmer" else f"{what}, {nsim} replicates"
        print(
            f"{name:12}{label:36}{r[what]:10.4f}{seconds:12.4f}{r[what] / seconds:8.0f}", flush=True
        )


def compare_df(name: str, session: RSession) -> None:
    """Time the degrees of freedom of all coefficients on both sides and print the ratios."""
    data, formula = model(name)
    r = session.call(
        Path(__file__).with_name("speed.R"),
        "degrees_of_freedom",
        {"data": data, "formula": formula},
    ).value
    # A fit keeps what a method has computed: each run needs a fit of its own.
    fits = iter([lmer(formula, data) for _ in range(2 * 6)])
    for method in ("satterthwaite", "kenward-roger"):
        seconds = median_seconds(lambda method=method: next(fits).ddf(method))
        print(f"{name:12}{method:36}{r[method]:10.4f}{seconds:12.4f}{r[method] / seconds:8.0f}")


def compare_test(name: str, session: RSession) -> None:
    """Time a parametric bootstrap test on both sides and print the ratio."""
    data, formula = model(name)
    smaller = SMALLER[name]
    question = {"data": data, "large": formula, "small": smaller, "nsim": TEST_NSIM}
    r = session.call(Path(__file__).with_name("speed.R"), "bootstrap_test", question, seed=1).value
    large, small = (lmer(each, data, REML=False) for each in (formula, smaller))
    seconds = median_seconds(lambda: pbmodcomp(large, small, TEST_NSIM, rng=1))
    label = f"PBmodcomp, {TEST_NSIM} replicates"
    print(f"{name:12}{label:36}{r:10.4f}{seconds:12.4f}{r / seconds:8.0f}", flush=True)


def main() -> None:
    """Time the cases of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--nsim", type=int, default=10_000)
    options = parser.parse_args()
    print(f"{'':48}{'R, s':>10}{'Python, s':>12}{'ratio':>8}")
    with RSession() as session:
        for name in options.cases:
            compare(name, options.nsim, session)
        for name in options.cases:
            if name not in WITHOUT_BOOTSTRAP:  # pbkrtest needs an n × n matrix
                compare_df(name, session)
        for name in options.cases:
            if name in SMALLER:
                compare_test(name, session)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MiB")
    for command in (("run", "document"), ("--help",)):
        seconds = median_seconds(
            lambda command=command: subprocess.run(
                [sys.executable, "-m", "rparity.cli", *command],
                check=True,
                stdout=subprocess.DEVNULL,
            ),
            clock=of_children,
        )
        print(f"{'rparity ' + ' '.join(command):58}{seconds:12.4f}")


if __name__ == "__main__":
    main()
