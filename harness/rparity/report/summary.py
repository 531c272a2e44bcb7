"""An audit in summary: the matrix, causes, failures, gaps, problems and who answered."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from glob import escape

import pandas as pd

from rparity.audit.results import Audit, Cell, EngineReply
from rparity.compare import ALL, Verdict, kind_of
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.diagnosis.explain import Finding
from rparity.diagnosis.ledger import UNBOUNDED
from rparity.report import numbers
from rparity.report.numbers import counted, fewest, severity
from rparity.report.results import CommandResults

# R and the packages on which its answer depends. The recording names the others.
VITAL = ("R", "lme4", "nlme", "nloptr", "Matrix")
# An entry of the ledger names up to this many rows, columns or tables one by one.
NAMED = 6
# Signs beside the digits of a cell, for readers who do not see colours.
MARKS: Mapping[Verdict, str] = {
    Verdict.KNOWN: "~",
    Verdict.NEW: "+",
    Verdict.STALE: "-",
    Verdict.MISSING: "x",
    Verdict.UNEXPLAINED: "?",
}
LEGEND: Mapping[Verdict, str] = {
    Verdict.KNOWN: "known cause",
    Verdict.NEW: "cause found, not in the ledger",
    Verdict.STALE: "stale in the ledger",
    Verdict.MISSING: "missing",
    Verdict.UNEXPLAINED: "unexplained",
}
# Where long names may be broken.
SYLLABLES = {
    "statsmodels": "stats-models",
    "linearmodels": "linear-models",
    "published": "pub-lished",
}
# The kinds of cells without comparisons.
REFERENCE, GAP, PROBLEM = "reference", "gap", "problem"
# The text of such a cell, and its meaning.
BLANK = {
    REFERENCE: ("ref", "what the others are compared with"),
    GAP: ("·", "gap"),
    PROBLEM: ("!", "problem"),
}
# A cell with fewer digits than this has a deeper colour.
FEW, NONE = 6.0, 2.0


@dataclass(frozen=True)
class ShownCell:
    """A cell of the matrix as it is shown.

    `text` and `mark` are written in it. `kind` is its verdict, or one of `BLANK`. `says` explains
    it in a sentence. `depth` is `none` or `few` for a cell with few digits, otherwise empty.
    """

    cell: Cell
    text: str
    kind: str
    says: str
    mark: str = ""
    depth: str = ""


def shown_cells(audit: Audit) -> dict[tuple[str, str], ShownCell]:
    """Return the cells of the matrix, by engine and case."""
    references = set(audit.comparisons.groupby(["reference", "case"]).groups)
    found = {}
    for place, cell in audit.cells.items():
        if cell.digits is None or cell.verdict is None:
            kind = REFERENCE if place in references else GAP
            kind = kind if cell.problem is None else PROBLEM
            text, means = BLANK[kind]
            why = cell.problem or "; ".join(left_out(audit.replies.get(place))) or means
            found[place] = ShownCell(cell, text, kind, f"{means}: {why}" if why != means else why)
        else:
            says = ", ".join([f"{cell.values} values, {cell.verdict}", *cell.causes])
            depth = "none" if cell.digits < NONE else "few" if cell.digits < FEW else ""
            mark = MARKS.get(cell.verdict, "")
            text = f"{cell.digits + 0.0:.1f}"
            found[place] = ShownCell(cell, text, cell.verdict, says, mark, depth)
    return found


@dataclass(frozen=True)
class CauseSummary:
    """One cause in an audit: where it occurs, and how few digits it leaves.

    `verdicts` counts the verdicts of its values. `entries` are the ids of the ledger's entries for
    some of them.
    """

    name: str
    engines: tuple[str, ...]
    cases: tuple[str, ...]
    cells: int
    values: int
    digits: float
    verdicts: Mapping[Verdict, int]
    entries: tuple[str, ...]


def causes(audit: Audit) -> list[CauseSummary]:
    """Return the causes that experiments found, the most frequent one first."""
    rows = audit.comparisons[audit.comparisons["cause"] != ""]
    entries: dict[str, dict[str, None]] = {}
    for finding in audit.findings:
        if finding.entry is not None:
            entries.setdefault(finding.cause, {})[finding.entry.id] = None
    found = [
        CauseSummary(
            str(name),
            tuple(engine for engine in audit.engines if (of["engine"] == engine).any()),
            tuple(of["case"].unique()),
            len(of[["engine", "case"]].drop_duplicates()),
            len(of),
            fewest(of),
            counted(of),
            tuple(entries.get(str(name), ())),
        )
        for name, of in rows.groupby("cause", sort=False)
    ]
    return sorted(found, key=lambda cause: (-cause.cells, cause.name))


def failure_groups(found: Audit | CommandResults) -> pd.DataFrame:
    """Return the failures in groups, one row a group, the worst group first.

    The failures of a group have the same `engine, reference, kind` (of table)`, column, verdict,
    cause`. The columns `cases` and `values` are counts; `case, table, row, reference_value, value,
    digits` are those of the worst value.
    """
    rows = numbers.failing(found.comparisons)
    rows = rows.assign(kind=rows["table"].str.split(".").str[-1]).fillna({"reference": ""})
    by = ["engine", "reference", "kind", "column", "verdict", "cause"]
    of = rows.groupby(by)
    counts = {"cases": of["case"].transform("nunique"), "values": of["row"].transform("size")}
    worst = rows.assign(**counts).sort_values("digits", kind="stable").drop_duplicates(by)
    worst = worst.assign(severity=severity(worst))
    worst = worst.sort_values(["severity", "digits"], kind="stable")
    return worst.drop(columns="severity")


def problems(audit: Audit) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return why engines and references could not answer: engine, reason, cases."""
    return _by_engine((place, [reason]) for place, reason in audit.problems.items())


