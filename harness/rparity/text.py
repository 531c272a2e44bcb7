"""Text of unknown origin, made safe to show: it cannot control the terminal or a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

# Control characters except newline and tab; invisible characters that change the direction of
# writing or end lines; and surrogates, which cannot be sent to a terminal.
COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return the text with control characters written as Python writes them, such as `\x1b`."""
    return COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)


# -- HTML for notebooks ----------------------------------------------------------------------------

# A notebook brings its own colours and fonts. Figures have the same width, so that digits align.
RIGHT = "padding:0 0.6em;text-align:right;font-variant-numeric:tabular-nums;white-space:pre"
LEFT = "padding:0 0.6em;text-align:left"


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table. A column whose head begins with `>` is aligned to the right."""
    styles = [RIGHT if head.startswith(">") else LEFT for head in heads]
    named = [head.removeprefix(">") for head in heads]
    title = f'<caption style="{LEFT};font-weight:bold">{escaped(caption)}</caption>' * bool(caption)
    top = _row("th", named, styles)
    body = "".join(_row("td", row, styles) for row in rows)
    return f"<table>{title}<thead>{top}</thead><tbody>{body}</tbody></table>"


def html_paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escaped(text)}</p>"


def escaped(text: object) -> str:
    """Return text that HTML shows as it is."""
    return escape(visible(str(text)))


def _row(tag: str, cells: Sequence[str], styles: Sequence[str]) -> str:
    inner = (
        f'<{tag} style="{style}">{escaped(cell)}</{tag}>'
        for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{''.join(inner)}</tr>"
