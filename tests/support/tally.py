"""Counts of the attacks, kept by the fixture `tally` and shown at the end, also under xdist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

# What is counted, in the order of the table's columns; all but the first must be 0 at the end.
COUNTED = ("attacked", "lost", "mixed", "processes", "files", "tracebacks", "green unchecked")
PROPERTY = "attack"
TOTALS: dict[str, Counter[str]] = {}


class Tally:
    """The counts of one test: `attacked()` for each attack, `found()` for what must not be."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.counts: Counter[str] = Counter()

    def attacked(self) -> None:
        """Count an attack."""
        self.counts["attacked"] += 1

    def found(self, what: str, where: object = "") -> None:
        """Count what an attack must not do, and fail."""
        assert what in COUNTED[1:]
        self.counts[what] += 1
        pytest.fail(f"{what}: {where}")

    def sentence(self, text: str) -> None:
        """Require text to be one line that begins and ends as a sentence does, no traceback."""
        if "Traceback" in text or "bug of rparity" in text:
            self.found("tracebacks", text)
        assert text.strip(), "nothing is said"
        assert "\n" not in text.strip(), text
        assert text.isprintable() or text.strip().isprintable(), ascii(text)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Count attacks under what the test's module calls them, `ATTACKED`."""
    counted = Tally(getattr(request.module, "ATTACKED", request.module.__name__))
    yield counted
    request.node.user_properties.append((PROPERTY, [counted.what, dict(counted.counts)]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what a test has counted, in whichever process it ran."""
    if report.when == "teardown":
        for value in (value for name, value in report.user_properties if name == PROPERTY):
            assert isinstance(value, list)  # as xdist hands it on
            TOTALS.setdefault(str(value[0]), Counter()).update(value[1])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table."""
    if not TOTALS:
        return
    terminalreporter.section("attacks")
    width = max(map(len, [*TOTALS, "all"]))
    total: Counter[str] = sum(TOTALS.values(), Counter())
    terminalreporter.line(" " * width + "".join(f"  {name}" for name in COUNTED))
    for what, counts in [*sorted(TOTALS.items()), ("all", total)]:
        cells = (f"  {counts[name]:>{len(name)}}" for name in COUNTED)
        terminalreporter.line(f"{what:<{width}}" + "".join(cells))
