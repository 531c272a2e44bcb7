"""The R that gave an answer, and its lme4: answers of several Rs are kept side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

LABEL = re.compile(r"r(?P<r>\d[\w.]*)(-lme4-(?P<lme4>\d[\w.-]*))?")
# What is proven does not depend on the R at hand.
PROVEN = "proven"


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers to compare: `1.1-31` as (1, 1, 31)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


@dataclass(frozen=True)
class RVersion:
    """An R with its lme4; `lme4` is None where an answer does not depend on it."""

    r: str
    lme4: str | None = None

    @classmethod
    def among(cls, packages: Mapping[str, str]) -> Self | None:
        """Return the version among R's packages, by name their versions; None without an R."""
        return cls(packages["R"], packages.get("lme4")) if "R" in packages else None

    @classmethod
    def parse(cls, label: str) -> Self | None:
        """Return the version that `label` names; None where it names none."""
        found = LABEL.fullmatch(label)
        return cls(found["r"], found["lme4"]) if found else None

    @property
    def label(self) -> str:
        """Name of the folder of its answers: `r4.5.0-lme4-1.1-37`."""
        return f"r{self.r}" + (f"-lme4-{self.lme4}" if self.lme4 else "")

    @property
    def age(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What sorts versions from old to new: lme4 first, which changes its answers more often."""
        return numbers(self.lme4 or ""), numbers(self.r)

    def __str__(self) -> str:
        return f"R {self.r}" + (f", lme4 {self.lme4}" if self.lme4 else "")


def label_of(packages: Mapping[str, str]) -> str:
    """Return the folder's name for an answer that these packages gave."""
    version = RVersion.among(packages)
    return PROVEN if version is None else version.label


def newest_first(labels: Iterable[str]) -> list[str]:
    """Sort folders' names by the age of the R that they name; what names none comes last."""

    def age(label: str) -> tuple[object, ...]:
        version = RVersion.parse(label)
        return ((), ()) if version is None else version.age

    return sorted(sorted(labels), key=age, reverse=True)


def nearest(labels: Iterable[str], to: RVersion | None) -> str | None:
    """Return the folder of the same R, else of the next older one, else of the next newer one.

    None where there is none to choose from, or none to be near to.
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
