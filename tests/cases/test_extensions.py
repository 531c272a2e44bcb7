"""Cases and engines of other projects are found, run and audited, with their own ledger."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from folders import adopt, newest
from rparity import paths
from rparity.cases import cases, extensions
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.diagnosis.ledger import ledger
from rparity.doctor import examine
from rparity.engines.base import engine_names
from rparity.errors import UsageError

Capture = pytest.CaptureFixture[str]
# R's recording of `norris` and the kept answers are copied to the folder of the case.
CASE = """
from dataclasses import replace
from rparity.cases import nist

CASES = [replace(case, name="mine") for case in nist.nist_cases() if case.name == "norris"]
"""
ENGINE = """
from rparity.engines.base import ModelEngine
from rparity.engines.native import lm_tables
from rparity.cases.base import LM_TABLES, Lm

class Mine(ModelEngine):
    name = "my-own"
    kinds = {Lm: LM_TABLES}
    factor = 1.0

    def fit(self, part, data):
        import rparity
        tables = lm_tables(rparity.lm(part.formula, data))
        tables["coef"]["std_error"] *= self.factor
        return tables, {}

class Wrong(Mine):
    name = "my-wrong"
    factor = 1 + 1e-4

ENGINES = {"my-own": "my_engine:Mine", "my-wrong": "my_engine:Wrong"}
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove the modules and the folder after a test."""
    monkeypatch.setenv(extensions.VARIABLE, "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    extensions._modules.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project with a case, its recording, and engines."""
    home = tmp_path_factory.mktemp("project")
    (home / "my_case.py").write_text(CASE)
    (home / "my_engine.py").write_text(ENGINE)
    recorded = paths.fixtures()
    adopt(recorded, "norris", home / "fixtures", "mine")
    for kept in recorded.glob("engines/*"):
        adopt(kept, "norris", home / "fixtures" / "engines" / kept.name, "mine")
    return home


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """Return a copy of the project, which a test may change."""
    return Path(shutil.copytree(project, tmp_path / "parity"))


def found(capsys: Capture, *arguments: object) -> list[dict[str, object]]:
    """Return the comparisons in the JSON output of a command."""
    main([*map(str, arguments), "--format", "json"])
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)["comparisons"]
    return rows


def mistake(capsys: Capture, *arguments: object) -> str:
    """Return the message of a command that ends with status 2."""
    assert main([str(argument) for argument in arguments]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.count("\n") == 1
    assert streams.err.startswith("rparity: ")
    return streams.err


def test_a_case_in_a_folder_is_listed_and_run(folder: Path, capsys: Capture) -> None:
    assert main(["list", "--project", str(folder)]) == AGREE
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("mine ")]
    assert "NIST Norris" in line
    assert main(["run", "mine", "--project", str(folder)]) == AGREE
    assert "; nothing fails" in capsys.readouterr().out


