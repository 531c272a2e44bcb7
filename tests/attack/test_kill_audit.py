"""`rparity audit`, killed at any moment: it changes no recording, and its report is whole."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from killing import Attacked, attack, names_in

from rparity import paths
from tally import Tally

ATTACKED = "kills of rparity audit"
pytestmark = pytest.mark.attack


@pytest.mark.parametrize(
    ("kills", "options"),
    [
        (40, "dyestuff --engine rparity --engine lme4"),
        (10, "norris noint1 --engine rparity --engine statsmodels"),
        (10, "norris --engine lm --live"),
    ],
)
def test_kills_while_engines_are_asked(
    tmp_path: Path, tally: Tally, kills: int, options: str
) -> None:
    root, report = tmp_path / "work" / "fixtures", tmp_path / "work" / "report.json"
    command = Attacked(
        tmp_path,
        lambda _run: shlex.split(
            f"-m rparity.cli audit {options} --fixtures {root} --format json -o {report}"
        ),
    )
    for name in ("norris", "noint1", "dyestuff"):
        shutil.copytree(paths.fixtures() / name, root / name)
    for engine in (paths.fixtures() / "engines").iterdir():
        for name in ("norris", "noint1", "dyestuff"):
            if (engine / name).exists():
                shutil.copytree(engine / name, root / "engines" / engine.name / name)
    before = contents(root)
    written: list[bytes] = []

    def check(_run: int) -> None:
        # What a run writes does not depend on the run: the old file and the new one are the same.
        assert contents(root) == before
        written.append(report.read_bytes())
        assert written[-1] == written[0]

    attack(command, tally, kills, check=check, files=lambda: names_in(tmp_path / "work"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
