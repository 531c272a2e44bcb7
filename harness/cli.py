"""The command `rparity`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness import __version__, paths
from harness.errors import RecordingError, RparityError

if TYPE_CHECKING:
    from harness.cases.base import Case

AGREE, DISCREPANCY, UNUSABLE = 0, 1, 2


class Tell(Protocol):
    """Shows what a long piece of work is doing."""

    def __call__(self, text: str) -> None:
        """Show `text`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 where all agrees, 1 for a discrepancy, 2 for what a user can mend."""
    options = _parser().parse_args(arguments)
    try:
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

    run = commands.add_parser("run", help="compare Python with R's recording, or with R itself")
    run.set_defaults(action=_run)
    run.add_argument("--live", action="store_true", help="run R now instead of its recording")
    run.add_argument("--nsim", type=int, metavar="N", help="replicates of each bootstrap")
    run.add_argument("--format", choices=("text", "json"), default="text")
    run.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="who answers, instead of the case's own choice: rparity, statsmodels, exact; "
        "may be given several times",
    )
    run.add_argument("--plot", type=Path, metavar="FILE", help="also draw the document's figure")

    regenerate = commands.add_parser("regenerate", help="run R and write its answers as recordings")
    regenerate.set_defaults(action=_regenerate)
    regenerate.add_argument(
        "--check", action="store_true", help="write nothing; report how today's R differs"
    )
    for command in (run, regenerate):
        command.add_argument("cases", nargs="*", metavar="CASE", help="a case; none: all of them")

    listing = commands.add_parser("list", help="list the cases and the state of their recordings")
    listing.set_defaults(action=_list)
    doctor = commands.add_parser(
        "doctor", help="tell what is there, what is missing, what mends it"
    )
    doctor.set_defaults(action=_doctor)
    doctor.add_argument(
        "--require-r", action="store_true", help="fail where R cannot be run, instead of telling"
    )
    for command in (run, regenerate, listing, doctor):
        command.add_argument(
            "--fixtures",
            type=Path,
            default=paths.fixtures(),
            metavar="DIR",
            help="where the recordings are",
        )
    return parser


def _run(options: argparse.Namespace) -> int:
    from harness.report import terminal
    from harness.run import as_json, run_case

    chosen = _cases(options.cases)
    if options.plot is not None:
        from harness.report import figure

        figure.require(options.plot, [case.name for case in chosen])
    runs = []
    for case in chosen:
        with _progress(case.name) as tell:
            runs.append(
                run_case(
                    case,
                    fixtures=options.fixtures,
                    live=options.live,
                    nsim=options.nsim,
                    engines=options.engine,
                    on_progress=tell,
                )
            )
    if options.format == "json":
        print(as_json(runs))
    else:
        out = terminal.console()
        for i, run in enumerate(runs):
            if i:
                out.print()
            terminal.show_run(run, out)
    if options.plot is not None:
        figure.draw(next(run for run in runs if run.case.name == "document"), options.plot)
    return DISCREPANCY if any(run.failed for run in runs) else AGREE


def _regenerate(options: argparse.Namespace) -> int:
    from harness.regenerate import drift, regenerate
    from harness.report import terminal

    status, out = AGREE, terminal.console()
    for case in _cases(options.cases):
        with _progress(case.name) as tell:
            if options.check:
                report = drift(case, options.fixtures, tell)
            else:
                regenerate(case, options.fixtures, tell)
        if options.check:
            terminal.show_drift(report, out)
            status = max(status, DISCREPANCY if report.failed else AGREE)
        else:
            out.print(f"{case.name}: R's answer is in {options.fixtures / case.name}")
    return status


def _list(options: argparse.Namespace) -> int:
    from harness import recordings
    from harness.cases import cases
    from harness.report import terminal

    rows = []
    for case in cases().values():
        try:
            provenance = recordings.read(options.fixtures, case.name, case.scripts()).provenance
            versions = provenance["made_by"]["packages"]
            state = f"recorded {provenance['time'][:10]}, R {versions['R']}"
        except RecordingError as error:
            state = str(error)
        rows.append((case, state))
    terminal.show_cases(rows, terminal.console())
    return AGREE


def _doctor(options: argparse.Namespace) -> int:
    from harness.doctor import examine
    from harness.report import terminal

    report = examine(options.fixtures, require_r=options.require_r)
    terminal.show_doctor(report, terminal.console())
    return UNUSABLE if any(not check.ok for check in report) else AGREE


def _cases(names: Sequence[str]) -> list[Case]:
    from harness.cases import case, cases

    return [case(name) for name in names] if names else list(cases().values())


@contextmanager
def _progress(name: str) -> Iterator[Tell]:
    """Show a bar with what goes on and how long it has, on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda text: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.fields[name]}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None, name=name)
        yield lambda text: bar.update(task, description=text)


if __name__ == "__main__":
    sys.exit(main())
