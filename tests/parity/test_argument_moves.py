"""R is asked again with the last bits of the arguments moved: what moves, is recorded, is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest

from fake_r import FakeR, answer, wire
from plugin_sessions import Run, said
from rparity.errors import RError
from rparity.parity import calls
from rparity.parity.calls import Caller, RParity
from rparity.parity.sensitivity import moved, sensitivity
from rparity.parity.store import Place
from rparity.parity.values import tree
from rparity.r.from_r import from_wire
from rparity.r.session import RSession
from rparity.r.to_r import to_wire

# What moves --------------------------------------------------------------------------------------


def after(**arguments: object) -> dict[str, Any]:
    """Return the values of arguments that have moved."""
    wires = {name: to_wire(value) for name, value in arguments.items()}
    return {name: from_wire(value) for name, value in moved(wires).items()}


def test_each_double_moves_by_one_unit_in_the_last_place() -> None:
    x = np.array([0.1, -2.5, 3.7, 1e300, -0.2])
    assert np.abs(after(x=x)["x"] - x).tolist() == np.spacing(np.abs(x)).tolist()
    frame = after(d=pd.DataFrame({"y": [0.3, 0.4], "n": [3, 4], "g": ["a", "b"]}))["d"]
    assert (frame["y"] != [0.3, 0.4]).all()
    assert frame["n"].tolist() == [3, 4]
    assert after(z=0.5 + 0.25j)["z"] != 0.5 + 0.25j
    nested = after(a={"b": [np.eye(2) / 3]})["a"]["b"][0]
    assert (nested == np.eye(2) / 3).to_numpy().tolist() == [[False, True], [True, False]]


def test_numbers_move_up_and_down_in_turn() -> None:
    x = np.array([0.4, 0.1, 0.3, 0.2])
    assert np.sign(after(x=x)["x"] - x).tolist() == [-1, 1, 1, -1]


def test_ties_and_symmetry_stay() -> None:
    x, y = [0.3, 0.7, 0.3], [0.7, 0.1, 0.3]
    found = after(x=x, y=y)
    assert found["x"][0] == found["x"][2] == found["y"][2] != 0.3
    assert found["x"][1] == found["y"][0] != 0.7
    matrix = np.cov(np.random.default_rng(1).normal(size=(4, 9)))
    symmetric = after(m=matrix)["m"].to_numpy()
    assert (symmetric == symmetric.T).all()
    assert (symmetric != matrix).all()


def test_whole_numbers_of_a_vector_move_away_from_zero() -> None:
    x = np.array([2.0, 3.0, 4.0, -5.0, -6.0, -7.0])
    assert (found := np.trunc(after(x=x)["x"])).tolist() == x.tolist()
    assert not (found == after(x=x)["x"]).any()


@pytest.mark.parametrize(
    "value",
    [
        7.0,
        [0.0, 1.0, -1.0],
        [np.nan, np.inf, -np.inf],
        [None, 1.0],
        3,
        np.arange(4),
        "0.5",
        True,
        None,
        [],
        pd.Timestamp("2024-02-29 12:00", tz="UTC"),
        pd.to_datetime(["2024-02-29", "2024-03-01"]),
        pd.Timedelta(1.5, "s"),
        np.float64(np.finfo(float).max),
    ],
)
def test_what_stays(value: object) -> None:
    wires = {"x": to_wire(value)}
    assert moved(wires) == wires


# What two answers have in common -----------------------------------------------------------------


def kept(one: object, other: object) -> dict[str, float] | None:
    return sensitivity("f", tree(wire(one), "f"), tree(wire(other), "f"))


def test_digits_by_part() -> None:
    one = {"a": np.array([1.0, 2.0]), "b": {"c": 3.0, "d": 4.0}, "text": "t"}
    other = {"a": np.array([1.0, 2.0 + 4e-9]), "b": {"c": 3.0 + 1e-15, "d": 4.04}, "text": "t"}
    assert kept(one, other) == {"a": 8.6, "b.d": 1.9}
    assert kept(2.0, 2.0 + 2e-5) == {"": 4.9}


def test_numbers_that_are_rounding_do_not_count() -> None:
    assert kept([1e4, 1e-12, 0.0], [1e4, -3e-12, 1e-15]) == {}
    assert kept([1e4, np.nan], [1e4, 2.0]) == {"": 0.0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1.0}, {"b": 1.0}),
        ([1.0, 2.0], [1.0, 2.0, 3.0]),
        ({"a": 1.0, "method": "exact"}, {"a": 1.0, "method": "normal"}),
        (pd.Series({"a": 1.0}), pd.Series({"b": 1.0})),
        (pd.Series({"a": 1.0, "b": 2.0}), pd.Series({"b": 1.0, "a": 2.0})),
        ({"a": None}, {"a": 1.0}),
        (1.0, "1"),
    ],
)
def test_answers_of_another_shape_say_nothing(one: object, other: object) -> None:
    assert kept(one, other) is None


# What is recorded --------------------------------------------------------------------------------

FILE = """
def test_near(r_parity):
    r_parity.call("f.R", "near", x=1.3){check}
