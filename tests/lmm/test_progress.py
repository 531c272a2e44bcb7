"""The progress bar of slow fits."""

import io

import numpy as np
import pytest

import rparity.lmm.solver.progress
from rparity.lmm.solver.newton import minimise
from rparity.lmm.solver.progress import SearchProgress, one_by_one, steps_left
from rparity.lmm.solver.structure import Smooth


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that goes on by one second for each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def quartic(x, _):
    return Smooth(x[:, 0] ** 4, 4 * x**3, 12 * x[:, :, None] ** 2)


def shown(stream: io.StringIO, monkeypatch, watch=True) -> str:
    monkeypatch.setattr(rparity.lmm.solver.progress, "time", Clock())
    with SearchProgress(stream) as progress:
        minimise(quartic, np.array([[1.0]]), watch=progress if watch else None)
    return stream.getvalue()


def test_a_slow_search_shows_on_a_terminal_how_long_it_may_take(monkeypatch):
    assert "lmer: about" in shown(Terminal(), monkeypatch)


def test_nothing_is_shown_if_standard_error_is_not_a_terminal(monkeypatch):
    assert shown(io.StringIO(), monkeypatch) == ""


def test_nothing_is_shown_in_the_first_two_seconds(monkeypatch):
    monkeypatch.setattr(rparity.lmm.solver.progress, "PATIENCE", 1000.0)
    assert shown(Terminal(), monkeypatch) == ""


@pytest.mark.parametrize(
    ("decrease", "steps"), [(1e-14, 0), (1e-9, 1), (1e-5, 2), (0.5, 3), (40.0, 6), (np.nan, 6)]
)
def test_fewer_steps_are_left_the_nearer_the_optimum_is(decrease, steps):
    assert steps_left(decrease) == steps


def test_work_of_several_parts_shows_the_mean_time_times_the_parts_left(monkeypatch):
    monkeypatch.setattr(rparity.lmm.solver.progress, "time", Clock())
    stream = Terminal()
    assert list(one_by_one("profile", [".sig01", ".sigma", "x", "z"], stream)) == [
        ".sig01",
        ".sigma",
        "x",
        "z",
    ]
    # The clock says 4 s after three parts, and one is left.
    assert "profile: z, about 1 s left" in stream.getvalue()
    quiet = io.StringIO()
    assert list(one_by_one("profile", ["x", "z"], quiet)) == ["x", "z"]
    assert quiet.getvalue() == ""
