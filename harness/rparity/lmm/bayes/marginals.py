"""Marginal distributions of one parameter: means, quantiles, densities and intervals.

Given θ, σ² is s(θ) / χ²_ν and β is t with ν degrees of freedom, so the posterior of a coefficient
is a mixture of t over the points of the quadrature (`MixtureOfT`). A standard deviation of random
effects is θ-dependent, too: τ = s_i(θ) √(s(θ) / χ²_ν). Its logarithm is a function of θ plus
−½ log χ²_ν, which is independent of θ. So the characteristic function is a sum over the points
times a ratio of gamma functions, and the distribution its Fourier series (`FourierMarginal`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, loggamma, stdtr, stdtrit

from rparity.errors import UsageError
from rparity.lmm.numbers.roots import find_roots

Array = NDArray[np.float64]

# The share of the least weights, and the probability of the tails, that are left out.
LIGHT, TAIL = 1e-12, 1e-13
# A characteristic function below this is zero.
ZERO = 1e-13
# Where distribution functions are compared: multiples of a typical scale, or a number of points.
PROBES, PROBED = np.array([-3.0, -1.0, -0.3, 0.3, 1.0, 3.0]), 40


class Marginal(ABC):
    """The posterior distribution of one quantity, with its mean and standard deviation.

    These are infinite or NaN where the integral does not exist.
    """

    mean: float
    sd: float

    @property
    @abstractmethod
    def probes(self) -> Array:
        """Values at which two computations of the distribution are compared."""

    @abstractmethod
    def cdf(self, x: ArrayLike) -> Array:
        """Probability of at most x."""

    @abstractmethod
    def pdf(self, x: ArrayLike) -> Array:
        """Density at x."""

    @abstractmethod
    def quantile(self, q: ArrayLike) -> Array:
        """The values below which the quantity lies with probabilities q, between 0 and 1."""

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The central credible interval of probability 1 − alpha."""
        low, high = self.quantile([alpha / 2.0, 1.0 - alpha / 2.0])
        return float(low), float(high)

    def density(self, points: int = 200) -> tuple[Array, Array]:
        """Values x between the quantiles 0.0005 and 0.9995, (points,), and the density there."""
        x = np.linspace(*self.interval(0.001), points)
        return x, self.pdf(x)


def probabilities(q: ArrayLike) -> Array:
    """Return q as an array, or raise UsageError if it is not between 0 and 1."""
    q = np.asarray(q, dtype=np.float64)
    if not ((q > 0.0) & (q < 1.0)).all():
        raise UsageError(f"Probabilities must be between 0 and 1, and are {q}.")
    return q


def _heavy(weights: Array) -> NDArray[np.bool_]:
    """All weights (R,) but the least ones, whose sum is a share LIGHT of all."""
    ordered = np.sort(weights)
    first = int(np.searchsorted(np.cumsum(ordered), LIGHT * weights.sum()))
    return np.asarray(weights >= ordered[first])


def _inverse(cdf: Callable[[Array], Array], q: Array, low: Array, high: Array) -> Array:
    """Return where `cdf` is q, between `low` and `high`."""
    q, low, high = np.broadcast_arrays(q, low, high)
    target = q.ravel()
    found = find_roots(lambda x, which: cdf(x) - target[which], low.ravel(), high.ravel())
    return found.reshape(q.shape)


class MixtureOfT(Marginal):
    """Σ_i w_i t_ν((x − c_i) / l_i): weights (R,), centres (R,), scales (R,).

    `moments` is the number of moments that exist: 0, 1 or 2.
    """

    def __init__(
        self, weights: Array, centres: Array, scales: Array, nu: float, moments: int
    ) -> None:
        kept = _heavy(weights)
        self._w = weights[kept] / weights[kept].sum()
        self._c, self._l, self._nu = centres[kept], scales[kept], nu
        self.mean = float(weights @ centres) if moments and nu > 1.0 else np.nan
        square = float(weights @ ((centres - self.mean) ** 2 + scales**2 * nu / (nu - 2.0)))
        self.sd = float(np.sqrt(square)) if moments > 1 and nu > 2.0 else np.inf

    @property
    def probes(self) -> Array:
        """See `Marginal`."""
        centre, scale = self._w @ self._c, np.exp(self._w @ np.log(self._l))
        return np.asarray(centre + scale * PROBES)

    def cdf(self, x: ArrayLike) -> Array:
        """See `Marginal`."""
        x = np.asarray(x, dtype=np.float64)
        return np.asarray(stdtr(self._nu, (x[..., None] - self._c) / self._l) @ self._w)

    def pdf(self, x: ArrayLike) -> Array:
        """See `Marginal`."""
        nu = self._nu
        z = (np.asarray(x, dtype=np.float64)[..., None] - self._c) / self._l
        constant = gammaln((nu + 1.0) / 2.0) - gammaln(nu / 2.0) - 0.5 * np.log(np.pi * nu)
        log = constant - (nu + 1.0) / 2.0 * np.log1p(z**2 / nu) - np.log(self._l)
        return np.asarray(np.exp(log) @ self._w)

    def quantile(self, q: ArrayLike) -> Array:
        """See `Marginal`."""
        q = probabilities(q)
        each = self._c + self._l * stdtrit(self._nu, q[..., None])
        room = 1e-6 * self._l.max()
        return _inverse(self.cdf, q, each.min(axis=-1) - room, each.max(axis=-1) + room)


