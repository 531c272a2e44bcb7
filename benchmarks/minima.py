"""Count the fits of small designs that end in a minimum that is not the lowest.

    python benchmarks/minima.py [--designs 5000] [--seed 1] [--fuzz | --slopes] [--starts 200]
                                [--minutes 60]

Each random design has 10 to 60 rows, 3 to 8 groups and one to three random terms, some with
slopes, variances of zero or outliers. With `--fuzz` the designs are those of `rparity fuzz` that
have at most 80 rows. With `--slopes` each has the one random term (x | g), for which several
minima are most frequent. Models that fit any response exactly are left out.

If the random effects are independent, `fit.lower_bound()` may prove that there is no lower
minimum. Otherwise it is sought by brute force: `--starts` more searches from random points. A fit
is worse if its criterion is above the lowest one by more than 1e-6.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from rparity.errors import RparityError
from rparity.fuzz import draw
from rparity.fuzz.design import Covariate, Design, FixedFactor, Grouping
from rparity.fuzz.problem import Problem
from rparity.lmm.fit import LmerResults
from rparity.lmm.solver.model import MixedModel, NoResidualError

RATIOS = (0.0, 0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0, 1e4)
WORSE = 1e-6
ROWS = 80  # the most for designs of `rparity fuzz`
PROVABLE = 3  # most variances for which a proof takes less time than brute force
FAR = 1e5


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


def with_slopes(made: Design, number: int) -> Design:
    """Return the design with one random term, (x1 | g1)."""
    between = bool(np.random.default_rng([77, number]).random() < 0.2)
    return replace(
        made,
        groupings=(replace(made.groupings[0], slope="correlated"),),
        covariates=made.covariates[:1] or (Covariate(between=between),),
    )


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


def lowest_known(fit: LmerResults, starts: int, seed: int) -> tuple[float, bool]:
    """Return the lowest criterion that is known for a fitted model, and whether it is proven."""
    model = fit.model
    if model.template.m == model.template.k <= PROVABLE:
        found = fit.lower_bound(WORSE / 10.0)
        if found.lowest - found.bound <= WORSE:
            return found.lowest, True
    theta = scattered(model, starts, np.random.default_rng(seed))
    start = theta @ model.working.W_inverse.T
    with np.errstate(all="ignore"):
        found = model.solve(fit.moments.repeated(starts), reml=fit.reml, start=start, one=True)
    if np.abs(found.theta @ model.working.W.T).max() > FAR:
        return fit.criterion, False  # there rounding decides
    return min(float(found.criterion[0]), fit.criterion), False


def main() -> None:
    """Print the designs whose fit is not the lowest, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--designs", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first design")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fuzz", action="store_true", help="designs of `rparity fuzz`")
    parser.add_argument("--slopes", action="store_true", help="one random term (x | g)")
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so long")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    end = time.monotonic() + 60.0 * options.minutes
    count, spent = Counter(), Counter()
    for number in range(options.first, options.first + options.designs):
        if time.monotonic() > end:
            break
        if options.fuzz:
            made, outliers = draw.design(options.seed, number), 0
        else:
            made, outliers = design(options.seed, number)
        if options.slopes:
            made = with_slopes(made, number)
        if made.rows > ROWS:
            continue
        problem = Problem(made.part(), data(made, outliers))
        model = problem.model
        if isinstance(model, str) or problem.saturated:
            continue
        begin = time.process_time()
        try:
            fit = LmerResults.fit(model, model.matrices.y, reml=made.reml)
            seconds = time.process_time() - begin
            lowest, proven = lowest_known(fit, options.starts, made.seed)
        except (RparityError, NoResidualError, np.linalg.LinAlgError):
            continue
        m = model.template.m
        spent[m] += seconds
        count[m, "fits"] += 1
        count[m, "proven"] += proven
        if not fit.criterion <= lowest + WORSE:
            count[m, "worse"] += 1
            print(
                f"Design {number} is above the lowest minimum by {fit.criterion - lowest:.3g}, "
                f"converged {fit.converged}: {made.formula}",
                flush=True,
            )
    for m in sorted(spent):
        fits, proven, worse = (count[m, what] for what in ("fits", "proven", "worse"))
        each = 1e3 * spent[m] / fits
        print(f"m = {m}: {fits} fits of {each:.1f} ms, {proven} proven, {worse} worse")
    total = {
        what: sum(n for (_, w), n in count.items() if w == what)
        for what in ("fits", "proven", "worse")
    }
    print("{fits} fits, {proven} proven to be the lowest, {worse} worse".format(**total))


if __name__ == "__main__":
    main()
