"""Compare this package with R on one random problem, and find the cause of every difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import pandas as pd

from rparity.audit.examine import of_models
from rparity.compare import (
    MAX_DIGITS,
    ROUNDING_DIGITS,
    Reference,
    Tables,
    compare,
    digits,
    failing,
    kind_of,
)
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.arithmetic import (
    conditioning,
    last_bits,
    scatter,
    unstable_arithmetic,
)
from rparity.diagnosis.experiments.base import ROOM, VANISHED, CaseContext, Dispute
from rparity.diagnosis.experiments.parameters import BELOW, RISE, Sides, stopped_early
from rparity.diagnosis.explain import explain
from rparity.engines.base import Answer
from rparity.engines.native import lmer_tables
from rparity.fuzz.problem import PART, Problem, RProtocol, refusal, same_fit
from rparity.lmm.fit import LmerResults

US, R = "rparity", "lme4"
TIMES = 4  # so often R is asked again, about data whose last bits are changed
FIRST = 2  # so often before the quick check is tried again
# If a difference is as small as this beside its operands, rounding leaves almost none of its
# digits, and the matrix may no longer be positive definite.
NOTHING_LEFT = 1e-13
STEP = 1e-3
NOT_POSITIVE = ("not positive definite", "objective in x0 returns NA")
NOTHING = pd.DataFrame()


class FuzzVerdict(StrEnum):
    """The result of a random design."""

    AGREES = "agrees"
    EXPLAINED = "explained"
    REFUSED = "refused"
    UNEXPLAINED = "unexplained"
    CRASHED = "crashed"


@dataclass(frozen=True)
class FuzzResult:
    """What was found about an engine on a problem.

    `causes` counts values by cause. `digits` has the fewest digits of each table. `open` are the
    tables with a difference that has no cause. `says` describes it, or why there is no comparison.
    """

    engine: str
    verdict: FuzzVerdict
    causes: Mapping[str, int] = field(default_factory=dict)
    digits: Mapping[str, float] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    says: str = ""


def judge(problem: Problem, r: RProtocol, *, restate: bool = True) -> FuzzResult:
    """Compare R's answer with this package's, and find the causes of differences.

    Only R's stopping point and rounding may explain a difference. The audit's other experiments
    would describe a mistake in one of the two. With `restate`, a problem with a difference that has
    no cause is stated otherwise: the same model in other units, and with other columns in X.
    """
    try:
        found = _judged(problem, r)
    except np.linalg.LinAlgError as error:
        found = _unexplained("criterion", f"no value in double precision where R stopped: {error}")
    if (
        found.verdict is FuzzVerdict.UNEXPLAINED
        and restate
        and isinstance(problem.mine, LmerResults)
    ):
        return _restated(problem, problem.mine, r, found.says) or found
    return found


def _judged(problem: Problem, r: RProtocol) -> FuzzResult:
    if problem.saturated:
        return _explained(
            Cause.SATURATED, "the fixed and the random effects together fit any response"
        )
    answer = r.answer(R, problem)
    if refusal(answer) is not None or isinstance(problem.mine, str):
        return _refused(problem, answer)
    dispute = dispute_of(problem, R, answer)
    sides = Sides.of(dispute, PART)
    if sides is None or sides.rise(sides.mine) < -_rounding(sides):
        return _lower(problem, sides, compared(R, answer.tables, problem.tables), r)
    if sides.rise(sides.mine) > RISE:
        dispute = replace(
            dispute, notes=(*dispute.notes, *_not_converged(problem, sides, r)), shared={}
        )
    if (found := quick_check(dispute)) is not None:
        return found
    rows = compared(R, answer.tables, problem.tables)
    if not failing(rows).any():
        return summarise(US, rows)
    changes = changed(problem, TIMES)
    again = [r.answer(R, each).tables for each in changes[:FIRST]]
    if (found := quick_check(dispute, again)) is not None:
        return found
    again += [r.answer(R, each).tables for each in changes[FIRST:]]
    noise = scatter(answer.tables, again)
    # The predictions round, too.
    for there in (sides.theirs, sides.mine):
        noise = _sum(noise, _own_noise(problem, there))
    noisy = replace(dispute, noise=noise, shared={})
    rows, _ = explain(noisy, rows, (stopped_early, unstable_arithmetic))
    rows, _ = explain(dispute, rows, (conditioning,))
    if open_in(rows).any() and nothing_left(sides.fit, _left_where_r_was(sides)):
        rows = _all(rows, Cause.NORMAL_EQUATIONS)
    return summarise(US, rows)


def quick_check(dispute: Dispute, again: Sequence[Tables] = ()) -> FuzzResult | None:
    """Check quickly whether all of R's values are what the formulas give where R stopped.

    `stopped_early` would find the same, value by value. `again` are R's answers to data whose last
    bits were changed, if it was asked: they show R's rounding. Returns None if this quick check is
    inconclusive.
    """
    sides = Sides.of(dispute, PART)
    if sides is None or sides.same_place:
        return None
    if sides.rise(sides.mine) > RISE and not any("onverge" in note for note in dispute.notes):
        return None
    fewest: dict[str, float] = {}
    causes = 0
    for name, reference in dispute.reference_tables.items():
        given, predicted = dispute.answer.get(name), sides.from_mine.tables[name]
        others = [tables.get(name, NOTHING) for tables in again]
        if given is None or not all(
            _alike(given, each) for each in (reference, predicted, *others)
        ):
            return None
        value, there = given.to_numpy(), predicted.to_numpy()
        room = VANISHED.rtol * np.abs(there)
        if name == f"{PART}.ranef":
            room = room + VANISHED.rtol * sides.mine.sigma
        for other in others:
            room = np.fmax(room, ROOM * np.abs(other.to_numpy() - value))
        if not ((np.abs(value - there) <= room) | (np.isnan(value) & np.isnan(there))).all():
            return None
        found = digits(value, reference.to_numpy())
        fewest[kind_of(name)] = float(found.min(initial=MAX_DIGITS))
        causes += int((found < ROUNDING_DIGITS).sum())
    return FuzzResult(US, FuzzVerdict.EXPLAINED, {Cause.STOPPED_EARLY: causes}, fewest)


def _alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.index.equals(other.index) and one.columns.equals(other.columns)


def _rounding(sides: Sides) -> float:
    return BELOW * (1.0 + abs(sides.fit.criterion))


def _lower(problem: Problem, sides: Sides | None, rows: pd.DataFrame, r: RProtocol) -> FuzzResult:
    """Judge a problem where R's criterion is below this package's minimum."""
    if sides is None:
        return summarise(US, rows)
    if several_minima(problem, sides, r):
        return summarise(US, _all(rows, Cause.SEVERAL_MINIMA))
    if nothing_left(sides.fit, _left_where_r_was(sides)):
        return summarise(US, _all(rows, Cause.NORMAL_EQUATIONS))
    found = summarise(US, rows)
    by = f"R's criterion is {-sides.rise(sides.mine):.2g} below rparity's. "
    return replace(found, says=by + found.says)


def _refused(problem: Problem, answer: Answer) -> FuzzResult:
    """Judge a problem that R or this package, or both, cannot fit."""
    mine, theirs = problem.mine, refusal(answer)
    if isinstance(mine, str) and theirs is not None:
        return FuzzResult(US, FuzzVerdict.REFUSED, says=f"rparity: {mine} R: {theirs}")
    if isinstance(mine, LmerResults) and any(text in str(theirs) for text in NOT_POSITIVE):
        start = mine.at(mine.model.template.diagonal.astype(np.float64))
        left = min(left_by_downdating(start), left_by_downdating(mine))
        if nothing_left(mine, left):
            return _explained(Cause.NORMAL_EQUATIONS, f"{_downdated(left)} {theirs}")
    says = f"rparity: {mine}" if isinstance(mine, str) else f"R alone refuses: {theirs}"
    return _unexplained("refused", says)


def _restated(problem: Problem, mine: LmerResults, r: RProtocol, here: str) -> FuzzResult | None:
    """Ask R for the same fit, stated otherwise. If it then agrees, the statement was the cause."""
    for cause, other in problem.restated():
        if not isinstance(other.mine, LmerResults) or not same_fit(mine, other.mine):
            continue
        if judge(other, r, restate=False).verdict in (FuzzVerdict.AGREES, FuzzVerdict.EXPLAINED):
            return _explained(cause, f"{other.part.formula}, rescaled: R agrees. Here: {here}")
    return None


def left_by_downdating(fit: LmerResults) -> float:
    """Return the smallest share of X'X that R's downdating leaves in any direction.

    R computes X'V⁻¹X as a difference from X'X, which rounds by 1e-16 of its diagonal. The share is
    the smallest eigenvalue of X'V⁻¹X, with X'X scaled to a diagonal of ones.
    """
    X = fit.model.sqrt_weights[:, None] * fit.model.matrices.X
    size = np.linalg.norm(X, axis=0)
    scaled = fit.cov_params().to_numpy() / fit.sigma**2 * np.outer(size, size)
    return float(1.0 / np.linalg.eigvalsh(scaled)[-1])


def _left_where_r_was(sides: Sides) -> float:
    return min(left_by_downdating(sides.fit), left_by_downdating(sides.mine))


def nothing_left(fit: LmerResults, left: float) -> bool:
    """Whether `left` is less than the rounding of products of n rows and p columns."""
    return left < max(NOTHING_LEFT, fit.nobs * fit.model.p * float(np.finfo(float).eps))


def _downdated(left: float) -> str:
    return f"R factors X'V⁻¹X as a difference of which {left:.0e} is left beside X'X:"


def _unexplained(what: str, says: str) -> FuzzResult:
    return FuzzResult(US, FuzzVerdict.UNEXPLAINED, open=(what,), says=says)


def _explained(cause: Cause, says: str) -> FuzzResult:
    return FuzzResult(US, FuzzVerdict.EXPLAINED, {cause: 1}, says=says)


def dispute_of(problem: Problem, engine: str, answer: Answer) -> Dispute:
    """Return the dispute between an engine and this package, whose fit is the reference."""
    complete = problem.complete
    fits = {problem.part.key: problem.mine} if isinstance(problem.mine, LmerResults) else {}
    context = CaseContext(complete.case, complete.case.parts, complete.data, fits=fits)
    return Dispute(context, engine, US, answer.tables, problem.tables, tuple(answer.notes))


def compared(engine: str, answer: Tables, expected: Tables) -> pd.DataFrame:
    """Compare an engine's tables with this package's."""
    reference = Reference(US, expected, of_models)
    return compare("fuzz", engine, answer, reference, list(expected)).assign(cause="")


def open_in(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return for each comparison whether it fails and has no cause."""
    return failing(rows) & (rows["cause"] == "")


