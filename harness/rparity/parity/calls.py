"""`RParity`: calls of R functions from tests, answered by R or by recordings."""

from __future__ import annotations

import json
import operator
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rparity import paths
from rparity.engines.r import stamp
from rparity.errors import RError, RparityError, UsageError
from rparity.files import sha256
from rparity.parity import MODES, store
from rparity.parity.answer import RAnswer
from rparity.parity.store import Place, RecordedCall
from rparity.parity.values import decode, encode, layout, tree
from rparity.r.session import RSession, missing_package
from rparity.r.to_r import to_wire
from rparity.text import visible

TIMEOUT = 60.0
RNG_KIND = ("Mersenne-Twister", "Inversion", "Rejection")
OUTPUT_SHOWN = 5000


class RParity:
    """The fixture `r_parity`: it calls functions of the R files beside a test.

    Each call has its own R process (0.6 s), so that no script can change the next call. In the mode
    `replay` no R runs.

    Parameters
    ----------
    place
        The test: its name, and its file, beside which the R files and the recordings lie.
    mode
        `replay` answers from recordings; `live` asks R; `record` asks R and writes its answers;
        `check` answers from recordings, and asks R whether it still gives the same.
    node
        The test's name on pytest's command line, for the command that records its calls.
    on_note
        Called with a heading and a line for the summary at the end of the session.
    shown
        Number of differences that a report shows; None for all.
    """

    def __init__(
        self,
        place: Place,
        mode: str = "live",
        *,
        node: str = "",
        on_note: Callable[[str, str], None] = lambda _heading, _line: None,
        shown: int | None = None,
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"There is no mode {mode!r}: there are {', '.join(MODES)}.")
        self.place = place
        self.calls = 0
        self._mode = mode
        self._command = f"pytest --r=record {shlex.quote(node)}"
        self._on_note = on_note
        self._shown = shown
        self._answers: list[RAnswer] = []

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
            answer's `rng` is the same stream.
        libraries
            R files with helpers, sourced before the script. If the script itself sources a file,
            changes of that file are not noticed.
        packages
            R packages that must be installed. The provenance has their versions, and those of all
            packages that the function loads.
        timeout
            Seconds that R may take.
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
            No such script, or an argument that R cannot take.
        """
        __tracebackhide__ = True
        self.calls += 1
        try:
            call = RCall(
                self.place.file.parent,
                Path(script),
                function,
                _seed(seed),
                tuple(map(Path, _several(libraries))),
                tuple(_several(packages)),
                arguments,
            )
            answer = self._answer(call, timeout)
        except RparityError as error:
            raise error.with_traceback(None) from None
        self._answers.append(answer)
        return answer

    def finish(self) -> None:
        """In the mode `check`, compare R's answers with recordings that no `check()` has compared.

        Raises
        ------
        AssertionError
            R gives something else today.
        """
        __tracebackhide__ = True
        for answer in self._answers:
            if not answer.checked:
                answer.check_drift()

    def _answer(self, call: RCall, timeout: float) -> RAnswer:
        path = self.place.recording(self.calls)
        asked = {"test": self.place.test, "call": self.calls, **call.asked()}
        remedy = f"run `{self._command}`, which needs R"
        if self._mode in ("replay", "check"):
            recorded = store.read(path, asked, remedy)
        if self._mode == "replay":
            return RAnswer(recorded, path=path, shown=self._shown)
        today = self._ask(call, asked, timeout)
        if self._mode == "live":
            return RAnswer(today, shown=self._shown)
        if self._mode == "check":
            answer = RAnswer(recorded, path=path, today=today, shown=self._shown)
            self._on_note(*answer.drift())
            return answer
        if store.write(path, today):
            self._on_note("answers of R recorded", str(path))
        else:
            self._on_note("recordings left as they were: R answers the same", "")
        return RAnswer(today, path=path, shown=self._shown)

    def _ask(self, call: RCall, asked: Mapping[str, Any], timeout: float) -> RecordedCall:
        with RSession(timeout=timeout) as session:
            result = session.call(
                call.path(call.script),
                call.function,
                call.arguments,
                libraries=[call.path(library) for library in call.libraries],
                seed=call.seed,
            )
            found = session.call(
                paths.r_scripts() / "provenance.R",
                "provenance",
                {"packages": list(call.packages)},
            ).value
        if result.output:
            print(f"{call.function}() printed:\n{visible(result.output[:OUTPUT_SHOWN])}")
        made_by = {k: v.to_dict() if isinstance(v, pd.Series) else v for k, v in found.items()}
        for package in call.packages:
            if pd.isna(made_by["packages"][package]):
                raise missing_package(package)
        if call.seed is not None and result.rng_kind != RNG_KIND:
            raise RError(
                f"{call.function}() changed R's random number generator to "
                f"{', '.join(result.rng_kind)}, which `rng` does not follow; leave RNGkind() "
                "alone, or call the function without seed=."
            )
        # Through the format of recordings, so that tests see the same in every mode.
        answer = decode(json.loads(layout(encode(tree(result.wire, call.function)))))
        return RecordedCall(
            answer,
            {
                "asked": asked,
                "made_by": made_by,
                "warnings": list(result.warnings),
                "messages": list(result.messages),
                **stamp(self._command),
            },
        )


@dataclass(frozen=True)
class RCall:
    """A call of R: a function of a script in a folder, its arguments and the seed."""

    folder: Path
    script: Path
    function: str
    seed: int | None
    libraries: tuple[Path, ...]
    packages: tuple[str, ...]
    arguments: Mapping[str, object]

    def path(self, script: Path) -> Path:
        """Return the path of a script."""
        return self.folder / script

    def asked(self) -> dict[str, Any]:
        """Return what R's answer depends on; of scripts and arguments, their hashes.

        Raises
        ------
        UsageError
            There is no such script, or R cannot take an argument.
        """
        return {
            "script": self._name(self.script),
            "function": self.function,
            "seed": self.seed,
            "packages": list(self.packages),
            "scripts": {self._name(s): self._hash(s) for s in (*self.libraries, self.script)},
            "arguments": {
                # The text of a tuple of bytes and strings, in ASCII, is the same on every machine.
                name: sha256(
                    ascii(to_wire(value, f"argument {name} of {self.function}()")).encode()
                )
                for name, value in self.arguments.items()
            },
        }

    def _name(self, script: Path) -> str:
        return Path(os.path.relpath(self.path(script), self.folder)).as_posix()

    def _hash(self, script: Path) -> str:
        try:
            return sha256(self.path(script).read_bytes())
        except OSError as error:
            raise UsageError(
                f"There is no R script {self.path(script)} that can be read ({error.strerror}); "
                "name it relative to the folder of the test file."
            ) from error


def _seed(seed: Any) -> int | None:
    try:
        return None if seed is None else operator.index(seed)
    except TypeError:
        raise UsageError(f"The seed must be a whole number, and is {seed!r}.") from None


def _several(names: Any) -> list[Any]:
    """Return a list of names; a single one may be given as it is."""
    return [names] if isinstance(names, str | Path) else list(names)
