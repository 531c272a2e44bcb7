"""`pbmodcomp` against pbkrtest's PBmodcomp: tests/data/pbmodcomp_reference.json.

Made by r_scripts/pbmodcomp_reference.R, which also writes the versions. R draws the responses from
the small model at R's own θ, which is recorded: other responses change a statistic to first order.
"""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest

import ddf_recorded
import rparity
from ddf_recorded import table
from few import mostly_slow
from lmm_recorded import LME4, array
from places import DATA
from rparity import RRandom
from rparity.errors import DataError, UsageError
from rparity.lmm.bootstrap import pbmodcomp as comparison
from rparity.lmm.bootstrap.pbmodcomp import BootstrapTest, pbmodcomp
from rparity.lmm.bootstrap.simulation import Draws
from rparity.lmm.fit import LmerResults

RECORDED = json.loads((DATA / "pbmodcomp_reference.json").read_text())
PAIRS = RECORDED["pairs"]
SETTINGS = ("default", "tight")
# Criteria of about 2000 have rounding errors of about 1e-12. A tight optimizer stops where its
# criterion is flat to rounding; the default one (xtol_rel = 1e-4) is off by about n (1e-4)².
ROUNDED, TIGHT, DEFAULT = 1e-10, 1e-8, 1e-5
# Statistics of responses that are drawn at the optimum, not at the θ of R's tight optimizer.
OWN = 1e-5


def label(pair: dict) -> str:
    return f"{pair['data']}: {pair['large']} against {pair['small']}"


def is_quick(pair: dict) -> bool:
    """Whether a pair is run under each Python: simple models, weights, ML, and small ones by lm."""
    return pair["data"] in ("document", "holes", "Pastes") or "|" not in pair["small"]


def parametrized(pairs: list[dict]) -> pytest.MarkDecorator:
    few = mostly_slow(pairs, is_quick, "the same claim about one more pair of models")
    return pytest.mark.parametrize("pair", few, ids=[label(pair) for pair in pairs])


every_pair = parametrized(PAIRS)
printed = [(pair, setting) for pair in PAIRS for setting in SETTINGS if "text" in pair[setting]]
every_summary = pytest.mark.parametrize(
    ("pair", "setting"),
    mostly_slow(printed, lambda each: is_quick(each[0]), "bootstraps one more pair of models"),
    ids=[f"{label(pair)}, {setting}" for pair, setting in printed],
)


def find(data: str, large: str, small: str) -> dict:
    (pair,) = (p for p in PAIRS if (p["data"], p["large"], p["small"]) == (data, large, small))
    return pair


# Without the pair whose slopes are fitted to data without any: there R mostly misses the optimum.
CLOSE = [pair for pair in PAIRS if ("|" in pair["large"]) == ("|" in pair["small"])]
DAYS = find("balanced", "Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (Days | Subject)")
SLOPES = find("balanced", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)")
VARIANCE = find(
    "balanced",
    "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
    "Reaction ~ Days + (1 | Subject)",
)
DOCUMENT = find("document", "y ~ x + (1 | p)", "y ~ 1 + (1 | p)")


@cache
def fits(index: int, lme4: str | None = None) -> tuple:
    """The large and the small fit."""
    pair = PAIRS[index]
    if pair["data"] == "assays":
        data = ddf_recorded.frame("Penicillin").assign(dose=array(RECORDED["dose"]))
    else:
        data = ddf_recorded.frame(pair["data"])
    weights = data[pair["weights"]] if pair["weights"] else None
    return tuple(
        rparity.lmer(formula, data, REML=pair["REML"], weights=weights, lme4=lme4)
        if "|" in formula
        else rparity.lm(formula, data, weights=weights)
        for formula in (pair["large"], pair["small"])
    )


def of(pair: dict, lme4: str | None = None) -> tuple:
    return fits(PAIRS.index(pair), lme4)


@cache
def _drawn_at_r(index: int, setting: str) -> BootstrapTest:
    return drawn_anew(PAIRS[index], setting)


