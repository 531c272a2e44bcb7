"""What there is on this machine, what is missing, and the one command that mends it."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rparity import paths, recordings, signing
from rparity.audit.questions import has_data, question_of
from rparity.cases import cases
from rparity.engines import kept_answers as keep
from rparity.engines.base import KEPT_ENGINES, Question
from rparity.errors import RecordingError, SignatureError
from rparity.r.version import RVersion, nearest

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


def examine(fixtures: Path | None, *, require_r: bool = False) -> list[Check]:
    """Look at Python and its packages, R and its packages, matplotlib, and every recording.

    Recordings are looked for in `fixtures`; None means at each case's home.
    """
    checks = [Check("Python", platform.python_version())]
    checks += [Check(name, _installed(name) or "missing") for name in PYTHON_PACKAGES]
    checks += [_r(require_r, fixtures), _trust()]
    plots = _installed("matplotlib")
    checks.append(
        Check("matplotlib", plots)
        if plots
        else Check(
            "matplotlib",
            'not installed; only --plot needs it: pip install "rparity[plot]"',
            optional=True,
        )
    )
    checks += _gpboost()
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
    """Tell of a recording that `command` makes anew; what is only unsigned, a signature mends."""
    remedy = signing.SIGN if isinstance(error, SignatureError) else command
    return Check(what, str(error), ok=False, remedy=remedy)


def _kept(name: str, questions: Collection[tuple[Question, Path]]) -> Check:
    """Look at all that is kept of an engine, up to the first answer that is not sound."""
    what = f"answers of {name}"
    for question, folder in questions:
        try:
            keep.read(folder, name, question)
        except RecordingError as error:
            remedy = f"rparity regenerate --engine {name} {question.case.name}"
            return _unsound(what, error, remedy)
    return Check(what, f"sound, to {len(questions)} cases")


def _r(required: bool, fixtures: Path | None) -> Check:
    from rparity.r.session import availability

    there = availability()
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
            f"{found}; no recording is of {now}: live answers are compared with those of {close}, "
            "the nearest",
            optional=True,
            remedy="rparity regenerate",
        )
    return Check(
        "R",
        f"{there.problem}; only --live and regenerate need it, and pytest where it records",
        ok=not required,
        optional=True,
        remedy=there.remedy or "",
    )


def _trust() -> Check:
    """Look whether recordings must be signed, and by how many keys."""
    what, file = "signatures", signing.trust_file()
    if file is None:
        found = f"{signing.TRUST} is not set: recordings need none"
        return Check(what, found, optional=True)
    keys = len(signing.trusted_keys(file))
    return Check(what, f"each recording needs one by a key in {file}, which has {keys}")


def _gpboost() -> list[Check]:
    """Look whether gpboost, where it is installed, finds the system's library that it needs."""
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
