"""A data set with a mixed model, and the answers of R and of this package."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity import paths
from rparity.cases.base import Case, Data, Lmer
from rparity.compare import Tables
from rparity.diagnosis.causes import Cause
from rparity.engines.base import Answer
from rparity.engines.native import lmer_tables
from rparity.errors import RparityError
from rparity.lmm.fit import LmerResults
from rparity.lmm.language.formula import parse
from rparity.lmm.matrices.model_matrices import build
from rparity.lmm.solver.model import MixedModel
from rparity.r.session import RSession

Array = NDArray[np.float64]

PART = "lmer"
SAME = 1e-6
SCRIPT, LIBRARIES = "fuzz.R", ("tables.R", "models.R", "engines.R")


@dataclass(frozen=True)
class Problem:
    """A mixed model of a data frame, which may have missing values."""

    part: Lmer
    data: pd.DataFrame

    @property
    def weights(self) -> pd.Series[float] | None:
        """Prior weights, if there are any."""
        return None if self.part.weights is None else self.data[self.part.weights]

    @cached_property
    def model(self) -> MixedModel | str:
        """The model as this package reads it, or the error message."""
        try:
            return MixedModel(
                build(
                    self.part.formula,
                    self.data,
                    weights=self.weights,
                    contrasts=self.part.contrasts,
                )
            )
        except RparityError as error:
            return str(error)

    @cached_property
    def saturated(self) -> bool:
        """Whether X and Z together fit any response, so that σ cannot be estimated."""
        model = self.model
        if isinstance(model, str) or model.p + model.q < model.n:
            return False
        columns = [model.matrices.X]
        for term in model.matrices.random:
            member = np.eye(len(term.levels))[term.codes]
            columns += [member * z[:, None] for z in term.Z.T]
        joint = np.hstack(columns)
        joint = joint / np.maximum(np.linalg.norm(joint, axis=0), 1e-300)
        return int(np.linalg.matrix_rank(joint)) == model.n

    @cached_property
    def mine(self) -> LmerResults | str:
        """The fit of this package, or the error message."""
        if isinstance(self.model, str):
            return self.model
        try:
            return LmerResults.fit(self.model, self.model.matrices.y, reml=self.part.reml)
        except RparityError as error:
            return str(error)

    @cached_property
    def tables(self) -> Tables:
        """The tables of this package's fit; empty if there is no fit."""
        if isinstance(self.mine, str):
            return {}
        return {f"{PART}.{k}": t for k, t in lmer_tables(self.mine, self.part.kinds).items()}

    @cached_property
    def complete(self) -> Problem:
        """The same model of the rows without missing values."""
        if isinstance(self.mine, str) or self.mine.nobs == len(self.data):
            return self
        return self.of(self.data.loc[self.mine.model.matrices.rows])

    def restated(self) -> Iterator[tuple[Cause, Problem]]:
        """Yield the same problem stated otherwise: covariates centred, of size 1, X orthonormal.

        Centring changes the model if a random slope has no intercept: `same_fit` finds out.
        """
        yield Cause.SCALE, self._rescaled(centred=True)
        yield Cause.SCALE, self._rescaled(centred=False)
        yield Cause.NORMAL_EQUATIONS, self._orthonormal()

    def _rescaled(self, *, centred: bool) -> Problem:
        formula = parse(self.part.formula)
        others = {formula.response, self.part.weights}
        data = self.complete.data.copy()
        for name in data.columns:
            known = name in others or any(name in offset for offset in formula.offsets)
            if not known and pd.api.types.is_float_dtype(data[name]):
                moved = data[name] - data[name].mean() if centred else data[name]
                size = float(np.sqrt((moved**2).mean()))
                data[name] = moved / (size or 1.0)
        return Problem(self.part, data)

    def _orthonormal(self) -> Problem:
        complete = self.complete
        assert isinstance(complete.model, MixedModel)
        root = complete.model.sqrt_weights[:, None]
        Q = np.sqrt(len(root)) * np.linalg.qr(root * complete.model.matrices.X)[0] / root
        names = [f"q{j}" for j in range(Q.shape[1])]
        formula = parse(self.part.formula)
        offsets = [f"offset({offset})" for offset in formula.offsets]
        bars = [f"({bar.lhs} | {bar.name})" for bar in formula.bars]
        right = " + ".join(["0", *names, *offsets, *bars])
        part = replace(self.part, formula=f"{formula.response} ~ {right}", contrasts={})
        return Problem(part, complete.data.assign(**dict(zip(names, Q.T, strict=True))))

    def of(self, rows: pd.DataFrame) -> Problem:
        """Return the same model of some rows, without unused levels of factors."""
        factors = [name for name in rows if isinstance(rows[name].dtype, pd.CategoricalDtype)]
        data = rows.reset_index(drop=True)
        for name in factors:
            data[name] = data[name].cat.remove_unused_categories()
        return Problem(self.part, data)

    @property
    def case(self) -> Case:
        """The problem as a case."""
        parts = (Data(), self.part)
        return Case("fuzz", "a random design", SCRIPT, "fuzz_answer", 0, 2, parts, rules=())


