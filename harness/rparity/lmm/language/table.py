"""The table of R's functions that formulas know.

A function is registered under its usage in R. The usage decides how arguments are matched: by
name, by the beginning of a name, then by position (R Language Definition, 4.3.2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from rparity.lmm.language.collation import Collate
from rparity.lmm.language.expression import CallArgument, Constant, FunctionCall, Name, expression
from rparity.lmm.language.values import Unsuitable, Value, Vector, logicals, texts

Code = TypeVar("Code", bound=Callable[..., Value])
Given = Sequence[tuple[str, Any]]  # the arguments of a call, with their names


@dataclass(frozen=True)
class Function:
    """A function of R: its Python code, and its parameters with their defaults.

    `lazy` parameters get the expression instead of its value. With `collates`, the code gets the
    locale, too.
    """

    code: Callable[..., Value]
    parameters: dict[str, Value | type]  # Required where there is no default
    lazy: frozenset[str]
    collates: bool

    def match(self, given: Given) -> dict[str, Any]:
        """Match arguments with parameters as R does; those of `...` are a list of pairs."""
        found: dict[str, Any] = {}
        rest: list[tuple[str, Any]] = []
        known = list(self.parameters)
        before = known[: known.index("...")] if "..." in known else known
        for name, value in given:
            near = [p for p in before if p.startswith(name) and p not in found] if name else []
            at = name if name in self.parameters else near[0] if len(near) == 1 else None
            if at is None:
                rest.append((name, value))
            elif at in found:
                raise Unsuitable(f"the argument `{at}` is given twice")
            else:
                found[at] = value
        free = [p for p in before if p not in found]
        dots: list[tuple[str, Any]] = []
        for name, value in rest:
            if not name and free:
                found[free.pop(0)] = value
            elif "..." in known:
                dots.append((name, value))
            else:
                raise Unsuitable(f"there is no argument `{name}`" if name else "too many arguments")
        if "..." in known:
            found["..."] = dots
        return found

    def __call__(self, arguments: dict[str, Any], collate: Collate) -> Value:
        """FunctionCall the function with matched arguments."""
        for name, default in self.parameters.items():
            if name not in arguments:
                if default is Required:
                    raise Unsuitable(f"the argument `{name}` is missing")
                arguments[name] = default
        named = {name.replace(".", "_"): value for name, value in arguments.items()}
        dots = [named.pop("___")] if "___" in named else []
        return self.code(*dots, **named, **({"collate": collate} if self.collates else {}))


class Required:
    """Marks a parameter without a default."""


FUNCTIONS: dict[str, Function] = {}


def constant(node: Constant) -> Value:
    """Return R's value of a constant."""
    value = node.value
    if value is None:
        return None
    if isinstance(value, str):
        return texts([value])
    if isinstance(value, bool) or np.isnan(value):
        return logicals([value])
    return Vector("integer" if node.integer else "double", np.array([value]))


def r_function(
    *usages: str, lazy: Sequence[str] = (), collates: bool = False
) -> Callable[[Code], Code]:
    """Register a function under its usage in R, such as ``round(x, digits = 0)``."""

    def register(code: Code) -> Code:
        for usage in usages:
            call = expression(usage)
            assert isinstance(call, FunctionCall)
            parameters = dict(map(_parameter, call.arguments))
            FUNCTIONS[call.function] = Function(code, parameters, frozenset(lazy), collates)
        return code

    return register


def _parameter(argument: CallArgument) -> tuple[str, Value | type]:
    if isinstance(argument.value, Name) and not argument.name:
        return argument.value.text, Required
    assert isinstance(argument.value, Constant)
    return argument.name, constant(argument.value)


def scalar(value: Value, what: str) -> float:
    """Return one number."""
    if value is None or value.is_text or value.data.size != 1:
        raise Unsuitable(f"`{what}` must be one number")
    return float(value.data.reshape(-1)[0])


def flag(value: Value, what: str) -> bool:
    """Return one TRUE or FALSE."""
    found = scalar(value, what)
    if np.isnan(found):
        raise Unsuitable(f"`{what}` must be TRUE or FALSE")
    return bool(found)


def vector(value: Value, what: str = "x") -> Vector:
    """Refuse NULL."""
    if value is None:
        raise Unsuitable(f"`{what}` is NULL")
    return value
