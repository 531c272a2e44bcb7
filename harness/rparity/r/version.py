"""Versions of R with its lme4. Answers of several versions are kept in folders side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

LABEL = re.compile(r"r(?P<r>\d[\w.]*)(-lme4-(?P<lme4>\d[\w.-]*))?")
# The folder of the arbiter's answers, which do not depend on R.
PROVEN = "proven"


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, so that versions can be compared: `1.1-31` as (1, 1, 31)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


@dataclass(frozen=True)
class RVersion:
    """An R with its lme4; `lme4` is None if an answer does not depend on it."""

    r: str
    lme4: str | None = None

    @classmethod
    def among(cls, packages: Mapping[str, str]) -> Self | None:
        """Return the version in a mapping of packages to versions, or None if R is not in it."""
        return cls(packages["R"], packages.get("lme4")) if "R" in packages else None

    @classmethod
    def parse(cls, label: str) -> Self | None:
        """Return the version of a `label`, or None if it is not one."""
        found = LABEL.fullmatch(label)
        return cls(found["r"], found["lme4"]) if found else None

    @property
    def label(self) -> str:
        """Name of the folder of its answers, such as `r4.5.0-lme4-1.1-37`."""
        return f"r{self.r}" + (f"-lme4-{self.lme4}" if self.lme4 else "")

    @property
    def age(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A key that sorts versions from old to new: by lme4, which changes more, then by R."""
        return numbers(self.lme4 or ""), numbers(self.r)

    def __str__(self) -> str:
        return f"R {self.r}" + (f", lme4 {self.lme4}" if self.lme4 else "")


def label_of(packages: Mapping[str, str]) -> str:
    """Return the name of the folder for answers that these packages gave."""
    version = RVersion.among(packages)
    return PROVEN if version is None else version.label


def newest_first(labels: Iterable[str]) -> list[str]:
    """Sort names of folders from the newest version to the oldest; other names come last."""

    def age(label: str) -> tuple[object, ...]:
        version = RVersion.parse(label)
        return ((), ()) if version is None else version.age

    return sorted(sorted(labels), key=age, reverse=True)


def nearest(labels: Iterable[str], to: RVersion | None) -> str | None:
    """Return the folder of the same version, else of the next older, else of the next newer one.

    Returns None if there are no folders, or `to` is None.
    """
    if to is None:
        return None
    ordered = newest_first(labels)
    older = [
        label
        for label in ordered
        if (version := RVersion.parse(label)) is not None and version.age <= to.age
    ]
    return older[0] if older else ordered[-1] if ordered else None
