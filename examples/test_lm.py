"""Linear models with factors and an interaction: R's `lm` and statsmodels' OLS."""

import re

import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm


def r_names(data):
    """Return a function from statsmodels' names of terms to R's.

    `C(supp, Treatment)[T.VC]` is `suppVC`. contr.sum numbers the levels: `C(supp, Sum)[S.OJ]` is
    `supp1`. So R's `dose1` means dose 1 under contr.treatment, but the first dose, 0.5, under
    contr.sum.
    """

    def r_name(match):
        factor, coding, level = match.groups()
        number = list(data[factor].cat.categories).index(level) + 1
        return f"{factor}{level if coding == 'T' else number}"

    def rename(term):
        term = re.sub(r"C\((\w+), \w+\)\[(T|S)\.(.+?)\]", r_name, term)
        term = re.sub(r"C\((\w+), \w+\)", r"\1", term)  # without a level, in tables of variance
        return {"Intercept": "(Intercept)", "Residual": "Residuals"}.get(term, term)

    return rename


@pytest.mark.parametrize("contrasts", ["treatment", "sum"])
def test_tooth_growth(r_parity, contrasts):
    """Two factors and their interaction, under two codings of the same model."""
    r = r_parity.call("lm.R", "tooth_growth", contrasts=f"contr.{contrasts}")

    data = r["data"]  # R's data: factors are categoricals with R's order of levels
    coding = contrasts.capitalize()
    fit = smf.ols(f"len ~ C(supp, {coding}) * C(dose, {coding})", data).fit()
    coef = {"estimate": fit.params, "std_error": fit.bse, "p_value": fit.pvalues}
    anova, rename = anova_lm(fit), r_names(data)
    r.check(
        {
            "coef": {column: values.rename(rename) for column, values in coef.items()},
            "anova": anova[["df", "sum_sq"]].rename(index=rename),
            "glance": {
                "sigma": fit.mse_resid**0.5,
                "r_squared": fit.rsquared,
                "aic": fit.aic + 2,  # R counts σ among the parameters, statsmodels does not
            },
        },
        only=["coef", "anova", "glance"],
        # Both use an orthogonal decomposition (R's QR, statsmodels' SVD): at least 13 digits agree.
        rtol=1e-12,
    )
