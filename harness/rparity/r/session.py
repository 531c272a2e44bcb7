"""`RSession` calls functions of R scripts, in a process of its own (`child.py`).

R shares no memory with this process. So a script that quits, crashes or loops ends nothing else.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from rparity.errors import (
    RCrashedError,
    RError,
    RNotAvailableError,
    RTimeoutError,
    UsageError,
)
from rparity.r.from_r import from_wire
from rparity.r.to_r import require_text, to_wire
from rparity.r.version import numbers
from rparity.r.wire import Wire
from rparity.workers.child import ONE_THREAD, Child, likely_cause

CHILD = "rparity.r.child:main"
START_SECONDS = 120.0
# With fewer open files than this allowed, the limit is the likely reason why R does not start.
FEWEST_FILES = 256
# rpy2's set-up asks R how it was built, and R runs make to answer.
INSTALL_R = "apt-get install r-base-core r-cran-lme4 make"
# The R packages that only some cases need, with Debian's names: tests of fixed effects and the
# atlas.
CASE_PACKAGES = {
    "lmerTest": "r-cran-lmertest",
    "pbkrtest": "r-cran-pbkrtest",
    "emmeans": "r-cran-emmeans",
    "car": "r-cran-car",
    "lmtest": "r-cran-lmtest",
    "quantreg": "r-cran-quantreg",
    "sandwich": "r-cran-sandwich",
    "survival": "r-cran-survival",
    "geepack": "r-cran-geepack",
    "glmnet": "r-cran-glmnet",
}
INSTALL_PACKAGES = f"apt-get install {' '.join(CASE_PACKAGES.values())}"
# In ABI mode nothing is compiled: neither a compiler nor the headers of R and Python are needed.
INSTALL_RPY2 = 'RPY2_CFFI_MODE=ABI pip install "rparity[r]"'
MATCHING_RPY2 = 'RPY2_CFFI_MODE=ABI pip install "rpy2-rinterface>=3.6.5,<3.6.6"'
NEWER_RPY2 = "RPY2_CFFI_MODE=ABI pip install --upgrade rpy2-rinterface"


@dataclass(frozen=True)
class RResult:
    """What a call gave: its value, what R said and printed during it, and the seconds it took.

    `wire` is the value as R sent it (`r.wire`), in which NULL and a missing string differ.
    `rng_kind` is `RNGkind()` after the call.
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
    of the random stream, and what scripts assign, stay from one call to the next. Several threads
    may share a session; one call runs at a time.

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
        self._lock = threading.Lock()

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
        paths = [os.path.abspath(path) for path in (*libraries, script)]  # noqa: PTH100 - no resolve
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
        request = (paths, function, _named_list(values), to_wire(seed))
        limit = self._timeout if timeout is None else timeout
        with self._lock:
            return self._exchange(self._started(), request, function, limit)

    def _started(self) -> "RProcess":
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
        self, child: "RProcess", request: tuple[Any, ...], function: str, limit: float | None
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
            _, where, text, package = answer
            if package is not None:
                raise missing_package(package)
            raise RError(f"R error in {where}: {text}" if where else text)
        _, wire, output, elapsed, rng_kind = answer
        warnings, messages = tuple(said["warning"]), tuple(said["message"])
        return RResult(
            from_wire(wire, child.doing), warnings, messages, output, elapsed, rng_kind, wire
        )