def same_fit(one: LmerResults, other: LmerResults) -> bool:
    """Whether two fits of the same rows agree to six digits, in bases of X that may differ."""
    X, Y = one.model.matrices.X, other.model.matrices.X
    T = np.linalg.lstsq(Y, X)[0]  # X = YT
    pairs = (
        (one.sigma, other.sigma),
        (one.fittedvalues.to_numpy(), other.fittedvalues.to_numpy()),
        (T @ one.cov_params().to_numpy() @ T.T, other.cov_params().to_numpy()),
        (Y @ T, X),
    )
    return all(bool(np.max(np.abs(a - b)) <= SAME * np.max(np.abs(b))) for a, b in pairs)


def refused(why: str, notes: Sequence[str] = ()) -> Answer:
    """Return the answer of an engine that cannot fit the problem."""
    return Answer({}, {PART: why}, notes)


def refusal(answer: Answer) -> str | None:
    """Return why an engine could not fit the problem, or None if it could."""
    return None if answer.tables else "; ".join(answer.gaps.values())


class RProtocol(Protocol):
    """R, or a stand-in for it in tests."""

    def answer(self, engine: str, problem: Problem) -> Answer:
        """Answer a problem as one of R's engines does."""
        ...

    def criterion(self, problem: Problem, theta: Array) -> Array:
        """Return R's own criterion at each column of θ (m, k)."""
        ...


@dataclass
class LiveR:
    """R, in one process that stays up; `seconds` is the time spent waiting for it in all."""

    session: RSession
    seconds: float = field(default=0.0)

    def answer(self, engine: str, problem: Problem) -> Answer:
        """Ask an engine of R.

        Raises
        ------
        RCrashedError, RTimeoutError, RNotAvailableError
        """
        found = self._call(
            "fuzz_answer", {"engine": engine, "data": problem.data, "model": _model(problem.part)}
        )
        said = found["said"]
        notes = (said,) if isinstance(said, str) else tuple(said)
        if (why := found.get("gap")) is not None:
            return refused(why, notes)
        given = found.get("tables", {})  # not all engines of R have all the tables
        tables = {f"{PART}.{kind}": given[kind] for kind in problem.part.kinds if kind in given}
        return Answer(tables, notes=notes)

    def criterion(self, problem: Problem, theta: Array) -> Array:
        """Ask for R's own criterion at each column of θ (m, k)."""
        arguments = {"data": problem.data, "model": _model(problem.part), "theta": theta}
        return np.atleast_1d(np.asarray(self._call("criterion_at", arguments), dtype=np.float64))

    def _call(self, function: str, arguments: Mapping[str, object]) -> Any:
        folder = paths.r_scripts()
        libraries = [folder / name for name in LIBRARIES]
        began = time.perf_counter()
        try:
            return self.session.call(
                folder / SCRIPT, function, arguments, libraries=libraries
            ).value
        finally:
            self.seconds += time.perf_counter() - began


def _model(part: Lmer) -> dict[str, object]:
    return {
        "formula": part.formula,
        "reml": part.reml,
        "weights": part.weights,
        "contrasts": dict(part.contrasts) or None,
        "kinds": list(part.kinds),
    }
