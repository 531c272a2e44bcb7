"""Welch's t test: R's `t.test` and SciPy's `ttest_ind`, on samples drawn on both sides."""

from scipy.stats import ttest_ind

SIZES = [20, 30]


def test_welch(r_parity):
    """With the same seed, both sides draw the same samples and get the same answer."""
    r = r_parity.call("welch.R", "welch", n=SIZES, seed=1)

    # The stream of R's set.seed(1), used in R's order, gives the same bits: the tolerance is zero.
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
        # The sums have another order. The upper limit, a small difference, has 14 digits.
        rtol=1e-13,
    )
