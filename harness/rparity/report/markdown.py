"""Results as Markdown, for the summary of a CI job, an issue or a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from rparity.compare import SEVERITY, Verdict
from rparity.report.numbers import (
    MEANINGS,
    conclusion,
    counted,
    everything,
    exactly,
    fewest,
)
from rparity.report.results import CommandResults, LeftOut
from rparity.report.summary import failure_groups
from rparity.text import visible

# GitHub refuses a summary of more than 1 MiB; readers give up earlier.
MOST_FAILURES, MOST_REASONS = 40, 40
SIGNS = {True: "❌", False: "✅"}
# What Markdown or HTML would interpret.
SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$&])")


def as_markdown(results: CommandResults) -> str:
    """Return a heading, a table of engines and cases, failures, problems, gaps and versions."""
    rows = results.comparisons
    bad = results.failed or bool(results.problems) or rows.empty
    lines = [f"## {SIGNS[bad]} rparity {results.command}: {conclusion(rows)}", ""]
    counts = counted(rows)
    if counts:
        shown = (f"{n:,} {verdict} ({MEANINGS[verdict]})" for verdict, n in counts.items())
        lines += [f"{len(rows):,} comparisons: {'; '.join(shown)}.", ""]
        lines += _matrix(rows)
    lines += _failures(results)
    lines += _reasons("Questions that could not be answered", results.problems)
    lines += _folded("What engines left out", _reasons("", results.gaps))
    versions = (f"{name} {version}" for name, version in results.packages.items())
    lines += [escaped(f"Compared by {', '.join(versions)}.")]
    return "\n".join(lines) + "\n"


def escaped(text: object) -> str:
    """Return a text that Markdown shows as it is, in one line, also in a cell of a table."""
    return SPECIAL.sub(r"\\\1", visible(" ".join(str(text).split())))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table, whose columns with a head that begins with `>` are aligned to the right."""
    rule = ["---:" if head.startswith(">") else "---" for head in heads]
    cells = [[head.removeprefix(">") for head in heads], rule, *rows]
    return [f"| {' | '.join(row)} |" for row in cells] + [""]


def _matrix(rows: pd.DataFrame) -> list[str]:
    """Return the fewest digits and the worst verdict of each engine on each case."""
    engines = list(dict.fromkeys(rows["engine"]))
    cells: dict[str, dict[str, str]] = {}
    for (case, engine), mine in rows.groupby(["case", "engine"], sort=False):
        worst = max((Verdict(v) for v in mine["verdict"].unique()), key=SEVERITY.index)
        text = f"{fewest(mine):.1f} {worst}"
        cells.setdefault(str(case), {})[str(engine)] = f"**{text}**" if worst.fails else text
    body = [
        [escaped(case), *(found.get(engine, "") for engine in engines)]
        for case, found in cells.items()
    ]
    lines = table(["fewest digits", *map(escaped, engines)], body)
    return lines if len(body) <= MOST_FAILURES else _folded(f"All {len(body)} cases", lines)


def _failures(results: CommandResults) -> list[str]:
    failures = failure_groups(results)
    if failures.empty:
        return []
    heads = ("verdict", "case", "engine", "worst value", ">values")
    body = [
        [
            row["verdict"],
            escaped(row["case"]),
            escaped(row["engine"]),
            escaped(f"{row['table']}, {everything(row['row'])}, {everything(row['column'])}"),
            f"{row['values']:,}",
            exactly(row["value"]),
            escaped(f"{row['reference']} {exactly(row['reference_value'])}"),
            f"{row['digits'] + 0.0:.1f}",
            escaped(row["cause"]),
        ]
        for _, row in failures.head(MOST_FAILURES).iterrows()
    ]
    lines = ["### What fails", ""]
    lines += table([*heads, ">value", "reference", ">digits", "cause"], body)
    if len(failures) > MOST_FAILURES:
        lines += [f"and {len(failures) - MOST_FAILURES} more kinds of values.", ""]
    return lines


def _reasons(title: str, found: Sequence[LeftOut]) -> list[str]:
    """Return a row for each engine and reason, with the cases and parts that it is about."""
    grouped: dict[tuple[str, str], dict[str, None]] = {}
    for one in found:
        about = f"{one.case} {one.place}".strip()
        grouped.setdefault((one.engine, one.reason), {})[about] = None
    if not grouped:
        return []
    body = [
        [escaped(engine), escaped(_some(list(about))), escaped(reason)]
        for (engine, reason), about in list(grouped.items())[:MOST_REASONS]
    ]
    lines = [f"### {title}", ""] if title else []
    lines += table(["engine", "about", "reason"], body)
    if len(grouped) > MOST_REASONS:
        lines += [f"and {len(grouped) - MOST_REASONS} more reasons.", ""]
    return lines


def _some(names: Sequence[str]) -> str:
    few = list(names) if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
    return ", ".join(few)


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    """Return a part that opens with a click."""
    if not lines:
        return []
    return [f"<details><summary>{title}</summary>", "", *lines, "</details>", ""]
