"""One difference explained: the values, the arbiter's value, the experiments, the cause."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import pandas as pd

from rparity.audit.audit_case import RECORDED, AuditCase, audit_case_of
from rparity.audit.results import Audit, EngineReply
from rparity.audit.run_audit import all_engines, run_audit
from rparity.cases.base import Boot, Case, Lm, Lmer, Part, first_names
from rparity.compare import ALL, Verdict, digits, kind_of, part_of
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.diagnosis.explain import Finding
from rparity.diagnosis.ledger import Entry
from rparity.engines import kept_answers
from rparity.errors import UsageError, did_you_mean

ARBITER = "exact"
AGREEING = (Verdict.IDENTICAL, Verdict.ROUNDING, Verdict.WITHIN)


@dataclass(frozen=True)
class Statement:
    """The value that an engine, R or the reference gives.

    `digits` is the agreement with the reference; None for the reference itself. `made_by` has
    versions, and `when` the time of a recording; None for a live answer. `decimals` is the value as
    text, if it has more digits than a double, or is printed.
    """

    name: str
    value: float
    digits: float | None
    made_by: Mapping[str, str]
    when: str | None
    decimals: str | None = None


@dataclass(frozen=True)
class Step:
    """One experiment: what it found, the value's digits after it, and whether it explains them.

    The digits are NaN if the experiment is not about the value.
    """

    experiment: str
    says: str
    digits: float
    vanished: bool


@dataclass(frozen=True)
class Argument:
    """Why one value differs.

    `alike` counts the values that have the same cause, including this one. `notes` is what the
    engine reported about the value's part.
    """

    table: str
    row: str
    column: str
    verdict: Verdict
    statements: Sequence[Statement]
    steps: Sequence[Step]
    cause: str
    alike: int
    fewest: float
    entry: Entry | None
    reproduce: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Explanation:
    """How an engine agrees with the references on a case, or on one table or row, and why not.

    `agreeing` are the comparisons that agree. `stale` are the ledger entries that no longer occur.
    `questions` has each part's question by the part's name.
    """

    case: Case
    engine: str
    references: Sequence[str]
    questions: Mapping[str, str]
    arguments: Sequence[Argument]
    agreeing: pd.DataFrame
    stale: Sequence[str]

    @property
    def failed(self) -> bool:
        """Whether a difference is not explained or not in the ledger, or an entry is stale."""
        return bool(self.stale) or any(argument.verdict.fails for argument in self.arguments)


def explanation(
    case: Case,
    engine: str,
    table: str | None = None,
    row: str | None = None,
    *,
    fixtures: Path,
    on_progress: Callable[[str], None] | None = None,
) -> Explanation:
    """Ask one engine about one case, run all experiments, and explain the differences.

    For each cause the value with the fewest digits is explained: of the whole case, or of one table
    or row.

    Raises
    ------
    UsageError
        For an unknown engine, table or row, and if the engine has no answer.
    RecordingError
        If R's recording of the case is missing, stale or corrupt.
    """
    if engine not in all_engines():
        hint = did_you_mean(engine, all_engines())
        raise UsageError(
            f"There is no engine {engine!r}. {hint}There are {', '.join(all_engines())}."
        )
    audit = run_audit(
        [case], fixtures=fixtures, engines=[engine], thorough=True, on_progress=on_progress
    )
    audited = audit_case_of(case, fixtures)
    rows = _chosen(audit, audit.comparisons, engine, table, row)
    about_ledger = rows["verdict"] == Verdict.STALE
    stale = rows.loc[about_ledger, "table"].str.removeprefix("ledger: ").tolist()
    rows = rows[~about_ledger]
    agree = rows["verdict"].isin(AGREEING)
    return Explanation(
        case=case,
        engine=engine,
        references=tuple(rows["reference"].unique()),
        questions={p.name: _question(p, audited) for p in audited.question.case.parts},
        arguments=tuple(_arguments(audit, audited, rows[~agree], fixtures)),
        agreeing=rows[agree],
        stale=stale,
    )


def _chosen(
    audit: Audit, rows: pd.DataFrame, engine: str, table: str | None, row: str | None
) -> pd.DataFrame:
    """Return the comparisons of a table or row."""
    case = audit.cases[0].name
    if rows.empty:
        raise UsageError(_nothing(audit, engine, case))
    if table is None:
        return rows
    mine = rows[rows["table"] == table]
    if mine.empty:
        reply = audit.replies[engine, case]
        gap = (
            reply.answer.gap(table)
            if reply.answer and table in audit.reference_tables[case]
            else None
        )
        if gap is not None:
            raise UsageError(f"{engine} does not answer {table} of {case}: {gap}.")
        known = rows["table"].unique().tolist()
        hint = did_you_mean(table, known)
        raise UsageError(
            f"{engine} and {case} have no table {table!r} to compare. {hint}There are "
            f"{', '.join(known)}."
        )
    if row is None:
        return mine
    chosen = mine[mine["row"] == row]
    if chosen.empty:
        hint = did_you_mean(row, mine["row"].unique().tolist())
        raise UsageError(f"The table {table} of {case} has no row {row!r}. {hint}".rstrip())
    return chosen


def _nothing(audit: Audit, engine: str, case: str) -> str:
    """Say why there is nothing to explain about an engine on a case."""
    reply = audit.replies[engine, case]
    if reply.problem is not None:
        return f"{engine} has no answer to {case}: {reply.problem}"
    if reply.answer and reply.answer.tables:
        return f"{engine} is what the others are compared with on {case}: it differs from nothing."
    gaps = dict.fromkeys(reply.answer.gaps.values()) if reply.answer else {}
    return f"{engine} has no answer to {case}: {'; '.join(gaps)}."


def _question(part: Part, audited: AuditCase) -> str:
    """Return the question of a part, in a line."""
    rows = 0 if audited.question.data is None else len(audited.question.data)
    match part:
        case Lmer():
            weighted = f", weights {part.weights}" if part.weights else ""
            return f"{part.formula}{weighted}, by {'REML' if part.reml else 'ML'}, {rows} rows"
        case Lm():
            coded = "".join(f", {c} for {f}" for f, c in part.contrasts.items())
            return f"{part.formula}, by least squares{coded}, {rows} rows"
        case Boot():
            effects = "kept" if part.use_u else "drawn anew"
            count = f"{audited.question.nsim} replicates"
            return f"parametric bootstrap of {part.of}, random effects {effects}, {count}"
    return part.name


# -- arguments -------------------------------------------------------------------------------------


def _arguments(
    audit: Audit, audited: AuditCase, rows: pd.DataFrame, fixtures: Path
) -> Iterator[Argument]:
    """Explain the value with the fewest digits of each cause."""
    for cause, alike in rows.groupby("cause", sort=False):
        place = alike.index[int(alike["digits"].to_numpy().argmin())]
        worst = alike.loc[place]
        finding = next((f for f in audit.findings if place in f.rows), None)
        engine, table, row = (str(worst[name]) for name in ("engine", "table", "row"))
        command = ["rparity", "explain", audited.case.name, engine, table]
        yield Argument(
            table=table,
            row=row,
            column=str(worst["column"]),
            verdict=Verdict(worst["verdict"]),
            statements=_statements(audit, audited, worst, fixtures),
            steps=[] if finding is None else _steps(finding, int(place)),
            cause=str(cause),
            alike=len(alike),
            fewest=float(alike["digits"].min()) + 0.0,
            entry=None if finding is None else finding.entry,
            reproduce=shlex.join(command if row == ALL else [*command, row]),
            notes=_notes(audit, audited, engine, part_of(table)),
        )


def _notes(audit: Audit, audited: AuditCase, engine: str, part: str) -> list[str]:
    """Return an engine's notes, except those about other parts."""
    answer = audit.replies[engine, audited.case.name].answer
    others = {other.name for other in audited.question.case.parts} - {part}
    notes = () if answer is None else answer.notes
    return [note for note in notes if note.partition(":")[0] not in others]


