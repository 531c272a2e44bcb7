"""pytest-regressions' `dataframe_regression` with R's recordings as the truth, its pitfalls closed.

What it does by itself, and what is done about it:

- A column that is missing on the Python side goes unnoticed: names are compared first, both ways.
- Tolerances that are given for a column replace the default one, `atol` stays at 1e-8 where it is
  not given, and misspelt column names are ignored: every column of the truth gets its `rtol` and
  `atol` from the case's rules, and nobody passes any by hand.
- Floats that are all whole come back from CSV as integers and are then compared exactly: a row that
  is not whole goes into both files.
- CSV is read back to within some ulp only: `rparity.compare` looks at the doubles themselves.
- `fullpath`, `--force-regen` and `--regen-all` write into the truth: it only ever sees a copy in
  the test's own folder, and with either option nothing runs at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rparity.cases.base import Case
from rparity.compare import Reference, Tables, Verdict, compare

REFUSAL = (
    "--force-regen and --regen-all would overwrite R's answers with Python's: only R writes them. "
    "Run `rparity regenerate`."
)
NOT_WHOLE = "(keeps the column a float)"


def regenerates(config: pytest.Config) -> bool:
    """Whether pytest-regressions was asked to write."""
    return any(config.getoption(name, False) for name in ("force_regen", "regen_all"))


class Parity:
    """Compares tables with the truth, `truth[case][table]`, at the tolerances of the case."""

    def __init__(
        self,
        regression: Any,
        folder: Path,
        config: pytest.Config,
        truth: Mapping[str, Tables],
    ) -> None:
        if regenerates(config):
            raise pytest.UsageError(REFUSAL)
        folder.mkdir(parents=True, exist_ok=True)
        # The copy is both what is read and what would be written.
        regression.datadir = regression.original_datadir = folder
        self._regression = regression
        self._folder = folder
        self._truth = truth

    def check(self, case: Case, engine: str, table: str, frame: pd.DataFrame) -> None:
        """Fail unless `frame` is R's table: the same names, every value within its tolerance."""
        self.check_names_and_verdicts(case, engine, table, frame)
        self.check_numbers(case, engine, table, frame)

    def check_names_and_verdicts(
        self, case: Case, engine: str, table: str, frame: pd.DataFrame
    ) -> None:
        """Compare as `rparity run` does."""
        reference = Reference(
            "R",
            {table: self._truth[case.name][table]},
            lambda name, column: case.tolerance(engine, name, column),
        )
        found = compare(case.name, engine, {table: frame}, reference, [table])
        failing = found[[Verdict(verdict).fails for verdict in found["verdict"]]]
        if len(failing):
            shown = failing.drop(columns=["case", "engine", "table", "reference"]).to_string()
            pytest.fail(f"{engine} differs from R in {case.name}, {table}:\n{shown}")

    def check_numbers(self, case: Case, engine: str, table: str, frame: pd.DataFrame) -> None:
        """Compare as pytest-regressions does, every column at a tolerance of its own."""
        truth = self._truth[case.name][table]
        name = f"{case.name}.{engine}.{table}"
        _kept_float(truth).to_csv(self._folder / f"{name}.csv", float_format="%.17g")
        tolerances = {}
        for column in truth.columns:
            tolerance = case.tolerance(engine, table, column)
            atol = np.append(tolerance.absolute(truth[column]), 0.0)
            tolerances[column] = {"rtol": tolerance.rtol, "atol": atol}
        self._regression.check(
            _kept_float(frame.reindex(index=truth.index, columns=truth.columns)),
            basename=name,
            tolerances=tolerances,
            default_tolerance={"rtol": 0.0, "atol": 0.0},
        )


def _kept_float(frame: pd.DataFrame) -> pd.DataFrame:
    row = pd.DataFrame(0.5, index=[NOT_WHOLE], columns=frame.columns)
    return pd.concat([frame.astype("float64"), row])
