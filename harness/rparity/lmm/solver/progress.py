"""A progress bar for fits that take seconds, with an estimate of the time that is left."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

# Called after each step of a search, with what the step to come lowers the deviance by.
Watch = Callable[[float], None]

# Seconds before a bar appears.
PATIENCE = 2.0
# Far from the optimum, steps come down to a predicted decrease of about one in so many; from there
# on, each step divides the decrease by this factor at least, down to the last one's.
FAR, FACTOR, LAST = 3, 1e4, 1e-13


def steps_left(decrease: float) -> int:
    """Estimate how many steps a search still needs, given the decrease that the next predicts."""
    if not math.isfinite(decrease) or decrease > 1.0:
        return FAR + round(-math.log(LAST) / math.log(FACTOR))
    return round(math.log(decrease / LAST) / math.log(FACTOR)) if decrease > LAST else 0


class SearchProgress:
    """A `Watch` that shows a bar on a terminal, once a search has taken two seconds.

    The estimate is the time of a step times the steps that are left, see `steps_left`. If `stream`
    (standard error) is not a terminal, nothing is shown.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._begin = time.monotonic()
        self._steps = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, decrease: float) -> None:
        """Count a step, and show how many there may be."""
        self._steps += 1
        elapsed = time.monotonic() - self._begin
        if elapsed < PATIENCE or not self._stream.isatty():
            return
        left = steps_left(decrease)
        if self._bar is None:
            self._bar = _bar(self._stream)
        self._bar.update(
            self._bar.task_ids[0],
            completed=self._steps,
            total=self._steps + left,
            description=f"lmer: about {_duration(elapsed / self._steps * left)} left",
        )


def one_by_one(what: str, names: Sequence[str], stream: TextIO | None = None) -> Iterator[str]:
    """Yield names of work; on a terminal, after two seconds, show which is done and the time left.

    The estimate is the mean time of those that are done, times the number of those that are left.
    """
    stream = sys.stderr if stream is None else stream
    begin = time.monotonic()
    bar: Progress | None = None
    try:
        for done, name in enumerate(names):
            elapsed = time.monotonic() - begin
            if done and elapsed >= PATIENCE and stream.isatty():
                bar = bar or _bar(stream)
                left = _duration(elapsed / done * (len(names) - done))
                text = f"{what}: {name}, about {left} left"
                bar.update(bar.task_ids[0], completed=done, total=len(names), description=text)
            yield name
    finally:
        if bar is not None:
            bar.stop()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _bar(stream: TextIO) -> Progress:
    """Start a bar with one task, which disappears when it is stopped."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        console=Console(file=stream),
        transient=True,
    )
    bar.add_task("", total=None)
    bar.start()
    return bar
