"""What tests of the plugin share: pytest inside a test, where Python answers for R, and R."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fake_r import FakeR
from plugin_sessions import ALL, THREE, Run, record_once, recordings
from rparity.parity import calls
from rparity.parity.calls import Caller, RParity
from rparity.parity.store import Place
from rparity.r.session import RSession


@pytest.fixture(scope="module")
def session() -> Iterator[RSession]:
    with RSession() as session:
        yield session


@pytest.fixture
def r(session: RSession, request: pytest.FixtureRequest) -> RParity:
    """Calls that R answers."""
    return RParity(lambda: Caller(Place(request.path, "test")), "live", session=session)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, inner: Run) -> Run:
    """A session of pytest in a folder with an R file; functions of Python answer for R."""
    functions = FakeR.functions | {"double": lambda x: 2 * x, "nothing": lambda: 0.0}
    monkeypatch.setattr(calls, "RSession", FakeR)
    monkeypatch.setattr(FakeR, "functions", functions)
    monkeypatch.setattr(FakeR, "asked", [])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    (pytester.path / "f.R").write_text("# double(), nothing()\n")
    (pytester.path / "lib.R").write_text("# helpers\n")

    return lambda *options: inner(*map(str, options))


@pytest.fixture
def three(pytester: pytest.Pytester, run: Run) -> Run:
    """Change the recorded file of tests, run pytest, and list the orphans it reports."""
    pytester.makepyfile(test_a=THREE)
    record_once(pytester.path, run, passed=4)
    assert len(recordings(pytester.path)) == len(ALL)

    def orphans(change: Callable[[str], str], *options: str, of: Run = run) -> list[str]:
        pytester.makepyfile(test_a=change(THREE))
        lines = of(*options).outlines
        found = [i for i, line in enumerate(lines) if "recordings that no test uses" in line]
        if not found:
            return []
        listed = [line.strip() for line in lines[found[0] + 1 :] if line.startswith("  r_rec")]
        assert lines[found[0]] == f"{len(listed)} recordings that no test uses: remove them:"
        names = [line.removeprefix("r_recordings/") for line in listed]
        return [name.removeprefix("test_a/").removesuffix(".json") for name in names]

    return orphans
