"""The mixed models of lme4's data sets, at R's θ and at the optimum."""

from __future__ import annotations

from functools import cache

import pytest

from rparity import lmer, paths, recordings
from rparity.cases.base import Lmer
from rparity.cases.lme4 import CASES
from rparity.compare import digits
from rparity.lmm.fit import LmerResults
from rparity.tables import decode_factors


@cache
def recorded(name: str) -> recordings.Recording:
    case = next(case for case in CASES if case.name == name)
    return recordings.read(paths.fixtures(), name, case.scripts())


@cache
def fitted(name: str, formula: str, weights: str | None, reml: bool) -> LmerResults:
    recording = recorded(name)
    data = decode_factors(recording.tables["data"], recording.provenance["levels"])
    w = None if weights is None else data[weights]
    return lmer(formula, data, REML=reml, weights=w)


LARGE = pytest.mark.slow(reason="73,421 rows with three crossed factors")
FITS = [
    pytest.param(
        case,
        part,
        id=f"{case.name}-{part.name}",
        marks=[LARGE] if case.name == "insteval" else [],
    )
    for case in CASES
    for part in case.parts
    if isinstance(part, Lmer)
]


@pytest.mark.parametrize(("case", "part"), FITS)
def test_the_criterion_at_the_theta_of_r_equals_that_of_r_and_the_optimum_is_no_higher(
    case, part
) -> None:
    """Criteria at R's θ agree to 12 digits; the optimum found here is as low or lower."""
    recording = recorded(case.name)
    fit = fitted(case.name, part.formula, part.weights, part.reml)
    theirs = float(recording.tables[f"{part.name}.glance"].loc["1", "criterion"])
    at_theirs = fit.deviance_at(recording.tables[f"{part.name}.theta"]["value"])
    assert digits(at_theirs, theirs) >= 12
    assert fit.converged
    # They differ by rounding only if R's optimum is as good.
    assert fit.criterion <= at_theirs + 1e-13 * abs(theirs)
