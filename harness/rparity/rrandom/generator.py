"""`RRandom`: R's functions that draw random numbers, with R's default generators."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.rrandom.arrays import BLOCK, Floats, Ints, Parameter, count, counted, place, recycle
from rparity.rrandom.beta import beta
from rparity.rrandom.binomial import binomials, multinomial
from rparity.rrandom.exponential import exponentials
from rparity.rrandom.gamma import chi_squared, gamma, student
from rparity.rrandom.hypergeometric import LARGEST_TOTAL, hypergeometric
from rparity.rrandom.indices import distinct_indices, indices, shuffled_indices
from rparity.rrandom.normal import normals_from
from rparity.rrandom.poisson import poissons
from rparity.rrandom.source import each, one_by_one
from rparity.rrandom.stream import Stream, uniforms_from
from rparity.rrandom.transformed import (
    cauchy,
    exp,
    fisher,
    geometric,
    logistic,
    negative_binomial,
    weibull,
)
from rparity.rrandom.weighted import (
    distinct_weighted_indices,
    probabilities,
    weighted_indices,
)

LARGEST_POPULATION = 4.5e15


class RRandom(Stream):
    """A stream of R's default generators, started by `set.seed(seed)`.

    Parameters
    ----------
    seed
        Any integer that R takes: -2147483647 to 2147483647.
    sample_kind
        How `sample` makes indices, as in R's `RNGkind`: "Rejection", or "Rounding" as before R 3.6.

    Raises
    ------
    UsageError
        If R would not take the seed, or there is no such sample kind.

    Notes
    -----
    Every draw takes as many words off the stream as in R. Parameters are recycled. Where R returns
    NaN with a warning, the draw is NaN and a RuntimeWarning is given.
    """

    @classmethod
    def of(cls, rng: RRandom | SupportsIndex) -> RRandom:
        """Return a stream as it is, or a new one for a seed; raises UsageError for all else."""
        return rng if isinstance(rng, RRandom) else cls(rng)

    def runif(self, n: int, min: Parameter = 0.0, max: Parameter = 1.0) -> Floats:
        """Return n uniforms, shape (n,), as R's `runif`; min = max takes nothing off the stream."""
        n = count(n, "n")
        low, high = recycle(n, min), recycle(n, max)
        valid = np.isfinite(low) & np.isfinite(high) & (low <= high)
        idle, live = np.where(valid, low, np.nan), valid & (low < high)
        with np.errstate(invalid="ignore", over="ignore"):
            width = high - low

        def draw(k: int, width: Floats, low: Floats) -> Floats:
            return _affine(self.uniforms(k), width, low)

        return place(n, live, idle, draw, width, low)

    def rnorm(self, n: int, mean: Parameter = 0.0, sd: Parameter = 1.0) -> Floats:
        """Return n normals, shape (n,), as R's `rnorm`; sd = 0 takes nothing off the stream."""
        n = count(n, "n")
        mean, sd = recycle(n, mean), recycle(n, sd)
        valid = np.isfinite(sd) & (sd >= 0)
        idle, live = np.where(valid, mean, np.nan), valid & (sd > 0) & np.isfinite(mean)

        def draw(k: int, sd: Floats, mean: Floats) -> Floats:
            return _affine(self._normals(k), sd, mean)

        return place(n, live, idle, draw, sd, mean)

    def rexp(self, n: int, rate: Parameter = 1.0) -> Floats:
        """Return n exponentials, shape (n,), as R's `rexp`; an infinite rate gives 0."""
        n = count(n, "n")
        with np.errstate(divide="ignore"):
            scale = 1.0 / recycle(n, rate)
        idle, live = np.where(scale == 0, 0.0, np.nan), np.isfinite(scale) & (scale > 0)
        return place(n, live, idle, lambda k, s: s * exponentials(self.uniforms, k), scale)

    def rgamma(
        self,
        n: int,
        shape: Parameter,
        rate: Parameter | None = None,
        *,
        scale: Parameter | None = None,
    ) -> Floats:
        """Return n gamma variates, shape (n,), as R's `rgamma`; the default rate is 1.

        A shape or scale of 0 gives 0, an infinite one Inf; neither takes anything off the stream.
        Raises UsageError if both rate and scale are given.
        """
        n = count(n, "n")
        if rate is not None and scale is not None:
            raise UsageError("rgamma() takes a rate or a scale, not both.")
        shape = recycle(n, shape)
        if scale is None:
            with np.errstate(divide="ignore"):
                scale = 1.0 / recycle(n, 1.0 if rate is None else rate)
        scale = recycle(n, scale)
        none = (shape == 0) & ~np.isnan(scale) | (scale == 0) & ~np.isnan(shape)
        some = (shape > 0) & (scale > 0)
        idle = np.where(none, 0.0, np.where(some, np.inf, np.nan))
        live = some & np.isfinite(shape) & np.isfinite(scale)
        return place(n, live, idle, lambda k, *p: each(self, k, gamma, *p), shape, scale)

    def rchisq(self, n: int, df: Parameter) -> Floats:
        """Return n chi-squared variates, shape (n,), as R's `rchisq`; df = 0 gives 0."""
        n = count(n, "n")
        df = recycle(n, df)
        idle, live = np.where(df == 0, 0.0, np.nan), (df > 0) & np.isfinite(df)
        return place(n, live, idle, lambda k, df: each(self, k, chi_squared, df), df)

    def rt(self, n: int, df: Parameter) -> Floats:
        """Return n of Student's t variates, shape (n,), as R's `rt`; df may be infinite."""
        n = count(n, "n")
        df = recycle(n, df)
        return place(n, df > 0, np.full(1, np.nan), lambda k, df: each(self, k, student, df), df)

    def rbeta(self, n: int, shape1: Parameter, shape2: Parameter) -> Floats:
        """Return n beta variates, shape (n,), as R's `rbeta`.

        A shape of 0 or Inf puts all mass at 0 or 1, and two shapes of Inf at 0.5; such draws take
        nothing off the stream. Two shapes of 0 give 0 or 1, each half of the time.
        """
        n = count(n, "n")
        a, b = recycle(n, shape1), recycle(n, shape2)
        valid = (a >= 0) & (b >= 0)
        at_one = np.where(np.isinf(a) | (b == 0), 1.0, 0.0)
        idle = np.where(valid, np.where(np.isinf(a) & np.isinf(b), 0.5, at_one), np.nan)
        live = valid & np.isfinite(a) & np.isfinite(b) & ((a > 0) == (b > 0))
        return place(n, live, idle, lambda k, *p: each(self, k, beta, *p), a, b)

    def rbinom(self, n: int, size: Parameter, prob: Parameter) -> Ints | Floats:
        """Return n binomial variates, shape (n,), as R's `rbinom`.

        Returns
        -------
        An array of int64, or of float64 if a draw is NaN.
        """
        n = count(n, "n")
        size, prob = recycle(n, size), recycle(n, prob)
        valid = np.isfinite(size) & (size == np.rint(size)) & (size >= 0)
        valid = valid & (prob >= 0) & (prob <= 1)
        live = valid & (size > 0) & (prob > 0) & (prob < 1)
        idle = np.where(valid, np.where(prob == 1, size, 0.0), np.nan)
        return counted(place(n, live, idle, lambda k, *p: binomials(self, k, *p), size, prob))

    def rpois(self, n: int, lam: Parameter) -> Ints | Floats:
        """Return n Poisson variates of mean `lam`, shape (n,), as R's `rpois`.

        Returns
        -------
        An array of int64, or of float64 if a draw is NaN or above 2^53.
        """
        n = count(n, "n")
        mean = recycle(n, lam)
        valid = np.isfinite(mean) & (mean >= 0)
        idle = np.where(valid, 0.0, np.nan)
        live = valid & (mean > 0)
        return counted(place(n, live, idle, lambda k, mean: poissons(self, k, mean), mean))

    def rlnorm(self, n: int, meanlog: Parameter = 0.0, sdlog: Parameter = 1.0) -> Floats:
        """Return n log-normal variates, shape (n,), as R's `rlnorm`."""
        n = count(n, "n")
        mean, sd = recycle(n, meanlog), recycle(n, sdlog)
        valid = np.isfinite(sd) & (sd >= 0)
        idle, live = np.where(valid, mean, np.nan), valid & (sd > 0) & np.isfinite(mean)
        idle = np.array([exp(value) for value in np.broadcast_to(idle, live.shape).tolist()])

        def draw(k: int, sd: Floats, mean: Floats) -> Floats:
            logs = _affine(self._normals(k), sd, mean)
            return np.fromiter(map(exp, logs.tolist()), np.float64, count=k)

        return place(n, live, idle, draw, sd, mean)

    def rweibull(self, n: int, shape: Parameter, scale: Parameter = 1.0) -> Floats:
        """Return n Weibull variates, shape (n,), as R's `rweibull`; a scale of 0 gives 0."""
        n = count(n, "n")
        shape, scale = recycle(n, shape), recycle(n, scale)
        live = np.isfinite(shape) & np.isfinite(scale) & (shape > 0) & (scale > 0)
        idle = np.where(scale == 0, 0.0, np.nan)
        return place(n, live, idle, lambda k, *p: each(self, k, weibull, *p), shape, scale)

    def rlogis(self, n: int, location: Parameter = 0.0, scale: Parameter = 1.0) -> Floats:
        """Return n logistic variates, shape (n,), as R's `rlogis`."""
        n = count(n, "n")
        at, scale = recycle(n, location), recycle(n, scale)
        valid = np.isfinite(scale)
        idle, live = np.where(valid, at, np.nan), valid & (scale != 0) & np.isfinite(at)
        return place(n, live, idle, lambda k, *p: each(self, k, logistic, *p), at, scale)

    def rcauchy(self, n: int, location: Parameter = 0.0, scale: Parameter = 1.0) -> Floats:
        """Return n Cauchy variates, shape (n,), as R's `rcauchy`."""
        n = count(n, "n")
        at, scale = recycle(n, location), recycle(n, scale)
        valid = np.isfinite(scale) & (scale >= 0)
        idle, live = np.where(valid, at, np.nan), valid & (scale > 0) & np.isfinite(at)
        return place(n, live, idle, lambda k, *p: each(self, k, cauchy, *p), at, scale)

    def rf(self, n: int, df1: Parameter, df2: Parameter) -> Floats:
        """Return n of Fisher's F variates, shape (n,), as R's `rf`; either df may be infinite."""
        n = count(n, "n")
        df1, df2 = recycle(n, df1), recycle(n, df2)
        live, idle = (df1 > 0) & (df2 > 0), np.full(1, np.nan)
        return place(n, live, idle, lambda k, *p: each(self, k, fisher, *p), df1, df2)

    def rgeom(self, n: int, prob: Parameter) -> Ints | Floats:
        """Return n geometric variates, shape (n,), as R's `rgeom`: failures before a success.

        Returns
        -------
        An array of int64, or of float64 if a draw is NaN or above 2^53.
        """
        n = count(n, "n")
        p = recycle(n, prob)
        live, idle = (p > 0) & (p <= 1), np.full(1, np.nan)
        return counted(place(n, live, idle, lambda k, p: each(self, k, geometric, p), p))

    def rnbinom(
        self,
        n: int,
        size: Parameter,
        prob: Parameter | None = None,
        *,
        mu: Parameter | None = None,
    ) -> Ints | Floats:
        """Return n negative binomial variates, shape (n,), as R's `rnbinom`.

        The mean is `mu`, or size (1 − prob) / prob. Raises UsageError unless one of them is given.

        Returns
        -------
        An array of int64, or of float64 if a draw is NaN or above 2^53.
        """
        n = count(n, "n")
        if (prob is None) == (mu is None):
            raise UsageError("rnbinom() takes either prob or mu.")
        size = recycle(n, size)
        with np.errstate(all="ignore"):
            if prob is not None:
                p = recycle(n, prob)
                valid, none = (p > 0) & (p <= 1), p == 1
                ratio = (1.0 - p) / p
            else:
                mean = recycle(n, 0.0 if mu is None else mu)
                valid, none = np.isfinite(mean) & (mean >= 0), mean == 0
                ratio = mean / np.minimum(size, sys.float_info.max / 2.0)
        valid = valid & (size > 0)
        idle, live = np.where(valid, 0.0, np.nan), valid & ~none
        return counted(
            place(n, live, idle, lambda k, *p: each(self, k, negative_binomial, *p), size, ratio)
        )

    def rhyper(self, nn: int, m: Parameter, n: Parameter, k: Parameter) -> Ints | Floats:
        """Return nn hypergeometric variates, shape (nn,), as R's `rhyper`.

        They are the numbers of white balls among k that are drawn from m white and n black ones.

        Returns
        -------
        An array of int64, or of float64 if a draw is NaN.

        Raises
        ------
        UsageError
            For more than 2147483647 balls.
        """
        nn = count(nn, "nn")
        m, n, k = (np.rint(recycle(nn, values)) for values in (m, n, k))
        with np.errstate(invalid="ignore"):
            total = m + n
            live = (m >= 0) & (n >= 0) & (k >= 0) & (k <= total) & np.isfinite(total)
        if (live & (total > LARGEST_TOTAL)).any():
            raise UsageError(f"rhyper() takes at most {LARGEST_TOTAL} balls.")
        idle = np.full(1, np.nan)
        return counted(
            place(nn, live, idle, lambda k, *p: each(self, k, hypergeometric, *p), m, n, k)
        )

    def rsignrank(self, nn: int, n: Parameter) -> Ints | Floats:
        """Return nn of Wilcoxon's signed rank statistics of n observations, as R's `rsignrank`.

        Returns
        -------
        An array of shape (nn,): int64, or float64 if a draw is NaN.
        """
        nn = count(nn, "nn")
        n = np.rint(recycle(nn, n))
        live, idle = n >= 0, np.full(1, np.nan)

        def draw(k: int, n: Floats) -> Floats:
            sizes = np.broadcast_to(n, k).astype(np.int64)
            signs = (np.floor(self.uniforms(size) + 0.5) for size in sizes)
            return np.array([s @ np.arange(1.0, len(s) + 1.0) for s in signs], np.float64)

        return counted(place(nn, live, idle, draw, n))

    def rwilcox(self, nn: int, m: Parameter, n: Parameter) -> Ints | Floats:
        """Return nn of Wilcoxon's rank sum statistics of m and n observations, as R's `rwilcox`.

        Returns
        -------
        An array of shape (nn,): int64, or float64 if a draw is NaN.
        """
        nn = count(nn, "nn")
        m, n = np.rint(recycle(nn, m)), np.rint(recycle(nn, n))
        valid = (m >= 0) & (n >= 0)
        idle, live = np.where(valid, 0.0, np.nan), valid & (m > 0) & (n > 0)

        def draw(k: int, m: Floats, n: Floats) -> Floats:
            pairs = np.broadcast_to(np.stack(np.broadcast_arrays(m, n)), (2, k)).astype(np.int64)
            sums = (
                int(shuffled_indices(self, a + b, b).sum()) - b * (b - 1) // 2 for a, b in pairs.T
            )
            return np.fromiter(sums, np.float64, count=k)

        return counted(place(nn, live, idle, draw, m, n))

    def rmultinom(self, n: int, size: int, prob: Parameter) -> Ints:
        """Return n multinomial vectors of K classes as columns, shape (K, n), as R's `rmultinom`.

        `prob` has the weights of the classes; they need not add up to 1.

        Raises
        ------
        UsageError
            If R would not take prob.
        """
        n, size = count(n, "n"), count(size, "size")
        K = np.size(prob)
        p = probabilities(prob, K, K, replace=True)
        with one_by_one(self, n * K) as source:
            draw = multinomial(source, size, p)
            found = [draw() for _ in range(n)]
        return np.array(found, dtype=np.int64).reshape(n, K).T

    def sample(
        self,
        x: float | Sequence[Any] | NDArray[Any],
        size: int | None = None,
        replace: bool = False,
        prob: Parameter | None = None,
    ) -> NDArray[Any]:
        """Sample from 1..x if x is a number, else from the elements of x, as R's `sample`.

        Unlike R, which reads `c(5)` as 1:5, this samples a sequence of one from its one element.

        Parameters
        ----------
        x
            A number of at least 1, whose fraction is ignored, or a sequence of one dimension.
        size
            Number of elements to draw; all of x if None.
        replace
            Whether an element may be drawn again.
        prob
            Weights, one for each element; they need not add up to 1.

        Returns
        -------
        Array of shape (size,): int64, or of the dtype of x.

        Raises
        ------
        UsageError
            If x is neither of these or has too few elements, or if R would not take prob.
        """
        given = np.asarray(x)
        if given.ndim > 1:
            raise UsageError(
                f"sample() takes a number or one dimension, not {given.ndim} dimensions."
            )
        n = given.size if given.ndim else _population(given)
        k = n if size is None else count(size, "size")
        if k > n and (n == 0 or not replace):
            raise UsageError(
                f"A sample of {k} cannot be drawn from {n} elements: give a smaller size, or "
                "replace=True and at least one element."
            )
        if prob is not None:
            p = probabilities(prob, n, k, replace)
            index = (weighted_indices if replace else distinct_weighted_indices)(self, p, k)
        else:
            index = (indices if replace or k < 2 else distinct_indices)(self, n, k)
        return given[index] if given.ndim else index + 1

    def _normals(self, n: int) -> Floats:
        """Return n standard normals (R's `norm_rand`, Inversion)."""
        out, scratch = np.empty(n), np.empty((4, min(n, BLOCK)))
        for start in range(0, n, BLOCK):
            z = out[start : start + BLOCK]
            low, *_ = work = scratch[:, : z.size]
            words = self.words(2 * z.size)
            uniforms_from(words[1::2], low)
            normals_from(words[::2], low, z, work[1:])
        return out


def _affine(values: Floats, scale: Floats, shift: Floats) -> Floats:
    values *= scale
    values += shift
    return values


def _population(x: NDArray[Any]) -> int:
    """Return the whole part of x, if x is a number from which R samples 1..x."""
    if x.dtype.kind not in "iuf" or not 1 <= x <= LARGEST_POPULATION:
        raise UsageError(
            f"sample() takes a number from 1 to 4.5e15 or a sequence, not {x.item()!r}."
        )
    return int(x)
