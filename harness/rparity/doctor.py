"""Checks of this machine and of the recordings, each with a remedy."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from rparity import paths, recordings, signing
from rparity.audit.questions import has_data, question_of
from rparity.cases import cases
from rparity.engines import kept_answers
from rparity.engines.base import KEPT_ENGINES, Question
from rparity.errors import RecordingError, SignatureError, install
from rparity.r import CHOICE, WEBR
from rparity.r.version import RVersion, nearest
from rparity.r.webr import node

if TYPE_CHECKING:
    from rparity.r.session import Availability

PYTHON_PACKAGES = ("numpy", "scipy", "pandas", "statsmodels", "threadpoolctl")


@dataclass(frozen=True)
class Check:
    """The result of one check, and the remedy if something is wrong.

    `optional` marks something that is missing but not needed to replay recordings, such as R.
    """

    what: str
    found: str
    ok: bool = True
    optional: bool = False
    remedy: str = ""


def examine(fixtures: Path | None, *, require_r: bool = False) -> list[Check]:
    """Check Python and its packages, R and its packages, matplotlib, and every recording.

    `fixtures` is the folder of the recordings. `None` means each case's own folder.
    """
    checks = [Check("Python", platform.python_version())]
    checks += [Check(name, _installed(name) or "missing") for name in PYTHON_PACKAGES]
    checks += [*_r(require_r, fixtures), _trust()]
    plots = _installed("matplotlib")
    missing = f"not installed; only plots need it: {install('plot')}"
    checks += [Check("matplotlib", plots or missing, optional=not plots), *_gpboost()]
    questions: dict[str, tuple[Question, Path]] = {}
    for case in cases().values():
        folder = case.fixtures(fixtures)
        try:
            case.recording(folder)
            for label in recordings.versions(folder, case.name)[1:]:
                case.recording(folder, label)
        except RecordingError as error:
            checks.append(_unsound(f"recording of {case.name}", error, case.command))
        else:
            there = recordings.versions(folder, case.name)
            rs = ", ".join(v.r for label in there if (v := RVersion.parse(label)))
            checks.append(Check(f"recording of {case.name}", f"sound, by R {rs}"))
            if has_data(case):
                questions[case.name] = question_of(case, folder), folder
    return checks + [_kept(name, questions.values()) for name in KEPT_ENGINES]


def _unsound(what: str, error: RecordingError, command: str) -> Check:
    """Return the check of a faulty recording. `command` records it anew, unless it is unsigned."""
    remedy = signing.SIGN if isinstance(error, SignatureError) else command
    return Check(what, str(error), ok=False, remedy=remedy)


def _kept(name: str, questions: Collection[tuple[Question, Path]]) -> Check:
    """Check the kept answers of an engine, up to the first one that is not sound."""
    what = f"answers of {name}"
    for question, folder in questions:
        try:
            kept_answers.read(folder, name, question)
        except RecordingError as error:
            remedy = f"rparity regenerate --engine {name} {question.case.name}"
            return _unsound(what, error, remedy)
    return Check(what, f"sound, to {len(questions)} cases")


def _r(required: bool, fixtures: Path | None) -> list[Check]:
    from rparity.r.process import INSTALL_PACKAGES
    from rparity.r.session import availability

    there = availability()
    if os.environ.get(CHOICE) == WEBR:
        return [_webr(there, required)]
    checks = [_r_itself(there, required, fixtures)]
    if there.package_versions:
        missing = [name for name, found in there.package_versions.items() if found is None]
        found = ", ".join(
            f"{name} {version or 'missing'}" for name, version in there.package_versions.items()
        )
        only = "; needed only to ask R the cases *_tests and atlas_*" if missing else ""
        checks.append(
            Check(
                "R packages of some cases",
                found + only,
                ok=not (missing and required),
                optional=bool(missing),
                remedy=INSTALL_PACKAGES if missing else "",
            )
        )
    return checks


def _r_itself(there: Availability, required: bool, fixtures: Path | None) -> Check:
    if there.problem is None:
        found = f"R {there.r_version}, rpy2 {there.rpy2_version}, lme4 {there.lme4_version}"
        found += f", nlme {there.nlme_version or 'missing: one engine fewer'}"
        now = RVersion(there.r_version or "", there.lme4_version)
        known = recordings.versions(fixtures or paths.fixtures(), "document")
        if now.label in known or not known:
            return Check("R", found)
        close = RVersion.parse(nearest(known, now) or "")
        return Check(
            "R",
            f"{found}; there is no recording of {now}: live answers are compared with the nearest, "
            f"those of {close}",
            optional=True,
            remedy="rparity regenerate",
        )
    return Check(
        "R",
        f"{there.problem}; needed only by --live, regenerate and pytest --r=record",
        ok=not required,
        optional=True,
        remedy=there.remedy or "",
    )


def _webr(there: Availability, required: bool) -> Check:
    """Check webR, which RPARITY_R chooses. It has no lme4, so it cannot answer the cases."""
    cases = f"; the cases need an R that is installed (unset {CHOICE})"
    if there.r_version is None:
        found, remedy = f"{there.problem}{cases}", there.remedy or ""
        return Check("R", found, ok=not required, optional=True, remedy=remedy)
    found = f"webR, R {there.r_version}, by {node()}, for calls of tests{cases}"
    remedy = f"unset {CHOICE}" if required else ""
    return Check("R", found, ok=not required, optional=required, remedy=remedy)


def _trust() -> Check:
    """Check whether recordings must be signed, and how many keys are trusted."""
    what, file = "signatures", signing.trust_file()
    if file is None:
        found = f"{signing.TRUST} is not set: recordings need no signature"
        return Check(what, found, optional=True)
    keys = len(signing.trusted_keys(file))
    return Check(what, f"each recording must be signed with one of the {keys} keys in {file}")


def _gpboost() -> list[Check]:
    """Check that gpboost, if installed, finds the system library that it needs."""
    found = _installed("gpboost")
    if found is None:
        return []
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        lacks = f"{found}, but libgomp.so.1 is missing: the audit has no answers of gpboost"
        remedy = "apt-get install libgomp1"
        return [Check("gpboost", lacks, optional=True, remedy=remedy)]
    return [Check("gpboost", found)]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
