"""R's Mersenne-Twister: its seed, its state, its words, and moves along the stream."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal, Self, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.rrandom.arrays import BLOCK, Floats, count

SampleKind: TypeAlias = Literal["Rejection", "Rounding"]

# .Random.seed[1]: how sample() rounds, then Inversion (4) and Mersenne-Twister (03)
KINDS: dict[SampleKind, int] = {"Rejection": 10403, "Rounding": 403}
WORDS = 624

WORD_UNIT = 2.0**-32
SMALLEST_UNIFORM = 0.5 * 2.328306437080797e-10  # what R gives instead of 0


class Stream:
    """R's Mersenne-Twister (Matsumoto & Nishimura 1998); numpy's MT19937 makes the words."""

    def __init__(self, seed: SupportsIndex = 0, sample_kind: SampleKind = "Rejection") -> None:
        if sample_kind not in KINDS:
            raise UsageError(f'sample_kind must be "Rejection" or "Rounding", not {sample_kind!r}.')
        self._sample_kind = sample_kind
        self._words = np.random.MT19937(0)
        self.set_seed(seed)

    @property
    def sample_kind(self) -> SampleKind:
        """How `sample` makes indices (R's `RNGkind()[3]`)."""
        return self._sample_kind

    def set_seed(self, seed: SupportsIndex) -> None:
        """Start again, as R's `set.seed(seed)` does; raises UsageError if R would not take it."""
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
        """Return a stream with this state: R's `.Random.seed`, 626 integers."""
        stream = cls(0)
        stream.state = np.asarray(state)
        return stream

    @property
    def state(self) -> NDArray[np.int32]:
        """R's `.Random.seed`: 626 signed integers (kind, position, 624 words).

        Setting it raises UsageError if the value is not such a state.
        """
        inner: Any = self._words.state["state"]
        words = inner["key"].astype(np.uint32).view(np.int32)
        return np.array([KINDS[self._sample_kind], inner["pos"], *words], dtype=np.int32)

    @state.setter
    def state(self, state: Sequence[int] | NDArray[Any]) -> None:
        given = np.asarray(state)
        if given.shape != (WORDS + 2,) or given.dtype.kind not in "iu":
            raise UsageError(
                f"A state must be R's .Random.seed, {WORDS + 2} integers; "
                f"this one has shape {given.shape} and type {given.dtype}."
            )
        kind, position, words = int(given[0]), int(given[1]), given[2:]
        sample_kind = next((name for name, number in KINDS.items() if number == kind), None)
        if sample_kind is None:
            raise UsageError(
                f"A state of kind {kind} is not supported, only R's default kind "
                f"{KINDS['Rejection']} and the one before R 3.6, {KINDS['Rounding']}: "
                'call RNGkind("Mersenne-Twister", "Inversion", "Rejection") in R first.'
            )
        if not 1 <= position <= WORDS:
            raise UsageError(f"The position in a state must be 1 to {WORDS}, not {position}.")
        if int(words.min()) < -(2**31) or int(words.max()) >= 2**32 or not words.any():
            raise UsageError("The words of a state must be 32-bit integers, not all of them zero.")
        self._sample_kind = sample_kind
        self._set_words((words.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32), position)

    def copy(self) -> Self:
        """Return an independent stream at the same place."""
        return type(self).from_state(self.state)

    def skip_unif(self, n: int) -> None:
        """Move on as `runif(n)` would: n uniforms are discarded, at about 3 ns each."""
        self._words.random_raw(count(n, "n"), output=False)

    def skip_norm(self, n: int) -> None:
        """Move on as `rnorm(n)` would, by two uniforms a normal."""
        self.skip_unif(2 * count(n, "n"))

    def word(self) -> int:
        """Take one word of 32 bits off the stream."""
        return self._words.random_raw()

    def words(self, n: int) -> NDArray[np.uint64]:
        """Take n words of 32 bits off the stream."""
        return self._words.random_raw(n)

    def uniforms(self, n: int) -> Floats:
        """R's `unif_rand`, n times."""
        out = np.empty(n)
        for start in range(0, n, BLOCK):
            u = out[start : start + BLOCK]
            uniforms_from(self.words(u.size), u)
        return out

    def mark(self) -> Any:
        """Remember this place for `rewind`."""
        return self._words.state

    def rewind(self, mark: Any, n: int) -> None:
        """Go to n words after a place that was marked."""
        self._words.state = mark
        self.skip_unif(n)

    def _set_words(self, words: NDArray[np.uint32], position: int) -> None:
        state: Any = {"bit_generator": "MT19937", "state": {"key": words, "pos": position}}
        self._words.state = state


def uniforms_from(words: NDArray[np.uint64], out: Floats) -> None:
    """Write R's uniforms to `out`: words times 2^-32, kept above zero."""
    np.multiply(words, WORD_UNIT, out=out)
    np.maximum(out, SMALLEST_UNIFORM, out=out)
