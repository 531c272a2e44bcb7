"""Local regression: R's `loess` and statsmodels' `lowess`, which agree only with some settings.

`lowess` fits a line at every point. By default, R's `loess` fits parabolas at the vertices of a k-d
tree and interpolates between them. A tolerance that allows this would test nothing, so the tests
state the size of each difference.
"""

import numpy as np
import pytest
from statsmodels.nonparametric.smoothers_lowess import lowess


def smoothed(data, it):
    """Smooth in Python. `delta=0` fits at every point, like `surface = "direct"` in R."""
    dist, speed = data["dist"].to_numpy(float), data["speed"].to_numpy(float)
    return lowess(dist, speed, frac=2 / 3, it=it, delta=0, return_sorted=False)


def test_lines_fitted_at_every_point_agree(r_parity):
    """Weights and lines are the same, so 14 digits agree."""
    r = r_parity.call("loess.R", "smooth", degree=1, surface="direct")
    r.check({"fitted": smoothed(r["data"], it=0)}, only="fitted", rtol=1e-13)


def test_robust_lines_agree_to_ten_digits(r_parity):
    """R rounds robustness weights above 0.999998 to 1, and statsmodels does not."""
    r = r_parity.call("loess.R", "smooth", degree=1, surface="direct", family="symmetric")
    mine = smoothed(r["data"], it=3)  # R's four iterations: one fit, three with new weights
    r.check({"fitted": mine}, only="fitted", rtol=1e-10)
    assert np.abs(mine - r["fitted"]).max() == pytest.approx(2.9e-9, rel=0.05)


DESIGNS = {
    "blended": (1, "interpolate", 1.521),  # between the vertices of the tree
    "parabolas": (2, "direct", 7.001),  # instead of lines
    "default": (2, "interpolate", 7.032),  # both, which is R's default
}


@pytest.mark.parametrize("design", DESIGNS)
def test_what_differs_by_design(r_parity, design):
    """With other settings the curves differ. The largest difference is in feet, of 2 to 120."""
    degree, surface, feet = DESIGNS[design]
    r = r_parity.call("loess.R", "smooth", degree=degree, surface=surface)
    mine = smoothed(r["data"], it=0)
    assert np.abs(mine - r["fitted"]).max() == pytest.approx(feet, abs=5e-4)
    with pytest.raises(AssertionError, match=r"Python differs from R in \d+ values"):
        r.check({"fitted": mine}, only="fitted", rtol=1e-3)
