"""Tests as R returns them: `wilcox.test`, `cor.test` and `fisher.test`, and SciPy's."""

import numpy as np
import pytest
import scipy.stats

# Student's (1908) hours of sleep with two drugs.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_wilcoxon(r_parity):
    """Both have the normal approximation with continuity correction; R 4.6 is exact by default."""
    r = r_parity.call("htests.R", "two_samples", x=FIRST, y=SECOND)
    test = scipy.stats.mannwhitneyu(FIRST, SECOND, method="asymptotic")
    mine = {"statistic": test.statistic, "p.value": test.pvalue}
    r.check(mine, only=list(mine), rtol=1e-13)


@pytest.mark.parametrize(
    ("method", "function"),
    [("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)],
    ids=["pearson", "spearman"],
)
def test_correlation(r_parity, method, function):
    """Both use Student's t, for ranks too."""
    r = r_parity.call("htests.R", "correlation", x=FIRST, y=SECOND, method=method)
    test = function(FIRST, SECOND)
    mine = {"estimate": test.statistic, "p.value": test.pvalue}
    if method == "pearson":
        interval = test.confidence_interval()
        mine["conf.int"] = [interval.low, interval.high]
    r.check(mine, only=list(mine), rtol=1e-12)


def test_fisher(r_parity):
    """R's odds ratio is the conditional estimate, and `fisher_exact` has the sample's."""
    counts = np.array([[3, 1], [2, 6]])
    r = r_parity.call("htests.R", "table_2x2", counts=counts)
    odds = scipy.stats.contingency.odds_ratio(counts, kind="conditional")
    mine = {"p.value": scipy.stats.fisher_exact(counts).pvalue, "estimate": odds.statistic}
    # R finds the odds ratio by uniroot(), whose default tolerance is 1.2e-4.
    r.check(mine, only=list(mine), rtol=1e-13, tolerances={"estimate": 1e-4})
