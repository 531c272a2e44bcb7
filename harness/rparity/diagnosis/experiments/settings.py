"""The experiment of the atlas: change the setting that its pair names."""

from __future__ import annotations

import pandas as pd

from rparity.cases.base import AtlasPair
from rparity.compare import Reference
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import Dispute, Trial, compared
from rparity.engines.base import Question
from rparity.engines.python_calls import evaluated


def other_setting(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Run Python's call with R's setting, or compare it with R's call at Python's setting.

    The difference is gone if the values then agree within the pair's own tolerance.
    """
    pair, case = dispute.context.parts.get(part), dispute.context.case
    value = f"{part}.value"
    # The ledger refuses an unknown cause by a sentence.
    named = isinstance(pair, AtlasPair) and pair.cause in list(Cause)
    if not isinstance(pair, AtlasPair) or not named or value not in set(rows["table"]):
        return None
    if pair.setting is not None:
        # The reference stays; what is compared with it has changed.
        try:
            table, _ = evaluated(pair, pair.setting, Question(case, case.nsim))
        except Exception:  # a setting that fails shows nothing; its engine reports the error
            return None
        subject, expected = {value: table}, dispute.reference_tables[value]
        says = f"`{pair.setting}` gives R's value"
    else:
        subject = {value: dispute.answer[value]}
        expected = dispute.context.recorded[f"{part}.setting"]
        says = f"R's `{pair.r_setting}` gives the same value"
    reference = Reference(
        "prediction",
        {value: expected},
        lambda table, column: case.tolerance(dispute.engine, table, column),
        partial=True,
    )
    return compared("another setting", Cause(pair.cause), says, rows, subject, reference)
