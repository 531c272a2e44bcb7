"""Responses for new rows, and bootstraps of residuals, have R's draws."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest

from lmm_recorded import LME4, array
from mixed_recorded import MIXED, mixed_data, new_data
from places import ROOT
from rparity import RRandom, bootmer, lmer
from rparity.errors import DataError, UsageError
from rparity.lmm.fit import LmerResults

CROSSED = "y ~ x + (1 | g) + (1 | h)"


def fitted(query: dict) -> LmerResults:
    data = mixed_data()
    weights = query.get("weights") and data[query["weights"]]
    return lmer(query["formula"], data, weights=weights).at(array(query["theta"]))


def rows_of(query: dict) -> pd.DataFrame | None:
    return new_data().iloc[query["newdata"]] if query["newdata"] else None


def is_wrong_in_r(query: dict) -> bool:
    """Whether R takes another term's θ: it draws h alone, or first if that has more levels."""
    part = query["re_form"] == "~ (1 | g)"
    return (
        query["formula"] == CROSSED and not query["equal"] and (part or len(query["newdata"]) == 2)
    )


def label(query: dict) -> str:
    rows = "".join(map(str, query["newdata"])) or "own"
    return f"{query['formula']} re={query['re_form']} rows={rows} equal={query['equal']}"


@pytest.mark.parametrize(
    "query", [q for q in MIXED["simulations"] if not is_wrong_in_r(q)], ids=label
)
def test_simulated_responses_equal_those_of_r(query):
    check_simulated(query)


@pytest.mark.live
def test_simulated_responses_equal_those_that_r_draws_now():
    sources = "; ".join(f"source('r_scripts/{name}_reference.R')" for name in ("lmm", "mixed"))
    code = f"library(lme4); {sources}; cat(json(plain(simulations(mixed_frame(), new_rows()))))"
    command = ["Rscript", "--vanilla", "-e", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    queries = [q for q in json.loads(done.stdout) if not is_wrong_in_r(q)]
    assert [q["formula"] for q in queries] == [
        q["formula"] for q in MIXED["simulations"] if not is_wrong_in_r(q)
    ]
    for query in queries:
        check_simulated(query)


def check_simulated(query: dict) -> None:
    fit, stream = fitted(query), RRandom(31)
    form, new = query["re_form"], rows_of(query)
    levels = query["allow_new_levels"]

    def drawn() -> np.ndarray:
        more = {"newdata": new, "re_form": form, "allow_new_levels": levels}
        return fit.simulate(3, rng=stream, **more)

    if query["drawn"] is None:
        with pytest.raises(DataError, match="levels of 'g' that the data of the fit do not have"):
            drawn()
        return
    np.testing.assert_allclose(drawn(), np.array(query["drawn"]), rtol=1e-9, atol=1e-9)
    assert stream.runif(1)[0] == query["after"]


@pytest.mark.parametrize("query", [q for q in MIXED["simulations"] if is_wrong_in_r(q)], ids=label)
def test_r_takes_the_variance_of_another_term(query):
    """R takes θ from the first element on, in the order of the terms that it draws."""
    fit, new, form = fitted(query), rows_of(query), query["re_form"]
    ours = fit.simulate(3, rng=31, newdata=new, re_form=form)
    assert np.abs(ours - np.array(query["drawn"])).max() > 0.1
    fixed = fit.predict(new, re_form=form).to_numpy()[:, None]
    theta_g, theta_h = fit.theta_hat
    stream = RRandom(31)
    if new is None:  # h alone, with the θ of g
        codes, L = fit.model.matrices.random[1].codes, 4
        u = stream.rnorm(3 * L).reshape(3, L).T[codes]
        Zb, mine = theta_g * u, theta_h * u
    else:  # two levels of h come before one of g
        u = stream.rnorm(9).reshape(3, 3).T
        Zb, mine = theta_g * u[[1, 0]] + theta_h * u[2], theta_h * u[[1, 0]] + theta_g * u[2]
    e = stream.rnorm(3 * len(fixed)).reshape(3, -1).T
    np.testing.assert_allclose(fixed + fit.sigma * (Zb + e), np.array(query["drawn"]), rtol=1e-9)
    np.testing.assert_allclose(fixed + fit.sigma * (mine + e), ours, rtol=1e-12)


def test_the_rows_of_the_fit_as_new_rows_have_the_same_draws():
    data, form = mixed_data(), "y ~ x + (x | g) + (1 | h)"
    fit = lmer(form, data)
    usual = fit.simulate(4, rng=5)
    np.testing.assert_allclose(fit.simulate(4, rng=5, newdata=data), usual, rtol=1e-12)
    kept = fit.simulate(4, rng=5, use_u=True)
    np.testing.assert_array_equal(fit.simulate(4, rng=5, re_form=None), kept)
    np.testing.assert_allclose(fit.simulate(4, rng=5, re_form=None, newdata=data), kept, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"use_u": True, "re_form": None}, UsageError, "Give use_u=True or re_form=, not both"),
        ({"re_form": "~ (1 | g)"}, UsageError, "keeps whole terms, and re_form names a part"),
        ({"newdata": {"x": [1]}}, DataError, "newdata are a dict: convert"),
        ({"newdata": new_data()}, DataError, "'g' that the data of the fit do not have, first in"),
        ({"newdata": new_data().assign(x=np.nan)}, DataError, "`x` has 7 missing values"),
        ({"nsim": 0, "newdata": mixed_data()}, UsageError, "nsim must be a whole number"),
    ],
)
def test_simulations_that_are_refused(arguments, error, message):
    fit = lmer("y ~ x + (x | g)", mixed_data())
    with pytest.raises(error, match=message):
        fit.simulate(rng=1, **arguments)


