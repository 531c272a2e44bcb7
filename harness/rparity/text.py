"""Text from anywhere as text: nothing in it commands the terminal that shows it."""

from __future__ import annotations

import re

# Control characters but for the line's end and the tabulator; those that turn the direction of
# writing or end lines unseen; and halves of characters, which no terminal can be sent.
COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Show every character that is none to be read as Python writes it, such as `\x1b`."""
    return COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)
