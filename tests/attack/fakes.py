"""Stand-ins for R in commands that are killed; every value tells the run by its number, MARK."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from rparity import regenerate
from rparity.cases.base import Case
from rparity.engines.base import Answer, Question

PACKAGES = {"R": "4.5.0", "lme4": "1.1-37"}
OLDER = {"R": "4.2.2", "lme4": "1.1-31"}


def tables(case: Case, mark: int) -> dict[str, pd.DataFrame]:
    """Tables of a recording: of all but one every value is the mark, and that one stays as it is.

    The table that stays is what a newer R keeps for an older one. `extra` makes the files of odd
    recordings others than those of even ones.
    """
    frame = pd.DataFrame(float(mark), [f"r{i}" for i in range(40)], ["a", "b"])
    replicates = pd.DataFrame(
        np.full((2000, 2), float(mark)), pd.RangeIndex(1, 2001).astype(str), ["a", "b"]
    )
    extra = {f"extra{mark % 2}.coef": frame}
    return {"m.coef": frame, "b.replicates": replicates, "same.coef": frame * 0.0} | extra


def provenance(case: Case, mark: int, packages: dict[str, str]) -> dict[str, Any]:
    """What `rparity.engines.r.R` gives beside its tables."""
    return {
        "made_by": {"packages": packages},
        "asked": case.asked(case.nsim),
        "nsim": case.nsim,
        "scripts": {},
        "levels": {},
        "mark": mark,
    }


class FakeR:
    """Answers every case at once."""

    def __init__(self, mark: int) -> None:
        self.mark = mark
        self.provenance: dict[str, Any] = {}

    def answer(self, question: Question) -> Answer:
        self.provenance = provenance(question.case, self.mark, PACKAGES)
        return Answer(tables(question.case, self.mark))


def for_regenerate() -> None:
    """Let `rparity regenerate` be answered by the stand-in."""
    regenerate._r = lambda _on_progress: FakeR(int(os.environ["MARK"]))  # type: ignore[assignment,return-value]


def for_fuzz() -> None:
    """Let `rparity fuzz` be answered by this package's own fits."""
    from fuzz_r import FakeR as FuzzR
    from rparity.fuzz import campaign, work

    r = FuzzR()
    for module in (work, campaign):
        module.live_r = lambda _limit: r  # type: ignore[attr-defined]
