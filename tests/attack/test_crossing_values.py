"""Values that go to R and come from it: each whole, or refused by name; none changed unsaid."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from odd_values import CROSSING, REFUSED, same
from rparity.errors import UsageError
from rparity.r.session import RSession
from tally import Tally

ATTACKED = "values that cross"
pytestmark = pytest.mark.attack

SCRIPT = Path(__file__).parent / "crossing.R"
EACH_WAY = 200
EPOCH = datetime.date(1970, 1, 1)


@pytest.fixture(scope="module")
def r() -> Iterator[RSession]:
    with RSession(timeout=60) as session:
        yield session


# What Python has of a value, in the words of crossing.R -----------------------------------------


def text(value: str) -> str:
    return f"s{value.encode().hex()}"


def double(value: float) -> str:
    return "NA" if np.isnan(value) else value.hex()


def numbers(words: list[str]) -> list[str]:
    """Write R's hexadecimal numbers as Python does, and a NaN that is none of NA as NA."""
    return [word if not is_number(word) else double(float.fromhex(word)) for word in words]


def is_number(word: str) -> bool:
    return word in ("Inf", "-Inf", "NaN") or word.lstrip("-").startswith("0x")


def cells(values: Any) -> tuple[str, list[str]]:
    """Return the type that R has of a vector, and its values as text."""
    if isinstance(values, pd.Series):
        values = values.array
    if isinstance(values, pd.Categorical):
        levels = ",".join(map(text, values.categories))
        kind = "ordered" if values.ordered else "factor"
        return f"{kind}:{levels}", ["NA" if code < 0 else str(code + 1) for code in values.codes]
    array = np.asarray(values)
    if array.dtype.kind == "M":
        days = array.astype("datetime64[D]")
        gone = np.isnat(days)
        return "Date", [
            "NA" if g else float(d.astype(int)).hex() for d, g in zip(days, gone, strict=True)
        ]
    if array.dtype.kind == "f":
        return "double", [double(float(value)) for value in array]
    if array.dtype.kind == "b":
        return "logical", [str(int(value)) for value in array]
    if array.dtype.kind == "i":
        return "integer", [str(value) for value in array]
    # An array of several dimensions can hold a gap among truths as an object alone.
    if any(isinstance(value, bool | np.bool_) for value in array):
        return "logical", ["NA" if value is pd.NA else str(int(value)) for value in values]
    return "character", ["NA" if pd.isna(value) else text(str(value)) for value in array]


def seen(value: Any, path: str = "") -> list[str]:
    """Describe a value that came from R, as `seen()` in R does."""
    if isinstance(value, Mapping):
        return [word for key, item in value.items() for word in seen(item, f"{path}/{text(key)}")]
    if isinstance(value, pd.DataFrame) and not value.attrs.get("matrix"):
        found = [
            w
            for name, column in value.items()
            for w in seen(column.array, f"{path}/{text(str(name))}")
        ]
        named = not isinstance(value.index, pd.RangeIndex)
        return [*found, *([f"{path}#rows", *map(text, value.index)] if named else [])]
    dim, labels = "dim", []
    if isinstance(value, pd.DataFrame):
        dim = f"dim {value.shape[0]} {value.shape[1]}"
        for axis in (value.index, value.columns):
            labels += [] if isinstance(axis, pd.RangeIndex) else list(map(text, axis))
        value = pd.concat([column for _, column in value.items()], ignore_index=True)
    elif isinstance(value, np.ndarray) and value.ndim > 1:
        dim, value = f"dim {' '.join(map(str, value.shape))}", value.ravel(order="F")
    elif isinstance(value, pd.Series):
        labels = list(map(text, value.index))
    elif not isinstance(value, np.ndarray | pd.api.extensions.ExtensionArray):
        value = np.array([value], dtype=object if value is None or isinstance(value, str) else None)
    kind, words = cells(value)
    return [f"{path}={kind}", dim, *words, "names", *labels]


# Python to R ------------------------------------------------------------------------------------

STRINGS = [
    *("", "NA", " ", "é", "e\u0301", "😀", "\ufeff", "\x1b[2J", "\n\r\t", "\u202e", "日本", "\\"),
    *("a\0b", "\udce9", "\x7f", "\x80", "\u2028", "'\"`", "NULL", "TRUE", "1e5", "x" * 10_000),
]
DOUBLES = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 2.0**53 + 2, 1e308, 0.1, 1 / 3]
WHOLE = [0, 1, -1, 2**31 - 1, -(2**31) + 1, -(2**31), 2**31, 2**53, -(2**53), 2**53 + 1, 2**62]


