"""The documents: their code runs, outputs agree, commands parse, and links resolve.

Each page runs from top to bottom in its own folder:

- A block with a title is written to a file of that name.
- Other Python blocks run in one namespace. Their output must have the lines of the `output` block
  that follows.
- In a `console` block, each command that shows output runs. Its output must have the lines shown,
  in that order (`…` matches anything).
- Code in the columns RUNS of a table runs. If the table has a column `what happens`, the code must
  end in an error that begins so.

`pytest -m live` runs the code that needs R. Otherwise docs/recordings/PAGE has R's answers.
"""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.pytester import LineMatcher
from markdown_it import MarkdownIt
from markdown_it.token import Token

from places import ROOT
from rparity.cases import extensions
from rparity.cli import COMMANDS, _parser, main

PAGES = sorted(
    [
        *(
            ROOT / name
            for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
        ),
        *ROOT.glob("docs/**/*.md"),
    ]
)
RECORDINGS = ROOT / "docs" / "recordings"
NEEDS_R = re.compile(r"--r=(record|live|check)|--live|\bregenerate\b")
# Columns of tables whose code runs, and the Python code for a cell.
RUNS = {
    "Python": "{}",
    "statsmodels": "{}",
    "fixed part": 'rparity.lmer("y ~ {} + (1 | g)", data)',
    "grouping factor": 'rparity.lmer("y ~ x + (1 | {})", data)',
}
WRITES = re.compile(r"--r=record|\bregenerate (?!--check)")
TOLD_OF_RECORDING = re.compile(r".* answers? of R recorded:|  r_recordings/|.*'s answer is in ")

Run = Callable[..., pytest.RunResult]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def tokens(page: Path) -> Iterator[Token]:
    """Yield all tokens of a page, including those within paragraphs."""
    for token in MarkdownIt().enable("table").parse(page.read_text("utf-8")):
        yield token
        yield from token.children or ()


@dataclass(frozen=True)
class Block:
    """A block of code: language, name of its file, text, and expected error."""

    language: str
    title: str
    text: str
    error: str = ""


def blocks(page: Path) -> Iterator[Block]:
    heads: list[str] = []
    row: list[Token] = []
    for token in tokens(page):
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token)
        elif token.type == "thead_close":
            heads = [cell.content for cell in row]
        elif token.type == "tr_close":
            yield from _in_row(dict(zip(heads, row, strict=False)))
        elif token.type == "fence":
            title = re.search(r'title="([^"]+)"', token.info)
            yield Block(token.info.partition(" ")[0], title[1] if title else "", token.content)
        elif token.type == "code_block":
            python = token.content.startswith(("import ", "from "))
            yield Block("python" if python else "", "", token.content)


def _in_row(row: dict[str, Token]) -> Iterator[Block]:
    """Yield the code in the rows of a table that runs."""
    told = _codes(row["what happens"]) if "what happens" in row else []
    error = next((code for code in told if "Error: " in code), "")
    for head in RUNS.keys() & row.keys():
        for code in _codes(row[head]):
            text = RUNS[head].format(code.replace('"', r"\"") if RUNS[head] != "{}" else code)
            yield Block("python", "", text, error)


def _codes(cell: Token) -> list[str]:
    return [token.content for token in cell.children or () if token.type == "code_inline"]


