"""Hostile R functions: each is contained, and the R after it is as good as new."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from proc import lives
from rparity.errors import (
    RCrashedError,
    RError,
    RNotAvailableError,
    RparityError,
    RTimeoutError,
)
from rparity.r.session import RResult, RSession
from rparity.text import visible
from tally import Tally

ATTACKED = "hostile R functions"
pytestmark = pytest.mark.attack

SCRIPT = Path(__file__).parent / "hostile.R"
DEFINED = re.findall(r"^(\w+) <- function", SCRIPT.read_text("utf-8"), re.MULTILINE)
HOSTILE = [name for name in DEFINED if name not in ("echo", "usual")]
# Those that R dies of, those that it does not come back from, and those that say something else.
CRASHES = {
    *("quits", "quits_3", "quits_later", "segv", "killed", "aborts", "terminated"),
    *("leaves_grandchild", "finalizers", "recurses_deep", "system_kills"),
}
LATE = {"hangs", "spins", "spins_deaf", "stops_itself", "hangs_on_exit"}
OTHERS = {
    "no_package": (RNotAvailableError, "The R package aPackageThatNobodyHas is not installed"),
    "invokes_restart": (RError, "invokes_restart() gave no answer (.*): R code must not invoke"),
    "invokes_muffle": (RError, "R error in invokes_muffle()"),
    "recurses": (RError, "R error in recurses(): evaluation nested too deeply"),
    "too_much": (RError, "R error in too_much(): cannot allocate"),
    "too_long": (RError, "R error in too_long(): cannot allocate"),
    "no_object": (RError, "R error in no_object(): object 'nothingOfThatName' not found"),
    "menus": (RError, "R error in menus()"),
    "parses": (RError, "R error in parses()"),
    "try_error": (RError, "try_error() returned an object of class try-error"),
    "prints_nul_like": (RError, "R error in prints_nul_like()"),
    "closes_stdout": (RError, "R error in closes_stdout(): cannot close"),
    "handlers": (RError, "R error in handlers(): should not be called"),
    "returns_promise_forced": (RError, "R error in returns_promise_forced(): late"),
    "returns_date_far": (RError, "returns_date_far() returned a date outside the years"),
    "returns_wide": dict(zip((f"n{i}" for i in range(1, 5001)), range(1, 5001), strict=True)),
    "returns_null": None,
    "returns_invisible": 7.0,
    "returns_altrep": np.arange(1, 1_000_001),
    "returns_altrep_string": np.array([str(i) for i in range(1, 100_001)], dtype=object),
    "returns_nan_payload": float("nan"),
    "returns_names_escapes": {"\x1b[2J[bold]": 1.0},
    "returns_string_megabytes": "x" * 5_000_000,
    "returns_escapes": "\x1b[2J\a",
    "browses": None,
    "reads_stdin": np.array([], dtype=object),
    "asks": "",
    "scans": np.array([]),
    "warns_into_error": "now an error",
    "gc_torture": 6.0,
    "forks": 42.0,
}
# What scripts assign is kept; what they do to base, and to their own functions, ends with R.
KEPT = {
    *("masks_base", "masks_operator", "attaches", "detaches", "handlers", "task_callback"),
    *("traces", "debugs", "stops_class_raises"),
}
SPOILS = {"masks_base_itself", "removes_all"}
USUAL = {
    "digits": 7,
    "contrasts": ["contr.treatment", "contr.poly"],
    "warn": 1,
    "kinds": ["Mersenne-Twister", "Inversion", "Rejection"],
    "folder_is_there": True,
    "sinks": 0,
    "printed": "1.5",
    "language": "en",
    "zone": "UTC",
}


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    with RSession(timeout=30) as session:
        yield session


def test_every_expected_function_exists() -> None:
    assert CRASHES | LATE | OTHERS.keys() | KEPT | SPOILS <= set(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_r_function(r: RSession, name: str, tally: Tally) -> None:
    tally.attacked()
    r.call(SCRIPT, "echo", {"x": 1})
    before = r.pid
    assert before is not None
    found: RResult | RparityError
    try:
        found = r.call(SCRIPT, name, timeout=0.5 if name in LATE else None)
    except RparityError as error:
        found = error
        said = visible(str(error))
        if "Traceback" in said:
            tally.found("tracebacks", said)
        assert len(said) < 10_000
        assert not said.rstrip().endswith(":")
    try:
        expected(name, found)
        if name in SPOILS:
            r.close()
        settings = r.call(SCRIPT, "usual").value
        seen = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in settings.items()}
        assert seen == USUAL
        assert r.call(SCRIPT, "echo", {"x": [1.5, 2.5]}).value.tolist() == [1.5, 2.5]
    finally:
        if name in KEPT:
            r.close()
    if r.pid != before and lives(before):
        tally.found("processes", before)


def expected(name: str, found: RResult | RparityError) -> None:
    """Require what became of a call to be what should."""
    if name in CRASHES:
        assert isinstance(found, RCrashedError)
        assert str(found).startswith(f"R died during {name}() (")
    elif name in LATE:
        assert isinstance(found, RTimeoutError)
    elif isinstance(told := OTHERS.get(name, 1.0), tuple):
        kind, text = told
        assert type(found) is kind
        pattern = ".*".join(map(re.escape, text.split(".*")))
        assert re.match(pattern, str(found)), str(found)
    elif name.startswith("stops_") or name == "stops":
        assert type(found) is RError
        assert str(found).startswith(f"R error in {name}(): ")
    elif name.startswith("returns_") and name not in (*OTHERS, "returns_attributes"):
        assert type(found) is RError
        assert str(found).startswith(f"{name}() returned ")
        assert "\n" not in str(found)
    elif name != "returns_attributes":
        assert isinstance(found, RResult), found
        np.testing.assert_array_equal(found.value, told)
        assert len(found.output) < 1_100_000


def test_no_process_that_a_function_started_is_left(tally: Tally) -> None:
    """Once R is closed, as `r_parity` does after each call."""
    with RSession(timeout=30) as session:
        session.call(SCRIPT, "forks_and_leaves")
        pid = session.pid
        assert pid is not None
        children = subprocess.run(
            ["pgrep", "-g", str(pid)], capture_output=True, text=True, check=True
        )
    if left := [child for child in map(int, children.stdout.split()) if lives(child)]:
        tally.found("processes", left)
