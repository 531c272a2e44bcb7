"""Ports that tests/parity/test_plugin_beside.py replays from R's recorded answers beside this file.

To record them: pytest -p rparity.pytest_plugin --r=record tests/data/plugin/ports.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from rparity.parity.calls import RParity

R = "../../r/ports.R"
X = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
Y = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9]


def test_welch(r_parity: RParity) -> None:
    r = r_parity.call(R, "welch", x=X, y=Y, seed=1)
    s = scipy.stats.ttest_ind(X, Y, equal_var=False)
    mine = {"statistic": s.statistic, "p_value": s.pvalue, "df": s.df}
    r.check({"glance": mine, "method": "Welch Two Sample t-test"}, rtol=1e-12)


@pytest.mark.parametrize("seed", [1, -(2**31) + 1])
def test_draws(r_parity: RParity, seed: int) -> None:
    r = r_parity.call(R, "draws", n=50, seed=seed)
    draws = {name: getattr(r.rng, name)(50) for name in ("rnorm", "runif", "rexp", "sample")}
    r.check(draws, rtol=0)


class TestEverything:
    def test_values(self, r_parity: RParity) -> None:
        r = r_parity.call(R, "everything")
        assert type(r.integer) is int
        assert np.signbit(r.special[-1])
        assert r.nested == {"a": {"b": True}}
        r.check(r.value, rtol=0)
        frame = pd.DataFrame(
            {
                "day": pd.to_datetime(["1969-12-31", None, "2024-02-29"]),
                "level": [None, "hi", "lo"],
                "ok": [False, None, True],
                "term": ["c", None, "a"],
                "n": [3, 2, 1],
                "estimate": r.frame["estimate"].to_numpy()[::-1],
            },
            index=["third", "second", "first"],
        )
        r.check({"frame": frame}, only="frame", rtol=0)