def test_a_row_without_a_level_has_no_random_effect():
    """As in R, if new levels are allowed."""
    fit = lmer("y ~ x + (1 | g)", mixed_data())
    rows = new_data().iloc[[0, 2]]
    gap = rows.assign(g=[None, "a"])
    u, e = np.split(RRandom(3).rnorm(3), [1])
    effects = np.array([0.0, fit.theta_hat[0] * u[0]])
    expected = fit.predict(rows, include_random=False) + fit.sigma * (effects + e)
    found = fit.simulate(rng=3, newdata=gap, allow_new_levels=True)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    with pytest.raises(DataError, match="levels of 'g'"):
        fit.simulate(rng=3, newdata=gap)


def test_no_new_rows_have_no_responses():
    fit = lmer("y ~ x + (x | g)", mixed_data())
    assert fit.simulate(2, rng=1, newdata=mixed_data().iloc[:0]).shape == (0, 2)


def test_the_offset_of_new_rows_is_added():
    data = mixed_data()
    fit = lmer("y ~ x + (1 | g)", data, offset=np.arange(60.0))
    new = data.iloc[:5]
    more = fit.simulate(2, rng=1, newdata=new, offset=np.full(5, 100.0))
    np.testing.assert_allclose(
        more - 100.0, fit.simulate(2, rng=1, newdata=new, offset=np.zeros(5))
    )
    with pytest.raises(DataError, match="give the offset of newdata"):
        fit.simulate(rng=1, newdata=new)


@pytest.mark.parametrize("query", MIXED["semiparametric"], ids=lambda q: q["formula"])
def test_a_bootstrap_of_residuals_equals_that_of_r(query):
    fit = lmer(query["formula"], mixed_data(), lme4=LME4).at(array(query["theta"]))
    stream = RRandom(9)
    found = bootmer(fit, 6, use_u=True, type="semiparametric", rng=stream)
    np.testing.assert_allclose(found.t, np.array(query["t"]), rtol=1e-6)
    assert stream.runif(1)[0] == query["after"]


def test_a_bootstrap_of_residuals_in_parts_has_the_draws_of_the_whole(monkeypatch):
    from rparity.lmm.bootstrap import simulation

    monkeypatch.setattr(simulation, "BLOCK", 120)
    fit = lmer("y ~ x + (1 | g)", mixed_data())
    residuals = fit.resid.to_numpy()
    more = {"use_u": True, "residuals": residuals}
    whole = [e for _, e in simulation.Draws.of(fit.model, 9, rng=4, **more).blocks()]
    parts = simulation.Draws.of(fit.model, 9, rng=4, **more).split()
    again = [e for part in parts for _, e in part.blocks()]
    np.testing.assert_array_equal(np.hstack(again), np.hstack(whole))
    assert np.isin(np.hstack(whole), residuals).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "semiparametric"}, "needs use_u=True, as in R"),
        ({"type": "nonparametric"}, "type must be 'parametric' or 'semiparametric', and is"),
    ],
)
def test_bootstraps_that_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        bootmer(lmer("y ~ x + (1 | g)", mixed_data()), 2, rng=1, **arguments)
