"""`RProcess`: the process in which R runs (`child.py`), how it starts, and why it does not.

`RSession` starts it and exchanges messages with it. Anything else that runs R behind an `RSession`
has the same methods.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from rparity.errors import (
    RCrashedError,
    RNotAvailableError,
    RTimeoutError,
    UsageError,
    install,
)
from rparity.r import CHOICE, WEBR
from rparity.r.from_r import from_wire
from rparity.r.version import numbers
from rparity.workers.child import ONE_THREAD, Child, likely_cause

CHILD = "rparity.r.child:main"
WEBR_CHILD = "rparity.r.webr:main"
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
MATCHING_RPY2 = 'RPY2_CFFI_MODE=ABI pip install "rpy2-rinterface>=3.6.5,<3.6.6"'
NEWER_RPY2 = "RPY2_CFFI_MODE=ABI pip install --upgrade rpy2-rinterface"


class RProcess(Child):
    """The process in which R runs; its errors say what R was doing."""

    def __init__(self) -> None:
        self.home = WEBR if uses_webr() else r_home()
        self.surroundings = surroundings()
        self.versions: dict[str, str | None] = {}
        #: The packages that the fork in which R waits has loaded (`RSession.apart`).
        self.packages: tuple[str, ...] = ()
        self.doing = "its start"
        super().__init__(
            WEBR_CHILD if self.home == WEBR else CHILD,
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
            return "error", "", text, None, ()
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


def uses_webr() -> bool:
    """Whether webR runs R's code, and not the R that is installed.

    Raises
    ------
    UsageError
        `RPARITY_R` has another value than `webr`.
    """
    chosen = os.environ.get(CHOICE, "")
    if chosen not in ("", WEBR):
        raise UsageError(f"{CHOICE} is {chosen!r}; it is {WEBR!r} or not set.")
    return chosen == WEBR


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


def surroundings() -> tuple[str, dict[str, str]]:
    """Return the working directory and environment that R would inherit if it started now."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return os.getcwd(), inherited  # noqa: PTH109


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
    for name in ("R_DEFAULT_PACKAGES", "R_SESSION_TMPDIR", "PYTEST_CURRENT_TEST"):
        env.pop(name, None)
    # "" means that there is no such file. rpy2 runs Rscript at its start, without --vanilla.
    env |= dict.fromkeys(("R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER"), "")
    env |= ONE_THREAD
    env |= {"LC_ALL": "C.UTF-8", "LANGUAGE": "en", "TZ": "UTC", "PYTHONIOENCODING": "utf-8"}
    if home == WEBR:
        return env
    env["R_HOME"] = home
    env.setdefault("RPY2_CFFI_MODE", "ABI")
    paths = [f"{home}/lib", *filter(None, [env.get("LD_LIBRARY_PATH")])]
    env["LD_LIBRARY_PATH"] = os.pathsep.join(paths)
    return env


def missing_package(package: str) -> RNotAvailableError:
    """Return the error for an R package that is missing; it says how to install the package."""
    if uses_webr():
        return RNotAvailableError(
            f"webR has only the packages that are part of R, and not {package}",
            f"record this call with an R that is installed ({INSTALL_R})",
        )
    remedy = f'install.packages("{package}") in R'
    if package == "lme4":
        remedy = f"apt-get install r-cran-lme4 (or {remedy})"
    if package in CASE_PACKAGES:
        remedy = f"{INSTALL_PACKAGES} (or {remedy})"
    return RNotAvailableError(f"The R package {package} is not installed", remedy)


def _why_unavailable(home: str, kind: str, text: str) -> RNotAvailableError:
    """Return the error that names the reason, if it is a known one, and the remedy."""
    if home == WEBR:
        if kind == "FileNotFoundError":
            return RNotAvailableError(
                f"{text}, which runs webR", f"{install('webr')} && npm install webr ws"
            )
        if "MODULE_NOT_FOUND" in text:
            return RNotAvailableError(
                f"webR is neither in this folder nor in that of RPARITY_WEBR ({text})",
                "npm install webr ws",
            )
        said = " ".join(filter(None, (kind, text)))
        return RNotAvailableError(f"webR does not start ({said})", "npm install webr ws")
    installed, version = rpy2_version(), r_version(home)
    if kind == "ModuleNotFoundError" and installed is None:
        return RNotAvailableError("rpy2 is not installed", f"RPY2_CFFI_MODE=ABI {install('r')}")
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
