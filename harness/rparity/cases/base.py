"""What a case is made of: its parts, its R script, its tolerances and its published figures."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rparity import paths, recordings
from rparity.compare import Reference, Tables, Tolerance
from rparity.errors import RecordingError, UsageError
from rparity.recordings import Recording
from rparity.rrandom import RRandom
from rparity.tables import fingerprint

LMER_TABLES = (
    "coef",
    "vcov",
    "varcorr",
    "theta",
    "ranef",
    "glance",
    "residual_quantiles",
    "confint_wald",
)
LM_TABLES = ("coef", "vcov", "glance", "residual_quantiles", "confint_wald")
# The environment variable that names a folder of cases; --project sets it.
VARIABLE = "RPARITY_PROJECT"
BOOT_TABLES = ("boot", "replicates")

# Folders and files are called by these names, on any disk: some disks take `A` and `a` for one.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
# The folder beside those of the cases, in which engines' answers are kept.
ENGINES = "engines"


def require_name(name: object, what: str) -> None:
    """Refuse what cannot be the name of a case, of a part or of a kind of table.

    Raises
    ------
    UsageError
        With the rule.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == ENGINES:
        raise UsageError(
            f"{what} cannot be called {name!r}: a name begins with a letter from a to z, has only "
            f"these, digits, _ and -, is not longer than 60 characters, and is not {ENGINES!r}."
        )


