"""What becomes of a problem that another engine answers: R's others, or one of Python's."""

from __future__ import annotations

from dataclasses import replace

from rparity.audit.workers import ENGINE, START
from rparity.diagnosis.diagnose import diagnose
from rparity.diagnosis.experiments.arithmetic import scatter
from rparity.engines.base import R_ENGINES, Answer, Question
from rparity.engines.r_models import Nlme
from rparity.fuzz.judge import (
    TIMES,
    Judged,
    Outcome,
    changed,
    compared,
    dispute_of,
    found_by,
    open_in,
)
from rparity.fuzz.problem import PART, Problem, Told, Witness
from rparity.lmm.fit import LmerResults
from rparity.workers.child import Child, ChildError

RATIO = "statistic"
# The processes of engines, which stay up from one design to the next.
SERVICES: dict[str, Child] = {}


def judge_other(problem: Problem, name: str, r: Witness, limit: float) -> Judged:
    """Hold an engine's answer against this package's, which was held against R's.

    Where it has no answer it says why: a gap is a refusal, not a disagreement.
    """
    if not isinstance(problem.mine, LmerResults) or problem.saturated:
        return Judged(name, Outcome.REFUSED, says="there is nothing to compare with")
    complete = problem.complete
    try:
        told = _ask(name, complete, r, limit)
    except ChildError as error:
        return Judged(name, Outcome.CRASHED, says=str(error))
    if not told.tables:
        return Judged(name, Outcome.REFUSED, says=str(told.gap))
    undertaken = tuple(told.tables)
    rows = compared(name, told.tables, {t: problem.tables[t] for t in undertaken})
    rows = Answer(told.tables, told.gaps).without_gaps(rows)
    for again in (False, True):
        if not open_in(rows).any():
            break
        dispute = dispute_of(problem, name, told)
        if again:
            others = [_ask(name, each, r, limit).tables for each in changed(complete, TIMES)]
            noise = scatter(told.tables, others)
            dispute = replace(dispute, noise=noise, shared={})
        for finding in diagnose(dispute, rows):
            rows.loc[finding.rows, "cause"] = finding.cause
    # A ratio is as good as what it is made of.
    open_ = open_in(rows)
    parts = rows[(rows["table"] == f"{PART}.coef") & (rows["column"] != RATIO)]
    causes = parts[parts["cause"] != ""].groupby("row")["cause"].first()
    ratios = open_ & (rows["column"] == RATIO) & ~rows["row"].isin(parts["row"][open_in(parts)])
    rows.loc[ratios, "cause"] = rows.loc[ratios, "row"].map(causes).fillna("")
    return found_by(name, rows)


def _ask(name: str, problem: Problem, r: Witness, limit: float) -> Told:
    if name in R_ENGINES:
        lacks = Nlme.lacks if name == Nlme.name else {}
        gaps = {f"{PART}.{place}": why for place, why in lacks.items()}
        return replace(r.answer(name, problem), gaps=gaps)
    if name not in SERVICES:
        SERVICES[name] = Child(ENGINE, name, limit=START)
    try:
        answer, wrong = SERVICES[name].ask(Question(problem.case, 2, {}, problem.data), limit)
    except ChildError:
        SERVICES.pop(name).stop()  # this engine's alone: the others go on
        raise
    if answer is None:
        return Told({}, wrong)
    return Told(answer.tables, "; ".join(answer.gaps.values()), answer.notes, gaps=answer.gaps)
