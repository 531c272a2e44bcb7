"""R's answer to a call of `r_parity`: its values, its random stream, and the check of Python's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rparity.errors import RparityError, UsageError
from rparity.parity.check import HEADS, RTOL, CheckOptions, CheckResult, check
from rparity.parity.sensitivity import too_close
from rparity.parity.store import RecordedCall, same
from rparity.parity.values import value_of
from rparity.rrandom import RRandom
from rparity.text import visible

DEFAULT = CheckOptions()
OTHER_METHOD = (
    "No change of Python's value explains this. It may be another method or default: see\n"
    "`rparity atlas NAME` with the function's name, or rparity.diagnose()."
)


class RAnswer:
    """R's answer to a call. `answer["glance"]` and `answer.glance` are parts of its `value`.

    Attributes
    ----------
    value
        A scalar; a Series for a vector with names, an array for one without; a DataFrame for a
        matrix or a data frame; a dict of these for a list or for an object of R, such as a fitted
        model; None for NULL. The page "Values of R and Python" has all kinds.
    provenance
        The call, and what gave the answer: R and its packages, platform, BLAS, settings, seed,
        hashes, warnings, time.
    checked
        Whether `check()` was called.
    """

    def __init__(
        self,
        recorded: RecordedCall,
        *,
        path: Path | None = None,
        today: RecordedCall | None = None,
        shown: int | None = None,
    ) -> None:
        self.value: Any = value_of(recorded.answer)
        self.provenance: Mapping[str, Any] = recorded.provenance
        self.checked = False
        self._recorded = recorded
        self._path = path
        self._today = today
        self._shown = shown

    @cached_property
    def rng(self) -> RRandom:
        """R's random numbers from the beginning of the call, which are those of `set.seed(seed)`.

        Raises
        ------
        UsageError
            The call had no seed.
        """
        seed = self.provenance["asked"]["seed"]
        if seed is None:
            raise UsageError(f"{self._call} had no seed: there is no stream to share; give seed=.")
        return RRandom(seed)

    def check(
        self,
        mine: object,
        *,
        rtol: float = RTOL,
        atol: float = 0.0,
        tolerances: Mapping[str, float | Mapping[str, float]] | None = None,
        only: str | Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Fail unless Python's value has the same names as R's, and each number is close enough.

        Parameters
        ----------
        mine
            Python's value: a scalar, array, Series, DataFrame (of polars and PyArrow, too), or a
            dict or list of these. A dict of scalars is a vector with names, a data frame of one
            row, or a list, as R's answer is.
            Values with names are matched by name, in any order. Values without names (scalars,
            lists, arrays, pandas' own numbering 0, 1, …) are matched by position. NaN, None and
            R's NA are equal.
        rtol, atol
            Python's number may differ from R's number c by atol + rtol · abs(c). The default asks
            for eight digits. With both 0, the bits must be the same. If c and atol are 0, a
            difference in the 12th decimal counts as rounding. Strings, booleans, dates and times
            must be equal.
        tolerances
            Other tolerances for some places. The keys are places; the values are an rtol, or a
            dict with `rtol`, `atol` or both. A place is a part of R's answer, such as `"coef"`, or
            a column or an element of it, such as `"coef.std_error"`. The longest place that fits
            a value decides.
        only
            The places to compare. By default all are compared, and a place that is missing on
            either side fails.

        Returns
        -------
        pandas.DataFrame
            The comparisons, one value a row, with their digits and verdicts; the columns are
            `rparity.compare.COLUMNS`.

        Raises
        ------
        AssertionError
            Some values differ; the message lists them.
        UsageError
            A tolerance or a place makes no sense, or a value cannot be compared.
        """
        __tracebackhide__ = True
        self.checked = True
        try:
            chosen = (only,) if isinstance(only, str) else only
            options = CheckOptions(
                rtol, atol, tolerances, None if chosen is None else tuple(chosen)
            )
            self.check_drift(options)
            found = check(self._function, self._recorded.answer, mine, options)
        except RparityError as error:
            raise error.with_traceback(None) from None
        if found.differences:
            raise AssertionError(self._report("Python differs from R", found, HEADS, found.advice))
        return found.comparisons

    def __getitem__(self, name: str) -> Any:
        """Return a part of a list, an element of a vector, or a column of a table."""
        if name in (names := list(self)):
            return self.value[name]
        there = f"it has {', '.join(map(repr, names))}" if names else f"it is {self.value!r}"
        raise UsageError(f"R's answer to {self._call} has no {name!r}: {there}.")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy and pickle look for such names before there is a value
            raise AttributeError(name)
        try:
            return self[name]
        except UsageError as error:
            raise AttributeError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        has_names = isinstance(self.value, dict | pd.Series | pd.DataFrame)
        return iter(self.value.keys() if has_names else ())

    def __repr__(self) -> str:
        return f"<R's answer to {self._call}: {self.value!r}>"

    def check_drift(self, options: CheckOptions = DEFAULT) -> None:
        """Fail if R was asked today (`--r=check`) and its answer differs from the recording.

        Raises
        ------
        AssertionError
            Some values differ; the message lists them.
        """
        __tracebackhide__ = True
        found = self._drift(options)
        if found and found.differences:
            heads = ("term", "recording", "R today", "digits", "tolerance")
            raise AssertionError(self._report("R differs from its recording", found, heads))

    def drift(self) -> tuple[str, str]:
        """Return a heading and a line on whether R's answer today equals the recording."""
        found = self._drift(DEFAULT)
        assert found is not None
        assert self._today is not None
        if same(self._recorded, self._today):
            return "answers of R as recorded, bit for bit", ""
        least = found.comparisons["digits"].min() if len(found.comparisons) else 0.0
        then, now = (_versions(side.provenance) for side in (self._recorded, self._today))
        versions = then if then == now else f"{then}, now {now}"
        line = f"{self._path}: {least:.1f} digits at least; {versions}"
        return "answers of R other than recorded", line

    def _drift(self, options: CheckOptions) -> CheckResult | None:
        if self._today is None:
            return None
        today = value_of(self._today.answer)
        return check(self._function, self._recorded.answer, today, options)

    @property
    def _function(self) -> str:
        return str(self.provenance["asked"]["function"])

    @property
    def _call(self) -> str:
        return f"{self._function}() in {self.provenance['asked']['script']}"

    def _report(
        self, what: str, found: CheckResult, heads: Sequence[str], advice: Sequence[str] = ()
    ) -> str:
        n = len(found.differences)
        seed = self.provenance["asked"]["seed"]
        source = ", ".join(
            [
                f"{_versions(self.provenance)} on {self.provenance['made_by']['platform']}",
                *([] if seed is None else [f"seed {seed}"]),
                f"recorded {self.provenance['time']} in {self._path}"
                if self._path
                else "asked now",
            ]
        )
        values = "value" if n == 1 else "values"
        changes = found.candidates()
        blocks = [
            f"{what} in {n} {values} of {self._call}:",
            "\n".join(found.parts()),
            found.report(heads, self._shown),
            _listed("They agree after this change of Python's value:", changes),
            OTHER_METHOD if heads is HEADS and found.numbers_differ and not changes else "",
            "\n".join(advice),
            "\n".join(too_close(found, self.provenance.get("sensitivity", {}))),
            _listed("R warned:", self.provenance.get("warnings", ())),
            source,
        ]
        return visible("\n\n".join(filter(None, blocks)))


def _listed(heading: str, lines: Sequence[str]) -> str:
    return "\n  ".join([heading, *lines]) if lines else ""


def _versions(provenance: Mapping[str, Any]) -> str:
    packages = provenance["made_by"]["packages"]
    return ", ".join(f"{name} {version}" for name, version in packages.items())
