"""`rparity completion` in the shells themselves: bash, zsh and fish complete with their script.

zsh and fish may be missing on a developer's machine: their tests are then skipped with that reason.
With RPARITY_REQUIRE_SHELLS=1, as in .ci/run, a missing shell fails.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

from rparity.commands.completion import SCRIPTS

pytestmark = pytest.mark.slow(reason="each tab starts the command, and zsh loads its completion")
# What is typed, and what the shell makes of it: a command, an option, a case, a value of an option.
TYPED = {
    "rparity regen": "regenerate",
    "rparity run norris --form": "--format",
    "rparity run norr": "norris",
    "rparity run --format mark": "markdown",
}
# A function in the place of the command starts one process.
POSIX = f'rparity() {{ {sys.executable} -m rparity.cli "$@"; }}\n'
FISH = f"function rparity; {sys.executable} -m rparity.cli $argv; end\n"
BASH_ASKS = """
for typed in "$@"; do
    read -r -a COMP_WORDS <<<"$typed"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _rparity; echo "${COMPREPLY[@]}"
done
"""
FISH_ASKS = "for typed in $argv; complete -C $typed; end\n"
# Control-X shows the line that is edited.
ZSH_SHOWS = """
autoload -U compinit; compinit -u -D
show() { print -r -- "<$BUFFER>"; }; zle -N show; bindkey '^X' show; bindkey '^U' kill-whole-line
"""
SECONDS = 60.0


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def there(shell: str) -> str:
    """Return the path of a shell; without it the test is skipped, or fails where it is required."""
    path = shutil.which(shell)
    if path is None and os.environ.get("RPARITY_REQUIRE_SHELLS"):
        pytest.fail(f"{shell} is required here and is not installed: apt-get install {shell}")
    if path is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    return path


def lines_of(command: Sequence[str]) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


class Terminal:
    """A shell that is used by hand: keys go in, and what it shows comes out."""

    def __init__(self, command: Sequence[str]) -> None:
        self.end, other = pty.openpty()
        self.shell = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=environment(), close_fds=True,
            start_new_session=True,
        )  # fmt: skip
        os.close(other)
        self.shown = ""

    def press(self, keys: str, until: str) -> re.Match[str]:
        """Press keys, and wait until what the shell shows from then on matches."""
        self.shown = ""
        os.write(self.end, keys.encode())
        while (found := re.search(until, self.shown)) is None:
            ready, _, _ = select.select([self.end], [], [], SECONDS)
            assert ready, f"the shell shows no {until!r}, but {self.shown!r}"
            self.shown += os.read(self.end, 65536).decode(errors="replace")
        return found

    def close(self) -> None:
        self.shell.kill()
        self.shell.wait()
        os.close(self.end)


def test_bash_completes_with_the_script() -> None:
    found = lines_of(["bash", "-c", POSIX + SCRIPTS["bash"] + BASH_ASKS, "bash", *TYPED])
    assert found == list(TYPED.values())


def test_fish_completes_with_the_script() -> None:
    fish = there("fish")
    found = lines_of([fish, "--no-config", "-c", FISH + SCRIPTS["fish"] + FISH_ASKS, *TYPED])
    assert found == list(TYPED.values())


def test_zsh_completes_with_the_script(tmp_path_factory: pytest.TempPathFactory) -> None:
    zsh = there("zsh")
    start = tmp_path_factory.mktemp("zsh") / "start"
    start.write_text(POSIX + ZSH_SHOWS + SCRIPTS["zsh"])
    terminal = Terminal([zsh, "-f", "-i"])
    try:
        said = terminal.press(f"source {start}; echo star''ted\n", r"(?s)(.*)started")[1]
        assert "zsh:" not in said  # no error
        for typed, found in TYPED.items():
            line = terminal.press(f"\x15{typed}\t\x18", r"<(.*?)>")[1]
            assert line.split() == [*typed.split()[:-1], found]
    finally:
        terminal.close()
