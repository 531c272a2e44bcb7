"""The atlas as text: what a pair of calls gives, in how many digits it agrees, and why not."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from operator import itemgetter
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from rich.console import Console
from rich.text import Text

from rparity.cases.atlas import on_result
from rparity.cases.base import AtlasPair, Case
from rparity.compare import ROUNDING_DIGITS
from rparity.errors import did_you_mean
from rparity.report.numbers import number
from rparity.report.terminal import marked, plain_table

RESULTS = files("rparity.cases") / "atlas_results.json"
ABSENT = files("rparity.cases") / "atlas_absent.toml"
SCRIPT = files("rparity.report") / "templates" / "atlas.js"
SHOWN = 6  # values of a pair
FULL = 3  # pairs that are shown whole
# Digits that agree may differ so much between machines; where more agree, by more.
NEAR, ROUNDING_STARTS = 0.2, 4.0
# A name before a parenthesis, with the modules before it.
CALLED = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
# What separates the words of a title.
PARTS = re.compile(r"[^\w.]+")
# The last place of a pair that has the words as a name of itself or of a function.
CALLS = 1
# Functions that only make the arguments or take the result apart.
HELPERS = (
    "array arange append as.matrix as.numeric as.vector c cbind column_stack data.frame drop "
    "factor function full list matrix na.omit rep unclass unname with"
)
IMPORTED = re.compile(r"(\w+)(?:,|$)")
MODULES = {
    "np": "numpy",
    "pd": "pandas",
    "stats": "scipy.stats",
    "sm": "statsmodels.api",
    "smf": "statsmodels.formula.api",
}


@dataclass(frozen=True)
class AtlasResult:
    """A pair with its kept result.

    `values` are R's and Python's numbers, by default and with the setting, of at most `SHOWN` rows:
    those that agree least by default. `digits` are the fewest, by default and with the setting.
    """

    case: Case
    pair: AtlasPair
    values: Mapping[str, Sequence[float | None]]
    digits: tuple[float, float]

    @cached_property
    def functions(self) -> frozenset[str]:
        """The functions that the pair is about, in lower case, with and without their modules."""
        code = (self.pair.r, self.pair.python, self.pair.setting, self.pair.r_setting)
        found: set[str] = set()
        for name in (n for text in code if text for n in CALLED.findall(text)):
            module, _, function = name.rpartition(".")
            found |= {name, function}
            if module in MODULES:
                found.add(f"{MODULES[module]}.{function}")
        return frozenset(name.lower() for name in found)

    @property
    def called(self) -> tuple[set[str], set[str]]:
        """The functions that R's code calls, and those that Python's calls, without helpers."""
        pair, helpers = self.pair, set(HELPERS.split())
        r = set(CALLED.findall(f"{pair.r} {pair.r_setting}")) - helpers
        python = set(CALLED.findall(f"{pair.python} {pair.setting}"))
        # A method is called on a result, a function by its name or that of its module.
        imported = {n for line in pair.imports for n in IMPORTED.findall(line)}
        python = {n for n in python if n.partition(".")[0] in imported}
        return r, {n for n in python if n.rpartition(".")[2] not in helpers}

    @property
    def remainder(self) -> str:
        """Why the values differ even with the setting; empty if they agree to rounding."""
        if self.digits[1] >= ROUNDING_DIGITS:
            return ""
        return self.case.tolerance("python-setting", f"{self.pair.name}.value", "value").reason

    def like(self, other: AtlasResult) -> bool:
        """Return whether as many digits agree. Digits that agree end in rounding, which differs."""
        both = zip(self.digits, other.digits, strict=True)
        return all(abs(a - b) < NEAR or min(a, b) > ROUNDING_STARTS for a, b in both)

    @property
    def text(self) -> str:
        """All that a word may be found in."""
        pair = self.pair
        parts = (pair.name, pair.title, pair.r, pair.python, pair.setting, pair.r_setting)
        more = (pair.cause, pair.why, self.case.title, *pair.words)
        return " ".join(filter(None, (*parts, *more))).lower()

    @property
    def imports(self) -> list[str]:
        """The statements that the code needs before it, in their order."""
        return self.pair.before(self.pair.python, self.pair.setting or "")


def results(cases: Iterable[Case], kept: Mapping[str, Any] | None = None) -> list[AtlasResult]:
    """Return the pairs of some cases with their kept results. A pair without one is left out."""
    known = (read() if kept is None else kept)["pairs"]
    return [
        AtlasResult(case, pair, found["values"], (found["digits"][0], found["digits"][1]))
        for case in cases
        for pair in case.parts
        if isinstance(pair, AtlasPair) and (found := known.get(f"{case.name}/{pair.name}"))
    ]


def read() -> dict[str, Any]:
    """Return the kept results of the atlas, with the versions that gave them."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    return found


