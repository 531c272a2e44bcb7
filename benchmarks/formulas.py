"""Compare the processor time of sixty fits with lme4's, in one run on one core.

    python benchmarks/formulas.py [--threads-unset] [--part TEXT]

The formulas are those of tests/lmm/test_collected_formulas.py, which people wrote, with data made
up for them. Both sides fit the same data at their defaults. Processor time is measured, because
other work on the machine hardly changes it: R's is the least mean of three blocks of fits, ours
the median of single fits. A formula is parsed once and its parse is kept; `first` is the time of a
fit that parses it anew. With --threads-unset, BLAS chooses its number of threads in this process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

if "--threads-unset" in sys.argv:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.pop(name, None)
    import numpy  # noqa: F401  BLAS reads the setting when it is loaded, before `speed` changes it

import speed

sys.path.extend(str(Path(__file__).parents[1] / "tests" / room) for room in ("lmm", "support"))

from test_collected_formulas import ANSWERS, made_up

from rparity import lmer, lmer_control
from rparity.lmm.language.expression import expression
from rparity.lmm.language.formula import parse, terms
from rparity.r.session import RSession

# Processor seconds of one block of fits, on either side.
LEAST = 0.1
CONTROL = lmer_control(check_rankX="silent.drop.cols")


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the median processor time of one call, after two calls that are not counted."""
    work()
    work()
    times: list[float] = []
    while len(times) < 5 or sum(times) < LEAST:
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def forget() -> None:
    """Empty the caches of parsed formulas."""
    for kept in (parse, terms, expression):
        kept.cache_clear()


def main() -> None:
    """Time the formulas and print the ratios, the worst last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads-unset", action="store_true")
    parser.add_argument("--part", default="", help="only formulas that contain this text")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    with RSession() as session:
        for answer in ANSWERS:
            formula, data = answer["formula"], made_up(answer)
            if options.part not in formula:
                continue
            question = {"data": data, "formula": formula, "least": LEAST}
            script = Path(speed.__file__).with_suffix(".R")
            r = float(session.call(script, "repeated_time", question, seed=1).value)

            def fit(formula: str = formula, data: object = data) -> None:
                lmer(formula, data, control=CONTROL)

            ours = processor_seconds(fit)
            first = processor_seconds(lambda fit=fit: (forget(), fit()))
            rows.append((ours / r, first / r, r, ours, first, formula))
    print(f"{'R, ms':>8}{'ours':>8}{'first':>8}{'ours/R':>8}{'first/R':>8}  formula")
    for ratio, anew, r, ours, first, formula in sorted(rows):
        print(
            f"{1e3 * r:8.2f}{1e3 * ours:8.2f}{1e3 * first:8.2f}{ratio:8.2f}{anew:8.2f}  {formula}"
        )
    for name, at in (("ours/R", 0), ("first/R", 1)):
        ratios = [row[at] for row in rows]
        slower = sum(ratio > 1.1 for ratio in ratios)
        print(
            f"{name}: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}, "
            f"above 1.1: {slower} of {len(ratios)}"
        )


if __name__ == "__main__":
    main()