def test_doctor_checks_its_recording(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extensions.use(folder)
    monkeypatch.setenv("PATH", str(folder))  # R takes seconds to start
    monkeypatch.delenv("R_HOME", raising=False)
    few = {name: cases()[name] for name in ("norris", "mine")}
    monkeypatch.setattr("rparity.doctor.cases", lambda: few)
    checks = {check.what: check for check in examine(None)}
    assert checks["recording of mine"].ok
    assert checks["answers of exact"].ok
    shutil.rmtree(folder / "fixtures" / "mine")
    checks = {check.what: check for check in examine(None)}
    assert not checks["recording of mine"].ok


@pytest.mark.slow(reason="engines in processes of their own")
def test_explain_works_for_it(folder: Path, capsys: Capture) -> None:
    assert main(["explain", "mine", "rparity", "lm.coef", "x", "--project", str(folder)]) == AGREE
    assert "lm.coef" in capsys.readouterr().out


def test_it_runs_on_its_own_recording(folder: Path, capsys: Capture) -> None:
    shutil.rmtree(folder / "fixtures" / "mine")
    said = mistake(capsys, "run", "mine", "--project", folder)
    assert f"no recording of 'mine' in {folder / 'fixtures'}" in said


def test_an_engine_in_a_folder_runs(folder: Path, capsys: Capture) -> None:
    rows = found(capsys, "run", "mine", "--engine", "my-own", "--project", folder)
    assert {row["engine"] for row in rows} >= {"my-own"}
    assert {row["verdict"] for row in rows} <= {"identical", "rounding", "within"}
    rows = found(capsys, "run", "norris", "--engine", "my-wrong", "--project", folder)
    assert "unexplained" in {row["verdict"] for row in rows if row["engine"] == "my-wrong"}


@pytest.mark.slow(reason="an audit, whose engines are processes of their own")
def test_an_engine_has_its_column_in_the_audit(folder: Path, capsys: Capture) -> None:
    engines = ["--engine", "my-own", "--engine", "my-wrong"]
    command = ["audit", "mine", *engines, "--format", "json", "--project", str(folder)]
    assert main(command) == DISCREPANCY
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    assert {row["engine"] for row in rows} == {"my-own", "my-wrong"}
    fails = {(r["engine"], r["table"], r["column"]) for r in rows if r["verdict"] == "unexplained"}
    assert ("my-wrong", "lm.coef", "std_error") in fails
    assert {engine for engine, _, _ in fails} == {"my-wrong"}


def test_a_ledger_beside_the_cases_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_in = ledger()
    (folder / "ledger.toml").write_text(
        '[[discrepancy]]\nid = "mine"\ncases = ["mine"]\nengine = "my-*"\nreference = "exact"\n'
        'tables = ["*"]\ncause = "conditioning"\nbound = 4\nwhy = "w"\n'
        'references = []\nreproduce = "rparity audit mine"\n'
    )
    extensions.use(folder)
    assert {entry.id for entry in ledger()} == {*(entry.id for entry in built_in), "mine"}


@pytest.mark.parametrize("text", ["[[discrepancy", "x = 1"])
def test_a_broken_ledger_is_an_error(folder: Path, capsys: Capture, text: str) -> None:
    (folder / "ledger.toml").write_text(text)
    said = mistake(capsys, "run", "mine", "--project", folder)
    assert "ledger.toml is not TOML with entries [[discrepancy]]" in said


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (
            "import nowhere\n",
            "ModuleNotFoundError: No module named 'nowhere'. Correct it",
        ),
        ("1 +\n", "my_case.py: SyntaxError"),
        ("CASES = 1\n", "is not a case and not a sequence of cases"),
        ("CASES = [1]\n", "my_case.py has an element that is not a Case; see docs/how-to"),
        ("def CASES(): raise ValueError('no data')\n", "ValueError: no data"),
        (CASE.replace('"mine"', '"norris"'), "Two cases are called 'norris': rename the one in "),
        (CASE.replace('"mine"', '"engines"'), "A case cannot be called 'engines': a name begins "),
        (CASE.replace('"mine"', '"a[1]"'), "A case cannot be called 'a[1]': a name begins "),
        (CASE.replace('"mine"', '"../up"'), "A case cannot be called '../up': a name begins "),
        (CASE.replace('"mine"', '"Mine"'), "A case cannot be called 'Mine': a name begins "),
        (CASE.replace('"mine"', "1"), "A case cannot be called 1: a name begins "),
        ("ENGINES = ['my_engine:Mine']\n", 'my_case.py must map names to "module:Class"'),
        ("ENGINES = {'x': 'my_engine'}\n", 'my_case.py must map names to "module:Class"'),
        ("ENGINES = {'exact': 'my_engine:Mine'}\n", "There are two engines 'exact': rename"),
    ],
)
def test_mistakes_in_a_module(folder: Path, capsys: Capture, module: str, says: str) -> None:
    (folder / "my_case.py").write_text(module)
    engine = ["run", "norris", "--engine", "rparity"]
    command = engine if "ENGINES" in module else ["list"]
    assert says in mistake(capsys, *command, "--project", folder)


@pytest.mark.parametrize("name", ["numbers", "statistics", "pandas", "tomllib", "sys"])
def test_a_module_with_the_name_of_another_one_is_refused(
    folder: Path, capsys: Capture, name: str
) -> None:
    (folder / "my_case.py").rename(folder / f"{name}.py")
    said = mistake(capsys, "list", "--project", folder)
    assert f"{name}.py has the name of another module, {name} (" in said
    assert "rename it." in said


