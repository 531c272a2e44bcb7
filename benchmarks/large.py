"""Measure fits of large designs: processor time and peak memory, each in a process of its own.

    python benchmarks/large.py [DESIGN ...] [--r]

Processor time (`time.process_time`) is measured, because other work on the machine hardly changes
it. BLAS has one thread. With --r, lme4 fits the same data in the same run, where it takes minutes.
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


INSTEVAL = "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"
DESIGNS: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "crossed-2000": (CROSSED, lambda: crossed(2000, 2000, 60_000)),
    "crossed-5000": (CROSSED, lambda: crossed(5000, 5000, 200_000)),
    "crossed-10000": (CROSSED, lambda: crossed(10_000, 10_000, 500_000)),
    "nearly-nested": (CROSSED, lambda: neighbours(20_000, 5)),
    "movers": (CROSSED, lambda: nested(20_000, 5)),
    "ratings": (CROSSED, lambda: ratings(6000, 4000, 1_000_000)),
    "insteval": (INSTEVAL, insteval),
    "rows": ("y ~ x + (1 | a)", lambda: one_factor(1000, 1_000_000)),
    "slope": ("y ~ x + (x | a)", lambda: one_factor(1000, 1_000_000)),
}
# Designs on which lme4 ends within some minutes.
WITH_R = ("crossed-2000", "nearly-nested", "insteval", "rows", "slope")


def fit(name: str) -> None:
    """Fit one design in this process, and print its line."""
    from rparity import lmer

    formula, draw = DESIGNS[name]
    data = draw()
    begin = time.process_time()
    found = lmer(formula, data)
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:16}{'rparity':10}{seconds:10.2f} s{peak:8.2f} GiB  {found.criterion:.9f}")


def fit_r(name: str) -> None:
    """Fit one design with lme4, and print its line: the processor time is R's own."""
    from rparity.r.session import RSession

    formula, draw = DESIGNS[name]
    with RSession() as session:
        found = session.call(
            Path(__file__).with_name("speed.R"),
            "processor_time",
            {"data": draw(), "formula": formula},
        ).value
    print(f"{name:16}{'lme4':10}{found['seconds']:10.2f} s{'':14}{found['criterion']:.9f}")


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
