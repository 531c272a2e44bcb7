"""The R process behind `RSession`: it embeds R and answers calls on a pipe (`workers.child.Child`).

Only this module touches rpy2. It imports little, so that R starts quickly. Every message is a pair,
as `workers.serve` has it: something said, or a problem as the exception's type and text. The first
message has R's versions. Then it answers requests:

- `("call", paths, code, function, arguments, seed)`: any number of `("message" | "warning", text)`,
  and one `("result", value, output, elapsed, rng_kind, drawn)` or
  `("error", where, text, missing_package, calls)`; the calls led to the error, innermost first.
- `("fork", packages)`: `("forked",)`, from a copy of this process, which has loaded the packages
  and answers from now on.
- `("leave",)`: `("left",)`, after the copy has ended, from the process that it is a copy of.

`r.wire` describes how values travel.
"""

import hashlib
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from rparity.workers.serve import serve

MAX_OUTPUT = 1_000_000
# The functions that run on R's side.
PRELUDE = Path(__file__).with_name("prelude.R")
# What objects become before they cross.
OBJECTS = Path(__file__).with_name("objects.R")


class Output:
    """What R prints: the first `MAX_OUTPUT` characters, and how many more there were."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0

    def write(self, text: str) -> None:
        """Take what R prints."""
        room = MAX_OUTPUT - self.length
        self.length += len(text)
        if room > 0:
            self.parts.append(text[:room])

    def take(self) -> str:
        """Return what R has printed since the last `take`."""
        cut = self.length - MAX_OUTPUT
        text = "".join(self.parts) + (f"\n[{cut} more characters cut off]" if cut > 0 else "")
        self.parts, self.length = [], 0
        return text


class EmbeddedR:
    """R inside this process, through rpy2's low-level interface.

    `rpy2.robjects` is not used: its conversion rules turn model objects into lists, and live in a
    ContextVar that threads lose.
    """

    def __init__(self) -> None:
        embedded: Any = import_module("rpy2.rinterface_lib.embedded")
        embedded.set_initoptions(("rpy2", "--vanilla", "--no-save", "--quiet"))
        rinterface: Any = import_module("rpy2.rinterface")
        callbacks: Any = import_module("rpy2.rinterface_lib.callbacks")
        self.ri = rinterface
        self.output = Output()
        callbacks.consolewrite_print = self.output.write
        callbacks.consolewrite_warnerror = self.output.write
        callbacks.showmessage = self.output.write
        rinterface.initr(interactive=False)
        self.prelude = rinterface.evalr(PRELUDE.read_text(encoding="utf-8"))
        self.prelude["learn"](rinterface.evalr(OBJECTS.read_text(encoding="utf-8")))
        self.temporary = Path(rinterface.evalr("tempdir()")[0])
        self.leaving = -1  # of a copy: the pipe on which it says that it ends as it should
        self.vectors: dict[str, tuple[Any, Any]] = {
            "logical": (rinterface.BoolSexpVector, "i"),
            "integer": (rinterface.IntSexpVector, "i"),
            "double": (rinterface.FloatSexpVector, "d"),
        }

    def to_r(self, value: tuple[str, Any, dict[str, Any]]) -> Any:
        """Make an R value of (kind, data, attributes), as `r.to_r.to_wire` gives it."""
        kind, data, extra = value
        if kind == "NULL":
            return self.ri.NULL
        if kind == "list":
            vector = self.ri.ListSexpVector([self.to_r(item) for item in data])
        elif kind == "character":
            vector = self.ri.StrSexpVector.from_iterable(data)
        else:
            cls, code = self.vectors[kind]
            vector = cls.from_memoryview(memoryview(data).cast(code))
        if extra:
            names = self.ri.StrSexpVector(list(extra))
            attributes = self.ri.ListSexpVector([self.to_r(item) for item in extra.values()])
            attributes.names = names
            vector = self.prelude["build"](vector, attributes)
        return vector

    def from_r(self, flat: Any) -> tuple[str, Any, dict[str, Any]]:
        """Return (kind, data, attributes) of an R value that `flatten` of the prelude made."""
        kind, vector, extra = flat[0][0], flat[1], flat[2]
        data: Any = None
        if kind == "list":
            data = [self.from_r(item) for item in vector]
        elif kind == "character":
            data = [item if isinstance(item, str) else None for item in vector]
        elif kind != "NULL":
            data = bytes(vector.memoryview()) if len(vector) else b""
        attributes = {}
        if len(extra):
            attributes = {k: self.from_r(v) for k, v in zip(extra.names, extra, strict=True)}
        return kind, data, attributes

    def versions(self) -> Any:
        """Return the versions of R and its packages, as `from_r` does."""
        return self.from_r(self.prelude["versions"]())

    def call(
        self,
        connection: Connection,
        paths: Sequence[str],
        code: str | None,
        name: str,
        arguments: Any,
        seed: Any,
    ) -> tuple[Any, ...]:
        """Call an R function of the scripts at `paths`, or evaluate code; return what to answer."""

        def note(kind: Any, text: Any) -> Any:
            connection.send(((kind[0], text[0]), None))
            return self.ri.NULL

        digest = hashlib.sha256()
        for path in paths:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        started = time.perf_counter()
        answer = self.prelude["run"](
            self.ri.StrSexpVector(paths),
            digest.hexdigest() + "\n".join(paths),
            self.ri.NULL if code is None else code,
            name,
            self.to_r(arguments),
            self.to_r(seed),
            self.ri.rternalize(note),
        )
        elapsed = time.perf_counter() - started
        if answer[0][0]:
            value, kinds = self.from_r(answer[1]), tuple(answer[2])
            drawn = None if answer[3][0][0] == "NULL" else self.from_r(answer[3])
            return "result", value, self.output.take(), elapsed, kinds, drawn
        self.output.take()
        package = answer[3][0]
        return "error", answer[1][0], answer[2][0], package or None, tuple(answer[4])

    def fork(self, packages: Sequence[str]) -> tuple[Any, ...]:
        """Go on in a copy of this process. In this one, return when the copy has left.

        If the copy dies, this process dies in the same way.
        """
        there = set(self.temporary.iterdir())
        said, leaving = os.pipe()
        copy = os.fork()
        if copy == 0:
            self.leaving = leaving
            if packages:
                self.prelude["preload"](self.ri.StrSexpVector(packages))
            return ("forked",)
        os.close(leaving)
        _, status = os.waitpid(copy, 0)
        os.set_blocking(said, False)  # a process that the copy has started may hold the pipe
        try:
            left = os.read(said, 1)
        except BlockingIOError:
            left = b""
        os.close(said)
        if not left:
            _die(status)
        for path in set(self.temporary.iterdir()) - there:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return ("left",)

    def leave(self) -> NoReturn:
        """End this copy at once: R cleans up nothing, because its files are the original's."""
        os.write(self.leaving, b".")
        os._exit(0)


def main(connection: Connection) -> None:
    """Start R, and answer calls until the connection closes."""
    serve_r(connection, EmbeddedR, _describe)


def serve_r(
    connection: Connection, start: Callable[[], Any], describe: Callable[[Exception], Any]
) -> None:
    """Let an R that `start` returns answer calls until the connection closes."""

    def load() -> tuple[Callable[[Any], Any], Any]:
        r = start()

        def answer(request: Any) -> Any:
            kind, *details = request
            if kind == "call":
                return r.call(connection, *details)
            return r.fork(*details) if kind == "fork" else r.leave()

        return answer, r.versions()

    serve(connection, load, describe)


def _die(status: int) -> NoReturn:
    """End this process as another one ended, of which `os.waitpid` gave the status."""
    if os.WIFSIGNALED(status):
        signal.signal(number := os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _describe(error: Exception) -> tuple[str, str]:
    traceback.print_exc()
    return type(error).__name__, str(error)
