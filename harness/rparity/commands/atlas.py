"""`rparity atlas`: how an R function and its counterpart in Python agree."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE
from rparity.errors import UsageError

HELP = "show how R functions and their counterparts in Python agree, and with which setting"
ABOUT = (
    "Find the function of Python that answers as a function of R does: the two calls, the "
    "digits in which they agree by default, the setting that makes them agree, and why they "
    "differ. Everything was computed before, so R is not needed."
)
STATUS = "0 if a pair is found; 2 if there is none, or for another error of usage."
EXAMPLE = "rparity atlas wilcox.test"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        help="an R function, a Python function, a pair, or any words, such as wilcox.test, "
        "scipy.stats.mannwhitneyu or ties (default: all pairs)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the pairs that were found."""
    from rparity.cases.atlas import atlas_cases
    from rparity.report import atlas, terminal

    every = atlas.results(atlas_cases())
    words = " ".join(options.words).split()
    hits = [one for one in every if [one.pair.name] == words] or atlas.found(words, every)
    if not hits:
        raise UsageError(
            f"The atlas has no pair with {' and '.join(map(repr, words))}: try one word, such as a "
            "function's name, or `rparity atlas` for all pairs."
        )
    atlas.show(hits, len(every), terminal.console())
    return AGREE
