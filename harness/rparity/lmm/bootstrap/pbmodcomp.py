"""`pbmodcomp`: the parametric bootstrap test of pbkrtest, with R's draws, solved in batches.

Sources: pbkrtest 0.5.2 (`PBmodcomp`, `summary.PBmodcomp`); Halekoh and Højsgaard (2014), JSS 59(9),
doi:10.18637/jss.v059.i09.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaincc

from rparity.errors import UsageError
from rparity.lmm.bootstrap.simulation import Draws, in_parts, refits, simulated
from rparity.lmm.display.summary import bootstrap_test_summary
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.model_matrices import ModelMatrices
from rparity.lmm.numbers.distributions import chi2_tail, f_tail
from rparity.lmm.solver.model import LinearModel
from rparity.rrandom import RRandom
from rparity.workers.cluster import Workers

Array = NDArray[np.float64]

# Criteria are rounded in units of 2⁻⁵³ of their size; a likelihood ratio that is no more than so
# many of them is zero.
ROUNDING_UNITS = 30.0
# The largest part of a column outside the span of others that is taken for rounding.
NESTED = 1e-7


def pbmodcomp(
    large: Any, small: Any, nsim: int = 1000, *, rng: RRandom | int, workers: Workers = None
) -> BootstrapTest:
    """Test a model against a smaller one by a parametric bootstrap, as pbkrtest's `PBmodcomp` does.

    Responses are drawn from the small model with R's random numbers. Both models are refitted to
    each of them by maximum likelihood, which gives the reference distribution of the likelihood
    ratio. REML fits are fitted again by ML first, as in R.

    Parameters
    ----------
    large, small : LmerResults, or results of `lm`
        Two fits to the same response; the small model is a special case of the large one. pbkrtest
        compares two fits of `lmer` or two of `lm`. Here `small` may be a fit of `lm` beside a
        `large` of `lmer`, too: this tests all random effects together.
    nsim : int
        Number of replicates.
    rng : RRandom or int
        R's stream, which moves on as in R, or a seed for `set.seed`. In R, call `set.seed` before
        `PBmodcomp`: pbkrtest 0.5.2 ignores the argument `seed`.
    workers : int, str, distributed.Client, Cluster or None
        Where replicates are refitted: see `rparity.workers.cluster`. Results do not depend on it.

    Raises
    ------
    UsageError
        For fits of other functions, for a large model of `lm` beside a small one of `lmer`, for
        different responses or weights, for a large model that has no further parameter, and for
        fewer than one replicate.
    DataError
        For weights of zero.
    ClusterError, WorkerCrashedError
        If workers are lost during the work.
    """
    pair = more, less = _candidate(large), _candidate(small)
    _check(*pair)
    draws = Draws.of(less.model, nsim, use_u=False, rng=rng)
    parts = in_parts(_refit, pair, draws, workers)
    ratios, converged = (np.concatenate(each) for each in zip(*parts, strict=True))
    return BootstrapTest(
        more.model.matrices.formula,
        less.model.matrices.formula,
        statistic=less.criterion - more.criterion,
        df=more.n_parameters - less.n_parameters,
        reference=ratios,
        n_failed=int((~converged).sum()),
    )


# -- the two models --------------------------------------------------------------------------------


class _Candidate(ABC):
    """One of the two models: its maximum likelihood fit, and refits to simulated responses."""

    model: LinearModel
    response: Array  # (n,)
    mean: Array  # Xβ̂ + offset, (n,)
    criterion: float
    n_parameters: int

    @abstractmethod
    def simulated(self, draws: Draws) -> Iterator[Array]:
        """Yield deviations from `mean` of simulated responses in blocks (n, R)."""

    @abstractmethod
    def refitted(self, deviations: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return the criteria of refits to √w (y − offset − Xβ₀), (R,), and what converged."""


class _Mixed(_Candidate):
    def __init__(self, fit: LmerResults) -> None:
        self.fit = fit.refit(REML=False) if fit.reml else fit
        self.model, self.response = fit.model, fit.response
        self.mean = np.asarray(self.fit.predict(include_random=False))
        self.criterion, self.n_parameters = self.fit.criterion, fit.n_parameters

    def simulated(self, draws: Draws) -> Iterator[Array]:
        return simulated(self.fit, draws)

    def refitted(self, deviations: Array) -> tuple[Array, NDArray[np.bool_]]:
        solution = refits(self.fit, deviations)
        return solution.criterion, solution.converged


class _Linear(_Candidate):
    def __init__(self, matrices: ModelMatrices) -> None:
        model = LinearModel(matrices)
        beta = model.ordinary_least_squares(matrices.y)
        residual = model.deviations(matrices.y, beta)
        variance = float(residual @ residual) / model.divisor(reml=True)
        self.model, self.response = model, matrices.y
        self.mean = matrices.X @ beta + matrices.offset
        self.criterion = float(self.refitted(residual[:, None])[0][0])
        self.n_parameters = model.p + 1
        self.sd: Array = np.sqrt(variance) / model.sqrt_weights

    def simulated(self, draws: Draws) -> Iterator[Array]:
        """Source: R's `simulate.lm`."""
        for _, e in draws.blocks():
            yield self.sd[:, None] * e

    def refitted(self, deviations: Array) -> tuple[Array, NDArray[np.bool_]]:
        criteria = self.model.least_squares_criterion(deviations, reml=False)
        return criteria, np.ones(len(criteria), dtype=np.bool_)


def _candidate(fit: Any) -> _Candidate:
    """Wrap a fit of `lmer` or `lm`."""
    if isinstance(fit, LmerResults):
        return _Mixed(fit)
    matrices = getattr(fit, "matrices", None)
    if not isinstance(matrices, ModelMatrices):
        raise UsageError(
            f"pbmodcomp() takes fits of lmer() or lm(), and got a {type(fit).__name__}."
        )
    return _Linear(matrices)


