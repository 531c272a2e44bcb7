"""What an engine is: it answers the parts of a case with tables."""

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
from rparity.compare import ALL, Tables, Verdict, kind_of, part_of
from rparity.errors import UsageError, install
from rparity.rrandom import RRandom


@dataclass(frozen=True)
class Answer:
    """An engine's tables for a case, with gaps and notes.

    `gaps` says what the engine left out, and why. The key of a gap is a part (`lmer`) or a place
    `table/row/column`, which may have shell patterns and may omit trailing elements to mean all:
    `lm.coef/p?`, `lmer.glance/1/aic`. `notes` are remarks on the answer, such as warnings.
    """

    tables: Mapping[str, pd.DataFrame]
    gaps: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def gap(self, table: str, row: str = "", column: str = "") -> str | None:
        """Return why a table, a row or a value was left out, or None if it is not a gap."""
        for place, reason in self.gaps.items():
            if place == part_of(table):
                return reason
            named = zip((table, row, column), place.split("/"), strict=False)
            if all(name == ALL or fnmatchcase(name, pattern) for name, pattern in named):
                return reason
        return None

    def without_gaps(self, comparisons: pd.DataFrame) -> pd.DataFrame:
        """Drop missing values for which the engine gives a reason."""
        if not self.gaps:
            return comparisons
        missing = comparisons[comparisons["verdict"] == Verdict.MISSING]
        places = missing[["table", "row", "column"]].itertuples(index=False)
        excused = [self.gap(*place) is not None for place in places]
        return comparisons.drop(index=missing.index[excused])


# Warnings that packages address to their developers.
NOISE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


class UnsupportedError(Exception):
    """An engine cannot answer a model; the message says why, and becomes a gap."""


@dataclass(frozen=True)
class Question:
    """A question to an engine: a case, the number of replicates, and versions to reproduce.

    `versions` are the package versions in the provenance of the reference. An engine may reproduce
    the behaviour of such a version, and then says so in its notes. `data` are R's data, for a case
    whose data Python does not draw itself.
    """

    case: Case
    nsim: int
    versions: Mapping[str, str] = field(default_factory=dict)
    data: pd.DataFrame | None = None

    def draw(self, part: Data, rng: RRandom) -> pd.DataFrame:
        """Return the data of a part, drawn from `rng` or given by R."""
        if part.make is not None:
            return part.make(rng)
        if self.data is None:
            raise UsageError(
                f"The data of the case {self.case.name!r} come from R, which gave none."
            )
        return self.data


class Engine(Protocol):
    """An engine can answer a case. R and the arbiter are engines like the others."""

    name: str

    def expected(self, part: Part) -> tuple[str, ...]:
        """Return the tables of a part that the engine answers; any that it then omits is a gap."""
        ...

    def answer(self, question: Question) -> Answer:
        """Answer every part that it can, bootstraps with `question.nsim` replicates."""
        ...


# Tables, and gaps by place.
Found = tuple[Tables, Mapping[str, str]]


class ModelEngine(ABC):
    """An engine that answers the models of a case one by one. A model that it cannot is a gap.

    `kinds` are the tables that it answers, by the type of the part. Its answers depend on the
    versions of the packages in `distributions`.
    """

    name: str
    kinds: Mapping[type[Part], tuple[str, ...]]
    distributions: Sequence[str] = ()

    @abstractmethod
    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        """Answer one model: return its tables by kind, and the gaps within them.

        A table left out is a gap too. Warnings of the package, or of the engine, become notes.

        Raises
        ------
        UnsupportedError
            If the package cannot express the model.
        """

    def boot(self, part: Boot, model: Lmer, data: pd.DataFrame, nsim: int) -> Found:
        """Answer a bootstrap of a model, if `Boot` is among the engine's kinds."""
        raise NotImplementedError(part, model, data, nsim)

    def expected(self, part: Part) -> tuple[str, ...]:
        """Return the tables of a part that the engine answers."""
        known = self.kinds.get(type(part), ())
        return tuple(f"{part.name}.{kind}" for kind in part.kinds if kind in known)

    def answer(self, question: Question) -> Answer:
        """Answer every model. A failure of one does not affect the others."""
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
        """Return a part's tables by name, and gaps by place; a failure becomes a gap."""
        try:
            found, left_out = ask()
        except UnsupportedError as error:
            return {}, {part.name: str(error)}
        except Exception as error:
            return {}, {part.name: f"{type(error).__name__}: {_one_line(error)}"}
        names = {name: kind_of(name) for name in self.expected(part)}
        others = (name for name in part.tables if name not in names)
        return (
            {name: found[kind] for name, kind in names.items() if kind in found},
            dict.fromkeys(others, f"{self.name} gives none")
            | {f"{part.name}.{place}": why for place, why in left_out.items()},
        )


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


