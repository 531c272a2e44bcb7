"""Why two answers differ: the ledger of known discrepancies, whose experiments are run."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from harness.cases.base import Case, Lmer
from harness.compare import ALL, COLUMNS, Tables, Verdict
from harness.errors import UsageError
from harness.tables import decode_factors

LEDGER = Path(__file__).with_name("ledger.toml")


class Run(Protocol):
    """What a diagnosis needs of a run: the case, R's answer and its provenance, comparisons."""

    @property
    def case(self) -> Case:
        """The case that was run."""
        ...

    @property
    def r_tables(self) -> Tables:
        """R's answer."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where, when and by what R's answer was made."""
        ...

    @property
    def comparisons(self) -> pd.DataFrame:
        """One row a value."""
        ...


@dataclass(frozen=True)
class Entry:
    """A known discrepancy; the fields are explained at the head of ledger.toml."""

    id: str
    case: str
    engine: str
    reference: str
    tables: Sequence[str]
    rows: Sequence[str]
    columns: Sequence[str]
    cause: str
    bound: float
    experiment: str
    why: str
    references: Sequence[str]
    reproduce: str

    def about(self, comparisons: pd.DataFrame) -> pd.Series[bool]:
        """Which comparisons the entry speaks of."""
        keep = _matches(comparisons["case"], [self.case])
        for column, patterns in (
            ("engine", [self.engine]),
            ("reference", [self.reference]),
            ("table", self.tables),
            ("row", self.rows),
            ("column", self.columns),
        ):
            keep &= _matches(comparisons[column], patterns)
        return keep


@dataclass(frozen=True)
class Outcome:
    """What an experiment showed: whether the disagreement goes away, and how, in words."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Finding:
    """A ledger entry met in a run: the comparisons it explains and what its experiment showed."""

    entry: Entry
    comparisons: pd.DataFrame
    outcome: Outcome


@cache
def ledger(path: Path = LEDGER) -> tuple[Entry, ...]:
    """Return the entries of a ledger, by default of ledger.toml.

    Raises
    ------
    UsageError
        For an entry that lacks a field or has an unknown one, or names an unknown experiment.
    """
    fields = {field.name for field in dataclasses.fields(Entry)}
    entries = []
    for found in tomllib.loads(path.read_text())["discrepancy"]:
        wrong = sorted(fields ^ found.keys())
        if wrong:
            raise UsageError(
                f"The entry {found.get('id', '?')!r} of {path.name} lacks, or has without need: "
                f"{', '.join(wrong)}."
            )
        if found["experiment"] not in EXPERIMENTS:
            raise UsageError(
                f"The entry {found['id']!r} of {path.name} names the experiment "
                f"{found['experiment']!r}: there are {', '.join(EXPERIMENTS)}."
            )
        entries.append(Entry(**found))
    return tuple(entries)


def judge(run: Run, entries: Sequence[Entry] | None = None) -> tuple[pd.DataFrame, list[Finding]]:
    """Turn what the ledger explains into `known`; entries that no longer occur are `stale`.

    A difference is `known` only where it stays within the entry's bound and the entry's experiment
    shows the cause again, now.
    """
    comparisons = run.comparisons.copy()
    findings, stale = [], []
    for entry in ledger() if entries is None else entries:
        if entry.case != run.case.name:
            continue
        mine = entry.about(comparisons)
        if not mine.any():
            continue
        outside = mine & (comparisons["verdict"] == Verdict.UNEXPLAINED)
        if not outside.any():
            stale.append(_stale(entry))
            continue
        outcome = EXPERIMENTS[entry.experiment](run, comparisons[outside])
        explained = outside & (comparisons["digits"] >= entry.bound) & outcome.holds
        comparisons.loc[explained, "verdict"] = Verdict.KNOWN.value
        findings.append(Finding(entry, comparisons[outside], outcome))
    if stale:
        comparisons = pd.concat([comparisons, pd.DataFrame(stale)], ignore_index=True)
    return comparisons, findings


def _stale(entry: Entry) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
    return row | {
        "case": entry.case,
        "engine": entry.engine,
        "table": f"ledger: {entry.id}",
        "row": ALL,
        "column": ALL,
        "reference": entry.reference,
        "digits": 0.0,
        "verdict": Verdict.STALE.value,
    }


def _matches(values: pd.Series[str], patterns: Sequence[str]) -> pd.Series[bool]:
    known = {v: any(fnmatchcase(v, pattern) for pattern in patterns) for v in values.unique()}
    return values.map(known).astype(bool)


# -- experiments: change one thing, see whether the disagreement goes away -------------------------


def stopped_early(run: Run, rows: pd.DataFrame) -> Outcome:
    """Ask lme4 with the optimizer of the time, and see how flat the criterion is there."""
    from harness.lmm.fit import lmer

    part = next(p for p in run.case.parts if isinstance(p, Lmer))
    fit = lmer(part.formula, _data(run), REML=part.reml)
    there = run.r_tables["lmer_bobyqa.theta"]["value"].to_numpy()
    rise = fit.deviance_at(there) - fit.criterion
    cells, holds = [], abs(rise) < 1e-8
    published = run.case.published
    figures = published.figures if published else {}
    for _, row in rows.drop_duplicates(["table", "row", "column"]).iterrows():
        kind = row["table"].rpartition(".")[2]
        then = float(run.r_tables[f"lmer_bobyqa.{kind}"].loc[row["row"], row["column"]])
        text = figures[row["table"]][row["row"]][row["column"]]
        decimals = len(text.partition(".")[2])
        # The same stopping place up to one unit of the last printed digit.
        holds &= abs(then - row["reference_value"]) <= 1.55 * 10.0**-decimals
        cells.append(f"{then:.{decimals}f} for the printed {text}")
    return Outcome(
        holds,
        f'lme4 today with optimizer="bobyqa" stops at {", ".join(cells)}; the criterion there is '
        f"{rise:.1e} above its minimum, less than any optimizer's tolerance.",
    )


def tight_controls(run: Run, rows: pd.DataFrame) -> Outcome:
    """Ask lme4 with tight controls, and see whether it prints what was published."""
    published = run.case.published
    figures = published.figures if published else {}
    cells, holds = [], True
    for _, row in rows.drop_duplicates(["table", "row", "column"]).iterrows():
        part, _, kind = row["table"].partition(".")
        tight = float(run.r_tables[f"{part}_tight.{kind}"].loc[row["row"], row["column"]])
        text = figures[row["table"]][row["row"]][row["column"]]
        decimals = len(text.partition(".")[2])
        holds &= f"{tight:.{decimals}f}" == text
        cells.append(f"{tight:.{decimals}f} for the printed {text}")
    return Outcome(holds, f"lme4 with xtol_rel=1e-10 gives {', '.join(cells)}.")


def r_warned(run: Run, rows: pd.DataFrame) -> Outcome:
    """See whether R itself warned that these of its intervals are not to be trusted."""
    warnings = [text for text in run.provenance["warnings"] if "spline" in text]
    holds = all(any(f" {row}:" in text for text in warnings) for row in rows["row"].unique())
    return Outcome(holds, f"R's own warnings: {'; '.join(warnings)}.")


def _data(run: Run) -> pd.DataFrame:
    return decode_factors(run.r_tables["data"], run.provenance["levels"])


EXPERIMENTS: Mapping[str, Callable[[Run, pd.DataFrame], Outcome]] = {
    "bobyqa": stopped_early,
    "r_warned": r_warned,
    "tight_controls": tight_controls,
}
