"""One engine in a process of its own: it answers the questions that come through a pipe."""

from __future__ import annotations

import sys
from importlib.metadata import version
from multiprocessing.connection import Connection

from harness.engines.base import Answer, Engine, Question, engine
from harness.errors import RparityError


def versions(asked: Engine) -> dict[str, str]:
    """Return the versions of the distributions that an engine says it is made of."""
    return {name: version(name) for name in getattr(asked, "distributions", ())}


def serve(pipe: Connection, name: str) -> None:
    """Answer questions until the pipe closes."""
    try:
        asked = engine(name)
    except RparityError as error:
        pipe.send((None, str(error)))
        return
    except ImportError as error:
        pipe.send((None, f"not installed: {error}"))
        return
    pipe.send((versions(asked), None))
    while True:
        try:
            question: Question = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            reply: tuple[Answer | None, str | None] = asked.answer(question), None
        except RparityError as error:
            reply = None, str(error)
        except Exception as error:
            reply = None, f"{type(error).__name__}: {' '.join(str(error).split())}"
        pipe.send(reply)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), sys.argv[2])
