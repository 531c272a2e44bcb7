"""An explanation as text that can be cited."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from math import isnan

from rparity.audit.explanation import ARBITER, Argument, Explanation, Statement
from rparity.compare import part_of
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.report.numbers import everything
from rparity.report.summary import VITAL

WIDTH = 96
LABEL = 12
# The result of an experiment is cut to this many characters.
RESULT = 280


def as_text(found: Explanation) -> str:
    """Return an explanation as text."""
    blocks = [_argument(found, argument) for argument in found.arguments]
    agreeing = found.agreeing
    if len(agreeing):
        worst = agreeing.iloc[int(agreeing["digits"].to_numpy().argmin())]
        rest = "the other" if blocks else "all"
        against = " and ".join(agreeing["reference"].unique())
        blocks.append(
            f"{found.engine} agrees with {against} on {rest} {len(agreeing)} values of "
            f"{found.case.name}, with {worst['digits']:.1f} or more digits. The fewest are in "
            f"{worst['table']} {worst['row']} {worst['column']} ({worst['verdict']})."
        )
    blocks += [f"The ledger's entry {name} no longer occurs: remove it." for name in found.stale]
    return "\n\n".join(blocks)


def _argument(found: Explanation, argument: Argument) -> str:
    row, column = everything(argument.row, "rows"), everything(argument.column, "columns")
    lines = [f"{found.engine} on {found.case.name}: {argument.table}, {row}, {column}", ""]
    lines += _labelled("Case", found.case.title)
    lines += _labelled("Question", found.questions[part_of(argument.table)])
    lines += _values(argument)
    lines += _nearer(argument)
    lines += _experiments(argument)
    lines += _cause(argument)
    for i, note in enumerate(argument.notes):
        lines += _labelled("" if i else "Notes", note, "  ")
    if argument.entry is not None:
        lines += _labelled("Ledger", f"{argument.entry.id}: {argument.entry.why}")
        for reference in argument.entry.references:
            lines += _labelled("", reference, "  ")
    lines += _labelled("Reproduce", argument.reproduce)
    for i, statement in enumerate(argument.statements):
        lines += _labelled("" if i else "Made by", _made_by(statement), "  ")
    return "\n".join(lines)


def _labelled(label: str, text: str, indent: str = "") -> list[str]:
    """Wrap a text beside its label. Lines after the first have a further indentation."""
    lines = textwrap.wrap(
        text,
        WIDTH - LABEL,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [f"{label if not i else '':<{LABEL}}{line}" for i, line in enumerate(lines)]


def _values(argument: Argument) -> Iterator[str]:
    values = [v.decimals or (f"{v.value:.17g}").replace("nan", "NaN") for v in argument.statements]
    wide = max(len(statement.name) for statement in argument.statements) + 2
    long = max(map(len, values)) + 2
    for i, (statement, value) in enumerate(zip(argument.statements, values, strict=True)):
        role = "the arbiter, proven" if statement.name == ARBITER else "the reference"
        role = role if statement.digits is None else f"{statement.digits:.1f} digits"
        yield f"{'' if i else 'Values':<{LABEL}}{statement.name:<{wide}}{value:<{long}}{role}"


def _nearer(argument: Argument) -> list[str]:
    """Return a line about which of two sides is nearer to the reference, if there are two."""
    sides = [statement for statement in argument.statements if statement.digits is not None]
    reference = argument.statements[-1].name
    if len(sides) < 2:
        return []
    one, other = sorted(sides, key=lambda statement: -(statement.digits or 0.0))
    ahead = (one.digits or 0.0) - (other.digits or 0.0)
    if ahead < 0.1:
        return _labelled("Nearer", f"{one.name} and {other.name} are equally near to {reference}")
    return _labelled(
        "Nearer",
        f"{one.name} is nearer to {reference} than {other.name}, by {ahead:.1f} digits",
    )


def _experiments(argument: Argument) -> list[str]:
    if not argument.steps:
        return _labelled("Experiments", "none applies here")
    before = argument.statements[0].digits or 0.0
    lines = []
    for i, step in enumerate(argument.steps):
        after = f"{before:.1f} → {step.digits:.1f} digits"
        done = "does not apply to this value" if isnan(step.digits) else after
        says = textwrap.shorten(step.says, RESULT, placeholder=" …")
        done = f"{done}, which explains it: {says}" if step.vanished else done
        text = f"{i + 1}. {step.experiment}: {done}"
        lines += _labelled("" if i else "Experiments", text, "   ")
    return lines


def _cause(argument: Argument) -> list[str]:
    named = argument.cause or "none found"
    others = argument.alike - 1
    have = "value has" if others == 1 else "values have"
    alike = f". {others} more {have} it, with {argument.fewest:.1f} or more digits"
    return _labelled("Cause", f"{named} ({argument.verdict}){alike * bool(others)}")


def _made_by(statement: Statement) -> str:
    when = "answered now" if statement.when is None else f"recorded {statement.when[:10]}"
    when = "as printed" if statement.name == PUBLISHED else when
    versions = [f"{p} {v}" for p, v in statement.made_by.items()]
    if "R" in statement.made_by:
        versions = [f"{p} {statement.made_by[p]}" for p in VITAL if p in statement.made_by]
    return f"{statement.name}: {', '.join([*versions, when])}"
