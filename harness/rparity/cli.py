"""The command `rparity`."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

from rparity import __version__
from rparity.commands import UNUSABLE
from rparity.errors import MORE_FILES, RparityError, did_you_mean
from rparity.text import visible
from rparity.workers.processor import check_kernel

# The subcommands in the order of `--help`, and their modules.
COMMANDS = {
    name: f"rparity.commands.{'listing' if name == 'list' else name}"
    for name in (
        *("new", "run", "audit", "explain", "atlas", "study", "fuzz"),
        *("regenerate", "versions", "seal", "list", "doctor", "completion"),
    )
}
# The number of new objects after which Python looks for unreachable cycles: by default, far fewer.
COLLECT_AFTER = 10_000
# If this variable is set, or --traceback is given, unexpected errors show their traceback.
TRACEBACK = "RPARITY_TRACEBACK"
# Remedies for errors of the operating system.
REMEDIES = {
    errno.ENOSPC: "Make room on the disk.",
    errno.EDQUOT: "Make room on the disk.",
    errno.EACCES: "Change who may read and write it.",
    errno.EROFS: "Name another folder.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    It is 0 if all agree, 1 for a discrepancy and 2 for a problem that the user can solve.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal without é shows \xe9
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    options = argparse.Namespace(traceback=False)
    try:
        options = _parsed(arguments)
        check_kernel()
        if getattr(options, "more", None) is not None:
            from rparity.cases import extensions

            extensions.use(options.more)
        with _rare_collections():
            status: int = options.action(options)
        sys.stdout.flush()
    except RparityError as error:
        print(f"rparity: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("rparity: interrupted; nothing was left half-written.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return UNUSABLE
    except Exception as error:
        if options.traceback or os.environ.get(TRACEBACK):
            traceback.print_exc()
        print(f"rparity: {visible(_sentence(error))}", file=sys.stderr)
        _abandon_output()
        return UNUSABLE
    return status


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for unreachable cycles rarely: a command keeps most of what it loads and makes."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _sentence(error: Exception) -> str:
    """Describe an error of the operating system. Any other error is a bug to be reported."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return MORE_FILES
        where = f" ({error.filename})" if error.filename else ""
        remedy = REMEDIES.get(error.errno, "")
        if "temporary directory" in str(error.strerror):
            remedy = "Set TMPDIR to a folder that can be written to."
        return f"The operating system reports: {error.strerror}{where}. {remedy}".rstrip()
    if isinstance(error, MemoryError):
        return "There is not enough memory: ask for less work at once."
    said = " ".join(str(error).split())[:200]
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"  # noqa: PTH119
    return (
        f"This is a bug of rparity ({type(error).__name__}: {said}; {place}). Please report it, "
        f"with the output of the same command after setting {TRACEBACK}=1."
    )


def _abandon_output() -> None:
    """Discard the buffered output, so that Python does not fail to write it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Paragraphs(argparse.HelpFormatter):
    """Keeps the paragraphs of a text apart, and the lines of those that are indented."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.split("\n\n")
        filled = super()._fill_text
        return "\n\n".join(b if b.startswith(" ") else filled(b, width, indent) for b in blocks)


class SuggestingParser(argparse.ArgumentParser):
    """Names the nearest command or choice where one is mistyped."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        what = "command" if isinstance(action, argparse._SubParsersAction) else "value"
        hint = did_you_mean(str(value), known) or f"There are {', '.join(known)}."
        raise argparse.ArgumentError(action, f"there is no {what} {value!r}. {hint}".rstrip())

    def refuse(self, unknown: str) -> NoReturn:
        """End the command because of an option or argument that it does not have."""
        if not unknown.startswith("-"):
            self.error(f"there is no place for the argument {unknown!r}.")
        option = unknown.partition("=")[0]
        known = [name for action in self._actions for name in action.option_strings]
        hint = did_you_mean(option, known) or f"`{self.prog} --help` shows all options."
        self.error(f"there is no option {option}. {hint}".rstrip())


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments. Without a command, show the help."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.refuse(unknown[0])
    return options


def _show_help(options: argparse.Namespace) -> int:
    options.root.print_help()
    return UNUSABLE


def _parser() -> SuggestingParser:
    parser = SuggestingParser(
        prog="rparity",
        formatter_class=Paragraphs,
        description="Does the Python implementation of a statistical method give what R gives, "
        "to how many digits, and if not, why not?",
        epilog="Exit status: 0 if all values agree or the ledger knows why they differ, 1 if a "
        "value fails, 2 for an error of usage or environment. `rparity COMMAND --help` has the "
        "details.\n\nExample:\n\n  rparity run document",
    )
    parser.set_defaults(action=_show_help, parser=parser, root=parser)
    parser.add_argument("--version", action="version", version=f"rparity {__version__}")
    parser.add_argument(
        "--traceback",
        action="store_true",
        help=f"show the traceback of an unexpected error; so does {TRACEBACK}=1",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, path in COMMANDS.items():
        module = import_module(path)
        subparser = commands.add_parser(
            name,
            help=module.HELP,
            description=module.ABOUT,
            epilog=f"Exit status: {module.STATUS}\n\nExample:\n\n  {module.EXAMPLE}",
            formatter_class=Paragraphs,
        )
        subparser.set_defaults(action=module.run, parser=subparser)
        module.add(subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
