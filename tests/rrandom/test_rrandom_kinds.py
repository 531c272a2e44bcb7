"""The distributions that ports need equal R's bit for bit: as in data/draws.csv, and live."""

from __future__ import annotations

import csv
import hashlib
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from places import DATA, R_SCRIPTS
from rparity.errors import UsageError
from rparity.r.session import RSession
from rparity.rrandom import RRandom, SampleKind

RECORDED = DATA / "draws.csv"
SCRIPT = R_SCRIPTS / "draws.R"
INF, NAN = math.inf, math.nan
N = 10_000  # draws a call in draws.csv
RAMP = np.arange(0, 1237) / 1236

Draw = Callable[[RRandom, int], Any]
Key = tuple[int, SampleKind, str]  # seed, sample kind, R's call
CALLS: dict[str, Draw] = {
    # Ahrens & Dieter's GS and GD with three settings each; parameters for which R draws nothing.
    "rgamma(n, 1e-300)": lambda r, n: r.rgamma(n, 1e-300),
    "rgamma(n, 0.01)": lambda r, n: r.rgamma(n, 0.01),
    "rgamma(n, 0.9, 3)": lambda r, n: r.rgamma(n, 0.9, 3),
    "rgamma(n, 1, scale = 3.7)": lambda r, n: r.rgamma(n, 1, scale=3.7),
    "rgamma(n, 3.686, scale = 3.7)": lambda r, n: r.rgamma(n, 3.686, scale=3.7),
    "rgamma(n, 3.6861, scale = 3.7)": lambda r, n: r.rgamma(n, 3.6861, scale=3.7),
    "rgamma(n, 13.0221, 0.3)": lambda r, n: r.rgamma(n, 13.0221, 0.3),
    "rgamma(n, 1e15)": lambda r, n: r.rgamma(n, 1e15),
    "rgamma(n, c(0.3, 2, 8, 20), c(1, 2, 3))": lambda r, n: r.rgamma(n, [0.3, 2, 8, 20], [1, 2, 3]),
    "rgamma(n, 0.1 + 20 * ((0:1236) / 1236))": lambda r, n: r.rgamma(n, 0.1 + 20 * RAMP),
    "rgamma(n, c(2, 0, Inf, -1, NaN), c(1, 0, Inf, -1))": lambda r, n: r.rgamma(
        n, [2, 0, INF, -1, NAN], [1, 0, INF, -1]
    ),
    "rgamma(n, c(2, 0, -1), scale = c(1, 0, NaN, Inf))": lambda r, n: r.rgamma(
        n, [2, 0, -1], scale=[1, 0, NAN, INF]
    ),
    "rchisq(n, 0.5)": lambda r, n: r.rchisq(n, 0.5),
    "rchisq(n, c(1, Inf, 3, -1, 0, NaN))": lambda r, n: r.rchisq(n, [1, INF, 3, -1, 0, NAN]),
    "rt(n, 1e-3)": lambda r, n: r.rt(n, 1e-3),  # whose chi-squared is often 0
    "rt(n, 4)": lambda r, n: r.rt(n, 4),
    "rt(n, c(1, Inf, 3, -1, 0, NaN))": lambda r, n: r.rt(n, [1, INF, 3, -1, 0, NAN]),
    # Cheng's BC and BB with either shape larger; factors that overflow; all mass at one point.
    "rbeta(n, 0.5, 0.5)": lambda r, n: r.rbeta(n, 0.5, 0.5),
    "rbeta(n, 0.1, 3)": lambda r, n: r.rbeta(n, 0.1, 3),
    "rbeta(n, 5, 1)": lambda r, n: r.rbeta(n, 5, 1),
    "rbeta(n, 1e-310, 0.5)": lambda r, n: r.rbeta(n, 1e-310, 0.5),
    "rbeta(n, 1e-20, 1e-20)": lambda r, n: r.rbeta(n, 1e-20, 1e-20),
    "rbeta(n, 2, 3)": lambda r, n: r.rbeta(n, 2, 3),
    "rbeta(n, 1.0001, 1.0001)": lambda r, n: r.rbeta(n, 1.0001, 1.0001),
    "rbeta(n, 20, 4)": lambda r, n: r.rbeta(n, 20, 4),
    "rbeta(n, 1e200, 1e200)": lambda r, n: r.rbeta(n, 1e200, 1e200),
    "rbeta(n, 2, 1.7e308)": lambda r, n: r.rbeta(n, 2, 1.7e308),
    "rbeta(n, c(2, 0, 1, Inf, 0.3), c(0, 1, Inf, -1, 0.2, NaN, 7))": lambda r, n: r.rbeta(
        n, [2, 0, 1, INF, 0.3], [0, 1, INF, -1, 0.2, NAN, 7]
    ),
    # Ahrens & Dieter's PD, and inversion below a mean of 10.
    "rpois(n, 1e-10)": lambda r, n: r.rpois(n, 1e-10),
    "rpois(n, 3)": lambda r, n: r.rpois(n, 3),
    "rpois(n, 9.9999999)": lambda r, n: r.rpois(n, 9.9999999),
    "rpois(n, 10)": lambda r, n: r.rpois(n, 10),
    "rpois(n, 35.5)": lambda r, n: r.rpois(n, 35.5),
    "rpois(n, 1e5)": lambda r, n: r.rpois(n, 1e5),
    "rpois(n, 1e15)": lambda r, n: r.rpois(n, 1e15),
    "rpois(n, 1e300)": lambda r, n: r.rpois(n, 1e300),
    "rpois(n, c(0.5, 3, 9.9))": lambda r, n: r.rpois(n, [0.5, 3, 9.9]),
    "rpois(n, 30 * ((0:1236) / 1236))": lambda r, n: r.rpois(n, 30 * RAMP),
    "rpois(n, c(0.5, 30, 9.9, 0, 11, -1, Inf, NaN))": lambda r, n: r.rpois(
        n, [0.5, 30, 9.9, 0, 11, -1, INF, NAN]
    ),
    # Inversion below a mean of 30; BTPE with its regions, its squeeze, and R's overflow.
    "rbinom(n, 1, 0.3)": lambda r, n: r.rbinom(n, 1, 0.3),
    "rbinom(n, 10, 0.7)": lambda r, n: r.rbinom(n, 10, 0.7),
    "rbinom(n, 59, 0.5)": lambda r, n: r.rbinom(n, 59, 0.5),
    "rbinom(n, 60, 0.5)": lambda r, n: r.rbinom(n, 60, 0.5),
    "rbinom(n, 100, 0.31)": lambda r, n: r.rbinom(n, 100, 0.31),
    "rbinom(n, 1000, 0.9)": lambda r, n: r.rbinom(n, 1000, 0.9),
    "rbinom(n, 1e6, 1e-6)": lambda r, n: r.rbinom(n, 1e6, 1e-6),
    "rbinom(n, 1e6, 0.3)": lambda r, n: r.rbinom(n, 1e6, 0.3),
    "rbinom(n, 2147483646, 0.5)": lambda r, n: r.rbinom(n, 2147483646, 0.5),
    "rbinom(n, 2147483646, 1e-20)": lambda r, n: r.rbinom(n, 2147483646, 1e-20),
    "rbinom(n, 1, (0:1236) / 1236)": lambda r, n: r.rbinom(n, 1, RAMP),
    "rbinom(n, 100, (0:1236) / 1236)": lambda r, n: r.rbinom(n, 100, RAMP),
    "rbinom(n, c(10, 0, 2.5, -1, 40, Inf), c(0.2, 0.7, 0, 1, 1.5))": lambda r, n: r.rbinom(
        n, [10, 0, 2.5, -1, 40, INF], [0.2, 0.7, 0, 1, 1.5]
    ),
    # Single values for which R draws nothing.
    "rgamma(n, -1)": lambda r, n: r.rgamma(n, -1),
    "rchisq(n, Inf)": lambda r, n: r.rchisq(n, INF),
    "rt(n, 0)": lambda r, n: r.rt(n, 0),
    "rbeta(n, 0, 1)": lambda r, n: r.rbeta(n, 0, 1),
    "rbeta(n, 1, 0)": lambda r, n: r.rbeta(n, 1, 0),
    "rbeta(n, 0, Inf)": lambda r, n: r.rbeta(n, 0, INF),
    "rbeta(n, NaN, 1)": lambda r, n: r.rbeta(n, NAN, 1),
    "rpois(n, NaN)": lambda r, n: r.rpois(n, NAN),
    "rpois(n, Inf)": lambda r, n: r.rpois(n, INF),
    "rbinom(n, NaN, 0.5)": lambda r, n: r.rbinom(n, NAN, 0.5),
    "rbinom(n, 5, NaN)": lambda r, n: r.rbinom(n, 5, NAN),
    "rbinom(n, Inf, 0.5)": lambda r, n: r.rbinom(n, INF, 0.5),
    "rbinom(n, 2.5, 0.5)": lambda r, n: r.rbinom(n, 2.5, 0.5),
    "rbinom(n, -1, 0.5)": lambda r, n: r.rbinom(n, -1, 0.5),
    # One uniform or normal each; parameters for which R draws nothing.
    "rlnorm(n)": lambda r, n: r.rlnorm(n),
    "rlnorm(n, c(1, 700, -Inf, NaN), c(2, 30, 0, -1, Inf))": lambda r, n: r.rlnorm(
        n, [1, 700, -INF, NAN], [2, 30, 0, -1, INF]
    ),
    "rweibull(n, 2.5, 3)": lambda r, n: r.rweibull(n, 2.5, 3),
    "rweibull(n, c(0.001, 1, NaN, -1, Inf), c(1, 0, -2, 1e300))": lambda r, n: r.rweibull(
        n, [0.001, 1, NAN, -1, INF], [1, 0, -2, 1e300]
    ),
    "rlogis(n, 2, 3)": lambda r, n: r.rlogis(n, 2, 3),
    "rlogis(n, c(0, Inf, NaN), c(1, -2, 0, Inf))": lambda r, n: r.rlogis(
        n, [0, INF, NAN], [1, -2, 0, INF]
    ),
    "rcauchy(n, 2, 3)": lambda r, n: r.rcauchy(n, 2, 3),
    "rcauchy(n, c(0, Inf, NaN), c(1, -2, 0, Inf))": lambda r, n: r.rcauchy(
        n, [0, INF, NAN], [1, -2, 0, INF]
    ),
    # Quotients of gamma variates, and Poisson variates of random mean.
    "rf(n, 3, 7.5)": lambda r, n: r.rf(n, 3, 7.5),
    "rf(n, c(0.01, Inf, 4, -1), c(3, 0.01, Inf, 0, NaN))": lambda r, n: r.rf(
        n, [0.01, INF, 4, -1], [3, 0.01, INF, 0, NAN]
    ),
    "rgeom(n, 0.3)": lambda r, n: r.rgeom(n, 0.3),
    "rgeom(n, c(0.001, 1, 1e-12, 0, 1.5, NaN))": lambda r, n: r.rgeom(
        n, [0.001, 1, 1e-12, 0, 1.5, NAN]
    ),
    "rnbinom(n, 2.5, 0.4)": lambda r, n: r.rnbinom(n, 2.5, 0.4),
    "rnbinom(n, c(0.3, 100, 0, -1), c(0.01, 1, 0.9, 0, 1.1))": lambda r, n: r.rnbinom(
        n, [0.3, 100, 0, -1], [0.01, 1, 0.9, 0, 1.1]
    ),
    "rnbinom(n, 3, mu = 7)": lambda r, n: r.rnbinom(n, 3, mu=7),
    "rnbinom(n, c(0.5, Inf, 40), mu = c(0, 3, 1e4, -1, NaN))": lambda r, n: r.rnbinom(
        n, [0.5, INF, 40], mu=[0, 3, 1e4, -1, NAN]
    ),
    # Inversion and H2PE, with each colour rarer and fewer or more than half of the balls drawn.
    "rhyper(n, 5, 7, 4)": lambda r, n: r.rhyper(n, 5, 7, 4),
    "rhyper(n, 300, 200, 250)": lambda r, n: r.rhyper(n, 300, 200, 250),
    "rhyper(n, 20000, 50000, 3000)": lambda r, n: r.rhyper(n, 20000, 50000, 3000),
    "rhyper(n, 5e8, 1e9, 7e8)": lambda r, n: r.rhyper(n, 5e8, 1e9, 7e8),
    "rhyper(n, c(10, 90, 400, 70), c(80, 30, 0, 60, 900), c(9, 75, 40, 100, 110, 2))": (
        lambda r, n: r.rhyper(n, [10, 90, 400, 70], [80, 30, 0, 60, 900], [9, 75, 40, 100, 110, 2])
    ),
    "rhyper(n, c(3, -1, 2.4, Inf), c(4, 0, 1), c(0, 2, 9, NaN, 1))": lambda r, n: r.rhyper(
        n, [3, -1, 2.4, INF], [4, 0, 1], [0, 2, 9, NAN, 1]
    ),
    "rsignrank(n, 12)": lambda r, n: r.rsignrank(n, 12),
    "rsignrank(n, c(0, 3.5, -1, NaN, 100))": lambda r, n: r.rsignrank(n, [0, 3.5, -1, NAN, 100]),
    "rwilcox(n, 5, 9)": lambda r, n: r.rwilcox(n, 5, 9),
    "rwilcox(n, c(0, 4, 2.5, -1), c(3, 30, NaN))": lambda r, n: r.rwilcox(
        n, [0, 4, 2.5, -1], [3, 30, NAN]
    ),
    "rmultinom(n, 7, 1:4)": lambda r, n: r.rmultinom(n, 7, [1, 2, 3, 4]).ravel("F"),
    "rmultinom(n, 1000, c(0.1, 0, 0.3, 0.6, 0))": lambda r, n: r.rmultinom(
        n, 1000, [0.1, 0, 0.3, 0.6, 0]
    ).ravel("F"),
    "rmultinom(n, 0, 1)": lambda r, n: r.rmultinom(n, 0, [1]).ravel("F"),
    "rmultinom(n, 40, rep(1, 7) / 7)": lambda r, n: r.rmultinom(n, 40, np.full(7, 1 / 7)).ravel(
        "F"
    ),
}
SAMPLES: dict[str, Draw] = {
    "rwilcox(n %/% 10, 20, 30)": lambda r, n: r.rwilcox(n // 10, 20, 30),
    # Ties, whose order is that of R's heapsort.
    "unlist(lapply(2:60, function(k) sample(k, prob = 1:k %% 4 + 1)))": lambda r, _: np.concatenate(
        [r.sample(k, prob=np.arange(1, k + 1) % 4 + 1) for k in range(2, 61)]
    ),
    "sample(5, n, TRUE, 1:5)": lambda r, n: r.sample(5, n, True, range(1, 6)),
    "sample(5, 5, prob = 5:1)": lambda r, _: r.sample(5, 5, prob=[5, 4, 3, 2, 1]),
    "sample(c(2.5, -1, 7), n, TRUE, c(1, 0, 3))": lambda r, n: r.sample(
        [2.5, -1, 7], n, True, [1, 0, 3]
    ),
    "sample(11, 10, prob = c(5, 5, 1, 1, 1, 3, 3, 0, 2, 2, 5))": lambda r, _: r.sample(
        11, 10, prob=[5, 5, 1, 1, 1, 3, 3, 0, 2, 2, 5]
    ),
    "sample(300, prob = rep(1:3, 100))": lambda r, _: r.sample(300, prob=[1, 2, 3] * 100),
    "sample(2000, 900, prob = (1:2000)^3)": lambda r, _: r.sample(
        2000, 900, prob=np.arange(1.0, 2001) ** 3
    ),
    "sample(200, n, TRUE, 1:200)": lambda r, n: r.sample(200, n, True, range(1, 201)),
    "sample(201, n, TRUE, rep(1, 201))": lambda r, n: r.sample(201, n, True, [1] * 201),
    "sample(256, n, TRUE, rep(c(1, 3), 128))": lambda r, n: r.sample(256, n, True, [1, 3] * 128),
    "sample(1000, n, TRUE, 1:1000)": lambda r, n: r.sample(1000, n, True, range(1, 1001)),
    "sample(1000, n, TRUE, c(rep(1e-9, 800), rep(1, 200)))": lambda r, n: r.sample(
        1000, n, True, [1e-9] * 800 + [1] * 200
    ),
    "sample(70000, n, TRUE, 1:70000)": lambda r, n: r.sample(70000, n, True, range(1, 70001)),
    "sample(5.7)": lambda r, _: r.sample(5.7),
    "sample(1e5, n)": lambda r, n: r.sample(100_000, n),
    "sample(3e7, n)": lambda r, n: r.sample(30_000_000, n),
    "sample(2147483647, n, TRUE)": lambda r, n: r.sample(2147483647, n, True),
    "sample(2147483648, n, TRUE)": lambda r, n: r.sample(2147483648, n, True),
    "sample(4e15, n, TRUE)": lambda r, n: r.sample(4 * 10**15, n, True),
}
# The uniform 1 - 3.6e-8 is never reached, because each of 111 probabilities is rounded.
ENDLESS = "{runif(277420); rbinom(5, 2147483646, 6.0870967741935485e-09)}"


def endless(rng: RRandom, _: int) -> Any:
    rng.skip_unif(277_420)
    return rng.rbinom(5, 2147483646, 6.0870967741935485e-09)


DRAWS: dict[Key, Draw] = {
    **{(1, "Rejection", call): draw for call, draw in (CALLS | SAMPLES).items()},
    **{(1, "Rounding", call): draw for call, draw in SAMPLES.items()},
    (4, "Rejection", ENDLESS): endless,
}
NAMES = [f"{kind}: {call}" for _, kind, call in DRAWS]


def answer(key: Key, n: int, seed: int | None = None) -> dict[str, object]:
    """Return what `answer` of draws.R returns; `seed` replaces the seed of the key."""
    rng = RRandom(key[0] if seed is None else seed, key[1])
    x = np.asarray(DRAWS[key](rng, n), dtype="<f8")
    following = rng.runif(1)[0]
    md5 = hashlib.md5(np.where(np.isnan(x), -9, x).tobytes(), usedforsecurity=False)
    return {"first": x[0], "last": x[-1], "md5": md5.hexdigest(), "following": following}


@pytest.fixture(scope="module")
def answers() -> dict[Key, dict[str, object]]:
    """Return R's answers in draws.csv."""
    with RECORDED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (int(row["seed"]), row["sample_kind"], row["call"]): {
            "first": float(row["first"]),
            "last": float(row["last"]),
            "md5": row["md5"],
            "following": float(row["following"]),
        }
        for row in rows
    }