@dataclass(frozen=True)
class Part:
    """One thing a case asks for; its tables are named `name.kind`."""

    name: str
    kinds: tuple[str, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the part's tables."""
        return tuple(f"{self.name}.{kind}" for kind in self.kinds)


@dataclass(frozen=True)
class Data(Part):
    """The data of the parts after it; its one table is `data`.

    Python draws them from the case's stream with `make`; without it they are R's, as R gave them.
    `decimal` says that the doubles stand for decimals that somebody wrote down.
    """

    make: Callable[[RRandom], pd.DataFrame] | None = None
    decimal: bool = False
    name: str = "data"
    kinds: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the one table."""
        return (self.name,)


@dataclass(frozen=True)
class Lmer(Part):
    """A mixed model of the data; its bootstrap interval has draws of its own."""

    formula: str = field(kw_only=True)
    reml: bool = True
    weights: str | None = None
    contrasts: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = LMER_TABLES
    confint_nsim: int = 500
    confint_seed: int = 1

    @property
    def key(self) -> tuple[object, ...]:
        """What decides the answer: fits that differ in their optimizers have one optimum."""
        coded = tuple(sorted(self.contrasts.items()))
        return "lmer", self.formula, self.weights, self.reml, *((coded,) if coded else ())


@dataclass(frozen=True)
class Lm(Part):
    """A linear model of the data.

    Of a `perfect` fit, one without residuals, only the estimates mean something: what is called
    their standard errors is rounding.
    """

    formula: str = field(kw_only=True)
    contrasts: Mapping[str, str] = field(default_factory=dict)
    perfect: bool = False
    kinds: tuple[str, ...] = LM_TABLES

    @property
    def key(self) -> tuple[object, ...]:
        """What decides the answer."""
        return "lm", self.formula, tuple(sorted(self.contrasts.items()))


@dataclass(frozen=True)
class Boot(Part):
    """A parametric bootstrap of the part `of`.

    It draws from a `seed` of its own, or goes on where the parts before it left the case's stream.
    With `everything` it keeps θ and σ of each replicate beside the fixed effects.
    """

    of: str = field(kw_only=True)
    use_u: bool = field(kw_only=True)
    seed: int | None = None
    everything: bool = False
    kinds: tuple[str, ...] = BOOT_TABLES


@dataclass(frozen=True)
class Call(Part):
    """Anything else: a Python function that returns table by kind.

    It is told the number of replicates, and the versions of the packages of the R that it is to
    equal (`Question.versions`).
    """

    python: Callable[[int, Mapping[str, str]], Tables] = field(kw_only=True)


@dataclass(frozen=True)
class Experiment(Part):
    """What only R answers, to show the cause of a known discrepancy."""


@dataclass(frozen=True)
class Claim:
    """A conclusion to check: `column` of `table` is that of the table `equals`, up to Monte Carlo.

    Its tolerance is three Monte Carlo errors of a standard deviation of nsim replicates, each
    1/√(2(nsim − 1)) of it.
    """

    says: str
    table: str
    column: str
    equals: str

    def reference(self, tables: Tables, rows: pd.Index[str], nsim: int) -> Reference:
        """Return what the claim says the table's column is, for an engine's own tables."""
        told = tables.get(self.equals, pd.DataFrame()).reindex(index=rows, columns=[self.column])
        tolerance = Tolerance(3.0 * monte_carlo_error(nsim), "three Monte Carlo errors")
        return Reference(
            self.equals, {self.table: told}, lambda _table, _column: tolerance, partial=True
        )


def monte_carlo_error(nsim: int) -> float:
    """Relative standard error of a standard deviation estimated from nsim normal replicates."""
    return 1.0 / math.sqrt(2.0 * max(nsim - 1, 1))


@dataclass(frozen=True)
class Rule:
    """A tolerance for the tables, columns and engine that match, as shell patterns."""

    table: str
    column: str
    tolerance: Tolerance
    engine: str = "*"


@dataclass(frozen=True)
class Printed:
    """Figures as a source prints them: table, row, column to the text, and how exact they can be.

    A figure's tolerance is 0.55 units of its last place, not 0.5: R's summaries round twice, to one
    or more further digits first (151.795435 is printed 151.79 by way of 151.795).

    `rtol` holds, with its reason, what the source's own numerics leave beyond the printed rounding.
    `versions` are those of R's packages that printed the figures, as far as they are known.
    """

    source: str
    figures: Mapping[str, Mapping[str, Mapping[str, str]]]
    rtol: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def reference(self) -> Reference:
        """Return the figures as a reference, each to its last printed place."""
        tables = {
            table: pd.DataFrame(
                {
                    row: {column: _number(text) for column, text in cells.items()}
                    for row, cells in rows.items()
                }
            ).T
            for table, rows in self.figures.items()
        }

        def tolerance(table: str, column: str) -> Tolerance:
            rows = self.figures[table]
            last = {
                row: _last_place(cells[column]) for row, cells in rows.items() if column in cells
            }
            rtol, reason = self.rtol.get(table, (0.0, "rounding to the printed digits"))
            return Tolerance(rtol, reason, pd.Series(last))

        return Reference("published", tables, tolerance, partial=True)


def _nsim_alone(nsim: int) -> Mapping[str, object]:
    return {"nsim": nsim}


@dataclass(frozen=True)
class Case:
    """One statistical problem: models, the R script that answers it, tolerances with reasons.

    `home` is the folder of another project's case, with its R files and, under `fixtures`, its
    recordings.
    """

    name: str
    title: str
    script: str
    function: str
    seed: int
    nsim: int
    parts: tuple[Part, ...]
    rules: tuple[Rule, ...]
    libraries: tuple[str, ...] = ("tables.R",)
    packages: tuple[str, ...] = ("lme4",)
    published: Printed | None = None
    claims: tuple[Claim, ...] = ()
    engines: tuple[str, ...] = ("rparity", "statsmodels")
    arguments: Callable[[int], Mapping[str, object]] = _nsim_alone
    home: Path | None = None

    def __post_init__(self) -> None:
        """Refuse names that folders and files cannot have everywhere."""
        require_name(self.name, "A case")
        for part in self.parts:
            require_name(part.name, f"A part of the case {self.name!r}")
            for kind in part.kinds:
                require_name(kind, f"A table of {part.name!r} in the case {self.name!r}")

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of all the tables that R answers with."""
        return tuple(table for part in self.parts for table in part.tables)

    def tolerance(self, engine: str, table: str, column: str) -> Tolerance:
        """Return the tolerance of the first rule that matches.

        Raises
        ------
        LookupError
            Where no rule does: no column is compared at a tolerance that nobody chose.
        """
        for rule in self.rules:
            if (
                fnmatchcase(table, rule.table)
                and fnmatchcase(column, rule.column)
                and fnmatchcase(engine, rule.engine)
            ):
                return rule.tolerance
        raise LookupError(f"case {self.name}: no tolerance for {engine}, {table}, {column}")

    def scripts(self) -> dict[str, bytes]:
        """Return the R files that answer the case, name to content.

        Raises
        ------
        UsageError
            Where one is missing.
        """
        found = {}
        for name in (*self.libraries, self.script):
            try:
                found[name] = self.path(name).read_bytes()
            except OSError as error:
                raise UsageError(
                    f"The case {self.name!r} needs {self.path(name)}: {error.strerror}."
                ) from error
        return found

    def path(self, script: str) -> Path:
        """Return where an R file is: at home, or among this package's own."""
        own = None if self.home is None else self.home / script
        return own if own is not None and own.exists() else paths.r_scripts() / script

    @property
    def command(self) -> str:
        """The command that makes the case's recording."""
        home = str(self.home)
        folder = ["--project", home] if home == os.environ.get(VARIABLE) else []
        return shlex.join(["rparity", "regenerate", self.name, *folder])

    def recording(self, fixtures: Path, version: str | None = None) -> Recording:
        """Read R's recording of the case: of the newest R, or the one in the folder `version`.

        Raises
        ------
        RecordingError
            Where it is missing, stale or corrupt, or was asked for otherwise.
        """
        remedy = f"run `{self.command}`, which needs R"
        found = recordings.read(fixtures, self.name, self.scripts(), remedy, version)
        needed = ("made_by", "nsim", "time", "levels", "asked")
        path = found.folder / recordings.PROVENANCE
        recordings.require_shape(found.provenance, path, remedy, needed)
        if "R" not in found.provenance["made_by"]["packages"]:
            raise RecordingError(f"{path} does not tell the version of R: {remedy}.")
        then, now = found.provenance["asked"], self.asked(int(found.provenance["nsim"]))
        if then != now:
            told = then if isinstance(then, dict) else {}
            changed = [name for name, value in now.items() if told.get(name) != value]
            raise RecordingError(
                f"The recording of {self.name!r} is stale: R was asked otherwise "
                f"({', '.join(changed)}); {remedy}."
            )
        return found

    def asked(self, nsim: int) -> dict[str, object]:
        """Return what R is asked for, as JSON keeps it: the call and its seed."""
        return {
            "script": self.script,
            "libraries": list(self.libraries),
            "function": self.function,
            "arguments": _described(self.arguments(nsim)),
            "seed": self.seed,
        }

    def fixtures(self, elsewhere: Path | None) -> Path:
        """Return where the recordings are: `elsewhere` if it is given, else at home."""
        if elsewhere is not None:
            return elsewhere
        return paths.fixtures() if self.home is None else self.home / "fixtures"


def _described(value: Any) -> Any:
    """Return an argument of an R function as JSON keeps it; data frames by their sha256."""
    match value:
        case pd.DataFrame():
            return fingerprint(value)
        case Mapping():
            return {str(name): _described(each) for name, each in value.items()}
        case list() | tuple():
            return [_described(each) for each in value]
        case np.ndarray() | np.generic():
            return value.tolist()
        case _:
            return value


def first_names(case: Case) -> dict[str, str]:
    """Return, for each model of a case by name, the first part that asks for the same one."""
    first: dict[tuple[object, ...], str] = {}
    models = [part for part in case.parts if isinstance(part, Lmer | Lm)]
    return {part.name: first.setdefault(part.key, part.name) for part in models}


def _number(text: str) -> float:
    """Return the value printed; `<2e-16` means zero up to that bound."""
    return 0.0 if text.startswith("<") else float(text)


def _last_place(text: str) -> float:
    if text.startswith("<"):
        return float(text[1:])
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.55 * 10.0 ** (int(exponent or 0) - decimals)
