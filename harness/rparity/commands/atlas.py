"""`rparity atlas`: how an R function and its counterpart in Python agree."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rparity import commands
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.errors import UsageError, install

if TYPE_CHECKING:
    from rich.console import Console

    from rparity.report.atlas import AtlasResult

HELP = "show how R functions and their counterparts in Python agree, and with which setting"
ABOUT = (
    "Find the function of Python that answers as a function of R does: the two calls, the "
    "digits in which they agree by default, the setting that makes them agree, and why they "
    "differ. Without --live everything was computed before, so R is not needed."
)
STATUS = (
    "0 if a pair is found; 1 if --live finds that one has changed; 2 if there is no pair, if "
    "--live cannot compute one, or for another error of usage."
)
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
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--summary", action="store_true", help="count the pairs, and list those that do not agree"
    )
    how.add_argument(
        "--live",
        action="store_true",
        help="compute the pairs anew, R's side too if R is there, and compare with what is kept",
    )


def run(options: argparse.Namespace) -> int:
    """Print the pairs that were found."""
    from rparity.cases.atlas import atlas_cases
    from rparity.report import atlas, terminal

    every = atlas.results(atlas_cases())
    words = " ".join(options.words).split()
    hits = [one for one in every if [one.pair.name] == words] or atlas.found(words, every)
    if not hits:
        raise UsageError(atlas.nothing(words, every))
    out = terminal.console()
    if options.live:
        return _live(hits, len(every), out)
    if options.summary:
        atlas.summarise(hits, out)
    else:
        atlas.show(hits, len(every), out)
    return AGREE


def _live(hits: Sequence[AtlasResult], total: int, out: Console) -> int:
    """Compute pairs anew, show them or those that changed, and return the exit status."""
    import pandas as pd

    from rparity.compare import failing
    from rparity.r.session import availability
    from rparity.report import atlas
    from rparity.report.terminal import marked
    from rparity.run import run_case

    r = availability()
    live = r.problem is None and all(r.package_versions.values())
    runs = []
    for case in {one.case.name: one.case for one in hits}.values():
        with commands.progress(case.name) as show:
            folder = case.fixtures(None)
            runs.append(run_case(case, fixtures=folder, live=live, on_progress=show))
    found = pd.concat([run.comparisons for run in runs])
    wrong = {table.partition(".")[0] for table in found.loc[failing(found), "table"]}
    kept = {one.pair.name: one for one in hits}
    anew = atlas.results((run.case for run in runs), {"pairs": atlas.summarised(found)})
    now = [one for one in anew if one.pair.name in kept]
    # Another R may agree in more digits or fewer; the pair's tolerance still holds.
    alike = not live or r.r_version == atlas.read()["made_by"]["R"]
    changed = [
        one
        for one in now
        if one.pair.name in wrong or (alike and not one.like(kept[one.pair.name]))
    ]
    if changed or len(now) <= atlas.FULL:
        atlas.show(changed or now, total, out)
        out.print()
    who = f"with R {r.r_version}" if live else "R's values are from its recordings"
    out.print(marked(f"Pairs computed anew: {len(now)}, {who}. {len(changed)} changed."))
    gaps = {n: why for run in runs for a in run.answers.values() for n, why in a.gaps.items()}
    lacking = {n: why for n, why in gaps.items() if n in kept}
    if lacking:
        why = ", ".join(dict.fromkeys(lacking.values()))
        out.print(marked(f"Not computed: {', '.join(lacking)}; {why}: `{install('atlas')}`."))
    return DISCREPANCY if changed else UNUSABLE if lacking else AGREE