def test_exactly_these_calls_are_recorded(answers: dict[Key, dict[str, object]]) -> None:
    assert list(answers) == list(DRAWS)


@pytest.mark.filterwarnings("ignore:NaNs produced")
@pytest.mark.parametrize("key", DRAWS, ids=NAMES)
def test_draws_are_those_of_r(key: Key, answers: dict[Key, dict[str, object]]) -> None:
    np.testing.assert_equal(answer(key, N), answers[key])


@pytest.mark.live
@pytest.mark.filterwarnings("ignore:NaNs produced")
def test_draws_are_those_that_r_makes_now(answers: dict[Key, dict[str, object]]) -> None:
    with RSession(timeout=300) as session:

        def now(n: int, seed: int | None = None) -> list[dict[str, object]]:
            arguments = {
                "seed": [key[0] if seed is None else seed for key in DRAWS],
                "sample_kind": [key[1] for key in DRAWS],
                "call": [key[2] for key in DRAWS],
                "n": n,
            }
            return session.call(SCRIPT, "answers", arguments).value.to_dict("records")

        np.testing.assert_equal(dict(zip(DRAWS, now(N), strict=True)), answers)
        for seed in (0, -2147483647):
            for key, expected in zip(DRAWS, now(20_000, seed), strict=True):
                np.testing.assert_equal(answer(key, 20_000, seed), expected, err_msg=str(key))


