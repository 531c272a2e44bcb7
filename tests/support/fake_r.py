"""A stand-in for R in tests of the plugin: functions of Python answer instead of R."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from rparity.parity.answer import RAnswer
from rparity.parity.calls import RNG_KIND
from rparity.parity.store import RecordedCall
from rparity.parity.values import tree
from rparity.r.from_r import from_wire
from rparity.r.session import RResult
from rparity.r.to_r import to_wire
from rparity.r.wire import Wire


def provenance(packages: list[str]) -> dict[str, object]:
    """Return what r_scripts/provenance.R would say with these packages missing."""
    return {
        "r_version": "R version 4.2.2",
        "platform": "stand-in",
        "contrasts": pd.Series({"unordered": "contr.treatment", "ordered": "contr.poly"}),
        "packages": pd.Series({"R": "4.2.2"} | dict.fromkeys(packages)),
    }


def wire(value: object) -> Wire:
    """Return a value as R would send it: with the number of a frame's rows, not their numbers."""
    kind, data, attributes = to_wire(value)
    if isinstance(value, Mapping):
        data = [wire(item) for item in value.values()]
    if isinstance(value, pd.DataFrame):
        attributes = attributes | {"nrow": to_wire(len(value))}
        if attributes["row.names"][0] == "integer":
            del attributes["row.names"]
    return kind, data, attributes


class FakeR:
    """Takes the place of `RSession`; `functions` are those that the R files define."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {"provenance": provenance}
    #: The calls, without those with moved arguments.
    asked: ClassVar[list[str]] = []
    rng_kind = RNG_KIND

    #: The states of R's generator after each of the calls that draw, or None.
    draws: ClassVar[Iterator[Any] | None] = None

    def __enter__(self) -> FakeR:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        pass

    @contextmanager
    def apart(self, _packages: object = ()) -> Iterator[None]:
        yield

    def call(
        self,
        _script: Path,
        function: str,
        arguments: Mapping[str, Any],
        change: Any = None,
        **_options: Any,
    ) -> RResult:
        if change is not None:
            moved = change({name: wire(value) for name, value in arguments.items()})
            arguments = {name: from_wire(value) for name, value in moved.items()}
        counts = function != "provenance" and change is None
        if counts:
            self.asked.append(function)
        sent = wire(self.functions[function](**arguments))
        drawn = next(self.draws) if self.draws and counts else None
        return RResult(from_wire(sent), (), (), "", 0.0, self.rng_kind, sent, drawn)

    def evaluate(self, code: str, arguments: Mapping[str, Any], **options: Any) -> RResult:
        """Evaluate code of Python in place of R's."""
        self.functions["r"] = lambda **given: eval(code.partition("#")[0], {}, given)
        return self.call(Path(), "r", arguments, change=options.get("change"))


def answer(value: object, *, seed: int | None = 1) -> RAnswer:
    """Return the answer to a call of f() in f.R that gave this value."""
    asked = {"script": "f.R", "function": "f", "seed": seed}
    made_by = {"platform": "stand-in", "packages": {"R": "4.2.2"}}
    return RAnswer(RecordedCall(tree(wire(value), "f"), {"asked": asked, "made_by": made_by}))