@dataclass(frozen=True)
class Monotone:
    """A monotone function x = f(a) of the variable a that has the Fourier series."""

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    slope: Callable[[Array], Array]  # da/dx at x


LOG = Monotone(np.exp, np.log, lambda x: 1.0 / x)
ATANH = Monotone(np.tanh, np.arctanh, lambda x: 1.0 / (1.0 - x**2))


class FourierMarginal(Marginal):
    """The distribution of f(a + ε): a with `weights` at `values` (R,), ε independent of it.

    ε is −½ log χ²_ν, or zero without ν. `bandwidth` is the highest frequency that the points of
    the quadrature resolve, π over their distance.
    """

    def __init__(
        self,
        weights: Array,
        values: Array,
        scale: Monotone,
        bandwidth: float,
        mean: float,
        sd: float,
        *,
        nu: float | None = None,
    ) -> None:
        self._scale, self.mean, self.sd = scale, mean, sd
        kept = _heavy(weights)
        w, a = weights[kept] / weights[kept].sum(), values[kept]
        self.low, self.high = float(a.min()), float(a.max())
        if nu is not None:
            from scipy.stats import chi2

            ends = -0.5 * np.log([chi2.isf(TAIL, nu), chi2.ppf(TAIL, nu)])
            self.low, self.high = self.low + ends[0], self.high + ends[1]
            # There the characteristic function of ε is zero: the tails are those of a gamma
            # function for few degrees of freedom, else those of a normal density.
            bandwidth = min(bandwidth, 40.0 + 8.5 * np.sqrt(2.0 * nu))
        # Between `low` and the end of the period there is room for what TAIL leaves out.
        room = 0.02 * (self.high - self.low) + 1e-9
        self.low, self.high = self.low - room, self.high + room
        step = 2.0 * np.pi / (self.high - self.low)
        count = max(int(bandwidth / step), 1)
        self._omega = step * np.arange(1, count + 1, dtype=np.float64)
        turn = np.exp(1j * step * (a - self.low))
        phi, power = np.empty(count, dtype=np.complex128), w.astype(np.complex128)
        extra = np.ones(count, dtype=np.complex128) if nu is None else _log_chi(self._omega, nu)
        for k in range(count):
            power = power * turn
            phi[k] = power.sum() * extra[k]
            if k > 2 and np.abs(phi[k - 2 : k + 1]).max() < ZERO:
                phi, self._omega = phi[: k + 1], self._omega[: k + 1]
                break
        self._phi = phi / (self.high - self.low)

    @property
    def probes(self) -> Array:
        """See `Marginal`."""
        return self._scale.forward(np.linspace(self.low, self.high, PROBED + 2)[1:-1])

    def _series(self, a: Array) -> tuple[Array, Array]:
        """Distribution function and density of a."""
        inside = np.clip(a, self.low, self.high) - self.low
        waves = np.exp(-1j * inside[..., None] * self._omega)
        coefficients = self._phi
        rise = ((waves - 1.0) @ (coefficients / (-1j * self._omega))).real
        period = self.high - self.low
        return inside / period + 2.0 * rise, 1.0 / period + 2.0 * (waves @ coefficients).real

    def cdf(self, x: ArrayLike) -> Array:
        """See `Marginal`."""
        return self._series(self._scale.inverse(np.asarray(x, dtype=np.float64)))[0]

    def pdf(self, x: ArrayLike) -> Array:
        """See `Marginal`."""
        x = np.asarray(x, dtype=np.float64)
        return np.asarray(self._series(self._scale.inverse(x))[1] * self._scale.slope(x))

    def quantile(self, q: ArrayLike) -> Array:
        """See `Marginal`."""
        q = probabilities(q)
        low, high = np.full(q.shape, self.low), np.full(q.shape, self.high)
        return self._scale.forward(_inverse(lambda a: self._series(a)[0], q, low, high))


def _log_chi(omega: Array, nu: float) -> NDArray[np.complex128]:
    """Characteristic function of −½ log χ²_ν."""
    log = loggamma((nu - 1j * omega) / 2.0) - loggamma(nu / 2.0) - 0.5j * omega * np.log(2.0)
    return np.asarray(np.exp(log))


def chi_moment(nu: float, r: int) -> float:
    """E χ_ν^(−r), infinite unless ν > r."""
    if nu <= r:
        return np.inf
    return float(np.exp(gammaln((nu - r) / 2.0) - gammaln(nu / 2.0)) * 2.0 ** (-r / 2.0))
