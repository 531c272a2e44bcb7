"""The command: exit status, JSON with all bits, text with the numbers, a message for each error."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from few import mostly_slow
from folders import newest
from rparity import files, paths, recordings
from rparity.cases import case, cases
from rparity.cases.document import DOCUMENT
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.compare import COLUMNS, Verdict, tables_of
from rparity.doctor import Check
from rparity.engines.base import Answer, Question
from rparity.engines.r import R
from rparity.errors import RCrashedError, RError
from rparity.report.machine import as_json
from rparity.run import CaseRun

RunOf = Callable[[str], CaseRun]
Capture = pytest.CaptureFixture[str]


def mistake(capsys: Capture, *arguments: object) -> str:
    """Return the message on stderr of a command that ends with status 2."""
    assert main([str(argument) for argument in arguments]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("rparity: ")
    assert streams.err.count("\n") == 1
    assert "Traceback" not in streams.err
    sentence = streams.err.removeprefix("rparity: ").rstrip("\n")
    assert sentence[0].isupper() or sentence[0] in "/-"
    assert len(sentence) < 400
    return sentence


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(paths.fixtures() / "document", tmp_path / "fixtures" / "document")
    return tmp_path / "fixtures"


@pytest.fixture
def no_r(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("R_HOME", raising=False)


# Output -----------------------------------------------------------------------------------------


def test_run_agrees_and_shows_the_numbers_side_by_side(capsys: Capture) -> None:
    assert main(["run", "document"]) == AGREE
    streams = capsys.readouterr()
    assert streams.err == ""
    lines = streams.out.splitlines()

    def shown(*cells: str) -> bool:
        return any(all(cell in line.split() for cell in cells) for line in lines)

    # The published figure, R's value, Python's value.
    assert shown("21.040772", "21.04077176", "estimate", "yes")
    assert shown("1.921112", "1.921110108", "1.921110041", "known")
    assert shown("36.87548", "36.87541145", "36.87540888", "known")
    assert shown("0.055888", "0.05588810711", "yes")
    for published in ("1.915025294", "0.009903413"):
        assert shown(published, "std_error", "yes")
    for published in ("0.055405505", "0.009868006"):  # by a refit of 2017
        assert shown(published, "std_error", "known")
    claims = [line for line in lines if line.endswith("holds")]
    assert len(claims) == 8
    assert all("±" in claim for claim in claims)
    assert "published-stopped-early" in streams.out
    assert lines[-1].endswith(" known; nothing fails")


@pytest.mark.slow(reason="runs the whole document, as the tests before and after do")
def test_run_names_the_version_of_r(capsys: Capture) -> None:
    main(["run", "document", "--nsim", "2"])
    out = capsys.readouterr().out
    assert "Against the recording of R 4." in out
    assert "lme4 2.1-0" in out
    assert "R was not run" in out


@pytest.mark.slow(reason="runs the whole document, as the tests before and after do")
def test_with_fewer_replicates_bootstraps_are_not_compared(
    capsys: Capture,
) -> None:
    assert main(["run", "document", "--nsim", "50"]) == AGREE
    out = " ".join(capsys.readouterr().out.split())
    assert "R's recording has 10000 replicates, this run 50: other draws." in out
    assert "Bootstrap tables are not compared with it" in out


@pytest.mark.slow(reason="runs the whole document, as the tests before and after do")
def test_with_fewer_replicates_everything_else_is_compared(capsys: Capture, run_of: RunOf) -> None:
    main(["run", "document", "--nsim", "50", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    few = {row["table"] for row in rows if row["reference"] == "R"}
    everything = set(run_of("document").comparisons.query("reference == 'R'")["table"])
    assert everything - few == {
        "boot_simulate_u.boot",
        "boot_simulate_u.replicates",
        "boot_fix_u.boot",
        "boot_fix_u.replicates",
    }


def test_list_names_each_case_and_its_recording(capsys: Capture) -> None:
    assert main(["list"]) == AGREE
    out = capsys.readouterr().out
    assert "document  Intercept's standard error" in out
    assert "recorded of R 4.6.2, lme4 2.1-0; R 4.5.0, lme4 1.1-37; R 4.2.2" in out


def test_list_names_missing_recordings(capsys: Capture, tmp_path: Path) -> None:
    assert main(["list", "--fixtures", str(tmp_path)]) == AGREE
    assert "There is no recording of 'document'" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names",
    mostly_slow(
        [["document"], list(cases())],
        lambda names: len(names) == 1,
        "verifies all recordings and all kept answers",
    ),
    ids=["one case", "all cases"],
)
def test_doctor_passes_without_r(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, no_r: None, names: list[str]
) -> None:
    monkeypatch.setattr("rparity.doctor.cases", lambda: {name: case(name) for name in names})
    assert main(["doctor"]) == AGREE
    out = " ".join(capsys.readouterr().out.split())
    assert "✓ recording of document: sound, by R 4." in out
    assert "– R: R is not installed (no R on the PATH); needed only by --live, regenerate" in out
    assert "apt-get install r-base-core r-cran-lme4 make" in out


def test_a_quiet_doctor_names_what_is_missing_or_wrong(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [
        Check("numpy", "2.4"),
        Check("R", "missing", optional=True, remedy="install it"),
        Check("signatures", "not needed", optional=True),
        Check("recording", "corrupt", ok=False, remedy="record it"),
    ]
    monkeypatch.setattr("rparity.doctor.examine", lambda *_a, **_o: checks)
    assert main(["doctor", "--quiet"]) == UNUSABLE
    assert capsys.readouterr().out.splitlines() == [
        "– R: missing",
        "    install it",
        "✗ recording: corrupt",
        "    record it",
        "",
        "First: record it",
    ]


def test_doctor_fails_for_a_faulty_recording(capsys: Capture, no_r: None, copy: Path) -> None:
    (newest(copy, "document") / "lmer.theta.csv").unlink()
    assert main(["doctor", "--fixtures", str(copy)]) == UNUSABLE
    out = capsys.readouterr().out
    assert "✗ recording of document" in out
    assert "rparity regenerate document" in out


# JSON -------------------------------------------------------------------------------------------


def test_json_has_comparisons_with_the_keys_of_the_design(capsys: Capture) -> None:
    assert main(["run", "document", "--nsim", "2", "--format", "json"]) == AGREE
    streams = capsys.readouterr()
    assert streams.err == ""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    rows = json.loads(streams.out, parse_constant=refuse)["comparisons"]
    assert len(rows) > 500
    for row in rows:
        assert tuple(row) == (*COLUMNS, "cause")
        assert row["verdict"] in set(Verdict)
        for key in ("case", "engine", "table", "row", "column", "reference", "verdict"):
            assert isinstance(row[key], str)
        for key in ("reference_value", "value", "digits", "rtol", "atol"):
            assert row[key] is None or isinstance(row[key], float)


def test_json_keeps_every_bit_and_replaces_non_finite_numbers_by_null() -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2**64, 5000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([values, [np.nan, np.inf, -np.inf, -0.0, 5e-324, 0.1 + 0.2, 1e22]])
    frame = pd.DataFrame(dict.fromkeys(COLUMNS, "é \"'\n"), range(len(values)))
    frame = frame.assign(value=values, reference_value=values, digits=1.0, rtol=0.0, atol=np.nan)
    rows = json.loads(as_json(frame))
    back = np.array([np.nan if row["value"] is None else row["value"] for row in rows])
    finite = np.isfinite(values)
    np.testing.assert_array_equal(back[finite].view(np.uint64), values[finite].view(np.uint64))
    assert [row["value"] is None for row in rows] == (~finite).tolist()
    assert {row["atol"] for row in rows} == {None}
    assert {row["table"] for row in rows} == {"é \"'\n"}


def test_json_of_all_comparisons_is_quick_and_complete(run_of: RunOf) -> None:
    run = run_of("document")
    began = time.process_time()
    text = as_json(pd.concat([run.comparisons, run.comparisons]))
    assert time.process_time() - began < 4.0  # half a second on an idle machine
    rows = json.loads(text)
    assert len(rows) == 2 * len(run.comparisons)
    back = pd.DataFrame(rows[: len(run.comparisons)])
    for name in COLUMNS:
        expected, found = run.comparisons[name], back[name]
        if expected.dtype.kind == "f":
            np.testing.assert_array_equal(found.to_numpy(dtype=float), expected.to_numpy())
        else:
            assert found.tolist() == expected.tolist()


# Mistakes ---------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the case streams, which statsmodels cannot answer, have R's draws: ours take seconds."""
    tables = tables_of(case("streams").recording(paths.fixtures()).tables, "draws")
    monkeypatch.setattr("rparity.cases.streams.stream_tables", lambda **_n: tables)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("others", [[], ["rparity"]])
