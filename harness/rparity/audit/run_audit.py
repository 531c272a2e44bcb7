"""An audit: ask every engine about every case, compare with the references, find the causes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rparity.audit.audit_case import REFERENCES, AuditCase, audit_case_of
from rparity.audit.examine import Examined
from rparity.audit.examiner import Examiner, RemoteExaminer
from rparity.audit.questions import has_data
from rparity.audit.results import Audit, EngineReply
from rparity.audit.workers import EngineProcesses
from rparity.cases.base import Case
from rparity.compare import COLUMNS
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.diagnosis.explain import Finding, with_entries
from rparity.diagnosis.ledger import Entry, apply_ledger, ledger
from rparity.engines import kept_answers
from rparity.engines.base import KEPT_ENGINES, Answer, Question, engine_names
from rparity.engines.published import Published
from rparity.errors import RecordingError, UsageError
from rparity.r.session import availability
from rparity.r.version import RVersion, nearest
from rparity.recordings import choose, versions

LIMIT = 180.0


def all_engines() -> tuple[str, ...]:
    """Return the rows of the matrix: R's engines, the published figures, then Python's."""
    python = [name for name in engine_names() if name not in KEPT_ENGINES]
    kept = [name for name in KEPT_ENGINES if name != "exact"]
    return ("exact", *kept, PUBLISHED, *python)


def run_audit(
    cases: Sequence[Case],
    *,
    fixtures: Path | None = None,
    engines: Sequence[str] | None = None,
    live: bool = False,
    version: str | None = None,
    limit: float = LIMIT,
    entries: Sequence[Entry] | None = None,
    thorough: bool = False,
    processes: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> Audit:
    """Ask every engine about every case, compare with the references, and find the causes.

    Parameters
    ----------
    cases : sequence of Case
        What is asked.
    fixtures : Path, optional
        Where recordings and kept answers are; by default at each case's home.
    engines : sequence of str, optional
        The engines; by default all.
    live : bool
        Ask R's engines and the arbiter now. Otherwise their kept answers are read.
    version : str, optional
        The version of R whose recording is used. The default is the newest, and with `live` the
        nearest to the R at hand.
    limit : float
        The time an engine may take for a case, in seconds.
    entries : sequence of Entry, optional
        The ledger; by default this package's and those of other projects.
    thorough : bool
        Run all experiments on every difference, even after one of them has named the cause.
    processes : int
        How many cases are examined at once. More than one process looks cases up by name.
    on_progress : callable, optional
        Called with a line of text at each step.

    Raises
    ------
    RecordingError
        If R's recording of a case is missing, stale or corrupt.
    UsageError
        For an unknown engine.
    """
    begun = time.monotonic()
    progress = on_progress or (lambda _text: None)
    chosen = _chosen(engines)
    now = _r_at_hand() if live else None
    audit_cases = [_audit_case(case, case.fixtures(fixtures), version, now) for case in cases]
    with (
        _examiners(min(processes, len(audit_cases))) as examiners,
        EngineProcesses(limit=limit) as asked,
    ):
        replies = _replies(asked, audit_cases, chosen, live=live, on_progress=progress)
        found = _examined(
            examiners, asked, audit_cases, chosen, replies, thorough=thorough, on_progress=progress
        )
    frames, findings = _numbered(found, chosen)
    nothing = pd.DataFrame(columns=[*COLUMNS, "cause"])
    answered = now or next((each.version for each in audit_cases), None)
    judged, known = apply_ledger(
        pd.concat(frames) if frames else nothing,
        ledger(of=cases) if entries is None else entries,
        [case.name for case in cases],
        answered.lme4 if answered else None,
    )
    references = {each.case.name: each.references(_of(each, replies)) for each in audit_cases}
    stops = [each.stops for each in found]
    return Audit(
        engines=chosen,
        cases=tuple(cases),
        replies=replies,
        comparisons=judged,
        findings=with_entries(findings, known),
        stops=pd.concat([some for some in stops if len(some)] or stops[:1] or [pd.DataFrame()]),
        reference_tables={
            name: {table: frame for table, (_, frame) in known_tables.items()}
            for name, known_tables in references.items()
        },
        provenance={each.case.name: each.recording.provenance for each in audit_cases},
        live=live,
        seconds=time.monotonic() - begun,
    )


def _r_at_hand() -> RVersion | None:
    """Return the version of R that live engines will use, or None if there is no R."""
    there = availability()
    return None if there.r_version is None else RVersion(there.r_version, there.lme4_version)


def _audit_case(case: Case, fixtures: Path, version: str | None, now: RVersion | None) -> AuditCase:
    """Return a case with a recording: of the version asked for, the nearest to `now`, or newest."""
    if version is not None:
        return audit_case_of(case, fixtures, choose(fixtures, case.name, version))
    return audit_case_of(case, fixtures, nearest(versions(fixtures, case.name), now))


def _chosen(engines: Sequence[str] | None) -> tuple[str, ...]:
    known = all_engines()
    unknown = [name for name in engines or () if name not in known]
    if unknown:
        raise UsageError(f"There is no engine {unknown[0]!r}: there are {', '.join(known)}.")
    return tuple(engines) if engines else known


# -- replies ---------------------------------------------------------------------------------------


def _replies(
    asked: EngineProcesses,
    audit_cases: Sequence[AuditCase],
    engines: Sequence[str],
    *,
    live: bool,
    on_progress: Callable[[str], None],
) -> dict[tuple[str, str], EngineReply]:
    """Return the replies of engines and references, by engine and case."""
    wanted = [*dict.fromkeys([*engines, *REFERENCES])]
    run = [name for name in wanted if name != PUBLISHED and (live or name not in KEPT_ENGINES)]
    total = len(run) * len(audit_cases)
    replies: dict[tuple[str, str], EngineReply] = {}
    questions = [each.question for each in audit_cases]
    for engine, case, reply in asked.ask(
        dict.fromkeys(run, questions),
        on_answer=lambda n, engine, case: on_progress(
            f"{n} of {total} answers: {engine} on {case}"
        ),
    ):
        replies[engine, case] = reply
    for each in audit_cases:
        case = each.case.name
        for name in wanted:
            if name == PUBLISHED:
                replies[name, case] = EngineReply(Published().answer_case(each.case))
            elif name in KEPT_ENGINES and not live:
                replies[name, case] = _kept(name, each)
        for name in REFERENCES:
            reply = replies[name, case]
            if reply.problem is not None:
                problem = reply.problem.rstrip(".")
                instead = f"{problem}. The next of {', '.join(REFERENCES)} is the reference."
                replies[name, case] = replace(reply, problem=instead)
    return replies


def _kept(name: str, each: AuditCase) -> EngineReply:
    """Return the kept answer of one of R's engines or the arbiter."""
    if not has_data(each.case):
        gaps = {part.name: "has no models" for part in each.question.case.parts}
        return EngineReply(Answer({}, gaps))
    try:
        answer, made = kept_answers.read(each.fixtures, name, each.question, each.version)
    except RecordingError as error:
        return EngineReply(None, str(error))
    return EngineReply(answer, None, 0.0, made["made_by"]["packages"], made["time"])


