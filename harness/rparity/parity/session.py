"""The hooks of the pytest plugin: the mode, the notes in the summary, recordings without a test.

Every session of pytest loads this module, so it imports little until a test uses `r_parity`.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rparity.parity import FOLDER, MODES
from rparity.text import visible

if TYPE_CHECKING:
    from rparity.parity.calls import RParity
    from rparity.parity.store import Place

OPTION = "r_parity_mode"
ORPHANS = "recordings that no test uses: remove them"


class ParitySession:
    """The hooks of one process. Under pytest-xdist, workers send their notes to the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self.mode: str = config.getoption(OPTION) or config.getini(OPTION)
        if self.mode not in MODES:
            raise pytest.UsageError(
                f"{OPTION} is {self.mode!r} in {config.inipath}; it is one of {', '.join(MODES)}."
            )
        self._config = config
        self._notes: dict[str, list[str]] = defaultdict(list)
        self._collected: Counter[Path] = Counter()
        self._calls: dict[str, int] = {}
        self._finished: set[str] = set()
        self._failed: set[str] = set()

    def parity(self, item: pytest.Item) -> RParity:
        """Return the value of the fixture `r_parity` for a test."""
        from rparity.parity.calls import RParity

        place = _place(item)
        file = os.path.relpath(place.file, self._config.invocation_params.dir)
        return RParity(
            place,
            self.mode,
            node="::".join([file, *_names(item)]),
            on_note=self.note,
            shown=None if self._config.get_verbosity() > 1 else 60,
        )

    def note(self, heading: str, line: str) -> None:
        """Add a line to the summary, below a heading, unless it is there."""
        if not line or line not in self._notes[heading]:
            self._notes[heading].append(line)

    def used(self, item: pytest.Item, calls: int) -> None:
        """Count the calls that a test has made."""
        self._calls[item.nodeid] = calls

    def pytest_report_header(self) -> str | None:
        """Name the mode in pytest's header, unless it is the usual one."""
        return None if self.mode == MODES[0] else f"r_parity: {self.mode}"

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Count the tests of each file before any is deselected."""
        self._collected[item.path] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember which tests have ended, and which of them failed."""
        if not report.passed:
            self._failed.add(report.nodeid)
        if report.when == "teardown":
            self._finished.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look for recordings without a test; a worker sends its notes to the controller."""
        if not self._config.getoption("collectonly"):
            for path in self._orphans(session.items):
                self.note(ORPHANS, str(path))
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["r_parity"] = dict(self._notes)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the notes of a worker."""
        for heading, lines in getattr(node, "workeroutput", {}).get("r_parity", {}).items():
            for line in lines:
                self.note(heading, line)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the notes."""
        if self._notes:
            terminalreporter.section("r_parity")
        here = f"{self._config.invocation_params.dir}{os.sep}"
        for heading, lines in self._notes.items():
            named = sorted(line.replace(here, "") for line in lines if line)
            terminalreporter.line(f"{len(lines)} {heading}" + (":" if named else ""))
            for line in named:
                terminalreporter.line(f"  {visible(line)}")

    def _orphans(self, items: list[pytest.Item]) -> Iterator[Path]:
        """Yield the recordings that no test uses.

        They are those of test files that do not exist; those of calls that a test did not make
        although it passed; and those of tests that do not exist, in files all of whose tests were
        selected.
        """
        tests: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in items:
            tests[item.path].append(item)
        if not any((folder / FOLDER).is_dir() for folder in {f.parent for f in tests}):
            return
        from rparity.parity.store import recordings_in

        filtered = self._config.getoption("lf", default=False)
        partial = filtered or any("::" in argument for argument in self._config.args)
        for file, those in tests.items():
            calls = {_place(item).stem: self._allowed(item) for item in those}
            whole = not partial and self._collected[file] == len(those)
            for path, (stem, number) in recordings_in(_place(those[0]).folder).items():
                if number > calls[stem] if stem in calls else whole:
                    yield path
        for root in {file.parent / FOLDER for file in tests}:
            for folder in root.glob("*/"):
                if not root.with_name(f"{folder.name}.py").exists():
                    yield from recordings_in(folder)

    def _allowed(self, item: pytest.Item) -> float:
        """Return the number of recordings that a test uses; unlimited if it did not pass."""
        if item.nodeid in self._finished - self._failed:
            return self._calls.get(item.nodeid, 0)
        return float("inf")


def _names(item: pytest.Item) -> list[str]:
    """Return the names of a test's classes, and its own name with its parameters."""
    return [n.name for n in item.listchain() if isinstance(n, pytest.Class | pytest.Item)]


def _place(item: pytest.Item) -> Place:
    from rparity.parity.store import Place

    return Place(item.path, ".".join(_names(item)))