def _not_converged(problem: Problem, sides: Sides, r: RProtocol) -> tuple[str, ...]:
    """Ask R for its own criterion here and where it stopped; return a note if here is lower."""
    theta = np.stack([sides.mine.theta_hat, sides.fit.theta_hat], axis=1)
    there, here = r.criterion(problem, theta)
    if not there - here > RISE:
        return ()
    return (f"R did not converge: its own criterion is {there - here:.2g} lower at the optimum",)


def several_minima(problem: Problem, sides: Sides, r: RProtocol) -> bool:
    """Whether R found another, lower minimum, while this package's θ is a local minimum for R too.

    R's own criterion must grow from this package's θ in both directions of each parameter, by steps
    of at most 1e-3. This package's solver, started where R stopped, must reach R's criterion.
    """
    model, theta = sides.fit.model, sides.fit.theta_hat
    again = LmerResults.fit(
        model, sides.fit.response, reml=sides.fit.reml, start=sides.mine.theta_hat
    )
    if again.criterion > sides.mine.criterion + _rounding(sides):
        return False
    steps = np.diag(STEP * np.maximum(np.abs(theta), STEP))
    around = np.hstack([theta[:, None], theta[:, None] + steps, theta[:, None] - steps])
    diagonal = model.template.diagonal
    around[diagonal] = np.abs(around[diagonal])  # a variance's sign does not count
    here, *others = r.criterion(problem, around)
    return bool((np.array(others) >= here - _rounding(sides)).all())


