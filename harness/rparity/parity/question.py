"""A call of R: its scripts or code, its arguments and its seed, and the hashes that identify it."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rparity.engines.r import made_by
from rparity.errors import RError, UsageError
from rparity.files import sha256
from rparity.parity.sensitivity import moved
from rparity.r.process import missing_package
from rparity.r.session import Change, RResult, RSession
from rparity.r.to_r import to_wire

# What messages call code beside the test: the name of the method that takes it.
INLINE = "r"
# R's lexical structure, as far as comments and white space need it. A string or an operator such as
# %#% may hold what looks like a comment.
TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
    | (?P<newline>\n)
    | (?P<space>[^\S\n]+)
    | [rR]"(?P<d>-*)(?:\(.*?\)(?P=d)"|\[.*?\](?P=d)"|\{.*?\}(?P=d)")
    | [rR]'(?P<s>-*)(?:\(.*?\)(?P=s)'|\[.*?\](?P=s)'|\{.*?\}(?P=s)')
    | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `(?:[^`\\]|\\.)*`
    | [\w.]+
    | (?P<operator>%[^%\n]*%
        |<<-|->>|<-|->|<=|>=|==|!=|&&|\|\||\|>|:::|::|:=|\*\*|[-+*/^=<>!&|~?:@$\\,])
    | (?P<open>[(\[{]) | (?P<close>[)\]}])
    | (?P<unclosed>["'`])
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


def code_hash(code: bytes) -> str:
    """Return a hash of R code that comments, white space and empty lines do not change.

    Code that cannot be taken apart, because a string does not end, has the hash of its bytes.
    """
    text = re.sub(rb"\r\n?", b"\n", code).decode(errors="surrogateescape")
    tokens: list[str] = []
    brackets: list[str] = []
    last: str | None = "newline"
    for found in TOKEN.finditer(text):
        kind, token = found.lastgroup, found[0]
        if kind == "unclosed":
            return sha256(code)
        if kind in ("comment", "space"):
            continue
        if kind == "newline":
            # Where no expression can end, a new line means nothing; elsewhere several mean one.
            if brackets[-1:] in ([], ["{"]) and last not in ("newline", "open", "operator"):
                tokens.append("\n")
                last = kind
            continue
        if token == "}" and tokens[-1:] == ["\n"]:
            tokens.pop()
        if kind == "open":
            brackets.append(token)
        elif kind == "close" and brackets:
            brackets.pop()
        tokens.append(token)
        last = kind
    if tokens[-1:] == ["\n"]:
        tokens.pop()
    return sha256("\0".join(tokens).encode(errors="surrogateescape"))


@dataclass(frozen=True)
class RCall:
    """A call of R: a function of a script in a folder, or code, with its arguments and the seed."""

    file: Path
    script: Path | None
    function: str
    code: str
    seed: int | None
    libraries: tuple[Path, ...]
    packages: tuple[str, ...]
    arguments: Mapping[str, object]

    def asked(self) -> dict[str, Any]:
        """Return what R's answer depends on; of scripts, code and arguments, their hashes.

        Raises
        ------
        UsageError
            There is no such script, or R cannot take an argument.
        """
        if self.script is None:
            script, hashes = self.file.name, {f"the R code of {INLINE}()": self.code.encode()}
        else:
            script, hashes = self._name(self.script), {}
        return {
            "script": script,
            "function": self.function,
            "seed": self.seed,
            "packages": list(self.packages),
            "scripts": {
                name: code_hash(code) for name, code in {**self._scripts(), **hashes}.items()
            },
            "arguments": {
                # The text of a tuple of bytes and strings, in ASCII, is the same on every machine.
                name: sha256(
                    ascii(to_wire(value, f"argument {name} of {self.function}()")).encode()
                )
                for name, value in self.arguments.items()
            },
        }

    def hashes_of_bytes(self) -> dict[str, str]:
        """Return the hashes that early recordings have of scripts: those of all their bytes."""
        return {name: sha256(content) for name, content in self._scripts().items()}

    def ask(self, session: RSession, timeout: float) -> tuple[RResult, dict[str, Any]]:
        """Return R's answer, and what gave it.

        Raises
        ------
        RError, RCrashedError, RNotAvailableError, RTimeoutError
        """
        try:
            result = self._result(session, timeout)
        except RError as error:
            raise RError(f"{error.message}{self._unattached(error.message)}", error.calls) from None
        software = made_by(session, self.packages)
        for package in self.packages:
            if not isinstance(software["packages"][package], str):
                raise missing_package(package)
        return result, software

    def ask_moved(self, session: RSession, timeout: float) -> RResult:
        """Return R's answer to the call with the last bits of its arguments changed.

        Raises
        ------
        RError, RCrashedError, RNotAvailableError, RTimeoutError
        """
        return self._result(session, timeout, moved)

    def can_move(self) -> bool:
        """Whether an argument has doubles whose last bits can change."""
        wires = {name: to_wire(value) for name, value in self.arguments.items()}
        return moved(wires) != wires

    def _result(self, session: RSession, timeout: float, change: Change | None = None) -> RResult:
        options: dict[str, Any] = {
            "libraries": [self._path(library) for library in self.libraries],
            "seed": self.seed,
            "timeout": timeout,
            "change": change,
        }
        if self.script is None:
            return session.evaluate(self.code, self.arguments, name=self.function, **options)
        return session.call(self._path(self.script), self.function, self.arguments, **options)

    def _unattached(self, message: str) -> str:
        """Return the remedy if R did not find a function that a package of the call may have."""
        unknown = re.search(r'could not find function "(.+)"', message)
        if unknown is None:
            return ""
        names = " or ".join(f"{package}::{unknown[1]}" for package in self.packages)
        return f"; R attaches no package: write {names or 'PACKAGE::' + unknown[1]}"

    def _scripts(self) -> dict[str, bytes]:
        scripts = (*self.libraries, *([] if self.script is None else [self.script]))
        return {self._name(script): self._content(script) for script in scripts}

    def _path(self, script: Path) -> Path:
        return self.file.parent / script

    def _name(self, script: Path) -> str:
        return Path(os.path.relpath(self._path(script), self.file.parent)).as_posix()

    def _content(self, script: Path) -> bytes:
        try:
            return self._path(script).read_bytes()
        except OSError as error:
            raise UsageError(
                f"There is no R script {self._path(script)} that can be read ({error.strerror}); "
                "name it relative to the folder of the test file."
            ) from error


def seed_of(seed: Any) -> int | None:
    """Return a seed as an integer.

    Raises
    ------
    UsageError
        It is no whole number.
    """
    try:
        return None if seed is None else operator.index(seed)
    except TypeError:
        raise UsageError(f"The seed must be a whole number, and is {seed!r}.") from None


def several(names: Any) -> list[Any]:
    """Return a list of names; a single one may be given as it is."""
    return [names] if isinstance(names, str | Path) else list(names)
