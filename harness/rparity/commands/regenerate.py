"""`rparity regenerate`: answers made anew, or compared with the recordings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rparity.commands import (
    AGREE,
    DISCREPANCY,
    Commands,
    Tell,
    add_cases,
    add_fixtures,
    add_workers,
    chosen_cases,
    progress,
    silent,
)

if TYPE_CHECKING:
    from rparity.cases.base import Case
    from rparity.regenerate import Drift

# R itself, which answers each case with the case's own script.
R = "R"


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "regenerate", help="run R and the arbiter and write their answers as recordings"
    )
    parser.set_defaults(action=run)
    add_cases(parser)
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="whose answers, instead of all: R (what cases are compared with), and what the audit "
        "keeps of lme4, lme4-tight, nlme, lm, exact; may be given several times",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; report how today's answers differ"
    )
    add_workers(parser)
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Ask the engines about the cases, and write or compare."""
    from rparity.audit.questions import has_data
    from rparity.engines import kept_answers as keep
    from rparity.engines.base import KEPT_ENGINES
    from rparity.regenerate import Drift
    from rparity.report import terminal

    status, out = AGREE, terminal.console()
    names = options.engine or [R, *KEPT_ENGINES]
    for name in names:
        if name != R:
            keep.recorded_engine(name)
    work = []
    for case in chosen_cases(options.cases):
        asked = [name for name in names if name == R or has_data(case)]
        if not asked:
            out.print(f"{case.name}: has no models to ask {', '.join(names)} about")
        work += [_Piece(case, name) for name in asked]
    for piece, found in _done(options, work):
        if isinstance(found, Drift):
            terminal.show_drift(found, out)
            status = max(status, DISCREPANCY if found.failed else AGREE)
        else:
            out.print(f"{piece.case.name}: {piece.engine}'s answer is in {found}")
    return status


@dataclass(frozen=True)
class _Piece:
    """A case, and who is asked about it."""

    case: Case
    engine: str

    def __str__(self) -> str:
        """Return what a crash is named by."""
        return f"{self.engine}'s answer to {self.case.name}"


def _done(
    options: argparse.Namespace, work: Sequence[_Piece]
) -> Iterator[tuple[_Piece, Drift | Path]]:
    """Yield what becomes of each piece of work, in order: one by one, or all at once by workers."""
    how = options.fixtures, options.check
    if options.workers is None:
        for piece in work:
            with progress(piece.case.name) as tell:
                found = _answered(how, piece, tell)
            yield piece, found
        return
    from rparity.workers.cluster import cluster

    with progress("regenerate") as tell, cluster(options.workers) as pool:
        shown = pool.map(_answered, how, work, on_progress=lambda done: tell(str(done)))
        answers = {str(outcome.item): outcome.result() for outcome in shown}
    yield from ((piece, answers[str(piece)]) for piece in work)


def _answered(how: tuple[Path, bool], piece: _Piece, tell: Tell = silent) -> Drift | Path:
    """Write an engine's answer, or compare it: the work of a worker, or of this process."""
    from rparity.engines import kept_answers as keep
    from rparity.regenerate import drift, regenerate

    folder, check = how
    case, engine = piece.case, None if piece.engine == R else keep.recorded_engine(piece.engine)
    if check:
        return drift(case, case.fixtures(folder), tell, engine)
    return regenerate(case, case.fixtures(folder), tell, engine).folder
