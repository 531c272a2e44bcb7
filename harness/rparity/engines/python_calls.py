"""Python's side of the atlas as two engines: calls with their defaults, and with R's settings."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from types import CodeType
from typing import Any

import numpy as np
import pandas as pd

from rparity.cases.atlas import frames_of, on_result
from rparity.cases.base import AtlasPair, Part
from rparity.engines.base import NOISE, Answer, Question
from rparity.r.version import numbers


class PythonDefault:
    """Each call of the atlas as people write it first, with the defaults of its package."""

    name = "python-default"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Answer every pair's `value`."""
        return (f"{part.name}.value",) if isinstance(part, AtlasPair) else ()

    def code(self, pair: AtlasPair) -> str:
        """Return the code that is run for a pair."""
        return pair.python

    def answer(self, question: Question) -> Answer:
        """Answer every pair.

        A call whose package is not installed, or older than the pair needs, is a gap. The value of
        a call that fails is missing, which fails, and a note has the error.
        """
        tables: dict[str, pd.DataFrame] = {}
        gaps: dict[str, str] = {}
        notes: list[str] = []
        for part in question.case.parts:
            if not isinstance(part, AtlasPair):
                gaps[part.name] = f"{self.name} has no counterpart"
                continue
            if old := _too_old(part.needs):
                gaps[part.name] = old
                continue
            try:
                table, said = evaluated(part, self.code(part), question)
            except ModuleNotFoundError as error:
                gaps[part.name] = f"{error.name} is not installed"
                continue
            except Exception as error:
                text = " ".join(str(error).split())
                notes.append(f"{part.name}: {self.name} fails with {type(error).__name__}: {text}")
                continue
            tables |= dict.fromkeys(self.expected(part), table)
            notes += [f"{part.name}: {text}" for text in said]
        return Answer(tables, gaps, tuple(notes))


class PythonSetting(PythonDefault):
    """Each call with the setting that gives R's value.

    If a pair states R's setting that gives Python's value instead, the call is the default one and
    answers R's table `setting`.
    """

    name = "python-setting"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Answer every pair's `value`, or its `setting`."""
        if not isinstance(part, AtlasPair):
            return ()
        return (f"{part.name}.{'value' if part.r_setting is None else 'setting'}",)

    def code(self, pair: AtlasPair) -> str:
        """Return the code that is run for a pair."""
        return pair.setting or pair.python


def evaluated(pair: AtlasPair, code: str, question: Question) -> tuple[pd.DataFrame, list[str]]:
    """Run a pair's Python code, and return its table `value` and the warnings.

    A mapping as the result holds the values by name already. An error of the code is not caught.
    """
    frames = frames_of(pair.frames, question.case.home)
    names: dict[str, Any] = {name: frame.copy() for name, frame in frames.items()}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for statement in pair.before(code, *(take for _, take in pair.values.values())):
            exec(statement, names)
        it = names["it"] = _result(code, names)
        if isinstance(it, Mapping):
            found = dict(it)
        elif pair.values:
            found = {name: eval(on_result(take), names) for name, (_, take) in pair.values.items()}
        else:
            found = {"value": it}
    said = [str(w.message) for w in warned if not issubclass(w.category, NOISE)]
    return _table(found), list(dict.fromkeys(said))


def _too_old(needs: str) -> str:
    """Say that a package is older than a pair needs; empty if it is not, or not installed."""
    name, _, least = needs.partition(" ")
    try:
        found = version(name) if needs else ""
    except PackageNotFoundError:
        return ""
    return f"{name} {found} is older than {least}" if numbers(found) < numbers(least) else ""


def _result(code: str, names: dict[str, Any]) -> Any:
    """Run statements, the last of which is an expression, and return its value."""
    *before, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        raise TypeError(f"the last line of the code is no expression: {ast.unparse(last)}")
    exec(_compiled(ast.Module(before, [])), names)
    return eval(_compiled(ast.Expression(last.value)), names)


def _compiled(tree: ast.Module | ast.Expression) -> CodeType:
    return compile(tree, "<atlas>", "eval" if isinstance(tree, ast.Expression) else "exec")


def _table(found: Mapping[str, Any]) -> pd.DataFrame:
    rows: dict[str, float] = {}
    for name, value in found.items():
        numbers = np.asarray(value, dtype=np.float64).ravel(order="F")
        places = [name] if numbers.size == 1 else [f"{name}.{i + 1}" for i in range(numbers.size)]
        rows |= dict(zip(places, numbers.tolist(), strict=True))
    return pd.DataFrame({"value": pd.Series(rows, dtype=np.float64)})
