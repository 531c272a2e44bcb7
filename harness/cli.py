"""The command `rparity`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from harness import __version__
from harness.commands import UNUSABLE
from harness.errors import RparityError
from harness.processor import check_kernel

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
    "listing",
    "doctor",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 where all agrees, 1 for a discrepancy, 2 for what a user can mend."""
    options = _parser().parse_args(arguments)
    try:
        check_kernel()
        if getattr(options, "more", None) is not None:
            from harness import extensions

            extensions.use(options.more)
        status: int = options.action(options)
    except RparityError as error:
        print(f"rparity: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("rparity: interrupted; nothing was left half-written.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return UNUSABLE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rparity",
        description="Does the Python implementation of a statistical method give what R gives, "
        "to how many digits, and if not, why not?",
        epilog="Exit status: 0 all agree, 1 a discrepancy that nothing explains, 2 usage or "
        "environment.",
    )
    parser.add_argument("--version", action="version", version=f"rparity {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"harness.commands.{name}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
