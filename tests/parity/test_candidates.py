"""The report of a failed check names the change of Python's value that would make it agree."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fake_r import answer
from rparity.diagnosis.causes import Cause

SCORES = pd.DataFrame(
    np.random.default_rng(1).normal(size=(6, 3)),
    index=list("abcdef"),
    columns=["one", "two", "three"],
)
BARE = SCORES.to_numpy()
VECTOR = pd.Series({"a": 1.0, "b": 2.5, "c": 3.1, "d": 4.2, "e": 7.3})
SAMPLE = np.array([3.1, 4.7, 9.2, 1.5, 6.4])


def failure(theirs: Any, mine: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        answer(theirs).check(mine, **options)
    return str(caught.value)


def named(text: str) -> list[str]:
    """Return the changes that a report names."""
    _, found, after = text.partition("They agree after this change of Python's value:\n")
    return [line.strip() for line in after.split("\n\n")[0].splitlines()] if found else []


PLANTED = {
    "transposed": (SCORES, BARE.T, Cause.ORDER, "transposed"),
    "transposed, with names": (SCORES, SCORES.T, Cause.ORDER, "transposed"),
    "square and transposed": (SCORES[:3], BARE[:3].T, Cause.ORDER, "transposed"),
    "rows permuted": (SCORES, BARE[[3, 1, 0, 2, 5, 4]], Cause.ORDER, "rows in another order"),
    "columns permuted": (SCORES, BARE[:, [2, 0, 1]], Cause.ORDER, "columns in another order"),
    "values permuted": (SAMPLE, np.sort(SAMPLE), Cause.ORDER, "in another order"),
    "sign of a column": (SCORES, BARE * [1, -1, 1], Cause.SIGN, "the other sign in 'two'"),
    "sign of a named column": (
        SCORES,
        SCORES[["two", "one", "three"]] * [-1, 1, 1],
        Cause.SIGN,
        "the other sign in 'two'",
    ),
    "sign of all": (SCORES, -BARE, Cause.SIGN, "the other sign"),
    "column renamed": (
        SCORES,
        SCORES.rename(columns={"two": "PC2"}),
        Cause.NAMES,
        "'PC2' renamed to 'two'",
    ),
    "row renamed": (SCORES, SCORES.rename({"b": "B"}), Cause.NAMES, "'B' renamed to 'b'"),
    "rows and columns renamed": (
        SCORES,
        SCORES.rename({"a": "A", "c": "C"}).rename(columns={"one": "PC1"}),
        Cause.NAMES,
        "with R's names of rows and columns",
    ),
    "element renamed": (VECTOR, VECTOR.rename({"a": "A"}), Cause.NAMES, "'A' renamed to 'a'"),
    "counted from 0": (np.array([1, 4, 2]), np.array([0, 3, 1]), Cause.COUNTING, "R counts from 1"),
    "moved by one": (
        SAMPLE,
        np.r_[0.0, SAMPLE[:-1]],
        Cause.COUNTING,
        "moved up by one, all but one value",
    ),
    "n for n - 1": (
        {"sd": SAMPLE.std(ddof=1), "mean": 5.0},
        {"sd": SAMPLE.std(), "mean": 5.0},
        Cause.DIVISOR,
        "sd, times the root of n / (n - 1), n = 5",
    ),
    "n - 1 for n": (SAMPLE.var(), SAMPLE.var(ddof=1), Cause.DIVISOR, "times (n - 1) / n, n = 5"),
    "one column squared": (
        SCORES.abs(),
        SCORES.abs().assign(two=lambda d: d["two"] ** 2),
        Cause.DEFINITION,
        "its square root, in 'two'",
    ),
    "rounding": (
        np.array([1.0, 2e-17, 3.0]),
        np.array([1.0, -1e-17, 3.0]),
        Cause.CANCELLATION,
        "with atol=1e-16",
    ),
}


@pytest.mark.parametrize(("theirs", "mine", "cause", "says"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_change_is_named(theirs: Any, mine: Any, cause: Cause, says: str) -> None:
    found = named(failure(theirs, mine))
    assert len(found) == 1
    assert says in found[0]
    assert f"cause: {cause})" in found[0]


def test_the_absolute_tolerance_that_is_named_is_enough() -> None:
    theirs, mine, *_ = PLANTED["rounding"]
    answer(theirs).check(mine, atol=1e-16)


UNRELATED = {
    "a vector": (VECTOR, VECTOR * [1, 1.1, 1.2, 1, 1]),
    "a table": (SCORES, np.random.default_rng(2).normal(size=(6, 3))),
    "text": (pd.Series({"a": "x"}), {"a": "y"}),
    "one number more": (SAMPLE, np.r_[SAMPLE, 1.0]),
    "two columns with other divisors": (
        pd.DataFrame({"a": [1.0], "b": [2.0]}),
        {"a": 1.0 * 10 / 11, "b": 2.0 * 5 / 6},
    ),
    "two columns with one name": (SCORES, SCORES.rename(columns={"two": "x", "one": "y"}) + 1e-3),
    "an empty vector": (np.array([]), SAMPLE),
}


@pytest.mark.parametrize(("theirs", "mine"), UNRELATED.values(), ids=UNRELATED.keys())
def test_an_unrelated_value_has_no_cause(theirs: Any, mine: Any) -> None:
    assert named(failure(theirs, mine)) == []


def test_each_part_of_the_answer_has_a_line() -> None:
    theirs = {"merge": np.array([1.0, 2.0, 4.0]), "height": np.array([0.5, 1.5])}
    text = failure(theirs, {"merge": np.array([0.0, 1.0, 3.0]), "height": [0.5, 1.5 * (1 + 1e-12)]})
    assert "\nmerge: 3 of 3 differ\nheight: 2 of 2 agree, to 12.0 digits\n" in text
    assert named(text) == [
        "merge, plus 1: R counts from 1 (15.9 digits agree; cause: counting from 0 or from 1)"
    ]


def test_of_many_differences_the_worst_are_shown() -> None:
    theirs = np.arange(1.0, 101.0)
    mine = theirs * (1 + 1e-3)
    mine[70] = 0.0
    found = answer(theirs)
    found._shown = 3
    with pytest.raises(AssertionError) as caught:
        found.check(mine)
    assert re.search(r"\n71 +71 +0 +0\.0 ", str(caught.value))
    assert "… and 97 more" in str(caught.value)


def test_warnings_of_r_are_in_the_report() -> None:
    found = answer(1.0)
    found.provenance = {**found.provenance, "warnings": ["cannot compute exact p-value with ties"]}
    with pytest.raises(AssertionError, match="R warned:\n  cannot compute exact p-value with ties"):
        found.check(2.5)


def test_a_tolerance_of_fewer_digits_asks_a_change_for_fewer() -> None:
    """Iterative fits agree in five digits, and so does a variance in place of its root."""
    std_errors = np.array([0.4443979, 0.5123882, 0.5328879])
    variances = np.array([0.1974889, 0.2625386, 0.2839650])
    assert "square root" in "".join(named(failure(std_errors, variances, rtol=1e-4)))
    assert not named(failure(std_errors, variances))
    # The nearest n fits any ratio in twice the digits, so a divisor needs more.
    assert not named(failure(1.0 + 1 / 1999.3, 1.0, rtol=1e-6))
    assert not named(failure(0.44439796249092517, 0.4443964430333791))
    # Two digits agree by chance, so four are needed even if the test asks for two.
    assert not named(failure(std_errors, variances * 1.001, rtol=0.01))


def test_a_change_is_named_though_python_lacks_other_columns() -> None:
    glance = pd.DataFrame({"sigma": [3.0], "logLik": [-29.4], "nobs": [48]})
    mine = {"glance": {"sigma": 9.0, "logLik": -29.4}}
    text = failure({"glance": glance}, mine, only=["glance.sigma", "glance.logLik"])
    assert "its square root, in 'sigma'" in named(text)[0]
    theta = {"theta": pd.Series({"theta": 4.0, "SE.theta": 3.2})}
    text = failure(theta, {"theta": {"theta": 0.25}}, only="theta.theta")
    assert named(text)[0].startswith("theta, its reciprocal")
