"""Measure fits of large designs: processor time and peak memory, each in a process of its own.

    python benchmarks/large.py [DESIGN ...] [--r]

Processor time (`time.process_time`) is measured, because other work on the machine hardly changes
it, and the smallest of up to three fits counts, of which more are begun for ten seconds. BLAS has
one thread. With --r, lme4 fits the same data in the same run, where it ends within minutes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
import pandas as pd

CROSSED = "y ~ x + (1 | a) + (1 | b)"


def respond(rng: np.random.Generator, **codes: np.ndarray) -> pd.DataFrame:
    """Draw a covariate and a response with an effect of size one for each level of each factor."""
    n = len(next(iter(codes.values())))
    x = rng.normal(size=n)
    y = 1.0 + x + rng.normal(size=n)
    for code in codes.values():
        y += rng.normal(size=code.max() + 1)[code]
    return pd.DataFrame({"y": y, "x": x} | {k: pd.Categorical(v) for k, v in codes.items()})


def crossed(a: int, b: int, n: int) -> pd.DataFrame:
    """Levels of both factors drawn at random for each row."""
    rng = np.random.default_rng(1)
    return respond(rng, a=rng.integers(0, a, n), b=rng.integers(0, b, n))


def nested(levels: int, rows: int) -> pd.DataFrame:
    """Nearly nested: most levels of b stay with one of a, some move to a neighbour or anywhere."""
    rng = np.random.default_rng(1)
    b = np.repeat(np.arange(levels), rows)
    n = len(b)
    near = rng.integers(0, levels // 50, levels) * 50  # a place for each level of b
    a = near[b] + np.where(rng.random(n) < 0.1, rng.integers(0, 50, n), b % 50)
    return respond(rng, a=np.unique(a % levels, return_inverse=True)[1], b=b)


def neighbours(levels: int, rows: int) -> pd.DataFrame:
    """Each level of b meets one to three levels of a, of which one is shared with the next."""
    rng = np.random.default_rng(1)
    b = np.repeat(np.arange(levels), rows)
    meets = 1 + rng.integers(0, 3, levels)
    a = np.minimum(b + (rng.random(len(b)) * meets[b]).astype(int), levels - 1)
    return respond(rng, a=np.unique(a, return_inverse=True)[1], b=b)


def ratings(users: int, films: int, n: int) -> pd.DataFrame:
    """Ratings with popular films and busy users: both numbers of ratings have long tails."""
    rng = np.random.default_rng(1)

    def pick(levels: int) -> np.ndarray:
        share = rng.lognormal(0.0, 1.0, levels)
        return rng.choice(levels, n, p=share / share.sum())

    codes = [np.unique(pick(levels), return_inverse=True)[1] for levels in (users, films)]
    return respond(rng, a=codes[0], b=codes[1])


def one_factor(groups: int, n: int) -> pd.DataFrame:
    """One factor with unequal groups, and an effect of the covariate for each."""
    rng = np.random.default_rng(1)
    data = respond(rng, a=np.sort(rng.integers(0, groups, n)))
    data["y"] += 0.5 * data["x"] * rng.normal(size=groups)[data["a"].cat.codes]
    return data


def insteval() -> pd.DataFrame:
    """The data of the recorded case."""
    from rparity import paths, recordings
    from rparity.cases import case
    from rparity.tables import decode_factors

    recording = recordings.read(paths.fixtures(), "insteval", case("insteval").scripts())
    return decode_factors(recording.tables["data"], recording.provenance["levels"])


def slopes(groups: int, rows: int) -> pd.DataFrame:
    """Five covariates, each with an effect of its own in each group."""
    rng = np.random.default_rng(1)
    a = np.repeat(np.arange(groups), rows)
    X = rng.normal(size=(len(a), 5))
    y = (X * (1.0 + 0.5 * rng.normal(size=(groups, 5))[a])).sum(axis=1)
    y += rng.normal(size=groups)[a] + rng.normal(size=len(a))
    columns = {f"x{i}": x for i, x in enumerate(X.T, start=1)}
    return pd.DataFrame({"y": y, "a": pd.Categorical(a)} | columns)


INSTEVAL = "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"
FIVE = "x1 + x2 + x3 + x4 + x5"
DESIGNS: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "crossed-1000": (CROSSED, lambda: crossed(1000, 1000, 30_000)),
    "crossed-2000": (CROSSED, lambda: crossed(2000, 2000, 60_000)),
    "crossed-5000": (CROSSED, lambda: crossed(5000, 5000, 200_000)),
    "crossed-10000": (CROSSED, lambda: crossed(10_000, 10_000, 500_000)),
    "nearly-nested": (CROSSED, lambda: neighbours(20_000, 5)),
    "movers": (CROSSED, lambda: nested(20_000, 5)),
    "movielens": (CROSSED, lambda: ratings(943, 1682, 100_000)),
    "ratings": (CROSSED, lambda: ratings(6000, 4000, 1_000_000)),
    "insteval": (INSTEVAL, insteval),
    "studage": (INSTEVAL.replace("service", "service + studage", 1), insteval),
    "rows": ("y ~ x + (1 | a)", lambda: one_factor(1000, 1_000_000)),
    "slope": ("y ~ x + (x | a)", lambda: one_factor(1000, 1_000_000)),
    "slope-50000": ("y ~ x + (x | a)", lambda: one_factor(50_000, 1_000_000)),
    "five-slopes": (f"y ~ {FIVE} + ({FIVE} | a)", lambda: slopes(300, 20)),
}
# Designs on which lme4 ends within some minutes.
WITH_R = (
    "crossed-1000",
    "crossed-2000",
    "nearly-nested",
    "insteval",
    "studage",
    "rows",
    "slope",
    "five-slopes",
)
# The most fits of one design, and the seconds after which no more are begun.
FITS, ENOUGH = 3, 10.0


def smallest(measure: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """Return the smallest seconds of some fits, and the criterion."""
    begin, found = time.monotonic(), []
    while len(found) < FITS and (not found or time.monotonic() - begin < ENOUGH):
        found.append(measure())
    return min(found)


def fit(name: str) -> None:
    """Fit one design in this process, and print its line."""
    from rparity import lmer

    formula, draw = DESIGNS[name]
    data = draw()

    def measure() -> tuple[float, float]:
        begin = time.process_time()
        criterion = lmer(formula, data).criterion
        return time.process_time() - begin, criterion

    seconds, criterion = smallest(measure)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:16}{'rparity':10}{seconds:10.2f} s{peak:8.2f} GiB  {criterion:.9f}", flush=True)


def fit_r(name: str) -> None:
    """Fit one design with lme4, and print its line: the processor time is R's own."""
    from rparity.r.session import RSession

    formula, draw = DESIGNS[name]
    script, question = Path(__file__).with_name("speed.R"), {"data": draw(), "formula": formula}
    with RSession() as session:

        def measure() -> tuple[float, float]:
            found = session.call(script, "processor_time", question).value
            return found["seconds"], found["criterion"]

        seconds, criterion = smallest(measure)
    print(f"{name:16}{'lme4':10}{seconds:10.2f} s{'':14}{criterion:.9f}", flush=True)


def main() -> None:
    """Fit the designs of the command line, each in a new process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("designs", nargs="*", default=list(DESIGNS))
    parser.add_argument("--r", action="store_true", help="also fit with lme4")
    parser.add_argument("--one", choices=("rparity", "lme4"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        {"rparity": fit, "lme4": fit_r}[options.one](options.designs[0])
        return
    for name in options.designs:
        for engine in ("rparity", "lme4") if options.r and name in WITH_R else ("rparity",):
            subprocess.run([sys.executable, __file__, name, "--one", engine], check=True)


if __name__ == "__main__":
    main()
