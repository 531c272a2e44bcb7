"""`rparity regenerate`: record answers anew, or compare them with the recordings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rparity import commands
from rparity.commands import AGREE, DISCREPANCY, ShowStep

if TYPE_CHECKING:
    from rparity.cases.base import Case
    from rparity.regenerate import Drift

HELP = "run R and the arbiter and write their answers as recordings"
ABOUT = (
    "Ask R and the arbiter anew, and write their answers as recordings. The recordings of "
    "other versions of R stay. With --check nothing is written: today's answers are compared "
    "with the recordings. This needs R."
)
STATUS = (
    "0 if the recordings are written or agree with today's answers; 1 if --check finds a "
    "difference that nothing explains; 2 for an error of usage or environment."
)
EXAMPLE = "rparity regenerate norris --check"
# R itself, which answers each case with the case's own script.
R = "R"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands.add_cases(parser)
    commands.add_engine(
        parser,
        "an engine to ask, instead of all: R for the recordings of the cases; lme4, lme4-tight, "
        "nlme, lm and exact for the answers that the audit keeps",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; report how today's answers differ"
    )
    commands.add_verbosity(parser)
    commands.add_workers(parser)
    commands.add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Ask the engines about the cases, and write or compare their answers."""
    from rparity.audit.questions import has_data
    from rparity.engines import kept_answers
    from rparity.engines.base import KEPT_ENGINES
    from rparity.regenerate import Drift
    from rparity.report import terminal, versions_text

    status, out = AGREE, terminal.console()
    names = options.engine or [R, *KEPT_ENGINES]
    for name in names:
        if name != R:
            kept_answers.recorded_engine(name)
    work = []
    for case in commands.chosen_cases(options.cases):
        asked = [name for name in names if name == R or has_data(case)]
        if not asked:
            out.print(f"{case.name}: has no models to ask {', '.join(names)} about")
        work += [_Task(case, name) for name in asked]
    for task, found in _done(options, work):
        if isinstance(found, Drift):
            versions_text.show_drift(found, out, options.verbosity)
            status = max(status, DISCREPANCY if found.failed else AGREE)
        else:
            out.print(f"{task.case.name}: {task.engine}'s answer is in {found}", soft_wrap=True)
    return status


@dataclass(frozen=True)
class _Task:
    """A case and the engine that is asked about it."""

    case: Case
    engine: str

    def __str__(self) -> str:
        """Return the name of the task in an error message."""
        return f"{self.engine}'s answer to {self.case.name}"


def _done(
    options: argparse.Namespace, work: Sequence[_Task]
) -> Iterator[tuple[_Task, Drift | Path]]:
    """Do the tasks, one by one or with workers, and yield each with its result, in order."""
    how = options.fixtures, options.check
    if options.workers is None:
        for task in work:
            with commands.progress(task.case.name) as show:
                found = _answered(how, task, show)
            yield task, found
        return
    from rparity.workers.cluster import cluster

    with commands.progress("regenerate") as show, cluster(options.workers) as pool:
        shown = pool.map(_answered, how, work, on_progress=lambda done: show(str(done)))
        answers = {str(outcome.item): outcome.result() for outcome in shown}
    yield from ((task, answers[str(task)]) for task in work)


def _answered(
    how: tuple[Path, bool], task: _Task, show: ShowStep = lambda _text: None
) -> Drift | Path:
    """Write or compare the answer of one engine to one case."""
    from rparity.engines import kept_answers
    from rparity.regenerate import drift, regenerate

    folder, check = how
    case = task.case
    engine = None if task.engine == R else kept_answers.recorded_engine(task.engine)
    if check:
        return drift(case, case.fixtures(folder), show, engine)
    return regenerate(case, case.fixtures(folder), show, engine).folder
