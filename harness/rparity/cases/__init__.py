"""The cases by name: the built-in ones and those of other projects."""

from __future__ import annotations

from collections.abc import Iterator

from rparity.cases.base import Case
from rparity.errors import UsageError, did_you_mean


def cases() -> dict[str, Case]:
    """Return all cases by name, in the order of `rparity list`.

    Raises
    ------
    UsageError
        If two cases have the same name, or a case of another project cannot be loaded.
    """
    from rparity.cases import extensions

    known = {case.name: case for case in _built_in()}
    for case in extensions.cases():
        if case.name in known:
            raise _twice(case)
        known[case.name] = case
    return known


def case(name: str) -> Case:
    """Return one case, without loading the built-in cases that come after it.

    Raises
    ------
    UsageError
        For an unknown name; the message suggests the nearest known one. Also if another case has
        the same name, or a case of another project cannot be loaded.
    """
    from rparity.cases import extensions

    theirs = [case for case in extensions.cases() if case.name == name]
    built_in = next((case for case in _built_in() if case.name == name), None)
    found = [*([] if built_in is None else [built_in]), *theirs]
    if not found:
        hint = did_you_mean(name, cases())
        raise UsageError(f"There is no case {name!r}. {hint}`rparity list` shows all cases.")
    if len(found) > 1:
        raise _twice(found[1])
    return found[0]


def _built_in() -> Iterator[Case]:
    """Yield the cases of this package; a module is loaded when its first case is asked for."""
    from rparity.cases.document import DOCUMENT

    yield DOCUMENT
    from rparity.cases.streams import STREAMS

    yield STREAMS
    from rparity.cases.study import STUDY

    yield STUDY
    from rparity.cases.lme4 import CASES

    yield from CASES
    from rparity.cases.fixed_effects import FIXED_EFFECTS

    yield from FIXED_EFFECTS
    from rparity.cases.hard import HARD

    yield HARD
    from rparity.cases.nist import nist_cases

    yield from nist_cases()
    from rparity.cases.atlas import atlas_cases

    yield from atlas_cases()


def _twice(case: Case) -> UsageError:
    return UsageError(f"Two cases are called {case.name!r}: rename the one in {case.home}.")
