"""Local regression: R's `loess` and statsmodels' `lowess`, which agree in a corner and not beyond.

`lowess` fits lines at every point. R's `loess` by default fits parabolas, at the vertices of a k-d
tree, and blends them in between. A tolerance wide enough for that would test nothing: each
difference is shown at its size instead.
"""

import numpy as np
import pytest
from statsmodels.nonparametric.smoothers_lowess import lowess


def smoothed(data, it):
    """Python's side; `delta=0` fits at every point, as `surface = "direct"` does."""
    dist, speed = data["dist"].to_numpy(float), data["speed"].to_numpy(float)
    return lowess(dist, speed, frac=2 / 3, it=it, delta=0, return_sorted=False)


def test_lines_fitted_at_every_point_agree(r_parity):
    """The same weights and the same lines: rounding is left, 14 digits."""
    r = r_parity.call("loess.R", "smooth", degree=1, surface="direct")
    r.check({"fitted": smoothed(r["data"], it=0)}, only="fitted", rtol=1e-13)


def test_robust_lines_agree_to_ten_digits(r_parity):
    """Robustness weights above 0.999998 are 1 to R, and are what they are to statsmodels."""
    r = r_parity.call("loess.R", "smooth", degree=1, surface="direct", family="symmetric")
    mine = smoothed(r["data"], it=3)  # R's four iterations: one fit, three with new weights
    r.check({"fitted": mine}, only="fitted", rtol=1e-10)
    assert np.abs(mine - r["fitted"]).max() == pytest.approx(2.9e-9, rel=0.05)


DESIGNS = {
    "blended": (1, "interpolate", 1.521),  # between the vertices of the tree
    "parabolas": (2, "direct", 7.001),  # instead of lines
    "default": (2, "interpolate", 7.032),  # both, as R does unless told otherwise
}


@pytest.mark.parametrize("design", DESIGNS)
def test_what_differs_by_design(r_parity, design):
    """Other settings are another smoother: the largest difference, of distances of 2 to 120 ft."""
    degree, surface, feet = DESIGNS[design]
    r = r_parity.call("loess.R", "smooth", degree=degree, surface=surface)
    mine = smoothed(r["data"], it=0)
    assert np.abs(mine - r["fitted"]).max() == pytest.approx(feet, abs=5e-4)
    with pytest.raises(AssertionError, match=r"Python differs from R in \d+ values"):
        r.check({"fitted": mine}, only="fitted", rtol=1e-3)
