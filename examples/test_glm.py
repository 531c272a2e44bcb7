"""Generalised linear models: R's `glm` and statsmodels' GLM, and where R's iterations stop."""

import re

import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

MODELS = {
    "transmission": ("am ~ wt + hp", sm.families.Binomial()),
    "breaks": ("breaks ~ wool * tension", sm.families.Poisson()),
}
# Digits of R's standard errors, at its default epsilon and at a small one. Rounding, which differs
# between processors, decides about digits after the tenth.
ROUNDING = 10
DIGITS = {
    ("transmission", 1e-8): 7,
    ("transmission", 1e-14): 7,  # the same iteration: it already met the smaller epsilon
    ("breaks", 1e-8): 5,
    ("breaks", 1e-14): ROUNDING,
}


def r_name(term):
    """Return R's name of a term: `wool[T.B]:tension[T.M]` is `woolB:tensionM`."""
    return re.sub(r"\[T\.(.+?)\]", r"\1", term).replace("Intercept", "(Intercept)")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("epsilon", [1e-8, 1e-14])
def test_glm(r_parity, model, epsilon):
    """R stops when the relative change of the deviance is below `epsilon`, by default 1e-8.

    The deviance is flat at its minimum, so the deviance and the estimates are then accurate. The
    standard errors are not, because their weights belong to the iteration before. If the error of
    the deviance is epsilon, the error of these weights is √epsilon.
    """
    r = r_parity.call("glm.R", model, epsilon=epsilon)

    formula, family = MODELS[model]
    # Stop by the change of the estimates, because the deviance may already be constant in all bits.
    fit = smf.glm(formula, r["data"], family=family).fit(tol=1e-10, tol_criterion="params")
    found = r.check(
        {
            "coef": {"estimate": fit.params.rename(r_name), "std_error": fit.bse.rename(r_name)},
            "glance": {
                "deviance": fit.deviance,
                "null_deviance": fit.null_deviance,
                "aic": fit.aic,
                "log_lik": fit.llf,
            },
        },
        only=["coef", "glance"],
        rtol=1e-10,  # R's default leaves 2e-11 in the estimates of `breaks`
        tolerances={"coef.std_error": epsilon**0.5},
    )
    # Test the exact number of digits, to show that the tolerance √epsilon is not too wide.
    std_errors = found[found["column"] == "std_error"]
    assert min(int(std_errors["digits"].min()), ROUNDING) == DIGITS[model, epsilon]
