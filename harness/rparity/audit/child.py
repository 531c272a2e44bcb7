"""The process of one engine: it answers the questions that come through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

from rparity.engines.base import Answer, Engine, Question, engine
from rparity.errors import RparityError, UsageError

# What the process does with a question, and the versions of the packages that it uses.
Responder = tuple[Callable[[Any], Any], Mapping[str, str]]


def versions(asked: Engine) -> dict[str, str]:
    """Return the versions of the distributions that an engine uses."""
    return {name: version(name) for name in getattr(asked, "distributions", ())}


def serve(pipe: Connection, load: Callable[[], Responder]) -> None:
    """Answer each question with (answer, None) or (None, problem), until the pipe closes."""
    try:
        respond, made_by = load()
    except RparityError as error:
        pipe.send((None, str(error)))
        return
    except ImportError as error:
        pipe.send((None, f"not installed: {error}"))
        return
    except OSError as error:  # a system library that the wheel does not contain
        remedy = ": apt-get install libgomp1" if "libgomp" in str(error) else ""
        pipe.send((None, f"cannot be loaded: {error}{remedy}"))
        return
    pipe.send((made_by, None))
    while True:
        try:
            sent = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            reply: tuple[Any, str | None] = respond(sent), None
        except RparityError as error:
            reply = None, str(error)
        except Exception as error:
            reply = None, _said(error)
        try:
            pipe.send(reply)
        except OSError:
            return
        except Exception as error:  # pickle raises many types
            pipe.send((None, f"gave an answer that cannot be sent ({_said(error)})"))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def serve_engine(pipe: Connection, name: str) -> None:
    """Let an engine answer the questions."""
    serve(pipe, lambda: _engine(name))


def _engine(name: str) -> Responder:
    asked = engine(name)

    def answer(question: Question) -> Answer:
        found: object = asked.answer(question)
        if not isinstance(found, Answer):
            raise UsageError(
                f"returned a {type(found).__name__} instead of a rparity.engines.base.Answer"
            )
        return found

    return answer, versions(asked)
