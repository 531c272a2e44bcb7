"""Welch's t test: R's `t.test` and SciPy's `ttest_ind`, on samples that both draw themselves."""

from scipy.stats import ttest_ind

SIZES = [20, 30]


def test_welch(r_parity):
    """The same seed gives both sides the same samples, and these the same answer."""
    r = r_parity.call("welch.R", "welch", n=SIZES, seed=1)

    # R's set.seed(1), drawn from in R's order: the same bits, so nothing is tolerated.
    x = r.rng.rnorm(SIZES[0], mean=10, sd=1)
    y = r.rng.rnorm(SIZES[1], mean=11, sd=3)
    r.check({"data": {"x": x, "y": y}}, only="data", rtol=0)

    test = ttest_ind(x, y, equal_var=False)
    interval = test.confidence_interval(0.95)
    r.check(
        {
            "glance": {
                "t": test.statistic,
                "df": test.df,
                "p_value": test.pvalue,
                "std_error": (x.mean() - y.mean()) / test.statistic,  # SciPy gives none
            },
            "confint": {"conf_low": interval.low, "conf_high": interval.high},
        },
        only=["glance", "confint"],
        # Sums in another order; the upper limit, a small difference, has 14 digits, the rest more.
        rtol=1e-13,
    )
