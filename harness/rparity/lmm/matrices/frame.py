"""R's model frame: columns of the data, and functions of them, with R's values and types."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.language import bases, elementwise, factors, operators, summaries
from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import Constant, FunctionCall, Name, Node, deparse, expression
from rparity.lmm.language.table import FUNCTIONS, Function, constant
from rparity.lmm.language.values import (
    Floats,
    Kind,
    Unsuitable,
    Value,
    Vector,
    as_factor,
    as_time,
    doubles,
    from_pandas,
    logicals,
    texts,
    used,
    with_levels,
)

# The modules whose functions formulas know.
LIBRARY = (bases, elementwise, factors, operators, summaries)
PACKAGES = ("base", "stats", "splines", "lme4")  # a function may be named with its package
# Functions that mean different things in packages that people load.
AMBIGUOUS = {
    "lag": "write dplyr::lag(x) to move the values, or compute a column first",
    "rescale": "write arm::rescale(x) or scales::rescale(x)",
}
# R's names that are not in the data.
CONSTANTS: Mapping[str, Vector] = {
    "pi": doubles([np.pi]),
    "T": logicals([True]),
    "F": logicals([False]),
    "letters": texts([chr(code) for code in range(97, 123)]),
    "LETTERS": texts([chr(code) for code in range(65, 91)]),
}


@dataclass(frozen=True)
class Context:
    """What the values of a formula depend on besides the data.

    `collate` is the locale whose order of text makes levels. `again` has for each variable the
    arguments with which poly(), scale(), bs() or ns() are called on new data; `nodes` has the
    expressions of variables whose labels are shortened. `times` has for each column of dates or
    times which of both the data of the fit had: days on which no time is given may be either.
    """

    collate: Collate = "en_US"
    again: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    times: dict[str, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.collate not in {"en_US", "C"}:
            raise UsageError(f"collate must be 'en_US' or 'C', and is {self.collate!r}.")


class Frame:
    """The variables of a formula, each evaluated on all rows of the data."""

    def __init__(self, data: pd.DataFrame, context: Context | None = None) -> None:
        self.data = data
        self.context = Context() if context is None else context
        self._columns: dict[str, Vector] = {}

    def column(self, name: str, label: str) -> Vector:
        """Return one column of the data with R's type; raises FormulaError if there is none."""
        if name not in self._columns:
            found = from_pandas(self._series(name, label))
            if found.kind in {"Date", "POSIXct"}:
                found = as_time(found, self.context.times.setdefault(name, found.kind))
            self._columns[name] = found
        return self._columns[name]

    def _series(self, name: str, label: str) -> "pd.Series[Any]":
        if name in self.data.columns:
            found = self.data[name]
            if isinstance(found, pd.Series):
                return found
            raise DataError(f"The data have several columns `{name}`: rename all but one.")
        near = difflib.get_close_matches(name, map(str, self.data.columns), n=3)
        hint = f"did you mean {' or '.join(f'`{c}`' for c in near)}?" if near else "check its name."
        where = "" if label.strip("`") == name else f", which `{label}` needs"
        raise FormulaError(f"The data have no column `{name}`{where}: {hint}")

    def value(self, label: str) -> Vector:
        """Evaluate one variable of a formula; text becomes a factor.

        Raises
        ------
        FormulaError
            If it is no R that this package knows, or does not have one value for each row.
        """
        node = self.context.nodes.get(label) or expression(label)
        try:
            with np.errstate(all="ignore"):  # as in R, log(-1) is NaN and its row is omitted
                found = self._evaluate(node, label, self.context.again.get(label))
        except Unsuitable as error:
            raise FormulaError(f"`{label}` cannot be evaluated: {error}.") from error
        except (ValueError, IndexError, TypeError) as error:  # lengths that do not fit
            raise FormulaError(f"`{label}` cannot be evaluated: its values do not fit.") from error
        if found is None or len(found) != len(self.data):
            raise FormulaError(
                f"`{label}` does not have one value for each row: compute a column first."
            )
        if found.again:
            self.context.again.setdefault(label, found.again)
        return as_factor(found, self.context.collate) if found.kind == "character" else found

    def numeric(self, label: str, role: str) -> Floats:
        """Return a variable; raises DataError unless it is one number for each row."""
        found = self.value(label)
        if found.is_text or found.data.ndim > 1 or (found.kind == "logical" and role == "offset"):
            raise DataError(
                f"The {role} `{label}` is not numeric: convert it to one number for each row."
            )
        return np.asarray(found.data, dtype=np.float64)

    def factor(self, name: str) -> Vector:
        """Return R's `factor()` of a column."""
        return as_factor(self.column(name, name), self.context.collate)

    def subset(self, condition: str | ArrayLike) -> NDArray[np.bool_]:
        """Return for which rows an expression is TRUE, (n,), as R's argument `subset` does.

        An array of booleans, one for each row, is returned as it is.
        """
        if not isinstance(condition, str):
            chosen, n = np.asarray(condition), len(self.data)
            if chosen.shape != (n,) or chosen.dtype != np.bool_:
                raise UsageError(
                    f"subset= must be an expression such as 'x > 0', or {n} values that are "
                    "True or False, one for each row."
                )
            return chosen
        found = self.value(condition)
        if found.kind != "logical":
            raise UsageError(f"subset= is TRUE or FALSE for each row, and `{condition}` is not.")
        return np.asarray(found.data == 1.0)

    def _evaluate(self, node: Node, label: str, again: Mapping[str, Any] | None = None) -> Value:
        """Evaluate an expression; `again` replaces arguments of the outermost call."""
        if isinstance(node, Constant):
            return constant(node)
        if isinstance(node, Name):
            if node.text in CONSTANTS and node.text not in self.data.columns:
                return CONSTANTS[node.text]
            return self.column(node.text, label)
        function = _function(node, label)
        matched = function.match([(a.name, a.value) for a in node.arguments])
        arguments: dict[str, Any] = {}
        for name, given in matched.items():
            lazy = name in function.lazy
            if name != "...":
                arguments[name] = given if lazy else self._evaluate(given, label)
            else:
                values = [(own, each, self._evaluate(each, label)) for own, each in given]
                arguments[name] = [
                    (own, (each, value) if lazy else value) for own, each, value in values
                ]
        return function(arguments | dict(again or {}), self.context.collate)


