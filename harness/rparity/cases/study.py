"""A hundred data sets of the study, answered by R too: the same data, the same draws."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd

from rparity.cases.base import Call, Case, Rule
from rparity.compare import Tolerance
from rparity.study.answers import COLUMNS, INTERVALS, PARAMETERS, answer
from rparity.study.data_sets import StudyDesign, World

# In each world. R takes four seconds for a data set, most of it for the replicates.
DATASETS = 50
NSIM = 100


def study_tables(
    world: World, nsim: int, versions: Mapping[str, str], datasets: int = DATASETS
) -> dict[str, pd.DataFrame]:
    """Return what `study()` of r_scripts/study.R returns of a world, from this package.

    A table for each interval: a row for each seed from 1 to `datasets`, and a column
    `parameter.column` for each number that the interval has.
    """
    rows: dict[str, list[pd.Series[float]]] = {name: [] for name in INTERVALS}
    seeds = range(1, datasets + 1)
    for seed in seeds:
        _, tables = answer(StudyDesign(), world, seed, nsim, lme4=versions.get("lme4"))
        for name, table in tables.items():
            rows[name].append(pd.Series(table.to_numpy().ravel()))
    columns = [f"{parameter}.{column}" for parameter in PARAMETERS for column in COLUMNS]
    names = [str(seed) for seed in seeds]
    found = {name: pd.DataFrame(of).set_axis(names) for name, of in rows.items()}
    return {
        name: table.set_axis(columns, axis=1).dropna(axis=1, how="all")
        for name, table in found.items()
    }


# Measured with R 4.2.2 and lme4 1.1-31 and rounded up to a figure of 1, 2 or 5.
STOPS_EARLY = "R's optimizer stops early: nloptr's xtol_rel of 1e-4, which lme4 does not set"
RULES = (
    Rule("*.lm", "*", Tolerance(1e-12, "both solve by QR; what is left is rounding")),
    Rule("*", "*.estimate", Tolerance(1e-9, STOPS_EARLY)),
    Rule(
        "*.profile",
        "*",
        Tolerance(1e-6, "lme4 reads the interval off a spline through its profile"),
    ),
    Rule("*.wald", "*", Tolerance(1e-6, STOPS_EARLY)),
    Rule("*.boot_*", "*", Tolerance(1e-6, f"{STOPS_EARLY}, in each of the refits")),
)

STUDY = Case(
    name="study",
    title="The question asked of a hundred data sets: fifty whose lines stay, fifty of new lines",
    script="study.R",
    function="study",
    seed=1,
    nsim=NSIM,
    parts=tuple(
        Call(world.value, tuple(INTERVALS), python=partial(study_tables, world)) for world in World
    ),
    rules=RULES,
    engines=("rparity",),
    arguments=lambda nsim: {"seeds": [*range(1, DATASETS + 1)], "nsim": nsim},
)