def _check(large: _Candidate, small: _Candidate) -> None:
    """Refuse pairs that a likelihood ratio does not compare."""
    if not np.array_equal(large.response, small.response):
        raise UsageError(
            "pbmodcomp() compares fits to the same response, and their rows or values differ: fit "
            "both to the rows without missing values."
        )
    if not np.array_equal(large.model.matrices.weights, small.model.matrices.weights):
        raise UsageError("pbmodcomp() compares fits with the same weights, and theirs differ.")
    more = large.n_parameters > small.n_parameters and large.model.q >= small.model.q
    if not more or not _contains(large.model.matrices.X, small.model.matrices.X):
        raise UsageError(
            f"{large.model.matrices.formula!r} does not contain all of "
            f"{small.model.matrices.formula!r}: give the large model first, then a special case."
        )


def _contains(X: Array, columns: Array) -> bool:
    """Whether all columns (n, p₀) are linear combinations of those of X (n, p)."""
    rest = columns - X @ np.linalg.lstsq(X, columns, rcond=None)[0]
    sizes = np.linalg.norm(columns, axis=0)
    return bool((np.linalg.norm(rest, axis=0) <= NESTED * sizes).all())


# -- replicates ------------------------------------------------------------------------------------


def _refit(pair: tuple[_Candidate, _Candidate], draws: Draws) -> tuple[Array, NDArray[np.bool_]]:
    """Return likelihood ratios of replicates, (R,), and for which of them both refits converged."""
    small = pair[1]
    shifts = []
    for each in pair:
        beta = each.model.ordinary_least_squares(small.mean)
        shifts.append(each.model.deviations(small.mean, beta)[:, None])
    ratios, converged = [], []
    for block in small.simulated(draws):
        weighted = small.model.sqrt_weights[:, None] * block
        more, less = (
            each.refitted(shift + weighted) for each, shift in zip(pair, shifts, strict=True)
        )
        ratios.append(_likelihood_ratio(more[0], less[0], small.model.n))
        converged.append(more[1] & less[1])
    return np.concatenate(ratios), np.concatenate(converged)


def _likelihood_ratio(large: Array, small: Array, n: int) -> Array:
    """Return the difference of two criteria, (R,), or 0 where it is only their rounding errors."""
    rounding = ROUNDING_UNITS * 2.0**-53 * np.maximum(np.abs(large) + np.abs(small), n)
    return np.where(np.abs(small - large) <= rounding, 0.0, small - large)


# -- the result ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class BootstrapTest:
    """A parametric bootstrap test of two models, named by their formulas.

    `statistic` is the likelihood ratio of the data, `df` the number of parameters that the large
    model adds, `reference` has the likelihood ratios of the replicates, (nsim,), in the order of
    R's draws, and `n_failed` is the number of replicates of which a refit did not converge.
    """

    large: str
    small: str
    statistic: float
    df: int
    reference: Array
    n_failed: int

    @property
    def nsim(self) -> int:
        """Number of replicates."""
        return len(self.reference)

    @cached_property
    def _used(self) -> Array:
        return self.reference[self.reference > 0.0]

    @property
    def n_used(self) -> int:
        """Number of positive statistics in `reference`, which are those that pbkrtest uses."""
        return len(self._used)

    @property
    def n_extreme(self) -> int:
        """Number of statistics in `reference` above the observed one."""
        return int((self._used > self.statistic).sum())

    @property
    def p_value(self) -> float:
        """P-value of the bootstrap test: (1 + `n_extreme`) / (1 + `n_used`)."""
        return (1 + self.n_extreme) / (1 + self.n_used)

    @property
    def p_all(self) -> float:
        """P-value among all replicates: (1 + `n_extreme`) / (1 + `nsim`).

        Where a variance is tested, up to half of the statistics are zero, because the estimate is.
        `p_value` leaves them out, as in pbkrtest, and is then up to twice as large.
        """
        return (1 + self.n_extreme) / (1 + self.nsim)

    @cached_property
    def table(self) -> pd.DataFrame:
        """All tests of pbkrtest's `summary`: columns `stat`, `df`, `ddf`, `p.value`.

        `LRT` compares the statistic with χ², `PBtest` with the reference distribution, and `Gamma`
        with the gamma distribution of its mean and variance. `Bartlett` scales the statistic as if
        that mean were `df`. `F` compares statistic / `df` with the F distribution whose mean is
        that of the reference distribution over `df`, and is NaN if that mean is at most 1, because
        no F distribution has such a mean.
        """
        T, df, used = self.statistic, float(self.df), self._used
        mean = used.mean() if len(used) else np.nan
        variance = used.var(ddof=1) if len(used) > 1 else np.nan
        scaled, nan = df * T / mean, np.nan
        ddf = 2.0 * mean / (mean - df) if mean != df else np.inf
        p_gamma = float(gammaincc(mean**2 / variance, T * mean / variance))
        p_F = f_tail(T / df, df, ddf) if ddf > 2.0 else nan
        rows = {
            "LRT": (T, df, nan, chi2_tail(T, df)),
            "PBtest": (T, nan, nan, self.p_value),
            "Gamma": (T, nan, nan, p_gamma),
            "Bartlett": (scaled, df, nan, chi2_tail(scaled, df)),
            "F": (T / df, df, ddf, p_F),
        }
        return pd.DataFrame.from_dict(
            rows, orient="index", columns=["stat", "df", "ddf", "p.value"]
        ).astype(np.float64)

    def summary(self) -> str:
        """Return text in the layout of pbkrtest's `summary`, without the time."""
        return bootstrap_test_summary(self)

    def __repr__(self) -> str:
        return self.summary()