def drawn_at_r(pair: dict, setting: str) -> BootstrapTest:
    """The test with the responses that R draws, from the small model at R's own θ."""
    return _drawn_at_r(PAIRS.index(pair), setting)


def drawn_anew(pair: dict, setting: str) -> BootstrapTest:
    large, small = of(pair)
    if theta := pair[setting]["theta"]:
        small = small.refit(REML=False).at(array(theta))
    return pbmodcomp(large, small, pair["nsim"], rng=pair["seed"])


# -- the reference distribution --------------------------------------------------------------------


@every_pair
def test_every_statistic_is_that_of_the_lowest_criteria_that_r_finds(pair):
    found = drawn_at_r(pair, "tight")
    np.testing.assert_allclose(found.reference, array(pair["lowest"]), rtol=0, atol=ROUNDED)
    assert found.n_failed == 0
    assert (found.reference >= 0.0).all()


@every_pair
def test_every_statistic_is_that_of_pbkrtest_unless_its_refit_missed_the_optimum(pair):
    """R's refits start at the estimate from the data, from which some do not reach the optimum."""
    reference, lowest = array(pair["tight"]["reference"]), array(pair["lowest"])
    reached = np.abs(reference - lowest) <= TIGHT
    found = drawn_at_r(pair, "tight").reference
    np.testing.assert_allclose(found[reached], reference[reached], rtol=0, atol=2 * TIGHT)
    assert (~reached).sum() <= (1 if pair in CLOSE else 25)


@parametrized(CLOSE)
def test_statistics_of_the_default_optimizer_differ_as_its_early_stop_does(pair):
    found, recorded = drawn_at_r(pair, "default"), array(pair["default"]["reference"])
    assert np.median(np.abs(found.reference - recorded)) < DEFAULT


@every_pair
def test_the_observed_statistic_is_r_s(pair):
    found = pbmodcomp(*of(pair), 1, rng=1)
    assert found.statistic == pytest.approx(pair["tight"]["lrt"], abs=TIGHT)
    assert found.statistic == pytest.approx(pair["default"]["lrt"], abs=DEFAULT)
    assert found.df == pair["tight"]["df"]


def test_from_the_optimum_statistics_agree_as_the_responses_do():
    """R draws the responses at its own θ, which is the optimum in half of its digits."""
    for pair in (DAYS, DOCUMENT):
        found = pbmodcomp(*of(pair), pair["nsim"], rng=pair["seed"])
        np.testing.assert_allclose(found.reference, array(pair["lowest"]), rtol=0, atol=OWN)


def test_the_divisor_of_old_refits_has_no_part_in_it():
    """Before lme4 1.1-33 refits divided by n − 1 under REML, but these refits are by ML."""
    old, new = (pbmodcomp(*of(DAYS, version), 20, rng=1).reference for version in (LME4, None))
    np.testing.assert_array_equal(old, new)


def test_refits_by_reml_or_by_ml_are_asked_for_with_the_same_result():
    large, small = of(DAYS)
    by_ml = pbmodcomp(large.refit(REML=False), small.refit(REML=False), 20, rng=1)
    by_reml = pbmodcomp(large, small, 20, rng=1)
    assert by_ml.statistic == by_reml.statistic
    np.testing.assert_array_equal(by_ml.reference, by_reml.reference)
    assert by_ml.statistic == pytest.approx(rparity.anova(small, large)["Chisq"].iloc[1])


def test_the_stream_ends_where_r_s_does():
    rng, after = RRandom(5), RRandom(5)
    pbmodcomp(*of(DAYS), 7, rng=rng)
    after.rnorm(7 * (36 + 180))
    assert rng.rnorm(1) == after.rnorm(1)


def test_a_response_of_refit_is_the_one_that_is_tested():
    large, small = of(DAYS)
    y = small.simulate(1, rng=3)[:, 0]
    found = pbmodcomp(large.refit(y), small.refit(y), 5, rng=1)
    assert found.statistic == pytest.approx(
        small.refit(y, REML=False).criterion - large.refit(y, REML=False).criterion
    )


