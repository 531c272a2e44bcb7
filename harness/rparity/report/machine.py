"""Comparisons as JSON, in the same form for every command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rparity.compare import COLUMNS
from rparity.text import COMMANDS


def as_json(
    comparisons: pd.DataFrame,
    columns: Sequence[str] = COLUMNS,
    problems: Sequence[Mapping[str, str]] = (),
) -> str:
    """Return a list of objects with the keys `columns`, one a line. NaN and infinity become null.

    `problems` follow the comparisons as objects with the same keys. A missing key becomes null.
    """
    values = [_plain(comparisons[name]) for name in columns]
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    rows = [encode(dict(zip(columns, row, strict=True))) for row in zip(*values, strict=True)]
    rows += [encode({name: problem.get(name) for name in columns}) for problem in problems]
    text = "[\n" + ",\n".join(rows) + "\n]"
    return COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(values: pd.Series[Any]) -> list[Any]:
    """Return the values as JSON values, floats with all their bits, or null if not finite."""
    if not pd.api.types.is_float_dtype(values.dtype):
        return values.tolist()
    finite = np.isfinite(values.to_numpy())
    return [v if ok else None for v, ok in zip(values.tolist(), finite.tolist(), strict=True)]
