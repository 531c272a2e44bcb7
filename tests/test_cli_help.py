"""What the command says about itself: help, suggestions and completion."""

from __future__ import annotations

import argparse

import pytest

from rparity.cases import cases
from rparity.cli import COMMANDS, _parser, main
from rparity.commands import AGREE, UNUSABLE
from rparity.commands.completion import candidates
from rparity.engines.base import engine_names

Capture = pytest.CaptureFixture[str]


def helped(capsys: Capture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert not stop.value.code
    return capsys.readouterr().out


def refused(capsys: Capture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == UNUSABLE
    return capsys.readouterr().err


# Help -------------------------------------------------------------------------------------------


def test_the_command_alone_shows_its_help(capsys: Capture) -> None:
    """The status is 2: a script whose variable is empty must not pass."""
    assert main([]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.err == ""
    assert streams.out == helped(capsys)
    assert all(f"\n    {name}" in streams.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("width", ["70", "80"])
def test_the_help_says_what_a_command_is_for_its_statuses_and_an_example(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = helped(capsys, name)
    usage, about, *_ = text.split("\n\n")
    assert usage.startswith(f"usage: rparity {name} ")
    assert about.strip().endswith(".")
    assert "\nExit status: 0 " in text
    *_, example, end = text.split("\n")
    assert end == ""
    assert f"rparity {name}" in example
    lines = [line for line in text.splitlines() if line != example]
    assert max(map(len, lines)) <= int(width)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_parses(name: str) -> None:
    (commands,) = (
        action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    *_, example = str(commands.choices[name].epilog).split("\n\n")
    words = example.replace('eval "$(', "").replace(')"', "").split()
    assert words[:2] == ["rparity", name]
    _parser().parse_args(words[1:])


# Suggestions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rnu"], "there is no command 'rnu'. Did you mean 'run'?"),
        (["regenrate"], "Did you mean 'regenerate'?"),
        (["xyzzy"], "there is no command 'xyzzy'. There are new, run, audit"),
        (
            ["run", "norris", "--formt", "json"],
            "there is no option --formt. Did you mean '--format'?",
        ),
        (["run", "--livee"], "Did you mean '--live'?"),
        (
            ["audit", "--zzz=1"],
            "there is no option --zzz. `rparity audit --help` shows all options.",
        ),
        (["run", "--format", "jsn"], "there is no value 'jsn'. Did you mean 'json'?"),
        (["list", "norris"], "there is no place for the argument 'norris'."),
        (["--versoin"], "there is no option --versoin. Did you mean '--version'?"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(
    capsys: Capture, arguments: list[str], says: str
) -> None:
    said = refused(capsys, *arguments)
    assert said.startswith("usage: rparity")
    assert says in " ".join(said.split())


# Completion -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([""], sorted(COMMANDS)),
        (["re"], ["regenerate"]),
        (["--v"], ["--version"]),
        (["run", "norr"], ["norris"]),
        (["run", "norris", "longl"], ["longley"]),
        (["run", "--form"], ["--format"]),
        (["run", "--format", ""], ["json", "junit", "markdown", "text"]),
        (["run", "--engine", "statsm"], ["statsmodels", "statsmodels-tight"]),
        (["explain", "norris", "lm"], ["lm", "lme4", "lme4-tight"]),
        (["explain", "norris", "lm", ""], []),
        (["audit", "-o", "rep"], []),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["run", "--case"], []),
    ],
)
def test_words_are_completed(words: list[str], found: list[str]) -> None:
    """Nothing found means that the shell completes the name of a file. Old spellings are hidden."""
    assert candidates(_parser(), words) == found


def test_all_cases_and_engines_are_completed() -> None:
    assert candidates(_parser(), ["run", ""]) == sorted(cases())
    assert candidates(_parser(), ["run", "--engine", ""]) == sorted(engine_names())


def test_the_words_may_hold_options(capsys: Capture) -> None:
    assert main(["completion", "--words", "run", "--against", "4", "--liv"]) == AGREE
    assert capsys.readouterr().out == "--live\n"


def test_completion_without_a_shell_names_them(capsys: Capture) -> None:
    assert main(["completion"]) == UNUSABLE
    assert "bash, zsh, fish" in capsys.readouterr().err