# -- the tests -------------------------------------------------------------------------------------


def with_reference_of_r(pair: dict, setting: str) -> BootstrapTest:
    recorded = pair[setting]
    return BootstrapTest(
        pair["large"],
        pair["small"],
        recorded["lrt"],
        recorded["df"],
        array(recorded["reference"]),
        0,
    )


@every_summary
def test_table_is_that_of_pbkrtest(pair, setting):
    found = with_reference_of_r(pair, setting).table
    wanted = table(pair[setting]["summary"])
    assert list(found.index) == list(wanted.index)
    assert list(found.columns) == list(wanted.columns)
    # pbkrtest takes another mean for F where there are several degrees of freedom.
    wanted.loc["F"] = pd.Series(pair[setting]["F"], dtype=float)
    # R subtracts p-values from 1.
    np.testing.assert_allclose(found, wanted.astype(float), rtol=1e-11, atol=1e-15)


@every_summary
def test_summary_is_printed_as_by_pbkrtest(pair, setting):
    found = with_reference_of_r(pair, setting)
    found.__dict__["table"] = table(pair[setting]["summary"]).astype(float)
    wanted = [line.rstrip() for line in pair[setting]["text"] if line.strip()]
    # pbkrtest 0.5.2 leaves out the name of the small model's formula.
    at = wanted.index(pair["small"])
    wanted[at] = f"small : {wanted[at]}"
    assert [line.rstrip() for line in found.summary().split("\n")] == wanted


def test_f_of_several_degrees_of_freedom_matches_the_mean():
    found = BootstrapTest("large", "small", 5.0, 2, np.array([1.0, 2.0, 3.0, 4.0]), 0).table
    assert found.loc["F", "ddf"] == pytest.approx(2 * 1.25 / 0.25)


def test_statistics_that_are_not_positive_are_not_used():
    found = BootstrapTest("large", "small", 3.0, 1, np.array([-4.0, 0.0, 1.0, 2.0, 4.0]), 0)
    assert (found.nsim, found.n_used, found.n_extreme) == (5, 3, 1)
    assert found.p_value == 2 / 4
    assert found.p_all == 2 / 6
    assert "Requested samples: 5 Used samples: 3 Extremes: 1" in found.summary()


@pytest.mark.parametrize("reference", [[], [1.0], [0.0, -1.0]])
def test_few_statistics_leave_what_they_do_not_say_empty(reference):
    found = BootstrapTest("large", "small", 3.0, 1, np.array(reference), 0)
    assert found.table.loc["LRT", "p.value"] > 0.0
    assert np.isnan(found.table.loc["Gamma", "p.value"])
    assert "Gamma" in found.summary()


def test_a_variance_without_effect_gives_zeros_that_are_no_rounding_errors():
    """pbkrtest's have either sign at random, so that its number of used statistics is random."""
    found = drawn_at_r(VARIANCE, "tight")
    zero = found.reference == 0.0
    assert np.abs(array(VARIANCE["tight"]["reference"])[zero]).max() < TIGHT
    assert found.reference[~zero].min() > TIGHT
    assert found.nsim / 3 < zero.sum() == found.nsim - found.n_used
    assert found.p_all < found.p_value


def test_a_difference_of_rounding_errors_is_zero():
    criterion = np.full(4, 1700.0)
    small = criterion + np.array([0.0, np.spacing(1700.0), -4 * np.spacing(1700.0), 1e-9])
    ratios = comparison._likelihood_ratio(criterion, small, 180)
    assert (ratios == 0.0).tolist() == [True, True, True, False]


# -- refusals --------------------------------------------------------------------------------------


def shorter(fit: LmerResults) -> LmerResults:
    data = ddf_recorded.frame("balanced").iloc[:-1]
    return rparity.lmer(fit.model.matrices.formula, data)


def elsewhere() -> LmerResults:
    """A smaller model that is no special case of the large one."""
    return rparity.lmer("Reaction ~ dose + (1 | Subject)", ddf_recorded.frame("balanced"))


