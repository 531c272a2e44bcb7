"""`rparity audit`: the matrix, the causes, what fails, JSON to the bit, exit status, mistakes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import audits
from rparity.audit.questions import has_data
from rparity.audit.results import Audit, EngineReply
from rparity.cases import case, cases
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.compare import COLUMNS, Verdict
from rparity.diagnosis.ledger import Entry, apply_ledger, ledger
from rparity.errors import install
from rparity.report import matrix, summary
from rparity.report.terminal import WIDTH, console

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def shown(audit: Audit) -> str:
    out = StringIO()
    matrix.show_audit(audit, console(out))
    return out.getvalue()


def line(text: str, first: str) -> list[str]:
    """The words of the first line that begins with a word."""
    return next(words for words in map(str.split, text.splitlines()) if words[:1] == [first])


@pytest.fixture
def conducted(monkeypatch: Patch) -> Callable[[Audit], dict[str, object]]:
    """Let an audit come out as it is given; returns what it was asked for."""

    def let(audit: Audit) -> dict[str, object]:
        asked: dict[str, object] = {}

        def run_audit(cases: object, **options: object) -> Audit:
            asked.update(options, cases=cases)
            return audit

        monkeypatch.setattr("rparity.audit.run_audit.run_audit", run_audit)
        return asked

    return let


# The matrix -------------------------------------------------------------------------------------


def test_each_cell_says_its_digits_and_its_verdict() -> None:
    text = shown(audits.one_of_everything())
    assert line(text, "one") == ["one", "ref", "15.9", "5.0~", "13.0", "1.0?", "·"]
    assert line(text, "two") == ["two", "ref", "3.0+", "0.0x", "8.0", "0.0-", "!"]


def test_gaps_and_problems_come_with_their_reasons() -> None:
    text = shown(audits.one_of_everything())
    problems, gaps = text.split("Problems")[1].split("Gaps")
    assert line(problems, "gpboost") == ["gpboost", "two", "crashed:", "killed", "by", "SIGSEGV"]
    assert line(gaps, "gpboost") == ["gpboost", "one", "it", "knows", "no", "REML"]


def test_an_answer_without_a_reference_is_a_gap_and_not_agreement() -> None:
    audit = audits.audit(audits.comparisons(), ("nlme",), ("one",))
    text = shown(audit)
    assert line(text, "one") == ["one", "·"]
    assert "there is nothing to compare it with" in text


def test_reasons_that_differ_only_in_the_case_are_shown_once() -> None:
    cases = [f"c{i}" for i in range(5)]
    stale = {
        ("nlme", c): EngineReply(None, f"The answer to {c!r} is stale: ask {c}.") for c in cases
    }
    audit = audits.audit(audits.comparisons(), ("nlme",), cases, replies=stale)
    assert summary.problems(audit) == [
        ("nlme", "The answer to 'CASE' is stale: ask CASE.", tuple(cases))
    ]
    one = {("nlme", "c0"): stale["nlme", "c0"]}
    audit = audits.audit(audits.comparisons(), ("nlme",), cases, replies=one)
    assert summary.problems(audit) == [("nlme", "The answer to 'c0' is stale: ask c0.", ("c0",))]


def test_a_full_matrix_fits_a_terminal() -> None:
    names = ["exact", "lme4", "lme4-tight", "nlme", "lm", "published", "rparity", "statsmodels"]
    names += [
        "statsmodels-tight",
        "mixedlm",
        "gpboost",
        "gpboost-tight",
        "pyfixest",
        "linearmodels",
    ]
    cases = ["document", "sleepstudy_uncorrelated", *(f"smls{i:02}" for i in range(35))]
    rows = [audits.row(c, e, digits=12.3, verdict="known", cause="x") for c in cases for e in names]
    audit = audits.audit(audits.comparisons(*rows), names, cases)
    lines = shown(audit).splitlines()
    beneath = [text for text in lines if text.startswith(tuple(cases))]
    blocks = len(beneath) // len(cases)
    assert len(beneath) == blocks * len(cases)
    for name in cases:
        mine = [text for text in beneath if text.startswith(f"{name} ")]
        assert "".join(mine).count("12.3~") == len(names)
    assert max(len(text.rstrip()) for text in lines) <= WIDTH
    heads = [text for text in lines if text not in beneath][: 4 * blocks]
    assert " ".join(heads).split().count("tight") == 3


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("statsmodels-tight", ["stats-", "models-", "tight"]),
        ("linearmodels", ["linear-", "models"]),
        ("lme4-tight", ["lme4-", "tight"]),
        ("pyfixest", ["pyfixest"]),
        ("somebody_elses_engine", ["somebody", "_elses_e", "ngine"]),
    ],
)
def test_long_names_are_broken(name: str, lines: list[str]) -> None:
    assert matrix.header(name).splitlines() == lines


def test_verdicts_are_coloured_on_a_terminal() -> None:
    out = StringIO()
    colours = Console(file=out, force_terminal=True, color_system="standard", width=WIDTH)
    matrix.show_audit(audits.one_of_everything(), colours)
    text = out.getvalue()
    for digits, colour in (("15.9", "32"), (" 5.0~", "33"), (" 1.0?", "1;31")):
        assert f"\x1b[{colour}m{digits}" in text


# Causes, failures, the ledger -------------------------------------------------------------------


def test_causes_are_counted(small_audit: Audit) -> None:
    rows = small_audit.comparisons
    found = {cause.name: cause for cause in summary.causes(small_audit)}
    assert set(found) == set(rows["cause"]) - {""}
    assert found
    for name, cause in found.items():
        of = rows[rows["cause"] == name]
        assert cause.values == len(of) == sum(cause.verdicts.values())
        assert cause.cells == len(set(zip(of["engine"], of["case"], strict=True)))
        assert cause.digits == of["digits"].min()
        assert set(cause.engines) == set(of["engine"])
    text = shown(small_audit)
    assert "stopped early" in text.split("Causes, each found by an experiment")[1]


def test_a_cause_names_its_entries() -> None:
    causes = {c.name: c for c in summary.causes(audits.one_of_everything())}
    assert causes["stopped early"].entries == ("planted",)
    assert causes["other [units]"].entries == ()


def test_failures_are_shown_with_their_worst_value() -> None:
    text = shown(audits.one_of_everything()).split("What fails")[1]
    assert " ".join(text.split()).startswith(
        ", with the worst value of each kind verdict engine what cases values digits cause "
        "unexplained mixedlm coef estimate 1 1 1.0 worst: one m.coef x mixedlm 1.1 exact 1 missing"
    )
    assert line(text, "missing")[:7] == [
        "missing",
        "nlme",
        "coef",
        "estimate",
        "1",
        "1",
        "0.0",
    ]
    assert line(text, "stale")[1] == "mixedlm"
    assert line(text, "new")[-2:] == ["other", "[units]"]


def test_equal_failures_are_one_line() -> None:
    cases = [f"c{i}" for i in range(9)]
    rows = [
        audits.row(c, "nlme", digits=float(i), verdict="unexplained", value=2.0, row=f"r{j}")
        for i, c in enumerate(cases)
        for j in range(3)
    ]
    audit = audits.audit(audits.comparisons(*rows), ("nlme",), cases)
    found = summary.failure_groups(audit)
    assert len(found) == 1
    assert found.loc[0, ["cases", "values", "digits", "case"]].tolist() == [9, 27, 0.0, "c0"]


def test_the_worst_verdicts_come_first() -> None:
    found = summary.failure_groups(audits.one_of_everything())
    assert found["verdict"].tolist() == ["unexplained", "missing", "stale", "new"]


def test_pasting_the_entries_makes_new_differences_known(
    small_audit: Audit, tmp_path: Path
) -> None:
    """Pasted as they are: the ledger reads them, and judges all that was new as known."""
    before = small_audit.comparisons
    new = before["verdict"] == Verdict.NEW
    assert new.any()
    (tmp_path / "ledger.toml").write_text(summary.entries_to_paste(small_audit))
    entries = ledger(tmp_path / "ledger.toml")
    assert all(entry.why for entry in entries)
    raw = before.assign(
        verdict=before["verdict"].where(~before["verdict"].isin(["new", "known"]), "unexplained")
    )
    judged, known = apply_ledger(raw, entries, [])
    assert set(judged.loc[new, "verdict"]) == {"known"}
    assert set(before.index[new]) <= set(known)


def test_entries_to_paste_hold_names_of_any_kind() -> None:
    who = 'an "engine"'
    rows = [audits.row("c[1]", who, row=f"p*{i}\n\\", table="m?.coef") for i in range(3)]
    rows = [row | {"verdict": "new", "cause": "é"} for row in rows]
    audit = audits.audit(audits.comparisons(*rows), (who,), ("c[1]",))
    (found,) = tomllib.loads(summary.entries_to_paste(audit))["discrepancy"]
    others = [{"case": "c1"}, {"table": "mm.coef"}, {"row": "pp0\n\\"}, {"column": "std_error"}]
    asked = pd.DataFrame([*rows, *(rows[0] | other for other in others)])
    assert Entry(**found).about(asked).tolist() == [True] * 3 + [False] * 4


def test_there_is_nothing_to_paste_if_nothing_is_new() -> None:
    audit = audits.audit(audits.comparisons(audits.row("one", "lme4")), ("lme4",), ("one",))
    assert summary.entries_to_paste(audit) == ""
    assert "What fails" not in shown(audit)
    assert "For a ledger" not in shown(audit)


def test_the_last_line_has_the_totals_and_who_answered_stands_above(small_audit: Audit) -> None:
    *lines, last = shown(small_audit).splitlines()
    counts = small_audit.comparisons["verdict"].value_counts()
    assert last.startswith(f"{len(small_audit.comparisons)} comparisons: ")
    assert f"{counts['rounding']} rounding" in last
    assert last.endswith(f"; {small_audit.seconds:.0f} s")
    who = "\n".join(lines).split("Who answered")[1]
    assert "recorded 20" in " ".join(line(who, "lme4"))
    assert "lme4 2.1-0" in " ".join(who.split())
    assert "as printed" in " ".join(line(who, "published"))


def test_digits_are_never_minus_zero() -> None:
    rows = audits.comparisons(audits.row("one", "nlme", digits=-0.0, verdict="unexplained"))
    assert "-0.0" not in shown(audits.audit(rows, ("nlme",), ("one",)))


# The command ------------------------------------------------------------------------------------


def test_an_audit_from_what_is_recorded(capsys: Capture) -> None:
    status = main(["audit", "norris", "--engine", "lm", "--engine", "published"])
    streams = capsys.readouterr()
    assert streams.err == ""
    found = line(streams.out, "norris")
    assert len(found) == 3
    assert float(found[1].rstrip("~+?x")) > 11
    assert status == (DISCREPANCY if "What fails" in streams.out else AGREE)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_exit_status_is_the_worst_verdicts(
    capsys: Capture, conducted: Callable[[Audit], object], verdict: Verdict
) -> None:
    rows = audits.comparisons(audits.row("norris", "lm", verdict=verdict.value, cause="x"))
    conducted(audits.audit(rows, ("lm",), ("norris",)))
    for form in ("text", "json"):
        status = main(["audit", "norris", "--format", form])
        assert status == (DISCREPANCY if verdict.fails else AGREE)


@pytest.mark.parametrize("engine", ["lm", "exact"])
@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_a_question_without_an_answer_is_status_2_with_the_reason(
    capsys: Capture, conducted: Callable[[Audit], object], engine: str, form: str
) -> None:
    """Also of a reference that nobody named: another must not take its place silently."""
    reason = "crashed: killed by SIGSEGV"
    rows = audits.comparisons(audits.row("norris", "nlme"))
    engines = ("nlme", "lm") if engine == "lm" else ("nlme",)
    replies = {(engine, "norris"): EngineReply(None, reason)}
    conducted(audits.audit(rows, engines, ("norris",), replies=replies))
    assert main(["audit", "norris", "--format", form]) == UNUSABLE
    streams = capsys.readouterr()
    assert reason in streams.out
    assert "passes" not in streams.out
    assert "could not be answered" in streams.err
    if form == "json":
        found = json.loads(streams.out)
        assert found["problems"] == [{"case": "norris", "engine": engine, "reason": reason}]
    assert main(["audit", "norris", "--format", form, "--allow-problems"]) == AGREE


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_nothing_compared_is_never_status_0(
    capsys: Capture, conducted: Callable[[Audit], object], form: str
) -> None:
    conducted(audits.audit(audits.comparisons(), ("lm",), ("norris",)))
    assert main(["audit", "norris", "--format", form, "--allow-problems"]) == UNUSABLE
    streams = capsys.readouterr()
    assert "passes" not in streams.out
    assert "Nothing was compared" in streams.err


def test_options_reach_the_audit(
    capsys: Capture, conducted: Callable[[Audit], dict[str, object]], tmp_path: Path
) -> None:
    asked = conducted(audits.one_of_everything())
    main(["audit"])
    assert asked["cases"] == [case for case in cases().values() if has_data(case)]
    assert (asked["live"], asked["engines"], asked["limit"]) == (False, [], 180.0)
    main(
        "audit norris longley norris --engine lm --engine lme4 --engine lm --live --timeout 5"
        f" --fixtures {tmp_path}".split()
    )
    assert asked["cases"] == [case("norris"), case("longley")]
    assert asked["engines"] == ["lm", "lme4"]
    assert (asked["live"], asked["limit"], asked["fixtures"]) == (True, 5.0, tmp_path)


def test_json_has_every_comparison_to_the_bit(
    capsys: Capture, conducted: Callable[[Audit], object], small_audit: Audit
) -> None:
    conducted(small_audit)
    main(["audit", "--format", "json"])
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert all(tuple(row) == (*COLUMNS, "cause") for row in found)
    expected = small_audit.comparisons
    assert len(found) == len(expected)
    for name in (*COLUMNS, "cause"):
        values = [row[name] for row in found]
        if expected[name].dtype.kind == "f":
            back = np.array([np.nan if value is None else value for value in values])
            finite = np.where(np.isfinite(expected[name]), expected[name], np.nan)
            np.testing.assert_array_equal(back, finite)
        else:
            assert values == expected[name].tolist()


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_a_file_gets_the_same_text_as_standard_output(
    capsys: Capture, conducted: Callable[[Audit], object], tmp_path: Path, form: str
) -> None:
    conducted(audits.one_of_everything())
    assert main(["audit", "--format", form, "--allow-problems"]) == DISCREPANCY
    printed = capsys.readouterr().out
    target = tmp_path / "out"
    command = ["audit", "--format", form, "-o", str(target), "--allow-problems"]
    assert main(command) == DISCREPANCY
    assert capsys.readouterr().out == ""
    assert target.read_text() == printed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def mistake(capsys: Capture, *arguments: object) -> str:
    assert main(["audit", *map(str, arguments)]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("rparity: ")
    assert streams.err.count("\n") == 1
    return streams.err.removeprefix("rparity: ").rstrip("\n")


def test_mistakes_are_found_before_the_work(
    capsys: Capture, monkeypatch: Patch, tmp_path: Path
) -> None:
    def run_audit(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the audit began")

    monkeypatch.setattr("rparity.audit.run_audit.run_audit", run_audit)
    assert "There is no case 'noris'. Did you mean 'norris'?" in mistake(capsys, "noris")
    assert mistake(capsys, "-o", tmp_path / "nowhere" / "x.html") == (
        f"There is no folder {tmp_path / 'nowhere'} to put x.html in."
    )
    assert mistake(capsys, "-o", tmp_path) == f"{tmp_path} is a folder: name a file in it."
    for seconds in ("0", "-1", "nan"):
        expected = f"--timeout must be above 0 seconds, and is {float(seconds):g}."
        assert mistake(capsys, "--timeout", seconds) == expected
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "add -o report.html" in mistake(capsys, "--format", "html")
    monkeypatch.setattr("rparity.commands.audit.find_spec", lambda _name: None)
    assert install("audit") in mistake(capsys, "--format", "html", "-o", "x.html")


def test_an_engine_that_is_not_there(capsys: Capture) -> None:
    assert "There is no engine 'lmr'" in mistake(capsys, "norris", "--engine", "lmr")


def test_a_file_that_cannot_be_written(
    capsys: Capture, conducted: Callable[[Audit], object], tmp_path: Path, monkeypatch: Patch
) -> None:
    conducted(audits.one_of_everything())
    target = tmp_path / "report.html"
    target.write_text("the old one")

    def full(self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    sentence = mistake(capsys, "--format", "html", "-o", target)
    assert sentence == f"Cannot write {target}: No space left on device."
    assert target.read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
