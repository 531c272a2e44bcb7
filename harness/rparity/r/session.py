"""`RSession` calls functions of R scripts, in a process of its own (`child.py`).

R shares no memory with this process. So a script that quits, crashes or loops ends nothing else.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

from rparity.errors import RError, RNotAvailableError, UsageError
from rparity.r import CHOICE
from rparity.r.from_r import from_wire
from rparity.r.process import (
    CASE_PACKAGES,
    INSTALL_R,
    RProcess,
    missing_package,
    r_home,
    r_version,
    rpy2_version,
    surroundings,
    uses_webr,
)
from rparity.r.to_r import require_text, to_wire
from rparity.r.wire import Wire

# A change of the arguments of a call, by name, before R has them.
Change: TypeAlias = Callable[[Mapping[str, Wire]], Mapping[str, Wire]]

# Seconds that a copy of R may take to start and to end (`RSession.apart`).
COPY_SECONDS = 60.0
# Calls before the first copy.
WARM_UP = 3


@dataclass(frozen=True)
class RResult:
    """What a call gave: its value, what R said and printed during it, and the seconds it took.

    `wire` is the value as R sent it (`r.wire`), in which NULL and a missing string differ.
    `rng_kind` is `RNGkind()` after the call. `drawn` is the state of R's generator after a call
    without a seed, or None if the call left the generator alone.
    """

    value: Any
    warnings: tuple[str, ...]
    messages: tuple[str, ...]
    output: str
    elapsed: float
    rng_kind: tuple[str, ...]
    wire: Wire
    drawn: Wire | None = None


@dataclass(frozen=True)
class Availability:
    """The versions of R and its packages on this machine; `problem` is None if R works.

    `package_versions` are those of the `CASE_PACKAGES`, None for one that is missing.
    """

    r_version: str | None = None
    r_home: str | None = None
    rpy2_version: str | None = None
    lme4_version: str | None = None
    nlme_version: str | None = None
    package_versions: Mapping[str, str | None] = field(default_factory=dict)
    problem: str | None = None
    remedy: str | None = None


class RSession:
    """An R process that starts at the first call, and again after a crash or a time-out.

    Each call starts from the same options, contrasts, generator kinds, locale and folder. The state
    of the random stream, and what scripts assign, stay from one call to the next, unless the calls
    are in an `apart` of their own. Several threads may share a session; one call runs at a time.

    Parameters
    ----------
    timeout
        Seconds that a call may take; None for no limit.
    on_message
        Called with each `message()` of R while R computes on.
    """

    def __init__(
        self, *, timeout: float | None = None, on_message: Callable[[str], None] | None = None
    ) -> None:
        self._timeout = timeout
        self._on_message = on_message
        self._child: RProcess | None = None
        self._was_up = False
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop R. The next call starts it again."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    @property
    def pid(self) -> int | None:
        """Process id of R, or None if R does not run."""
        return None if self._child is None else self._child.pid

    def versions(self) -> dict[str, str | None]:
        """Return the versions of `R` and its packages by name (None: not installed); may start R.

        The packages are `lme4`, `nlme` and the `CASE_PACKAGES`.
        """
        with self._lock:
            return self._started().versions

    def call(
        self,
        script: Path,
        function: str,
        arguments: Mapping[str, object] | None = None,
        *,
        libraries: Sequence[Path] = (),
        seed: int | None = None,
        timeout: float | None = None,
        change: Change | None = None,
    ) -> RResult:
        """Call a function that an R script defines.

        Parameters
        ----------
        script
            R file. It is sourced into an environment of its own, and again when it has changed.
        function
            Name of a function in it.
        arguments
            Arguments by name; `values.to_wire` says which values R can take.
        libraries
            R files with helpers, sourced before the script into the same environment.
        seed
            For `set.seed()` right before the call. None continues R's stream.
        timeout
            Seconds for this call, instead of the session's.
        change
            A change of the arguments before R has them.

        Raises
        ------
        RError
            R raised an error, or returned a value that Python cannot take.
        RNotAvailableError
            R, rpy2 or an R package is missing or has the wrong version; the message says what to
            install.
        RCrashedError, RTimeoutError
            R died, or took too long and was stopped. The session can still be used.
        UsageError
            No such script, or an argument that R cannot take.
        """
        return self._call((*libraries, script), None, function, arguments, seed, timeout, change)

    def evaluate(
        self,
        code: str,
        arguments: Mapping[str, object] | None = None,
        *,
        name: str = "r",
        libraries: Sequence[Path] = (),
        seed: int | None = None,
        timeout: float | None = None,
        change: Change | None = None,
    ) -> RResult:
        """Return the value of R code, in which the arguments are variables.

        If the value is a function, it is called with the arguments. Messages call the code
        `name()`. The other parameters and the errors are those of `call`.
        """
        return self._call(libraries, code, name, arguments, seed, timeout, change)

    @contextmanager
    def apart(self, packages: Sequence[str] = ()) -> Iterator[None]:
        """Make calls in a copy of R as it is now; what they leave behind is lost.

        The copy is a fork of R's process. So options, variables, attached and loaded packages, S4
        classes, random streams, the working directory, devices and connections are those of a
        newly started R, if all calls of the session are made so. It takes a few hundredths of a
        second. R's folder of temporary files is emptied at the end. R starts anew if this process's
        environment or working directory has changed, apart from what pytest itself sets.

        Parameters
        ----------
        packages
            R packages whose namespaces are loaded before. They stay loaded for the next `apart`
            with the same packages.
        """
        with self._lock:
            child = self._child
            if child is not None and child.surroundings != surroundings():
                self.close()
            if self._child is None or self._child.owner != os.getpid():
                # R compiles a function when it is called again: once here, not in each copy.
                for _ in range(WARM_UP):
                    self.evaluate("1")
            child = self._started()
            if child.packages != tuple(packages):
                if child.packages:
                    self._turn(child, "leave")
                child.packages = tuple(packages)
                if child.packages:
                    self._turn(child, "fork", child.packages)
            self._turn(child, "fork", ())
            try:
                yield
            finally:
                # After a crash, a time-out or Ctrl-C, there is another child or none.
                if self._child is child:
                    self._turn(child, "leave")

    def _turn(self, child: RProcess, *request: Any) -> None:
        """Have R's process forked, or the fork ended."""
        child.doing = "its start"
        try:
            child.send(request, COPY_SECONDS)
            child.next_answer()
        except BaseException:
            self.close()
            raise

    def _call(
        self,
        scripts: Sequence[Path],
        code: str | None,
        function: str,
        arguments: Mapping[str, object] | None,
        seed: int | None,
        timeout: float | None,
        change: Change | None,
    ) -> RResult:
        paths = [os.path.abspath(path) for path in scripts]  # noqa: PTH100 - no resolve
        for path in paths:
            if not os.access(path, os.R_OK):
                raise UsageError(f"There is no readable R script {path}.")
        if seed is not None and not -(2**31) < seed < 2**31:
            raise UsageError(f"The seed {seed} is not a 32-bit integer, as R's set.seed() needs.")
        require_text(arguments or (), f"a name of an argument of {function}()")
        values = {
            name: to_wire(value, f"argument {name} of {function}()")
            for name, value in (arguments or {}).items()
        }
        if change is not None:
            values = {**change(values)}
        request = ("call", paths, code, function, _named_list(values), to_wire(seed))
        limit = self._timeout if timeout is None else timeout
        with self._lock:
            return self._exchange(self._started(), request, function, limit)

    def _started(self) -> RProcess:
        # A forked process inherits the object, but must leave its parent's R alone.
        if self._child is None or self._child.owner != os.getpid():
            self._child = None
            self._child = child = RProcess()
            try:
                child.start(again=self._was_up)
            except BaseException:
                self.close()
                raise
            self._was_up = True
        return self._child

    def _exchange(
        self, child: RProcess, request: tuple[Any, ...], function: str, limit: float | None
    ) -> RResult:
        said: dict[str, list[str]] = {"warning": [], "message": []}
        child.doing = f"{function}()"
        try:
            child.send(request, limit)
            while (answer := child.next_answer())[0] in said:
                said[answer[0]].append(answer[1])
                if answer[0] == "message" and self._on_message is not None:
                    self._on_message(answer[1])
        except BaseException:  # also Ctrl-C, or an error of `on_message`: R is in mid-call
            self.close()
            raise
        if answer[0] == "error":
            _, where, text, package, calls = answer
            if package is not None:
                raise missing_package(package)
            raise RError(f"R error in {where}: {text}" if where else text, calls)
        _, wire, output, elapsed, rng_kind, drawn = answer
        warnings, messages = tuple(said["warning"]), tuple(said["message"])
        value = from_wire(wire, child.doing)
        return RResult(value, warnings, messages, output, elapsed, rng_kind, wire, drawn)


def availability() -> Availability:
    """Start R to find out whether it works, and its versions. Takes a second, and never raises."""
    home: str | None = None
    try:
        home = None if uses_webr() else r_home()
        with RSession() as session:
            found = session.versions()
        problem = None if found["lme4"] else missing_package("lme4")
    except RNotAvailableError as error:
        found, problem = {}, error
    except UsageError as error:
        found, problem = {}, RNotAvailableError(str(error).rstrip("."), f"unset {CHOICE}")
    except Exception as error:
        found, problem = {}, RNotAvailableError(f"R does not start ({error})", INSTALL_R)
    return Availability(
        r_version=found.get("R") or (r_version(home) if home else None),
        r_home=home,
        rpy2_version=rpy2_version(),
        lme4_version=found.get("lme4"),
        nlme_version=found.get("nlme"),
        package_versions={name: found.get(name) for name in CASE_PACKAGES if found},
        problem=problem.problem if problem else None,
        remedy=problem.remedy if problem else None,
    )


def _named_list(values: Mapping[str, Any]) -> Any:
    return "list", list(values.values()), {"names": ("character", list(values), {})}
