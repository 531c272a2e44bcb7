"""R in a process of its own: call functions of R scripts, with values, warnings and errors.

The only module of the package that touches rpy2, and it does so in a child process (`child.py`):
R never shares memory with Python here, so that a script that quits, crashes or loops takes nothing
else down with it.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rparity.errors import (
    RCrashedError,
    RError,
    RNotAvailableError,
    RTimeoutError,
    UsageError,
)
from rparity.r.values import Wire, from_wire, require_text, to_wire
from rparity.workers.child import Child, DiedError, LateError, likely_cause

CHILD = "rparity.r.child:main"
START_SECONDS = 120.0
FEWEST_FILES = 256  # that R and Python need together, with room to spare
# rpy2's set-up asks R how it was built, for which R calls make.
INSTALL_R = "apt-get install r-base-core r-cran-lme4 make"
# In ABI mode nothing is compiled: neither a compiler nor the headers of R and Python are needed.
INSTALL_RPY2 = 'RPY2_CFFI_MODE=ABI pip install "rparity[r]"'
MATCHING_RPY2 = 'RPY2_CFFI_MODE=ABI pip install "rpy2-rinterface>=3.6.5,<3.6.6"'
NEWER_RPY2 = "RPY2_CFFI_MODE=ABI pip install --upgrade rpy2-rinterface"


@dataclass(frozen=True)
class RResult:
    """What a call gave: its value, what R said and printed meanwhile, and the seconds it took.

    `wire` is the value as it came, in which NULL and a missing string differ (`r.values`);
    `rng_kind` is what `RNGkind()` says after the call.
    """

    value: Any
    warnings: tuple[str, ...]
    messages: tuple[str, ...]
    output: str
    elapsed: float
    rng_kind: tuple[str, ...]
    wire: Wire


@dataclass(frozen=True)
class Availability:
    """What there is of R on this machine; `problem` is None where all of it works."""

    r_version: str | None = None
    r_home: str | None = None
    rpy2_version: str | None = None
    lme4_version: str | None = None
    nlme_version: str | None = None
    problem: str | None = None
    remedy: str | None = None


class RSession:
    """An R process that starts at the first call, and anew after a crash or a time-out.

    Each call starts from the same options, contrasts, generator kinds, locale and folder; the state
    of the random stream and what scripts assign are kept between calls. Several threads may share a
    session: their calls queue up.

    Parameters
    ----------
    timeout
        Seconds that a call may take; None for no limit.
    on_message
        Called with each `message()` of R at once, while R computes on.
    """

    def __init__(
        self, *, timeout: float | None = None, on_message: Callable[[str], None] | None = None
    ) -> None:
        self._timeout = timeout
        self._on_message = on_message
        self._child: _Child | None = None
        self._was_up = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop R. The next call starts it again."""
        child, self._child = self._child, None
        if child is not None:
            child.process.stop()

    @property
    def pid(self) -> int | None:
        """Process id of R, or None where it does not run."""
        return None if self._child is None else self._child.process.pid

    def versions(self) -> dict[str, str | None]:
        """Start R if need be; give the versions of `R`, `lme4` and `nlme` (None: not installed)."""
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
    ) -> RResult:
        """Call a function that an R script defines.

        Parameters
        ----------
        script
            R file, sourced into an environment of its own, and again when it has changed.
        function
            Name of a function in it.
        arguments
            Arguments by name; `values.to_wire` says which values R can take.
        libraries
            R files with helpers, sourced before the script into the same environment.
        seed
            For `set.seed()` immediately before the call; None goes on in R's stream.
        timeout
            Seconds for this call, instead of the session's.

        Raises
        ------
        RError
            R raised an error, or returned what is no plain value.
        RNotAvailableError
            R, rpy2 or an R package is missing or does not fit; the message has the remedy.
        RCrashedError, RTimeoutError
            R died, or took too long and was stopped. The session remains usable.
        UsageError
            No such script, or an argument that R cannot take.
        """
        paths = [os.path.abspath(path) for path in (*libraries, script)]  # noqa: PTH100 - no resolve
        for path in paths:
            if not os.access(path, os.R_OK):
                raise UsageError(f"There is no readable R script {path}.")
        if seed is not None and not -(2**31) < seed < 2**31:
            raise UsageError(f"The seed {seed} is no 32-bit integer, as R's set.seed() needs.")
        require_text(arguments or (), f"a name of an argument of {function}()")
        values = {
            name: to_wire(value, f"argument {name} of {function}()")
            for name, value in (arguments or {}).items()
        }
        request = (paths, function, _named_list(values), to_wire(seed))
        limit = self._timeout if timeout is None else timeout
        with self._lock:
            return self._exchange(self._started(), request, function, limit)

    def _started(self) -> "_Child":
        # A forked process inherits the object, but must leave its parent's R alone.
        if self._child is None or self._child.process.owner != os.getpid():
            self._child = None
            self._child = child = _Child()
            try:
                child.start(again=self._was_up)
            except BaseException:
                self.close()
                raise
            self._was_up = True
        return self._child

    def _exchange(
        self, child: "_Child", request: tuple[Any, ...], function: str, limit: float | None
    ) -> RResult:
        said: dict[str, list[str]] = {"warning": [], "message": []}
        doing = f"{function}()"
        began = time.monotonic()
        try:
            child.send(request, doing)
            while (answer := child.receive(doing, began, limit))[0] in said:
                said[answer[0]].append(answer[1])
                if answer[0] == "message" and self._on_message is not None:
                    self._on_message(answer[1])
        except BaseException:  # also Ctrl-C, or on_message itself: R is in the middle of something
            self.close()
            raise
        if answer[0] == "error":
            _, where, text, package = answer
            if package is not None:
                raise missing_package(package)
            raise RError(f"R error in {where}: {text}" if where else text)
        _, wire, output, elapsed, rng_kind = answer
        warnings, messages = tuple(said["warning"]), tuple(said["message"])
        return RResult(from_wire(wire, doing), warnings, messages, output, elapsed, rng_kind, wire)


