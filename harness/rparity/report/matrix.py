"""An audit as text: the matrix, the causes, what fails, and who answered."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rparity.audit.results import Audit, Cell
from rparity.compare import Verdict
from rparity.report import summary
from rparity.report.details import everything, exactly
from rparity.report.summary import GAP, LEGEND, MARKS, PROBLEM, REFERENCE, SYLLABLES
from rparity.report.terminal import STYLES, marked, numbers_of, plain_table, styled

HEADER = 8
# As wide as digits with their mark: rich strips what is beyond.
BLANKS = {
    REFERENCE: marked(" ", ("ref", "dim")),
    GAP: marked("   ", ("·", "dim")),
    PROBLEM: marked("   ", ("!", "bold red")),
}
NAMED = 4
FAILURES_SHOWN = 40


def show_audit(audit: Audit, out: Console) -> None:
    """Print an audit."""
    out.print(_matrix(audit))
    _show_legend(out)
    _show_reasons("Problems", summary.problems(audit), out)
    _show_reasons("Gaps", summary.gaps(audit), out)
    _show_causes(audit, out)
    _show_failures(audit, out)
    _show_witnesses(audit, out)
    out.print()
    if audit.unchecked:
        out.print(marked(("not checked", "bold red"), f": {audit.unchecked}"))
    counts = summary.counted(audit.comparisons)
    tally = numbers_of({v: counts.get(v, 0) for v in Verdict})
    out.print(marked(f"{len(audit.comparisons)} comparisons: ", tally, f"; {audit.seconds:.0f} s"))


def _matrix(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("fewest digits", no_wrap=True)
    for engine in audit.engines:
        table.add_column(header(engine), no_wrap=True)
    blanks = summary.blanks(audit)
    for case in audit.cases:
        places = [(engine, case.name) for engine in audit.engines]
        cells = (BLANKS[blanks[p]] if p in blanks else _cell(audit.cells[p]) for p in places)
        table.add_row(case.name, *cells)
    return table


def header(engine: str) -> str:
    """Break an engine's name into lines that a narrow column holds."""
    for name, broken in SYLLABLES.items():
        engine = engine.replace(name, broken)
    return "\n".join(textwrap.wrap(engine, HEADER))


def _cell(cell: Cell) -> Text:
    assert cell.digits is not None
    assert cell.verdict is not None
    mark = MARKS.get(cell.verdict, "")
    return Text(f"{cell.digits + 0.0:4.1f}{mark}", STYLES[cell.verdict])


def _show_legend(out: Console) -> None:
    marks = Text("  ").join(marked((mark, STYLES[v]), f" {LEGEND[v]}") for v, mark in MARKS.items())
    out.print(
        "\nA cell has the fewest digits of its coefficients, variances and fit, and the worst "
        "verdict of all its tables:"
    )
    out.print(marked(("12.3", "green"), " agrees  ", marks))
    out.print(
        marked(
            ("ref", "dim"),
            " what the others are compared with  ",
            ("·", "dim"),
            " gap  ",
            ("!", "bold red"),
            " problem",
        )
    )


def _show_reasons(
    title: str, reasons: Sequence[tuple[str, str, tuple[str, ...]]], out: Console
) -> None:
    if not reasons:
        return
    out.print(f"\n{title}")
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    before = ""
    for engine, reason, cases in reasons:
        table.add_row("" if engine == before else engine, some(cases), reason)
        before = engine
    out.print(table)


def some(cases: Sequence[str]) -> str:
    """Name a few cases, count many."""
    return ", ".join(cases) if len(cases) < NAMED else f"{len(cases)} cases"


def _show_causes(audit: Audit, out: Console) -> None:
    found = summary.causes(audit)
    if not found:
        return
    out.print("\nCauses, each found by an experiment")
    table = plain_table(
        "cause",
        "cells",
        "values",
        "fewest digits",
        "verdicts",
        "ledger",
        right=["cells", "values", "fewest digits"],
    )
    table.add_column("engines")
    for cause in found:
        table.add_row(
            cause.name,
            str(cause.cells),
            str(cause.values),
            f"{cause.digits:.1f}",
            numbers_of(cause.verdicts),
            "\n".join(cause.entries) or "–",
            ", ".join(cause.engines),
        )
    out.print(table)


def _show_failures(audit: Audit, out: Console) -> None:
    failing = summary.failing(audit)
    if failing.empty:
        return
    out.print(marked("\n", ("What fails", "bold red"), ", with the worst value of each kind"))
    columns = ("verdict", "engine", "what", "cases", "values", "digits")
    table = plain_table(*columns, right=["cases", "values", "digits"])
    for name in ("worst at", "value", "reference", "cause"):
        table.add_column(name, overflow="fold")
    for _, row in failing.head(FAILURES_SHOWN).iterrows():
        table.add_row(styled(row["verdict"]), *failure(row))
    out.print(table)
    if len(failing) > FAILURES_SHOWN:
        out.print(f"and {len(failing) - FAILURES_SHOWN} more; --format json has every value.")
    if entries := summary.entries_to_paste(audit):
        out.print("\nFor a ledger, to be completed with what documents them:\n")
        out.print(entries, soft_wrap=True)


def failure(row: pd.Series[Any]) -> tuple[str, ...]:
    """Return a row of `summary.failing` as text, without its verdict."""
    return (
        row["engine"],
        f"{row['kind']} {everything(row['column'])}",
        str(row["cases"]),
        str(row["values"]),
        f"{row['digits'] + 0.0:.1f}",
        f"{row['case']} {row['table']} {everything(row['row'])}",
        exactly(row["value"]),
        f"{row['reference']} {exactly(row['reference_value'])}",
        row["cause"],
    )


def _show_witnesses(audit: Audit, out: Console) -> None:
    out.print("\nWho answered")
    table = plain_table("engine", "cases", "seconds", "when", right=["cases", "seconds"])
    table.add_column("versions", overflow="fold")
    for told in summary.witnesses(audit):
        seconds = f"{told.seconds:.1f}" if told.seconds else ""
        table.add_row(told.engine, str(told.cases), seconds, told.when, told.versions)
    out.print(table)
