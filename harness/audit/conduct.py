"""An audit from the questions to the causes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness import keep, recordings
from harness.audit.questions import CENTRED, audited, has_data, unadorned
from harness.audit.results import Audit, Reply
from harness.audit.workers import Told, ask_all
from harness.cases.base import Boot, Call, Case, Lmer, Part
from harness.compare import COLUMNS, Reference, Tables, Tolerance, Verdict, compare
from harness.diagnose import Finding, diagnose, with_entries
from harness.engines.base import KEPT_ENGINES, Answer, Question, engine, engine_names
from harness.engines.published import Published
from harness.errors import RecordingError, UsageError
from harness.experiments.arithmetic import last_bits, scatter
from harness.experiments.base import PLACE, PUBLISHED, Asked, Dispute, Trial
from harness.experiments.parameters import parameters
from harness.experiments.scaling import in_other_units, in_the_questions_units
from harness.ledger import Entry, judge, ledger
from harness.recordings import Recording
from harness.tables import decode_factors

Array = NDArray[np.float64]

# Who says what is right: the first of these that answers a part.
REFEREES = ("exact", "lme4-tight", "lm")
# R's recording of the case itself has its bootstraps and streams.
RECORDED = "recording"
LIMIT = 60.0
TIMES = 6  # that an engine is asked again about data changed in their last bits
TIGHT = "-tight"  # the same engine, with settings that spare it nothing
RATIOS = ("statistic", "p_value")
BAR = Tolerance(1e-12, "rounding")
# What may be near zero is held to the spread of its column as well.
NEAR_ZERO = Tolerance(1e-12, "rounding, beside the column's spread", spread=1e-12)
SPREAD = ("vcov", "ranef", "residual_quantiles", "confint_wald")


@dataclass(frozen=True)
class Matter:
    """One case under audit: the question, what R recorded, and what the experiments share."""

    case: Case
    fixtures: Path
    question: Question
    recording: Recording
    asked: Asked


def all_engines() -> tuple[str, ...]:
    """Return the rows of the matrix: R's engines, the published figures, then Python's."""
    python = [name for name in engine_names() if name not in KEPT_ENGINES]
    kept = [name for name in KEPT_ENGINES if name != "exact"]
    return ("exact", *kept, PUBLISHED, *python)


def conduct(
    cases: Sequence[Case],
    *,
    fixtures: Path | None = None,
    engines: Sequence[str] | None = None,
    live: bool = False,
    limit: float = LIMIT,
    entries: Sequence[Entry] | None = None,
    thorough: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> Audit:
    """Ask every engine about every case, compare with the referee, and find the causes.

    Answers of R and of the arbiter are those that are kept under `fixtures`, or at the case's home,
    unless `live`. `limit` is the time an
    engine may take for a case, in seconds. `thorough` runs all the experiments on every
    disagreement, also where one has named the cause already.

    Raises
    ------
    RecordingError
        Where R's recording of a case is missing, stale or corrupt.
    UsageError
        For an engine that is not known.
    """
    begun = time.monotonic()
    tell = on_progress or (lambda _text: None)
    chosen = _chosen(engines)
    matters = [matter_of(case, case.fixtures(fixtures)) for case in cases]
    replies = _replies(matters, chosen, live=live, limit=limit, tell=tell)
    truth = {matter.case.name: _truth(matter, replies) for matter in matters}
    found: dict[tuple[str, str], Examined] = {}
    for matter in matters:
        for name in chosen:
            tell(f"comparing {name} on {matter.case.name}")
            found[name, matter.case.name] = _examined(
                matter, name, replies, truth, Again(), thorough
            )
    # What is still open is asked again, on data that differ in their last bits or units.
    open_ = {place for place, (rows, _) in found.items() if _is_open(rows)}
    again = _asked_again(matters, open_, replies, limit=limit, tell=tell)
    for matter in matters:
        for name in chosen:
            if more := again.get((name, matter.case.name)):
                found[name, matter.case.name] = _examined(
                    matter, name, replies, truth, more, thorough
                )
    for matter in matters:
        for name in chosen:
            tight = found.get((f"{name}{TIGHT}", matter.case.name))
            if tight is not None:
                found[name, matter.case.name] = _settled(*found[name, matter.case.name], tight[0])
    frames, findings = _numbered(found.values())
    nothing = pd.DataFrame(columns=[*COLUMNS, "cause"])
    comparisons = pd.concat(frames) if frames else nothing
    names = [case.name for case in cases]
    judged, known = judge(comparisons, ledger() if entries is None else entries, names)
    return Audit(
        engines=chosen,
        cases=tuple(cases),
        replies=replies,
        comparisons=judged,
        findings=with_entries(findings, known),
        stops=_stops(matters, chosen, replies),
        truth={
            case: {t: frame for t, (_, frame) in tables.items()} for case, tables in truth.items()
        },
        provenance={matter.case.name: matter.recording.provenance for matter in matters},
        live=live,
        seconds=time.monotonic() - begun,
    )


def _chosen(engines: Sequence[str] | None) -> tuple[str, ...]:
    known = all_engines()
    unknown = [name for name in engines or () if name not in known]
    if unknown:
        raise UsageError(f"There is no engine {unknown[0]!r}: there are {', '.join(known)}.")
    return tuple(engines) if engines else known


def matter_of(case: Case, fixtures: Path) -> Matter:
    """Return a case under audit, with R's recording of it.

    Raises
    ------
    RecordingError
        Where the recording is missing, stale or corrupt.
    """
    recording = recordings.read(fixtures, case.name, case.scripts())
    if has_data(case):
        data = decode_factors(recording.tables["data"], recording.provenance["levels"])
        question = audited(case, data, {})
    else:
        versions = recording.provenance["made_by"]["packages"]
        question = Question(unadorned(case, case.parts), case.nsim, versions)
    asked = Asked(case, question.case.parts, question.data, recording.tables, recording.provenance)
    return Matter(case, fixtures, question, recording, asked)


# -- replies ---------------------------------------------------------------------------------------


def _replies(
    matters: Sequence[Matter],
    engines: Sequence[str],
    *,
    live: bool,
    limit: float,
    tell: Callable[[str], None],
) -> dict[tuple[str, str], Reply]:
    wanted = [*dict.fromkeys([*engines, *REFEREES])]
    run = [name for name in wanted if name != PUBLISHED and (live or name not in KEPT_ENGINES)]
    total, done = len(run) * len(matters), 0
    replies: dict[tuple[str, str], Reply] = {}

    def heard(told: Told) -> None:
        nonlocal done
        done += 1
        tell(f"{done} of {total} answers: {told.engine} on {told.case}")

    questions = [matter.question for matter in matters]
    for told in ask_all(dict.fromkeys(run, questions), limit=limit, on_answer=heard):
        reply = Reply(told.answer, told.problem, told.seconds, told.made_by)
        replies[told.engine, told.case] = reply
    for matter in matters:
        case = matter.case.name
        for name in wanted:
            if name == PUBLISHED:
                replies[name, case] = Reply(Published().answer_case(matter.case))
            elif name in KEPT_ENGINES and not live:
                replies[name, case] = _kept(name, matter)
    return replies


def _kept(name: str, matter: Matter) -> Reply:
    if not has_data(matter.case):
        return Reply(
            Answer({}, {part.name: "has no models" for part in matter.question.case.parts})
        )
    try:
        answer, provenance = keep.read(matter.fixtures, name, matter.question)
    except RecordingError as error:
        return Reply(None, str(error))
    return Reply(answer, None, 0.0, provenance["made_by"]["packages"], provenance["time"])


# -- comparisons -----------------------------------------------------------------------------------

Truth = Mapping[str, tuple[str, pd.DataFrame]]


def _truth(
    matter: Matter, replies: Mapping[tuple[str, str], Reply]
) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return, for each table, who is the referee and what it says."""
    found: dict[str, tuple[str, pd.DataFrame]] = {}
    answers = {name: replies[name, matter.case.name].answer for name in REFEREES}
    for part in matter.question.case.parts:
        if isinstance(part, Boot | Call):
            told = {t: matter.recording.tables[t] for t in part.tables}
            found |= {t: (RECORDED, table) for t, table in told.items()}
            continue
        for name, answer in answers.items():
            tables = {} if answer is None else _of_part(answer.tables, part.name)
            if tables:
                found |= {table: (name, frame) for table, frame in tables.items()}
                break
    exact = answers["exact"]
    if exact is not None:  # variants that experiments ask for: the data as decimals
        found |= {t: ("exact", f) for t, f in exact.tables.items() if t not in found}
    return found


