"""`rparity study`: the question asked of thousands of data sets, in two worlds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rparity.commands import AGREE, Commands, add_format, add_workers, progress

if TYPE_CHECKING:
    from rparity.study.coverage import Study


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "study", help="ask the question of thousands of data sets: which interval is right when"
    )
    parser.set_defaults(action=run)
    shown = "(default: %(default)s)"
    parser.add_argument(
        "--datasets", type=int, default=1000, metavar="N", help=f"data sets in each world {shown}"
    )
    parser.add_argument(
        "--nsim", type=int, default=1000, metavar="N", help=f"replicates of each bootstrap {shown}"
    )
    parser.add_argument("--points", type=int, default=10, metavar="G", help=f"lines {shown}")
    parser.add_argument(
        "--n",
        type=_sizes,
        default=(10,),
        metavar="N[,N...]",
        help="points on each line, used in turn (default: 10)",
    )
    parser.add_argument(
        "--sd", type=float, default=0.1, metavar="S", help=f"standard deviation of noise {shown}"
    )
    parser.add_argument(
        "--slope", type=float, default=-1.0, metavar="B", help=f"slope of all the lines {shown}"
    )
    parser.add_argument(
        "--between",
        type=float,
        metavar="S",
        help="standard deviation of the lines' intercepts, in both worlds (default: that of 12, "
        "14, ..., 30, the question's)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help=f"seed of the first data set {shown}"
    )
    add_workers(parser)
    add_format(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to, instead of standard output"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the figure")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="also write every single answer, as CSV"
    )


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"whole numbers between commas, such as 10 or 5,20, not {text!r}"
        ) from None


def run(options: argparse.Namespace) -> int:
    """Conduct the study and report what was found."""
    from rparity.report.figure import require_drawing
    from rparity.report.output import require_folder, writing
    from rparity.report.study_figure import draw
    from rparity.study.coverage import run_study
    from rparity.study.data_sets import StudyDesign

    for file in (options.output, options.answers):
        if file is not None:
            require_folder(file)
    if options.plot is not None:
        require_drawing(options.plot)
    design = StudyDesign(options.points, options.n, options.sd, options.slope, options.between)
    with progress("study") as tell:
        study = run_study(
            design,
            datasets=options.datasets,
            nsim=options.nsim,
            seed=options.seed,
            workers=options.workers,
            tell=lambda progress: tell(str(progress)),
        )

    if options.answers is not None:
        with writing(options.answers) as file:
            study.answers.to_csv(file, index=False, float_format="%.17g")
    if options.plot is not None:
        draw(study, options.plot)
    if options.output is None:
        _report(study, options.format, sys.stdout)
    else:
        with writing(options.output) as file, file.open("w", encoding="utf-8") as out:
            _report(study, options.format, out)
    return AGREE


def _report(study: Study, form: str, out: TextIO) -> None:
    from rparity.report import study as report
    from rparity.report import terminal

    if form == "json":
        print(report.as_json(study), file=out)
    else:
        report.show_study(study, terminal.console(out))
