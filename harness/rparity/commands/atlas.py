"""`rparity atlas`: how an R function and its counterpart in Python agree."""

from __future__ import annotations

import argparse

from rparity.commands import AGREE
from rparity.errors import UsageError

HELP = "show how R functions and their counterparts in Python agree, and with which setting"


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
