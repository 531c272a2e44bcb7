"""What becomes of one problem: R and the engines answer, and each disagreement gets its cause."""

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
    Verdict,
    compare,
    digits,
)
from rparity.diagnosis.experiments.arithmetic import (
    conditioning,
    last_bits,
    scatter,
    unstable_arithmetic,
)
from rparity.diagnosis.experiments.base import ROOM, VANISHED, Asked, Dispute, Experiment
from rparity.diagnosis.experiments.parameters import BELOW, RISE, Sides, stopped_early
from rparity.engines.native import lmer_tables
from rparity.fuzz.problem import NO_FACTOR, PART, Problem, Told, Witness, same_fit
from rparity.lmm.fit import LmerResults

US, R = "rparity", "lme4"
TIMES = 4  # that R is asked again about data changed in their last bits
FIRST = 2  # of these, where all is plain
# Of a difference that is as small as this beside what it is a difference of, rounding leaves next
# to nothing, and perhaps no positive definite matrix.
NOTHING_LEFT = 1e-13
STEP = 1e-3
NOT_POSITIVE = ("not positive definite", "objective in x0 returns NA")
NOTHING = pd.DataFrame()
EARLY = "stopped early"
SEVERAL = "several minima"
SATURATED = "no unique optimum"


class Outcome(StrEnum):
    """What a design ends in."""

    AGREES = "agrees"
    EXPLAINED = "explained"
    REFUSED = "refused"
    UNEXPLAINED = "unexplained"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Judged:
    """What became of a problem: causes by how often, the fewest digits of each table, and why.

    `open` are the tables in which something has no cause.
    """

    engine: str
    verdict: Outcome
    causes: Mapping[str, int] = field(default_factory=dict)
    digits: Mapping[str, float] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    says: str = ""


def judge(problem: Problem, r: Witness, *, otherwise: bool = True) -> Judged:
    """Hold R's answer against this package's, and find the causes of what differs.

    What may make R's answer another one are its optimizer and rounding. All else that the audit has
    experiments for would be a mistake in one of the two, however well it is described. What has no
    cause is asked `otherwise`: the same model in other units, and in other columns for X.
    """
    try:
        found = _judged(problem, r)
    except np.linalg.LinAlgError as error:
        found = _unexplained("criterion", f"no value in double precision where R stopped: {error}")
    if found.verdict is Outcome.UNEXPLAINED and otherwise and isinstance(problem.mine, LmerResults):
        return _otherwise(problem, problem.mine, r, found.says) or found
    return found


def _judged(problem: Problem, r: Witness) -> Judged:
    if problem.saturated:
        return _explained(SATURATED, "the fixed and the random effects together fit any response")
    told = r.answer(R, problem)
    if told.gap is not None or isinstance(problem.mine, str):
        return _refused(problem, told)
    dispute = dispute_of(problem, R, told)
    sides = Sides.of(dispute, PART)
    if sides is None or sides.rise(sides.mine) < -_rounding(sides):
        return _lower(problem, sides, compared(R, told.tables, problem.tables), r)
    if sides.rise(sides.mine) > RISE:
        dispute = replace(
            dispute, notes=(*dispute.notes, *_not_converged(problem, sides, r)), shared={}
        )
    if (found := at_a_glance(dispute)) is not None:
        return found
    rows = compared(R, told.tables, problem.tables)
    if not fails(rows).any():
        return found_by(US, rows)
    changes = changed(problem, TIMES)
    again = [r.answer(R, each).tables for each in changes[:FIRST]]
    if (found := at_a_glance(dispute, again)) is not None:
        return found
    again += [r.answer(R, each).tables for each in changes[FIRST:]]
    noise = scatter(told.tables, again)
    # What is predicted has a rounding, too.
    for there in (sides.theirs, sides.mine):
        noise = _sum(noise, _own_noise(problem, there))
    noisy = replace(dispute, noise=noise, shared={})
    rows = _explain(rows, noisy, (stopped_early, unstable_arithmetic))
    rows = _explain(rows, dispute, (conditioning,))
    if open_in(rows).any() and nothing_left(sides.fit, _left_where_r_was(sides)):
        rows = _all(rows, NO_FACTOR)
    return found_by(US, rows)


