"""The cases by name: the built-in ones and those of other projects."""

from __future__ import annotations

from rparity.cases.base import Case
from rparity.errors import UsageError, did_you_mean


def cases() -> dict[str, Case]:
    """Return all cases by name, in the order of `rparity list`."""
    from rparity.cases import extensions
    from rparity.cases.atlas import atlas_cases
    from rparity.cases.document import DOCUMENT
    from rparity.cases.fixed_effects import FIXED_EFFECTS
    from rparity.cases.hard import HARD
    from rparity.cases.lme4 import CASES
    from rparity.cases.nist import nist_cases
    from rparity.cases.streams import STREAMS
    from rparity.cases.study import STUDY

    known = {
        case.name: case
        for case in (
            *(DOCUMENT, STREAMS, STUDY, *CASES, *FIXED_EFFECTS, HARD, *nist_cases()),
            *atlas_cases(),
        )
    }
    for case in extensions.cases():
        if case.name in known:
            raise UsageError(f"Two cases are called {case.name!r}: rename the one in {case.home}.")
        known[case.name] = case
    return known


def case(name: str) -> Case:
    """Return one case.

    Raises
    ------
    UsageError
        For an unknown name. The message suggests the nearest known one.
    """
    known = cases()
    if name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(f"There is no case {name!r}. {hint}`rparity list` shows all cases.")
    return known[name]
