"""What an audit comes to: causes counted, what fails, gaps and problems, who answered."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape

import pandas as pd

from rparity.audit.results import Audit, EngineReply
from rparity.compare import ALL, SEVERITY, Verdict
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.diagnosis.explain import Finding
from rparity.diagnosis.ledger import UNBOUNDED

# Rows, columns and tables that an entry of the ledger names one by one.
NAMED = 6
# Beside a cell's digits, for those who see no colours.
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
# What a cell without comparisons is, where it is no problem.
REFERENCE, GAP, PROBLEM = "reference", "gap", "problem"


@dataclass(frozen=True)
class Cause:
    """One cause across an audit: where it acts, and how few digits it leaves.

    `verdicts` counts its values; `entries` are the ids of the ledger that know some of them.
    """

    name: str
    engines: tuple[str, ...]
    cases: tuple[str, ...]
    cells: int
    values: int
    digits: float
    verdicts: Mapping[Verdict, int]
    entries: tuple[str, ...]


def causes(audit: Audit) -> list[Cause]:
    """Count what the experiments found, the most frequent cause first."""
    rows = audit.comparisons[audit.comparisons["cause"] != ""]
    entries: dict[str, dict[str, None]] = {}
    for finding in audit.findings:
        if finding.entry is not None:
            entries.setdefault(finding.cause, {})[finding.entry.id] = None
    found = [
        Cause(
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


def fewest(comparisons: pd.DataFrame) -> float:
    """Return the fewest digits of some comparisons."""
    return float(comparisons["digits"].min()) + 0.0  # not −0


def counted(comparisons: pd.DataFrame) -> dict[Verdict, int]:
    """Count the verdicts of some comparisons, the best first; what does not occur is left out."""
    counts = Counter(comparisons["verdict"].tolist())
    return {v: counts[v] for v in SEVERITY if v in counts}


def failing(audit: Audit) -> pd.DataFrame:
    """Return one row for what fails alike, the worst first.

    Columns `engine, reference, kind` (of table)`, column, verdict, cause`; `cases` and `values`,
    how many; and of the worst value `case, table, row, reference_value, value, digits`.
    """
    rows = audit.comparisons
    rows = rows[rows["verdict"].isin([v for v in Verdict if v.fails])]
    rows = rows.assign(kind=rows["table"].str.split(".").str[-1]).fillna({"reference": ""})
    by = ["engine", "reference", "kind", "column", "verdict", "cause"]
    of = rows.groupby(by)
    counts = {"cases": of["case"].transform("nunique"), "values": of["row"].transform("size")}
    worst = rows.assign(**counts).sort_values("digits", kind="stable").drop_duplicates(by)
    severity = worst["verdict"].map(lambda verdict: -SEVERITY.index(Verdict(verdict)))
    worst = worst.assign(severity=severity).sort_values(["severity", "digits"], kind="stable")
    return worst.drop(columns="severity")


def blanks(audit: Audit) -> dict[tuple[str, str], str]:
    """Say what each cell without comparisons is: `reference` to the others, `gap` or `problem`."""
    referees = set(audit.comparisons.groupby(["reference", "case"]).groups)
    found = {}
    for place, cell in audit.cells.items():
        if cell.values:
            continue
        if cell.problem is not None:
            found[place] = PROBLEM
        else:
            found[place] = REFERENCE if place in referees else GAP
    return found


def problems(audit: Audit) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what kept engines and references from answering: engine, reason, cases."""
    return _by_engine((place, [reason]) for place, reason in audit.problems.items())


def gaps(audit: Audit) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return why cells are empty: engine, reason, cases."""
    empty = [audit.cells[place] for place, kind in blanks(audit).items() if kind == GAP]
    return _by_engine(
        ((cell.engine, cell.case), left_out(audit.replies.get((cell.engine, cell.case))))
        for cell in empty
    )


def left_out(reply: EngineReply | None) -> list[str]:
    """Return why an engine left out whole parts, or why nothing of its answer was compared."""
    if reply is None or reply.answer is None:
        return []
    reasons = dict.fromkeys(r for place, r in reply.answer.gaps.items() if "." not in place)
    return [*reasons, *["there is nothing to compare it with"] * bool(reply.answer.tables)]


def _by_engine(
    reasons: Iterable[tuple[tuple[str, str], Iterable[str]]],
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Gather the cases of each reason; those that differ in the case's name alone are one."""
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
class Witness:
    """Who answered: versions as text, whether just now or when, and for how many cases.

    `seconds` is the time it took, for what was asked now.
    """

    engine: str
    versions: str
    when: str
    cases: int
    seconds: float


def witnesses(audit: Audit) -> list[Witness]:
    """Return who answered, in the order of the matrix, references last."""
    names = dict.fromkeys([*audit.engines, *(engine for engine, _ in audit.replies)])
    return [found for name in names for found in [_witness(audit, name)] if found is not None]


def _witness(audit: Audit, name: str) -> Witness | None:
    replies = [r for (engine, _), r in audit.replies.items() if engine == name]
    replies = [r for r in replies if r.answer is not None and r.answer.tables]
    if not replies:
        return None
    versions = "; or ".join(dict.fromkeys(said for r in replies if (said := made_by(r))))
    seconds = sum(reply.seconds for reply in replies)
    when = " and ".join(sorted({made_when(name, reply) for reply in replies}))
    return Witness(name, versions, when, len(replies), seconds)


def made_by(reply: EngineReply) -> str:
    """Return the versions of what answered, as text."""
    return ", ".join(f"{package} {version}" for package, version in reply.made_by.items())


def made_when(engine: str, reply: EngineReply) -> str:
    """Say when an answer was made."""
    if engine == PUBLISHED:
        return "as printed"
    return "now" if reply.when is None else f"recorded {reply.when[:10]}"


# -- the ledger ------------------------------------------------------------------------------------


def entries_to_paste(audit: Audit) -> str:
    """Return an entry of a ledger, in TOML, for each cause that the ledger does not know.

    `references` stay empty: an entry is complete with what documents it.
    """
    new = audit.comparisons[audit.comparisons["verdict"] == Verdict.NEW]
    by = new.groupby(["engine", "reference", "cause"], sort=False)
    each = ((rows, [str(name) for name in place]) for place, rows in by)
    return "\n".join(_entry(rows, _why(audit.findings, *place), *place) for rows, place in each)


def _why(findings: Iterable[Finding], *place: str) -> str:
    """Return what an experiment said that named a cause between an engine and a reference."""
    for finding in findings:
        if (finding.engine, finding.reference, finding.cause) == place and finding.decisive:
            return finding.decisive.says
    return ""


def _entry(rows: pd.DataFrame, why: str, engine: str, reference: str, cause: str) -> str:
    cases = rows["case"].unique()
    kinds = "*." + rows["table"].str.rpartition(".")[2]
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
    """Name a few as they are; of more than a few, what they have in common."""
    found = names.unique()
    return [escape(name) for name in found] if len(found) <= NAMED else else_
