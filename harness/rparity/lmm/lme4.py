"""Differences between versions of lme4: the divisor of refits, names and orders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rparity.errors import UsageError
from rparity.r.version import numbers


@dataclass(frozen=True)
class Change:
    """A change in lme4's answers, with the name of the cause and the source.

    `since` is the first version with the present behaviour. `renames` says that only names and the
    order of variance parameters and random effects changed.
    """

    since: str
    cause: str
    says: str
    source: str
    renames: bool = False


REFIT = Change(
    "1.1-33",
    "refit degrees of freedom",
    "refit(), and so bootMer(), of a REML fit divides σ² by n − p; it divided by n − 1 before",
    "lme4 NEWS, version 1.1-33 (2023-04-25): refit reset internal degrees of freedom incorrectly",
)
NESTING = Change(
    "1.1-36",
    "names of nested groups",
    "(1 | a/b/c) has the group c:b:a, where it was c:(b:a), and (1 | a/b:c) has c:b:a, where it "
    "was b:c:a",
    "lme4 NEWS, version 1.1-36 (2025-01-11): formulas are processed by the package reformulas",
    renames=True,
)
SD_FIRST = Change(
    "2.0-1",
    "order of the variance parameters",
    "confint() numbers a term's standard deviations .sig01, .sig02, … before its correlations; "
    "before, it numbered them in the order of θ",
    "lme4 NEWS, version 2.0-1 (2026-03-05): standard deviations first, then correlations",
    renames=True,
)
CHANGES = (REFIT, NESTING, SD_FIRST)


@dataclass(frozen=True)
class Lme4:
    """The conventions of one version of lme4, by default of the newest.

    Raises
    ------
    UsageError
        If the text is not a version.
    """

    version: str | None = None

    def __post_init__(self) -> None:
        given = self.version
        if given is not None and not (
            isinstance(given, str) and re.fullmatch(r"\d+([.-]\d+)+", given)
        ):
            raise UsageError(
                f"{self.version!r} is not a version of lme4: give one such as '1.1-31', or None "
                "for the newest."
            )

    @classmethod
    def among(cls, versions: Mapping[str, str]) -> Lme4:
        """Return the conventions of lme4, given the versions of R's packages by name."""
        return cls(versions.get("lme4"))

    def has(self, change: Change) -> bool:
        """Whether this version already has the change."""
        return self.version is None or numbers(self.version) >= numbers(change.since)


NEWEST = Lme4()
