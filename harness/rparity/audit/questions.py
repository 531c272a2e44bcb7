"""What the audit asks every engine: each model of a case once, on the same data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from rparity.cases.base import (
    LM_TABLES,
    LMER_TABLES,
    TEST_TABLES,
    Boot,
    Call,
    Case,
    Data,
    Lm,
    Lmer,
    Part,
    first_names,
)
from rparity.engines.base import Question
from rparity.errors import UsageError
from rparity.lmm.matrices.model_matrices import response
from rparity.tables import decode_factors

# If all responses share this many leading digits, engines are also asked about the response less
# its first value. That difference has no rounding, so it shows what the leading digits cost.
LEADING_DIGITS = 0.5
CENTRED = "_centred"


def audit_question(case: Case, data: pd.DataFrame, versions: Mapping[str, str]) -> Question:
    """Return the question that the audit asks: the case's distinct models, on its data.

    R's fits that differ only in their optimizers are one model, under the name of the first. If the
    responses share many leading digits, every model is also asked with the response less its first
    value, under its name and `_centred`. Bootstraps and functions stay as they are.
    """
    parts: list[Part] = []
    names = first_names(case)
    goes_on = any(isinstance(part, Boot) and part.seed is None for part in case.parts)
    models: list[Lmer | Lm] = []
    for part in case.parts:
        match part:
            case Data():
                # The data are drawn only if a bootstrap continues their random stream.
                parts.append(part if goes_on else replace(part, make=None))
            case Lmer() | Lm():
                if names[part.name] == part.name:
                    mixed = isinstance(part, Lmer)
                    tables = (*LMER_TABLES, *TEST_TABLES) if mixed else LM_TABLES
                    kinds = tuple(kind for kind in part.kinds if kind in tables)
                    models.append(replace(part, kinds=kinds))
            case Boot():
                parts.append(replace(part, of=names[part.of]))
            case Call():
                parts.append(part)
    data, centred = _with_centred(models, data)
    parts[1:1] = [*models, *([Data(), *centred] if centred else [])]
    return Question(unadorned(case, parts), case.nsim, versions, data)


def unadorned(case: Case, parts: Sequence[Part]) -> Case:
    """Return the part of a case that engines need, which can be sent to another process."""
    return replace(
        case,
        parts=tuple(parts),
        rules=(),
        published=None,
        claims=(),
        arguments=Case.arguments,
    )


def question_of(case: Case, fixtures: Path) -> Question:
    """Return what the audit asks about a case, on the data of R's recording of it.

    Raises
    ------
    RecordingError
        If the recording is missing, stale or corrupt.
    UsageError
        For a case without models.
    """
    if not has_data(case):
        raise UsageError(f"The case {case.name!r} has no models: there is nothing to ask engines.")
    recording = case.recording(fixtures)
    data = decode_factors(recording.tables["data"], recording.provenance["levels"])
    return audit_question(case, data, recording.provenance["made_by"]["packages"])


def has_data(case: Case) -> bool:
    """Whether a case has data, and so models."""
    return any(isinstance(part, Data) for part in case.parts)


def _with_centred(
    models: list[Lmer | Lm], data: pd.DataFrame
) -> tuple[pd.DataFrame, list[Lmer | Lm]]:
    """Add centred responses to the data, and return the data and the models of these responses."""
    found: list[Lmer | Lm] = []
    for part in models:
        y = response(part.formula, data)
        if leading_digits(y) < LEADING_DIGITS:
            continue
        shifted = re.sub(r"[^\w.]", ".", str(y.name)) + CENTRED
        data = data.assign(**{shifted: y - y.iloc[0]})
        formula = f"{shifted} ~{part.formula.partition('~')[2]}"
        found.append(replace(part, name=f"{part.name}{CENTRED}", formula=formula))
    return data, found


def leading_digits(values: pd.Series[float]) -> float:
    """Count the leading digits that all values share: log10 of their size over their spread."""
    y = values.to_numpy(dtype=np.float64)
    spread = float(np.ptp(y))
    return float(np.log10(np.abs(y).max() / spread)) if spread > 0.0 else np.inf
