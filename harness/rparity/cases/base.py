"""The classes that a case is made of: parts, tolerances, claims and published figures."""

from __future__ import annotations

import csv
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rparity import paths, recordings
from rparity.compare import Reference, Tables, Tolerance
from rparity.errors import RecordingError, UsageError
from rparity.recordings import Recording, Verified
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
# Degrees of freedom and tests of a mixed model's fixed effects, and marginal means: what lmerTest,
# pbkrtest and emmeans give. A part lists those that it asks for among its `kinds`.
TEST_TABLES = ("ddf", "vcov_kr", "anova_type3", "anova_type3_kr", "emmeans", "pairs")
# All but one of them take Kenward and Roger's method, which is for REML fits.
REML_TABLES = ("ddf", "vcov_kr", "anova_type3_kr", "emmeans", "pairs")
LM_TABLES = ("coef", "vcov", "glance", "residual_quantiles", "confint_wald")
BOOT_TABLES = ("boot", "replicates")
# The environment variable that names a folder of cases; --project sets it.
VARIABLE = "RPARITY_PROJECT"

# Folders and files bear these names. They are in lower case because some file systems do not
# distinguish `A` from `a`.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
# A name in Python code.
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
# The folder with engines' kept answers. It stands beside the folders of the cases.
ENGINES = "engines"

# Reasons for tolerances that several cases have.
EARLY = "R's optimizer stops early: nloptr's xtol_rel of 1e-4, which lme4 does not set"
SPLINE = "lme4 reads the interval off a spline through its profile"

Figures = Mapping[str, Mapping[str, Mapping[str, str]]]


def require_name(name: object, what: str) -> None:
    """Check that `name` can be the name of a case, a part or a kind of table.

    Raises
    ------
    UsageError
        If it cannot. The message states the rule.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == ENGINES:
        raise UsageError(
            f"{what} cannot be called {name!r}: a name begins with a letter from a to z, has only "
            f"such letters, digits, _ and -, has at most 60 characters, and is not {ENGINES!r}."
        )


@dataclass(frozen=True)
class Part:
    """One thing that a case asks for. Its tables are named `name.kind`."""

    name: str
    kinds: tuple[str, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the part's tables."""
        return tuple(f"{self.name}.{kind}" for kind in self.kinds)


