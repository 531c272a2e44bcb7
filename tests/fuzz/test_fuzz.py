"""`rparity fuzz`: the store that survives, going on, crashes, and what the command says."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rparity
from fuzz_r import FakeR, stored
from places import SUPPORT
from rparity.audit.workers import ENGINE
from rparity.cases.extensions import VARIABLE
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.commands.fuzz import _interruptions
from rparity.errors import RCrashedError, RNotAvailableError, RparityError, UsageError
from rparity.fuzz import campaign, others, work
from rparity.fuzz.campaign import run_fuzz
from rparity.fuzz.design import Covariate, Design
from rparity.fuzz.draw import Numbered, design
from rparity.fuzz.judge import US, FuzzResult, FuzzVerdict, judge
from rparity.fuzz.problem import Problem
from rparity.fuzz.store import Store
from rparity.fuzz.work import Work, answered
from rparity.workers.child import Child


def outcomes(found: pd.DataFrame) -> pd.DataFrame:
    """All that does not depend on the clock."""
    return found.drop(columns=["seconds", "r_seconds", "script"]).reset_index(drop=True)


# -- the store -------------------------------------------------------------------------------------


@pytest.mark.slow(reason="judges dozens of designs")
def test_a_campaign_continues_where_it_stopped(
    tmp_path: Path, fake: Callable[[FakeR], FakeR], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(FakeR())
    asked: list[int] = []
    right = work.judge

    def noted(problem: Problem, r: FakeR) -> FuzzResult:
        asked.append(len(problem.data))
        return right(problem, r)

    monkeypatch.setattr(work, "judge", noted)
    first = run_fuzz(tmp_path / "a", n=3, seed=2)
    more = run_fuzz(tmp_path / "a", n=8, seed=2)
    assert (first.judged, more.judged, len(asked)) == (3, 5, 8)
    whole = run_fuzz(tmp_path / "b", n=8, seed=2)
    pd.testing.assert_frame_equal(outcomes(more.designs), outcomes(whole.designs))
    alone = run_fuzz(tmp_path / "c", seed=2, only=6)
    expected = outcomes(whole.designs[whole.designs["number"] == 6])
    pd.testing.assert_frame_equal(outcomes(alone.designs), expected)


def test_one_line_of_pandas_reads_it_and_a_stored_design_is_its_data(
    tmp_path: Path, fake: Callable[[FakeR], FakeR]
) -> None:
    fake(FakeR())
    run_fuzz(tmp_path, n=3, seed=2)
    with closing(sqlite3.connect(tmp_path / "fuzz.sqlite")) as db:
        found = pd.read_sql("SELECT * FROM designs", db)
    assert found["number"].tolist() == [0, 1, 2]
    stored = Design.from_json(found["design"][1])
    assert stored == design(2, 1)
    pd.testing.assert_frame_equal(stored.data(), design(2, 1).data())
    assert json.loads(found["made_by"][0]) == {"R": "4.2.2", "lme4": "1.1-31"}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"seed": 5}, "seed 4, and this is seed 5"), ({"engines": ["nlme"]}, "engines rparity nlme")],
)
def test_another_campaigns_store_is_refused(
    tmp_path: Path, fake: Callable[[FakeR], FakeR], change: dict[str, object], said: str
) -> None:
    fake(FakeR())
    run_fuzz(tmp_path, n=1, seed=4)
    with pytest.raises(
        UsageError, match=f"was begun with .*{said}: give another folder by --store"
    ):
        run_fuzz(tmp_path, n=1, **{"seed": 4, **change})  # type: ignore[arg-type]


def test_another_version_is_refused(
    tmp_path: Path, fake: Callable[[FakeR], FakeR], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(FakeR())
    run_fuzz(tmp_path, n=1)
    monkeypatch.setattr(campaign, "__version__", "9.9")
    with pytest.raises(UsageError, match=rf"rparity {rparity.__version__}, and this is rparity 9"):
        run_fuzz(tmp_path, n=1)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fuzz.sqlite").write_text("this is no data base, whatever its name says" * 50)
    with pytest.raises(UsageError, match="cannot be used as a store: file is not a database"):
        run_fuzz(tmp_path, n=1)


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from fuzz_r import Array, FakeR
from rparity.fuzz import campaign, work
for module in (work, campaign):
    module.live_r = lambda _limit, r=FakeR(): r
def tell(progress):
    print(progress.done, flush=True)
campaign.run_fuzz(Path({folder!r}), n=500, seed=6, on_progress=tell)
"""


@pytest.mark.slow(reason="a campaign in a process of its own, which is killed, and the same anew")
def test_a_kill_loses_what_was_in_flight_and_no_more(
    tmp_path: Path, fake: Callable[[FakeR], FakeR]
) -> None:
    code = WRITER.format(tests=str(SUPPORT), folder=str(tmp_path / "killed"))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 9:
                process.kill()
                break
    fake(FakeR())
    with Store(tmp_path / "killed", _about(tmp_path / "killed")) as store:
        done = store.done()
    assert set(range(8)) <= done
    n = max(done) + 4
    went_on = run_fuzz(tmp_path / "killed", n=n, seed=6)
    assert went_on.judged == n - len(done)
    whole = run_fuzz(tmp_path / "whole", n=n, seed=6)
    pd.testing.assert_frame_equal(outcomes(went_on.designs), outcomes(whole.designs))


