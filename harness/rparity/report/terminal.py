"""Text in the terminal: strings shown as they are, styles, and tables that fit the width."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from rparity.compare import Verdict
from rparity.report.numbers import MEANINGS, conclusion, counted
from rparity.text import visible

if TYPE_CHECKING:  # `list` and `atlas` print without the engines
    import pandas as pd

    from rparity.cases.base import Case
    from rparity.doctor import Check

STYLES = {v: "bold red" if v.fails else "green" for v in Verdict} | {Verdict.KNOWN: "yellow"}
# The width of text that is not printed on a terminal, and the least width of any.
WIDTH, NARROWEST = 100, 40
GAP = 2  # between the columns of a table
QUIET, VERBOSE = -1, 1


class PlainConsole(Console):
    """A console that shows every string as plain text. Only `marked` adds styles."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Interpret no markup, no emoji and no control characters in a string."""
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(visible(text), **(options | plain))

    def print(self, *objects: Any, **options: Any) -> None:
        """Print without cutting off what is too wide."""
        super().print(*objects, **({"crop": False} | options))


class PlainTable(Table):
    """A table without lines, whose wide columns of words are broken into lines to fit the width.

    No number and no word is broken. If there is still not enough room, lines are too long.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose the widths of the columns; write each row at once if it fits in a line."""
        texts = self._one_line_each(console)
        if texts is not None:
            widths = [max((text.cell_len for text in column), default=0) for column in texts]
            total = sum(widths) + GAP * (len(widths) - 1)
            if min(widths, default=0) and total <= options.max_width:
                yield from self._lines(console, texts, widths)
                return
        wide, least = [], []
        for column in self.columns:
            sizes = [Measurement.get(console, options, cell) for cell in self._cells(column)]
            wide.append(max((size.maximum for size in sizes), default=0))
            words = max((size.minimum for size in sizes), default=0)
            least.append(wide[-1] if column.no_wrap else words)
        room = options.max_width - GAP * (len(wide) - 1)
        while sum(wide) > room and wide != least:
            widest = max(range(len(wide)), key=lambda i: (wide[i] > least[i], wide[i]))
            wide[widest] -= 1
        for column, width in zip(self.columns, wide, strict=True):
            column.width = width
        total = sum(wide) + GAP * (len(wide) - 1)
        yield from super().__rich_console__(console, options.update(max_width=max(total, 1)))

    def _cells(self, column: Column) -> list[RenderableType]:
        return [column.header] * self.show_header + list(column.cells)

    def _one_line_each(self, console: Console) -> list[list[Text]] | None:
        """Return the texts of each column, or None if a cell is not a single line of text."""
        columns = []
        for column in self.columns:
            texts = []
            for cell in self._cells(column):
                text = console.render_str(cell) if isinstance(cell, str) else cell
                if not isinstance(text, Text) or "\n" in text.plain:
                    return None
                texts.append(text)
            columns.append(texts)
        return columns

    def _lines(
        self, console: Console, columns: Sequence[Sequence[Text]], widths: Sequence[int]
    ) -> Iterator[Segment]:
        """Yield a line for each row. Rich would lay out each cell as a page of its own."""
        head = console.get_style(self.header_style or "")
        for number, row in enumerate(zip(*columns, strict=True)):
            style = head if self.show_header and number == 0 else None
            gap = ""
            for text, width, column in zip(row, widths, self.columns, strict=True):
                pad = " " * (width - text.cell_len)
                before, after = (pad, "") if column.justify == "right" else ("", pad)
                yield Segment(gap + before)
                yield from Segment.apply_style(text.render(console), style)
                yield Segment(after)
                gap = " " * GAP
            yield Segment.line()


def marked(*parts: str | tuple[str, str] | Text) -> Text:
    """Join strings, pairs of a string and its style, and texts."""
    return Text.assemble(
        *(
            part
            if isinstance(part, Text)
            else visible(part)
            if isinstance(part, str)
            else (visible(part[0]), part[1])
            for part in parts
        )
    )


def console(file: IO[str] | None = None) -> Console:
    """Return a console as wide as the terminal. `None` is standard output.

    Text for a file or a pipe is `WIDTH` characters wide, unless the variable COLUMNS is set.
    """
    out = PlainConsole(file=file)
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = WIDTH
    out.width = max(out.width, NARROWEST)
    return out


def plain_table(*columns: str) -> Table:
    """Return a table without lines, and without a head if no column has a name.

    A column whose name begins with `>` is aligned to the right. One that begins with `~` has words,
    and may be broken into lines.
    """
    table = PlainTable(
        box=None,
        pad_edge=False,
        header_style="dim",
        show_header=any(c.strip(">~") for c in columns),
    )
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        wraps = column.startswith("~")
        table.add_column(column.lstrip(">~"), justify=justify, no_wrap=not wraps)  # type: ignore[arg-type]
    return table


def styled(verdict: str) -> Text:
    """Return a verdict in its colour."""
    return Text(Verdict(verdict).value, STYLES[Verdict(verdict)])


def numbers_of(counts: Mapping[Verdict, int]) -> Text:
    """Return how often each verdict occurs, in its colour."""
    return Text(", ").join(marked(f"{n} ", styled(v)) for v, n in counts.items())


def totals(comparisons: pd.DataFrame) -> Text:
    """Return the number of comparisons, how often each verdict occurs, and whether any fails."""
    said = marked(f"{len(comparisons)} comparisons: ", numbers_of(counted(comparisons)))
    return marked(said, "; " * (len(comparisons) > 0), conclusion(comparisons))


def show_verdicts(comparisons: pd.DataFrame, out: Console) -> None:
    """Print what each verdict means that occurs."""
    counts = counted(comparisons)
    if counts:
        out.print("\nVerdicts")
        table = plain_table("", "~")
        for verdict in counts:
            table.add_row(styled(verdict), MEANINGS[verdict])
        out.print(table)


# -- the cases and the machine ---------------------------------------------------------------------


def show_cases(cases: Iterable[tuple[Case, str]], out: Console) -> None:
    """Print each case and the state of its recording."""
    for case, state in cases:
        out.print(marked((case.name, "bold"), f"  {case.title}"))
        out.print(f"  {state}", style="dim")


def show_doctor(checks: Sequence[Check], out: Console) -> None:
    """Print the result of each check, and the remedy of each problem."""
    for check in checks:
        mark = ("✓", "green")
        if not check.ok:
            mark = ("✗", "red")
        elif check.optional:
            mark = ("–", "yellow")
        out.print(marked(mark, f" {check.what}: {check.found}"))
        if check.remedy:
            out.print(f"    {check.remedy}", style="bold", soft_wrap=True)
    missing = sorted((check for check in checks if check.remedy), key=lambda check: check.ok)
    if missing:
        out.print(f"\nFirst: {missing[0].remedy}", soft_wrap=True)
