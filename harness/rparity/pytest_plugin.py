"""The pytest plugin: it registers the fixture `r_parity` and the option `--r`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rparity.parity import MODES
from rparity.parity.session import OPTION, ParitySession
from rparity.r import WEBR

if TYPE_CHECKING:
    from rparity.parity.calls import RParity

SESSION = pytest.StashKey[ParitySession]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--r`, and the setting that it overrides."""
    about = (
        "how r_parity answers calls. replay: from the recordings beside the tests, without R (the "
        "default). live: R answers. record: R answers, and its answers become the recordings. "
        "check: from the recordings, and R is asked whether it still gives the same. review: R "
        "answers, and each change of a recording is shown at the end and made if you agree. webr: "
        "as record, by webR in place of an R that is installed"
    )
    group = parser.getgroup("r_parity", "parity with R")
    group.addoption("--r", dest=OPTION, choices=(*MODES, WEBR), help=about)
    parser.addini(
        OPTION, "the value of --r if it is not given: " + ", ".join(MODES), default=MODES[0]
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the hooks."""
    session = ParitySession(config)
    config.stash[SESSION] = session
    config.pluginmanager.register(session, "r_parity_session")


@pytest.fixture(scope="session")
def r_parity(request: pytest.FixtureRequest) -> RParity:
    """Call R from a test or a fixture: `r_parity.r("mean(x, trim = 0.1)", x=x)`.

    `r_parity.call("welch.R", "welch", x=x, y=y)` calls a function of an R file beside the test. The
    answer holds R's values, as in `answer["df"]`, and the random stream of `seed=`, as
    `answer.rng`. It compares Python's values: `answer.check({"df": df}, rtol=1e-10)`. Answers come
    from recordings beside the test. `pytest --r=record` makes the recordings, which needs R.

    Fixtures of every scope may use it. If the scope is wider than a test, the recordings have the
    fixture's name.
    """
    return request.config.stash[SESSION].parity()
