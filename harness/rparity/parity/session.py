"""The hooks of the pytest plugin: who calls R, the notes in the summary, recordings without a test.

Every session of pytest loads this module, so it imports little until a test uses `r_parity`.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rparity.errors import RecordingError
from rparity.parity import FOLDER, MODES
from rparity.r import CHOICE, WEBR
from rparity.text import visible

if TYPE_CHECKING:
    from rparity.parity.calls import Caller, ChangedCall, RParity
    from rparity.parity.store import Place

OPTION = "r_parity_mode"
ORPHANS = "recordings that no test uses: remove them"
# How names of recordings of a fixture begin, in place of a test's.
FIXTURE = "fixture."
INVALID = (
    "tests without a valid recording: `pytest --r=review`, which needs R, shows what has changed, "
    "and records what you agree to"
)


class ParitySession:
    """The hooks of one process. Under pytest-xdist, workers send their notes to the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self.mode: str = config.getoption(OPTION) or config.getini(OPTION)
        if self.mode == WEBR:
            self.mode = "record"
            _use_webr(config)
        if self.mode not in MODES:
            raise pytest.UsageError(
                f"{OPTION} is {self.mode!r} in {config.inipath}; it is one of {', '.join(MODES)}."
            )
        if self.mode == "review" and config.getoption("numprocesses", None):
            raise pytest.UsageError("--r=review asks questions: run it without -n.")
        self._config = config
        self._notes: dict[str, list[str]] = defaultdict(list)
        self._collected: Counter[Path] = Counter()
        self._item: pytest.Item | None = None
        #: The fixtures that are being set up, the innermost last.
        self._fixtures: list[pytest.FixtureRequest] = []
        self._callers: dict[Place, Caller] = {}
        self._changes: list[ChangedCall] = []
        self._close: Callable[[], None] = lambda: None
        self._finished: set[str] = set()
        self._failed: set[str] = set()

    def parity(self) -> RParity:
        """Return the value of the fixture `r_parity`."""
        from rparity.parity.calls import RParity

        parity = RParity(
            self._caller,
            self.mode,
            on_note=self.note,
            on_change=self._changes.append,
            shown=None if self._config.getoption("verbose") > 1 else 60,
        )
        self._close = parity.close
        return parity

    def _caller(self) -> Caller:
        """Return the test or fixture that calls R now.

        A fixture of a test's own scope counts as the test.
        """
        from rparity.parity.calls import Caller

        wider = [request for request in self._fixtures if request.scope != "function"]
        item = self._item
        assert item is not None
        owner = wider[-1] if wider else item
        place, names = _place_of(owner) if wider else (_place(owner), _names(owner))
        if place not in self._callers:
            file = os.path.relpath(item.path, self._config.invocation_params.dir)
            caller = self._callers[place] = Caller(place, "::".join([file, *names]))
            owner.addfinalizer(caller.finish)
        return self._callers[place]

    def note(self, heading: str, line: str) -> None:
        """Add a line to the summary, below a heading, unless it is there."""
        if not line or line not in self._notes[heading]:
            self._notes[heading].append(line)

    def pytest_report_header(self) -> str | None:
        """Name the mode in pytest's header, unless it is the usual one."""
        return None if self.mode == MODES[0] else f"r_parity: {self.mode}"

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Count the tests of each file before any is deselected."""
        self._collected[item.path] += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember which test runs. Its calls are counted anew if it runs again."""
        self._item = item
        if self._callers:
            self._callers.pop(_place(item), None)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Remember which fixture is set up. Its calls are counted anew if it is set up again."""
        self._fixtures.append(request)
        if self._callers and request.scope != "function":
            self._callers.pop(_place_of(request)[0], None)
        yield
        self._fixtures.pop()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Show a line for a recording that is missing or stale, and none of the test's code."""
        outcome: Any = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, RecordingError):
            lines = [e.lineno + 1 for e in call.excinfo.traceback if Path(e.path) == item.path]
            file = os.path.relpath(item.path, self._config.invocation_params.dir)
            where = f"{file}:{lines[-1]}" if lines else file
            outcome.get_result().longrepr = f"{where}: {call.excinfo.value}"
            self.note(INVALID, "")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember which tests have ended, and which of them failed."""
        if not report.passed:
            self._failed.add(report.nodeid)
        if report.when == "teardown":
            self._finished.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look for recordings without a test; a worker sends its notes to the controller."""
        self._close()
        if not self._config.getoption("collectonly"):
            # xdist's controller collects nothing; before pytest 7.2 it then has no list of tests.
            for path in self._orphans(getattr(session, "items", [])):
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
        """Ask about changed answers of R, and print the notes."""
        if self._notes or self._changes:
            terminalreporter.section("r_parity")
        if self._changes:
            self._review(terminalreporter)
        here = f"{self._config.invocation_params.dir}{os.sep}"
        for heading, lines in self._notes.items():
            named = sorted(line.replace(here, "") for line in lines if line)
            terminalreporter.line(f"{len(lines)} {heading}" + (":" if named else ""))
            for line in named:
                terminalreporter.line(f"  {visible(line)}")

    def _review(self, terminalreporter: pytest.TerminalReporter) -> None:
        from rparity.parity.review import review

        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        capture.suspend(in_=True)
        try:
            here = f"{self._config.invocation_params.dir}{os.sep}"
            review(
                self._changes,
                show=lambda text: terminalreporter.line(text.replace(here, "")),
                ask=terminal(),
                note=self.note,
            )
        finally:
            capture.resume()

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
        from rparity.parity.store import Place, numbers_of, recordings_in

        filtered = self._config.getoption("lf", default=False)
        partial = filtered or any("::" in argument for argument in self._config.args)
        for file, those in tests.items():
            calls = {_place(item).stem: self._allowed(item) for item in those}
            whole = not partial and self._collected[file] == len(those)
            passed = whole and all(map(self._passed, those))
            for path, (stem, number) in recordings_in(_place(those[0]).folder).items():
                if FIXTURE in stem:
                    caller = self._callers.get(Place(file, stem))
                    unused = passed and number > (caller.calls if caller else 0)
                else:
                    unused = number > calls[stem] if stem in calls else whole
                if unused:
                    yield from (path, *numbers_of(path))
        for root in {file.parent / FOLDER for file in tests}:
            for folder in root.glob("*/"):
                if not root.with_name(f"{folder.name}.py").exists():
                    for path in recordings_in(folder):
                        yield from (path, *numbers_of(path))

    def _allowed(self, item: pytest.Item) -> float:
        """Return the number of recordings that a test uses; unlimited if it did not pass."""
        if not self._passed(item):
            return float("inf")
        caller = self._callers.get(_place(item))
        return caller.calls if caller else 0

    def _passed(self, item: pytest.Item) -> bool:
        return item.nodeid in self._finished - self._failed