@dataclass(frozen=True)
class Data(Part):
    """The data that the following parts use. The only table is `data`.

    `make` draws the data in Python from the case's random stream. Without it, Python uses the data
    that R returned. `decimal` means that the data were written down as decimals, so that each
    double is a rounded decimal.
    """

    make: Callable[[RRandom], pd.DataFrame] | None = None
    decimal: bool = False
    name: str = "data"
    kinds: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the name of the only table."""
        return (self.name,)


@dataclass(frozen=True)
class Lmer(Part):
    """A mixed model of the data. Its bootstrap interval draws from a seed of its own.

    `means` are the variables whose estimated marginal means the tables `emmeans` and `pairs` hold.
    """

    formula: str = field(kw_only=True)
    reml: bool = True
    weights: str | None = None
    contrasts: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = LMER_TABLES
    means: tuple[str, ...] = ()
    confint_nsim: int = 500
    confint_seed: int = 1

    @property
    def key(self) -> tuple[object, ...]:
        """The properties that determine the optimum, which does not depend on the optimizer."""
        coded = tuple(sorted(self.contrasts.items()))
        return "lmer", self.formula, self.weights, self.reml, *((coded,) if coded else ())


@dataclass(frozen=True)
class Lm(Part):
    """A linear model of the data.

    A `perfect` fit has no residuals. Then only the estimates have a meaning, because the standard
    errors consist of rounding errors.
    """

    formula: str = field(kw_only=True)
    contrasts: Mapping[str, str] = field(default_factory=dict)
    perfect: bool = False
    kinds: tuple[str, ...] = LM_TABLES

    @property
    def key(self) -> tuple[object, ...]:
        """The properties that determine the answer."""
        return "lm", self.formula, tuple(sorted(self.contrasts.items()))


@dataclass(frozen=True)
class Boot(Part):
    """A parametric bootstrap of the part `of`.

    It draws from its own `seed`. Without one, it continues the case's random stream after the
    preceding parts. With `everything`, it keeps θ and σ of each replicate beside the fixed effects.
    """

    of: str = field(kw_only=True)
    use_u: bool = field(kw_only=True)
    seed: int | None = None
    everything: bool = False
    kinds: tuple[str, ...] = BOOT_TABLES


@dataclass(frozen=True)
class Call(Part):
    """A Python function that returns a dictionary from kind to table.

    Its arguments are the number of replicates and the versions of R and its packages that the
    answer is compared with (`Question.versions`).
    """

    python: Callable[[int, Mapping[str, str]], Tables] = field(kw_only=True)


@dataclass(frozen=True)
class AtlasPair(Part):
    """A call of R and the nearest call of Python, as code that a reader can paste.

    `r` and `python` are the calls with their defaults. If these differ, `setting` is Python's call
    that gives R's value, or `r_setting` R's call that gives Python's. R's answers are the tables
    `value` and, to `r_setting`, `setting`.

    `values` has, for each number that is compared, an R and a Python expression in which `it` is
    the result of the call. Without it the result itself is compared. `frames` are the data, named
    as in `cases/atlas/data`, and `imports` the Python statements before the call. `cause`, `why`
    and `references` say why the defaults differ. `needs` is a package with the oldest version of
    which this holds, such as "statsmodels 0.15". `words` are other names under which a reader looks
    for the pair, in lower case and with blanks for hyphens.
    """

    r: str = field(kw_only=True)
    python: str = field(kw_only=True)
    title: str = ""
    setting: str | None = None
    r_setting: str | None = None
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    frames: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    cause: str = ""
    why: str = ""
    references: tuple[str, ...] = ()
    needs: str = ""
    words: tuple[str, ...] = ()

    def before(self, *code: str) -> list[str]:
        """Return those of the `imports` that some code needs, in their order."""
        needed = set(IDENTIFIER.findall("\n".join(code)))
        kept: list[str] = []
        for statement in reversed(self.imports):
            is_import = statement.startswith(("import ", "from "))
            defined, _, of = statement.partition("=")
            names = statement.partition("import ")[2] if is_import else defined
            if needed & set(IDENTIFIER.findall(names)):
                kept.insert(0, statement)
                needed |= set() if is_import else set(IDENTIFIER.findall(of))
        return kept


@dataclass(frozen=True)
class ROnly(Part):
    """Tables that only R computes. They show the cause of a known discrepancy."""


@dataclass(frozen=True)
class Claim:
    """A claim that two tables have the same `column`, up to Monte Carlo error.

    The tables are `table` and `equals`. The tolerance is three Monte Carlo errors. The relative
    Monte Carlo error of a standard deviation of nsim replicates is 1/√(2(nsim − 1)).
    """

    says: str
    table: str
    column: str
    equals: str

    def reference(self, tables: Tables, rows: pd.Index[str], nsim: int) -> Reference:
        """Return the values that the claim predicts for `rows`, from an engine's own tables."""
        predicted = tables.get(self.equals, pd.DataFrame()).reindex(
            index=rows, columns=[self.column]
        )
        tolerance = Tolerance(3.0 * monte_carlo_error(nsim), "three Monte Carlo errors")
        return Reference(
            self.equals, {self.table: predicted}, lambda _table, _column: tolerance, partial=True
        )


def monte_carlo_error(nsim: int) -> float:
    """Return the relative standard error of a standard deviation of nsim normal replicates."""
    return 1.0 / math.sqrt(2.0 * max(nsim - 1, 1))


@dataclass(frozen=True)
class Rule:
    """A tolerance for the tables, columns and engines that match these shell patterns."""

    table: str
    column: str
    tolerance: Tolerance
    engine: str = "*"


def rule(
    table: str, column: str, rtol: float, reason: str, atol: float = 0.0, spread: float = 0.0
) -> Rule:
    """Return a rule for all engines."""
    return Rule(table, column, Tolerance(rtol, reason, atol, spread))


@cache
def read_figures(file: Path) -> Mapping[str, Figures]:
    """Read published figures from a CSV file with the columns case, table, row, column, figure.

    Returns the figures of each case as text, by table, row and column, in the order of the file.
    """
    found: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            row = found.setdefault(line["case"], {}).setdefault(line["table"], {})
            row.setdefault(line["row"], {})[line["column"]] = line["figure"]
    return found


# The figures of the cases `document` and of lme4's data sets, as their sources print them.
PUBLISHED = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Printed:
    """Figures as a source prints them, by table, row and column.

    The tolerance of a figure is 0.55 units of its last place, not 0.5, because R's summaries round
    twice, first to one or more further digits (151.795435 is printed as 151.79 by way of 151.795).

    `rtol` has a further relative tolerance for each table, with its reason: the error of the
    source's own numerics. `versions` are the versions of the R packages that printed the figures,
    as far as they are known.
    """

    source: str
    figures: Figures
    rtol: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def reference(self) -> Reference:
        """Return the figures as a reference with a tolerance for each."""
        return Reference("published", self._tables, self.tolerance, partial=True)

    def tolerance(self, table: str, column: str) -> Tolerance:
        """Return what the figures of a column may differ by: the rounding of each."""
        return self._tolerances[table, column]

    @cached_property
    def _tolerances(self) -> dict[tuple[str, str], Tolerance]:
        found = {}
        for table, rows in self.figures.items():
            rtol, reason = self.rtol.get(table, (0.0, "rounding to the printed digits"))
            for column in self._tables[table].columns.tolist():
                cells = {row: each[column] for row, each in rows.items() if column in each}
                last = pd.Series({row: _last_place(text) for row, text in cells.items()})
                found[table, column] = Tolerance(rtol, reason, last)
        return found

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        found = {}
        for table, rows in self.figures.items():
            columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
            values = [
                [_number(cells[column]) if column in cells else np.nan for column in columns]
                for cells in rows.values()
            ]
            found[table] = pd.DataFrame(values, list(rows), columns)
        return found