def _about(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "fuzz.sqlite")) as db:
        return dict(db.execute("SELECT key, value FROM about"))


@pytest.mark.slow(reason="judges dozens of designs")
def test_an_interrupted_command_says_so_and_keeps_the_results(tmp_path: Path) -> None:
    code = WRITER.format(tests=str(SUPPORT), folder=str(tmp_path))
    code = code[: code.index("def tell")] + (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from rparity.cli import main\n"
        f"sys.exit(main(['fuzz', '--n', '500', '--seed', '6', '--store', {str(tmp_path)!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as it:
        until = time.monotonic() + 60
        while not stored(tmp_path):
            assert time.monotonic() < until
            time.sleep(0.05)
        it.send_signal(signal.SIGINT)
        assert it.stderr is not None
        # A callback of Hypothesis may be what is interrupted: that is printed, too.
        assert it.stderr.read().endswith("rparity: interrupted; nothing was left half-written.\n")
        assert it.wait() == 130


def test_an_interruption_that_a_callback_swallowed_is_heeded() -> None:
    with _interruptions() as heed:
        heed()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            heed()


# -- crashes ---------------------------------------------------------------------------------------


def test_r_that_dies_is_asked_once_more(fake: Callable[[FakeR], FakeR]) -> None:
    item = Numbered(1, 0, design(1, 0))
    fake(FakeR())
    expected = answered(Work((US,), 1.0), item)[0]
    fake(FakeR(dies=1))
    found = answered(Work((US,), 1.0), item)[0]
    assert (found.verdict, found.digits) == (expected.verdict, expected.digits)
    fake(FakeR(dies=2))
    found = answered(Work((US,), 1.0), item)[0]
    assert (found.verdict, found.says) == (
        "crashed",
        "Design 0 of seed 1: R died during fuzz_answer().",
    )


@pytest.mark.parametrize("error", [RCrashedError("R died."), RNotAvailableError("No R")])
def test_r_that_ends_while_it_starts_is_asked_once_more(
    fake: Callable[[FakeR], FakeR], error: RparityError
) -> None:
    item = Numbered(1, 0, design(1, 0))
    right, once = fake(FakeR()), [error]
    answer = right.answer

    def starting(engine: str, problem: Problem) -> Any:
        if once:
            raise once.pop()
        return answer(engine, problem)

    right.answer = starting  # type: ignore[method-assign]
    assert answered(Work((US,), 1.0), item)[0].verdict != "crashed"
    assert not once


def test_no_r_at_all_ends_the_campaign(tmp_path: Path, fake: Callable[[FakeR], FakeR]) -> None:
    none = fake(FakeR())

    def starting(_engine: str, _problem: Problem) -> Any:
        raise RNotAvailableError("R is not installed", "install it")

    none.answer = starting  # type: ignore[method-assign]
    with pytest.raises(RNotAvailableError, match="install it"):
        run_fuzz(tmp_path, n=2)


def _kills(numbers: set[int]) -> Callable[[Problem], bool]:
    """Kill R with some designs of seed 4."""
    doomed = {(design(4, k).part().formula, design(4, k).rows) for k in numbers}

    def kill(problem: Problem) -> bool:
        if (problem.part.formula, len(problem.data)) in doomed:
            raise RCrashedError("R died during fuzz_answer().")
        return False

    return kill


def test_crashed_designs_are_tried_again_at_the_end(
    tmp_path: Path, fake: Callable[[FakeR], FakeR]
) -> None:
    fake(FakeR(dies=6))  # three designs, two tries each
    found = run_fuzz(tmp_path / "dying", n=4, seed=4)
    fake(FakeR())
    whole = run_fuzz(tmp_path / "whole", n=4, seed=4)
    pd.testing.assert_frame_equal(outcomes(found.designs), outcomes(whole.designs))


def test_crashed_designs_are_status_2_and_are_tried_again_by_the_same_command(
    tmp_path: Path, fake: Callable[[FakeR], FakeR], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fuzz", "--n", "4", "--seed", "4", "--store", str(tmp_path)]
    fake(FakeR(refuses=_kills({1, 2, 3})))
    assert main(command) == UNUSABLE
    assert capsys.readouterr().err == (
        "rparity: 3 designs have no answer. Design 1 (rparity): R died during "
        "fuzz_answer(). The same command tries them again; --allow-problems ends with 0 or 1 "
        "nevertheless.\n"
    )
    fake(FakeR(refuses=_kills({2})))
    assert main([*command, "--allow-problems"]) == AGREE
    fake(FakeR())
    assert main(command) == AGREE
    assert "1 designs in" in capsys.readouterr().out
    whole = run_fuzz(tmp_path / "whole", n=4, seed=4)
    found = run_fuzz(tmp_path, n=4, seed=4)
    assert found.judged == 0
    pd.testing.assert_frame_equal(outcomes(found.designs), outcomes(whole.designs))


def test_a_death_of_r_while_shrinking_does_not_end_the_campaign(
    tmp_path: Path, fake: Callable[[FakeR], FakeR], bug: FakeR, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(bug)
    monkeypatch.setattr(campaign, "judged", lambda *_: _raise(RCrashedError("R died.")))
    seed, number = (
        3,
        next(
            k
            for k in range(200)
            if (d := design(3, k)).weights and d.offset and 5 < d.rows < 60
            if judge(Problem(d.part(), d.data()), bug).verdict is FuzzVerdict.UNEXPLAINED
        ),
    )
    found = run_fuzz(tmp_path, seed=seed, only=number)
    assert found.unexplained["script"].tolist() == [""]


def _raise(error: Exception) -> Any:
    raise error


def test_an_error_of_this_package_is_unexplained(
    fake: Callable[[FakeR], FakeR], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(FakeR())

    def fail(_problem: Problem, _r: FakeR) -> FuzzResult:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(work, "judge", fail)
    found = answered(Work((US,), 1.0), Numbered(1, 0, design(1, 0)))[0]
    assert (found.verdict, found.open) == ("unexplained", "error")
    assert found.says == "LinAlgError: Singular matrix"


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.slow(reason="looks for a design that meets the bug, and shrinks it")
def test_the_command_shows_what_is_unexplained_and_where_its_scripts_are(
    tmp_path: Path,
    fake: Callable[[FakeR], FakeR],
    bug: FakeR,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake(bug)
    number = next(
        k
        for k in range(200)
        if (d := design(3, k)).weights and d.offset and 5 < d.rows < 60
        if judge(Problem(d.part(), d.data()), bug).verdict is FuzzVerdict.UNEXPLAINED
    )
    folder = ["--seed", "3", "--store", str(tmp_path)]
    assert main(["fuzz", "--only", str(number), *folder]) == DISCREPANCY
    said = capsys.readouterr().out
    assert f"Design {number} (rparity, " in said
    assert "of the time went to R" in said
    script = tmp_path / f"design-{number}-rparity"
    assert f"{script}.R, {script}.py" in said
    assert "shrunk to" in Path(f"{script}.R").read_text()
    assert main(["fuzz", "--only", str(number), "--format", "json", *folder]) == DISCREPANCY
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["number"], row["verdict"], row["engine"]) == (number, "unexplained", "rparity")


def test_all_explained_exits_with_zero(
    tmp_path: Path, fake: Callable[[FakeR], FakeR], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(FakeR())
    assert main(["fuzz", "--n", "5", "--store", str(tmp_path)]) == AGREE
    assert "agrees" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "exact"], "There is no engine 'exact' of mixed models"),
        (["--engine", "nobody"], "There is no engine 'nobody' of mixed models"),
        (["--n", "0"], "--n is at least 1"),
        (["--only", "-1"], "counted from 0"),
        (["--timeout", "0"], "--timeout must be above 0 seconds, and is 0."),
        (["--timeout", "nan"], "--timeout must be above 0 seconds, and is nan."),
    ],
)
def test_invalid_arguments_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["fuzz", "--store", str(tmp_path), *arguments]) == UNUSABLE
    assert said in capsys.readouterr().err