def test_binomials_at_once_replace_a_uniform_that_gives_no_draw() -> None:
    at_once, singly = RRandom(4), RRandom(4)
    for rng in (at_once, singly):
        rng.skip_unif(277_400)
    args = (2147483646, 6.0870967741935485e-09)
    expected = [singly.rbinom(1, *args)[0] for _ in range(50)]
    assert at_once.rbinom(50, *args).tolist() == expected
    np.testing.assert_array_equal(at_once.state, singly.state)


def test_counts_are_integers_unless_one_is_nan_or_too_large() -> None:
    rng = RRandom(1)
    assert rng.rbinom(3, 5, 0.5).dtype == rng.rpois(3, 5).dtype == np.int64
    assert rng.rbinom(3, 5, [0, 1, 0.5]).dtype == rng.rbinom(0, 5, 0.5).dtype == np.int64
    assert rng.rpois(2, 1e15).dtype == np.int64
    assert rng.rpois(2, [1, 1e17]).dtype == np.float64
    with pytest.warns(RuntimeWarning, match="NaNs produced"):
        assert rng.rbinom(2, [5, 2.5], 0.5).dtype == np.float64


@pytest.mark.parametrize(
    "draw",
    [
        lambda r: r.runif(2, [0, 2], [1, 1]),
        lambda r: r.rnorm(2, sd=[1, -1]),
        lambda r: r.rexp(2, [1, -1]),
        lambda r: r.rgamma(2, [1, -1]),
        lambda r: r.rchisq(2, [1, INF]),
        lambda r: r.rt(2, [1, 0]),
        lambda r: r.rbeta(2, 1, [1, -1]),
        lambda r: r.rbinom(2, [3, 2.5], 0.5),
        lambda r: r.rpois(2, [1, NAN]),
        lambda r: r.rlnorm(2, sdlog=[1, -1]),
        lambda r: r.rweibull(2, [1, -1]),
        lambda r: r.rlogis(2, scale=[1, INF]),
        lambda r: r.rcauchy(2, scale=[1, -1]),
        lambda r: r.rf(2, 1, [1, -1]),
        lambda r: r.rgeom(2, [0.5, 0]),
        lambda r: r.rnbinom(2, 1, [0.5, 0]),
        lambda r: r.rhyper(2, 1, 1, [1, 3]),
        lambda r: r.rsignrank(2, [1, -1]),
        lambda r: r.rwilcox(2, [1, -1], 1),
    ],
)
def test_invalid_parameters_give_nan_and_a_warning_at_the_call(draw: Any) -> None:
    with pytest.warns(RuntimeWarning, match="NaNs produced") as caught:
        assert np.isnan(draw(RRandom(1))).tolist() == [False, True]
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "draw",
    [
        lambda r: r.rgamma(0, 1),
        lambda r: r.rchisq(0, [1, 2]),
        lambda r: r.rt(0, 1),
        lambda r: r.rbeta(0, 1, 2),
        lambda r: r.rbinom(0, 100, [0.1, 0.5]),
        lambda r: r.rpois(0, [1, 20]),
        lambda r: r.sample(3, 0, prob=[1, 1, 1]),
        lambda r: r.sample(300, 0, True, prob=[1] * 300),
        lambda r: r.rgamma(3, [0, INF, 1], scale=[1, 1, INF]),
        lambda r: r.rbinom(3, [5, 5, 0], [0, 1, 0.5]),
        lambda r: r.rbeta(3, [0, 1, INF], [1, 0, INF]),
        lambda r: r.rpois(40, 0),
    ],
)
def test_degenerate_draws_take_nothing_off_the_stream(draw: Any) -> None:
    rng = RRandom(1)
    draw(rng)
    np.testing.assert_array_equal(rng.state, RRandom(1).state)