def _nsim_alone(nsim: int) -> Mapping[str, object]:
    return {"nsim": nsim}


@dataclass(frozen=True)
class Case:
    """One statistical problem: models, the R script that answers it, tolerances with reasons.

    `home` is set for a case of another project. It is the folder of the case's R files, and its
    subfolder `fixtures` holds the recordings.
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
        """Check that all names can be names of files and folders."""
        require_name(self.name, "A case")
        for part in self.parts:
            require_name(part.name, f"A part of the case {self.name!r}")
            for kind in part.kinds:
                require_name(kind, f"A table of {part.name!r} in the case {self.name!r}")

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables in R's answer."""
        return tuple(table for part in self.parts for table in part.tables)

    def tolerance(self, engine: str, table: str, column: str) -> Tolerance:
        """Return the tolerance of the first rule that matches.

        Raises
        ------
        LookupError
            If no rule matches. There is no default, so that every tolerance has a reason.
        """
        for candidate in self.rules:
            if (
                fnmatchcase(table, candidate.table)
                and fnmatchcase(column, candidate.column)
                and fnmatchcase(engine, candidate.engine)
            ):
                return candidate.tolerance
        raise LookupError(f"case {self.name}: no tolerance for {engine}, {table}, {column}")

    def scripts(self) -> dict[str, bytes]:
        """Return the content of the R files that answer the case, by name.

        Raises
        ------
        UsageError
            If one is missing.
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
        """Return the path of an R file, in the case's own folder or in this package."""
        own = None if self.home is None else self.home / script
        return own if own is not None and own.exists() else paths.r_scripts() / script

    @property
    def command(self) -> str:
        """The command that makes the case's recording."""
        home = str(self.home)
        folder = ["--project", home] if home == os.environ.get(VARIABLE) else []
        return shlex.join(["rparity", "regenerate", self.name, *folder])

    def recording(self, fixtures: Path, version: str | None = None) -> Recording:
        """Read R's recording of the case: the one of the newest R, or the one named `version`.

        Raises
        ------
        RecordingError
            If it is missing, stale or corrupt, or if R was asked another question.
        """
        return self.verified(fixtures, version).recording()

    def verified(self, fixtures: Path, version: str | None = None) -> Verified:
        """Check a recording as `recording` does, which raises the same, but make no tables."""
        remedy = f"run `{self.command}`, which needs R"
        found = recordings.verified(fixtures, self.name, self.scripts(), remedy, version)
        needed = ("made_by", "nsim", "time", "levels", "asked")
        path = found.folder / recordings.PROVENANCE
        recordings.require_shape(found.provenance, path, remedy, needed)
        if "R" not in found.provenance["made_by"]["packages"]:
            raise RecordingError(f"{path} does not tell the version of R: {remedy}.")
        then, now = found.provenance["asked"], self.asked(int(found.provenance["nsim"]))
        if then != now:
            before = then if isinstance(then, dict) else {}
            changed = [name for name, value in now.items() if before.get(name) != value]
            raise RecordingError(
                f"The recording of {self.name!r} is stale: R was asked otherwise "
                f"({', '.join(changed)}); {remedy}."
            )
        return found

    def asked(self, nsim: int) -> dict[str, object]:
        """Return the question to R as JSON values: the function, its arguments and the seed."""
        return {
            "script": self.script,
            "libraries": list(self.libraries),
            "function": self.function,
            "arguments": _described(self.arguments(nsim)),
            "seed": self.seed,
        }

    def fixtures(self, elsewhere: Path | None) -> Path:
        """Return the folder of the recordings: `elsewhere` if given, else the case's own."""
        if elsewhere is not None:
            return elsewhere
        return paths.fixtures() if self.home is None else self.home / "fixtures"


def _described(value: Any) -> Any:
    """Return an argument of an R function as JSON values. A data frame becomes its sha256."""
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
    """Return, for the name of each model, the name of the first part with the same model."""
    first: dict[tuple[object, ...], str] = {}
    models = [part for part in case.parts if isinstance(part, Lmer | Lm)]
    return {part.name: first.setdefault(part.key, part.name) for part in models}


def _number(text: str) -> float:
    """Return the value of a printed figure. `<2e-16` means zero, up to that bound."""
    return 0.0 if text.startswith("<") else float(text)


def _last_place(text: str) -> float:
    if text.startswith("<"):
        return float(text[1:])
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.55 * 10.0 ** (int(exponent or 0) - decimals)