def _steps(finding: Finding, place: int) -> list[Step]:
    return [
        Step(t.experiment, t.says, float(t.digits[place]) + 0.0, bool(t.vanished[place]))
        for t in finding.trials
        if place in t.digits.index and not isnan(t.digits[place])
    ]


def _statements(
    audit: Audit, audited: AuditCase, row: pd.Series, fixtures: Path
) -> list[Statement]:
    """Return the values of the engine, R and the reference, each with its digits."""
    name, reference = str(row["engine"]), str(row["reference"])
    value, expected = float(row["value"]), float(row["reference_value"])
    mine, theirs = (audit.replies.get((n, audited.case.name)) for n in (name, reference))
    printed = _printed(audited.case, row) if name == PUBLISHED else None
    found = [_statement(name, value, float(row["digits"]) + 0.0, mine, audited, printed)]
    recorded = audited.recording.tables.get(str(row["table"]), pd.DataFrame())
    place = row["row"], row["column"]
    if reference != RECORDED and place[0] in recorded.index and place[1] in recorded.columns:
        r = float(recorded.loc[place[0], place[1]])
        if r != value:
            found.append(_statement("R", r, float(digits(r, expected)) + 0.0, None, audited))
    exact = _decimals(audited, row, fixtures)
    found.append(_statement(reference, expected, None, theirs, audited, exact))
    return found


def _statement(
    name: str,
    value: float,
    agreeing: float | None,
    reply: EngineReply | None,
    audited: AuditCase,
    decimals: str | None = None,
) -> Statement:
    """Return one value; without a reply it is that of R's recording of the case."""
    if reply is None:
        made = audited.recording.provenance
        return Statement(name, value, agreeing, made["made_by"]["packages"], made["time"])
    return Statement(name, value, agreeing, reply.made_by, reply.when, decimals)


def _printed(case: Case, row: pd.Series) -> str | None:
    """Return a published figure as it is printed."""
    first = first_names(case)
    for name, table in case.published.figures.items() if case.published else ():
        if row["table"] == f"{first.get(part_of(name), part_of(name))}.{kind_of(name)}":
            return table.get(row["row"], {}).get(row["column"])
    return None


def _decimals(audited: AuditCase, row: pd.Series, fixtures: Path) -> str | None:
    """Return the arbiter's value with more digits than a double has."""
    if row["reference"] != ARBITER:
        return None
    known = kept_answers.certified(fixtures, audited.question)
    place = [known[name] == row[name] for name in ("table", "row", "column")]
    found = known.loc[place[0] & place[1] & place[2], "value"]
    return str(found.iloc[0]) if len(found) else None