def _of_part(tables: Tables, part: str) -> Tables:
    return {t: frame for t, frame in tables.items() if t.partition(".")[0] == part}


@dataclass(frozen=True)
class Again:
    """What came of asking an engine again: how far its values scatter, its answer rescaled."""

    noise: Tables = field(default_factory=dict)
    rescaled: Tables = field(default_factory=dict)


Examined = tuple[pd.DataFrame, list[Finding]]


def _examined(
    matter: Matter,
    name: str,
    replies: Mapping[tuple[str, str], Reply],
    truths: Mapping[str, Truth],
    again: Again,
    thorough: bool,
) -> Examined:
    """Compare an engine with the referees, and find the causes of what differs."""
    answer, truth = replies[name, matter.case.name].answer, truths[matter.case.name]
    rows = _compared(matter, name, answer, truth)
    if answer is None or rows.empty:
        return rows, []
    rows = rows.assign(cause="")
    findings: list[Finding] = []
    for reference in rows["reference"].unique():
        told = {table: frame for table, (who, frame) in truth.items() if who == reference}
        dispute = Dispute(
            matter.asked,
            name,
            reference,
            answer.tables,
            told,
            answer.notes,
            again.noise,
            again.rescaled,
        )
        findings += diagnose(dispute, rows[rows["reference"] == reference], thorough=thorough)
    _name_causes(rows, findings)
    findings = _cancelled(findings, rows)
    _name_causes(rows, findings)
    findings = _derived(matter, findings, rows)
    _name_causes(rows, findings)
    asked_for = ~rows["table"].str.partition(".")[0].str.endswith(CENTRED)
    return rows[asked_for], findings