def weighted(fit: LmerResults) -> LmerResults:
    data = ddf_recorded.frame("balanced")
    return rparity.lmer(fit.model.matrices.formula, data, weights=data["w"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda large, small: (small, large), "give the large model first"),
        (lambda large, _: (large, large), "does not contain all of"),
        (lambda large, _: (large, elsewhere()), "then a special case"),
        (lambda large, small: (large, shorter(small)), "rows without missing values"),
        (lambda large, small: (large, weighted(small)), "the same weights"),
        (lambda large, _: (large, "Reaction ~ 1"), "fits of lmer.. or lm.., and got a str"),
        (
            lambda _, small: (
                rparity.lm("Reaction ~ Subject", ddf_recorded.frame("balanced")),
                small,
            ),
            "give the large model first",
        ),
    ],
)
def test_refusals_name_the_input_and_the_remedy(wrong, says):
    with pytest.raises(UsageError, match=says):
        pbmodcomp(*wrong(*of(DAYS)), 5, rng=1)


def test_weights_of_zero_and_zero_replicates_are_refused():
    with pytest.raises(UsageError, match="nsim must be a whole number of at least 1"):
        pbmodcomp(*of(DAYS), 0, rng=1)
    data = ddf_recorded.frame("balanced")
    weights = np.where(np.arange(len(data)) < 3, 0.0, 1.0)
    large, small = (
        rparity.lm(formula, data, weights=weights)
        for formula in ("Reaction ~ Days", "Reaction ~ 1")
    )
    with pytest.raises(DataError, match="weights have zeros"):
        pbmodcomp(large, small, 5, rng=1)


# -- wrong on purpose ------------------------------------------------------------------------------


def is_noticed(pair: dict, *, unless: float = 0.5) -> bool:
    """Whether statistics differ from R's in most replicates."""
    difference = np.abs(drawn_anew(pair, "tight").reference - array(pair["lowest"]))
    return bool(np.mean(difference > 10 * ROUNDED) > unless)


def test_responses_of_the_large_model_are_noticed(monkeypatch):
    assert not is_noticed(DAYS)
    right = comparison._refit

    def wrong(pair, draws):
        large, small = pair
        monkeypatch.setattr(small, "simulated", large.simulated)
        monkeypatch.setattr(small, "mean", large.mean)
        return right(pair, draws)

    monkeypatch.setattr(comparison, "_refit", wrong)
    assert is_noticed(DAYS)


def test_errors_drawn_before_the_random_effects_are_noticed(monkeypatch):
    def drawn(self):
        self.noise.state = self.effects.state
        e = self.noise.rnorm(self.n * self.size).reshape(self.size, self.n).T
        yield self.noise.rnorm(self.q * self.size).reshape(self.size, self.q), e

    monkeypatch.setattr(Draws, "blocks", drawn)
    assert is_noticed(DAYS)


def test_replicates_drawn_one_after_the_other_are_noticed(monkeypatch):
    def drawn(self):
        for _ in range(self.size):
            u = self.effects.rnorm(self.q).reshape(1, self.q)
            yield u, self.effects.rnorm(self.n).reshape(1, self.n).T

    monkeypatch.setattr(Draws, "blocks", drawn)
    assert is_noticed(DOCUMENT)


def test_refits_by_reml_are_noticed(monkeypatch):
    refits = comparison.refits

    def wrong(fit, deviations):
        return refits(fit.refit(REML=True), deviations)

    monkeypatch.setattr(comparison, "refits", wrong)
    assert is_noticed(DAYS)
    assert is_noticed(SLOPES)


def test_responses_of_the_reml_fit_are_noticed(monkeypatch):
    init = comparison._Mixed.__init__

    def wrong(self, fit):
        init(self, fit)
        simulated = comparison.simulated
        by_reml = fit.refit(REML=True)
        self.simulated = lambda draws: simulated(by_reml, draws)

    monkeypatch.setattr(comparison._Mixed, "__init__", wrong)
    assert is_noticed(DAYS)
    assert is_noticed(DOCUMENT)
