"""`RParity`: calls of R from tests and fixtures, answered by R or by recordings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rparity.engines.r import stamp
from rparity.errors import RecordingError, RError, RparityError, UsageError
from rparity.parity import MODES, store
from rparity.parity.answer import RAnswer
from rparity.parity.question import INLINE, RCall, seed_of, several
from rparity.parity.sensitivity import sensitivity
from rparity.parity.store import Place, RecordedCall, StaleRecordingError
from rparity.parity.values import Tree, decode, encode, tree
from rparity.r.session import RResult, RSession
from rparity.text import visible

TIMEOUT = 60.0
# A call that takes longer than LONG, in seconds, is not made again to see how its answer moves. A
# call that is made again has ten times as long as the first, and SHORT at least.
LONG, SHORT = 5.0, 1.0
RNG_KIND = ("Mersenne-Twister", "Inversion", "Rejection")
OUTPUT_SHOWN = 5000


@dataclass
class Caller:
    """A test, or a fixture of a wider scope, that calls R; `node` names it on a command line."""

    place: Place
    node: str = ""
    calls: int = 0
    answers: list[RAnswer] = field(default_factory=list)

    @property
    def command(self) -> str:
        """The command that records its calls."""
        return f"pytest --r=record {shlex.quote(self.node)}"

    def finish(self) -> None:
        """In the mode `check`, compare R's answers with recordings that no `check()` has compared.

        Raises
        ------
        AssertionError
            R gives something else today.
        """
        __tracebackhide__ = True
        for answer in self.answers:
            if not answer.checked:
                answer.check_drift()


@dataclass(frozen=True)
class ChangedCall:
    """In the mode `review`: R's answer today, and the recording, if there is one, and its fault."""

    path: Path
    today: RecordedCall
    recorded: RecordedCall | None
    fault: str