def steps(console: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of a console block, each with the lines that it prints."""
    command, shown = "", []
    for line in console.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        elif line.strip() != "…":
            shown.append(line)
    yield command, shown


def commands(page: Path) -> Iterator[str]:
    """Each command `rparity …` that a page names, but not synopses with brackets."""
    for token in tokens(page):
        if token.type == "code_inline":
            lines = [token.content]
        elif token.info.startswith("console"):
            lines = [command for command, _ in steps(token.content)]
        elif token.type in ("fence", "code_block"):
            lines = token.content.splitlines()
        else:
            continue
        for line in lines:
            text = re.sub(r"^\s*(\$ |- run: |run: )?|\s+#.*$", "", line)
            if re.match(r"rparity -{0,2}[a-z]", text) and not re.search(r"[\[|…]", text):
                yield text


# -- the session of a page -------------------------------------------------------------------------


class Session:
    """Runs the code of a page in its own folder."""

    def __init__(
        self, page: Path, folder: Path, inner: Run, capsys: pytest.CaptureFixture[str], live: bool
    ) -> None:
        self.page, self.folder, self.inner, self.capsys, self.live = (
            page,
            folder,
            inner,
            capsys,
            live,
        )
        self.kept = RECORDINGS / page.stem
        self.names: dict[str, object] = {}

    def play(self) -> None:
        said: list[str] = []
        for block in blocks(self.page):
            if block.title:
                path = self.folder / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
            elif block.language == "python":
                said = self.python(block)
            elif block.language == "output":
                _match(block.text.splitlines(), said)
            elif block.language == "console":
                for command, shown in steps(block.text):
                    self.run(command, shown)

    def python(self, block: Block) -> list[str]:
        """Run Python; return the lines that it prints."""
        code = compile(block.text, name_of(self.page), "exec")
        self.capsys.readouterr()
        if block.error:
            with pytest.raises(Exception) as caught:
                exec(code, self.names)
            told = " ".join(f"{caught.type.__name__}: {caught.value}".split())
            assert told.startswith(block.error), f"{block.text}: {told}"
        else:
            exec(code, self.names)
        return self.capsys.readouterr().out.splitlines()

    def run(self, command: str, shown: list[str]) -> None:
        if NEEDS_R.search(command) and not self.live:
            if not WRITES.search(command):
                return
            shutil.copytree(self.kept, self.folder, dirs_exist_ok=True)
            if command.startswith("rparity"):
                return
            command = command.replace(" --r=record", "")
            shown = [line for line in shown if not TOLD_OF_RECORDING.match(line)]
        if not shown:
            if self.live and WRITES.search(command):
                self.printed(command)
            return
        _match(shown, self.printed(command))

    def printed(self, command: str) -> list[str]:
        program, *arguments = shlex.split(command)
        if program == "pytest":
            result = self.inner(*arguments)
            self.capsys.readouterr()
            return result.outlines
        assert program == "rparity", f"{command!r} shows output, and cannot be run here"
        main(arguments)
        streams = self.capsys.readouterr()
        return (streams.out + streams.err).splitlines()


def _match(shown: list[str], printed: list[str]) -> None:
    """Require the lines shown, in that order."""
    wanted = [re.sub(r"([*?\[])", r"[\1]", line).replace("…", "*") for line in shown]
    LineMatcher(_narrow(printed)).fnmatch_lines(_narrow(wanted))


def _narrow(lines: list[str]) -> list[str]:
    """Return the lines with single blanks, because widths of columns may differ.

    From the fifteenth on, the digits that agree depend on the processor and the version of SciPy.
    """
    return [re.sub(r"\b1[5-7]\.\d digits", "15 digits", " ".join(ln.split())) for ln in lines]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove modules and settings of a page after its test."""
    # Python would take the compiled first version of a file that is written twice in a second.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(extensions.VARIABLE, "")
    monkeypatch.setenv("COLUMNS", "120")
    modules = set(sys.modules)
    yield
    extensions._modules.cache_clear()
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(("/tmp", "/private")):
            del sys.modules[name]


# The code of the atlas's page is that of its pairs, which tests/cases/test_atlas.py runs.
RUN = [page for page in PAGES if page.parent.name != "examples" and page.name != "atlas.md"]
SLOW = {
    **dict.fromkeys(
        ("docs/explanation.md", "docs/how-to/for-r-users.md", "docs/how-to/notebooks.md"),
        "a second of fits, bootstraps and plots; other pages run under each Python",
    ),
    "docs/study.md": "a study of data sets with bootstraps",
    "docs/how-to/add-an-engine.md": "audits with engines in processes of their own",
}


def played(page: Path) -> object:
    """A page as a parameter."""
    name = name_of(page)
    marks = [pytest.mark.slow(reason=SLOW[name])] if name in SLOW else []
    return pytest.param(page, id=name, marks=marks)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("page", [played(page) for page in RUN])
def test_the_code_of_a_page_gives_the_output_shown(
    page: Path, pytester: pytest.Pytester, inner: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Session(page, pytester.path, inner, capsys, live=False).play()


@pytest.mark.live
@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in RUN
        if WRITES.search(page.read_text("utf-8"))  # quicker than its blocks
        and any(b.language == "console" and WRITES.search(b.text) for b in blocks(page))
    ],
    ids=name_of,
)
def test_recordings_of_a_page(
    page: Path, pytester: pytest.Pytester, inner: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(page, pytester.path, inner, capsys, live=True)
    session.play()
    kept = {path.relative_to(session.kept) for path in session.kept.rglob("*") if path.is_file()}
    assert kept
    # The folder of a case's recording has the name of the installed R.
    anywhere = {re.sub(r"(?<=/)r\d+\.[^/]+(?=/)", "r*", str(path)) for path in kept}
    assert all(any(pytester.path.glob(path)) for path in anywhere)


# -- commands and links ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_pages_parse(page: Path) -> None:
    parser = _parser()
    for command in commands(page):
        words = shlex.split(command)[1:]
        try:
            parser.parse_args(words)
        except SystemExit as stop:
            if stop.code:
                pytest.fail(f"{name_of(page)}: {command}")


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and Zensical name them."""
    found = list(tokens(page))
    heads = [found[i + 1].content for i, t in enumerate(found) if t.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for token in tokens(page):
        target = str(token.attrs.get("href") or token.attrs.get("src") or "")
        if not target or ":" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(path), f"{name_of(page)} links to {target}: no such heading"


# -- pages that are written by a program -----------------------------------------------------------


@pytest.mark.slow(reason="parses the whole package; no Python gives another page")
def test_the_index_of_classes_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "classes.md"
    made = runpy.run_path(str(ROOT / "docs" / "class_index.py"))["page"]()
    assert page.read_text("utf-8") == made, "Run `python docs/class_index.py`."


def test_the_reference_of_the_command_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "cli.md"
    made = runpy.run_path(str(ROOT / "docs" / "cli_reference.py"))["page"]()
    assert page.read_text("utf-8") == made, "Run `python docs/cli_reference.py`."
    sections = re.findall(r"^## rparity (\w+)$", made, re.MULTILINE)
    assert len(sections) == len(COMMANDS)
    for section in sections:
        with pytest.raises(SystemExit) as stop:
            _parser().parse_args([section, "--help"])
        assert stop.value.code == 0


# -- promises --------------------------------------------------------------------------------------


def cells(page: Path) -> Iterator[list[str]]:
    """The rows of a page's tables."""
    row: list[str] = []
    for token in MarkdownIt().enable("table").parse(page.read_text("utf-8")):
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token.content)
        elif token.type == "tr_close":
            yield [*row]


@pytest.mark.slow(reason="parses all tests; no Python finds others")
def test_every_promise_names_existing_tests() -> None:
    there = {
        f"{name_of(file)}::{node.name}"
        for file in ROOT.glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    page = ROOT / "docs" / "promises.md"
    named = re.findall(r"tests/[\w/]+\.py::\w+", page.read_text("utf-8"))
    assert not set(named) - there
    promises = [row for row in cells(page) if len(row) == 3 and row[-1] != "tests"]
    assert len(promises) > 30
    assert not [promise for promise, _, tests in promises if "::test_" not in tests]


def test_the_navigation_has_every_page() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    there = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert listed == there