def _all(rows: pd.DataFrame, cause: Cause) -> pd.DataFrame:
    """Give every difference without a cause this one."""
    return rows.assign(cause=rows["cause"].mask(open_in(rows), str(cause)))


def changed(problem: Problem, times: int) -> list[Problem]:
    """Return `times` copies of the problem, each with other last bits of the data."""
    rng = np.random.default_rng(1)
    return [replace(problem, data=last_bits(problem.data, rng)) for _ in range(times)]


def _own_noise(problem: Problem, there: LmerResults) -> Tables:
    """Return how far this package's values at some θ and σ move with the data's last bits."""

    def at(each: Problem) -> Tables:
        if isinstance(each.mine, str):
            return {}
        tables = lmer_tables(each.mine.at(there.theta_hat, there.sigma), problem.part.kinds)
        return {f"{PART}.{kind}": table for kind, table in tables.items()}

    return scatter(at(problem), [at(each) for each in changed(problem, TIMES)])


def _sum(noise: Tables, more: Tables) -> Tables:
    return {
        name: table.add(more[name], fill_value=0.0) if name in more else table
        for name, table in noise.items()
    }


def summarise(engine: str, rows: pd.DataFrame) -> FuzzResult:
    """Summarise the comparisons of an engine."""
    kinds = rows["table"].map(kind_of)
    failed, open_ = failing(rows), open_in(rows)
    verdict = (
        FuzzVerdict.UNEXPLAINED
        if open_.any()
        else FuzzVerdict.EXPLAINED
        if failed.any()
        else FuzzVerdict.AGREES
    )
    worst = rows[open_].sort_values("digits").head(1)
    says = "".join(
        f"{row.table} {row.row} {row.column}: {US} {row.reference_value:.17g}, "
        f"{row.engine} {row.value:.17g}"
        for row in worst.itertuples()
    )
    return FuzzResult(
        engine,
        verdict,
        dict(Counter(cause for cause in rows.loc[failed, "cause"] if cause)),
        {str(kind): float(d) for kind, d in rows["digits"].groupby(kinds).min().items()},
        tuple(kinds[open_].unique()),
        says,
    )
