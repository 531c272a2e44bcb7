"""Text in the terminal: it fits the width, breaks no number, and says nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO

import pytest

import audits
from rparity.cases import case
from rparity.compare import Verdict
from rparity.report import matrix, run_text, versions_text
from rparity.report.numbers import MEANINGS, exactly, number
from rparity.report.terminal import (
    QUIET,
    VERBOSE,
    PlainConsole,
    PlainTable,
    marked,
    plain_table,
    styled,
)
from rparity.run import CaseRun

RunOf = Callable[[str], CaseRun]
LONG = 12345.678901234567


def shown(show: Callable[[PlainConsole], None], width: int = 100) -> str:
    out = StringIO()
    show(PlainConsole(file=out, width=width))
    return out.getvalue()


def longest(text: str) -> int:
    return max(len(line.rstrip()) for line in text.splitlines())


@pytest.fixture(scope="module")
def failing(run_of: RunOf) -> CaseRun:
    """Return a run in which values fail, with digits that fill a column."""
    run = run_of("document")
    rows = run.comparisons.copy()
    rows.loc[rows.index[:30], ["verdict", "digits", "value"]] = ["unexplained", 1.0, LONG]
    return CaseRun(**{**vars(run), "comparisons": rows})


@pytest.mark.parametrize("verbosity", [QUIET, 0, VERBOSE])
@pytest.mark.parametrize("width", [100, 140])
def test_a_run_fits_the_terminal(failing: CaseRun, width: int, verbosity: int) -> None:
    text = shown(lambda out: run_text.show_run(failing, out, verbosity), width)
    *lines, totals = text.splitlines()
    assert longest("\n".join(lines)) <= width
    assert totals.startswith("41004 comparisons: ")  # one line, for programs that read it
    assert text.count(number(LONG)) >= 20


@pytest.mark.parametrize("width", [80, 100, 140])
def test_an_audit_fits_the_terminal(width: int) -> None:
    rows = [
        audits.row("sleepstudy", name, verdict="unexplained", digits=1.0, value=LONG, row="x" * 9)
        for name in ("statsmodels-tight", "linearmodels", "gpboost-tight")
    ]
    names = [row["engine"] for row in rows]
    audit = audits.audit(audits.comparisons(*rows), names, ["sleepstudy"])
    text = shown(lambda out: matrix.show_audit(audit, out), width)
    assert longest(text) <= width
    assert text.count(exactly(LONG)) == 3


def test_figures_with_many_digits_fit_the_terminal(run_of: RunOf) -> None:
    assert longest(shown(lambda out: run_text.show_run(run_of("norris"), out))) <= 100


def test_numbers_are_whole_where_nothing_fits(failing: CaseRun) -> None:
    """The terminal breaks lines that are too long; nothing is cut off."""
    text = shown(lambda out: run_text.show_run(failing, out), 50)
    assert text.count(number(LONG)) >= 20
    assert len(re.findall("± .* unexplained *$", text, re.MULTILINE)) >= 20
    assert "…" not in text


def test_words_are_broken_between_words_only() -> None:
    table = plain_table("name", ">number", "~words", "~more")
    table.add_row("a-name", "12345", "one two three four five", "six seven")
    text = shown(lambda out: out.print(table), 36)
    assert longest(text) <= 36
    assert set(text.split()) >= {"one", "two", "three", "four", "five", "six", "seven", "12345"}


def test_the_columns_of_a_wide_terminal_are_as_wide_as_their_cells() -> None:
    table = plain_table("name", ">number", "~words")
    table.add_row("a", "1", "one two three")
    text = shown(lambda out: out.print(table), 200)
    assert text.splitlines()[1].rstrip() == "a          1  one two three"


def test_a_row_is_written_at_once_as_rich_lays_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    table = plain_table("name", ">number", "~words", "")
    table.add_row(marked(("section", "bold")))
    table.add_row("表 é", "12345", "one two", styled("known"))
    table.add_row("[red]a", "1", "", marked("plain, then ", ("yellow", "yellow")))
    at_once = shown(lambda out: out.print(table))
    assert len(at_once.splitlines()) == 4
    monkeypatch.setattr(PlainTable, "_one_line_each", lambda *_: None)
    assert shown(lambda out: out.print(table)) == at_once


def test_a_run_says_nothing_twice(run_of: RunOf) -> None:
    text = shown(lambda out: run_text.show_run(run_of("document"), out))
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text)]
    assert len(set(blocks)) == len(blocks)
    assert text.count("published-stopped-early") == 1


def test_the_legend_has_the_verdicts_that_occur(run_of: RunOf) -> None:
    text = shown(lambda out: run_text.show_run(run_of("norris"), out))
    legend = text.split("\nVerdicts\n")[1]
    occurs = set(run_of("norris").comparisons["verdict"])
    assert {v for v in Verdict if MEANINGS[v] in legend} == occurs


def test_quiet_prints_failures_and_totals(failing: CaseRun, run_of: RunOf) -> None:
    text = shown(lambda out: run_text.show_run(run_of("norris"), out, QUIET))
    assert len(text.splitlines()) == 4
    assert text.splitlines()[-1].endswith("; nothing fails")
    text = shown(lambda out: run_text.show_run(failing, out, QUIET))
    assert "What nothing explains" in text
    assert "As published" not in text
    assert " ".join(text.split()).endswith(" values fail")


def test_verbose_prints_every_failure_and_every_table(failing: CaseRun) -> None:
    usual, more = (
        shown(lambda out, v=verbosity: run_text.show_run(failing, out, v))
        for verbosity in (0, VERBOSE)
    )
    assert "and 10 more; -v shows them all" in usual
    assert "more; -v" not in more
    assert "lmer.confint_profile" in more
    assert "nloptr" in more


def test_a_quiet_audit_has_problems_failures_and_totals() -> None:
    text = shown(lambda out: matrix.show_audit(audits.one_of_everything(), out, QUIET))
    assert "What fails" in text
    assert "Problems" in text
    for left_out in ("A cell has", "Gaps", "Who answered", "Causes, each"):
        assert left_out not in text


def test_versions_side_by_side_fit_the_terminal() -> None:
    from rparity import paths
    from rparity.diagnosis.between_rs import recorded

    chosen = case("dyestuff")
    answers = recorded(chosen, paths.fixtures())
    text = shown(lambda out: versions_text.show_side_by_side(chosen, answers, out))
    assert longest(text) <= 100