def at_a_glance(dispute: Dispute, again: Sequence[Tables] = ()) -> Judged | None:
    """Judge what is plain: all that R says is what the formulas give where it stopped.

    That is what `stopped_early` would find, value by value. `again` is what R said of data changed
    in their last bits, if it was asked: its own rounding. None where it is less than plain.
    """
    sides = Sides.of(dispute, PART)
    if sides is None or sides.same_place:
        return None
    if sides.rise(sides.mine) > RISE and not any("onverge" in note for note in dispute.notes):
        return None
    fewest: dict[str, float] = {}
    causes = 0
    for name, truth in dispute.truth.items():
        told, predicted = dispute.answer.get(name), sides.from_mine.tables[name]
        others = [tables.get(name, NOTHING) for tables in again]
        if told is None or not all(_alike(told, side) for side in (truth, predicted, *others)):
            return None
        said, there = told.to_numpy(), predicted.to_numpy()
        room = VANISHED.rtol * np.abs(there)
        if name == f"{PART}.ranef":
            room = room + VANISHED.rtol * sides.mine.sigma
        for other in others:
            room = np.fmax(room, ROOM * np.abs(other.to_numpy() - said))
        if not ((np.abs(said - there) <= room) | (np.isnan(said) & np.isnan(there))).all():
            return None
        found = digits(said, truth.to_numpy())
        fewest[name.rpartition(".")[2]] = float(found.min(initial=MAX_DIGITS))
        causes += int((found < ROUNDING_DIGITS).sum())
    return Judged(US, Outcome.EXPLAINED, {EARLY: causes}, fewest)


def _alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.index.equals(other.index) and one.columns.equals(other.columns)


def _rounding(sides: Sides) -> float:
    return BELOW * (1.0 + abs(sides.fit.criterion))


def _lower(problem: Problem, sides: Sides | None, rows: pd.DataFrame, r: Witness) -> Judged:
    """R is below what this package calls the minimum: it has found another one, or this is none."""
    if sides is None:
        return found_by(US, rows)
    if several_minima(problem, sides, r):
        return found_by(US, _all(rows, SEVERAL))
    if nothing_left(sides.fit, _left_where_r_was(sides)):
        return found_by(US, _all(rows, NO_FACTOR))
    found = found_by(US, rows)
    by = f"R's criterion is {-sides.rise(sides.mine):.2g} below rparity's. "
    return replace(found, says=by + found.says)


def _refused(problem: Problem, told: Told) -> Judged:
    """One of the two, or both, have no answer."""
    mine, theirs = problem.mine, told.gap
    if isinstance(mine, str) and theirs is not None:
        return Judged(US, Outcome.REFUSED, says=f"rparity: {mine} R: {theirs}")
    if isinstance(mine, LmerResults) and any(text in str(theirs) for text in NOT_POSITIVE):
        start = mine.at(mine.model.template.diagonal.astype(np.float64))
        left = min(left_by_downdating(start), left_by_downdating(mine))
        if nothing_left(mine, left):
            return _explained(NO_FACTOR, f"{_downdated(left)} {theirs}")
    says = f"rparity: {mine}" if isinstance(mine, str) else f"R alone refuses: {theirs}"
    return _unexplained("refused", says)


def _otherwise(problem: Problem, mine: LmerResults, r: Witness, here: str) -> Judged | None:
    """Ask R for the same fit in other words; where it then agrees, the words were the cause."""
    for cause, other in problem.otherwise():
        if not isinstance(other.mine, LmerResults) or not same_fit(mine, other.mine):
            continue
        if judge(other, r, otherwise=False).verdict in (Outcome.AGREES, Outcome.EXPLAINED):
            return _explained(cause, f"{other.part.formula}, rescaled: R agrees. Here: {here}")
    return None


def left_by_downdating(fit: LmerResults) -> float:
    """How much of X'X R's downdating leaves, the least in any direction.

    R factors X'V⁻¹X as a difference of X'X, which rounds to 1e-16 of its diagonal. The least
    eigenvalue of X'V⁻¹X, with X'X scaled to a diagonal of ones, tells what is left.
    """
    X = fit.model.sqrt_weights[:, None] * fit.model.matrices.X
    size = np.linalg.norm(X, axis=0)
    scaled = fit.cov_params().to_numpy() / fit.sigma**2 * np.outer(size, size)
    return float(1.0 / np.linalg.eigvalsh(scaled)[-1])


def _left_where_r_was(sides: Sides) -> float:
    return min(left_by_downdating(sides.fit), left_by_downdating(sides.mine))


