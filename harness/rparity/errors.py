"""The errors that a user can cause; their messages say what is wrong and the remedy."""

import difflib
from collections.abc import Iterable

from rparity.text import visible

MORE_FILES = "Too many open files: allow more of them (`ulimit -n 1024`) and try again."


class RparityError(Exception):
    """Base of every error that a user can cause; the command prints it and exits with status 2.

    What R says, and names of whatever is named, may be in it; it is shown as text in any case.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class UsageError(RparityError):
    """An argument that makes no sense: an unknown case, no replicates, an unknown option."""


class DataError(RparityError):
    """Data that the model cannot be fitted to: NaN, a factor of one level, a collinear column."""


class FormulaError(RparityError):
    """A formula that does not parse, or that names what the data do not have."""


class RNotAvailableError(RparityError):
    """R, lme4 or a matching rpy2 is not there; the message names the command that installs it."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class RError(RparityError):
    """R raised an error; the message is R's own, with the R function that was called."""


class RCrashedError(RparityError):
    """The R process died or was killed in the middle of a call."""


class RTimeoutError(RparityError):
    """R did not answer within the time limit and was stopped."""


class RecordingError(RparityError):
    """A recording that is missing, stale or corrupt; the message names the file."""


class SignatureError(RecordingError):
    """A recording that no trusted key has signed, where keys are named."""


class ClusterError(RparityError):
    """A Dask cluster whose workers are not there, are gone, or lack what the work needs."""


class WorkerCrashedError(RparityError):
    """An item of work that twice ended its worker process, or did not end within its time limit."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question about the nearest known name, to put into an error, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]!r}? " if near else ""


def require_seconds(name: str, seconds: float) -> None:
    """Refuse a time limit that nothing can keep.

    Raises
    ------
    UsageError
    """
    if not seconds > 0.0:
        raise UsageError(f"{name} must be above 0 seconds, and is {seconds:g}.")
