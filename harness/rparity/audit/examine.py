"""Examine one case: compare the engines' replies with the references, and find the causes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.audit.audit_case import RECORDED, AuditCase, References, of_part
from rparity.audit.inference import cancelled, derived, settled
from rparity.audit.questions import CENTRED, unadorned
from rparity.audit.results import EngineReply
from rparity.cases.base import TEST_TABLES, Boot, Call, Lmer, Part
from rparity.compare import (
    COLUMNS,
    Reference,
    Tables,
    Tolerance,
    Verdict,
    compare,
    kind_of,
    parts_of,
)
from rparity.diagnosis.experiments.arithmetic import grouping_columns, last_bits, scatter
from rparity.diagnosis.experiments.base import PUBLISHED, Dispute
from rparity.diagnosis.experiments.parameters import parameters
from rparity.diagnosis.experiments.scaling import in_other_units, in_the_questions_units
from rparity.diagnosis.explain import Finding, explain, name_causes
from rparity.engines.base import KEPT_ENGINES, Answer, Question, engine

TIMES = 6  # so often an engine is asked again, about data whose last bits are changed
TIGHT = "-tight"  # the same engine with tight settings
BAR = Tolerance(1e-12, "rounding")
# For values that may be near zero, the tolerance is relative to the column's spread as well.
NEAR_ZERO = Tolerance(1e-12, "rounding, beside the column's spread", spread=1e-12)
SPREAD = ("vcov", "vcov_kr", "ranef", "residual_quantiles", "confint_wald")


@dataclass(frozen=True)
class Further:
    """An engine's further answers: to data with other last bits, and with other units."""

    others: Sequence[Tables] = ()
    rescaled: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """What was found about a case: comparisons and findings by engine, and where engines stopped.

    `stops` has the columns case, model, engine, distance and rise: the distance of an engine's θ
    from the optimum, relative to its length, and the criterion's height above its minimum there.
    """

    comparisons: Mapping[str, pd.DataFrame]
    findings: Mapping[str, Sequence[Finding]]
    stops: pd.DataFrame


class Examination:
    """The examination of one case: first of the replies, then of further answers.

    `replies` are those of the engines and the references. `thorough` runs all experiments on every
    difference, even after one of them has named the cause.
    """

    def __init__(
        self,
        audited: AuditCase,
        engines: Sequence[str],
        replies: Mapping[str, EngineReply],
        *,
        thorough: bool = False,
    ) -> None:
        self.audited, self.replies, self.thorough = audited, replies, thorough
        self.references = audited.references(replies)
        self._units: dict[str, NDArray[np.float64]] = {}
        self.comparisons: dict[str, pd.DataFrame] = {}
        self.findings: dict[str, list[Finding]] = {}
        for name in engines:
            if replies[name].answer is not None:
                self._examine(name, Further())

    def questions(self) -> tuple[list[str], list[Question]]:
        """Return which of Python's engines to ask again, and the questions.

        Engines whose differences still lack a cause are asked about the same models again, with the
        last bits of the data changed, and with the predictors in other units.
        """
        asking = [
            name
            for name, rows in self.comparisons.items()
            if name not in (*KEPT_ENGINES, PUBLISHED) and _is_open(rows)
        ]
        data = self.audited.question.data
        if data is None or not asking:
            return [], []
        models = [p for p in self.audited.question.case.parts if not isinstance(p, Boot | Call)]
        question = replace(self.audited.question, case=unadorned(self.audited.case, models))
        rng = np.random.default_rng(1)
        keep = grouping_columns(models)
        questions = [replace(question, data=last_bits(data, rng, keep)) for _ in range(TIMES)]
        if rescaled := in_other_units(question):
            self._units = rescaled[1]
            questions.append(rescaled[0])
        return asking, questions

    def finish(self, answers: Mapping[str, Sequence[Answer | None]]) -> Examined:
        """Examine the engines that were asked again, and return what was found about all."""
        for name, further in answers.items():
            others: list[Tables] = [{} if each is None else each.tables for each in further]
            units = self._units
            rescaled = in_the_questions_units(others.pop(), units) if units else {}
            self._examine(name, Further(others, rescaled))
        for name, rows in self.comparisons.items():
            tight = self.comparisons.get(f"{name}{TIGHT}")
            if tight is not None:
                self.findings[name] = settled(rows, self.findings[name], tight)
                name_causes(rows, self.findings[name])
        return Examined(self.comparisons, self.findings, self._stops())

    def _examine(self, name: str, again: Further) -> None:
        """Compare an engine with the references, and find the causes of differences."""
        answer = self.replies[name].answer
        assert answer is not None
        references = {who: reply.answer for who, reply in self.replies.items() if reply.answer}
        rows = _compared(self.audited, name, answer, self.references, references).assign(cause="")
        findings: list[Finding] = []
        self.comparisons[name], self.findings[name] = rows, findings
        if rows.empty:
            return
        for reference in rows["reference"].unique():
            expected = self._tables(str(reference))
            dispute = Dispute(
                self.audited.context,
                name,
                reference,
                answer.tables,
                expected,
                answer.notes,
                scatter(answer.tables, again.others),
                again.rescaled,
                (self.audited.lme4(name), self.audited.lme4(str(reference))),
            )
            mine = rows[rows["reference"] == reference]
            findings += explain(dispute, mine, thorough=self.thorough)[1]
        name_causes(rows, findings)
        for infer in (cancelled, derived):
            findings = infer(self.audited.context, findings, rows)
            name_causes(rows, findings)
        asked_for = ~parts_of(rows["table"]).str.endswith(CENTRED)
        self.comparisons[name], self.findings[name] = rows[asked_for].copy(), findings

    def _tables(self, reference: str) -> Tables:
        """Return the tables of a reference, and R's fits beside R's tests of them."""
        found = {t: frame for t, (who, frame) in self.references.items() if who == reference}
        if reference == RECORDED:
            for part in self.audited.question.case.parts:
                if isinstance(part, Lmer) and set(part.kinds) & set(TEST_TABLES):
                    found = {**self.audited.recorded(part), **found}
        return found

    def _stops(self) -> pd.DataFrame:
        """Return how far from the optimum, and how far above it, every engine stopped."""
        found = []
        context = self.audited.context
        for part in self.audited.question.case.parts:
            if not isinstance(part, Lmer) or part.name.endswith(CENTRED):
                continue
            fit = context.lmer(part)
            size = float(np.linalg.norm(fit.theta_hat))
            for name in self.comparisons:
                answer = self.replies[name].answer
                assert answer is not None
                place = parameters(fit, part.name, answer.tables)
                if place is None or size == 0.0:
                    continue
                distance = float(np.linalg.norm(place[0] - fit.theta_hat)) / size
                rise = context.at(part, *place).criterion - fit.criterion
                found.append((self.audited.case.name, part.name, name, distance, rise))
        return pd.DataFrame(found, columns=["case", "model", "engine", "distance", "rise"])


