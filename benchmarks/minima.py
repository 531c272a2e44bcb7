"""Count the fits of small designs that end in a minimum that is not the lowest.

    python benchmarks/minima.py [--designs 5000] [--seed 1] [--starts 200] [--minutes 60]

Each random design has 10 to 60 rows, 3 to 8 groups and one to three random terms, some with
slopes, variances of zero or outliers. The lowest minimum is sought by brute force: `--starts` more
searches from random points. A fit is worse if its criterion is above the lowest one by more than
1e-6.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter

import numpy as np
import pandas as pd

from rparity.errors import RparityError
from rparity.fuzz.design import Covariate, Design, FixedFactor, Grouping
from rparity.fuzz.problem import Problem
from rparity.lmm.solver.model import MixedModel, NoResidualError
from rparity.lmm.solver.optimum import optimum

RATIOS = (0.0, 0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0, 1e4)
WORSE = 1e-6


def design(seed: int, number: int) -> tuple[Design, int]:
    """Return a random small design, and its number of outliers."""
    rng = np.random.default_rng([seed, number])

    def one_of(*values):
        return values[rng.integers(len(values))]

    groups = rng.integers(3, 9)
    most = max(2, 60 // groups)
    sizes = (
        rng.integers(1, most + 1, groups)
        if one_of(True, False)
        else [one_of(2, 3, 5, most)] * groups
    )
    sizes = np.array(sizes)
    while sizes.sum() < 10:
        sizes += 1
    groupings = tuple(
        Grouping(
            ratio=one_of(*RATIOS),
            slope=one_of("none", "none", "correlated", "uncorrelated"),
            correlation=one_of(0.0, 0.5, -0.9, 1.0),
            place=one_of("nested", "in turn", "at random"),
            levels=int(rng.integers(2, 9)),
        )
        for _ in range(one_of(1, 1, 2, 2, 3))
    )
    covariates = tuple(
        Covariate(0, one_of(0.0, 0.0, 1.0, 10.0, 1e3), 0, one_of(False, False, False, True))
        for _ in range(one_of(0, 1, 1, 2))
    )
    factors = tuple(FixedFactor(int(rng.integers(2, 4))) for _ in range(one_of(0, 0, 1)))
    made = Design(
        sizes=tuple(int(size) for size in sizes),
        groupings=groupings,
        covariates=covariates,
        factors=factors,
        weights=one_of(None, None, None, 1.0),
        reml=one_of(True, False),
        seed=int(rng.integers(2**31)),
    )
    return made, one_of(0, 0, 1, 3)


def data(made: Design, outliers: int) -> pd.DataFrame:
    """Return the data of a design, with outliers of 3 to 300 standard deviations."""
    frame, rng = made.data(), np.random.default_rng([made.seed, 77])
    rows = rng.integers(0, len(frame), outliers)
    frame.loc[rows, "y"] += (
        rng.choice([-1.0, 1.0], outliers) * 3.0 * 10.0 ** rng.uniform(0.0, 2.0, outliers)
    )
    return frame


def scattered(model: MixedModel, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random θ in working coordinates, (count, m), a quarter of the deviations tiny."""
    template = model.template
    on = template.diagonal
    deviations = 10.0 ** rng.uniform(-2.5, 3.5, (count, template.k))
    deviations[rng.random(deviations.shape) < 0.25] = 3e-3
    theta = deviations[:, template.cols]
    return np.where(on, theta, rng.uniform(-3.0, 3.0, theta.shape) * deviations[:, template.rows])


def gap(made: Design, outliers: int, starts: int) -> tuple[float, int, float, bool] | None:
    """Return how far a fit is above the lowest minimum, its m, its time and whether it converged.

    Returns None if the model cannot be fitted.
    """
    problem = Problem(made.part(), data(made, outliers))
    model = problem.model
    if isinstance(model, str) or problem.saturated:
        return None
    begin = time.process_time()
    try:
        reference, found = optimum(model, model.matrices.y, reml=made.reml)
    except RparityError:
        return None
    spent = time.process_time() - begin
    deviations = model.deviations(model.matrices.y, reference)
    many = model.structure.moments(deviations[:, None]).repeated(starts)
    theta = scattered(model, starts, np.random.default_rng(made.seed))
    start = theta @ model.working.W_inverse.T
    try:
        with np.errstate(all="ignore"):
            lowest = model.solve(many, reml=made.reml, start=start, one=True)
    except (np.linalg.LinAlgError, NoResidualError):
        return None
    above = float(found.criterion[0] - lowest.criterion[0])
    return above, model.template.m, spent, bool(found.converged[0])


def main() -> None:
    """Print the designs whose fit is not the lowest, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--designs", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first design")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so long")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    end = time.monotonic() + 60.0 * options.minutes
    fits, worse, spent, refused = Counter(), Counter(), Counter(), 0
    for number in range(options.first, options.first + options.designs):
        if time.monotonic() > end:
            break
        made, outliers = design(options.seed, number)
        found = gap(made, outliers, options.starts)
        if found is None:
            refused += 1
            continue
        above, m, seconds, converged = found
        fits[m] += 1
        spent[m] += seconds
        if not above <= WORSE:
            worse[m] += 1
            print(
                f"{number}: above by {above:.3g}, m = {m}, converged {converged}: {made.formula}",
                flush=True,
            )
    print(f"{fits.total()} fits, {worse.total()} worse; {refused} designs could not be fitted")
    for m in sorted(fits):
        print(f"m = {m}: {fits[m]} fits, {worse[m]} worse, {1e3 * spent[m] / fits[m]:.1f} ms each")


if __name__ == "__main__":
    main()