# Python's engines by name, with their modules, which are imported when needed.
PYTHON_ENGINES = {
    "rparity": "rparity.engines.native:Native",
    "statsmodels": "rparity.engines.statsmodels:Statsmodels",
    "statsmodels-tight": "rparity.engines.statsmodels:StatsmodelsTight",
    "mixedlm": "rparity.engines.mixedlm:Mixedlm",
    "gpboost": "rparity.engines.gpboost:Gpboost",
    "gpboost-tight": "rparity.engines.gpboost:GpboostTight",
    "pyfixest": "rparity.engines.pyfixest:Pyfixest",
    "linearmodels": "rparity.engines.linearmodels:Linearmodels",
    "python-default": "rparity.engines.python_calls:PythonDefault",
    "python-setting": "rparity.engines.python_calls:PythonSetting",
    "kamino": "rparity.engines.kamino:Kamino",
    "interlace": "rparity.engines.interlace:Interlace",
    "interlace-tight": "rparity.engines.interlace:InterlaceTight",
    "pymmeans": "rparity.engines.pymmeans:Pymmeans",
    "exact": "rparity.engines.exact:Exact",
}
# R's engines, which need R, and the engines whose answers are kept (`kept_answers`).
R_ENGINES = {
    "lme4": "rparity.engines.r_models:RLme4",
    "lme4-tight": "rparity.engines.r_models:RLme4Tight",
    "nlme": "rparity.engines.r_models:RNlme",
    "lm": "rparity.engines.r_models:RLm",
}
KEPT_ENGINES = (*R_ENGINES, "exact")


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines, with those of other projects last."""
    return tuple(_known())


def _known() -> dict[str, str]:
    built_in = PYTHON_ENGINES | R_ENGINES
    others = extensions.engines()
    for name in built_in.keys() & others.keys():
        raise UsageError(f"There are two engines {name!r}: rename the one in {others[name]}.")
    return built_in | others


class _Theirs:
    """An engine of another project: its answers are checked, and converted to plain types."""

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
                f"The engine {self.name!r} returns {found!r} from expected({part.name!r}): "
                f"it must return a tuple of names of tables; {extensions.ENGINE}."
            )
        return tuple(map(str.__str__, found))

    def answer(self, question: Question) -> Answer:
        # The audit's own process calls `expected` later. An error shall occur here first, where it
        # only costs this answer.
        for part in question.case.parts:
            self.expected(part)
        found = self._engine.answer(question)
        if problem := _strange(found):
            raise UsageError(
                f"The engine {self.name!r} answers {question.case.name!r} {problem}; "
                f"{extensions.ENGINE}."
            )
        # Subclasses of the engine's own would run its code when another process unpickles them.
        return Answer(
            {str.__str__(name): _plain(frame) for name, frame in found.tables.items()},
            {str.__str__(place): str.__str__(why) for place, why in found.gaps.items()},
            tuple(map(str.__str__, found.notes)),
        )


def _strange(found: Any) -> str:
    """Say what is wrong with an answer; return "" if nothing is."""
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
        For an unknown name, and for an engine that cannot be loaded or whose package is not
        installed.
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
        if (error.name or "").partition(".")[0] == "rparity":
            raise
        raise UsageError(f"The engine {name!r} needs {error.name}: {install('audit')}") from error
    return found
