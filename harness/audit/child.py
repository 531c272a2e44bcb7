"""One engine in a process of its own: it answers the questions that come through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

from harness.engines.base import Engine, engine
from harness.errors import RparityError

# What the process does, and the versions of what it does it with.
Service = tuple[Callable[[Any], Any], Mapping[str, str]]


def versions(asked: Engine) -> dict[str, str]:
    """Return the versions of the distributions that an engine says it is made of."""
    return {name: version(name) for name in getattr(asked, "distributions", ())}


def serve(pipe: Connection, load: Callable[[], Service]) -> None:
    """Answer what is sent until the pipe closes: (answer, None), or (None, the problem)."""
    try:
        respond, made_by = load()
    except RparityError as error:
        pipe.send((None, str(error)))
        return
    except ImportError as error:
        pipe.send((None, f"not installed: {error}"))
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
            reply = None, f"{type(error).__name__}: {' '.join(str(error).split())}"
        pipe.send(reply)


def _engine(name: str) -> Service:
    asked = engine(name)
    return asked.answer, versions(asked)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), lambda: _engine(sys.argv[2]))