def _is_open(rows: pd.DataFrame) -> bool:
    return bool(((rows["verdict"] == Verdict.UNEXPLAINED) & (rows["cause"] == "")).any())


def _compared(
    audited: AuditCase,
    name: str,
    answer: Answer,
    references: References,
    answers: Mapping[str, Answer],
) -> pd.DataFrame:
    """Compare an engine's tables with the references.

    What an engine or a reference leaves out, with a reason, is not missing. `answers` has the
    references' reasons.
    """
    frames: list[pd.DataFrame] = []
    for part in audited.question.case.parts:
        known = {t: references[t] for t in _expected(name, part, answer) if t in references}
        for who in sorted({who for who, _ in known.values()} - {name}):
            tables = {table: frame for table, (w, frame) in known.items() if w == who}
            subject = answer.tables
            if name == PUBLISHED:
                subject = {t: f for t, f in subject.items() if t in tables}
                tables = {t: _printed_part(f, tables[t]) for t, f in subject.items()}
            reference = Reference(who, tables, _tolerance(audited, name, who))
            found = compare(audited.case.name, name, subject, reference, list(tables))
            if name == PUBLISHED:  # without the cells that a page leaves empty
                found = found[found["value"].notna() | (found["verdict"] == Verdict.MISSING)]
            for each in filter(None, (answer, answers.get(who))):
                found = each.without_gaps(found)
            frames.append(found)
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _expected(name: str, part: Part, answer: Answer) -> tuple[str, ...]:
    if name == PUBLISHED:
        return tuple(of_part(answer.tables, part.name))
    return _engine(name).expected(part)


_engine = cache(engine)


def _printed_part(printed: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Return the rows and columns of the reference that were printed."""
    return reference.reindex(index=printed.index, columns=printed.columns)


def _tolerance(audited: AuditCase, name: str, reference: str) -> Callable[[str, str], Tolerance]:
    """Return the tolerance: the case's own against R's recording, else rounding."""
    case = audited.case
    if reference != RECORDED:
        return of_models
    if name == PUBLISHED and case.published is not None:
        return case.published.reference().tolerance
    return lambda table, column: case.tolerance(name, audited.recorded_name(table), column)


def of_models(table: str, _column: str) -> Tolerance:
    """Return the tolerance of a model's table, which is rounding."""
    return NEAR_ZERO if kind_of(table) in SPREAD else BAR
