"""Checks of arguments that several functions take."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.solver.model import MixedModel


def numbers(values: ArrayLike, n: int, what: str) -> NDArray[np.float64]:
    """Return n finite numbers as an array, (n,); raises UsageError if they are anything else."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (n,) or not np.isfinite(found).all():
        raise UsageError(
            f"{what} must be {n} finite number{'s' if n > 1 else ''} in one dimension."
        )
    return found


def count(value: object, what: str) -> int:
    """Return a whole number of at least 1; raises UsageError if it is anything else."""
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = 0
    if found < 1:
        raise UsageError(f"{what} must be a whole number of at least 1, and is {value!r}.")
    return found


def require_flag(value: object, what: str) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{what} must be True or False, and is {value!r}.")


def require_alpha(alpha: object) -> None:
    """Refuse what is not a number between 0 and 1."""
    if not isinstance(alpha, int | float | np.number) or not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha must be between 0 and 1, and is {alpha!r}.")


def require_mixed(fit: object, function: str) -> None:
    """Refuse what `lmer` did not return."""
    if not isinstance(getattr(fit, "model", None), MixedModel):
        raise UsageError(f"{function}() takes a fit of lmer(), and got a {type(fit).__name__}.")
