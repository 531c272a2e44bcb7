"""pytest-regressions' `dataframe_regression` with R's recordings as expected values.

It has pitfalls, which this wrapper avoids:

- It does not notice a missing column on the Python side. The wrapper compares the names first.
- A tolerance for a column replaces the default one, `atol` stays at 1e-8 unless given, and
  misspelt column names are ignored. The wrapper takes `rtol` and `atol` of every column from the
  rules of the case.
- Floats that are all whole come back from CSV as integers and are then compared exactly. The
  wrapper adds a row that is not whole to both files.
- CSV is read back only to within some ulp. `rparity.compare` compares the doubles themselves.
- `fullpath`, `--force-regen` and `--regen-all` overwrite the expected values. The wrapper gives it
  only a copy in the test's own folder, and refuses to run with either option.
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
    """Return whether pytest-regressions has an option to overwrite files."""
    return any(config.getoption(name, False) for name in ("force_regen", "regen_all"))


class Parity:
    """Compares tables with `expected[case][table]`, at the tolerances of the case."""

    def __init__(
        self,
        regression: Any,
        folder: Path,
        config: pytest.Config,
        expected: Mapping[str, Tables],
    ) -> None:
        if regenerates(config):
            raise pytest.UsageError(REFUSAL)
        folder.mkdir(parents=True, exist_ok=True)
        # It reads from this copy and would write to it.
        regression.datadir = regression.original_datadir = folder
        self._regression = regression
        self._folder = folder
        self._expected = expected

    def check(self, case: Case, engine: str, table: str, frame: pd.DataFrame) -> None:
        """Fail unless `frame` has R's names, and every value is within its tolerance."""
        self.check_names_and_verdicts(case, engine, table, frame)
        self.check_numbers(case, engine, table, frame)

    def check_names_and_verdicts(
        self, case: Case, engine: str, table: str, frame: pd.DataFrame
    ) -> None:
        """Compare as `rparity run` does."""
        reference = Reference(
            "R",
            {table: self._expected[case.name][table]},
            lambda name, column: case.tolerance(engine, name, column),
        )
        found = compare(case.name, engine, {table: frame}, reference, [table])
        failing = found[[Verdict(verdict).fails for verdict in found["verdict"]]]
        if len(failing):
            shown = failing.drop(columns=["case", "engine", "table", "reference"]).to_string()
            pytest.fail(f"{engine} differs from R in {case.name}, {table}:\n{shown}")

    def check_numbers(self, case: Case, engine: str, table: str, frame: pd.DataFrame) -> None:
        """Compare as pytest-regressions does, with a tolerance for each column."""
        expected = self._expected[case.name][table]
        name = f"{case.name}.{engine}.{table}"
        _kept_float(expected).to_csv(self._folder / f"{name}.csv", float_format="%.17g")
        tolerances = {}
        for column in expected.columns:
            tolerance = case.tolerance(engine, table, column)
            atol = np.append(tolerance.absolute(expected[column].to_numpy(), expected.index), 0.0)
            tolerances[column] = {"rtol": tolerance.rtol, "atol": atol}
        self._regression.check(
            _kept_float(frame.reindex(index=expected.index, columns=expected.columns)),
            basename=name,
            tolerances=tolerances,
            default_tolerance={"rtol": 0.0, "atol": 0.0},
        )


def _kept_float(frame: pd.DataFrame) -> pd.DataFrame:
    row = pd.DataFrame(0.5, index=[NOT_WHOLE], columns=frame.columns)
    return pd.concat([frame.astype("float64"), row])