def _numbered(found: Iterable[Examined]) -> tuple[list[pd.DataFrame], list[Finding]]:
    """Give every comparison a number of its own, by which findings name it."""
    frames, findings, first = [], [], 0
    for rows, mine in found:
        if len(rows):
            frames.append(rows.set_axis(rows.index + first))
            findings += [finding.moved(first) for finding in mine]
            first += int(rows.index.max()) + 1
    return frames, findings


def _is_open(rows: pd.DataFrame) -> bool:
    return bool(((rows["verdict"] == Verdict.UNEXPLAINED) & (rows["cause"] == "")).any())


def _asked_again(
    matters: Sequence[Matter],
    places: Collection[tuple[str, str]],
    replies: Mapping[tuple[str, str], Reply],
    *,
    limit: float,
    tell: Callable[[str], None],
) -> dict[tuple[str, str], Again]:
    """Ask Python's engines again: data changed in the last bit, predictors in other units."""
    rng = np.random.default_rng(1)
    questions: dict[str, list[Question]] = {}
    factors: dict[str, dict[str, Array]] = {}
    for matter in matters:
        case, data = matter.case.name, matter.question.data
        asking = [n for n, c in places if c == case and n not in (*KEPT_ENGINES, PUBLISHED)]
        if data is None or not asking:
            continue
        models = [part for part in matter.question.case.parts if not isinstance(part, Boot | Call)]
        question = replace(matter.question, case=unadorned(matter.case, models))
        more = [replace(question, data=last_bits(data, rng)) for _ in range(TIMES)]
        if rescaled := in_other_units(question):
            factors[case] = rescaled[1]
            more.append(rescaled[0])
        for name in asking:
            questions.setdefault(name, []).extend(more)
    answers: dict[tuple[str, str], list[Tables]] = {}
    for told in ask_all(
        questions,
        limit=limit,
        on_answer=lambda told: tell(f"asking {told.engine} again about {told.case}"),
    ):
        tables = {} if told.answer is None else told.answer.tables
        answers.setdefault((told.engine, told.case), []).append(tables)
    found = {}
    for (name, case), others in answers.items():
        answer = replies[name, case].answer
        assert answer is not None  # or nothing would have been compared
        units = factors.get(case)
        rescaled_tables = in_the_questions_units(others.pop(), units) if units else {}
        found[name, case] = Again(scatter(answer.tables, others), rescaled_tables)
    return found