@pytest.mark.slow(reason="starts engines in processes of their own, and one again")
def test_a_crash_of_an_engine_costs_only_its_own_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text(
        "import os\n"
        "class Crashes:\n"
        "    name = 'crashes'\n"
        "    def expected(self, part): return ()\n"
        "    def answer(self, question): os._exit(3)\n"
        "ENGINES = {'crashes': 'crashing:Crashes'}\n"
    )
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    other = Child(ENGINE, "rparity")
    monkeypatch.setattr(others, "SERVICES", {"other": other})
    plain = Design((6, 5, 4, 6, 3), covariates=(Covariate(),), seed=5)
    problem = Problem(plain.part(), plain.data())
    for _ in range(2):
        found = others.judge_other(problem, "crashes", FakeR(), 30.0)
        assert (found.verdict, found.says) == (FuzzVerdict.CRASHED, "crashed: ended with status 3")
        assert set(others.SERVICES) == {"other"}
    other.stop()


def test_another_engine_has_its_own_rows(tmp_path: Path, fake: Callable[[FakeR], FakeR]) -> None:
    fake(FakeR(moved=lambda theta: theta * 1.0001))
    found = run_fuzz(tmp_path, n=3, seed=2, engines=["lme4-tight"])
    assert found.designs["engine"].value_counts().to_dict() == {"rparity": 3, "lme4-tight": 3}
    assert found.unexplained.empty
    assert found.causes["lme4-tight"]["stopped early"] >= 1
