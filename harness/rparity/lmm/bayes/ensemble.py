"""The posterior by MCMC: draws of all parameters at once, from the definition of the model.

The density is that of y ~ N(Xβ, σ²W⁻¹ + ZΣZ') in β, σ, standard deviations and correlations, with
no parameter profiled or integrated out, so it shares no formula with `quadrature`. The determinant
and the inverse are those of I + L'Z'WZL/σ², Σ = LL'.

The sampler is emcee's: an ensemble of walkers, whose proposals are drawn from a kernel estimate of
the other walkers' density, or are differences between them. It needs no derivatives and no tuning,
and one evaluation serves all walkers. (emcee 3.1.6 also has a snooker move. Its draws are too
narrow: on the question's data the standard deviation of the intercept is 5 % too small.)

Sources: Foreman-Mackey, Hogg, Lang and Goodman (2013), Publications of the Astronomical Society of
the Pacific 125, 306-312, doi:10.1086/670067; ter Braak (2006), Statistics and Computing 16,
239-249, doi:10.1007/s11222-006-8769-1.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError, install
from rparity.lmm.bayes.marginals import Marginal, probabilities
from rparity.lmm.bayes.priors import Prior, root_mean_squares
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.varcorr import covariance, order, sd_order

Array = NDArray[np.float64]

# Walkers for each parameter, and the share of the first steps that is left out.
WALKERS, BURN_IN = 16, 0.25
# Parts of a chain whose means show the Monte Carlo error: long beside the autocorrelation.
BATCHES = 50


class JointPosterior:
    """The log posterior density of β, standard deviations, correlations and σ, up to a constant.

    A point is (β, each term's standard deviations and correlations in the order of R's `VarCorr`,
    σ): `dimension` numbers.
    """

    def __init__(self, fit: LmerResults, prior: Prior) -> None:
        if prior == "jeffreys":
            raise UsageError("MCMC has the priors 'uniform' and 'half-cauchy', not 'jeffreys'.")
        self.fit, self.prior, model = fit, prior, fit.model
        terms = model.matrices.random
        self.p, self.m = model.p, model.template.m
        self.dimension = self.p + self.m + 1
        self._rows, self._cols = order(model.template)
        self._template = model.template
        self._levels = [len(term.levels) for term in terms]
        self._rms = root_mean_squares(terms)
        parts = []
        for term in terms:
            full = np.zeros((model.n, len(term.levels), term.k))
            full[np.arange(model.n), term.codes] = term.Z
            parts.append(full.reshape(model.n, -1))
        w = model.sqrt_weights[:, None]
        X, Z = w * model.matrices.X, w * np.hstack(parts)
        y = model.deviations(fit.response, fit.beta)
        self._n = model.n
        self._XX, self._Xy, self._yy = X.T @ X, X.T @ y, float(y @ y)
        self._ZZ, self._ZX, self._Zy = Z.T @ Z, Z.T @ X, Z.T @ y

    def __call__(self, x: Array) -> Array:
        """The log density at points x (R, dimension), (R,); −∞ where it is zero."""
        beta, variances, sigma = x[:, : self.p], x[:, self.p : -1], x[:, -1]
        square = np.zeros((len(x), self._template.k, self._template.k))
        square[:, self._rows, self._cols] = square[:, self._cols, self._rows] = variances
        at = np.arange(self._template.k)
        sd = square[:, at, at].copy()
        square[:, at, at] = 1.0
        # Correlations are admissible if their matrix is positive definite: all its leading minors.
        inside = (sigma > 0.0) & (sd > 0.0).all(axis=1)
        for block in self._template.blocks(square):
            for size in range(2, block.shape[1] + 1):
                inside &= np.linalg.det(block[:, :size, :size]) > 0.0
        out = np.full(len(x), -np.inf)
        if inside.any():
            keep = (each[inside] for each in (beta, sigma, sd, square))
            out[inside] = self._inside(*keep)
        return out

    def _inside(self, beta: Array, sigma: Array, sd: Array, correlation: Array) -> Array:
        delta = beta - self.fit.beta
        parts = []
        for L, span in zip(self._levels, self._template.spans, strict=True):
            root = sd[:, span, None] * np.linalg.cholesky(correlation[:, span, span])
            q = L * root.shape[1]
            whole = np.zeros((len(sd), L, root.shape[1], L, root.shape[1]))
            whole[:, np.arange(L), :, np.arange(L)] = root
            parts.append(whole.reshape(len(sd), q, q))
        q = len(self._ZZ)
        root = np.zeros((len(sd), q, q))
        start = 0
        for part in parts:
            stop = start + part.shape[1]
            root[:, start:stop, start:stop] = part
            start = stop
        turned = np.swapaxes(root, 1, 2) / sigma[:, None, None]
        inner = turned @ self._ZZ @ np.swapaxes(turned, 1, 2)
        inner[:, np.arange(q), np.arange(q)] += 1.0
        C = np.linalg.cholesky(inner)
        logdet = 2.0 * np.log(np.diagonal(C, axis1=1, axis2=2)).sum(axis=1)
        Zr = turned @ (self._Zy - delta @ self._ZX.T)[..., None]
        half = np.linalg.solve(C, Zr)[..., 0]
        rr = self._yy - 2.0 * delta @ self._Xy + ((delta @ self._XX) * delta).sum(axis=1)
        fit = (rr - (half**2).sum(axis=1)) / sigma**2
        log = -self._n * np.log(sigma) - (logdet + fit) / 2.0 - np.log(sigma)
        if self.prior == "half-cauchy":
            log -= np.log1p((sd * self._rms / sigma[:, None]) ** 2).sum(axis=1)
            log -= sd.shape[1] * np.log(sigma)
        return np.asarray(log)

    def start(self, walkers: int, rng: np.random.Generator) -> Array:
        """Points (walkers, dimension) around the fit's optimum."""
        fit, rows, cols = self.fit, self._rows, self._cols
        cov = covariance(self._template, fit.theta_hat[None])[0]
        sd = np.maximum(np.sqrt(np.diagonal(cov)), 0.1 / self._rms) * fit.sigma
        x = np.empty((walkers, self.dimension))
        x[:, : self.p] = fit.beta + fit.bse.to_numpy() * rng.standard_normal((walkers, self.p))
        log_sd = np.log(sd) + 0.2 * rng.standard_normal((walkers, len(sd)))
        x[:, self.p : -1] = 0.1 * rng.uniform(-1.0, 1.0, (walkers, self.m))  # correlations
        x[:, self.p : -1][:, rows == cols] = np.exp(log_sd)[:, rows[rows == cols]]
        x[:, -1] = fit.sigma * np.exp(0.05 * rng.standard_normal(walkers))
        return x


