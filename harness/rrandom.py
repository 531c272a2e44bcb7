"""R's default random streams, bit for bit: Mersenne-Twister, Inversion, Rejection.

The words come from numpy's MT19937, the same generator as R's; what is R's own is how a seed
becomes a state and how words become draws. Equal bits need the same arithmetic: polynomials are
summed in R's order, and logarithms are the C library's (`math.log`), because numpy's vectorised
ones differ from it in the last bit now and then. R itself gives a few other last bits of normals
where the C library's logarithm does, or where its compiler fused multiplications and additions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Self, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError

Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Coefficients: TypeAlias = Sequence[tuple[float, float]]
Parameter: TypeAlias = float | Sequence[float] | NDArray[Any]

KIND = 10403  # .Random.seed[1]: Rejection (1), Inversion (04), Mersenne-Twister (03)
WORDS = 624
BLOCK = 16_384  # draws worked on at a time: the scratch arrays stay in the cache
LARGEST_POPULATION = 4.5e15
HASH_ABOVE = 10_000_000  # sample.int() turns to hashing above this n when size <= n / 2

WORD_UNIT = 2.0**-32
SMALLEST_UNIFORM = 0.5 * 2.328306437080797e-10  # what R gives instead of 0
HIGH_BITS = 27  # norm_rand(): bits taken from the first of its two uniforms

# Wichura (1988), AS 241, PPND16: numerator and denominator, from the highest power down to 1.
CENTRAL = (
    (2509.0809287301226727, 5226.495278852854561),
    (33430.575583588128105, 28729.085735721942674),
    (67265.770927008700853, 39307.89580009271061),
    (45921.953931549871457, 21213.794301586595867),
    (13731.693765509461125, 5394.1960214247511077),
    (1971.5909503065514427, 687.1870074920579083),
    (133.14166789178437745, 42.313330701600911252),
    (3.387132872796366608, 1.0),
)
NEAR_TAIL = (
    (7.7454501427834140764e-4, 1.05075007164441684324e-9),
    (0.0227238449892691845833, 5.475938084995344946e-4),
    (0.24178072517745061177, 0.0151986665636164571966),
    (1.27045825245236838258, 0.14810397642748007459),
    (3.64784832476320460504, 0.68976733498510000455),
    (5.7694972214606914055, 1.6763848301838038494),
    (4.6303378461565452959, 2.05319162663775882187),
    (1.42343711074968357734, 1.0),
)
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.04426310338993978564e-15),
    (2.71155556874348757815e-5, 1.4215117583164458887e-7),
    (0.0012426609473880784386, 1.8463183175100546818e-5),
    (0.026532189526576123093, 7.868691311456132591e-4),
    (0.29656057182850489123, 0.0148753612908506148525),
    (1.7848265399172913358, 0.13692988092273580531),
    (5.4637849111641143699, 0.59983220655588793769),
    (6.6579046435011037772, 1.0),
)

# Ahrens & Dieter (1972), algorithm SA: sum over i = 1..k of log(2)^i / i!, as R rounds it.
EXP_SUMS = np.fromstring(
    """0.6931471805599453 0.9333736875190459 0.9888777961838675 0.998495925291496
    0.9998292811061389 0.9999833164100727 0.9999985691438767 0.9999998906925558
    0.9999999924734159 0.9999999995283275 0.9999999999728814 0.9999999999985598
    0.9999999999999289 0.9999999999999968 0.9999999999999999 1.0""",
    sep=" ",
)
LOG2 = float(EXP_SUMS[0])
LOG2_MULTIPLES = np.cumsum([0.0] + 40 * [LOG2])  # added one by one, as R does, not multiplied


class RRandom:
    """A stream of R's default generators, started by `set.seed(seed)`.

    Parameters
    ----------
    seed
        Any integer that R takes: -2147483647 to 2147483647.

    Raises
    ------
    UsageError
        If the seed is none of these.

    Notes
    -----
    Matsumoto & Nishimura (1998) for the words; R's `RNG.c`, `snorm.c`, `sexp.c` for the draws.
    Parameters of distributions are recycled; those that R answers with NaN and a warning give NaN.
    """

    def __init__(self, seed: SupportsIndex) -> None:
        self._words = np.random.MT19937(0)
        self.set_seed(seed)

    def set_seed(self, seed: SupportsIndex) -> None:
        """Start again, as R's `set.seed(seed)` does; UsageError if R would not take the seed."""
        try:
            value = operator.index(seed)
        except TypeError:
            value = 2**31
        if abs(value) >= 2**31:
            raise UsageError(f"The seed {seed!r} is not an integer from -2147483647 to 2147483647.")
        chain = [value % 2**32]
        for _ in range(50 + 1 + WORDS):
            chain.append((69069 * chain[-1] + 1) % 2**32)
        self._set_words(np.array(chain[-WORDS:], dtype=np.uint32), WORDS)

    @classmethod
    def from_state(cls, state: Sequence[int] | NDArray[Any]) -> Self:
        """Continue where another stream stood: `state` is R's `.Random.seed`, 626 integers."""
        stream = cls(0)
        stream.state = np.asarray(state)
        return stream

    @property
    def state(self) -> NDArray[np.int32]:
        """R's `.Random.seed`: 626 signed integers (kind, position, 624 words).

        Setting it raises UsageError on what is not such a state.
        """
        inner: Any = self._words.state["state"]
        return np.array([KIND, inner["pos"], *inner["key"].astype(np.uint32).view(np.int32)], "i4")

    @state.setter
    def state(self, state: Sequence[int] | NDArray[Any]) -> None:
        given = np.asarray(state)
        if given.shape != (WORDS + 2,) or given.dtype.kind not in "iu":
            raise UsageError(
                f"A state is R's .Random.seed, {WORDS + 2} integers; "
                f"this one has shape {given.shape} and type {given.dtype}."
            )
        kind, position, words = int(given[0]), int(given[1]), given[2:]
        if kind != KIND:
            raise UsageError(
                f"A state of kind {kind} is not of R's default kind {KIND}; "
                'call RNGkind("Mersenne-Twister", "Inversion", "Rejection") in R first.'
            )
        if not 1 <= position <= WORDS:
            raise UsageError(f"The position in a state is 1 to {WORDS}, not {position}.")
        if int(words.min()) < -(2**31) or int(words.max()) >= 2**32 or not words.any():
            raise UsageError("The words of a state are 32-bit integers, and not all of them zero.")
        self._set_words((words.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32), position)

    def copy(self) -> Self:
        """Return an independent stream that stands at the same place."""
        return type(self).from_state(self.state)

    def skip_unif(self, n: int) -> None:
        """Move on as `runif(n)` would: n uniforms are discarded, at about 3 ns each."""
        self._words.random_raw(_count(n, "n"), output=False)

    def skip_norm(self, n: int) -> None:
        """Move on as `rnorm(n)` would, without its quantiles: two uniforms a normal."""
        self.skip_unif(2 * _count(n, "n"))

    def runif(self, n: int, min: Parameter = 0.0, max: Parameter = 1.0) -> Floats:
        """Return n uniforms, shape (n,), as R's `runif`; min = max takes nothing off the stream."""
        n = _count(n, "n")
        low, high = _recycle(n, min), _recycle(n, max)
        valid = np.isfinite(low) & np.isfinite(high) & (low <= high)
        idle, live = np.where(valid, low, np.nan), valid & (low < high)
        with np.errstate(invalid="ignore", over="ignore"):
            width = high - low
        return _place(n, self._uniforms, scale=width, shift=low, idle=idle, live=live)

    def rnorm(self, n: int, mean: Parameter = 0.0, sd: Parameter = 1.0) -> Floats:
        """Return n normals, shape (n,), as R's `rnorm`; sd = 0 takes nothing off the stream."""
        n = _count(n, "n")
        mean, sd = _recycle(n, mean), _recycle(n, sd)
        valid = np.isfinite(sd) & (sd >= 0)
        idle, live = np.where(valid, mean, np.nan), valid & (sd > 0) & np.isfinite(mean)
        return _place(n, self._normals, scale=sd, shift=mean, idle=idle, live=live)

    def rexp(self, n: int, rate: Parameter = 1.0) -> Floats:
        """Return n exponentials, shape (n,), as R's `rexp`; an infinite rate gives 0."""
        n = _count(n, "n")
        with np.errstate(divide="ignore"):
            scale = 1.0 / _recycle(n, rate)
        idle, live = np.where(scale == 0, 0.0, np.nan), np.isfinite(scale) & (scale > 0)
        return _place(n, self._exponentials, scale=scale, shift=np.zeros(1), idle=idle, live=live)

    def sample(
        self, x: int | Sequence[Any] | NDArray[Any], size: int | None = None, replace: bool = False
    ) -> NDArray[Any]:
        """Sample from 1..x if x is an integer, else from the elements of x, as R's `sample`.

        A sequence is always itself: R would take `c(5)` for 1:5, this does not.

        Returns
        -------
        Array of shape (size,), as long as x if size is None: int64, or of the dtype of x.

        Raises
        ------
        UsageError
            If x is neither an integer of at least 1 nor of one dimension, or has too few elements.
        """
        given = np.asarray(x)
        if given.ndim > 1:
            raise UsageError(f"sample() takes one dimension, not {given.ndim}.")
        n = given.size if given.ndim else _count(x, "x")
        if given.ndim == 0 and not 1 <= n <= LARGEST_POPULATION:
            raise UsageError(f"sample() takes an integer from 1 to 4.5e15, not {n}.")
        k = n if size is None else _count(size, "size")
        if k > n and (n == 0 or not replace):
            raise UsageError(f"A sample of {k} out of {n} needs replace=True and an element.")
        if replace or k < 2:
            index = self._indices(n, k)
        elif n > HASH_ABOVE and k <= n / 2:
            index = self._distinct_indices(n, k)
        else:
            index = self._shuffled_indices(n, k)
        return given[index] if given.ndim else index + 1

    def standard_normals(self, out: Floats) -> Floats:
        """Fill `out` with standard normals in place, and return it: R's `norm_rand`, Inversion.

        `out` is contiguous float64 of any shape (else UsageError), and filled in the order of its
        memory: an F-ordered matrix by columns, as R's `matrix(rnorm(...), ...)`.
        """
        if out.dtype != np.float64 or not out.flags.forc or not out.flags.writeable:
            raise UsageError("standard_normals() fills a writeable contiguous array of float64.")
        flat = out.ravel(order="K")
        scratch = np.empty((4, min(flat.size, BLOCK)))
        for start in range(0, flat.size, BLOCK):
            z = flat[start : start + BLOCK]
            p, low, *_ = work = scratch[:, : z.size]
            words = self._words.random_raw(2 * z.size)
            np.multiply(words[1::2], WORD_UNIT, out=low)
            np.maximum(low, SMALLEST_UNIFORM, out=low)
            np.add(words[::2] >> (32 - HIGH_BITS), low, out=p)
            p *= 2.0**-HIGH_BITS
            _qnorm(p, z, work[1:])
        return out

    def _set_words(self, words: NDArray[np.uint32], position: int) -> None:
        state: Any = {"bit_generator": "MT19937", "state": {"key": words, "pos": position}}
        self._words.state = state

    def _uniforms(self, n: int) -> Floats:
        """R's `unif_rand`, n times: a word times 2^-32, kept off zero."""
        out = np.empty(n)
        for start in range(0, n, BLOCK):
            u = out[start : start + BLOCK]
            np.multiply(self._words.random_raw(u.size), WORD_UNIT, out=u)
            np.maximum(u, SMALLEST_UNIFORM, out=u)
        return out

    def _normals(self, n: int) -> Floats:
        return self.standard_normals(np.empty(n))

    def _exponentials(self, n: int) -> Floats:
        """R's `exp_rand`, n times.

        A draw takes one uniform or at least three, so none is taken too many if no more are
        fetched at a time than draws are missing; an unfinished draw waits for the next round.
        """
        out = np.empty(n)
        done = 0
        pending = np.empty(0)
        while done < n:
            u = np.concatenate([pending, self._uniforms(min(n - done, BLOCK))])
            values, used = _exponentials_from(u)
            out[done : done + values.size] = values
            done += values.size
            pending = u[used:]
        return out

    def _candidates(self, n: int, bits: int) -> Ints:
        """R's `rbits`, n times: `bits` random bits, 16 from each uniform, one uniform at least."""
        parts = self._words.random_raw(n * (bits // 16 + 1)).reshape(n, -1) >> 16
        value = parts[:, 0].astype(np.int64)  # at most 52 bits are asked for: the sign is cut off
        for part in parts[:, 1:].T:
            value <<= 16
            value |= part.astype(np.int64)
        value &= 2**bits - 1
        return value

    def _indices(self, n: int, size: int) -> Ints:
        """R's `R_unif_index(n)`, `size` times; as many candidates a round as are missing."""
        out = np.empty(size, dtype=np.int64)
        done = 0
        while done < size:
            drawn = self._candidates(min(size - done, BLOCK), _bits(n))
            kept = drawn[drawn < n]
            out[done : done + kept.size] = kept
            done += kept.size
        return out

    def _shuffled_indices(self, n: int, size: int) -> Ints:
        """Sample by drawing one of those left, and putting the last one in its place."""
        left: Any = memoryview(np.arange(n))  # type: ignore[arg-type]
        drawn: list[int] = []
        while len(drawn) < size:
            bits = _bits(n)
            fewest = (1 << bits) >> 1  # with so few elements left a draw takes one bit less
            tries = min(size - len(drawn), n - fewest, BLOCK)
            for index in self._candidates(tries, bits).tolist():
                if index < n:
                    n -= 1
                    drawn.append(left[index])
                    left[index] = left[n]
        return np.array(drawn, dtype=np.int64)

    def _distinct_indices(self, n: int, size: int) -> Ints:
        """Sample by drawing again whatever was drawn before: R's `sample2`."""
        out = np.empty(0, dtype=np.int64)
        while out.size < size:
            out = np.concatenate([out, self._indices(n, size - out.size)])
            out = out[np.sort(np.unique(out, return_index=True)[1])]
        return out


def _count(n: object, name: str) -> int:
    try:
        value = operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0:
        raise UsageError(f"{name} is a whole number of at least 0, not {n!r}.")
    return value


def _bits(n: int) -> int:
    return math.ceil(math.log2(n))


def _recycle(n: int, parameter: Parameter) -> Floats:
    """Make one value or n of a parameter; none becomes NaN, as in R."""
    try:
        values = np.atleast_1d(np.asarray(parameter, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1:
        raise UsageError("A parameter is a number or one dimension of numbers.")
    if values.size == 0:
        return np.array([np.nan])
    return values if values.size == 1 else np.resize(values, n)


def _place(
    n: int,
    draw: Callable[[int], Floats],
    *,
    scale: Floats,
    shift: Floats,
    idle: Floats,
    live: Flags,
) -> Floats:
    """Return shift + scale * draw where live; elsewhere idle, at no cost to the stream."""
    if live.all():
        out = draw(n)
        out *= scale
        out += shift
        return out
    live = np.broadcast_to(live, n)
    scale, shift = np.broadcast_to(scale, n), np.broadcast_to(shift, n)
    out = np.array(np.broadcast_to(idle, n))
    out[live] = shift[live] + scale[live] * draw(int(live.sum()))
    return out


def _polynomials(coefficients: Coefficients, r: Floats, over: Floats, under: Floats) -> None:
    """Evaluate both polynomials at r by Horner's rule, into `over` and `under`."""
    for power, (a, b) in enumerate(coefficients):
        if power == 0:
            np.multiply(r, a, out=over)
            np.multiply(r, b, out=under)
        else:
            over += a
            under += b
            if power < len(coefficients) - 1:
                over *= r
                under *= r


def _qnorm(p: Floats, out: Floats, scratch: Floats) -> None:
    """Write the normal quantiles of p in (0, 1] to out; scratch has the shape (3, p.size)."""
    q, r, under = scratch
    np.subtract(p, 0.5, out=q)
    np.multiply(q, q, out=r)
    np.subtract(0.180625, r, out=r)
    _polynomials(CENTRAL, r, out, under)
    out *= q
    with np.errstate(all="ignore"):  # in the tails, which are written over
        out /= under

    tails = np.flatnonzero(np.abs(q, out=r) > 0.425)
    lower, area = q[tails] < 0, p[tails]
    area = np.where(lower, area, 0.5 - area + 0.5)
    r = np.maximum(area, np.finfo(float).tiny)  # p may round to 1, of which R's quantile is Inf
    r = np.sqrt(-np.fromiter(map(math.log, r.tolist()), np.float64, count=r.size))
    values = _tail(NEAR_TAIL, r - 1.6)
    if (far := r > 5).any():
        values[far] = np.where(area[far] > 0, _tail(FAR_TAIL, r[far] - 5.0), np.inf)
    out[tails] = np.where(lower, -values, values)


def _tail(coefficients: Coefficients, r: Floats) -> Floats:
    over, under = np.empty((2, r.size))
    _polynomials(coefficients, r, over, under)
    over /= under
    return over


def _exponentials_from(u: Floats) -> tuple[Floats, int]:
    """Make exponentials of uniforms; return them, and how many uniforms they took.

    Algorithm SA of Ahrens & Dieter (1972), first as if a draw began at every uniform: doubled
    until it exceeds 1, it leaves a fraction and a multiple of log(2). If the fraction is at most
    log(2) the draw ends there (short), else it needs the least of two or more further ones (long).
    """
    fraction, exponent = np.frexp(u)
    fraction += fraction
    fraction -= 1.0
    power_of_two = np.flatnonzero(fraction == 0.0)  # reaches 1 without exceeding it: once more
    fraction[power_of_two] = 1.0
    exponent[power_of_two] -= 1
    values = LOG2_MULTIPLES.take(-exponent)

    is_long = fraction > LOG2
    longs = np.flatnonzero(is_long)
    ends = longs + 3
    longer = np.flatnonzero(fraction.take(longs) > EXP_SUMS[1])
    ends[longer] += EXP_SUMS[1:].searchsorted(fraction[longs[longer]])
    first_free = np.cumsum(is_long).take(ends - 1, mode="clip")  # the next long one not taken
    begun = _visited(np.append(first_free, longs.size))
    longs, ends = longs.take(begun), ends.take(begun)
    used = u.size
    if longs.size and ends[-1] > u.size:  # the last draw is unfinished
        used = int(longs[-1])
        longs, ends = longs[:-1], ends[:-1]

    begins = np.ones(u.size, dtype=np.bool_)
    begins[longs + 1] = begins[longs + 2] = False
    least = np.minimum(u.take(longs + 1), u.take(longs + 2))
    further, which = longs + 3, np.arange(longs.size)
    while (open_ := further < ends[which]).any():
        further, which = further[open_], which[open_]
        begins[further] = False
        least[which] = np.minimum(least[which], u[further])
        further += 1
    fraction[longs] = least * LOG2
    values += fraction
    return values[:used].compress(begins[:used]), used


def _visited(following: NDArray[np.intp]) -> NDArray[np.intp]:
    """List the places that lead from 0 to the last one, by doubling the length of the step."""
    last = following.size - 1
    visited = np.zeros(1, dtype=np.intp)
    while visited[-1] < last:
        visited = np.concatenate([visited, following.take(visited)])
        following = following.take(following)
    return visited[: visited.searchsorted(last)]
