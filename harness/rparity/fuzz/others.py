"""Compare another engine, one of R's or Python's, with this package on one random problem."""

from __future__ import annotations

from dataclasses import replace

from rparity.audit.inference import derived
from rparity.audit.workers import ENGINE, START
from rparity.diagnosis.experiments.arithmetic import scatter
from rparity.diagnosis.explain import explain, name_causes
from rparity.engines.base import R_ENGINES, Answer, Question
from rparity.engines.r_models import RNlme
from rparity.fuzz.judge import (
    TIMES,
    FuzzResult,
    FuzzVerdict,
    changed,
    compared,
    dispute_of,
    open_in,
    summarise,
)
from rparity.fuzz.problem import PART, Problem, RProtocol, refusal, refused
from rparity.lmm.fit import LmerResults
from rparity.workers.child import Child, ChildError

# The processes of engines, which stay up from one design to the next.
SERVICES: dict[str, Child] = {}


def judge_other(problem: Problem, name: str, r: RProtocol, limit: float) -> FuzzResult:
    """Compare an engine's answer with this package's, which was compared with R's.

    An engine that cannot fit the problem refuses it: that is no disagreement.
    """
    if not isinstance(problem.mine, LmerResults) or problem.saturated:
        return FuzzResult(name, FuzzVerdict.REFUSED, says="there is nothing to compare with")
    complete = problem.complete
    try:
        answer = _ask(name, complete, r, limit)
    except ChildError as error:
        return FuzzResult(name, FuzzVerdict.CRASHED, says=str(error))
    if (why := refusal(answer)) is not None:
        return FuzzResult(name, FuzzVerdict.REFUSED, says=why)
    rows = compared(name, answer.tables, {t: problem.tables[t] for t in answer.tables})
    rows = answer.without_gaps(rows)
    dispute = dispute_of(problem, name, answer)
    explained, findings = explain(dispute, rows)
    if open_in(explained).any():
        others = [_ask(name, each, r, limit).tables for each in changed(complete, TIMES)]
        dispute = replace(dispute, noise=scatter(answer.tables, others), shared={})
        explained, findings = explain(dispute, rows)
    name_causes(explained, derived(dispute.context, findings, explained))
    return summarise(name, explained)


def _ask(name: str, problem: Problem, r: RProtocol, limit: float) -> Answer:
    if name in R_ENGINES:
        lacks = RNlme.lacks if name == RNlme.name else {}
        gaps = {f"{PART}.{place}": why for place, why in lacks.items()}
        answer = r.answer(name, problem)
        return replace(answer, gaps=gaps) if answer.tables else answer
    if name not in SERVICES:
        SERVICES[name] = Child(ENGINE, name, limit=START)
    try:
        answer, why = SERVICES[name].ask(Question(problem.case, 2, {}, problem.data), limit)
    except ChildError:
        SERVICES.pop(name).stop()  # the other engines' processes go on
        raise
    found: Answer = refused(str(why)) if answer is None else answer
    return found