def drawn(rng: np.random.Generator) -> tuple[Any, str | None, list[str]]:
    """Draw a value: what is handed over, its type in R or None where R has none, its values."""
    n = int(rng.choice([1, 2, 3, 17]))
    kind = str(rng.choice(["double", "whole", "logical", "character", "Date", "factor"]))
    gaps = rng.random(n) < 0.2
    if kind == "double":
        bits = rng.integers(0, 2**64, n, dtype=np.uint64).view(np.float64)
        values = np.where(rng.random(n) < 0.5, rng.choice(DOUBLES, n), bits)
        forms: list[Any] = [values, values.tolist(), tuple(values), pd.Series(values)]
        forms += [
            pd.array(values, dtype="Float64"),
            values.astype(object),
            np.asfortranarray(values),
        ]
        return pick(rng, forms), "double", [double(value) for value in values]
    if kind == "whole":
        few = WHOLE[: int(rng.choice([5, 8, 11]))]
        chosen = [few[i] for i in rng.integers(0, len(few), n)]
        forms = [chosen, np.array(chosen), pd.Series(chosen), pd.array(chosen, dtype="Int64")]
        if max(map(abs, chosen)) > 2**53:
            return pick(rng, forms), None, []
        if min(chosen) > -(2**31) and max(chosen) < 2**31:
            return pick(rng, forms), "integer", list(map(str, chosen))
        return pick(rng, forms), "double", [float(value).hex() for value in chosen]
    if kind == "logical":
        truths = [
            None if gap else bool(value)
            for value, gap in zip(rng.random(n) < 0.5, gaps, strict=True)
        ]
        forms = [pd.array(truths, dtype="boolean"), pd.Series(truths, dtype="boolean")]
        forms += [] if None in truths else [truths, np.array(truths)]
        return pick(rng, forms), "logical", ["NA" if v is None else str(int(v)) for v in truths]
    if kind == "Date":
        days = rng.integers(-719162, 2932896, n).tolist()
        dates = [
            None if g else EPOCH + datetime.timedelta(d) for d, g in zip(days, gaps, strict=True)
        ]
        words = ["NA" if g else float(d).hex() for d, g in zip(days, gaps, strict=True)]
        if gaps.all():
            return np.array(dates, dtype="datetime64[D]"), "Date", words
        return pick(rng, [dates, np.array(dates, dtype="datetime64[D]")]), "Date", words
    chosen_text = [STRINGS[i] for i in rng.integers(0, len(STRINGS), n)]
    unfit = any("\0" in value or "\udce9" in value for value in chosen_text)
    if kind == "factor":
        levels = list(dict.fromkeys(chosen_text))
        codes = [-1 if gap else levels.index(v) for v, gap in zip(chosen_text, gaps, strict=True)]
        made = pd.Categorical.from_codes(codes, pd.Index(levels, dtype=object), ordered=bool(n % 2))
        if unfit:
            return made, None, []
        name = "ordered" if n % 2 else "factor"
        words = ["NA" if code < 0 else str(code + 1) for code in codes]
        return made, f"{name}:{','.join(map(text, levels))}", words
    told = [None if gap else v for v, gap in zip(chosen_text, gaps, strict=True)]
    if gaps.all():
        told[0] = "a"
    unfit = any(v is not None and ("\0" in v or "\udce9" in v) for v in told)
    forms = [told, np.array(told, dtype=object), pd.Series(told, dtype=object)]
    return (
        pick(rng, forms),
        None if unfit else "character",
        ["NA" if v is None else text_or(v) for v in told],
    )


def text_or(value: str) -> str:
    return text(value) if "\udce9" not in value else ""


def pick(rng: np.random.Generator, forms: list[Any]) -> Any:
    return forms[int(rng.integers(len(forms)))]


@pytest.mark.parametrize("shape", ["alone", "in a dict", "in a frame", "with names"])
def test_values_drawn_by_python_reach_r_or_are_refused(
    r: RSession, shape: str, tally: Tally
) -> None:
    rng = np.random.default_rng([1, ord(shape[-1])])
    refused = 0
    for _ in range(EACH_WAY // 4):
        value, kind, words = drawn(rng)
        path, tail = "", ["names"]
        if shape == "in a dict":
            path, value = f"/{text('é')}", {"é": value}
        elif shape == "in a frame":
            path, value, tail = f"/{text('x')}", pd.DataFrame({"x": pd.Series(value)}), ["names"]
        elif shape == "with names" and kind is not None and not isinstance(value, pd.Categorical):
            names = [f"n{i}\x1b" for i in range(len(words))]
            value, tail = pd.Series(value).set_axis(names), ["names", *map(text, names)]
        tally.attacked()
        if kind is None:
            with pytest.raises(UsageError, match=r"^argument x of seen\(\)") as caught:
                r.call(SCRIPT, "seen", {"x": value})
            tally.sentence(str(caught.value))
            refused += 1
            continue
        told = r.call(SCRIPT, "seen", {"x": value}).value.tolist()
        if numbers(told) != [f"{path}={kind}", "dim", *words, *tail]:
            tally.found("mixed", (value, told))
    assert refused


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_r_cannot_have_are_refused(r: RSession, name: str, tally: Tally) -> None:
    tally.attacked()
    with pytest.raises(UsageError) as caught:
        r.call(SCRIPT, "seen", {"x": REFUSED[name][0]})
    tally.sentence(str(caught.value))
    assert str(caught.value).startswith("argument x of seen()")


@pytest.mark.parametrize("name", CROSSING)
def test_values_come_back_as_they_went(r: RSession, name: str, tally: Tally) -> None:
    tally.attacked()
    value, expected = CROSSING[name]
    same(r.call(SCRIPT.with_name("hostile.R"), "echo", {"x": value}).value, expected)


# R to Python ------------------------------------------------------------------------------------


def test_values_drawn_by_r_reach_python(r: RSession, tally: Tally) -> None:
    for seed in range(1, EACH_WAY + 1):
        tally.attacked()
        found = r.call(SCRIPT, "drawn", {"seed": seed}).value
        value, words = found["value"], numbers(found["seen"].tolist())
        if isinstance(value, pd.DataFrame) and any(word.startswith("dim ") for word in words):
            value.attrs["matrix"] = True
        mine = seen(value)
        if mine != words and not all_gone(words, mine):
            tally.found("mixed", (seed, words, mine))


def all_gone(words: list[str], mine: list[str]) -> bool:
    """Whether the two differ in types alone, where numbers with a gap are doubles in Python."""
    for theirs, ours in zip(words, mine, strict=True):
        if theirs == ours or (is_number(ours) and theirs == str(int(float.fromhex(ours)))):
            continue
        (at, _, kind), (place, _, became) = theirs.rpartition("="), ours.rpartition("=")
        if (at, kind, became) not in ((place, "integer", "double"), (place, "logical", "double")):
            return False
    return True
