"""`rparity study`: how often each interval is right, in thousands of data sets."""

from __future__ import annotations

import argparse
from pathlib import Path

from rparity import commands
from rparity.commands import AGREE

HELP = "count in thousands of simulated data sets how often each interval is right"
ABOUT = (
    "Simulate thousands of data sets from two worlds, in which lines stay or are drawn anew, "
    "and count how often each kind of interval contains the true value."
)
STATUS = "0 if the study is complete; 2 for an error of usage or environment."
EXAMPLE = "rparity study --datasets 100 --nsim 200"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    shown = "(default: %(default)s)"
    for option, default, metavar, text in (
        ("--datasets", 1000, "N", "the number of data sets in each world"),
        ("--nsim", 1000, "N", "the number of replicates of each bootstrap"),
        ("--points", 10, "G", "the number of lines"),
        ("--seed", 1, "S", "the seed of the first data set"),
        ("--sd", 0.1, "S", "the standard deviation of the noise"),
        ("--slope", -1.0, "B", "the slope of all lines"),
    ):
        parser.add_argument(
            option, type=type(default), default=default, metavar=metavar, help=f"{text} {shown}"
        )
    parser.add_argument(
        "--n",
        type=_sizes,
        default=(10,),
        metavar="N[,N...]",
        help="the number of points on each line; several numbers are used in turn (default: 10)",
    )
    parser.add_argument(
        "--between",
        type=float,
        metavar="S",
        help="the standard deviation of the lines' intercepts in both worlds (default: that of 12, "
        "14, ..., 30)",
    )
    commands.add_workers(parser)
    commands.add_format(parser)
    commands.add_output(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the figure")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="also write all intervals to this CSV file"
    )


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"whole numbers between commas, such as 10 or 5,20, not {text!r}"
        ) from None


def run(options: argparse.Namespace) -> int:
    """Run the study and report the results."""
    from rparity.report.document_figure import require_drawing
    from rparity.report.output import destination, require_folder, writing
    from rparity.report.study_figure import draw
    from rparity.report.study_text import as_json, show_study
    from rparity.report.terminal import console
    from rparity.study.coverage import run_study
    from rparity.study.data_sets import StudyDesign

    require_folder(options.output)
    require_folder(options.answers)
    if options.plot is not None:
        require_drawing(options.plot)
    design = StudyDesign(options.points, options.n, options.sd, options.slope, options.between)
    with commands.progress("study") as show:
        study = run_study(
            design,
            datasets=options.datasets,
            nsim=options.nsim,
            seed=options.seed,
            workers=options.workers,
            tell=lambda progress: show(str(progress)),
        )

    if options.answers is not None:
        with writing(options.answers) as file:
            study.answers.to_csv(file, index=False, float_format="%.17g")
    if options.plot is not None:
        draw(study, options.plot)
    with destination(options.output) as out:
        if options.format == "json":
            print(as_json(study), file=out)
        else:
            show_study(study, console(out))
    return AGREE
