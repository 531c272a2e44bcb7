"""Causes that follow from other comparisons: of other settings, or of a value's components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rparity.audit.questions import CENTRED, leading_digits
from rparity.cases.base import Boot, Lm, Lmer
from rparity.compare import Verdict, kind_of, part_of, parts_of
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.arithmetic import LAST_PLACES
from rparity.diagnosis.experiments.base import PLACE, ROOM, VANISHED, CaseContext, Trial, places
from rparity.diagnosis.explain import Finding
from rparity.lmm.matrices.model_matrices import response
from rparity.lmm.numbers.distributions import f_tail, t_quantile, t_tail

RATIOS = ("statistic", "p_value")
INTERVAL = ("std_error", "df", "estimate")
# What values of tests are computed from, other than ratios of estimates and standard errors.
OF_F = {"p_value": ("den_df", "f_statistic", "num_df")}
MADE_OF: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "anova_type3": OF_F,
    "anova_type3_kr": OF_F,
    "emmeans": {"conf_low": INTERVAL, "conf_high": INTERVAL},
}
Place = tuple[str, str, str]


def cancelled(
    context: CaseContext, findings: Sequence[Finding], rows: pd.DataFrame
) -> list[Finding]:
    """Explain values that agree, or have a cause, once the engine is given a centred response.

    If all responses share L leading digits, their cross-products leave the criterion accurate to
    10^2L last bits, and its minimum to the square root of that. So much of itself, or of its
    column's spread, a value may be off, and as much as it is off with the response centred, both
    times the safety factor.
    """
    is_centred = parts_of(rows["table"]).str.endswith(CENTRED)
    named = rows["table"].str.replace(f"{CENTRED}.", ".", n=1, regex=False)
    centred = rows.assign(table=named)[is_centred]
    kept = [finding for finding in findings if not finding.part.endswith(CENTRED)]
    if centred.empty or context.data is None:
        return kept
    lost = {}
    for part in dict.fromkeys(parts_of(centred["table"])):
        model = context.parts[part]
        assert isinstance(model, Lm | Lmer)
        digits = leading_digits(response(model.formula, context.data))
        lost[part] = float(np.sqrt(ROOM * 2.0**-53) * 10.0**digits)
    there = _at(centred)
    of = parts_of(rows["table"]).map(lost)
    off = (rows["value"] - rows["reference_value"]).abs()
    index = pd.MultiIndex.from_frame(rows[list(PLACE)])
    gap = (there["value"] - there["reference_value"]).abs().reindex(index).to_numpy()
    columns = rows["reference_value"].groupby([rows["table"], rows["column"]])
    scale = rows["reference_value"].abs() + columns.transform("std").fillna(0.0)
    within = (off <= of * scale + ROOM * np.nan_to_num(gap)) | (of >= 1.0)
    return _elsewhere(
        kept,
        rows,
        centred,
        "the response less its first value",
        Cause.CANCELLATION,
        "given the response less its first value, a difference without rounding, it has the "
        "answer: the leading digits that all responses share cost it the others, no more of them "
        "than cross-products lose",
        within,
    )


def settled(rows: pd.DataFrame, findings: Sequence[Finding], tight: pd.DataFrame) -> list[Finding]:
    """Explain values that agree, or have a cause, when the same engine has tight settings."""
    return _elsewhere(
        findings,
        rows,
        tight,
        "the same engine with tight settings",
        Cause.DEFAULTS,
        "with tight settings the same engine has the answer: what its defaults approximate is off",
    )


def _elsewhere(
    findings: Sequence[Finding],
    rows: pd.DataFrame,
    others: pd.DataFrame,
    experiment: str,
    cause: Cause,
    says: str,
    within: pd.Series[bool] | None = None,
) -> list[Finding]:
    """Explain values that agree, or have a cause, in the comparisons `others` of the same values.

    `within` says which rows differ by no more than this cause allows; None means all.
    """
    if others.empty or all(finding.cause for finding in findings):
        return list(findings)
    at = _at(others)
    out: list[Finding] = []
    for finding in findings:
        if finding.cause:
            out.append(finding)
            continue
        index = pd.MultiIndex.from_frame(rows.loc[finding.rows, list(PLACE)])
        there = at.reindex(index).set_axis(finding.rows)
        agrees = [isinstance(v, str) and not Verdict(v).fails for v in there["verdict"]]
        named = there["cause"].fillna("").astype(str) != ""
        gone = pd.Series(agrees, finding.rows, dtype=bool) | named
        if within is not None:
            gone &= within[finding.rows]
        trial = Trial(experiment, cause, says, there["digits"].fillna(0.0).astype(float), gone)
        out += finding.split(trial)
    return out


def _at(rows: pd.DataFrame) -> pd.DataFrame:
    """Index comparisons by table, row and column."""
    at = rows.set_index(list(PLACE))
    return at[~at.index.duplicated()]


def _sources(context: CaseContext, table: str, row: str, column: str) -> list[Place]:
    """Return the places of the values that a value is computed from."""
    if made_of := MADE_OF.get(kind_of(table), {}).get(column):
        return [(table, row, source) for source in made_of]
    if column in RATIOS:
        return [(table, row, "std_error"), (table, row, "estimate")]
    part = context.parts.get(part_of(table))
    if isinstance(part, Boot) and column == "estimate":
        return [(f"{part.of}.coef", row, "estimate")]
    return []


def _follows(values: Mapping[Place, float], place: Place, sources: Sequence[Place]) -> bool:
    """Whether an engine's value follows from its own other values, as far as these are known."""
    made_of = [values.get(source, np.nan) for source in sources]
    expected = made_of[0]
    if kind_of(place[0]) in MADE_OF and place[2] not in RATIOS[:1]:
        expected = _of_a_test(place[2], made_of)
    elif place[2] in RATIOS:
        expected = made_of[1] / made_of[0]
        if place[2] == "p_value":
            glance = f"{part_of(place[0])}.glance"
            df = values.get((glance, "1", "df_residual"), np.nan)
            expected = 2.0 * float(t_tail(abs(expected), df))
    off = abs(values[place] - expected)
    return not off > VANISHED.rtol * abs(expected) + LAST_PLACES


