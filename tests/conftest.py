"""Fixtures that several test modules share; whatever is costly is computed once a session."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import pytest

import audits
from r_regression import REFUSAL, Parity, regenerates
from rparity import paths, recordings
from rparity.audit.results import Audit
from rparity.audit.run_audit import run_audit
from rparity.cases import case, cases
from rparity.recordings import Recording
from rparity.report import html
from rparity.run import CaseRun, run_case
from rparity.workers.cluster import Cluster, cluster

pytest_plugins = ["pytester", "tally"]
# Files whose tests share what is costly: each group of them keeps to one of xdist's workers.
TOGETHER = {
    **dict.fromkeys(
        (
            "test_atlas",
            "test_cases_against_r",
            "test_cli",
            "test_ledger",
            "test_r_regression",
            "test_report_text",
            "test_wrong_on_purpose",
            "test_wrong_recordings",
        ),
        "runs",
    ),
    **dict.fromkeys(("test_bootstrap_workers", "test_cluster", "test_study"), "two_workers"),
    **dict.fromkeys(
        (
            "test_audit_cli",
            "test_audit_workers",
            "test_explain",
            "test_report_charts",
            "test_report_html",
        ),
        "small_audit",
    ),
}
WORKERS = ExitStack()
# Plugins of pytest that no inner session needs: to register one takes a millisecond or two, in
# each of some hundred sessions.
UNUSED = ("debugging", "doctest", "faulthandler", "junitxml", "legacypath", "pastebin")
UNUSED += ("setuponly", "setupplan", "stepwise", "unittest")
# pytester forgets what was imported since it began: imported before, this stays.
IMPORTED = ("email.parser", "rparity.parity.answer", "statsmodels.api", "statsmodels.formula.api")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what would put Python's numbers in the place of R's."""
    if regenerates(config):
        raise pytest.UsageError(REFUSAL)
    # With Python's own threshold, the garbage collector takes a tenth of the processor time.
    gc.set_threshold(100_000, 20, 20)
    # Hypothesis keeps failing examples beside what pytest keeps, not in a folder of its own.
    kept = config.rootpath / ".pytest_cache" / "d" / "hypothesis"
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(kept))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse slow tests without a reason, and begin with the groups, which take longest."""
    for item in items:
        if any(not mark.kwargs.get("reason") for mark in item.iter_markers("slow")):
            raise pytest.UsageError(f"{item.nodeid} is slow: mark it slow(reason=...).")
    items.sort(key=lambda item: TOGETHER.get(item.path.stem, "~"))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: thousands of tests and modules."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file, or a group of them, keeps to one worker: what its tests share is computed once."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TOGETHER.get(Path(file).stem, file)

    return Scheduler(config, log)


@pytest.fixture(scope="session", autouse=True)
def volatile() -> Iterator[None]:
    """Let no test wait for the disk, which takes milliseconds a file; nothing reads it later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="session")
def recorded() -> dict[str, Recording]:
    """R's recording of each case, read and verified."""
    return {
        name: recordings.read(paths.fixtures(), name, known.scripts())
        for name, known in cases().items()
    }


@pytest.fixture(scope="session")
def run_of() -> Callable[[str], CaseRun]:
    """The run of a case against its recording, engines' answers included."""
    runs: dict[str, CaseRun] = {}

    def get(name: str) -> CaseRun:
        if name not in runs:
            runs[name] = run_case(case(name), fixtures=paths.fixtures())
        return runs[name]

    return get


@pytest.fixture(scope="session")
def two_workers() -> Iterator[Cluster]:
    """The workers of the session; some tests kill them, and Dask puts others in their place."""
    with WORKERS:
        yield WORKERS.enter_context(cluster(2))


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the workers after the last test that may ask for them: idle ones take time, too."""
    if nextitem is None or TOGETHER.get(nextitem.path.stem) != "two_workers":
        WORKERS.close()


@pytest.fixture(scope="session")
def imported() -> None:
    """What inner sessions import; pytester is not yet there to forget it."""
    for name in IMPORTED:
        import_module(name)


@pytest.fixture
def inner(
    imported: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """A session of pytest within this one, with rparity's plugin and those that are named by -p.

    Others would be looked up and registered anew in each session.
    """
    # Byte code belongs to a file of the same length and second, such as the one written before.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    without = [word for name in UNUSED for word in ("-p", f"no:{name}")]
    # As an object: to find a plugin by its name, pytest reads the metadata of all packages.
    plugin = import_module("rparity.pytest_plugin")
    return partial(pytester.runpytest_inprocess, *without, plugins=[plugin])


@pytest.fixture(scope="session")
def small_audit() -> Audit:
    """An audit of two cases, without a ledger, by engines whose answers are kept and by ours."""
    engines = ("exact", "lme4", "lm", "published", "rparity")
    chosen = [case("sleepstudy"), case("norris")]
    return run_audit(chosen, fixtures=paths.fixtures(), engines=engines, entries=())


@pytest.fixture(scope="session")
def page_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The page of an audit: of `everything` there is, `attacked` by its names, or `real`."""
    made_up = {"everything": audits.one_of_everything, "attacked": audits.under_attack}

    @cache
    def get(name: str) -> str:
        audit = made_up[name]() if name in made_up else request.getfixturevalue("small_audit")
        return html.page(audit)

    return get


@pytest.fixture
def parity(
    dataframe_regression: object,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    recorded: dict[str, Recording],
) -> Iterator[Parity]:
    """Compare a table with R's recording of it: `parity.check(case, engine, table, frame)`."""
    tables = {name: recording.tables for name, recording in recorded.items()}
    return Parity(dataframe_regression, tmp_path / "truth", request.config, tables)
