"""Hard numerics: beside the arbiter's values, this package has at least as many digits as R."""

from __future__ import annotations

import pandas as pd
import pytest

from few import mostly_slow
from planted import audit_case, found, proven
from rparity import paths
from rparity.cases.hard import HARD, PARTS
from rparity.compare import digits
from rparity.engines import kept_answers
from rparity.engines.native import lmer_tables

NAMES = [part["name"] for part in PARTS]
SHIFTED = "lmer_shifted"


def of_lme4() -> dict[str, pd.DataFrame]:
    question = audit_case("hard").question
    return dict(kept_answers.read(paths.fixtures(), "lme4-tight", question)[0].tables)


def fewest(table: pd.DataFrame, name: str) -> float:
    exact = proven("hard")[name]
    return float(digits(table.reindex_like(exact), exact)[exact != 0.0].min())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["coef", "theta", "glance"])
def test_there_are_at_least_as_many_digits_as_in_r(name: str, kind: str) -> None:
    model = next(part for part in HARD.parts if part.name == name)
    ours = lmer_tables(audit_case("hard").context.lmer(model), (kind,))[kind]
    mine, of_r = (fewest(table, f"{name}.{kind}") for table in (ours, of_lme4()[f"{name}.{kind}"]))
    assert mine >= min(of_r, 12.0)
    # A condition of 2.4e6, times the rounding of a double and a factor of 30.
    assert mine >= 7.7


@pytest.mark.parametrize(
    "name",
    mostly_slow(NAMES[:3], lambda name: name == NAMES[0], "perturbs one more case"),
)
def test_rounding_of_the_normal_equations_explains_r(name: str) -> None:
    assert "normal equations" in found("hard", {f: t for f, t in of_lme4().items() if name in f})


def test_a_wrong_coefficient_is_not_explained_by_the_normal_equations() -> None:
    answer = {table: t for table, t in of_lme4().items() if table.startswith(SHIFTED)}
    coef = answer[f"{SHIFTED}.coef"].copy()
    coef.loc["shifted", "estimate"] *= 1.1
    causes = found("hard", answer | {f"{SHIFTED}.coef": coef})
    assert "" in causes


def test_every_part_is_recorded_under_its_condition() -> None:
    """R's loss is visible in the recording: it has fewer than 8 digits of θ."""
    for name in NAMES[:3]:
        assert fewest(of_lme4()[f"{name}.theta"], f"{name}.theta") < 8.0
