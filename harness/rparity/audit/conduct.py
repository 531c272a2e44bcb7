"""An audit from the questions to the causes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rparity.audit.clerk import Clerk, Remote
from rparity.audit.examine import Examined
from rparity.audit.matter import REFEREES, Matter, matter_of
from rparity.audit.questions import has_data
from rparity.audit.results import Audit, Reply
from rparity.audit.workers import Engines, Told
from rparity.cases.base import Case
from rparity.compare import COLUMNS
from rparity.diagnosis.diagnose import Finding, with_entries
from rparity.diagnosis.experiments.base import PUBLISHED
from rparity.diagnosis.ledger import Entry, judge, ledger
from rparity.engines import kept_answers as keep
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


def conduct(
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
    """Ask every engine about every case, compare with the referee, and find the causes.

    Answers of R and of the arbiter are those that are kept under `fixtures`, or at the case's home,
    unless `live`. They are the newest R's, or those of R's `version`; with `live`, what R recorded
    is that of the nearest R. `limit` is the time an engine may take for a case, in seconds.
    `thorough` runs all the experiments on every disagreement, also where one has named the cause
    already. With more than one of `processes`, so many cases are examined at once, in processes
    that look them up by name.

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
    now = _r_at_hand() if live else None
    matters = [_matter(case, case.fixtures(fixtures), version, now) for case in cases]
    with _clerks(min(processes, len(matters))) as clerks, Engines(limit=limit) as asked:
        replies = _replies(asked, matters, chosen, live=live, tell=tell)
        found = _examined(clerks, asked, matters, chosen, replies, thorough=thorough, tell=tell)
    frames, findings = _numbered(found, chosen)
    nothing = pd.DataFrame(columns=[*COLUMNS, "cause"])
    comparisons = pd.concat(frames) if frames else nothing
    names = [case.name for case in cases]
    answered = now or next((matter.version for matter in matters), None)
    judged, known = judge(
        comparisons,
        ledger() if entries is None else entries,
        names,
        answered.lme4 if answered else None,
    )
    return Audit(
        engines=chosen,
        cases=tuple(cases),
        replies=replies,
        comparisons=judged,
        findings=with_entries(findings, known),
        stops=pd.concat([each.stops for each in found]) if found else pd.DataFrame(),
        truth={
            matter.case.name: {t: f for t, (_, f) in matter.truth(_of(matter, replies)).items()}
            for matter in matters
        },
        provenance={matter.case.name: matter.recording.provenance for matter in matters},
        live=live,
        seconds=time.monotonic() - begun,
    )


def _r_at_hand() -> RVersion | None:
    """Return the R that live engines will be: None without one, which is each engine's problem."""
    there = availability()
    return None if there.r_version is None else RVersion(there.r_version, there.lme4_version)


def _matter(case: Case, fixtures: Path, version: str | None, now: RVersion | None) -> Matter:
    """Return a case with R's recording: of the version asked for, the nearest, or the newest."""
    if version is not None:
        return matter_of(case, fixtures, choose(fixtures, case.name, version))
    return matter_of(case, fixtures, nearest(versions(fixtures, case.name), now))


def _chosen(engines: Sequence[str] | None) -> tuple[str, ...]:
    known = all_engines()
    unknown = [name for name in engines or () if name not in known]
    if unknown:
        raise UsageError(f"There is no engine {unknown[0]!r}: there are {', '.join(known)}.")
    return tuple(engines) if engines else known


# -- replies ---------------------------------------------------------------------------------------


