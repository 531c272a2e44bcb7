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

# In the order in which `--help` shows them.
COMMANDS = (
    "new",
    "run",
    "audit",
    "explain",
    "study",
    "fuzz",
    "regenerate",
    "versions",
    "seal",
    "listing",
    "doctor",
)
# Where it is set, or --traceback is given, errors that nobody expected come with their traceback.
TRACEBACK = "RPARITY_TRACEBACK"
# What a user can do about what the system refuses.
REMEDIES = {
    errno.ENOSPC: "Make room on the disk.",
    errno.EDQUOT: "Make room on the disk.",
    errno.EACCES: "Change who may read and write it.",
    errno.EROFS: "Name another folder.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 where all agrees, 1 for a discrepancy, 2 for what a user can mend."""
    for stream in (sys.stdout, sys.stderr):  # a terminal of few characters shows \xe9 for é
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
    """Say what the system refused; anything else is a bug, and is to be reported."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return MORE_FILES
        where = f" ({error.filename})" if error.filename else ""
        remedy = REMEDIES.get(error.errno, "")
        if "temporary directory" in str(error.strerror):
            remedy = "Set TMPDIR to a folder that can be written to."
        return f"The system refuses: {error.strerror}{where}. {remedy}".rstrip()
    if isinstance(error, MemoryError):
        return "The memory is used up; give it less work."
    said = " ".join(str(error).split())[:200]
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"  # noqa: PTH119
    return (
        f"This is a bug of rparity ({type(error).__name__}: {said}; {place}). Please report it, "
        f"with what the same command shows where {TRACEBACK}=1 is set."
    )


def _abandon_output() -> None:
    """Leave nothing that Python would try to write once more when it ends, and fail again."""
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
        help=f"show where an error that nobody expected arose; so does {TRACEBACK}=1",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"rparity.commands.{name}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
