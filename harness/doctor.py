"""What there is on this machine, what is missing, and the one command that mends it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import recordings
from harness.cases import cases
from harness.errors import RecordingError

PYTHON_PACKAGES = ("numpy", "scipy", "pandas", "statsmodels", "formulaic")


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and the remedy where something is wrong.

    What is optional counts as well although it is missing: replay needs neither R nor a plot.
    """

    what: str
    found: str
    ok: bool = True
    optional: bool = False
    remedy: str = ""


def examine(fixtures: Path, *, require_r: bool = False) -> list[Check]:
    """Look at Python and its packages, R, rpy2 and lme4, matplotlib, and every recording."""
    checks = [Check("Python", platform.python_version())]
    checks += [Check(name, _installed(name) or "missing") for name in PYTHON_PACKAGES]
    checks.append(_r(require_r))
    plots = _installed("matplotlib")
    checks.append(
        Check("matplotlib", plots)
        if plots
        else Check(
            "matplotlib",
            "not installed: only --plot needs it",
            optional=True,
            remedy='pip install "rparity[plot]"',
        )
    )
    for case in cases().values():
        try:
            made = recordings.read(fixtures, case.name, case.scripts()).provenance
        except RecordingError as error:
            checks.append(
                Check(
                    f"recording of {case.name}",
                    str(error),
                    ok=False,
                    remedy=f"rparity regenerate {case.name}",
                )
            )
        else:
            packages = made["made_by"]["packages"]
            checks.append(
                Check(f"recording of {case.name}", f"sound, by R {packages['R']}, {made['time']}")
            )
    return checks


def _r(required: bool) -> Check:
    from harness.rsession import availability

    there = availability()
    if there.problem is None:
        found = f"R {there.r_version}, rpy2 {there.rpy2_version}, lme4 {there.lme4_version}"
        return Check("R", found)
    return Check(
        "R",
        f"{there.problem}; only --live and regenerate need it",
        ok=not required,
        optional=True,
        remedy=there.remedy or "",
    )


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
