"""An audit as text: the matrix, causes, failures and who answered."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rparity.audit.results import Audit
from rparity.compare import Verdict
from rparity.report import summary
from rparity.report.numbers import everything, exactly
from rparity.report.summary import (
    BLANK,
    GAP,
    LEGEND,
    MARKS,
    PROBLEM,
    REFERENCE,
    SYLLABLES,
    ShownCell,
)
from rparity.report.terminal import (
    QUIET,
    STYLES,
    VERBOSE,
    marked,
    numbers_of,
    plain_table,
    show_verdicts,
    styled,
    totals,
)

HEADER = 8
# The width of a number in a cell, with its mark.
NUMBER = 5
NAMED = 4
FAILURES_SHOWN = 40
BLANK_STYLES = {REFERENCE: "dim", GAP: "dim", PROBLEM: "bold red"}


def show_audit(audit: Audit, out: Console, verbosity: int = 0) -> None:
    """Print an audit.

    If `verbosity` is `QUIET`, print only problems, what fails and the totals. If it is `VERBOSE`,
    print all kinds of failures and all versions.
    """
    if verbosity > QUIET:
        _show_matrix(audit, out)
        _show_legend(out)
    _show_reasons("Problems", summary.problems(audit), out)
    if verbosity > QUIET:
        _show_reasons("Gaps", summary.gaps(audit), out)
        _show_causes(audit, out)
    _show_failures(audit, out, verbosity)
    if verbosity > QUIET:
        _show_sources(audit, out, verbosity)
        show_verdicts(audit.comparisons, out)
    out.print()
    if audit.unchecked:
        out.print(marked(("not checked", "bold red"), f": {audit.unchecked}"))
    out.print(marked(totals(audit.comparisons), f"; {audit.seconds:.0f} s"), soft_wrap=True)


def _show_matrix(audit: Audit, out: Console) -> None:
    """Print the matrix, in several blocks of engines if it is too wide for the terminal."""
    cells = summary.shown_cells(audit)
    names = max(map(len, ["fewest digits", *(case.name for case in audit.cases)]))
    blocks: list[list[str]] = []
    room = 0
    for engine in audit.engines:
        width = 1 + max(NUMBER, *map(len, header(engine).split("\n")))
        if width > room:
            blocks.append([])
            room = out.width - names
        room -= width
        blocks[-1].append(engine)
    for i, engines in enumerate(blocks):
        if i:
            out.print()
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
        table.add_column("fewest digits", no_wrap=True)
        for engine in engines:
            table.add_column(header(engine), no_wrap=True)
        for case in audit.cases:
            table.add_row(case.name, *(_cell(cells[engine, case.name]) for engine in engines))
        out.print(table)


def _cell(shown: ShownCell) -> Text:
    """Return the text of a cell, padded on the left so that all digits are aligned."""
    blank = " " * (4 - len(shown.text))
    if shown.kind in BLANK_STYLES:
        return marked(blank, (shown.text, BLANK_STYLES[shown.kind]))
    return Text(f"{blank}{shown.text}{shown.mark}", STYLES[Verdict(shown.kind)])


def header(engine: str) -> str:
    """Break the name of an engine into lines for a narrow column."""
    for name, broken in SYLLABLES.items():
        engine = engine.replace(name, broken)
    return "\n".join(textwrap.wrap(engine, HEADER))


def _show_legend(out: Console) -> None:
    marks = Text("  ").join(marked((mark, STYLES[v]), f" {LEGEND[v]}") for v, mark in MARKS.items())
    out.print(
        "\nA cell has the fewest digits of its coefficients, variances and fit, and the worst "
        "verdict of all its tables:"
    )
    out.print(marked(("12.3", "green"), " agrees  ", marks))
    blanks = (
        marked((text, BLANK_STYLES[kind]), f" {says}") for kind, (text, says) in BLANK.items()
    )
    out.print(Text("  ").join(blanks))


def _show_reasons(
    title: str, reasons: Sequence[tuple[str, str, tuple[str, ...]]], out: Console
) -> None:
    if not reasons:
        return
    out.print(f"\n{title}")
    table = plain_table("", "", "~")
    before = ""
    for engine, reason, cases in reasons:
        table.add_row("" if engine == before else engine, some(cases), reason)
        before = engine
    out.print(table)


def some(cases: Sequence[str]) -> str:
    """Return the names of a few cases, or the number of many."""
    return ", ".join(cases) if len(cases) < NAMED else f"{len(cases)} cases"


def _show_causes(audit: Audit, out: Console) -> None:
    found = summary.causes(audit)
    if not found:
        return
    out.print("\nCauses, each found by an experiment")
    table = plain_table(
        *("~cause", ">cells", ">values", ">fewest\ndigits"), *("~verdicts", "~ledger", "~engines")
    )
    for cause in found:
        table.add_row(
            cause.name,
            str(cause.cells),
            str(cause.values),
            f"{cause.digits:.1f}",
            numbers_of(cause.verdicts),
            ", ".join(cause.entries) or "–",
            ", ".join(cause.engines),
        )
    out.print(table)


def _show_failures(audit: Audit, out: Console, verbosity: int) -> None:
    failing = summary.failure_groups(audit)
    if failing.empty:
        return
    out.print(marked("\n", ("What fails", "bold red"), ", with the worst value of each kind"))
    table = plain_table("verdict", "~engine", "~what", ">cases", ">values", ">digits", "~cause")
    shown = len(failing) if verbosity >= VERBOSE else FAILURES_SHOWN
    for _, row in failing.head(shown).iterrows():
        table.add_row(styled(row["verdict"]), *failure(row))
    out.print(table)
    if len(failing) > shown:
        out.print(f"and {len(failing) - shown} more; -v shows them all.")
    if entries := summary.entries_to_paste(audit):
        out.print("\nEntries for a ledger, in which the references are yours to add:\n")
        out.print(entries, soft_wrap=True)


def failure(row: pd.Series[Any]) -> tuple[str, ...]:
    """Return a row of `summary.failure_groups` as text, without the verdict.

    The worst value and the reference's stand one above the other, so that their digits align.
    """
    reference, width = str(row["reference"]), max(len(row["engine"]), len(str(row["reference"])))
    return (
        row["engine"],
        f"{row['kind']} {everything(row['column'])}\n"
        f"worst: {row['case']} {row['table']} {everything(row['row'])}\n"
        f"  {row['engine']:{width}} {exactly(row['value'])}\n"
        f"  {reference:{width}} {exactly(row['reference_value'])}",
        str(row["cases"]),
        str(row["values"]),
        f"{row['digits'] + 0.0:.1f}",
        row["cause"],
    )


def _show_sources(audit: Audit, out: Console, verbosity: int) -> None:
    out.print("\nWho answered")
    table = plain_table("engine", ">cases", ">seconds", "~when", "~versions")
    for one in summary.sources(audit, summary.VITAL if verbosity < VERBOSE else None):
        seconds = f"{one.seconds:.1f}" if one.seconds else ""
        table.add_row(one.engine, str(one.cases), seconds, one.when, one.versions)
    out.print(table)
