"""R's `aov` and `TukeyHSD`, statsmodels' `anova_lm` and SciPy's `tukey_hsd`."""

from itertools import combinations

import pandas as pd
import pytest
import scipy.stats
import statsmodels.api as sm
import statsmodels.formula.api as smf


@pytest.fixture(scope="module")
def plants(r_parity):
    """Take the data from R."""
    return r_parity.call("tukey.R", "plants").value


def test_anova(r_parity, plants):
    """R's `aov` crosses as the tables of broom; `tidy` is the analysis of variance."""
    r = r_parity.call("tukey.R", "anova_table")
    table = sm.stats.anova_lm(smf.ols("weight ~ group", plants).fit())
    # R's names, in statsmodels' order
    table.columns = ["df", "sumsq", "meansq", "statistic", "p.value"]
    mine = table.rename({"Residual": "Residuals"})
    r.check({"tidy": mine}, only="tidy", rtol=1e-11)


def test_pairs(r_parity, plants):
    """SciPy gives a matrix for each statistic, and R a row for each pair: later minus earlier."""
    r = r_parity.call("tukey.R", "pairs")
    groups = {name: rows["weight"] for name, rows in plants.groupby("group", observed=True)}
    test = scipy.stats.tukey_hsd(*groups.values())
    interval = test.confidence_interval()
    mine = {
        f"{later}-{earlier}": [
            side[j, i] for side in (test.statistic, interval.low, interval.high, test.pvalue)
        ]
        for (i, earlier), (j, later) in combinations(enumerate(groups), 2)
    }
    table = pd.DataFrame.from_dict(mine, orient="index", columns=["diff", "lwr", "upr", "p adj"])
    # The studentised range is an integral, which both compute to some ten digits.
    r.check({"group": table}, rtol=1e-7)
