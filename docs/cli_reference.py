"""Write docs/reference/cli.md from the command's parser: `python docs/cli_reference.py`.

The text is built from the parser's actions, because the layout of `--help` depends on the version
of Python and on the width of the terminal.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rparity.cli import _parser

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 80
INDENT = 26
INTRODUCTION = """\
# The command

*`docs/cli_reference.py` makes this page from the texts of `rparity --help`.*

{description}

`rparity COMMAND --help` shows the same texts in a terminal.
"""


def page() -> str:
    """Return the page: the options of the command, then a section for each subcommand."""
    parser = _parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [
        INTRODUCTION.format(description=_wrapped(parser.description or "")),
        _block(f"{parser.prog} [OPTIONS] COMMAND ...", [*_options(parser)]),
        *_epilog(parser),
    ]
    for name, sub in commands.choices.items():
        parts += [f"## rparity {name}\n", _wrapped(sub.description or "") + "\n"]
        parts.append(_block(_usage(f"{parser.prog} {name}", sub), [*_arguments(sub)]))
        parts += _epilog(sub)
    return "\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False)


def _epilog(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the paragraphs after the options; those that are indented are code."""
    for block in (parser.epilog or "").split("\n\n"):
        if block.startswith("  "):
            yield "\n".join(["```text", block.strip(), "```", ""])
        else:
            yield _wrapped(block) + "\n"


def _block(usage: str, lines: list[str]) -> str:
    return "\n".join(["```text", usage, "", *lines, "```", ""])


def _usage(prog: str, parser: argparse.ArgumentParser) -> str:
    """Return the synopsis: required options, positional arguments, and `[OPTIONS]`."""
    words = [prog]
    for group in parser._mutually_exclusive_groups:
        if group.required:
            words.append(f"({' | '.join(map(_longest, group._group_actions))})")
    nested = 0
    for action in parser._actions:
        if action.option_strings:
            continue
        name = str(action.metavar)
        match action.nargs:
            case "*":
                words.append(f"[{name} ...]")
            case "?":  # leaving one out leaves out all after it
                words.append(f"[{name}")
                nested += 1
            case _:
                words.append(name)
    words[-1] += "]" * nested
    return " ".join([*words, "[OPTIONS]"])


def _longest(action: argparse.Action) -> str:
    return f"{action.option_strings[-1]} {action.metavar}"


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        hidden = isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS
        if action.option_strings and not hidden:
            yield from _lines(action, parser)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the lines of each argument and option, and of options that exclude each other."""
    for action in parser._actions:
        if not action.option_strings:
            yield from _lines(action, parser)
    yield from _options(parser)
    for group in parser._mutually_exclusive_groups:
        names = " and ".join(action.option_strings[-1] for action in group._group_actions)
        many = "exactly" if group.required else "at most"
        yield ""
        yield f"Give {many} one of {names}."


def _lines(action: argparse.Action, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the spelling of an argument, with its help beside or below it."""
    left = "  " + _written(action)
    right = textwrap.wrap(
        _help(action, parser), WIDTH - INDENT, break_long_words=False, break_on_hyphens=False
    )
    if len(left) > INDENT - 2:
        yield left
        left = ""
    for line in right or [""]:
        yield f"{left:{INDENT}}{line}".rstrip()
        left = ""


def _written(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar)
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    if action.choices:
        return f"{names} {{{','.join(map(str, action.choices))}}}"
    return f"{names} {action.metavar}" + (f" [{action.metavar} ...]" if action.nargs == "+" else "")


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    if isinstance(action, argparse._VersionAction):
        return "show the version, and end"
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    plain = action.default in (None, False, argparse.SUPPRESS) or action.default == []
    if not action.option_strings or plain or "default" in text:
        return text
    return f"{text} (default: {action.default})".lstrip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