def _function(node: FunctionCall, label: str) -> Function:
    """Look a function up, by its name or by `package::name`."""
    package, colons, bare = node.function.rpartition("::")
    found = FUNCTIONS.get(node.function)
    if found is None and colons and package.rstrip(":") in PACKAGES:
        found = FUNCTIONS.get(bare)
    if found is not None:
        return found
    if node.function in AMBIGUOUS:
        raise Unsuitable(
            f"packages define {node.function}() differently: {AMBIGUOUS[node.function]}"
        )
    if node.function == "$":
        column = deparse(node.operands[1])
        raise Unsuitable(f"a column is named without `$`: write {column}")
    known = ", ".join(sorted(name for name in FUNCTIONS if name[0].isalpha()))
    raise FormulaError(
        f"The function `{node.function}` in `{label}` is not supported: compute a column first. "
        f"Supported functions are {known}."
    )


def used_levels(value: Vector) -> Vector:
    """Drop unused levels, as `model.frame(drop.unused.levels = TRUE)` does."""
    if value.kind != "factor":
        return value
    known = used(value)
    if known.all():
        return value
    return with_levels(value, [x for x, there in zip(value.levels, known, strict=True) if there])


def is_missing(value: Vector) -> NDArray[np.bool_]:
    """Return which rows have a missing value, (n,)."""
    if value.is_text:
        return np.asarray(value.data < 0)
    gaps = np.isnan(value.data)
    return np.asarray(gaps if gaps.ndim == 1 else gaps.any(axis=1))


def count_missing(gaps: NDArray[np.bool_]) -> str:
    """Return for example `2 missing values`."""
    count = int(gaps.sum())
    return f"{count} missing value{'s' if count > 1 else ''}"


def check_finite(label: str, value: Vector) -> None:
    """Raise DataError if there are infinite values."""
    if value.is_text or np.isfinite(value.data).all():
        return
    raise DataError(f"`{label}` has infinite values: drop those rows or correct the expression.")
