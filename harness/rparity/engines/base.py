"""What an engine is: somebody who answers the parts of a case with tables."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import pandas as pd

from rparity.cases import extensions
from rparity.cases.base import Boot, Case, Data, Lm, Lmer, Part
from rparity.compare import ALL, Tables, Verdict
from rparity.errors import UsageError
from rparity.rrandom import RRandom


@dataclass(frozen=True)
class Answer:
    """An engine's tables for a case, what it left out and why, and what to know of its answer.

    A gap is a part (`lmer`) or a place `table/row/column`, in which shell patterns may stand and
    what is left out at the end means all: `lm.coef/p?`, `lmer.glance/1/aic`.
    """

    tables: Mapping[str, pd.DataFrame]
    gaps: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def gap(self, table: str, row: str = "", column: str = "") -> str | None:
        """Return why a table, a row or a value was left out, or None where nothing says so."""
        for place, reason in self.gaps.items():
            if place == table.partition(".")[0]:
                return reason
            named = zip((table, row, column), place.split("/"), strict=False)
            if all(name == ALL or fnmatchcase(name, pattern) for name, pattern in named):
                return reason
        return None

    def without_gaps(self, comparisons: pd.DataFrame) -> pd.DataFrame:
        """Drop what is missing for a reason that the engine gives."""
        missing = comparisons["verdict"] == Verdict.MISSING
        places = zip(*(comparisons[name] for name in ("table", "row", "column")), strict=True)
        excused = [
            is_missing and self.gap(*place) is not None
            for is_missing, place in zip(missing, places, strict=True)
        ]
        return comparisons[[not each for each in excused]]


# What packages say to their developers.
NOISE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


class UnsupportedError(Exception):
    """A model that an engine cannot answer, and why: a gap."""


@dataclass(frozen=True)
class Question:
    """What an engine is asked: a case, the number of replicates, and whom its answer is to equal.

    `versions` are R's package versions as the reference's provenance has them: an engine may
    reproduce what is peculiar to one of them, and says so in its notes. `data` are R's, for a case
    whose data Python does not draw itself.
    """

    case: Case
    nsim: int
    versions: Mapping[str, str] = field(default_factory=dict)
    data: pd.DataFrame | None = None

    def draw(self, part: Data, rng: RRandom) -> pd.DataFrame:
        """Return the data of a part: drawn from `rng`, or R's."""
        if part.make is not None:
            return part.make(rng)
        if self.data is None:
            raise UsageError(
                f"The data of the case {self.case.name!r} come from R, which gave none."
            )
        return self.data


class Engine(Protocol):
    """Somebody who can answer a case; the arbiter and R are engines like the others."""

    name: str

    def expected(self, part: Part) -> tuple[str, ...]:
        """Tables of the part that the engine undertakes to answer; what it leaves out is a gap."""
        ...

    def answer(self, question: Question) -> Answer:
        """Answer every part it can, bootstraps with `question.nsim` replicates."""
        ...


# Tables, and gaps by place.
Found = tuple[Tables, Mapping[str, str]]


class ModelEngine(ABC):
    """An engine that answers the models of a case one by one; what it cannot is a gap.

    `kinds` are the tables that it answers of each kind of model; `distributions` are the packages
    whose versions its answers depend on.
    """

    name: str
    kinds: Mapping[type[Part], tuple[str, ...]]
    distributions: Sequence[str] = ()

    @abstractmethod
    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one model: its tables by kind, and gaps within them.

        A table left out is a gap too. What the package, or the engine, warns of becomes a note.

        Raises
        ------
        UnsupportedError
            For a model that it cannot express, with the reason.
        """

    def boot(self, part: Boot, model: Lmer, data: pd.DataFrame, nsim: int) -> Found:
        """Answer a bootstrap of a model, where `Boot` is among the engine's kinds."""
        raise NotImplementedError(part, model, data, nsim)

    def expected(self, part: Part) -> tuple[str, ...]:
        """Return those tables of a part that the engine knows."""
        known = self.kinds.get(type(part), ())
        return tuple(f"{part.name}.{kind}" for kind in part.kinds if kind in known)

    def answer(self, question: Question) -> Answer:
        """Answer every model; one that fails costs itself, not the others."""
        case, data = question.case, pd.DataFrame()
        tables: dict[str, pd.DataFrame] = {}
        gaps: dict[str, str] = {}
        notes: list[str] = []
        models = {part.name: part for part in case.parts if isinstance(part, Lmer)}
        for part in case.parts:
            match part:
                case Data():
                    data = question.draw(part, RRandom(case.seed))
                    continue
                case Lmer() | Lm() if self.expected(part):
                    ask = partial(self.fit, part, data)
                case Boot() if self.expected(part):
                    ask = partial(self.boot, part, models[part.of], data, question.nsim)
                case _:
                    gaps[part.name] = f"{self.name} has no counterpart"
                    continue
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                found, left_out = self._answer(part, ask)
            tables |= found
            gaps |= left_out
            said = (_one_line(w.message) for w in warned if not issubclass(w.category, NOISE))
            notes += dict.fromkeys(f"{part.name}: {text}" for text in said)
        return Answer(tables, gaps, tuple(notes))

    def _answer(self, part: Part, ask: Callable[[], Found]) -> Found:
        """Return a part's tables by name, and gaps by place; a failure is one of them."""
        try:
            found, left_out = ask()
        except UnsupportedError as error:
            return {}, {part.name: str(error)}
        except Exception as error:
            return {}, {part.name: f"{type(error).__name__}: {_one_line(error)}"}
        names = {name: name.rpartition(".")[2] for name in self.expected(part)}
        others = (name for name in part.tables if name not in names)
        return (
            {name: found[kind] for name, kind in names.items() if kind in found},
            dict.fromkeys(others, f"{self.name} gives none")
            | {f"{part.name}.{place}": why for place, why in left_out.items()},
        )


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


