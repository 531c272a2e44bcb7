"""`rparity completion`: complete commands, options, cases and engines in a shell.

The script for a shell only asks `rparity completion --words …`, so what it completes is always what
the installed command has.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rparity import paths
from rparity.commands import AGREE
from rparity.errors import UsageError

HELP = "print a script that completes commands and options in a shell"
ABOUT = (
    "Complete commands, options, cases and engines with the tab key. The script that is printed "
    "belongs in the start-up file of the shell: ~/.bashrc, ~/.zshrc after compinit, or "
    "~/.config/fish/config.fish."
)
STATUS = "0 if the script was printed, 2 for an error of usage."
EXAMPLE = 'eval "$(rparity completion bash)"'

# The variable that names a folder with cases of one's own, and the folder of kept answers.
PROJECT, KEPT = "RPARITY_PROJECT", "engines"
SCRIPTS = {
    "bash": r"""_rparity() {
    local IFS=$'\n' current="${COMP_WORDS[COMP_CWORD]}"
    local found="$(rparity completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)"
    COMPREPLY=($(compgen -W "$found" -- "$current"))
}
complete -o default -F _rparity rparity
""",
    "zsh": r"""_rparity() {
    local -a found
    found=("${(@f)$(rparity completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _rparity rparity
""",
    "fish": r"""function __rparity
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l found (rparity completion --words $before[2..-1] "$current" 2>/dev/null)
    if test -n "$found"
        printf '%s\n' $found
    else
        __fish_complete_path "$current"
    end
end
complete -c rparity -f -a '(__rparity)'
""",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", metavar="SHELL", nargs="?", help=" or ".join(SCRIPTS))
    parser.add_argument("--words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Print the script, or what completes the words."""
    if options.words is not None:
        print("\n".join(candidates(options.root, options.words)))
        return AGREE
    if options.shell not in SCRIPTS:
        raise UsageError(f"Name the shell, {', '.join(SCRIPTS)}: `rparity completion bash`.")
    print(SCRIPTS[options.shell], end="")
    return AGREE


def candidates(root: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return what may stand in the place of the last word. Nothing means a file."""
    *before, current = words or [""]
    (commands,) = (a for a in root._actions if isinstance(a, argparse._SubParsersAction))
    named = next((word for word in before if word in commands.choices), None)
    parser = root if named is None else commands.choices[named]
    asked = next((a for a in parser._actions if before and before[-1] in a.option_strings), None)
    if asked is not None and asked.nargs != 0:
        found = _values(asked)
    elif current.startswith("-"):
        shown = (a for a in parser._actions if a.help != argparse.SUPPRESS)
        found = [option for action in shown for option in action.option_strings]
    elif named is None:
        found = list(commands.choices)
    else:
        places = [a for a in parser._actions if not a.option_strings]
        done = len(before) - before.index(named) - 1
        found = _values(places[min(done, len(places) - 1)]) if places else []
    return sorted(word for word in found if word.startswith(current))


def _values(action: argparse.Action) -> Iterable[str]:
    """Return the values of an option or of an argument."""
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    match action.metavar:
        case "CASE":
            return _recorded()
        case "ENGINE" | "NAME" if action.dest == "engine":
            from rparity.engines.base import engine_names

            return engine_names()
        case "SHELL":
            return SCRIPTS
        case _:
            return ()


def _recorded() -> list[str]:
    """Return the cases that have a recording, by the names of folders: cases load slowly."""
    folders = [paths.fixtures()]
    if own := os.environ.get(PROJECT):
        folders.append(Path(own) / "fixtures")
    return [
        one.name
        for folder in folders
        if folder.is_dir()
        for one in folder.iterdir()
        if one.is_dir() and one.name != KEPT
    ]
