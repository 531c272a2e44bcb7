"""Results as JSON, in the same form for every command (docs/reference/json.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rparity.compare import COLUMNS, part_of
from rparity.report.results import CommandResults, LeftOut
from rparity.text import COMMANDS

# It changes if a key is renamed or removed, but not if one is added.
SCHEMA_VERSION = 1


def document(results: CommandResults) -> str:
    """Return a JSON object with the keys `made_by, summary, problems, gaps, comparisons`.

    Its schema is docs/reference/results.schema.json. Each comparison, gap and problem has a line of
    its own, so that programs for lines of text work as well.
    """
    head = {
        "schema_version": SCHEMA_VERSION,
        "made_by": {
            "command": f"rparity {results.command}",
            "packages": results.packages,
            "answers": [
                {
                    "case": one.case,
                    "engine": one.engine,
                    "when": one.when,
                    "packages": dict(one.packages),
                }
                for one in results.answers
            ],
        },
        "summary": {
            "comparisons": len(results.comparisons),
            "verdicts": results.verdicts,
            "problems": len(results.problems),
            "gaps": len(results.gaps),
            "failed": results.failed,
        },
    }
    problems = [{"case": p.case, "engine": p.engine, "reason": p.reason} for p in results.problems]
    parts = {
        **{key: _encoded(value) for key, value in head.items()},
        "problems": _listed(map(_encoded, problems)),
        "gaps": _listed(_encoded(_gap(gap)) for gap in results.gaps),
        "comparisons": _listed(_rows(results.comparisons, (*COLUMNS, "cause"))),
    }
    text = "{\n" + ",\n".join(f'"{key}": {value}' for key, value in parts.items()) + "\n}"
    return _visible(text)


def as_json(rows: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> str:
    """Return a list of objects with the keys `columns`, one a line. NaN and infinity are null."""
    return _visible(_listed(_rows(rows, columns)))


def _gap(gap: LeftOut) -> Mapping[str, str | None]:
    table = gap.place if "." in gap.place else None
    part = part_of(gap.place)
    return {
        "case": gap.case,
        "engine": gap.engine,
        "part": part,
        "table": table,
        "reason": gap.reason,
    }


def _rows(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    values = [_plain(frame[name]) for name in columns]
    return [_encoded(dict(zip(columns, row, strict=True))) for row in zip(*values, strict=True)]


_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _listed(rows: Any) -> str:
    lines = ",\n".join(rows)
    return f"[\n{lines}\n]" if lines else "[]"


def _visible(text: str) -> str:
    """Escape control characters, so that the text is safe in a terminal."""
    return COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(values: pd.Series[Any]) -> list[Any]:
    """Return the values as JSON values, floats with all their bits, or null if not finite."""
    if not pd.api.types.is_float_dtype(values.dtype):
        return values.tolist()
    finite = np.isfinite(values.to_numpy())
    return [v if ok else None for v, ok in zip(values.tolist(), finite.tolist(), strict=True)]