class _Unbounded:
    """The same density in unbounded coordinates: log σ and log τ, and atanh of correlations."""

    def __init__(self, joint: JointPosterior) -> None:
        self._joint = joint
        rows, cols = order(joint.fit.model.template)
        self._positive = joint.p + np.append(np.flatnonzero(rows == cols), joint.m)
        self._correlation = joint.p + np.flatnonzero(rows != cols)

    def natural(self, z: Array) -> Array:
        """The point for z (…, dimension)."""
        x = z.copy()
        x[..., self._positive] = np.exp(z[..., self._positive])
        x[..., self._correlation] = np.tanh(z[..., self._correlation])
        return x

    def unbounded(self, x: Array) -> Array:
        """The inverse of `natural`."""
        z = x.copy()
        z[..., self._positive] = np.log(x[..., self._positive])
        z[..., self._correlation] = np.arctanh(x[..., self._correlation])
        return z

    def __call__(self, z: Array) -> Array:
        """The log density at z (R, dimension), with the logarithm of the Jacobian determinant."""
        x = self.natural(z)
        jacobian = z[:, self._positive].sum(axis=1)
        jacobian += np.log1p(-(x[:, self._correlation] ** 2)).sum(axis=1)
        return np.asarray(self._joint(x) + jacobian)


class DrawnMarginal(Marginal):
    """The distribution of MCMC draws (steps, walkers) of one quantity."""

    def __init__(self, draws: Array) -> None:
        self.draws = draws
        self._sorted = np.sort(draws, axis=None)
        self.mean, self.sd = float(draws.mean()), float(draws.std(ddof=1))

    @property
    def probes(self) -> Array:
        """See `Marginal`."""
        return self.quantile([0.025, 0.25, 0.5, 0.75, 0.975])

    def cdf(self, x: ArrayLike) -> Array:
        """See `Marginal`."""
        return np.asarray(np.searchsorted(self._sorted, x, side="right") / self._sorted.size)

    def pdf(self, x: ArrayLike) -> Array:
        """A kernel estimate of the density at x."""
        some = self._sorted[:: max(self._sorted.size // 20_000, 1)]
        from scipy.stats import gaussian_kde  # takes as long to import as the rest

        return np.asarray(gaussian_kde(some)(np.asarray(x, dtype=np.float64)))

    def quantile(self, q: ArrayLike) -> Array:
        """See `Marginal`."""
        return np.asarray(np.quantile(self._sorted, probabilities(q)))

    def error(self, x: float) -> float:
        """The Monte Carlo standard error of `cdf(x)`, by the means of `BATCHES` parts of the chain.

        Walkers depend on each other, so all of them are in each mean.
        """
        below = (self.draws <= x).mean(axis=1)
        means = [part.mean() for part in np.array_split(below, BATCHES)]
        return float(np.std(means, ddof=1) / np.sqrt(BATCHES))


class MarkovChain:
    """MCMC draws (steps, walkers, dimension), in the order of `JointPosterior`."""

    def __init__(self, joint: JointPosterior, chain: Array) -> None:
        self._joint, self.chain = joint, chain

    @cached_property
    def error(self) -> float:
        """The largest Monte Carlo standard error of a probability: that of a median."""
        return max(
            one.error(float(one.quantile(0.5)))
            for one in (DrawnMarginal(self.chain[:, :, at]) for at in range(self._joint.dimension))
        )

    def marginal(self, at: int) -> Marginal:
        """Marginal of a parameter by its row in `LmerResults.conf_int`."""
        joint, model = self._joint, self._joint.fit.model
        if at > joint.m:
            return DrawnMarginal(self.chain[:, :, at - joint.m - 1])
        if at == joint.m:
            return DrawnMarginal(self.chain[:, :, -1])
        mine = [*zip(*order(model.template), strict=True)]
        rows, cols = sd_order(model.template, model.matrices.lme4)
        wanted = {(rows[at], cols[at]), (cols[at], rows[at])}
        place = next(i for i, pair in enumerate(mine) if pair in wanted)
        return DrawnMarginal(self.chain[:, :, joint.p + place])


def sample(joint: JointPosterior, draws: int, rng: int) -> MarkovChain:
    """Draw about `draws` points after a burn-in, from the seed `rng`.

    Raises
    ------
    UsageError
        If emcee is not installed.
    """
    if find_spec("emcee") is None:
        raise UsageError(f"MCMC needs emcee: {install('bayes')}.")
    import emcee

    walkers = WALKERS * joint.dimension
    steps = max(draws // walkers, 100)
    generator = np.random.default_rng(rng)
    moves = [(emcee.moves.KDEMove(), 0.5), (emcee.moves.DEMove(), 0.5)]
    density = _Unbounded(joint)
    sampler = emcee.EnsembleSampler(walkers, joint.dimension, density, moves=moves, vectorize=True)
    state = emcee.State(
        density.unbounded(joint.start(walkers, generator)),
        random_state=np.random.RandomState(generator.integers(2**31)).get_state(),
    )
    burn_in = int(BURN_IN * steps)
    sampler.run_mcmc(state, burn_in + steps)
    return MarkovChain(joint, density.natural(np.asarray(sampler.get_chain(discard=burn_in))))
