"""The case `study`: a hundred data sets of the study, drawn and answered by R as well."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd

from rparity.cases.base import EARLY, SPLINE, Call, Case, rule
from rparity.study.data_sets import StudyDesign, World

# The number in each world. R takes four seconds for one, most of them for the replicates.
DATASETS = 50
NSIM = 100
# The intervals that R's script computes; the others need more than lme4.
RECORDED = ("lm", "wald", "profile", "boot_simulate_u", "boot_fix_u")


def study_tables(
    world: World, nsim: int, versions: Mapping[str, str], datasets: int = DATASETS
) -> dict[str, pd.DataFrame]:
    """Compute in Python what `study()` of r_scripts/study.R returns for one world.

    Returns a table for each interval, with a row for each seed from 1 to `datasets` and a column
    `parameter.column` for each number of the interval.
    """
    # Only this function needs the estimators: `cases()` stays quick.
    from rparity.study.answers import COLUMNS, PARAMETERS, answer

    rows: dict[str, list[pd.Series[float]]] = {name: [] for name in RECORDED}
    seeds = range(1, datasets + 1)
    for seed in seeds:
        lme4 = versions.get("lme4")
        _, tables = answer(StudyDesign(), world, seed, nsim, lme4=lme4, intervals=RECORDED)
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
RULES = (
    rule("*.lm", "*", 1e-12, "both solve by QR; what is left is rounding"),
    rule("*", "*.estimate", 1e-9, EARLY),
    rule("*.profile", "*", 1e-6, SPLINE),
    rule("*.wald", "*", 1e-6, EARLY),
    rule("*.boot_*", "*", 1e-6, f"{EARLY}, in each of the refits"),
)

STUDY = Case(
    name="study",
    title="The question asked of a hundred data sets: fifty whose lines stay, fifty of new lines",
    script="study.R",
    function="study",
    seed=1,
    nsim=NSIM,
    parts=tuple(
        Call(world.value, RECORDED, python=partial(study_tables, world)) for world in World
    ),
    rules=RULES,
    engines=("rparity",),
    arguments=lambda nsim: {"seeds": [*range(1, DATASETS + 1)], "nsim": nsim},
)