def _name_causes(rows: pd.DataFrame, findings: Sequence[Finding]) -> None:
    for finding in findings:
        rows.loc[finding.rows, "cause"] = finding.cause


def _compared(matter: Matter, name: str, answer: Answer | None, truth: Truth) -> pd.DataFrame:
    """Compare an engine's tables with the referee's; a gap is not missing."""
    frames: list[pd.DataFrame] = []
    if answer is None:
        return pd.DataFrame(columns=[*COLUMNS, "cause"])
    for part in matter.question.case.parts:
        told = {table: truth[table] for table in _undertaken(name, part, answer) if table in truth}
        referees = {who for who, _ in told.values()} - {name}
        for who in referees:
            tables = {table: frame for table, (w, frame) in told.items() if w == who}
            subject = answer.tables
            if name == PUBLISHED:
                subject = {t: f for t, f in subject.items() if t in tables}
                tables = {t: _printed_part(f, tables[t]) for t, f in subject.items()}
            reference = Reference(who, tables, _tolerance(matter.case, name, part))
            found = compare(matter.case.name, name, subject, reference, list(tables))
            if name == PUBLISHED:  # what a page leaves empty
                found = found[found["value"].notna() | (found["verdict"] == Verdict.MISSING)]
            frames.append(answer.without_gaps(found))
    frames = [frame for frame in frames if len(frame)]
    return (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=[*COLUMNS, "cause"])
    )


def _undertaken(name: str, part: Part, answer: Answer) -> tuple[str, ...]:
    if name == PUBLISHED:
        return tuple(_of_part(answer.tables, part.name))
    return _engine(name).expected(part)


_engine = cache(engine)


