"""One case, from the engines' replies to the causes of what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.audit.inference import cancelled, derived, settled
from rparity.audit.matter import Matter, of_part
from rparity.audit.questions import CENTRED, unadorned
from rparity.audit.results import Reply
from rparity.cases.base import Boot, Call, Case, Lmer, Part
from rparity.compare import COLUMNS, Reference, Tables, Tolerance, Verdict, compare
from rparity.diagnosis.diagnose import Finding, diagnose
from rparity.diagnosis.experiments.arithmetic import last_bits, scatter
from rparity.diagnosis.experiments.base import PUBLISHED, Dispute
from rparity.diagnosis.experiments.parameters import parameters
from rparity.diagnosis.experiments.scaling import in_other_units, in_the_questions_units
from rparity.engines.base import KEPT_ENGINES, Answer, Question, engine

TIMES = 6  # that an engine is asked again about data changed in their last bits
TIGHT = "-tight"  # the same engine, with settings that spare it nothing
BAR = Tolerance(1e-12, "rounding")
# What may be near zero is held to the spread of its column as well.
NEAR_ZERO = Tolerance(1e-12, "rounding, beside the column's spread", spread=1e-12)
SPREAD = ("vcov", "ranef", "residual_quantiles", "confint_wald")


@dataclass(frozen=True)
class Again:
    """What came of asking an engine again: its answers to other last bits, and in other units."""

    others: Sequence[Tables] = ()
    rescaled: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """What was found about a case: comparisons and findings by engine, and where engines stopped.

    `stops` has the columns case, model, engine, distance and rise: how far from the optimum an
    engine stopped, relative to θ's length, and how far above the criterion's minimum.
    """

    comparisons: Mapping[str, pd.DataFrame]
    findings: Mapping[str, Sequence[Finding]]
    stops: pd.DataFrame


class Examination:
    """One case under examination: first the replies, then what engines say when asked again.

    `replies` holds the engines' and the referees'; `thorough` runs all the experiments on every
    disagreement, also where one has named the cause already.
    """

    def __init__(
        self,
        matter: Matter,
        engines: Sequence[str],
        replies: Mapping[str, Reply],
        *,
        thorough: bool = False,
    ) -> None:
        self.matter, self.replies, self.thorough = matter, replies, thorough
        self.truth = matter.truth(replies)
        self._units: dict[str, NDArray[np.float64]] = {}
        self.comparisons: dict[str, pd.DataFrame] = {}
        self.findings: dict[str, list[Finding]] = {}
        for name in engines:
            if replies[name].answer is not None:
                self._examine(name, Again())

    def questions(self) -> tuple[list[str], list[Question]]:
        """Return which of Python's engines have to be asked again, and what.

        Where something is still open: the models once more, on data that differ in their last bits,
        and with the predictors in other units.
        """
        asking = [
            name
            for name, rows in self.comparisons.items()
            if name not in (*KEPT_ENGINES, PUBLISHED) and _is_open(rows)
        ]
        data = self.matter.question.data
        if data is None or not asking:
            return [], []
        models = [p for p in self.matter.question.case.parts if not isinstance(p, Boot | Call)]
        question = replace(self.matter.question, case=unadorned(self.matter.case, models))
        rng = np.random.default_rng(1)
        questions = [replace(question, data=last_bits(data, rng)) for _ in range(TIMES)]
        if rescaled := in_other_units(question):
            self._units = rescaled[1]
            questions.append(rescaled[0])
        return asking, questions

    def hear(self, answers: Mapping[str, Sequence[Answer | None]]) -> Examined:
        """Examine again those that were asked again, and return what there is to say."""
        for name, told in answers.items():
            others: list[Tables] = [{} if each is None else each.tables for each in told]
            units = self._units
            rescaled = in_the_questions_units(others.pop(), units) if units else {}
            self._examine(name, Again(others, rescaled))
        for name, rows in self.comparisons.items():
            tight = self.comparisons.get(f"{name}{TIGHT}")
            if tight is not None:
                self.findings[name] = settled(rows, self.findings[name], tight)
                _name_causes(rows, self.findings[name])
        return Examined(self.comparisons, self.findings, self._stops())

    def _examine(self, name: str, again: Again) -> None:
        """Compare an engine with the referees, and find the causes of what differs."""
        answer = self.replies[name].answer
        assert answer is not None
        rows = _compared(self.matter, name, answer, self.truth).assign(cause="")
        findings: list[Finding] = []
        self.comparisons[name], self.findings[name] = rows, findings
        if rows.empty:
            return
        for reference in rows["reference"].unique():
            told = {table: frame for table, (who, frame) in self.truth.items() if who == reference}
            dispute = Dispute(
                self.matter.asked,
                name,
                reference,
                answer.tables,
                told,
                answer.notes,
                scatter(answer.tables, again.others),
                again.rescaled,
                (self.matter.lme4(name), self.matter.lme4(str(reference))),
            )
            mine = rows[rows["reference"] == reference]
            findings += diagnose(dispute, mine, thorough=self.thorough)
        _name_causes(rows, findings)
        findings = cancelled(self.matter.asked, findings, rows)
        _name_causes(rows, findings)
        findings = derived(self.matter.asked, findings, rows)
        _name_causes(rows, findings)
        asked_for = ~rows["table"].str.partition(".")[0].str.endswith(CENTRED)
        self.comparisons[name], self.findings[name] = rows[asked_for].copy(), findings

    def _stops(self) -> pd.DataFrame:
        """Say how far from the optimum, and how far above it, every engine stopped."""
        found = []
        asked = self.matter.asked
        for part in self.matter.question.case.parts:
            if not isinstance(part, Lmer) or part.name.endswith(CENTRED):
                continue
            fit = asked.lmer(part)
            size = float(np.linalg.norm(fit.theta_hat))
            for name in self.comparisons:
                answer = self.replies[name].answer
                assert answer is not None
                place = parameters(fit, part.name, answer.tables)
                if place is None or size == 0.0:
                    continue
                distance = float(np.linalg.norm(place[0] - fit.theta_hat)) / size
                rise = asked.at(part, *place).criterion - fit.criterion
                found.append((self.matter.case.name, part.name, name, distance, rise))
        return pd.DataFrame(found, columns=["case", "model", "engine", "distance", "rise"])


def _is_open(rows: pd.DataFrame) -> bool:
    return bool(((rows["verdict"] == Verdict.UNEXPLAINED) & (rows["cause"] == "")).any())


def _name_causes(rows: pd.DataFrame, findings: Sequence[Finding]) -> None:
    for finding in findings:
        rows.loc[finding.rows, "cause"] = finding.cause


def _compared(
    matter: Matter,
    name: str,
    answer: Answer,
    truth: Mapping[str, tuple[str, pd.DataFrame]],
) -> pd.DataFrame:
    """Compare an engine's tables with the referee's; a gap is not missing."""
    frames: list[pd.DataFrame] = []
    for part in matter.question.case.parts:
        told = {table: truth[table] for table in _undertaken(name, part, answer) if table in truth}
        referees = {who for who, _ in told.values()} - {name}
        for who in sorted(referees):
            tables = {table: frame for table, (w, frame) in told.items() if w == who}
            subject = answer.tables
            if name == PUBLISHED:
                subject = {t: f for t, f in subject.items() if t in tables}
                tables = {t: _printed_part(f, tables[t]) for t, f in subject.items()}
            reference = Reference(who, tables, _tolerance(matter.case, name, part))
            found = compare(matter.case.name, name, subject, reference, list(tables))
            if name == PUBLISHED:  # what a page leaves empty
                found = found[found["value"].notna() | (found["verdict"] == Verdict.MISSING)]
            frames.append(answer.without_gaps(found))
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _undertaken(name: str, part: Part, answer: Answer) -> tuple[str, ...]:
    if name == PUBLISHED:
        return tuple(of_part(answer.tables, part.name))
    return _engine(name).expected(part)


_engine = cache(engine)


def _printed_part(printed: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return those rows and columns of the truth that were printed."""
    return truth.reindex(index=printed.index, columns=printed.columns)


def _tolerance(case: Case, name: str, part: Part) -> Callable[[str, str], Tolerance]:
    """Models are held to rounding, bootstraps and streams to the case's own tolerances."""
    if isinstance(part, Boot | Call):
        if name == PUBLISHED and case.published is not None:
            return case.published.reference().tolerance
        return lambda table, column: case.tolerance(name, table, column)
    return of_models


def of_models(table: str, _column: str) -> Tolerance:
    """Hold a model's table to rounding."""
    return NEAR_ZERO if table.rpartition(".")[2] in SPREAD else BAR
