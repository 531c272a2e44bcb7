"""What tests of calls of R share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rparity.r.session import RSession


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    """A session for the tests of one file, which fail after half a minute instead of hanging."""
    with RSession(timeout=30.0) as session:
        yield session