def test_names_of_parts_and_tables_must_be_valid_file_names() -> None:
    norris = cases()["norris"]
    part = norris.parts[-1]
    for bad in (replace(part, name="a/b"), replace(part, kinds=("../coef",))):
        with pytest.raises(UsageError, match=r"'norris'.*a name begins"):
            replace(norris, parts=(*norris.parts, bad))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("my_engine:Other", "Cannot load the engine other = my_engine:Other: AttributeError"),
        ("my_nowhere:Mine", "No module named 'my_nowhere'. Correct it"),
        ("my_engine:LM_TABLES", "TypeError"),
        (
            "builtins:dict",
            "builtins:dict is not an engine: it needs the methods expected and",
        ),
    ],
)
def test_a_class_that_is_no_engine_is_refused(
    folder: Path, capsys: Capture, value: str, says: str
) -> None:
    (folder / "my_more.py").write_text(f"ENGINES = {{'other': '{value}'}}\n")
    assert says in mistake(capsys, "run", "mine", "--engine", "other", "--project", folder)


def test_a_missing_folder_is_refused(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "does not exist" in mistake(capsys, "list", "--project", tmp_path / "nowhere")
    monkeypatch.setenv(extensions.VARIABLE, str(tmp_path / "gone"))
    assert f"that {extensions.VARIABLE} names" in mistake(capsys, "list")


@pytest.fixture
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a distribution with entry points to modules in the folder."""

    def install(points: str) -> None:
        info = folder / "my_project-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-project\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(str(folder))

    return install


def test_entry_points(folder: Path, installed: Callable[[str], None], capsys: Capture) -> None:
    installed("[rparity.cases]\nmine = my_case:CASES\n[rparity.engines]\nmy-own = my_engine:Mine\n")
    assert cases()["mine"].home == folder
    assert list(cases())[-1] == "mine"
    assert main(["run", "mine", "--engine", "my-own"]) == AGREE
    assert "; nothing fails" in capsys.readouterr().out
    assert "my-own" in engine_names()


def test_an_entry_point_that_cannot_be_loaded(
    installed: Callable[[str], None], capsys: Capture
) -> None:
    installed("[rparity.cases]\nmine = my_nowhere:CASES\n")
    said = mistake(capsys, "list")
    assert "Cannot load the entry point mine = my_nowhere:CASES: ModuleNotFoundError" in said


@pytest.mark.live
def test_a_case_is_regenerated_run_and_audited(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "my_model.R").write_text(
        "mine <- function() {\n"
        "  data <- data.frame(x = 1:20, y = 2 + 0.5 * 1:20 + rnorm(20))\n"
        "  list(tables = c(list(data = data),"
        " flatten_tables(list(lm = lm_tables(lm(y ~ x, data))))))\n}\n"
    )
    (tmp_path / "my_case.py").write_text(
        "from rparity.cases.base import Case, Data, Lm, Rule\n"
        "from rparity.compare import Tolerance\n"
        "CASES = [Case(name='mine', title='A line', script='my_model.R', function='mine', seed=1,"
        " nsim=0, parts=(Data(), Lm('lm', formula='y ~ x')), packages=(),"
        " rules=(Rule('data', '*', Tolerance(0.0, 'same')),"
        " Rule('*', '*', Tolerance(1e-12, 'QR'))), engines=('rparity',),"
        " arguments=lambda nsim: {})]\n"
    )
    mine = ["mine", "--project", str(tmp_path)]
    assert main(["regenerate", *mine]) == AGREE
    assert (newest(tmp_path / "fixtures", "mine") / "provenance.json").exists()
    assert (tmp_path / "fixtures" / "engines" / "lm" / "mine").is_dir()
    assert main(["regenerate", "--check", *mine]) == AGREE
    assert main(["run", *mine]) == AGREE
    assert main(["run", "--live", *mine]) == AGREE
    assert main(["audit", *mine, "--engine", "lm", "--engine", "rparity"]) == AGREE
    assert "rparity" in capsys.readouterr().out
