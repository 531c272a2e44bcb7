"""How numbers, digits and verdicts are written, in the terminal and on the audit's page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rparity.compare import ALL, MAX_DIGITS, SEVERITY, Verdict

# What each verdict means, in words for a legend.
MEANINGS = {
    Verdict.IDENTICAL: "the same bits",
    Verdict.ROUNDING: "at least 12 digits agree",
    Verdict.WITHIN: "within the tolerance of the case",
    Verdict.KNOWN: "an experiment shows the cause, and the ledger knows it",
    Verdict.NEW: "an experiment shows a cause that the ledger does not know",
    Verdict.UNEXPLAINED: "no experiment shows a cause",
    Verdict.MISSING: "one side lacks the value",
    Verdict.STALE: "an entry of the ledger that no longer occurs",
}


def number(value: float) -> str:
    """Write ten significant digits."""
    return "NA" if np.isnan(value) else f"{value:.10g}"


def exactly(value: float) -> str:
    """Write sixteen significant digits, about as many as a double has."""
    return "NA" if np.isnan(value) else f"{value:.16g}"


def parted(value: float, digits: float) -> tuple[str, str]:
    """Split the text of a value after the significant digits that agree with the reference."""
    text = exactly(value)
    if digits >= MAX_DIGITS:
        return text, ""
    left, begun = int(digits), False
    for i, char in enumerate(text):
        begun |= char in "123456789"
        if begun and char.isdigit():
            left -= 1
        if left < 0 or char == "e":
            return text[:i], text[i:]
    return (text, "") if begun else ("", text)


def everything(name: str, what: str = "") -> str:
    """Return the name of a row or column, or `all` for a comparison of all rows or columns."""
    return f"all {what}".strip() if name == ALL else name


def fewest(comparisons: pd.DataFrame) -> float:
    """Return the fewest digits of some comparisons."""
    return float(comparisons["digits"].min()) + 0.0  # not −0


def counted(comparisons: pd.DataFrame) -> dict[Verdict, int]:
    """Count the verdicts that occur in some comparisons, from best to worst."""
    counts = comparisons["verdict"].value_counts().to_dict()
    return {v: counts[v] for v in SEVERITY if v in counts}


def conclusion(comparisons: pd.DataFrame) -> str:
    """Return in a few words whether some comparisons fail."""
    if comparisons.empty:
        return "nothing was compared"
    failed = len(failing(comparisons))
    if not failed:
        return "nothing fails"
    return "1 value fails" if failed == 1 else f"{failed:,} values fail"


def failing(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons whose verdict fails."""
    return comparisons[comparisons["verdict"].isin([v for v in Verdict if v.fails])]


def severity(comparisons: pd.DataFrame) -> pd.Series[int]:
    """Return the rank of each comparison's verdict. The lowest rank is the worst verdict."""
    return comparisons["verdict"].map(lambda verdict: -SEVERITY.index(Verdict(verdict)))