"""
# Near 1.3 the last bit of x is 2.2e-16, so of x − 1.2999999, which is 1e-7, 8.65 digits stay.
LINE = (
    "Changing the last bit of the arguments changes R's own answer in the 9th digit: a tolerance "
    "below rtol=3e-09 asks for more than R's answer determines."
)
PATH = "r_recordings/test_a/test_near.1.json"

Near = Callable[..., tuple[pytest.RunResult, dict[str, Any]]]


@pytest.fixture
def near(pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch) -> Near:
    """Run a test whose call moves with the last bit of x; return the result and the recording."""

    def answer(option: str, check: str = "", value: Callable[[float], Any] | None = None) -> Any:
        pytester.makepyfile(test_a=FILE.format(check=check))
        near = value or (lambda x: x - 1.2999999)
        monkeypatch.setitem(FakeR.functions, "near", lambda x: asked.append(x) or near(x))
        result = run(option)
        path = pytester.path / PATH
        return result, json.loads(path.read_text()) if path.exists() else {}

    asked: list[float] = []
    answer.asked = asked  # type: ignore[attr-defined]
    return answer


def test_sensitivity_is_recorded_once(near: Near, pytester: pytest.Pytester) -> None:
    _, recorded = near("--r=record")
    assert recorded["sensitivity"] == {"": 8.6}
    asked = near.asked  # type: ignore[attr-defined]
    assert asked == [1.3, np.nextafter(1.3, np.inf)]
    for mode, n in (("record", 3), ("review", 4), ("check", 5), ("replay", 5), ("live", 6)):
        result, again = near(f"--r={mode}")
        result.assert_outcomes(passed=1)
        assert (again, len(asked)) == (recorded, n)


def test_a_failure_says_what_r_s_answer_determines(near: Near) -> None:
    near("--r=record")
    result, _ = near("--r=replay", ".check(1.00000001e-7, rtol=1e-10)")
    result.assert_outcomes(failed=1)
    assert LINE in said(result).replace("\nE       ", "")
    result, _ = near("--r=replay", ".check(1.0001e-7, rtol=1e-8)")
    result.assert_outcomes(failed=1)
    assert "Changing the last bit" not in said(result)
    result, _ = near("--r=replay", ".check(1.0001e-7, rtol=1e-10, atol=1e-15)")
    assert "Changing the last bit" not in said(result)


def test_a_text_that_differs_is_not_sensitive(near: Near) -> None:
    def table(x: float) -> pd.DataFrame:
        return pd.DataFrame({"p": [x - 1.2999999], "method": ["exact"]})

    near("--r=record", value=table)
    mine = ".check({'p': 1.3 - 1.2999999, 'method': 'normal'})"
    result, recorded = near("--r=replay", mine)
    result.assert_outcomes(failed=1)
    assert recorded["sensitivity"] == {"": 8.6}
    assert "Changing the last bit" not in said(result)


def fails_elsewhere(x: float) -> float:
    if x != 1.3:
        raise RError("R error in near(): not 1.3")
    return x


@pytest.mark.parametrize("value", [fails_elsewhere, lambda x: [x] if x == 1.3 else [x, x]])
def test_a_second_answer_that_says_nothing_is_not_recorded(
    near: Near, value: Callable[[float], Any]
) -> None:
    result, recorded = near("--r=record", value=value)
    result.assert_outcomes(passed=1)
    assert "sensitivity" not in recorded


def test_a_long_call_is_not_made_again(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LONG", -1.0)
    assert "sensitivity" not in near("--r=record")[1]
    assert near.asked == [1.3]  # type: ignore[attr-defined]


def test_a_recording_without_sensitivity_stays_valid(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(calls, "LONG", -1.0)
        near("--r=record")
    for mode in ("replay", "review"):
        result, recorded = near(f"--r={mode}")
        result.assert_outcomes(passed=1)
        assert "sensitivity" not in recorded
    assert near("--r=record")[1]["sensitivity"] == {"": 8.6}


# With R ------------------------------------------------------------------------------------------


def hilbert(n: int) -> np.ndarray[Any, Any]:
    i = np.arange(1, n + 1)
    return 1.0 / (i[:, None] + i - 1.0)


@pytest.mark.live
def test_the_inverse_of_a_hilbert_matrix(tmp_path: Path) -> None:
    with RSession() as session:
        caller = Caller(Place(tmp_path / "test_a.py", "test"))
        r = RParity(lambda: caller, "record", session=session)
        (found,) = r.r("solve(m)", m=hilbert(6)).provenance["sensitivity"].values()
        other = r.r("if (x == 0.3) x else stop('no')", x=0.3)
        assert "sensitivity" not in other.provenance
    with mpmath.workdps(50):
        one, other = (
            mpmath.inverse(mpmath.matrix(m.tolist()))
            for m in (hilbert(6), after(m=hilbert(6))["m"].to_numpy())
        )
        exact = min(-mpmath.log10(abs(q / c - 1)) for q, c in zip(other, one, strict=True))
    # R's own rounding is of the size of the change of the last bits.
    assert abs(found - float(exact)) < 1.5


def test_a_part_that_agrees_is_no_obstacle_to_the_report() -> None:
    found = answer({"a": 1.0, "b": 2.0})
    found.provenance = {**found.provenance, "sensitivity": {"a": 9.0}}
    with pytest.raises(AssertionError, match="b: 1 of 1 differ"):
        found.check({"a": 1.0, "b": 3.0})
