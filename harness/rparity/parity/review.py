"""`pytest --r=review`: what R answers now beside what is recorded, and the user's decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from rparity.errors import RparityError
from rparity.parity import store
from rparity.parity.calls import ChangedCall
from rparity.parity.check import CheckOptions, check
from rparity.parity.values import value_of
from rparity.text import visible

HEADS = ("term", "recorded", "R now", "digits", "")
SHOWN = 20
ANSWERS = "[y]es, [n]o, yes to [a]ll, [q]uit"
EXACTLY = CheckOptions(rtol=0.0)
NEW = "calls without a recording"
SAME = "recordings of another question, to which R's answer is the same"


def review(
    changes: Sequence[ChangedCall],
    *,
    show: Callable[[str], None],
    ask: Callable[[str], str] | None,
    note: Callable[[str, str], None],
) -> None:
    """Show each change of an answer, and record it if the user agrees.

    Calls without a recording are one question, and so are recordings whose question has changed but
    not the answer.

    Parameters
    ----------
    show
        Prints a line.
    ask
        Puts a question to the user and returns the answer, or None if there is no terminal: then
        nothing is recorded.
    note
        Adds a heading and a line to the summary.
    """
    groups: dict[str, list[ChangedCall]] = defaultdict(list)
    for change in changes:
        if change.recorded is None:
            groups[NEW].append(change)
        elif store.same(change.recorded, change.today):
            groups[SAME].append(change)
        else:
            groups[str(change.path)].append(change)
    if ask is None:
        show("There is no terminal to ask on, so nothing is recorded.")
    decision = ""
    for name, group in groups.items():
        if name in (NEW, SAME):
            show(f"{len(group)} {name}:")
            for change in group:
                show(f"  {visible(str(change.path))}")
        else:
            show(f"{visible(name)}:\n{difference(group[0])}")
        while ask is not None and decision not in ("a", "q"):
            decision = ask(f"Record what R answers now? {ANSWERS}: ")[:1]
            if decision in ("y", "n"):
                break
        agreed = decision in ("y", "a")
        for change in group:
            if agreed:
                store.write(change.path, change.today)
            note(
                "answers of R recorded" if agreed else "changed answers of R not recorded",
                str(change.path),
            )


def difference(change: ChangedCall) -> str:
    """Return what differs between a recording and R's answer today, as a table of text."""
    assert change.recorded is not None
    function = str(change.today.provenance["asked"]["function"])
    try:
        found = check(function, change.recorded.answer, value_of(change.today.answer), EXACTLY)
        table = found.report(HEADS, SHOWN)
    except RparityError as error:
        table = str(error)
    return f"{change.fault}\n{table}" if change.fault else table
