"""Text of unknown origin, made safe to show: it cannot control the terminal."""

from __future__ import annotations

import re

# Control characters except newline and tab; invisible characters that change the direction of
# writing or end lines; and surrogates, which cannot be sent to a terminal.
COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return the text with control characters written as Python writes them, such as `\x1b`."""
    return COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)