def _of_a_test(column: str, made_of: Sequence[float]) -> float:
    """Return the p-value of F, or the end of an interval, from what it is made of."""
    if column == "p_value":
        den_df, F, num_df = made_of
        return float(f_tail(F, num_df, den_df))
    error, df, estimate = made_of
    half = float(t_quantile(0.975, df)) * error
    return estimate - half if column == "conf_low" else estimate + half


def derived(context: CaseContext, findings: Sequence[Finding], rows: pd.DataFrame) -> list[Finding]:
    """Give computed values the cause of what they are computed from: t = estimate / std. error.

    The value must follow from the engine's own estimate and standard error.
    """
    values = dict(zip(places(rows), rows["value"], strict=True))
    at = {
        (table, row, column): (Verdict(verdict).fails and not cause, cause)
        for table, row, column, verdict, cause in zip(
            *(rows[name] for name in (*PLACE, "verdict", "cause")), strict=True
        )
    }
    out: list[Finding] = []
    for finding in findings:
        if finding.cause:
            out.append(finding)
            continue
        causes: dict[object, str] = {}
        for place, (table, row, column) in rows.loc[finding.rows, list(PLACE)].iterrows():
            sources = _sources(context, table, row, column)
            made_of = [at.get(source, (True, "")) for source in sources]
            named = next((cause for _, cause in made_of if cause), "")
            if (
                named
                and not any(open_ for open_, _ in made_of)
                and _follows(values, (table, row, column), sources)
            ):
                causes[place] = named
        left = [finding]
        for cause in dict.fromkeys(causes.values()):
            open_ = left.pop()
            trial = Trial(
                "what it is computed from",
                Cause(cause),
                "computed from other values, which differ for this cause",
                rows.loc[open_.rows, "digits"],
                pd.Series([causes.get(place) == cause for place in open_.rows], open_.rows),
            )
            left += open_.split(trial)
        out += left
    return out