# Python's engines: name to where it is found, imported when asked for.
PYTHON_ENGINES = {
    "rparity": "rparity.engines.native:Native",
    "statsmodels": "rparity.engines.statsmodels:Statsmodels",
    "statsmodels-tight": "rparity.engines.statsmodels:StatsmodelsTight",
    "mixedlm": "rparity.engines.mixedlm:Mixedlm",
    "gpboost": "rparity.engines.gpboost:Gpboost",
    "gpboost-tight": "rparity.engines.gpboost:GpboostTight",
    "pyfixest": "rparity.engines.pyfixest:Pyfixest",
    "linearmodels": "rparity.engines.linearmodels:Linearmodels",
    "exact": "rparity.engines.exact:Exact",
}
# R's own, which answer where there is R; and those whose answers are kept (`kept_answers`).
R_ENGINES = {
    "lme4": "rparity.engines.r_models:Lme4",
    "lme4-tight": "rparity.engines.r_models:Lme4Tight",
    "nlme": "rparity.engines.r_models:Nlme",
    "lm": "rparity.engines.r_models:Lm",
}
KEPT_ENGINES = (*R_ENGINES, "exact")


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines, those of other projects last."""
    return tuple(_known())


def _known() -> dict[str, str]:
    built_in = PYTHON_ENGINES | R_ENGINES
    others = extensions.engines()
    for name in built_in.keys() & others.keys():
        raise UsageError(f"There are two engines {name!r}: rename the one in {others[name]}.")
    return built_in | others


class _Theirs:
    """An engine of another project: what it answers with is looked at, and made plain."""

    def __init__(self, name: str, engine: Any) -> None:
        self.name = name
        self._engine = engine

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(self._engine, attribute)

    def expected(self, part: Part) -> tuple[str, ...]:
        found: object = self._engine.expected(part)
        if not isinstance(found, Collection) or not _are_strings(found):
            raise UsageError(
                f"The engine {self.name!r} undertakes {found!r} of {part.name!r}, which must be a "
                f"tuple of names of tables; {extensions.ENGINE}."
            )
        return tuple(map(str.__str__, found))

    def answer(self, question: Question) -> Answer:
        # What it undertakes is asked for by the audit's own process afterwards: what goes wrong
        # there goes wrong here first, where it costs no more than this answer.
        for part in question.case.parts:
            self.expected(part)
        found = self._engine.answer(question)
        if problem := _strange(found):
            raise UsageError(
                f"The engine {self.name!r} answers {question.case.name!r} {problem}; "
                f"{extensions.ENGINE}."
            )
        # Without what is of their own types, which reading it in another process would run.
        return Answer(
            {str.__str__(name): _plain(frame) for name, frame in found.tables.items()},
            {str.__str__(place): str.__str__(why) for place, why in found.gaps.items()},
            tuple(map(str.__str__, found.notes)),
        )


def _strange(found: Any) -> str:
    """Say in what an answer is none, if it is not."""
    if not isinstance(found, Answer):
        return f"with {type(found).__name__}, and must with Answer"
    for what, held in (("tables", found.tables), ("gaps", found.gaps)):
        if not isinstance(held, Mapping):
            return f"with {what} that are {type(held).__name__}, and must be a dict"
        if not _are_strings(held):
            return f"with {what} whose names are not all strings"
    if not _are_strings(found.gaps.values()):
        return "with gaps whose reasons are not all strings"
    if not isinstance(found.notes, Collection) or not _are_strings(found.notes):
        return "with notes that are no tuple of strings"
    for table, frame in found.tables.items():
        if not isinstance(frame, pd.DataFrame):
            return f"with {table} as {type(frame).__name__}, which must be a DataFrame"
        if not all(dtype.kind in "fiub" for dtype in frame.dtypes):
            return f"with {table}, of which not all columns are numbers"
        for axis in (frame.index, frame.columns):
            if not _are_strings(axis):
                return f"with {table}, of which not all rows and columns have a string as name"
            if axis.has_duplicates:
                twice = axis[axis.duplicated()][0]
                return f"with {table}, in which {twice!r} stands twice as a row or a column"
    return ""


def _are_strings(values: Collection[object]) -> bool:
    return not isinstance(values, str) and all(isinstance(value, str) for value in values)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    rows, columns = (list(map(str.__str__, axis)) for axis in (frame.index, frame.columns))
    return pd.DataFrame(frame.to_numpy(dtype=np.float64, na_value=np.nan), rows, columns)


def engine(name: str) -> Engine:
    """Return the engine of that name.

    Raises
    ------
    UsageError
        For a name that is not registered, and for an engine whose package is not installed or
        which cannot be loaded.
    """
    known = _known()
    if name not in known:
        raise UsageError(f"There is no engine {name!r}: there are {', '.join(known)}.")
    if name not in PYTHON_ENGINES | R_ENGINES:
        return _Theirs(name, extensions.load_engine(name, known[name]))
    module, _, attribute = known[name].partition(":")
    try:
        found: Engine = getattr(import_module(module), attribute)()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "harness":
            raise
        raise UsageError(
            f'The engine {name!r} needs {error.name}: pip install "rparity[audit]"'
        ) from error
    return found
