"""The reports to maintainers: each script prints what its report shows."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from places import ROOT
from rparity.r.version import numbers

PAGE = (ROOT / "docs" / "reports.md").read_text("utf-8")
SHOWN = dict(re.findall(r"\]\(reports/([\w.]+)\)\n\n```text\n(.*?)```", PAGE, re.DOTALL))
SCRIPTS = {path.name: path for path in (ROOT / "docs" / "reports").iterdir() if path.is_file()}
# `tox -e atlas` has all of these.
NEEDED = {
    "loglogistic_stops_early.py": find_spec("lifelines") is not None,
    "holt_default.py": numbers(version("statsmodels")) >= (0, 15),
}
HERE = [name for name in SCRIPTS if name.endswith(".py") and NEEDED.get(name, True)]


def test_each_script_has_a_report() -> None:
    assert SHOWN.keys() == SCRIPTS.keys()
    assert len(SHOWN) == PAGE.count("\nScript: ") == PAGE.count("\n## ")


@pytest.mark.parametrize("name", HERE)
def test_a_script_prints_what_its_report_shows(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(SCRIPTS[name]))
    assert capsys.readouterr().out == SHOWN[name]


@pytest.mark.live
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name.endswith(".R")])
def test_a_script_of_r_prints_what_its_report_shows(name: str) -> None:
    rscript = shutil.which("Rscript")
    assert rscript
    run = subprocess.run(
        [rscript, "--vanilla", SCRIPTS[name]], capture_output=True, text=True, check=True
    )
    # The size of a rounding error depends on the machine.
    assert re.sub(r"\de-1\d", "rounding", run.stdout) == re.sub(r"\de-1\d", "rounding", SHOWN[name])