def _printed_part(printed: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return those rows and columns of the truth that were printed."""
    return truth.reindex(index=printed.index, columns=printed.columns)


def _tolerance(case: Case, name: str, part: Part) -> Callable[[str, str], Tolerance]:
    """Models are held to rounding, bootstraps and streams to the case's own tolerances."""
    if isinstance(part, Boot | Call):
        if name == PUBLISHED and case.published is not None:
            return case.published.reference().tolerance
        return lambda table, column: case.tolerance(name, table, column)
    return lambda table, _column: NEAR_ZERO if table.rpartition(".")[2] in SPREAD else BAR


def _cancelled(findings: Sequence[Finding], rows: pd.DataFrame) -> list[Finding]:
    """Explain what agrees, or has a cause, once the engine is given the response centred."""
    return _elsewhere(
        [finding for finding in findings if not finding.part.endswith(CENTRED)],
        rows,
        rows.assign(table=rows["table"].str.replace(f"{CENTRED}.", ".", n=1, regex=False))[
            rows["table"].str.partition(".")[0].str.endswith(CENTRED)
        ],
        "the response less its first value",
        "cancellation",
        "given the response less its first value, a difference without rounding, it has the "
        "answer: the leading digits that all responses share cost it the others",
    )


def _settled(rows: pd.DataFrame, findings: Sequence[Finding], tight: pd.DataFrame) -> Examined:
    """Explain what agrees, or has a cause, once the same engine is run with tight settings."""
    found = _elsewhere(
        findings,
        rows,
        tight,
        "the same engine with tight settings",
        "default settings",
        "with tight settings the same engine has the answer: what its defaults approximate is off",
    )
    rows = rows.copy()
    _name_causes(rows, found)
    return rows, found


def _elsewhere(
    findings: Sequence[Finding],
    rows: pd.DataFrame,
    others: pd.DataFrame,
    experiment: str,
    cause: str,
    says: str,
) -> list[Finding]:
    """Explain what agrees, or has a cause, in comparisons made elsewhere of the same values."""
    at = others.set_index(list(PLACE))
    at = at[~at.index.duplicated()]
    out: list[Finding] = []
    for finding in findings:
        if finding.cause:
            out.append(finding)
            continue
        places = pd.MultiIndex.from_frame(rows.loc[finding.rows, list(PLACE)])
        there = at.reindex(places).set_axis(finding.rows)
        agrees = [isinstance(v, str) and not Verdict(v).fails for v in there["verdict"]]
        named = there["cause"].fillna("").astype(str) != ""
        gone = pd.Series(agrees, finding.rows, dtype=bool) | named
        trial = Trial(experiment, cause, says, there["digits"].fillna(0.0).astype(float), gone)
        out += finding.split(trial) if len(at) else [finding]
    return out


def _sources(matter: Matter, table: str, row: str, column: str) -> list[tuple[str, str, str]]:
    """Return the values that a value is made of: a ratio's parts, a bootstrap's estimate."""
    if column in RATIOS:
        return [(table, row, "std_error"), (table, row, "estimate")]
    part = matter.asked.parts.get(table.partition(".")[0])
    if isinstance(part, Boot) and column == "estimate":
        return [(f"{part.of}.coef", row, "estimate")]
    return []


def _derived(matter: Matter, findings: Sequence[Finding], rows: pd.DataFrame) -> list[Finding]:
    """Let what is made of others have their cause: t is estimate over standard error."""
    at = {
        (table, row, column): (Verdict(verdict).fails and not cause, cause)
        for table, row, column, verdict, cause in zip(
            *(rows[name] for name in (*PLACE, "verdict", "cause")), strict=True
        )
    }
    out: list[Finding] = []
    for finding in findings:
        if finding.cause:
            out.append(finding)
            continue
        causes: dict[object, str] = {}
        for place, (table, row, column) in rows.loc[finding.rows, list(PLACE)].iterrows():
            made_of = [
                at.get(source, (True, "")) for source in _sources(matter, table, row, column)
            ]
            named = next((cause for _, cause in made_of if cause), "")
            if named and not any(open_ for open_, _ in made_of):
                causes[place] = named
        left = [finding]
        for cause in dict.fromkeys(causes.values()):
            open_ = left.pop()
            trial = Trial(
                "what it is made of",
                cause,
                "made of other values, which differ for this cause",
                rows.loc[open_.rows, "digits"],
                pd.Series([causes.get(place) == cause for place in open_.rows], open_.rows),
            )
            left += open_.split(trial)
        out += left
    return out


def _stops(
    matters: Sequence[Matter],
    engines: Sequence[str],
    replies: Mapping[tuple[str, str], Reply],
) -> pd.DataFrame:
    """Say how far from the optimum, and how far above it, every engine stopped."""
    found = []
    for matter in matters:
        models = [p for p in matter.question.case.parts if isinstance(p, Lmer)]
        for part in models:
            fit = matter.asked.lmer(part)
            size = float(np.linalg.norm(fit.theta_hat))
            for name in engines:
                answer = replies[name, matter.case.name].answer
                place = None if answer is None else parameters(fit, part.name, answer.tables)
                if place is None or size == 0.0 or part.name.endswith(CENTRED):
                    continue
                distance = float(np.linalg.norm(place[0] - fit.theta_hat)) / size
                rise = matter.asked.at(part, *place).criterion - fit.criterion
                found.append((matter.case.name, part.name, name, distance, rise))
    return pd.DataFrame(found, columns=["case", "model", "engine", "distance", "rise"])
