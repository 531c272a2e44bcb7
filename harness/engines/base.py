"""What an engine is: somebody who answers the parts of a case with tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

import pandas as pd

from harness.cases.base import Case, Data, Part
from harness.errors import UsageError
from harness.rrandom import RRandom


@dataclass(frozen=True)
class Answer:
    """An engine's tables for a case, why it left out parts, and what to know of its answer."""

    tables: Mapping[str, pd.DataFrame]
    gaps: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Question:
    """What an engine is asked: a case, the number of replicates, and whom its answer is to equal.

    `versions` are R's package versions as the reference's provenance has them: an engine may
    reproduce what is peculiar to one of them, and says so in its notes. `data` are R's, for a case
    whose data Python does not draw itself.
    """

    case: Case
    nsim: int
    versions: Mapping[str, str] = field(default_factory=dict)
    data: pd.DataFrame | None = None

    def draw(self, part: Data, rng: RRandom) -> pd.DataFrame:
        """Return the data of a part: drawn from `rng`, or R's."""
        if part.make is not None:
            return part.make(rng)
        if self.data is None:
            raise UsageError(
                f"The data of the case {self.case.name!r} come from R, which gave none."
            )
        return self.data


class Engine(Protocol):
    """Somebody who can answer a case; the arbiter and R are engines like the others."""

    name: str

    def expected(self, part: Part) -> tuple[str, ...]:
        """Tables of the part that the engine undertakes to answer; what it leaves out is a gap."""
        ...

    def answer(self, question: Question) -> Answer:
        """Answer every part it can, bootstraps with `question.nsim` replicates."""
        ...


# Python's engines: name to where it is found, imported when asked for.
PYTHON_ENGINES = {
    "rparity": "harness.engines.native:Native",
    "statsmodels": "harness.engines.statsmodels:Statsmodels",
    "exact": "harness.engines.exact:Exact",
}


def engine(name: str) -> Engine:
    """Return the engine of that name.

    Raises
    ------
    UsageError
        For a name that is not registered.
    """
    if name not in PYTHON_ENGINES:
        raise UsageError(f"There is no engine {name!r}: there are {', '.join(PYTHON_ENGINES)}.")
    module, _, attribute = PYTHON_ENGINES[name].partition(":")
    found: Engine = getattr(import_module(module), attribute)()
    return found
