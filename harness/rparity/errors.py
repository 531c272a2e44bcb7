"""The errors that a user can cause. Their messages say what is wrong and what to do."""

import difflib
from collections.abc import Iterable

from rparity.text import visible

MORE_FILES = "Too many open files: allow more of them (`ulimit -n 1024`) and try again."


class RparityError(Exception):
    """Base of all errors that a user can cause; the command prints it and exits with status 2.

    A message may hold text of R or of files. Control characters in it are shown, not obeyed.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class UsageError(RparityError):
    """An argument that makes no sense, such as an unknown case or no replicates."""


class DataError(RparityError):
    """Data that the model cannot be fitted to, such as NaN or a factor of one level."""


class FormulaError(RparityError):
    """A formula that does not parse, or that names a variable that the data do not have."""


class RNotAvailableError(RparityError):
    """R, lme4 or a matching rpy2 is missing; the message has the command that installs it."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class RError(RparityError):
    """R raised an error; the message is R's own, with the name of the R function.

    `calls` are the calls of R that led to it, the innermost first, as R's `traceback()` has them.
    The text of the error is `message`, and then the calls, one a line.
    """

    def __init__(self, message: str, calls: Iterable[str] = ()) -> None:
        self.message = message
        self.calls = tuple(calls)
        heads = ["in", *["called from"] * len(self.calls)]
        lines = [f"{head} {call}" for head, call in zip(heads, self.calls, strict=False)]
        super().__init__("\n  ".join([message, *lines]))


class RCrashedError(RparityError):
    """The R process died or was killed during a call."""


class RTimeoutError(RparityError):
    """R did not answer within the time limit and was stopped."""


class RecordingError(RparityError):
    """A recording that is missing, stale or corrupt; the message names the file."""


class SignatureError(RecordingError):
    """A recording that no trusted key has signed, although trusted keys are named."""


class ClusterError(RparityError):
    """Worker processes that do not start, are gone, or have no rparity or another version."""


class WorkerCrashedError(RparityError):
    """An item of work that two worker processes died of, or that twice exceeded its time limit."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question "Did you mean …?" with the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]!r}? " if near else ""


def install(*extras: str) -> str:
    """Return the command that installs this package with `extras` from where it came from.

    A package from Git, an archive or a folder has a record of its origin (PEP 610). Without one, it
    came from a package index.
    """
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlparse

    what = f"rparity[{','.join(extras)}]"
    try:
        origin = json.loads(distribution("rparity").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        origin = {}
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        editable = "-e " * bool(origin["dir_info"].get("editable"))
        return f'pip install {editable}"{unquote(urlparse(url).path)}[{",".join(extras)}]"'
    if "vcs_info" in origin:
        revision = origin["vcs_info"].get("requested_revision")
        url = f"{origin['vcs_info']['vcs']}+{url}{f'@{revision}' if revision else ''}"
    return f'pip install "{what} @ {url}"' if url else f'pip install "{what}"'


def require_seconds(name: str, seconds: float) -> None:
    """Refuse a time limit that is not above 0.

    Raises
    ------
    UsageError
    """
    if not seconds > 0.0:
        raise UsageError(f"{name} must be above 0 seconds, and is {seconds:g}.")
