"""The process of one engine: it answers the questions that come through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

from rparity.engines.base import Answer, Engine, Question, engine
from rparity.errors import RparityError, UsageError
from rparity.workers.serve import serve

# What the process does with a question, and the versions of the packages that it uses.
Responder = tuple[Callable[[Any], Any], Mapping[str, str]]


def versions(asked: Engine) -> dict[str, str]:
    """Return the versions of the distributions that an engine uses."""
    return {name: version(name) for name in getattr(asked, "distributions", ())}


def describe(error: Exception) -> str:
    """Return an exception of an engine as one line."""
    if isinstance(error, RparityError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def serve_engine(pipe: Connection, name: str) -> None:
    """Let an engine answer the questions that come through the pipe."""
    serve(pipe, lambda: _engine(name), describe)


def _engine(name: str) -> Responder:
    try:
        asked = engine(name)
    except ImportError as error:
        raise UsageError(f"not installed: {error}") from error
    except OSError as error:  # a system library that the wheel does not contain
        remedy = ": apt-get install libgomp1" if "libgomp" in str(error) else ""
        raise UsageError(f"cannot be loaded: {error}{remedy}") from error

    def answer(question: Question) -> Answer:
        found: object = asked.answer(question)
        if not isinstance(found, Answer):
            raise UsageError(
                f"returned a {type(found).__name__} instead of a rparity.engines.base.Answer"
            )
        return found

    return answer, versions(asked)
