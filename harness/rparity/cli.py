"""The command `rparity`."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from rparity import __version__
from rparity.commands import UNUSABLE
from rparity.errors import MORE_FILES, RparityError
from rparity.text import visible
from rparity.workers.processor import check_kernel

# The subcommands in the order of `--help`, and their modules.
COMMANDS = {
    name: f"rparity.commands.{'listing' if name == 'list' else name}"
    for name in (
        *("new", "run", "audit", "explain", "atlas", "study", "fuzz"),
        *("regenerate", "versions", "seal", "list", "doctor"),
    )
}
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
        options = _parser().parse_args(arguments)
        check_kernel()
        if getattr(options, "more", None) is not None:
            from rparity.cases import extensions

            extensions.use(options.more)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rparity",
        description="Does the Python implementation of a statistical method give what R gives, "
        "to how many digits, and if not, why not?",
        epilog="Exit status: 0 all agree, 1 a discrepancy that nothing explains, 2 usage or "
        "environment.",
    )
    parser.add_argument("--version", action="version", version=f"rparity {__version__}")
    parser.add_argument(
        "--traceback",
        action="store_true",
        help=f"show the traceback of an unexpected error; so does {TRACEBACK}=1",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, path in COMMANDS.items():
        module = import_module(path)
        subparser = commands.add_parser(name, help=module.HELP)
        subparser.set_defaults(action=module.run)
        module.add(subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
