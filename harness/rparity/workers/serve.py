"""What a child process does (`workers.child.Child`): it answers what comes through its pipe."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def serve(
    pipe: Connection,
    load: Callable[[], tuple[Callable[[Any], Any], Any]],
    describe: Callable[[Exception], Any],
) -> None:
    """Answer questions until the pipe closes.

    Every message is a pair, of which one is None: the answer, and the problem that there was. The
    first message is sent when everything is loaded.

    Parameters
    ----------
    load
        Returns the function that answers questions, and what to say in the first message.
    describe
        Makes of an exception, of `load` or of an answer, what to send as the problem.
    """
    try:
        answer, greeting = load()
    except Exception as error:
        pipe.send((None, describe(error)))
        return
    pipe.send((greeting, None))
    while True:
        try:
            question = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            reply = answer(question), None
        except Exception as error:
            reply = None, describe(error)
        try:
            pipe.send(reply)
        except OSError:
            return
        except Exception as error:  # of pickle, of several types
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            pipe.send((None, f"gave an answer that cannot be sent ({said})"))
