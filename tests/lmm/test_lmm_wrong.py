"""Planted mistakes, as a port of lme4 could make them, are caught by the checks."""

from dataclasses import replace

import numpy as np
import pytest

from lmm_recorded import array, check_effects, check_optimum, fitted, frame, recorded
from rparity.lmm.bootstrap.bootmer import bootmer
from rparity.lmm.fit import LmerResults
from rparity.lmm.mixed import lmer
from rparity.lmm.solver.model import MixedModel

SLOPES = ("sleepstudy", "Reaction ~ Days + (Days | Subject)")
APART = ("sleepstudy", "Reaction ~ Days + (Days || Subject)")
WEIGHTED = ("holes", "Reaction ~ Days + offset(known) + (Days | Subject)")
NESTED = ("Pastes", "strength ~ 1 + (1 | batch/cask)")


def planted(fit: LmerResults, **changes) -> LmerResults:
    """Return the fit with another solution."""
    solution = replace(fit._solution, **changes)
    return LmerResults(fit.model, fit.response, fit._reference, solution, reml=fit.reml)


def correlation_with_the_other_sign():
    fit = fitted(recorded(*SLOPES))
    return planted(fit, theta=fit._solution.theta * [1, -1, 1])


def double_bars_as_single_bars():
    return lmer(SLOPES[1], frame("sleepstudy"))


def nested_as_crossed():
    return lmer("strength ~ 1 + (1 | batch) + (1 | cask)", frame("Pastes"))


def weights_ignored():
    return lmer(WEIGHTED[1], frame("holes"))


def offset_ignored():
    data = frame("holes")
    return lmer("Reaction ~ Days + (Days | Subject)", data, weights=data["w"])


def ml_instead_of_reml():
    return lmer(SLOPES[1], frame("sleepstudy"), REML=False)


def negative_standard_deviation():
    fit = fitted(recorded("Dyestuff2", "Yield ~ 1 + (1 | Batch)"))
    return planted(fit, theta=np.array([[-0.1]]))


@pytest.mark.parametrize(
    ("wrong", "model"),
    [
        (correlation_with_the_other_sign, SLOPES),
        (double_bars_as_single_bars, APART),
        (nested_as_crossed, NESTED),
        (weights_ignored, WEIGHTED),
        (offset_ignored, WEIGHTED),
        (ml_instead_of_reml, SLOPES),
        (negative_standard_deviation, ("Dyestuff2", "Yield ~ 1 + (1 | Batch)")),
    ],
)
def test_a_wrong_fit_is_caught(wrong, model):
    with pytest.raises(AssertionError):
        check_optimum(wrong(), recorded(*model))


def test_conditional_deviations_that_include_the_uncertainty_of_beta_are_caught(monkeypatch):
    """R's `ranef(condVar = TRUE)` leaves out the uncertainty of the fixed effects."""
    model = recorded(*SLOPES)
    right = MixedModel.conditional

    def wrong(self, theta, residual):
        found = right(self, theta, residual)
        Lam = self.template.Lambda(theta)
        (term,) = self.matrices.random
        cov = found.covariances[0]
        out = []
        for level in range(len(term.levels)):  # b̂ moves with β̂ by −ΛΛ'Z'V⁻¹X
            Z, X = term.Z[term.codes == level], self.matrices.X[term.codes == level]
            moved = Lam @ Lam.T @ Z.T @ np.linalg.solve(np.eye(len(Z)) + Z @ Lam @ Lam.T @ Z.T, X)
            V = fitted(model)._solution.vcov_unscaled[0]
            out.append(cov[level] + moved @ V @ moved.T)
        return replace(found, covariances=[np.array(out)])

    check_effects(lmer(SLOPES[1], frame("sleepstudy")), model)
    monkeypatch.setattr(MixedModel, "conditional", wrong)
    with pytest.raises(AssertionError, match="5"):
        check_effects(lmer(SLOPES[1], frame("sleepstudy")), model)


def test_a_wald_interval_instead_of_a_profile_is_caught():
    model = recorded(*SLOPES)
    wald = fitted(model).conf_int().loc["Days", "conf_low"]
    fine = model["profile_fine"]
    profile = array(fine["conf_low"])[fine["rows"].index("Days")]
    assert abs(wald - profile) > 1e-5 * abs(profile)


def test_draws_in_another_order_are_caught(monkeypatch):
    """The order is coefficient by coefficient instead of level by level."""
    model = recorded(*SLOPES)

    def wrong(self, u):
        (term,) = self.matrices.random
        return [u.reshape(len(u), len(term.names), -1).swapaxes(1, 2)]

    fit = fitted(model)
    right = bootmer(fit, 8, rng=7).t.to_numpy()
    theirs = np.array(model["boot"]["draw"], dtype=float)[:, :2]
    np.testing.assert_allclose(right, theirs, rtol=2e-5)
    monkeypatch.setattr(MixedModel, "arrange", wrong)
    other = bootmer(fit, 8, rng=7).t.to_numpy()
    assert np.abs(other / theirs - 1.0).max() > 1e-3