def summarised(comparisons: pd.DataFrame) -> dict[str, Any]:
    """Return what is kept of the comparisons of a run, by `case/pair`."""
    kept: dict[str, Any] = {}
    for (case, table), rows in comparisons.groupby(["case", "table"], sort=False):
        name, _, _ = str(table).partition(".")
        pair = kept.setdefault(f"{case}/{name}", {"values": {}, "digits": [0.0, 0.0]})
        for engine, mine in rows.groupby("engine", sort=False):
            which = int(engine == "python-setting")
            pair["digits"][which] = round(float(mine["digits"].min()), 1) + 0.0
            for row, r, value in zip(
                mine["row"], mine["reference_value"], mine["value"], strict=True
            ):
                both = pair["values"].setdefault(row, [None, None, None])
                # If the setting is R's, R's value by default stays beside Python's.
                both[0] = _number(r) if both[0] is None or not which else both[0]
                both[1 + which] = _number(value)
    for pair in kept.values():
        worst = sorted(pair["values"].items(), key=lambda item: _agreement(item[1]))[:SHOWN]
        pair["values"] = {row: v for row, v in pair["values"].items() if row in dict(worst)}
    return kept


def _number(value: float) -> float | None:
    """Return a value that JSON can hold. A missing value is null."""
    return float(value) if math.isfinite(value) else None


def _agreement(values: Sequence[float | None]) -> float:
    r, default = values[0], values[1]
    return -1.0 if r is None or default is None else -abs(r - default) / (abs(r) or 1.0)


def found(words: Sequence[str], among: Sequence[AtlasResult]) -> list[AtlasResult]:
    """Return the pairs that have all the words, the best first.

    The best is the pair of that name, then one that has the words as another name, then those that
    call a function of that name, then those with the words in their title.
    """
    asked = _asked(words)
    phrase = _plain(asked)

    def rank(one: AtlasResult) -> int | None:
        if phrase in one.pair.words:
            return 0
        if not all(word in one.text or word in one.functions for word in asked):
            return None
        title = one.pair.title.lower()
        return next(
            place
            for place, holds in enumerate(
                (
                    phrase in (one.pair.name, _plain([title])),
                    any(word in one.functions or word == one.pair.name for word in asked),
                    set(phrase.split()) <= set(PARTS.split(title)),
                    any(word in title for word in asked),
                    True,
                )
            )
            if holds
        )

    ranked = [(place, one) for one in among if (place := rank(one)) is not None]
    if phrase in absent() and all(place > CALLS for place, _ in ranked):
        return []
    return [one for _, one in sorted(ranked, key=itemgetter(0))]


@cache
def absent() -> dict[str, str]:
    """Return the words for which there is no pair, each with a sentence about the nearest."""
    return tomllib.loads(ABSENT.read_text("utf-8"))


