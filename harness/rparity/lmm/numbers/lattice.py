"""The trapezoidal rule on a lattice in ℝᵐ that covers only the points where a density matters.

For an analytic density that decays in all directions, the rule's error falls exponentially with the
number of points: halving the step squares it (Trefethen and Weideman 2014, SIAM Review 56, 385-458,
doi:10.1137/130932132). All results of a density then come from one set of weighted points, which
adaptive rules for one integral (`scipy.integrate.cubature`) do not give.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError

Array = NDArray[np.float64]
Points = NDArray[np.int64]

# A point whose height is lower than the highest one less this is at the rim: its neighbours outside
# are left out, which is about 1e-11 of the integral.
DROP = 24.0
# The most points.
MOST = 2**20


class Lattice:
    """Points x = origin + index · step, from the origin outwards as far as they matter.

    `evaluate` gives for points (R, m) what is kept of them, `values` (R, c). The first column is
    the point's height: the logarithm of its importance.
    """

    def __init__(self, evaluate: Callable[[Array], Array], origin: Array, step: float) -> None:
        self._evaluate = evaluate
        self._origin = origin
        self._bits = 62 // len(origin)
        self.step = np.full(len(origin), step)
        self.index: Points = np.zeros((1, len(origin)), dtype=np.int64)
        self.values = evaluate(origin[None])
        self._grow()

    @property
    def points(self) -> Array:
        """All points, (R, m)."""
        return np.asarray(self._origin + self.index * self.step)

    def on(self, axis: int) -> NDArray[np.bool_]:
        """Whether each point is on the lattice with twice the step along one axis, (R,)."""
        return np.asarray(self.index[:, axis] % 2 == 0)

    @property
    def inner(self) -> NDArray[np.bool_]:
        """Whether each point matters and is not at the rim, (R,)."""
        return self._matter(self.values)

    def halve(self, axes: NDArray[np.intp]) -> None:
        """Halve the step along some axes."""
        inner = self.inner
        self.index, self.values = self.index[inner], self.values[inner]
        self.index[:, axes] *= 2
        self.step[axes] /= 2.0
        self._grow()

    def _matter(self, values: Array) -> NDArray[np.bool_]:
        return np.asarray(values[:, 0] > self.values[:, 0].max() - DROP)

    def _codes(self, index: Points) -> Points:
        """One number for each point."""
        shift = self._bits * np.arange(index.shape[1])
        return np.asarray(((index + 2 ** (self._bits - 1)) << shift).sum(axis=1))

    def _grow(self) -> None:
        """Add the neighbours of points that matter until no new one does."""
        m = len(self._origin)
        moves = np.concatenate([np.eye(m, dtype=np.int64), -np.eye(m, dtype=np.int64)])
        border, values = self.index, self.values
        known = self._codes(border)
        while True:
            around = (border[self._matter(values), None] + moves).reshape(-1, m)
            codes, first = np.unique(self._codes(around), return_index=True)
            new = ~np.isin(codes, known, assume_unique=True)
            border = around[first[new]]
            if not len(border):
                return
            if len(self.index) + len(border) > MOST:
                raise UsageError(
                    f"The posterior of {m} variance parameters needs more than {MOST:,} points: "
                    "use method='mcmc'."
                )
            values = self._evaluate(self._origin + border * self.step)
            known = np.concatenate([known, codes[new]])
            self.index = np.concatenate([self.index, border])
            self.values = np.concatenate([self.values, values])