class RParity:
    """The fixture `r_parity`: it calls functions of the R files beside a test, and R code in it.

    All calls share one R process, and each has a copy of it as it was when it started
    (`RSession.apart`). So no call can change the next one. In the mode `replay` no R runs.

    Parameters
    ----------
    caller
        Returns the test that calls now, or the fixture.
    mode
        `replay` answers from recordings; `live` asks R; `record` asks R and writes its answers;
        `check` answers from recordings, and asks R whether it still gives the same; `review` asks
        R, and hands what differs from the recordings to `on_change`.
    session
        The R to ask; by default one of its own, which starts at the first call.
    on_note
        Called with a heading and a line for the summary at the end of the session.
    on_change
        Called with each answer that is not as recorded, in the mode `review`.
    shown
        Number of differences that a report shows; None for all.
    """

    def __init__(
        self,
        caller: Callable[[], Caller],
        mode: str = "live",
        *,
        session: RSession | None = None,
        on_note: Callable[[str, str], None] = lambda _heading, _line: None,
        on_change: Callable[[ChangedCall], None] = lambda _change: None,
        shown: int | None = None,
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"There is no mode {mode!r}: there are {', '.join(MODES)}.")
        self._caller = caller
        self._mode = mode
        self._session = session
        self._on_note = on_note
        self._on_change = on_change
        self._shown = shown

    def close(self) -> None:
        """Stop R. The next call starts it again."""
        if self._session is not None:
            self._session.close()

    def call(
        self,
        script: str | Path,
        function: str,
        /,
        *,
        seed: int | None = None,
        libraries: Iterable[str | Path] = (),
        packages: Iterable[str] = (),
        timeout: float = TIMEOUT,
        isolated: bool = False,
        **arguments: object,
    ) -> RAnswer:
        """Call a function that an R file defines.

        Parameters
        ----------
        script
            R file, relative to the folder of the test file.
        function
            Name of a function in it. It may return any value of R, such as a data frame, the
            result of a test, or a fitted model.
        seed
            For R's `set.seed()` right before the call (Mersenne-Twister, Inversion, Rejection). The
            answer's `rng` is the same stream. Without a seed, a function that draws random numbers
            cannot be recorded, unless it calls `set.seed()` itself.
        libraries
            R files with helpers, sourced before the script. If the script itself sources a file,
            changes of that file are not noticed.
        packages
            R packages that must be installed. The provenance has their versions, and those of all
            packages that the function loads.
        timeout
            Seconds that R may take.
        isolated
            Whether R runs in a process that is started for this call (0.6 s), and not in a copy of
            the one that calls share. R code needs it that cannot run in a forked process.
        **arguments
            Arguments by name: numbers, strings, booleans, dates, times, arrays, Series, data frames
            (a categorical becomes a factor with the same order of levels), lists, dicts. Missing
            values become NA.

        Raises
        ------
        RecordingError
            The recording is missing, stale or corrupt; the message has the command that makes it.
        RError
            R raised an error, or returned a value that Python cannot hold.
        RNotAvailableError
            R is needed and does not run; the message says what to install.
        RCrashedError, RTimeoutError
            R died, or took too long. The next call has a new R.
        UsageError
            No such script, an argument that R cannot take, or random numbers without a seed.
        """
        __tracebackhide__ = True
        return self._called(
            script, function, "", seed, libraries, packages, timeout, isolated, arguments
        )

    def r(
        self,
        code: str,
        /,
        *,
        seed: int | None = None,
        libraries: Iterable[str | Path] = (),
        packages: Iterable[str] = (),
        timeout: float = TIMEOUT,
        isolated: bool = False,
        **arguments: object,
    ) -> RAnswer:
        """Return the value of R code that is written in the test.

        Parameters
        ----------
        code
            R code, such as `"mean(x, trim = 0.1)"`, in which the arguments are variables. It may
            have several lines; the last expression is the answer. If its value is a function, the
            answer is what the function returns for the arguments.
        seed, libraries, packages, timeout, isolated, **arguments
            As for `call`, which also lists the errors.
        """
        __tracebackhide__ = True
        return self._called(
            None, INLINE, code, seed, libraries, packages, timeout, isolated, arguments
        )

    def _called(
        self,
        script: str | Path | None,
        function: str,
        code: str,
        seed: Any,
        libraries: Any,
        packages: Any,
        timeout: float,
        isolated: bool,
        arguments: Mapping[str, object],
    ) -> RAnswer:
        __tracebackhide__ = True
        caller = self._caller()
        caller.calls += 1
        try:
            call = RCall(
                caller.place.file,
                None if script is None else Path(script),
                function,
                code,
                seed_of(seed),
                tuple(map(Path, several(libraries))),
                tuple(several(packages)),
                arguments,
            )
            answer = self._answer(caller, call, timeout, isolated)
        except RparityError as error:
            raise error.with_traceback(None) from None
        caller.answers.append(answer)
        return answer

    def _answer(self, caller: Caller, call: RCall, timeout: float, isolated: bool) -> RAnswer:
        path = caller.place.recording(caller.calls)
        asked = {"test": caller.place.test, "call": caller.calls, **call.asked()}
        recorded, fault = None, ""
        if self._mode != "live":
            remedy = f"run `{caller.command}`, which needs R"
            try:
                recorded = store.read(path, asked, remedy, call.hashes_of_bytes())
            except RecordingError as error:
                if self._mode in ("replay", "check"):
                    raise
                fault = str(error)
                recorded = error.recorded if isinstance(error, StaleRecordingError) else None
        if self._mode == "replay":
            assert recorded is not None
            return RAnswer(recorded, path=path, shown=self._shown)
        known = None if fault else recorded
        today = self._ask(call, asked, caller.command, timeout, isolated, known)
        if self._mode == "live":
            return RAnswer(today, shown=self._shown)
        if self._mode == "check":
            assert recorded is not None
            answer = RAnswer(recorded, path=path, today=today, shown=self._shown)
            self._on_note(*answer.drift())
            return answer
        if self._mode == "review":
            if fault or not store.same(recorded, today):
                self._on_change(ChangedCall(path, today, recorded, fault))
        elif store.write(path, today):
            self._on_note("answers of R recorded", str(path))
        else:
            self._on_note("recordings left as they were: R answers the same", "")
        return RAnswer(today, path=path, shown=self._shown)

    def _ask(
        self,
        call: RCall,
        asked: Mapping[str, Any],
        command: str,
        timeout: float,
        isolated: bool,
        recorded: RecordedCall | None,
    ) -> RecordedCall:
        with self._r_for(call, isolated) as session:
            result, made_by = call.ask(session, timeout)
        if result.output:
            print(f"{call.function}() printed:\n{visible(result.output[:OUTPUT_SHOWN])}")
        if call.seed is not None and result.rng_kind != RNG_KIND:
            raise RError(
                f"{call.function}() changed R's random number generator to "
                f"{', '.join(result.rng_kind)}, which `rng` does not follow; leave RNGkind() "
                "alone, or call the function without seed=."
            )
        recording = self._mode in ("record", "review")
        if result.drawn is not None and recording:
            # A function that calls set.seed() itself gives the same again.
            with self._r_for(call, isolated) as session:
                again, _ = call.ask(session, timeout)
            if (again.drawn, again.wire) != (result.drawn, result.wire):
                raise UsageError(
                    f"{call.function}() draws random numbers without a seed, so R gives another "
                    "answer each time: give the call a seed=, or call set.seed() in the R code."
                )
        # Through the format of recordings, so that tests see the same in every mode.
        answer = decode(json.loads(json.dumps(encode(tree(result.wire, call.function)))))
        provenance: dict[str, Any] = {
            "asked": asked,
            "made_by": made_by,
            "warnings": list(result.warnings),
            "messages": list(result.messages),
        }
        if recording:
            kept = self._kept(call, result, answer, recorded, isolated)
            provenance |= {} if kept is None else {"sensitivity": kept}
        return RecordedCall(answer, provenance | stamp(command))

    def _kept(
        self,
        call: RCall,
        result: RResult,
        answer: Tree,
        recorded: RecordedCall | None,
        isolated: bool,
    ) -> dict[str, float] | None:
        """Return the digits of R's answer that a change of the arguments' last bits keeps.

        A recording of the same answer has them already. Returns None if they are not known, such as
        after an error, or because the call takes long.
        """
        if store.same(recorded, RecordedCall(answer, {})):
            assert recorded is not None
            if self._mode == "review" or "sensitivity" in recorded.provenance:
                return recorded.provenance.get("sensitivity")
        if result.elapsed > LONG or not call.can_move():
            return None
        try:
            with self._r_for(call, isolated) as session:
                again = call.ask_moved(session, max(SHORT, 10.0 * result.elapsed))
            # R that warns of something else took another way, such as one for ties.
            if again.warnings != result.warnings:
                return None
            return sensitivity(call.function, answer, tree(again.wire, call.function))
        except RparityError:
            return None

    @contextmanager
    def _r_for(self, call: RCall, isolated: bool) -> Iterator[RSession]:
        if isolated:
            with RSession() as session:
                yield session
        else:
            if self._session is None:
                self._session = RSession()
            with self._session.apart(call.packages):
                yield self._session
