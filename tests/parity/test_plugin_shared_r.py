"""Calls of R that share a process: what one leaves behind, code beside the test, random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rparity.errors import RError, UsageError
from rparity.parity.calls import Caller, RParity
from rparity.parity.store import Place
from rparity.r.session import RSession

pytestmark = pytest.mark.live


# What a call leaves behind -----------------------------------------------------------------------

# What a function may change for those after it, and an expression that shows the change.
LEAKS = {
    "options(digits = 3)": "getOption('digits')",
    "options(contrasts = c('contr.sum', 'contr.poly'))": "getOption('contrasts')",
    "set.seed(1)": "exists('.Random.seed')",
    "RNGkind('Wichmann-Hill')": "RNGkind()",
    "assign('planted', 1, globalenv())": "exists('planted')",
    "assign('mean', function(...) 42, globalenv())": "mean(1:3)",
    "library(splines)": "'package:splines' %in% search()",
    "loadNamespace('splines')": "'splines' %in% loadedNamespaces()",
    "suppressMessages(library(Matrix))": "exists('bdiag')",
    "setClass('Planted', representation(x = 'numeric'))": "isClass('Planted')",
    "setMethod('summary', 'numeric', function(object, ...) 42)": "length(summary(c(1, 2)))",
    "registerS3method('print', 'planted', print)": "is.null(getS3method('print', 'planted', TRUE))",
    "Sys.setenv(RPARITY_PLANTED = '1')": "Sys.getenv('RPARITY_PLANTED')",
    "Sys.setlocale('LC_COLLATE', 'C.UTF-8')": "Sys.getlocale('LC_COLLATE')",
    "setwd('/')": "basename(getwd())",
    "sink(tempfile())": "sink.number()",
    "pdf(NULL)": "length(grDevices::dev.list())",
    "assign('lines', textConnection('a'), globalenv())": "nrow(showConnections())",
    "file.create(file.path(tempdir(), 'planted'))": "length(list.files(tempdir()))",
    "unlockBinding('sd', s <- asNamespace('stats')); s$sd <- function(...) 42": "stats::sd(1:3)",
    "Sys.umask('077')": "as.integer(Sys.umask())",
}


@pytest.fixture(scope="module")
def untouched(session: RSession) -> list[object]:
    with session.apart():
        return [session.evaluate(shows).wire for shows in LEAKS.values()]


def test_nothing_that_a_call_leaves_behind_reaches_the_next(
    session: RSession, untouched: list[object]
) -> None:
    for (leak, shows), before in zip(LEAKS.items(), untouched, strict=True):
        with session.apart():
            assert session.evaluate(f"{leak}; {shows}").wire != before, leak
        with session.apart():
            assert session.evaluate(shows).wire == before, leak


def test_calls_are_copies_of_one_process_unless_isolated(r: RParity) -> None:
    first = r.r("Sys.getpid()").value
    second = r.r("Sys.getpid()").value
    assert first != second  # each in a copy
    parent = "as.integer(strsplit(readLines('/proc/self/stat'), ' ')[[1]][4])"
    assert r.r(parent).value == r.r(parent).value
    assert r.r(parent, isolated=True).value != r.r(parent).value


def test_packages_stay_loaded_for_calls_that_name_them(r: RParity) -> None:
    loaded = "'splines' %in% loadedNamespaces()"
    assert not r.r(loaded).value
    assert r.r(loaded, packages="splines").value
    assert not r.r("exists('.Random.seed')", packages="splines").value
    assert not r.r(loaded).value


def test_r_starts_anew_in_another_environment_or_folder(
    r: RParity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPARITY_PLANTED", "2")
    answer = r.r("c(basename(getwd()), Sys.getenv('RPARITY_PLANTED'))")
    assert answer.value.tolist() == [tmp_path.name, "2"]


def test_a_process_that_a_call_leaves_running_does_not_hold_up_the_next(r: RParity) -> None:
    code = "parallel::mcparallel(Sys.sleep(60)); system('sleep 60', wait = FALSE); 1"
    assert r.r(code).value == 1
    assert r.r("2").value == 2


# Code beside the test ----------------------------------------------------------------------------


def test_code_beside_the_test(r: RParity) -> None:
    x = np.array([1.0, 2.0, 9.0])
    assert r.r("mean(x)", x=x).value == 4.0
    assert r.r("function(x) mean(x)", x=x).value == 4.0
    assert r.r("y <- 2 * x\n# twice\nc(a = sum(y), b = n)", x=x, n=1).value.tolist() == [24.0, 1.0]
    assert (
        r.r(
            "function(x, ...) { set.seed(1); welch(x, ...)$method }",
            libraries="../r/ports.R",
            x=x,
            y=x,
        ).value
        == "Welch Two Sample t-test"
    )
    answer = r.r("rnorm(3)", seed=7)
    answer.check(answer.rng.rnorm(3), rtol=0)
    with pytest.raises(AssertionError, match=r"^Python differs from R in 1 value of r\(\) in test"):
        r.r("mean(x)", x=x).check(4.5)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("stop('no good')", "R error in r(): no good"),
        ("mean(x", "R error in r(): "),
        ("lm(dist ~ speed, cars)$terms", "r() returned "),
        ("function(y) y", "R error in r(): unused argument (x = x)"),
    ],
)
def test_code_that_fails(r: RParity, code: str, says: str) -> None:
    with pytest.raises(RError) as caught:
        r.r(code, x=1)
    assert str(caught.value).startswith(says)


# Random numbers without a seed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "deterministic"),
    [
        ("rnorm(3)", False),
        ("sample(2, 1)", False),
        ("{ rnorm(1); 1 }", False),
        ("{ x <- rnorm(1); set.seed(1); x + rnorm(1) }", False),
        ("{ set.seed(1); rnorm(3) }", True),
        ("mean(cars$speed)", True),
    ],
)
def test_random_numbers_without_a_seed_are_not_recorded(
    session: RSession, tmp_path: Path, code: str, deterministic: bool
) -> None:
    caller = Caller(Place(tmp_path / "test_a.py", "test"))
    record = RParity(lambda: caller, "record", session=session)
    if deterministic:
        record.r(code)
        return
    with pytest.raises(UsageError, match=r"^r\(\) draws random numbers without a seed, so R gives"):
        record.r(code)
    assert not list(tmp_path.rglob("*.json"))
    record.r(code, seed=1)
    RParity(lambda: caller, "live", session=session).r(code)