def nothing_left(fit: LmerResults, left: float) -> bool:
    """Whether that is less than what the products of n rows and p columns round by."""
    return left < max(NOTHING_LEFT, fit.nobs * fit.model.p * float(np.finfo(float).eps))


def _downdated(left: float) -> str:
    return f"R factors X'V⁻¹X as a difference of which {left:.0e} is left beside X'X:"


def _unexplained(what: str, says: str) -> Judged:
    return Judged(US, Outcome.UNEXPLAINED, open=(what,), says=says)


def _explained(cause: str, says: str) -> Judged:
    return Judged(US, Outcome.EXPLAINED, {cause: 1}, says=says)


def dispute_of(problem: Problem, engine: str, told: Told) -> Dispute:
    """Return the dispute between an engine and this package, whose fit is the referee."""
    complete = problem.complete
    fits = {problem.part.key: problem.mine} if isinstance(problem.mine, LmerResults) else {}
    asked = Asked(complete.case, complete.case.parts, complete.data, fits=fits)
    return Dispute(asked, engine, US, told.tables, problem.tables, tuple(told.notes))


def compared(engine: str, answer: Tables, truth: Tables) -> pd.DataFrame:
    """Compare a subject with this package, whose values are the reference's."""
    reference = Reference(US, truth, of_models)
    return compare("fuzz", engine, answer, reference, list(truth)).assign(cause="")


def fails(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which comparisons fail."""
    return rows["verdict"].isin([v.value for v in Verdict if v.fails])


def open_in(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which comparisons fail and have no cause."""
    return fails(rows) & (rows["cause"] == "")


def _explain(
    rows: pd.DataFrame, dispute: Dispute, experiments: Sequence[Experiment]
) -> pd.DataFrame:
    """Run experiments until nothing is open."""
    causes = rows["cause"].copy()
    differ = rows[rows["verdict"] == Verdict.UNEXPLAINED]
    for experiment in experiments:
        if not open_in(rows.assign(cause=causes)).any():
            break
        trial = experiment(dispute, PART, differ)
        if trial is not None:
            gone = trial.vanished & (causes[differ.index] == "")
            causes[gone.index[gone]] = trial.cause
    return rows.assign(cause=causes)


def _not_converged(problem: Problem, sides: Sides, r: Witness) -> tuple[str, ...]:
    """Ask R itself whether this package's parameters are better than those where it stopped."""
    theta = np.stack([sides.mine.theta_hat, sides.fit.theta_hat], axis=1)
    there, here = r.criterion(problem, theta)
    if not there - here > RISE:
        return ()
    return (f"R did not converge: its own criterion is {there - here:.2g} lower at the optimum",)


def several_minima(problem: Problem, sides: Sides, r: Witness) -> bool:
    """Whether R found another, lower minimum, and says itself that this package's is one, too.

    R's own criterion grows from this package's θ in both directions of each parameter, by steps of
    1e-3 and less, and this package's solver, started where R stopped, goes at least as low as R.
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


def _all(rows: pd.DataFrame, cause: str) -> pd.DataFrame:
    """Give all that is open one cause."""
    return rows.assign(cause=rows["cause"].mask(open_in(rows), cause))


def changed(problem: Problem, times: int) -> list[Problem]:
    """Return the problem so often with the last bits of its data changed."""
    rng = np.random.default_rng(1)
    return [replace(problem, data=last_bits(problem.data, rng)) for _ in range(times)]


def _own_noise(problem: Problem, there: LmerResults) -> Tables:
    """How far this package's values at some θ and σ move with the last bits of the data."""

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


def found_by(engine: str, rows: pd.DataFrame) -> Judged:
    """Sum up what was found."""
    kinds = rows["table"].str.rpartition(".")[2]
    failing, open_ = fails(rows), open_in(rows)
    verdict = (
        Outcome.UNEXPLAINED
        if open_.any()
        else Outcome.EXPLAINED
        if failing.any()
        else Outcome.AGREES
    )
    worst = rows[open_].sort_values("digits").head(1)
    says = "".join(
        f"{row.table} {row.row} {row.column}: {US} {row.reference_value:.17g}, "
        f"{row.engine} {row.value:.17g}"
        for row in worst.itertuples()
    )
    return Judged(
        engine,
        verdict,
        dict(Counter(cause for cause in rows.loc[failing, "cause"] if cause)),
        {str(kind): float(d) for kind, d in rows["digits"].groupby(kinds).min().items()},
        tuple(kinds[open_].unique()),
        says,
    )