def test_status_2_if_nothing_of_a_named_engine_was_compared(
    capsys: Capture, others: list[str]
) -> None:
    options = [word for name in ["statsmodels", *others] for word in ("--engine", name)]
    assert main(["run", "streams", "--nsim", "3", *options]) == UNUSABLE
    streams = capsys.readouterr()
    assert "statsmodels does not answer draws" in streams.out
    assert "Nothing of statsmodels was compared" in streams.err


@pytest.mark.usefixtures("drawn")
def test_an_engine_that_was_not_named_may_have_no_answer(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = replace(case("streams"), engines=("rparity", "statsmodels"))
    monkeypatch.setattr("rparity.commands.chosen_cases", lambda _names: [both])
    assert main(["run", "streams", "--nsim", "3"]) == AGREE
    assert "statsmodels does not answer draws" in capsys.readouterr().out


def test_an_unknown_case(capsys: Capture) -> None:
    for command in ("run", "regenerate"):
        sentence = mistake(capsys, command, "docment")
        assert "There is no case 'docment'. Did you mean 'document'?" in sentence
    assert "`rparity list` shows all cases." in mistake(capsys, "run", "xyzzy")


@pytest.mark.parametrize("nsim", [0, 1, -5])
def test_too_few_replicates(capsys: Capture, nsim: int) -> None:
    assert f"--nsim must be at least 2 to have a standard deviation, and is {nsim}." == mistake(
        capsys, "run", "document", "--nsim", nsim
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--nsim", "many"],
        ["run", "--format", "xml"],
        ["walk"],
        ["run", "document", "--no-such-option"],
        ["regenerate", "--nsim", "5"],
    ],
)
def test_contradictory_options_are_refused(capsys: Capture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == UNUSABLE
    assert "usage: rparity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "new"),
    [
        (["run", "--cases", "parity"], "--cases is now --project DIR."),
        (["fuzz", "-o", "there"], "-o is now --store DIR."),
        (["fuzz", "--engines", "nlme", "lme4"], "--engines is now --engine NAME, which may be"),
    ],
)
def test_an_old_spelling_names_the_new_one(capsys: Capture, command: list[str], new: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == UNUSABLE
    assert new in capsys.readouterr().err


def test_no_recordings(capsys: Capture, tmp_path: Path) -> None:
    assert mistake(capsys, "run", "document", "--fixtures", tmp_path / "nowhere") == (
        f"There is no folder of recordings at {tmp_path / 'nowhere'}: "
        "run `rparity regenerate document`, which needs R."
    )
    assert mistake(capsys, "run", "document", "--fixtures", tmp_path).startswith(
        f"There is no recording of 'document' in {tmp_path}"
    )


def test_truncated_replicates(capsys: Capture, copy: Path) -> None:
    path = newest(copy, "document") / "boot_fix_u.replicates.npz"
    path.write_bytes(path.read_bytes()[:1000])
    sentence = mistake(capsys, "run", "document", "--fixtures", copy)
    assert f"{path} is corrupt: it was edited or truncated" in sentence


def test_a_stale_recording(
    capsys: Capture, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "r_scripts"
    shutil.copytree(paths.r_scripts(), scripts)
    (scripts / "document.R").write_text("document <- function(nsim) list()\n")
    monkeypatch.setattr(paths, "r_scripts", lambda: scripts)
    sentence = mistake(capsys, "run", "document", "--fixtures", copy)
    assert "is stale: document.R has changed" in sentence


def test_no_r(capsys: Capture, no_r: None, copy: Path) -> None:
    expected = "R is not installed (no R on the PATH): apt-get install r-base-core r-cran-lme4 make"
    assert mistake(capsys, "run", "document", "--live") == expected
    before = {path.name: path.read_bytes() for path in newest(copy, "document").iterdir()}
    for options in ([], ["--check"]):
        command = ["regenerate", "document", *options, "--fixtures", copy]
        assert mistake(capsys, *command) == expected
    after = {path.name: path.read_bytes() for path in newest(copy, "document").iterdir()}
    assert after == before


def test_check_without_a_recording_to_check(capsys: Capture, no_r: None, tmp_path: Path) -> None:
    sentence = mistake(capsys, "regenerate", "document", "--check", "--fixtures", tmp_path)
    assert "There is no recording of 'document'" in sentence


def r_that(monkeypatch: pytest.MonkeyPatch, tables: Mapping[str, pd.DataFrame] | Exception):
    """Let R answer with these tables, or fail."""

    def answer(self: R, _question: Question) -> Answer:
        if isinstance(tables, Exception):
            raise tables
        self.provenance = {
            "made_by": {"packages": {"R": "4.6.2", "lme4": "2.1-0"}},
            "levels": {"p": {"levels": [str(p) for p in range(1, 11)], "ordered": False}},
            "nsim": DOCUMENT.nsim,
            "scripts": {name: files.sha256(text) for name, text in DOCUMENT.scripts().items()},
        }
        return Answer(tables)

    monkeypatch.setattr(R, "answer", answer)


def test_a_folder_that_cannot_be_created(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes before R works for minutes."""
    r_that(monkeypatch, AssertionError("R was asked"))
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "fixtures"
    sentence = mistake(capsys, "regenerate", "document", "--fixtures", folder)
    assert sentence == (
        f"Cannot write the recording of 'document' to {folder}: Not a directory. "
        "The old recording, if there was one, is untouched."
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_an_existing_folder_without_permission_to_write(
    capsys: Capture, copy: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_arguments: object, **_options: object) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.mkdtemp", fail)
    r_that(monkeypatch, AssertionError("R was asked"))
    sentence = mistake(capsys, "regenerate", "document", "--fixtures", copy)
    assert f"to {copy}: {os.strerror(number)}. The old recording" in sentence


@pytest.mark.parametrize(
    "error",
    [
        RError("R error in lme4::lmer(): grouping factors must have > 1 sampled level"),
        RCrashedError("R died during document() (killed by signal 9); give it less work."),
    ],
)
@pytest.mark.parametrize("command", [["run", "--live"], ["regenerate"], ["regenerate", "--check"]])
def test_r_fails_in_the_middle(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    copy: Path,
    error: Exception,
    command: list[str],
) -> None:
    r_that(monkeypatch, error)
    sentence = mistake(capsys, *command, "document", "--fixtures", copy)
    assert sentence == str(error)
    recordings.read(copy, "document", DOCUMENT.scripts())


# Regenerating and drift -------------------------------------------------------------------------


def test_regenerate_writes_the_answers_of_r(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_of: RunOf
) -> None:
    r_that(monkeypatch, run_of("document").r_tables)
    assert main(["regenerate", "document", "--engine=R", "--fixtures", str(tmp_path)]) == AGREE
    out = " ".join(capsys.readouterr().out.split())
    assert f"document: R's answer is in {tmp_path / 'document'}".replace(" ", "") in out.replace(
        " ", ""
    )
    written = recordings.read(tmp_path, "document", DOCUMENT.scripts())
    assert written.provenance["command"] == "rparity regenerate document"
    for name, table in run_of("document").r_tables.items():
        pd.testing.assert_frame_equal(written.tables[name], table, check_exact=True)


def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Bytes and time of every file."""
    files = [path for path in folder.rglob("*.*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_check_reports_drift_and_writes_nothing(
    capsys: Capture, copy: Path, monkeypatch: pytest.MonkeyPatch, run_of: RunOf
) -> None:
    before = state(copy)
    tables = dict(run_of("document").r_tables)
    r_that(monkeypatch, tables)
    command = ["regenerate", "document", "--engine=R", "--check", "--fixtures", str(copy)]
    assert main(command) == AGREE
    out = capsys.readouterr().out
    assert "today's R against the recording" in out
    for table in tables:
        assert table in out
    for planted in (tables["lmer.coef"] * (1 + 1e-4), tables["lmer.coef"].iloc[:1], None):
        drifted = {**tables, "lmer.coef": planted}
        r_that(monkeypatch, {k: v for k, v in drifted.items() if v is not None})
        assert main(command) == DISCREPANCY
        out = capsys.readouterr().out
        assert "lmer.coef" in out.split("What nothing explains")[1]
    assert state(copy) == before


@pytest.mark.slow(reason="runs the whole document, as the tests before and after do")
def test_live_compares_with_todays_answer_of_r(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, run_of: RunOf
) -> None:
    tables = dict(run_of("document").r_tables)
    r_that(monkeypatch, {**tables, "lmer.coef": tables["lmer.coef"] * (1 + 1e-4)})
    assert main(["run", "document", "--live"]) == DISCREPANCY
    out = capsys.readouterr().out
    assert "run now" in out
    assert "lmer.coef" in out.split("What nothing explains")[1]


def test_an_interrupt_ends_with_a_message(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rparity.run.run_case", interrupt)
    assert main(["run", "document"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow(reason="runs the whole document, as the tests before and after do")
def test_two_cases_in_one_run(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = replace(DOCUMENT, title="the same again")
    monkeypatch.setattr("rparity.commands.chosen_cases", lambda _names: [DOCUMENT, twin])
    assert main(["run", "--nsim", "2", "--format", "json"]) == AGREE
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    assert len(rows) % 2 == 0
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
