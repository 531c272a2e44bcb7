"""R's model frame: columns of the data, and functions of them, with R's values and types."""

import difflib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_eval, stateful_transform
from numpy.typing import NDArray

from rparity.errors import DataError, FormulaError
from rparity.lmm.formula import expression, number_label

Floats = NDArray[np.float64]
Factor: TypeAlias = "pd.Categorical[Any]"
Values: TypeAlias = "NDArray[Any] | Factor"  # float64 with one or two axes, bool, or R's factor


class Frame:
    """The variables of a formula, each evaluated once on all rows of the data."""

    def __init__(self, data: pd.DataFrame, state: dict[str, dict[str, Any]] | None = None) -> None:
        self.data = data
        # What poly() and scale() computed from the data, by label.
        self.state = {} if state is None else state
        self._columns: dict[str, Values] = {}

    def series(self, name: str, label: str) -> "pd.Series[Any]":
        """Return one column of the data; raises FormulaError if there is none."""
        if name in self.data.columns:
            found = self.data[name]
            if isinstance(found, pd.Series):
                return found
            raise DataError(f"The data have several columns `{name}`: rename all but one.")
        near = difflib.get_close_matches(name, map(str, self.data.columns), n=3)
        hint = f"did you mean {' or '.join(f'`{c}`' for c in near)}?" if near else "check its name."
        where = "" if label.strip("`") == name else f", which `{label}` needs"
        raise FormulaError(f"The data have no column `{name}`{where}: {hint}")

    def column(self, name: str, label: str) -> Values:
        """Return one column with R's type."""
        if name not in self._columns:
            self._columns[name] = _from_pandas(self.series(name, label))
        return self._columns[name]

    def value(self, label: str) -> Values:
        """Evaluate one variable of a formula."""
        e = expression(label)
        if not e.functions and e.code == "c0":
            return self.column(e.columns[0], label)
        if e.code in {"factor ( c0 )", "as_factor ( c0 )"}:
            return self.factor(e.columns[0])
        for function in e.functions:
            if function not in FUNCTIONS:
                raise FormulaError(
                    f"The function `{function}` in `{label}` is not supported: compute a column "
                    f"first. Supported functions are {', '.join(sorted(FUNCTIONS))} and factor(x)."
                )
        columns = [self.column(name, label) for name in e.columns]
        names = {f"c{i}": column for i, column in enumerate(columns)}
        try:
            with np.errstate(all="ignore"):  # as in R, log(-1) is NaN and its row is omitted
                found = stateful_eval(
                    e.code, {**FUNCTIONS, **names}, None, self.state.setdefault(label, {}), None
                )
        except Exception as error:
            reason = str(error).rstrip(".")
            raise FormulaError(f"`{label}` cannot be evaluated: {reason}.") from error
        array = np.asarray(found)
        if array.shape[:1] != (len(self.data),):
            raise FormulaError(
                f"`{label}` does not have one value for each row: compute a column first."
            )
        return array if array.dtype == bool else array.astype(np.float64)

    def numeric(self, label: str, role: str) -> Floats:
        """Return a variable; raises DataError unless it is one number for each row."""
        found = self.value(label)
        if isinstance(found, pd.Categorical) or found.dtype == bool or found.ndim > 1:
            raise DataError(
                f"The {role} `{label}` is not numeric: convert it to one number for each row."
            )
        return found

    def factor(self, name: str) -> Factor:
        """Return R's `factor()` of a column."""
        found = self.column(name, name)
        if isinstance(found, pd.Categorical):
            return found
        if found.dtype == bool:
            return make_factor(found.astype(np.intp), ["FALSE", "TRUE"])
        codes, levels = pd.factorize(self.series(name, name), sort=True)
        return make_factor(codes, [_level(level) for level in levels])


def make_factor(codes: NDArray[np.intp], levels: list[str], ordered: bool = False) -> Factor:
    """Make a factor from levels and codes; the code −1 is a missing value."""
    made: Factor = pd.Categorical.from_codes(codes, pd.Index(levels), ordered=ordered)
    return made


def _from_pandas(series: "pd.Series[Any]") -> Values:
    """Return numbers as float64, logicals as bool, and text as a factor with sorted levels."""
    dtype, array = series.dtype, series.array
    if isinstance(array, pd.Categorical):
        if array.categories.inferred_type == "string":
            return array
        levels = [_level(level) for level in array.categories]
        return make_factor(array.codes.astype(np.intp), levels, bool(array.ordered))
    kind = "" if dtype != np.dtype(object) else pd.api.types.infer_dtype(series, skipna=True)
    if pd.api.types.is_bool_dtype(dtype) or kind == "boolean":
        if not series.isna().any():
            return series.to_numpy(dtype=bool)
        return pd.Categorical(series.map({False: "FALSE", True: "TRUE"}), ["FALSE", "TRUE"])
    numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    if numeric or kind in {"integer", "floating", "mixed-integer-float", "empty"}:
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "string" or pd.api.types.is_string_dtype(dtype):
        found: Factor = pd.Categorical(series.astype(object))
        return found
    raise DataError(
        f"The column `{series.name}` has {kind or dtype} values: convert it to numbers, text or a "
        "category."
    )


def _level(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).upper()
    return number_label(float(value)) if isinstance(value, float | np.floating) else str(value)


def used_levels(value: Values) -> Values:
    """Drop unused levels, as `model.frame(drop.unused.levels = TRUE)` does."""
    if not isinstance(value, pd.Categorical):
        return value
    used = np.bincount(value.codes, minlength=len(value.categories)).all()
    return value if used else value.remove_unused_categories()


def is_missing(value: Values) -> NDArray[np.bool_]:
    """Return which rows have a missing value, (n,)."""
    if isinstance(value, pd.Categorical):
        return value.codes < 0
    return np.asarray(np.isnan(value).reshape(len(value), -1).any(axis=1))


def count_missing(gaps: NDArray[np.bool_]) -> str:
    """Return for example `2 missing values`."""
    count = int(gaps.sum())
    return f"{count} missing value{'s' if count > 1 else ''}"


def check_finite(label: str, value: Values) -> None:
    """Raise DataError if there are infinite values."""
    if isinstance(value, pd.Categorical) or value.dtype == bool or np.isfinite(value).all():
        return
    raise DataError(f"`{label}` has infinite values: drop those rows or correct the expression.")


def _log(x: Floats, base: float | None = None) -> Floats:
    return np.log(x) if base is None else np.log(x) / np.log(base)


@stateful_transform  # type: ignore[untyped-decorator]
def _scale(
    x: Floats, center: bool | float = True, scale: bool | float = True, _state: Any = None
) -> Floats:
    """R's `scale()` of one column; new data are scaled as the first data were."""
    if not _state:
        middle = np.nanmean(x) if center is True else float(center)
        spread = np.sqrt(np.nansum((x - middle) ** 2) / max(1, np.isfinite(x).sum() - 1))
        _state |= {"center": middle, "scale": spread if scale is True else float(scale) or 1.0}
    scaled: Floats = (x - _state["center"]) / _state["scale"]
    return scaled


# Functions that mean the same as in R; all others are refused.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "I": TRANSFORMS["I"],
    "poly": TRANSFORMS["poly"],
    "scale": _scale,
    "log": _log,
    "abs": np.abs,
    "ceiling": np.ceil,
    **{f.__name__: f for f in (np.log2, np.log10, np.log1p, np.exp, np.expm1, np.sqrt, np.floor)},
    **{f.__name__: f for f in (np.sin, np.cos, np.tan)},
}
