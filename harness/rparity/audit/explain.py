"""One disagreement as an argument: the values, the arbiter's, the experiments, the cause."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rparity.audit.conduct import all_engines, conduct
from rparity.audit.matter import RECORDED, Matter, matter_of
from rparity.audit.results import Audit, Reply
from rparity.cases.base import Boot, Case, Lm, Lmer, Part, first_names
from rparity.compare import ALL, Verdict, digits
from rparity.diagnosis.diagnose import Finding
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.diagnosis.ledger import Entry
from rparity.engines import kept_answers as keep
from rparity.errors import UsageError, did_you_mean

ARBITER = "exact"
AGREEING = (Verdict.IDENTICAL, Verdict.ROUNDING, Verdict.WITHIN)


@dataclass(frozen=True)
class Voice:
    """Who says what about a value: `decimals` where it has other digits than a double.

    `digits` are those in which it agrees with the reference; None for the reference itself.
    `made_by` are versions, `when` the time of the recording; None for what answered now.
    """

    name: str
    value: float
    digits: float | None
    made_by: Mapping[str, str]
    when: str | None
    decimals: str | None = None


@dataclass(frozen=True)
class Step:
    """One experiment: what it says, the value's digits after it, and whether it ends the matter.

    The digits are NaN where it says nothing of the value.
    """

    experiment: str
    says: str
    digits: float
    vanished: bool


@dataclass(frozen=True)
class Argument:
    """Why one value differs. `alike` counts the values that have the same cause, this one too.

    `notes` are what the engine said of the value's part.
    """

    table: str
    row: str
    column: str
    verdict: Verdict
    voices: Sequence[Voice]
    steps: Sequence[Step]
    cause: str
    alike: int
    fewest: float
    entry: Entry | None
    reproduce: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Explanation:
    """What there is to say of an engine on a case, or of one of its tables or rows.

    `agreeing` are the comparisons that agree, `stale` the ledger's entries that no longer occur,
    `questions` each part's question by the part's name.
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
        """Whether something is not explained, or not known to the ledger."""
        return bool(self.stale) or any(argument.verdict.fails for argument in self.arguments)


def explain(
    case: Case,
    engine: str,
    table: str | None = None,
    row: str | None = None,
    *,
    fixtures: Path,
    on_progress: Callable[[str], None] | None = None,
) -> Explanation:
    """Ask one engine about one case, run all the experiments, and make the argument.

    Without a table it is about the disagreement with the fewest digits of each cause.

    Raises
    ------
    UsageError
        For an engine, table or row that is not known, and where the engine has no answer.
    RecordingError
        Where R's recording of the case is missing, stale or corrupt.
    """
    if engine not in all_engines():
        hint = did_you_mean(engine, all_engines())
        raise UsageError(
            f"There is no engine {engine!r}. {hint}There are {', '.join(all_engines())}."
        )
    audit = conduct(
        [case], fixtures=fixtures, engines=[engine], thorough=True, on_progress=on_progress
    )
    matter = matter_of(case, fixtures)
    rows = _chosen(audit, audit.comparisons, engine, table, row)
    about_ledger = rows["verdict"] == Verdict.STALE
    stale = rows.loc[about_ledger, "table"].str.removeprefix("ledger: ").tolist()
    rows = rows[~about_ledger]
    agree = rows["verdict"].isin(AGREEING)
    return Explanation(
        case=case,
        engine=engine,
        references=tuple(rows["reference"].unique()),
        questions={p.name: _question(p, matter) for p in matter.question.case.parts},
        arguments=tuple(_arguments(audit, matter, rows[~agree], fixtures)),
        agreeing=rows[agree],
        stale=stale,
    )


def _chosen(
    audit: Audit, rows: pd.DataFrame, engine: str, table: str | None, row: str | None
) -> pd.DataFrame:
    """Return the comparisons that were asked for."""
    case = audit.cases[0].name
    if rows.empty:
        raise UsageError(_nothing(audit, engine, case))
    if table is None:
        return rows
    told = audit.truth[case]
    mine = rows[rows["table"] == table]
    if mine.empty:
        reply = audit.replies[engine, case]
        gap = reply.answer.gap(table) if reply.answer and table in told else None
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
    """Say why an engine has nothing to explain on a case."""
    reply = audit.replies[engine, case]
    if reply.problem is not None:
        return f"{engine} has no answer to {case}: {reply.problem}"
    if reply.answer and reply.answer.tables:
        return f"{engine} is what the others are compared with on {case}: it differs from nothing."
    gaps = dict.fromkeys(reply.answer.gaps.values()) if reply.answer else {}
    return f"{engine} has no answer to {case}: {'; '.join(gaps)}."


