"""The wheel has all files that the command needs, and works from an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from places import ROOT
from test_loading import EXTRAS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# An error that names an optional package names the extra that installs it.
NAMED = re.compile(r"rparity\[([a-z,]+)\]|\binstall\('([a-z]+)'\)")


def tracked(*folders: str) -> set[str]:
    """Return the files of the source tree below some folders, without caches."""
    paths = (p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file())
    names = {path.relative_to(ROOT).as_posix() for path in paths}
    return {name for name in names if "__pycache__" not in name and "/." not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")))
    return Path(built)


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel, which is equivalent to installing a pure one."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(site: Path, empty: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in an empty directory, with the package from the wheel."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow(reason="builds the wheel, which tox tests under each Python")
def test_the_wheel_has_all_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    bundled = {f"rparity/_bundled/{name}" for name in tracked("r_scripts", "fixtures")}
    package = {name.removeprefix("harness/") for name in tracked("harness")}
    assert inside == package | bundled
    assert "rparity/py.typed" in inside


@pytest.mark.slow(reason="a process that runs two cases; tox tests the wheel under each Python")
def test_the_wheel_works_from_an_empty_directory(site: Path, tmp_path: Path) -> None:
    code = (
        "import sys, rparity; from rparity.cli import main\n"
        "[getattr(rparity, name) for name in rparity.__all__]\n"
        "status = main(['run', 'norris', 'sleepstudy'])\n"
        "print(rparity.__file__, *sys.modules)\n"
        "sys.exit(status)"
    )
    found = run(site, tmp_path, "-c", code)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.count("; nothing fails") == 2
    where, *loaded = found.stdout.splitlines()[-1].split()
    assert where == str(site / "rparity" / "__init__.py")
    assert "numpy" in loaded
    assert not EXTRAS & set(loaded)
    # They take longer to import than the run does; `statsmodels` is only for its engine.
    assert not {"statsmodels", "scipy.stats"} & set(loaded)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow(reason="builds the wheel, which tox tests under each Python")
def test_the_metadata_of_the_wheel(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    points = (info / "entry_points.txt").read_text("utf-8")
    assert "rparity = rparity.cli:main" in points
    assert "[pytest11]\nrparity = rparity.pytest_plugin" in points
    metadata = (info / "METADATA").read_text("utf-8")
    assert set(re.findall(r"Provides-Extra: (\S+)", metadata)) == set(
        PROJECT["optional-dependencies"]
    )
    assert (info / "licenses" / "LICENSE").exists()


def test_all_files_state_the_same_version() -> None:
    import rparity

    assert PROJECT["version"] == rparity.__version__
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {rparity.__version__}\n" in citation


def test_errors_name_existing_extras() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "harness").rglob("*.py")]
    texts += [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md")]
    found = ("".join(groups) for text in texts for groups in NAMED.findall(text))
    named = {extra for names in found for extra in names.split(",")}
    assert {"r", "plot", "arbiter", "dask", "audit", "sign", "test"} <= named
    assert named <= set(PROJECT["optional-dependencies"])
