"""What the audit asks of every engine: each model of a case once, on the same data."""

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
from rparity.lmm.matrices import response
from rparity.tables import decode_factors

# Digits that all responses share, from which on the models are also asked of the response less
# its first value: a difference without rounding, which shows what the leading digits cost.
LEADING_DIGITS = 0.5
CENTRED = "_centred"


def audited(case: Case, data: pd.DataFrame, versions: Mapping[str, str]) -> Question:
    """Return the question that the audit asks: the case's distinct models, on its data.

    R's fits that differ in their optimizers are one model, under the name of the first. Where the
    responses share many leading digits, every model is asked again, under its name and
    `_centred`, with the response less its first value, which nobody wrote down as a decimal.
    Bootstraps and functions stay as they are.
    """
    parts: list[Part] = []
    names = first_names(case)
    goes_on = any(isinstance(part, Boot) and part.seed is None for part in case.parts)
    models: list[Lmer | Lm] = []
    for part in case.parts:
        match part:
            case Data():
                # Drawn again only where a bootstrap goes on from there.
                parts.append(part if goes_on else replace(part, make=None))
            case Lmer() | Lm():
                if names[part.name] == part.name:
                    tables = LMER_TABLES if isinstance(part, Lmer) else LM_TABLES
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
    """Return what engines need of a case, which can be sent to another process."""
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
        Where the recording is missing, stale or corrupt.
    UsageError
        For a case without data, about which there is nothing to ask.
    """
    if not has_data(case):
        raise UsageError(f"The case {case.name!r} has no models: there is nothing to ask engines.")
    recording = case.recording(fixtures)
    data = decode_factors(recording.tables["data"], recording.provenance["levels"])
    return audited(case, data, recording.provenance["made_by"]["packages"])


def has_data(case: Case) -> bool:
    """Whether a case has data, and so models of them."""
    return any(isinstance(part, Data) for part in case.parts)


def _with_centred(
    models: list[Lmer | Lm], data: pd.DataFrame
) -> tuple[pd.DataFrame, list[Lmer | Lm]]:
    """Return the data with centred responses, and the models of these."""
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
    """Count the decimal digits that all values share: log10 of their size over their spread."""
    y = values.to_numpy(dtype=np.float64)
    spread = float(np.ptp(y))
    return float(np.log10(np.abs(y).max() / spread)) if spread > 0.0 else np.inf
