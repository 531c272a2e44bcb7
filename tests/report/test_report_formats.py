"""The formats for machines and for CI: JSON and its schema, Markdown, JUnit, GitHub Actions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fastjsonschema
import pytest
from markdown_it import MarkdownIt

import audits
from places import ROOT
from rparity.audit.results import Audit, EngineReply
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY
from rparity.compare import COLUMNS, Verdict
from rparity.report import github, junit, machine, markdown
from rparity.report.results import CommandResults, of_audit, of_runs
from rparity.run import CaseRun

SCHEMA = json.loads((ROOT / "docs/reference/results.schema.json").read_text("utf-8"))
validate = fastjsonschema.compile(SCHEMA)
NASTY = "a|b<script>`x`</script>\x1b[31m*_[l](u)\n::error::%\ufffe"


@pytest.fixture(scope="module")
def everything() -> CommandResults:
    """Return an audit with each verdict, a problem and a gap."""
    replies = {
        ("lme4", "one"): EngineReply(None, "crashed: killed by SIGSEGV"),
        ("nlme", "one"): audits.reply("m.coef", gaps={"m": "has no counterpart", "n.ddf": "none"}),
    }
    rows = [
        audits.row("one", "nlme", row=verdict.value, verdict=verdict.value, digits=i + 0.5)
        for i, verdict in enumerate(Verdict)
    ]
    missing = audits.row("one", "nlme", row="*", verdict="missing", value=float("nan"))
    found = audits.audit(
        audits.comparisons(*rows, missing), ("nlme", "lme4"), ("one",), replies=replies
    )
    return of_audit(found)


@pytest.fixture(scope="module")
def nasty() -> CommandResults:
    """Return an audit whose names and reasons attack each format."""
    rows = audits.comparisons(
        audits.row("one", "lm", row=NASTY, table=f"m.{NASTY}", verdict="new", cause=NASTY)
    )
    replies = {("lme4", "one"): EngineReply(None, NASTY)}
    return of_audit(audits.audit(rows, ("lm", "lme4"), ("one",), replies=replies))


# JSON -------------------------------------------------------------------------------------------


def test_the_schema_names_what_the_package_has() -> None:
    comparison = SCHEMA["properties"]["comparisons"]["items"]
    assert list(comparison["properties"]) == comparison["required"] == [*COLUMNS, "cause"]
    assert set(comparison["properties"]["verdict"]["enum"]) == set(Verdict)
    counts = SCHEMA["properties"]["summary"]["properties"]["verdicts"]
    assert set(counts["required"]) == set(Verdict)
    assert SCHEMA["properties"]["schema_version"]["const"] == machine.SCHEMA_VERSION


@pytest.mark.parametrize("which", ["everything", "nasty"])
def test_the_json_of_an_audit_has_the_form_of_the_schema(
    request: pytest.FixtureRequest, which: str
) -> None:
    results: CommandResults = request.getfixturevalue(which)
    found = json.loads(machine.document(results))
    validate(found)
    assert len(found["comparisons"]) == found["summary"]["comparisons"]
    assert found["summary"]["problems"] == len(found["problems"]) == 1
    assert found["summary"]["failed"]


def test_json_has_problems_gaps_and_counts(everything: CommandResults) -> None:
    found = json.loads(machine.document(everything))
    assert found["problems"] == [
        {"case": "one", "engine": "lme4", "reason": "crashed: killed by SIGSEGV"}
    ]
    gap = {"case": "one", "engine": "nlme"}
    assert found["gaps"] == [
        gap | {"part": "m", "table": None, "reason": "has no counterpart"},
        gap | {"part": "n", "table": "n.ddf", "reason": "none"},
    ]
    assert found["summary"]["verdicts"] == {v: 1 + (v == "missing") for v in Verdict}


def test_the_json_of_a_run_has_the_form_of_the_schema(run_of: Callable[[str], CaseRun]) -> None:
    found = json.loads(machine.document(of_runs([run_of("norris")])))
    validate(found)
    who = {one["engine"]: one for one in found["made_by"]["answers"]}
    assert who["R"]["when"]
    assert who["R"]["packages"]["R"]
    assert who["rparity"]["when"] is None


def test_the_json_of_versions_has_the_form_of_the_schema(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["versions", "dyestuff", "--format", "json"]) == AGREE
    found = json.loads(capsys.readouterr().out)
    validate(found)
    assert found["made_by"]["command"] == "rparity versions"


def spoilt(found: dict[str, Any], how: str) -> dict[str, Any]:
    match how:
        case "a key less":
            del found["gaps"]
        case "a key more":
            found["extra"] = 1
        case "a verdict that does not exist":
            found["comparisons"][0]["verdict"] = "problem"
        case "text for a number":
            found["comparisons"][0]["value"] = "1.0"
        case "a list":
            return found["comparisons"]
    return found


@pytest.mark.parametrize(
    "how",
    [
        *("a key less", "a key more", "a list"),
        *("a verdict that does not exist", "text for a number"),
    ],
)
def test_the_schema_refuses_what_is_not_of_its_form(everything: CommandResults, how: str) -> None:
    found = json.loads(machine.document(everything))
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate(spoilt(found, how))


# Markdown ---------------------------------------------------------------------------------------


def test_markdown_has_failures_problems_and_gaps(everything: CommandResults) -> None:
    text = markdown.as_markdown(everything)
    assert text.startswith("## ❌ rparity audit: 5 values fail\n")
    assert "1 known (an experiment shows the cause, and the ledger knows it)" in text
    assert "**0.5 unexplained**" in text
    assert "killed by SIGSEGV" in text
    assert "has no counterpart" in text
    tables = [line for line in text.splitlines() if line.startswith("| new ")]
    assert len(tables) == 1


def test_markdown_of_a_run_without_a_failure_says_so(run_of: Callable[[str], CaseRun]) -> None:
    text = markdown.as_markdown(of_runs([run_of("norris")]))
    assert text.startswith("## ✅ rparity run: nothing fails\n")


def test_nothing_compared_is_no_success() -> None:
    found = of_audit(audits.audit(audits.comparisons(), ("lm",), ("one",)))
    assert markdown.as_markdown(found).startswith("## ❌ rparity audit: nothing was compared\n")


def test_markdown_shows_names_as_they_are(nasty: CommandResults) -> None:
    text = markdown.as_markdown(nasty)
    assert "\x1b" not in text
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in page
    assert "<a " not in page
    assert "<em>" not in page
    rows = [re.findall("<td", row) for row in re.findall("<tr>.*?</tr>", page, re.DOTALL)]
    assert {len(cells) for cells in rows if cells} <= {2, 3, 9}


# JUnit ------------------------------------------------------------------------------------------


def test_junit_counts_failures_errors_and_what_is_skipped(everything: CommandResults) -> None:
    root = ElementTree.fromstring(junit.as_junit(everything))
    (suite,) = root
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "2"}
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == (
        "5 of 9 values fail (new, unexplained, missing, stale); fewest digits 0.5"
    )
    assert "rows" in str(failure.text)
    error = root.find(".//error")
    assert error is not None
    assert error.get("message") == "crashed: killed by SIGSEGV"


def test_junit_of_a_run_without_a_failure_has_none(run_of: Callable[[str], CaseRun]) -> None:
    root = ElementTree.fromstring(junit.as_junit(of_runs([run_of("norris")])))
    assert root.get("failures") == root.get("errors") == "0"
    assert int(root.get("tests") or 0) > 3


def test_junit_is_xml_whatever_the_names_are(nasty: CommandResults) -> None:
    root = ElementTree.fromstring(junit.as_junit(nasty))
    assert root.find(".//script") is None
    assert "<script>" in str(ElementTree.tostring(root, "unicode", "text"))


# GitHub Actions ---------------------------------------------------------------------------------


def test_annotations_name_the_script_and_the_worst_values(
    everything: CommandResults, tmp_path: Path
) -> None:
    script = tmp_path / "parity" / "one.R"
    results = CommandResults(
        **{**vars(everything), "sources": {"one": script}},
    )
    lines = list(github.workflow_commands(results, tmp_path))
    assert lines[0] == (
        "::error file=parity/one.R,title=rparity%3A lme4 on one::crashed: killed by SIGSEGV"
    )
    assert lines[1].startswith(
        "::error file=parity/one.R,title=rparity%3A nlme on one::unexplained"
    )
    assert all(line.startswith("::error file=") for line in lines)
    elsewhere = github.workflow_commands(results, tmp_path / "other")
    assert not any("file=" in line for line in elsewhere)


def test_an_annotation_is_one_line(nasty: CommandResults, tmp_path: Path) -> None:
    """Text from outside cannot begin a workflow command of its own."""
    for line in github.workflow_commands(nasty, tmp_path):
        assert "\n" not in line
        assert "\x1b" not in line
        assert "%0A::error::%25" in line


def test_github_shows_ten_errors_and_counts_the_rest(tmp_path: Path) -> None:
    rows = [
        audits.row("one", f"engine{i}", verdict="unexplained", digits=float(i)) for i in range(15)
    ]
    found = of_audit(audits.audit(audits.comparisons(*rows), ("lm",), ("one",)))
    lines = list(github.workflow_commands(found, tmp_path))
    assert len(lines) == 10
    assert "6 more" in lines[-1]
    assert "engine0" in lines[0]


# The command ------------------------------------------------------------------------------------


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> Callable[[Audit], None]:
    def use(found: Audit) -> None:
        monkeypatch.setattr("rparity.audit.run_audit.run_audit", lambda *_a, **_o: found)

    return use


def test_one_audit_writes_several_reports(
    audited: Callable[[Audit], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The suffix of each file chooses its format, and - is standard output."""
    audited(audits.audit(audits.comparisons(audits.row("norris", "lm")), ("lm",), ("norris",)))
    names = ("a.json", "a.md", "a.xml", "a.html", "a.txt", "noted")
    files = [word for name in names for word in ("-o", str(tmp_path / name))]
    summary = tmp_path / "summary"
    summary.write_text("of an earlier step\n")
    monkeypatch.setenv(github.SUMMARY, str(summary))
    assert main(["audit", "norris", "-o", "-", *files, "--github"]) == AGREE
    written = {name: (tmp_path / name).read_text("utf-8") for name in names}
    validate(json.loads(written["a.json"]))
    ElementTree.fromstring(written["a.xml"])
    assert written["a.md"].startswith("## ✅")
    assert written["a.html"].startswith("<!doctype html>")
    assert written["a.txt"] == written["noted"] == capsys.readouterr().out
    assert summary.read_text("utf-8") == "of an earlier step\n" + written["a.md"]


def test_annotations_go_to_the_log_and_leave_the_report_whole(
    audited: Callable[[Audit], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(github.SUMMARY, raising=False)
    monkeypatch.setenv(github.WORKSPACE, str(ROOT))
    rows = audits.comparisons(audits.row("norris", "lm", verdict="unexplained", digits=1.0))
    audited(audits.audit(rows, ("lm",), ("norris",)))
    assert main(["audit", "norris", "--format", "json", "--github"]) == DISCREPANCY
    streams = capsys.readouterr()
    validate(json.loads(streams.out))
    # The script is that of the package, wherever it is installed.
    assert re.match(
        r"::error file=\S*r_scripts/document\.R,title=rparity%3A lm on norris::unexplained",
        streams.err,
    )