# -- examination -----------------------------------------------------------------------------------


@contextmanager
def _examiners(n: int) -> Iterator[list[Examiner]]:
    examiners: list[Examiner] = []
    try:
        examiners += [RemoteExaminer() for _ in range(n)] if n > 1 else [Examiner()]
        yield examiners
    finally:
        for examiner in examiners:
            examiner.stop()


def _of(each: AuditCase, replies: Mapping[tuple[str, str], EngineReply]) -> dict[str, EngineReply]:
    """Return the replies about one case, by engine."""
    return {name: reply for (name, case), reply in replies.items() if case == each.case.name}


def _examined(
    examiners: Sequence[Examiner],
    asked: EngineProcesses,
    audit_cases: Sequence[AuditCase],
    engines: Sequence[str],
    replies: dict[tuple[str, str], EngineReply],
    *,
    thorough: bool,
    on_progress: Callable[[str], None],
) -> list[Examined]:
    """Examine every case, and a second time if differences are left without a cause.

    Before the second time, engines answer the questions of the experiments. A problem with these
    is added to the engine's reply.
    """
    # The largest cases first: they take longest.
    waiting = deque(sorted(audit_cases, key=lambda each: -each.size))
    mine: dict[str, Examiner] = {}
    again: dict[str, tuple[list[str], list[Question]]] = {}

    def begin(examiner: Examiner) -> None:
        while True:
            try:
                each = waiting.popleft()
            except IndexError:
                return
            name = each.case.name
            mine[name] = examiner
            on_progress(f"examining {name}: {len(mine)} of {len(audit_cases)}")
            again[name] = examiner.begin(each, engines, _of(each, replies), thorough=thorough)

    _each(begin, examiners)
    questions: dict[str, list[Question]] = {}
    for names, more in again.values():
        for name in names:
            questions.setdefault(name, []).extend(more)
    answers: dict[str, dict[str, list[Answer | None]]] = {
        each.case.name: {} for each in audit_cases
    }
    for engine, case, reply in asked.ask(
        questions,
        on_answer=lambda _n, engine, case: on_progress(f"asking {engine} again about {case}"),
    ):
        answers[case].setdefault(engine, []).append(reply.answer)
        if reply.problem is not None:  # its values were compared; an experiment is missing
            problem = f"asked again, with other last bits or other units: {reply.problem}"
            replies[engine, case] = replace(replies[engine, case], problem=problem)
    found: dict[str, Examined] = {}

    def finish(examiner: Examiner) -> None:
        for name in [name for name, its in mine.items() if its is examiner]:
            on_progress(f"examining {name} again: {len(found) + 1} of {len(audit_cases)}")
            found[name] = examiner.finish(name, answers[name])

    _each(finish, examiners)
    return [found[each.case.name] for each in audit_cases]


def _each(work: Callable[[Examiner], None], examiners: Sequence[Examiner]) -> None:
    """Let all examiners work at once."""
    if len(examiners) == 1:
        work(examiners[0])
        return
    with ThreadPoolExecutor(len(examiners)) as pool:
        try:
            list(pool.map(work, examiners))
        except BaseException:
            for examiner in examiners:
                examiner.stop()  # otherwise the pool waits until their work is done
            raise


def _numbered(
    found: Sequence[Examined], engines: Sequence[str]
) -> tuple[list[pd.DataFrame], list[Finding]]:
    """Give all comparisons one index without duplicates, which findings refer to."""
    frames: list[pd.DataFrame] = []
    findings: list[Finding] = []
    first = 0
    for each in found:
        for name in engines:
            rows = each.comparisons.get(name, pd.DataFrame())
            if len(rows):
                frames.append(rows.set_axis(rows.index + first))
                findings += [finding.moved(first) for finding in each.findings[name]]
                first += int(rows.index.max()) + 1
    return frames, findings
