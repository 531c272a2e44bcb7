"""Names and messages of unknown origin are shown as text, without markup or escape sequences."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

import audits
from fake_r import answer
from rparity.cli import main
from rparity.commands import UNUSABLE, progress
from rparity.doctor import Check
from rparity.errors import RError
from rparity.report import machine, matrix, run_text, terminal
from rparity.report.terminal import PlainConsole, marked
from rparity.run import CaseRun
from rparity.text import visible

TITLE = "\x1b]0;owned\x07\x1b[2J\x9b31m"
# Markup that hides, markup that is closed before it begins, an emoji's name, a terminal's commands.
NASTY = f"b[sigma] [/b] [red]x[/] :smile: {TITLE}"
SEEN = "b[sigma] [/b] [red]x[/] :smile: \\x1b]0;owned\\x07\\x1b[2J\\x9b31m"


def printed(show: Callable[[Console], object]) -> str:
    """Return the text that is printed; a terminal gets it with styles and nothing else."""
    plain, coloured = StringIO(), StringIO()
    show(PlainConsole(file=plain, width=400))
    show(PlainConsole(file=coloured, width=400, force_terminal=True, color_system="standard"))
    assert "\x07" not in coloured.getvalue()
    assert "\x1b]" not in coloured.getvalue()
    assert "\x1b[2J" not in coloured.getvalue()
    assert "\x9b" not in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()
    return plain.getvalue()


def test_visible_changes_control_characters_only() -> None:
    assert visible("é 漢 😀\tb[sigma]\n") == "é 漢 😀\tb[sigma]\n"
    assert visible("\x00\r\x1b\x7f\x9b\u202e\udce9") == r"\x00\r\x1b\x7f\x9b\u202e\udce9"


def test_a_run_shows_names_as_they_are(run_of: Callable[[str], CaseRun]) -> None:
    run = run_of("norris")
    rows = run.comparisons.assign(row=NASTY, verdict="unexplained", digits=1.0)
    case = replace(run.case, title=NASTY, claims=(), published=None)
    said = printed(lambda out: run_text.show_run(replace(run, case=case, comparisons=rows), out))
    assert said.count(SEEN) > 5
    noted = replace(run, notes=[NASTY])
    assert f"note   {SEEN}" in printed(lambda out: run_text.show_run(noted, out))
    assert SEEN in printed(lambda out: terminal.show_cases([(case, NASTY)], out))


def test_an_audit_shows_names_as_they_are() -> None:
    audit = audits.one_of_everything()
    rows = audit.comparisons.assign(row=NASTY, cause=NASTY, verdict="new")
    said = printed(lambda out: matrix.show_audit(replace(audit, comparisons=rows), out))
    assert "b[sigma] [/b] [red]x[/] :smile:" in " ".join(said.split())


def test_the_doctor_shows_names_as_they_are() -> None:
    checks = [Check(NASTY, NASTY, ok=False, remedy=NASTY)]
    assert printed(lambda out: terminal.show_doctor(checks, out)).count(SEEN) == 4


def test_only_marked_text_has_a_style() -> None:
    out = StringIO()
    to = PlainConsole(file=out, force_terminal=True, color_system="standard", width=100)
    to.print("[bold]no[/bold]", marked((TITLE, "bold")))
    assert out.getvalue() == f"[bold]no[/bold] \x1b[1m{visible(TITLE)}\x1b[0m\n"


def test_a_progress_bar_shows_control_characters_of_r(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with progress(NASTY) as tell:
        tell(f"[/b] two\nlines {TITLE}")
    said = capsys.readouterr().err
    assert "\x1b]" not in said
    assert "\x9b" not in said
    assert visible(f"[/b] two lines {TITLE}") in said


def test_an_error_shows_control_characters_of_r(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RError(f"R error in f(): {NASTY}")

    monkeypatch.setattr("rparity.run.run_case", fail)
    assert main(["run", "norris"]) == UNUSABLE
    assert capsys.readouterr().err == f"rparity: R error in f(): {SEEN}\n"


def test_a_check_shows_names_and_strings_as_text() -> None:
    theirs = answer(pd.Series({NASTY: 1.0}))
    with pytest.raises(AssertionError) as caught:
        theirs.check(pd.Series({NASTY: 2.0}))
    assert SEEN in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_json_holds_names_without_raw_control_characters() -> None:
    rows = audits.comparisons(audits.row("a", "b", row=f"{NASTY}\u202e\n"))
    text = machine.as_json(rows)
    assert not any(character in text for character in "\x1b\x07\x9b\u202e")
    assert json.loads(text)[0]["row"] == f"{NASTY}\u202e\n"