class _Child:
    """The R process: what it is asked, what it says, and why it ended."""

    def __init__(self) -> None:
        self.home = r_home()
        self.versions: dict[str, str | None] = {}
        self.process = Child(
            CHILD, environment=_environment(self.home), options=("-W", "ignore"), log=True
        )

    def start(self, *, again: bool) -> None:
        """Wait until R is up, or say why it is not.

        Raises
        ------
        RNotAvailableError
            Where R does not start.
        RCrashedError
            Where it was killed, or died although it has been up before: it may start another time.
        """
        try:
            answer = self.receive("its start", time.monotonic(), START_SECONDS)
        except (RCrashedError, RTimeoutError) as error:
            if isinstance(error, RCrashedError) and (
                again or self.process.status() in (-signal.SIGKILL, -signal.SIGTERM)
            ):
                raise
            answer = ("unavailable", "", str(error))
        if answer[0] == "unavailable":
            raise _why_unavailable(self.home, *answer[1:])
        self.versions = from_wire(answer[1])

    def send(self, request: tuple[Any, ...], doing: str) -> None:
        """Ask R for a call."""
        try:
            self.process.send(request)
        except DiedError:
            raise self.death(doing) from None

    def receive(self, doing: str, began: float, limit: float | None) -> tuple[Any, ...]:
        """Next message.

        Raises RCrashedError once R is dead, RTimeoutError `limit` seconds after it began.
        """
        try:
            answer: tuple[Any, ...] = self.process.receive(None if limit is None else began + limit)
        except DiedError:
            raise self.death(doing) from None
        except LateError:
            raise RTimeoutError(
                f"R did not finish {doing} within {limit:g} s and was stopped; "
                "give it less work or a longer timeout."
            ) from None
        return answer

    def death(self, doing: str) -> RCrashedError:
        """How R ended, and what to do about it."""
        status = self.process.status()
        if status is None:
            cause, remedy = "it closed its pipe", "a script must leave file descriptors alone"
        else:
            last_words = self.process.last_words()
            if status >= 0:
                cause, remedy = f"it quit with status {status}", "R code must not call quit()"
            else:
                cause = f"killed by signal {-status}"
                remedy = likely_cause(status) or "run the script under Rscript"
            if last_words:
                remedy += f". Its last words: {last_words}"
        return RCrashedError(f"R died during {doing} ({cause}); {remedy}.")


