"""What the audit asks of every engine: each model of a case once, on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.cases.base import LM_TABLES, LMER_TABLES, Boot, Call, Case, Data, Lm, Lmer, Part
from harness.engines.base import Question

# Digits that all responses share, from which on the models are also asked of the response less
# its first value: a difference without rounding, which shows what the leading digits cost.
LEADING_DIGITS = 5.0
CENTRED = "_centred"


def audited(case: Case, data: pd.DataFrame, versions: Mapping[str, str]) -> Question:
    """Return the question that the audit asks: the case's distinct models, on its data.

    R's fits that differ in their optimizers are one model, under the name of the first. Where the
    responses share many leading digits, every model is asked again, under its name and
    `_centred`, with the response less its first value. Bootstraps and functions stay as they are.
    """
    parts: list[Part] = []
    known: dict[tuple[object, ...], str] = {}
    names: dict[str, str] = {}
    models: list[Lmer | Lm] = []
    for part in case.parts:
        match part:
            case Data():
                parts.append(replace(part, make=None))
            case Lmer() | Lm():
                if part.key not in known:
                    known[part.key] = part.name
                    tables = LMER_TABLES if isinstance(part, Lmer) else LM_TABLES
                    kinds = tuple(kind for kind in part.kinds if kind in tables)
                    models.append(replace(part, kinds=kinds))
                names[part.name] = known[part.key]
            case Boot():
                parts.append(replace(part, of=names[part.of]))
            case Call():
                parts.append(part)
    data, centred = _with_centred(models, data)
    parts[1:1] = [*models, *centred]
    plain = replace(
        case,
        parts=tuple(parts),
        rules=(),
        published=None,
        claims=(),
        arguments=Case.arguments,
    )
    return Question(plain, case.nsim, versions, data)


def original(case: Case) -> dict[str, str]:
    """Return the name in the audit of each model of a case, by its name in the case."""
    first: dict[tuple[object, ...], str] = {}
    models = [part for part in case.parts if isinstance(part, Lmer | Lm)]
    return {part.name: first.setdefault(part.key, part.name) for part in models}


def _with_centred(
    models: list[Lmer | Lm], data: pd.DataFrame
) -> tuple[pd.DataFrame, list[Lmer | Lm]]:
    """Return the data with centred responses, and the models of these."""
    found: list[Lmer | Lm] = []
    for part in models:
        response, _, predictors = part.formula.partition("~")
        name = response.strip()
        if leading_digits(data[name]) < LEADING_DIGITS:
            continue
        shifted = f"{name}{CENTRED}"
        data = data.assign(**{shifted: data[name] - data[name].iloc[0]})
        formula = f"{shifted} ~{predictors}"
        found.append(replace(part, name=f"{part.name}{CENTRED}", formula=formula))
    return data, found


def leading_digits(values: pd.Series[float]) -> float:
    """Count the decimal digits that all values share: log10 of their size over their spread."""
    y = values.to_numpy(dtype=np.float64)
    spread = float(np.ptp(y))
    return float(np.log10(np.abs(y).max() / spread)) if spread > 0.0 else np.inf
