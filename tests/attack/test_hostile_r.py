"""Hostile R functions: each is contained, and the R after it is as good as new."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rparity.errors import RCrashedError, RError, RparityError, RTimeoutError
from rparity.r.session import RResult, RSession
from tally import Tally

ATTACKED = "hostile R functions"
pytestmark = pytest.mark.attack

SCRIPT = Path(__file__).parent / "hostile.R"
DEFINED = re.findall(r"^(\w+) <- function", SCRIPT.read_text("utf-8"), re.MULTILINE)
HARMLESS = {"echo", "usual"}
CRASH, LATE, ERROR = RCrashedError, RTimeoutError, RError
# What is contained otherwise than by the value 1: the kind of error, and what it says; or a value.
OUTCOMES: dict[str, Any] = {}
USUAL = {
    "digits": 7,
    "contrasts": ["contr.treatment", "contr.poly"],
    "warn": 1,
    "kinds": ["Mersenne-Twister", "Inversion", "Rejection"],
    "folder_is_there": True,
    "sinks": 0,
    "printed": "1.5",
    "sum": 3,
    "pasted": "a b",
}


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    with RSession(timeout=30) as session:
        yield session


@pytest.mark.parametrize("name", [name for name in DEFINED if name not in HARMLESS])
def test_a_hostile_r_function(r: RSession, name: str, tally: Tally) -> None:
    tally.attacked()
    r.call(SCRIPT, "echo", {"x": 1})
    before = r.pid
    found: RResult | RparityError
    try:
        found = r.call(SCRIPT, name, timeout=1.0 if name in LATE_ONES else None)
    except RparityError as error:
        found = error
    print(name, repr(found)[:300])
    for _ in range(2):
        settings = {
            k: v.tolist() if isinstance(v, np.ndarray) else v
            for k, v in r.call(SCRIPT, "usual").value.items()
        }
        print(settings == USUAL, settings if settings != USUAL else "")
    assert r.call(SCRIPT, "echo", {"x": [1.5, 2.5]}).value.tolist() == [1.5, 2.5]
    print("restarted" if r.pid != before else "same")


LATE_ONES = {"hangs", "spins", "spins_deaf", "stops_itself", "hangs_on_exit"}