def _replies(
    asked: Engines,
    matters: Sequence[Matter],
    engines: Sequence[str],
    *,
    live: bool,
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
    for told in asked.ask(dict.fromkeys(run, questions), on_answer=heard):
        reply = Reply(told.answer, told.problem, told.seconds, told.made_by)
        replies[told.engine, told.case] = reply
    for matter in matters:
        case = matter.case.name
        for name in wanted:
            if name == PUBLISHED:
                replies[name, case] = Reply(Published().answer_case(matter.case))
            elif name in KEPT_ENGINES and not live:
                replies[name, case] = _kept(name, matter)
        for name in REFEREES:
            reply = replies[name, case]
            if reply.problem is not None:
                said = reply.problem.rstrip(".")
                problem = f"{said}. The next of {', '.join(REFEREES)} is the reference."
                replies[name, case] = replace(reply, problem=problem)
    return replies


def _kept(name: str, matter: Matter) -> Reply:
    if not has_data(matter.case):
        return Reply(
            Answer({}, {part.name: "has no models" for part in matter.question.case.parts})
        )
    try:
        answer, provenance = keep.read(matter.fixtures, name, matter.question, matter.version)
    except RecordingError as error:
        return Reply(None, str(error))
    return Reply(answer, None, 0.0, provenance["made_by"]["packages"], provenance["time"])


# -- examination -----------------------------------------------------------------------------------


@contextmanager
def _clerks(n: int) -> Iterator[list[Clerk]]:
    clerks: list[Clerk] = []
    try:
        clerks += [Remote() for _ in range(n)] if n > 1 else [Clerk()]
        yield clerks
    finally:
        for clerk in clerks:
            clerk.stop()


def _of(matter: Matter, replies: Mapping[tuple[str, str], Reply]) -> dict[str, Reply]:
    return {name: reply for (name, case), reply in replies.items() if case == matter.case.name}


def _examined(
    clerks: Sequence[Clerk],
    asked: Engines,
    matters: Sequence[Matter],
    engines: Sequence[str],
    replies: dict[tuple[str, str], Reply],
    *,
    thorough: bool,
    tell: Callable[[str], None],
) -> list[Examined]:
    """Have every case examined, twice where something stays open.

    What kept an engine from its second answers is added to its reply as its problem.
    """
    waiting = deque(sorted(matters, key=lambda matter: -matter.size))
    mine: dict[str, Clerk] = {}
    again: dict[str, tuple[list[str], list[Question]]] = {}

    def begin(clerk: Clerk) -> None:
        while True:
            try:
                matter = waiting.popleft()
            except IndexError:
                return
            name = matter.case.name
            mine[name] = clerk
            tell(f"examining {name}: {len(mine)} of {len(matters)}")
            again[name] = clerk.begin(matter, engines, _of(matter, replies), thorough=thorough)

    _each(begin, clerks)
    questions: dict[str, list[Question]] = {}
    for names, more in again.values():
        for name in names:
            questions.setdefault(name, []).extend(more)
    answers: dict[str, dict[str, list[Answer | None]]] = {
        matter.case.name: {} for matter in matters
    }
    for told in asked.ask(
        questions, on_answer=lambda told: tell(f"asking {told.engine} again about {told.case}")
    ):
        answers[told.case].setdefault(told.engine, []).append(told.answer)
        if told.problem is not None:  # its values were compared; an experiment is missing
            reply = replies[told.engine, told.case]
            problem = f"asked again, with other last bits or other units: {told.problem}"
            replies[told.engine, told.case] = replace(reply, problem=problem)
    found: dict[str, Examined] = {}

    def finish(clerk: Clerk) -> None:
        for name in [name for name, its in mine.items() if its is clerk]:
            tell(f"examining {name} again: {len(found) + 1} of {len(matters)}")
            found[name] = clerk.finish(name, answers[name])

    _each(finish, clerks)
    return [found[matter.case.name] for matter in matters]


def _each(work: Callable[[Clerk], None], clerks: Sequence[Clerk]) -> None:
    if len(clerks) == 1:
        work(clerks[0])
        return
    with ThreadPoolExecutor(len(clerks)) as pool:
        try:
            list(pool.map(work, clerks))
        except BaseException:
            for clerk in clerks:
                clerk.stop()  # or the pool would wait for work that nobody wants
            raise


def _numbered(
    found: Sequence[Examined], engines: Sequence[str]
) -> tuple[list[pd.DataFrame], list[Finding]]:
    """Give every comparison a number of its own, by which findings name it."""
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
