"""Clusters: R's `hclust` and SciPy's `linkage`, which number the clusters in different ways."""

import numpy as np
import pytest
from scipy.cluster import hierarchy


def merged(tree, n):
    """Return R's `merge`: an observation i is −i, and the cluster of step i is i, from 1."""
    pairs = tree[:, :2].astype(int)
    pairs = np.where(pairs < n, -pairs - 1, pairs - n + 1)
    # R has observations before clusters, and the lower number first.
    return np.array([sorted(pair, key=lambda i: (i > 0, abs(i))) for pair in pairs])


@pytest.mark.parametrize(
    ("in_r", "in_scipy"),
    [("average", "average"), ("complete", "complete"), ("ward.D2", "ward")],
    ids=["average", "complete", "ward"],
)
def test_hclust(r_parity, in_r, in_scipy):
    """SciPy's `ward` is R's `ward.D2`; `ward.D` expects squared distances."""
    arrests = r_parity.call("hclust.R", "arrests").value
    r = r_parity.call("hclust.R", "clusters", method=in_r)
    tree = hierarchy.linkage(arrests.to_numpy(), in_scipy)
    mine = {
        "merge": merged(tree, len(arrests)),
        "height": tree[:, 2],
        "labels": list(arrests.index),
        "method": in_r,
    }
    r.check(mine, only=list(mine), rtol=1e-12)