def gaps(audit: Audit) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return why cells are empty: engine, reason, cases."""
    return _by_engine(
        (place, left_out(audit.replies.get(place)))
        for place, shown in shown_cells(audit).items()
        if shown.kind == GAP
    )


def left_out(reply: EngineReply | None) -> list[str]:
    """Return why an engine did not answer whole parts, or why its answer was not compared."""
    if reply is None or reply.answer is None:
        return []
    reasons = dict.fromkeys(r for place, r in reply.answer.gaps.items() if "." not in place)
    return [*reasons, *["there is nothing to compare it with"] * bool(reply.answer.tables)]


def _by_engine(
    reasons: Iterable[tuple[tuple[str, str], Iterable[str]]],
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Group cases by reason. Reasons that differ only in the name of the case are the same."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for (engine, case), given in reasons:
        for reason in given:
            alike = re.sub(rf"\b{re.escape(case)}\b", "CASE", reason)
            found.setdefault((engine, alike), {})[case] = reason
    return [
        (engine, alike if len(reasons) > 1 else next(iter(reasons.values())), tuple(reasons))
        for (engine, alike), reasons in found.items()
    ]


@dataclass(frozen=True)
class AnswerSource:
    """An engine that answered: when, with which versions, how many cases, in how many seconds.

    `seconds` counts only answers that were made in this audit.
    """

    engine: str
    when: str
    versions: str
    cases: int = 1
    seconds: float = 0.0


def sources(audit: Audit, packages: Collection[str] | None = None) -> list[AnswerSource]:
    """Return the engines that answered, in the order of the matrix, then the references.

    Of an answer of R, only the versions of `packages` are named, or of all for `None`.
    """
    names = dict.fromkeys([*audit.engines, *(engine for engine, _ in audit.replies)])
    found = []
    for name in names:
        replies = [r for (engine, _), r in audit.replies.items() if engine == name]
        replies = [r for r in replies if r.answer is not None and r.answer.tables]
        if replies:
            each = [source(name, reply, packages) for reply in replies]
            when = " and ".join(sorted({one.when for one in each}))
            versions = "; or ".join(dict.fromkeys(one.versions for one in each if one.versions))
            seconds = sum(one.seconds for one in each)
            found.append(AnswerSource(name, when, versions, len(each), seconds))
    return found


def source(
    engine: str, reply: EngineReply, packages: Collection[str] | None = None
) -> AnswerSource:
    """Return when and with which versions an engine gave one answer, as `sources` does."""
    when = "now" if reply.when is None else f"recorded {reply.when[:10]}"
    when = "as printed" if engine == PUBLISHED else when
    made_by = reply.made_by
    if packages is not None and "R" in made_by:
        made_by = {name: version for name, version in made_by.items() if name in packages}
    return AnswerSource(engine, when, versions_of(made_by), seconds=reply.seconds)


def versions_of(packages: Mapping[str, str]) -> str:
    """Return packages and their versions as text."""
    return ", ".join(f"{package} {version}" for package, version in packages.items())


# -- the ledger ------------------------------------------------------------------------------------


def entries_to_paste(audit: Audit) -> str:
    """Return an entry in TOML for each cause that is not in the ledger.

    Its `references` are empty. The user adds the sources that document the cause.
    """
    new = audit.comparisons[audit.comparisons["verdict"] == Verdict.NEW]
    by = new.groupby(["engine", "reference", "cause"], sort=False)
    each = ((rows, [str(name) for name in place]) for place, rows in by)
    return "\n".join(_entry(rows, _why(audit.findings, *place), *place) for rows, place in each)


def _why(findings: Iterable[Finding], *place: str) -> str:
    """Return the result of the experiment that found a cause between an engine and a reference."""
    for finding in findings:
        if (finding.engine, finding.reference, finding.cause) == place and finding.decisive:
            return finding.decisive.says
    return ""


def _entry(rows: pd.DataFrame, why: str, engine: str, reference: str, cause: str) -> str:
    cases = rows["case"].unique()
    kinds = "*." + rows["table"].map(kind_of)
    bound = {"bound": math.floor(10.0 * fewest(rows)) / 10.0} if cause in UNBOUNDED else {}
    fields = {
        "id": re.sub(r"[^a-z0-9]+", "-", f"{engine} {cause}".lower()).strip("-"),
        "cases": [escape(name) for name in cases],
        "engine": escape(engine),
        "reference": escape(reference),
        "tables": _patterns(rows["table"], sorted(kinds.unique())),
        "rows": _patterns(rows["row"], [ALL]),
        "columns": _patterns(rows["column"], [ALL]),
        "cause": cause,
        **bound,
        "why": why,
        "references": [],
        "reproduce": f"rparity explain {cases[0]} {engine}",
    }
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["[[discrepancy]]", *lines, ""])


def _patterns(names: pd.Series[str], else_: list[str]) -> list[str]:
    """Return a pattern for each name if there are few, or else the patterns `else_`."""
    found = names.unique()
    return [escape(name) for name in found] if len(found) <= NAMED else else_