def availability() -> Availability:
    """Find out what there is of R, by starting it. Never raises; takes about a second."""
    home: str | None = None
    try:
        home = r_home()
        with RSession() as session:
            found = session.versions()
        problem = None if found["lme4"] else missing_package("lme4")
    except RNotAvailableError as error:
        found, problem = {}, error
    except Exception as error:
        found, problem = {}, RNotAvailableError(f"R does not start ({error})", INSTALL_R)
    return Availability(
        r_version=found.get("R") or (r_version(home) if home else None),
        r_home=home,
        rpy2_version=rpy2_version(),
        lme4_version=found.get("lme4"),
        nlme_version=found.get("nlme"),
        problem=problem.problem if problem else None,
        remedy=problem.remedy if problem else None,
    )


def r_home() -> str:
    """Folder of R: `R_HOME` if set, else what the R on the PATH says.

    Raises RNotAvailableError where there is no R.
    """
    home = os.environ.get("R_HOME")
    if home:
        if not Path(home, "bin", "R").exists():
            raise RNotAvailableError(f"R_HOME is {home}, but there is no R in it", "unset R_HOME")
        return home
    if shutil.which("R") is None:
        raise RNotAvailableError("R is not installed (no R on the PATH)", INSTALL_R)
    answer = _ask_r("R", "RHOME")
    if not answer:
        raise RNotAvailableError("The R on the PATH does not work (R RHOME fails)", INSTALL_R)
    return answer.splitlines()[-1].strip()


def r_version(home: str) -> str | None:
    """Version of the R in that folder, such as `4.2.2`, without starting it."""
    found = re.search(r"R version (\d+\.\d+\.\d+)", _ask_r(f"{home}/bin/R", "--version"))
    return found and found[1]


def rpy2_version() -> str | None:
    """Version of the installed rpy2-rinterface, or of an rpy2 from before it was split up."""
    for name in ("rpy2-rinterface", "rpy2"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _ask_r(program: str, option: str) -> str:
    try:
        answer = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout


def _environment(home: str) -> dict[str, str]:
    """Environment of the child: nobody's profile, one thread, English, UTC."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
    for name in ("R_DEFAULT_PACKAGES", "R_SESSION_TMPDIR"):
        env.pop(name, None)
    # Empty means none. rpy2 runs Rscript while it starts, which would read them despite --vanilla.
    env |= dict.fromkeys(("R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER"), "")
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    env |= {"LC_ALL": "C.UTF-8", "LANGUAGE": "en", "TZ": "UTC", "PYTHONIOENCODING": "utf-8"}
    env["R_HOME"] = home
    env.setdefault("RPY2_CFFI_MODE", "ABI")
    paths = [f"{home}/lib", *filter(None, [env.get("LD_LIBRARY_PATH")])]
    env["LD_LIBRARY_PATH"] = os.pathsep.join(paths)
    return env


def _named_list(values: Mapping[str, Any]) -> Any:
    return "list", list(values.values()), {"names": ("character", list(values), {})}


def missing_package(package: str) -> RNotAvailableError:
    """Return the error that tells how to install an R package."""
    in_r = f'install.packages("{package}") in R'
    remedy = f"apt-get install r-cran-lme4 (or {in_r})" if package == "lme4" else in_r
    return RNotAvailableError(f"The R package {package} is not installed", remedy)


def _why_unavailable(home: str, kind: str, text: str) -> RNotAvailableError:
    """Tell the known reasons why R did not come up apart."""
    installed, version = rpy2_version(), r_version(home)
    if kind == "ModuleNotFoundError" and installed is None:
        return RNotAvailableError("rpy2 is not installed", INSTALL_RPY2)
    if installed and version and _numbers(installed) >= (3, 6, 6) and _numbers(version) < (4, 5):
        return RNotAvailableError(
            f"rpy2-rinterface {installed} needs R 4.5 or newer and this is R {version}",
            MATCHING_RPY2,
        )
    if kind == "OSError" and "libR" in text:
        return RNotAvailableError(
            f"There is an R in {home}, but rpy2 cannot load its shared library ({text})",
            f"{INSTALL_R}, or build R with --enable-R-shlib",
        )
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY and most < FEWEST_FILES:
        return RNotAvailableError(
            f"R does not start, where only {most} files may be open at once", "`ulimit -n 1024`"
        )
    fitting = NEWER_RPY2 if version and _numbers(version) >= (4, 5) else MATCHING_RPY2
    return RNotAvailableError(f"R does not start through rpy2 ({kind} {text})", fitting)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