def _question(part: Part, matter: Matter) -> str:
    """State what a part asks, in a line."""
    rows = 0 if matter.question.data is None else len(matter.question.data)
    match part:
        case Lmer():
            weighted = f", weights {part.weights}" if part.weights else ""
            return f"{part.formula}{weighted}, by {'REML' if part.reml else 'ML'}, {rows} rows"
        case Lm():
            coded = "".join(f", {c} for {f}" for f, c in part.contrasts.items())
            return f"{part.formula}, by least squares{coded}, {rows} rows"
        case Boot():
            effects = "kept" if part.use_u else "drawn anew"
            count = f"{matter.question.nsim} replicates"
            return f"parametric bootstrap of {part.of}, random effects {effects}, {count}"
    return part.name


# -- arguments -------------------------------------------------------------------------------------


def _arguments(
    audit: Audit, matter: Matter, rows: pd.DataFrame, fixtures: Path
) -> Iterator[Argument]:
    """Make the argument about the value with the fewest digits of each cause."""
    for cause, alike in rows.groupby("cause", sort=False):
        place = alike.index[int(alike["digits"].to_numpy().argmin())]
        worst = alike.loc[place]
        finding = next((f for f in audit.findings if place in f.rows), None)
        engine, table, row = (str(worst[name]) for name in ("engine", "table", "row"))
        command = ["rparity", "explain", matter.case.name, engine, table]
        yield Argument(
            table=table,
            row=row,
            column=str(worst["column"]),
            verdict=Verdict(worst["verdict"]),
            voices=_voices(audit, matter, worst, fixtures),
            steps=[] if finding is None else _steps(finding, int(place)),
            cause=str(cause),
            alike=len(alike),
            fewest=float(alike["digits"].min()) + 0.0,
            entry=None if finding is None else finding.entry,
            reproduce=shlex.join(command if row == ALL else [*command, row]),
            notes=_notes(audit, matter, engine, table.partition(".")[0]),
        )


def _notes(audit: Audit, matter: Matter, engine: str, part: str) -> list[str]:
    """Return what an engine said, but of other parts."""
    answer = audit.replies[engine, matter.case.name].answer
    others = {other.name for other in matter.question.case.parts} - {part}
    said = () if answer is None else answer.notes
    return [note for note in said if note.partition(":")[0] not in others]


def _steps(finding: Finding, place: int) -> list[Step]:
    return [
        Step(t.experiment, t.says, float(t.digits[place]) + 0.0, bool(t.vanished[place]))
        for t in finding.trials
        if place in t.digits.index
    ]


def _voices(audit: Audit, matter: Matter, row: pd.Series, fixtures: Path) -> list[Voice]:
    """Return what the engine, R and the reference say, each with its digits."""
    name, reference = str(row["engine"]), str(row["reference"])
    value, told = float(row["value"]), float(row["reference_value"])
    mine, theirs = (audit.replies.get((n, matter.case.name)) for n in (name, reference))
    printed = _printed(matter.case, row) if name == PUBLISHED else None
    voices = [_voice(name, value, float(row["digits"]) + 0.0, mine, matter, printed)]
    recorded = matter.recording.tables.get(str(row["table"]), pd.DataFrame())
    place = row["row"], row["column"]
    if reference != RECORDED and place[0] in recorded.index and place[1] in recorded.columns:
        r = float(recorded.loc[place[0], place[1]])
        if r != value:
            voices.append(_voice("R", r, float(digits(r, told)) + 0.0, None, matter))
    voices.append(_voice(reference, told, None, theirs, matter, _decimals(matter, row, fixtures)))
    return voices


def _voice(
    name: str,
    value: float,
    agreeing: float | None,
    reply: Reply | None,
    matter: Matter,
    decimals: str | None = None,
) -> Voice:
    """Return what one side says; R's recording of the case has a provenance of its own."""
    if reply is None:
        made = matter.recording.provenance
        return Voice(name, value, agreeing, made["made_by"]["packages"], made["time"])
    return Voice(name, value, agreeing, reply.made_by, reply.when, decimals)


def _printed(case: Case, row: pd.Series) -> str | None:
    """Return a published figure as it is printed."""
    first = first_names(case)
    for name, table in case.published.figures.items() if case.published else ():
        part, _, kind = name.rpartition(".")
        if row["table"] == f"{first.get(part, part)}.{kind}":
            return table.get(row["row"], {}).get(row["column"])
    return None


def _decimals(matter: Matter, row: pd.Series, fixtures: Path) -> str | None:
    """Return the arbiter's value to more digits than a double has."""
    if row["reference"] != ARBITER:
        return None
    known = keep.certified(fixtures, matter.question)
    place = [known[name] == row[name] for name in ("table", "row", "column")]
    found = known.loc[place[0] & place[1] & place[2], "value"]
    return str(found.iloc[0]) if len(found) else None