class RProcess(Child):
    """The process in which R runs; its errors say what R was doing."""

    def __init__(self) -> None:
        self.home = r_home()
        self.versions: dict[str, str | None] = {}
        self.doing = "its start"
        super().__init__(
            CHILD,
            limit=START_SECONDS,
            environment=_environment(self.home),
            options=("-W", "ignore"),
            log=True,
        )

    def start(self, *, again: bool) -> None:
        """Wait until R is up; `again` says that R has been up before in this session.

        Raises
        ------
        RNotAvailableError
            R does not start.
        RCrashedError
            R was killed, or died although it has been up before: another try may succeed.
        """
        try:
            versions, problem = self.receive()
        except RCrashedError as error:
            if again or self.status() in (-signal.SIGKILL, -signal.SIGTERM):
                raise
            problem = "", str(error)
        except RTimeoutError as error:
            problem = "", str(error)
        if problem is not None:
            raise _why_unavailable(self.home, *problem)
        self.versions = from_wire(versions)

    def next_answer(self) -> tuple[Any, ...]:
        """Return the next thing that R says during a call (`r.child`).

        Raises
        ------
        RCrashedError, RTimeoutError
            R died, or has not answered within the call's limit.
        """
        answer: tuple[Any, ...] | None
        answer, problem = self.receive()
        if answer is None:  # R code jumped out of the call
            said = " ".join(" ".join(problem).split())[:300]
            text = f"{self.doing} gave no answer ({said}): R code must not invoke restarts"
            return "error", "", text, None
        return answer

    def died(self) -> RCrashedError:
        """Return the error that says how R ended, and what to do about it."""
        status = self.status()
        if status is None:
            cause, remedy = "it closed its pipe", "a script must leave file descriptors alone"
        else:
            last_words = self.last_words()
            if status >= 0:
                cause, remedy = f"it quit with status {status}", "R code must not call quit()"
            else:
                cause = f"killed by signal {-status}"
                remedy = likely_cause(status) or "run the script under Rscript"
            if last_words:
                remedy += f". Its last words: {last_words}"
        return RCrashedError(f"R died during {self.doing} ({cause}); {remedy}.")

    def late(self) -> RTimeoutError:
        """Return the error that says that R took too long."""
        return RTimeoutError(
            f"R did not finish {self.doing} within {self.limit:g} s and was stopped; "
            "give it less work or a longer timeout."
        )


def availability() -> Availability:
    """Start R to find out whether it works, and its versions. Takes a second, and never raises."""
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
        package_versions={name: found.get(name) for name in CASE_PACKAGES if found},
        problem=problem.problem if problem else None,
        remedy=problem.remedy if problem else None,
    )


def r_home() -> str:
    """Return the folder of R: `R_HOME` if it is set, else the home of the R on the PATH.

    Raises
    ------
    RNotAvailableError
        There is no R.
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
    """Return the version of the R in a folder, such as `4.2.2`, without starting it."""
    found = re.search(r"R version (\d+\.\d+\.\d+)", _ask_r(f"{home}/bin/R", "--version"))
    return found and found[1]


def rpy2_version() -> str | None:
    """Return the version of rpy2-rinterface, or of an rpy2 that is older than this package."""
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
    """Return the child's environment: no profile, one thread, English, UTC."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
    for name in ("R_DEFAULT_PACKAGES", "R_SESSION_TMPDIR"):
        env.pop(name, None)
    # "" means that there is no such file. rpy2 runs Rscript at its start, without --vanilla.
    env |= dict.fromkeys(("R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER"), "")
    env |= ONE_THREAD
    env |= {"LC_ALL": "C.UTF-8", "LANGUAGE": "en", "TZ": "UTC", "PYTHONIOENCODING": "utf-8"}
    env["R_HOME"] = home
    env.setdefault("RPY2_CFFI_MODE", "ABI")
    paths = [f"{home}/lib", *filter(None, [env.get("LD_LIBRARY_PATH")])]
    env["LD_LIBRARY_PATH"] = os.pathsep.join(paths)
    return env


def _named_list(values: Mapping[str, Any]) -> Any:
    return "list", list(values.values()), {"names": ("character", list(values), {})}


def missing_package(package: str) -> RNotAvailableError:
    """Return the error for an R package that is missing; it says how to install the package."""
    remedy = f'install.packages("{package}") in R'
    if package == "lme4":
        remedy = f"apt-get install r-cran-lme4 (or {remedy})"
    if package in CASE_PACKAGES:
        remedy = f"{INSTALL_PACKAGES} (or {remedy})"
    return RNotAvailableError(f"The R package {package} is not installed", remedy)


def _why_unavailable(home: str, kind: str, text: str) -> RNotAvailableError:
    """Return the error that names the reason, if it is a known one, and the remedy."""
    installed, version = rpy2_version(), r_version(home)
    if kind == "ModuleNotFoundError" and installed is None:
        return RNotAvailableError("rpy2 is not installed", INSTALL_RPY2)
    if installed and version and numbers(installed) >= (3, 6, 6) and numbers(version) < (4, 5):
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
            f"R does not start: only {most} files may be open at once", "`ulimit -n 1024`"
        )
    fitting = NEWER_RPY2 if version and numbers(version) >= (4, 5) else MATCHING_RPY2
    return RNotAvailableError(f"R does not start through rpy2 ({kind} {text})", fitting)