def nothing(words: Sequence[str], among: Sequence[AtlasResult]) -> str:
    """Say that no pair has the words, and name the nearest."""
    text = f"The atlas has no pair with {' and '.join(map(repr, words))}"
    phrase = _plain(_asked(words))
    if phrase in absent():
        return f"{text}. {absent()[phrase]}"
    names = {name for one in among for name in (one.pair.name, *one.functions, *one.pair.words)}
    return (
        f"{text}. {did_you_mean(phrase, names)}Try one word, such as a function's name, or "
        "`rparity atlas` for all pairs."
    )


def _asked(words: Sequence[str]) -> list[str]:
    """Return words as the atlas has them: in lower case, and a call as its function."""
    return [word.lower().removesuffix("()") for word in words]


def _plain(words: Sequence[str]) -> str:
    """Return words with a blank for each hyphen between them."""
    return " ".join(words).replace("-", " ")


def agreement(digits: float) -> str:
    """Say how many digits agree."""
    if digits >= ROUNDING_DIGITS:
        return f"agrees: {digits:.1f} digits"
    return f"{digits:.1f} digits agree" if digits > 0.0 else "no digit agrees"


def counted(every: Sequence[AtlasResult]) -> str:
    """Say how many pairs there are, and how many agree."""
    r, python = (set[str]().union(*(one.called[i] for one in every)) for i in (0, 1))
    families = len({one.case.name for one in every})
    default = sum(one.digits[0] >= ROUNDING_DIGITS for one in every)
    settled = sum(one.digits[1] >= ROUNDING_DIGITS > one.digits[0] for one in every)
    left = len(every) - default - settled
    return (
        f"{len(every)} pairs of {len(r)} functions of R and {len(python)} of Python, in {families} "
        f"families. By default {default} agree in at least {ROUNDING_DIGITS:.0f} digits, and with "
        f"the setting that is shown {settled} more. {left} agree in fewer, each for a reason that "
        "is stated, but that no experiment shows."
    )


def summarise(every: Sequence[AtlasResult], out: Console) -> None:
    """Print how many pairs agree, and by name those that do not agree to rounding."""
    out.print(marked(counted(every)))
    table = plain_table("pair", ">default", ">setting", "~cause", "~what remains")
    for one in every:
        if one.remainder:
            digits = [f"{d:.1f}" for d in one.digits]
            table.add_row(one.pair.name, *digits, one.pair.cause, one.remainder)
    if table.row_count:
        out.print()
        out.print(table)


def show(hits: Sequence[AtlasResult], total: int, out: Console) -> None:
    """Print pairs: a few whole; of more, the first one whole and then a list."""
    if len(hits) > FULL:
        if len(hits) < total:
            _show(hits[0], out)
            out.print()
        table = plain_table("pair", ">default", ">setting", "~what", "~cause")
        for one in hits:
            digits = [f"{d:.1f}" for d in one.digits]
            table.add_row(one.pair.name, *digits, one.pair.title, one.pair.cause)
        out.print(table)
        out.print(
            marked(
                f"\n{len(hits)} of {total} pairs. Digits that agree with R, by default and with "
                "the setting; `rparity atlas PAIR` shows a pair."
            )
        )
        return
    for i, one in enumerate(hits):
        if i:
            out.print()
        _show(one, out)


def _show(one: AtlasResult, out: Console) -> None:
    pair, (default, setting) = one.pair, one.digits
    out.print(marked((pair.name, "bold"), f"  {pair.title}"))
    _code("R", pair.r, "", out)
    _code("Python", "\n".join([*one.imports, pair.python.strip()]), agreement(default), out)
    if pair.setting:
        _code("Setting", pair.setting.strip(), agreement(setting), out)
    if pair.r_setting:
        _code("In R", pair.r_setting, agreement(setting), out)
    if pair.cause:
        out.print(marked(f"  {'Cause':8}", (pair.cause, "yellow"), f". {pair.why}"))
    if one.remainder:
        out.print(marked(f"  {'Remains':8}{one.remainder}."))
    for reference in pair.references:
        out.print(marked(f"  {'See':8}{reference}"))
    takes = {name: take for name, take in pair.values.items() if name in one.values}
    table = plain_table("  value", ">R", ">Python", ">with the setting")
    for row, (r, python, with_setting) in one.values.items():
        cells = ["NA" if v is None else number(v) for v in (r, python, with_setting)]
        name = f"{row} ({on_result(takes[row][0])})" if row in takes else row
        table.add_row(f"  {name}", *(cells if pair.cause else [*cells[:2], ""]))
    out.print(table)


