"""Digits, tolerances and verdicts: how one engine's tables agree with a reference's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Tables = Mapping[str, pd.DataFrame]
Measured = dict[str, NDArray[Any]]

MAX_DIGITS = 15.95
ROUNDING_DIGITS = 12.0

COLUMNS = (
    "case",
    "engine",
    "table",
    "row",
    "column",
    "reference",
    "reference_value",
    "value",
    "digits",
    "rtol",
    "atol",
    "verdict",
)
ALL = "*"  # the row or column of a comparison that is about a whole table, row or column


class Verdict(StrEnum):
    """What a comparison of two values ends in; see docs/design.md."""

    IDENTICAL = "identical"
    ROUNDING = "rounding"
    WITHIN = "within"
    KNOWN = "known"
    NEW = "new"
    UNEXPLAINED = "unexplained"
    MISSING = "missing"
    STALE = "stale"

    @property
    def fails(self) -> bool:
        """Whether a run with this verdict exits with status 1."""
        return self in (Verdict.NEW, Verdict.UNEXPLAINED, Verdict.MISSING, Verdict.STALE)


FAILING = tuple(verdict.value for verdict in Verdict if verdict.fails)
# From best to worst.
SEVERITY = (
    Verdict.IDENTICAL,
    Verdict.ROUNDING,
    Verdict.WITHIN,
    Verdict.KNOWN,
    Verdict.NEW,
    Verdict.STALE,
    Verdict.MISSING,
    Verdict.UNEXPLAINED,
)


@dataclass(frozen=True)
class Tolerance:
    """What a column may differ by: atol + spread · sd(reference) + rtol · abs(reference), and why.

    `spread` is for what may be near zero, such as bootstrap replicates and random effects.
    Both zero ask for the same bits: not even rounding passes.

    `atol` may hold one value a row, for printed references whose last place differs.
    """

    rtol: float
    reason: str
    atol: float | pd.Series[float] = 0.0
    spread: float = 0.0

    def absolute(self, column: NDArray[np.float64], rows: pd.Index[str]) -> NDArray[np.float64]:
        """Return what each value of a reference column may differ by, whatever its size."""
        atol = self.atol.reindex(rows) if isinstance(self.atol, pd.Series) else self.atol
        out: NDArray[np.float64] = np.zeros(len(column)) + np.asarray(atol)
        if self.spread and len(there := column[~np.isnan(column)]) > 1:
            with np.errstate(invalid="ignore"):
                out += self.spread * there.std(ddof=1)
        return out


@dataclass(frozen=True)
class Reference:
    """What engines are compared with: its tables, and the tolerance of each column.

    `partial` marks a reference that does not hold everything an engine may answer, as a printed
    page does: what only the engine has is then not missing.
    """

    name: str
    tables: Tables
    tolerance: Callable[[str, str], Tolerance]
    partial: bool = False


def part_of(table: str) -> str:
    """Return the part of a case that a table belongs to: `lmer` for `lmer.coef`."""
    return table.partition(".")[0]


def kind_of(table: str) -> str:
    """Return the kind of a table: `coef` for `lmer.coef`."""
    return table.rpartition(".")[2]


def parts_of(tables: pd.Series[str]) -> pd.Series[str]:
    """Return the part of each table of a column of comparisons; each name is split once."""
    codes, names = pd.factorize(tables)
    parts = np.array([part_of(name) for name in names], dtype=object)
    return pd.Series(parts[codes], tables.index, dtype=tables.dtype, name=tables.name)


def tables_of(tables: Tables, part: str) -> dict[str, pd.DataFrame]:
    """Return the tables of one part by kind: `coef` for `lmer.coef`."""
    return {kind_of(name): table for name, table in tables.items() if part_of(name) == part}


def failing(comparisons: pd.DataFrame) -> pd.Series[bool]:
    """Return for each comparison whether its verdict fails."""
    return comparisons["verdict"].isin(FAILING)


def digits(value: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Count the significant digits in which `value` agrees with `reference`, elementwise.

    The log relative error of McCullough (1998): −log10(|q − c| / |c|), or −log10(|q|) where c = 0,
    between 0 and 15.95. Two NaN agree; NaN and a number do not.
    """
    q, c = np.broadcast_arrays(
        np.asarray(value, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    )
    with np.errstate(all="ignore"):
        error = np.where(c == 0.0, np.abs(q), np.abs(q - c) / np.abs(c))
        out = np.clip(-np.log10(error), 0.0, MAX_DIGITS)
    same = (q == c) | (np.isnan(q) & np.isnan(c))
    result: NDArray[np.float64] = np.where(same, MAX_DIGITS, np.where(np.isnan(out), 0.0, out))
    return result + 0.0  # no −0


def compare(
    case: str, engine: str, answer: Tables, reference: Reference, expected: Collection[str]
) -> pd.DataFrame:
    """Compare the `expected` tables of an engine's answer with a reference, value by value.

    Returns one row a value with the columns `COLUMNS`. Rows and columns are matched by name; a
    table, row or column that one side lacks is one row with the verdict `missing`, in which `*`
    stands for what is missing as a whole.
    """
    columns = measure(answer, reference, expected)
    named = {"case": case, "engine": engine, "reference": reference.name}
    return pd.DataFrame(columns | named, columns=list(COLUMNS))


def measure(answer: Tables, reference: Reference, expected: Collection[str]) -> Measured:
    """Compare as `compare` does; return its columns as arrays, without a frame's cost."""
    parts = [
        part
        for table in expected
        if not (reference.partial and table not in reference.tables)
        for part in _compare_table(table, answer.get(table), reference.tables.get(table), reference)
    ]
    parts = parts or [_missing("", [])]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["verdict"] = np.select(
        [columns.pop("same"), columns.pop("rounding"), columns.pop("within"), columns.pop("lost")],
        [v.value for v in (Verdict.IDENTICAL, Verdict.ROUNDING, Verdict.WITHIN, Verdict.MISSING)],
        Verdict.UNEXPLAINED.value,
    )
    return columns


def _compare_table(
    table: str, mine: pd.DataFrame | None, theirs: pd.DataFrame | None, reference: Reference
) -> list[Measured]:
    if mine is None or theirs is None:
        return [_missing(table, [(ALL, ALL)])]
    alike = mine.index.equals(theirs.index) and mine.columns.equals(theirs.columns)
    for side in (mine,) if alike else (mine, theirs):
        if not (side.index.is_unique and side.columns.is_unique):
            raise ValueError(f"table {table} has a row or column name twice")
    if alike:
        return [_compare_values(table, mine, theirs, reference)]
    rows = [row for row in theirs.index if row in mine.index]
    columns = [column for column in theirs.columns if column in mine.columns]
    parts = [_compare_values(table, mine.loc[rows, columns], theirs.loc[rows, columns], reference)]
    lost = [(row, ALL) for row in theirs.index.difference(mine.index, sort=False)]
    lost += [(ALL, column) for column in theirs.columns.difference(mine.columns, sort=False)]
    if not reference.partial:
        lost += [(row, ALL) for row in mine.index.difference(theirs.index, sort=False)]
        lost += [(ALL, column) for column in mine.columns.difference(theirs.columns, sort=False)]
    return [*parts, _missing(table, lost)] if lost else parts


def _compare_values(
    table: str, mine: pd.DataFrame, theirs: pd.DataFrame, reference: Reference
) -> Measured:
    """Compare two frames of the same rows and columns, one column after the other."""
    n = len(theirs)
    tolerances = [reference.tolerance(table, column) for column in theirs.columns]
    rtol = np.repeat(np.array([tolerance.rtol for tolerance in tolerances]), n)
    q, c = (side.to_numpy(dtype=np.float64).ravel(order="F") for side in (mine, theirs))
    allowed = np.zeros(len(c))
    for i, tolerance in enumerate(tolerances):
        own = slice(i * n, (i + 1) * n)
        allowed[own] = tolerance.absolute(c[own], theirs.index)
    agreed = digits(q, c)
    with np.errstate(invalid="ignore"):
        room = allowed + rtol * np.abs(c)
        within = np.isfinite(c) & (np.abs(q - c) <= room)
    measured: Measured = {
        "table": np.full(len(q), table, dtype=object),
        "row": np.tile(np.asarray(theirs.index, dtype=object), len(tolerances)),
        "column": np.repeat(np.asarray(theirs.columns, dtype=object), n),
        "reference_value": c,
        "value": q,
        "digits": agreed,
        "rtol": rtol,
        "atol": allowed,
        "same": (q == c) | (np.isnan(q) & np.isnan(c)),
        # A relative tolerance leaves no room beside zero: there, 12 decimals are rounding.
        "rounding": (agreed >= ROUNDING_DIGITS) & (within | ((room == 0.0) & (rtol > 0.0))),
        "within": within,
        "lost": np.zeros(len(q), dtype=bool),
    }
    if not reference.partial:
        return measured
    # What a printed page leaves empty is not compared.
    return {name: values[~np.isnan(c)] for name, values in measured.items()}


def _missing(table: str, places: list[tuple[str, str]]) -> Measured:
    n = len(places)
    nothing, never = np.full(n, np.nan), np.zeros(n, dtype=bool)
    return {
        "table": np.full(n, table, dtype=object),
        "row": np.array([row for row, _ in places], dtype=object),
        "column": np.array([column for _, column in places], dtype=object),
        "reference_value": nothing,
        "value": nothing,
        "digits": np.zeros(n),
        "rtol": nothing,
        "atol": nothing,
        "same": never,
        "rounding": never,
        "within": never,
        "lost": np.ones(n, dtype=bool),
    }