def test_the_sample_kind_is_part_of_the_state() -> None:
    rng = RRandom(1, "Rounding")
    assert (rng.sample_kind, rng.state[0]) == ("Rounding", 403)
    first = rng.sample(100, 5)
    for other in (rng.copy(), RRandom.from_state(rng.state), pickle.loads(pickle.dumps(rng))):
        assert other.sample_kind == "Rounding"
        np.testing.assert_array_equal(other.sample(100), rng.copy().sample(100))
    rng.set_seed(1)
    np.testing.assert_array_equal(rng.sample(100, 5), first)
    np.testing.assert_array_equal(RRandom(1, "Rounding").runif(3), RRandom(1).runif(3))
    rng.state = RRandom(1).state
    assert rng.sample_kind == "Rejection"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.rgamma(1, 1, 2, scale=0.5), "a rate or a scale, not both"),
        (lambda r: r.rbinom(2, [5, 2**31 - 1], 0.5), "sizes up to 2147483646, not 2147483647"),
        (lambda r: r.rnbinom(1, 2), "either prob or mu"),
        (lambda r: r.rnbinom(1, 2, 0.5, mu=1), "either prob or mu"),
        (lambda r: r.rhyper(1, 2**31 - 1, 1, 1), "at most 2147483647 balls"),
        (lambda r: r.rmultinom(1, 3, [1, -1]), "negative, infinite or NaN values"),
        (lambda r: r.rmultinom(1, -3, [1, 1]), "size must be a whole number"),
        (lambda r: r.rpois(-1, 2), "n must be a whole number"),
        (lambda r: r.rbeta(1, "a", 2), "A parameter must be a number"),
        (lambda r: r.sample(3, prob=[1, 2]), "prob must be one number for each of the 3 elements"),
        (lambda r: r.sample(3, prob="abc"), "prob must be one number for each of the 3 elements"),
        (lambda r: r.sample(3, prob=[1, -1, 2]), "negative, infinite or NaN values"),
        (lambda r: r.sample(3, prob=[1, NAN, 2]), "negative, infinite or NaN values"),
        (lambda r: r.sample(3, prob=[1, INF, 2]), "negative, infinite or NaN values"),
        (
            lambda r: r.sample(3, prob=[1, 0, 2]),
            "A sample of 3 needs more than 2 positive values in prob",
        ),
        (
            lambda r: r.sample(2, 1, True, [0, 0]),
            "A sample of 1 needs more than 0 positive values in prob",
        ),
        (lambda r: r.sample(2, 3, prob=[1, 1]), "A sample of 3 cannot be drawn from 2"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    rng = RRandom(1)
    with pytest.raises(UsageError) as caught:
        call(rng)
    assert message in str(caught.value)
    np.testing.assert_array_equal(rng.state, RRandom(1).state)
