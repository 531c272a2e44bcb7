"""The pytest plugin: registers the fixture `r_parity` and the option `--r`, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rparity.parity import MODES
from rparity.parity.session import OPTION, ParitySession

if TYPE_CHECKING:
    from rparity.parity.calls import RParity

SESSION = pytest.StashKey[ParitySession]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--r`, and the setting that it overrides."""
    about = (
        "how r_parity answers: replay, by the recordings beside the tests, with no R (the default);"
        " live, by R; record, by R, and its answers become the recordings; check, by the "
        "recordings, and R is asked whether it still gives the same"
    )
    group = parser.getgroup("r_parity", "parity with R")
    group.addoption("--r", dest=OPTION, choices=MODES, help=about)
    parser.addini(
        OPTION, "what --r is where it is not given: " + ", ".join(MODES), default=MODES[0]
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start to keep account."""
    session = ParitySession(config)
    config.stash[SESSION] = session
    config.pluginmanager.register(session, "r_parity_session")


@pytest.fixture
def r_parity(request: pytest.FixtureRequest) -> Iterator[RParity]:
    """Functions of R, from files beside the test: `r_parity.call("welch.R", "welch", x=x, y=y)`.

    The answer has R's values, `answer["df"]`, the random stream of `seed=`, `answer.rng`, and
    compares Python's: `answer.check({"df": df}, rtol=1e-10)`. Answers come from recordings beside
    the test; `pytest --r=record` makes them, which needs R.
    """
    session = request.config.stash[SESSION]
    parity = session.parity(request.node)
    yield parity
    session.used(request.node, parity.calls)
    parity.finish()