def _code(who: str, code: str, says: str, out: Console) -> None:
    lines = code.splitlines()
    for i, line in enumerate(lines):
        end = Text(f"    # {says}", "dim") if says and i == len(lines) - 1 else Text("")
        out.print(marked(f"  {who if i == 0 else '':8}{line}", end))


# -- the page --------------------------------------------------------------------------------------


def page(kept: Mapping[str, Any], cases: Iterable[Case]) -> str:
    """Return the atlas as a page in Markdown, with an anchor for each pair."""
    every = results(cases, kept)
    versions = ", ".join(f"{name} {version}" for name, version in kept["made_by"].items())
    lines = [
        "# Atlas of R functions and their counterparts in Python",
        "",
        f"{counted(every)} "
        "Every number was computed by both sides on the same data; an experiment shows each "
        "cause of other defaults, and `rparity audit` checks all of it.",
        "",
        "`rparity atlas WORD` finds pairs in the terminal.",
        "",
        "<style>table { display: block; overflow-x: auto } "
        "#atlas-find { width: 20em; max-width: 75%; padding: .3em .6em; "
        "border: 1px solid currentColor; border-radius: .3em }</style>",
        '<p><label>Find <input id="atlas-find" type="search" '
        'placeholder="wilcox.test, mannwhitneyu, ties …"></label></p>',
        "",
    ]
    family = ""
    for one in every:
        if one.case.title != family:
            family = one.case.title
            lines += [f"## {family}", ""]
        lines += _section(one)
    lines += ["## Made by", "", f"{versions}. `docs/atlas_page.py` writes this page.", ""]
    return "\n".join([*lines, "<script>", SCRIPT.read_text("utf-8") + "</script>", ""])


def _section(one: AtlasResult) -> list[str]:
    pair, (default, setting) = one.pair, one.digits
    lines = [f"### {pair.title} {{#{pair.name}}}", ""]
    if pair.words:
        lines += [f"Also called: {', '.join(pair.words)}.", ""]
    lines += ["R:", "", "```r", pair.r, *([pair.r_setting] if pair.r_setting else []), "```", ""]
    lines += [f"Python, {agreement(default)}:", "", "```python", *one.imports]
    lines += [pair.python.strip(), "```", ""]
    if pair.setting:
        lines += [f"With R's setting, {agreement(setting)}:", "", "```python"]
        lines += [pair.setting.strip(), "```", ""]
    if pair.r_setting:
        lines += [f"With the second line of R's code, {agreement(setting)}.", ""]
    if pair.cause:
        lines += [f"Cause: **{pair.cause}**. {pair.why}", ""]
    if one.remainder:
        lines += [f"What remains: {one.remainder}.", ""]
    heads = ["value", "R", "Python", *(["with the setting"] if pair.cause else [])]
    lines += [_row(heads), _row(["---"] * len(heads))]
    for row, values in one.values.items():
        cells = ["NA" if v is None else number(v) for v in values]
        lines.append(_row([f"`{row}`", *cells[: len(heads) - 1]]))
    sources = [f"[{_host(r)}]({r})" if _host(r) else r for r in pair.references]
    return [*lines, "", *([f"See {'; '.join(sources)}.", ""] if sources else [])]


def _host(reference: str) -> str | None:
    """Return the host of an address, or None for another reference."""
    return urlsplit(reference).hostname


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
