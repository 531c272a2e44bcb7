"""A campaign: workers judge designs, a store keeps the results, unexplained ones are shrunk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from rparity import __version__
from rparity.engines.base import engine_names
from rparity.errors import (
    RCrashedError,
    RTimeoutError,
    UsageError,
    WorkerCrashedError,
    install,
    require_seconds,
)
from rparity.fuzz.design import Design
from rparity.fuzz.draw import Designs
from rparity.fuzz.judge import US, FuzzResult, FuzzVerdict, R
from rparity.fuzz.problem import Problem, RProtocol
from rparity.fuzz.scripts import arbitrate, write
from rparity.fuzz.shrink import same_as, shrink
from rparity.fuzz.store import Store
from rparity.fuzz.work import Work, answered, crashed, judged, live_r, with_retry
from rparity.workers.cluster import Progress, Workers, cluster

LIMIT = 60.0
# A worker may take this many times as long as a call of R.
PATIENCE = 10.0
# Each takes a few hundred calls of R.
MOST_SHRUNK = 5
# Crashed designs are tried again until this many rounds in a row have answered none of them.
IN_VAIN = 2


@dataclass(frozen=True)
class Campaign:
    """The results: `designs` has a row for each design and engine (`Store.records`).

    This run judged `judged` of the designs, which took `seconds`.
    """

    seed: int
    store: Path
    designs: pd.DataFrame
    judged: int
    seconds: float

    @cached_property
    def unexplained(self) -> pd.DataFrame:
        """The designs with a difference that has no cause."""
        return self.designs[self.designs["verdict"] == FuzzVerdict.UNEXPLAINED]

    @cached_property
    def crashed(self) -> pd.DataFrame:
        """The designs that have no answer. The same campaign tries them again."""
        return self.designs[self.designs["verdict"] == FuzzVerdict.CRASHED]

    @property
    def verdicts(self) -> dict[str, Counter[str]]:
        """The number of designs with each verdict, by engine."""
        grouped = self.designs.groupby("engine", sort=False)["verdict"]
        return {str(name): Counter(found) for name, found in grouped}

    @property
    def causes(self) -> dict[str, Counter[str]]:
        """The number of designs with each cause, by engine."""
        return {
            str(name): Counter(cause for causes in found for cause in causes)
            for name, found in self.designs.groupby("engine", sort=False)["causes"]
        }

    @property
    def r_share(self) -> float:
        """R's share of the time."""
        total = float(self.designs["seconds"].sum())
        return float(self.designs["r_seconds"].sum()) / total if total else 0.0


def run_fuzz(
    folder: Path,
    *,
    n: int = 1000,
    seed: int = 1,
    engines: Sequence[str] = (),
    workers: Workers = None,
    only: int | None = None,
    limit: float = LIMIT,
    on_progress: Callable[[Progress], None] | None = None,
) -> Campaign:
    """Judge the designs 0 to n − 1 of a seed, except those that the store has judged already.

    Designs that `crashed` are judged again.

    Parameters
    ----------
    folder : Path
        The folder of the store, and of the scripts that show unexplained differences.
    n, seed : int
        The number of designs, and the seed. A design depends on the seed and its number alone.
    engines : sequence of str
        Engines to judge in addition to this package.
    workers : int, str, distributed.Client, Cluster or None
        Where the designs are judged: see `rparity.workers.cluster`. Results do not depend on it.
    only : int, optional
        The number of one design to judge, even if the store has it.
    limit : float
        Seconds that R may take for one question.
    on_progress : callable, optional
        Called with the progress, in designs.

    Raises
    ------
    UsageError
        For invalid arguments, and for a store of another campaign.
    RNotAvailableError
        If there is no R.
    """
    named = (US, *(name for name in dict.fromkeys(engines) if name not in (US, R)))
    for name in named:
        if name not in engine_names() or name in ("exact", "lm"):
            raise UsageError(
                f"There is no engine {name!r} of mixed models: there are "
                f"{', '.join(each for each in engine_names() if each not in ('exact', 'lm'))}."
            )
    if n < 1 or (only is not None and only < 0):
        raise UsageError("Designs are counted from 0, and --n is at least 1.")
    require_seconds("--timeout", limit)
    about = {
        "seed": str(seed),
        "engines": " ".join(named),
        "rparity": __version__,
        # These draw the designs.
        "hypothesis": _version("hypothesis"),
        "numpy": version("numpy"),
    }
    began = time.monotonic()
    with Store(folder, about) as store:
        numbers = set(range(n)) - store.done() if only is None else {only}
        if numbers:
            with cluster(workers) as pool:
                left, in_vain = numbers, 0
                # Crashed designs are tried again at the end. Another program may have killed their
                # workers, and more than once.
                while left and in_vain < IN_VAIN:
                    for outcome in pool.map(
                        answered,
                        Work(named, limit),
                        Designs(seed, left),
                        limit=PATIENCE * limit,
                        on_progress=on_progress,
                    ):
                        if isinstance(outcome.error, WorkerCrashedError):
                            store.write(crashed(outcome.item, named, outcome.error))
                        else:
                            store.write(outcome.result())
                    after = numbers - store.done()
                    in_vain = 0 if len(after) < len(left) else in_vain + 1
                    left = after
        asked = range(n) if only is None else range(only, only + 1)
        _show(store, asked, live_r(limit), limit)
        seconds = time.monotonic() - began
        return Campaign(seed, store.path, store.records(asked), len(numbers), seconds)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise UsageError(f"Random designs need {package}: {install('fuzz')}") from None


def _show(store: Store, asked: range, r: RProtocol, limit: float) -> None:
    """Shrink unexplained designs, and write the scripts that show the differences."""
    found = store.records(asked)
    found = found[(found["verdict"] == FuzzVerdict.UNEXPLAINED) & (found["script"] == "")]
    for row in found.head(MOST_SHRUNK).to_dict("records"):
        design, name, number = Design.from_json(row["design"]), row["engine"], row["number"]

        def again(problem: Problem, name: str = name) -> FuzzResult:
            return with_retry(lambda: judged(problem, name, r, limit))

        # R answered this design before. If R dies now, the next run tries again.
        with suppress(RCrashedError, RTimeoutError):
            first = again(Problem(design.part(), design.data()))
            if first.verdict is not FuzzVerdict.UNEXPLAINED:
                continue
            problem = shrink(design, same_as(first, again))
            last = again(problem)
            says = [f"Design {number}, shrunk to {len(problem.data)} rows.", last.says]
            if not {"refused", "error"} & set(last.open):
                theirs = with_retry(partial(r.answer, R, problem))
                says.append(arbitrate(problem, theirs.tables))
            script = write(store.path.parent, f"design-{number}-{name}", problem, last, says)
            store.shown(number, name, str(script))