def _names(node: Any) -> list[str]:
    """Return the names of a test's classes, and its own name with its parameters."""
    return [n.name for n in node.listchain() if isinstance(n, pytest.Class | pytest.Item)]


def _place(item: Any) -> Place:
    from rparity.parity.store import Place

    return Place(item.path, ".".join(_names(item)))


def _use_webr(config: pytest.Config) -> None:
    """Have webR run R's code until this run of pytest ends."""
    before = os.environ.get(CHOICE)
    os.environ[CHOICE] = WEBR

    def restore() -> None:
        if before is None:
            os.environ.pop(CHOICE, None)
        else:
            os.environ[CHOICE] = before

    config.add_cleanup(restore)


def _place_of(request: Any) -> tuple[Place, list[str]]:
    """Return the place of a fixture's recordings, and the names of its classes.

    They lie beside the tests that a fixture of a class or a module serves, and else beside the file
    that defines the fixture.
    """
    from rparity.parity.store import Place

    classes = _names(request.node)
    name = f"{FIXTURE}{request.fixturename}"
    if hasattr(request, "param"):
        name += f"[{request.param_index}]"
    if request.scope in ("class", "module"):
        file = request.node.path if request.scope == "module" else request.path
    else:
        file = Path(inspect.getfile(request._fixturedef.func))
    return Place(file, ".".join([*classes, name])), classes


def terminal() -> Callable[[str], str] | None:
    """Return a function that puts a question to the user, or None if there is no terminal."""
    return _ask if sys.stdin.isatty() else None


def _ask(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:
        return "q"
