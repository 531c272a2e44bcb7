"""R's streams equal, bit for bit, numbers that R 4.2.2 printed with %.17g."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest

from rparity.cases.streams import KINDS, stream_tables
from rparity.errors import UsageError
from rparity.rrandom import (
    RRandom,
    arrays,
    exponential,
    generator,
    indices,
    source,
    stream,
    weighted,
)
from rparity.rrandom.normal import quantile, quantiles

# After set.seed(1): the call, R's answer, and the runif(1) that follows.
KNOWN = {
    "runif(3)": (
        lambda r: r.runif(3),
        [0.26550866314209998, 0.37212389963679016, 0.57285336335189641],
        0.90820778999477625,
    ),
    "rnorm(5)": (
        lambda r: r.rnorm(5),
        [
            -0.62645381074233242,
            0.18364332422208224,
            -0.83562861241004716,
            1.5952808021377916,
            0.32950777181536051,
        ],
        0.20597457489930093,
    ),
    "rexp(5)": (
        lambda r: r.rexp(5),
        [
            0.75518183312834519,
            1.181642779107106,
            0.14570672670379281,
            0.13979526186849781,
            0.43606862577917466,
        ],
        0.061786270467564464,
    ),
    "last of rexp(1e5)": (
        lambda r: r.rexp(100_000)[-1:],
        [1.5237674120020543],
        0.51842615893110633,
    ),
    "sample(10)": (
        lambda r: r.sample(10),
        [9, 4, 7, 1, 2, 5, 3, 10, 6, 8],
        0.20597457489930093,
    ),
    "sample(5, 3, TRUE)": (
        lambda r: r.sample(5, 3, replace=True),
        [1, 4, 1],
        0.2016819310374558,
    ),
    "last of sample(3, 1e5, TRUE)": (
        lambda r: r.sample(3, 100_000, replace=True)[-3:],
        [2, 2, 1],
        0.65741736977361143,
    ),
    "sample(1e6, 4, TRUE)": (
        lambda r: r.sample(1_000_000, 4, replace=True),
        [548676, 452737, 124413, 436523],
        0.62911404389888048,
    ),
    "sample(65536, 3, TRUE): 16 bits take two uniforms": (
        lambda r: r.sample(65536, 3, replace=True),
        [24388, 59521, 58877],
        0.94467526860535145,
    ),
    "sample(5e9, 3, TRUE): more than 32 bits": (
        lambda r: r.sample(5_000_000_000, 3, replace=True),
        [1598263975, 866248189, 2838143246],
        0.061786270467564464,
    ),
    "sample(3e7, 4): hashing": (
        lambda r: r.sample(30_000_000, 4),
        [10938497, 27387389, 17633234, 12201267],
        0.68702284665778279,
    ),
    "last of two sample(10000019, 20000): hashing with duplicates": (
        lambda r: [r.sample(10_000_019, 20_000), r.sample(10_000_019, 20_000)][1][-1:],
        [7648366],
        0.42464384250342846,
    ),
    "last of sample(1e5)": (
        lambda r: r.sample(100_000)[-3:],
        [48621, 94272, 51717],
        0.66966379922814667,
    ),
    "rnorm, sd 0 draws nothing": (
        lambda r: r.rnorm(6, [0, 10, -5], [1, 0]),
        [-0.62645381074233242, 10, -4.8163566757779179, 0, 9.1643713875899522, -5],
        0.94467526860535145,
    ),
    "rnorm, invalid": (
        lambda r: r.rnorm(4, [math.inf, 0, math.nan, 0], [1, -1, 1, math.inf]),
        [math.inf, math.nan, math.nan, math.nan],
        0.26550866314209998,
    ),
    "runif, min = max draws nothing": (
        lambda r: r.runif(4, [0, 2], [1, 2, 5]),
        [0.26550866314209998, 2, 1.8606194981839508, math.nan],
        0.57285336335189641,
    ),
    "rexp, rate Inf draws nothing": (
        lambda r: r.rexp(4, [1, math.inf, 10]),
        [0.75518183312834519, 0, 0.1181642779107106, 0.14570672670379281],
        0.90820778999477625,
    ),
}

DRAWS = {
    "runif": lambda r, n: r.runif(n),
    "rnorm": lambda r, n: r.rnorm(n),
    "rexp": lambda r, n: r.rexp(n),
    "rgamma": lambda r, n: r.rgamma(n, 2.5),
    "rt": lambda r, n: r.rt(n, 1.5),
    "rbeta": lambda r, n: r.rbeta(n, 0.5, 3),
    "rpois": lambda r, n: r.rpois(n, 5),
    "rpois, rejection": lambda r, n: r.rpois(n, 25),
    "rbinom": lambda r, n: r.rbinom(n, 10, 0.3),
    "rbinom, rejection": lambda r, n: r.rbinom(n, 100, 0.5),
    "sample": lambda r, n: r.sample(99_991, n, replace=True),
    "sample, search": lambda r, n: r.sample(9, n, replace=True, prob=range(9)),
    "sample, aliases": lambda r, n: r.sample(300, n, replace=True, prob=range(300)),
}


@pytest.mark.filterwarnings("ignore:NaNs produced")
@pytest.mark.parametrize("call", KNOWN)
def test_draws_are_those_of_r(call):
    draw, values, following = KNOWN[call]
    rng = RRandom(1)
    np.testing.assert_array_equal(draw(rng), values)
    assert rng.runif(1)[0] == following


@pytest.mark.parametrize(
    ("seed", "first"),
    [(-2147483647, 0.56201667874120176), (2147483647, 0.68966742674820125)],
)
def test_the_outermost_seeds(seed, first):
    assert RRandom(seed).runif(1)[0] == first


def test_set_seed_zero_restarts_the_stream():
    rng = RRandom(5)
    rng.rnorm(17)
    rng.set_seed(np.int64(0))
    assert rng.rnorm(1)[0] == 1.2629542848807933


def test_quantiles_of_the_far_tails():
    p = np.array([1e-12, 2.0**-60, 1 - 2.0**-53, 0.925, 0.075, 1e-3, 1.0, 0.5])
    z = np.empty_like(p)
    quantiles(p, z, np.empty((3, p.size)))
    expected = [-7.0344838253011321, -8.7733211690275521, 8.2095361516013856]
    expected += [1.4395314709384559, -1.4395314709384557, -3.0902323061678132, math.inf, 0]
    assert z.tolist() == expected
    assert [quantile(value) for value in p.tolist()] == expected


def test_logarithms_are_those_of_the_c_library():
    # At these draws numpy's logarithm under AVX-512 changes the last bit.
    z = RRandom(1).rnorm(80_000)[[302, 51491, 56987, 76832]].tolist()
    assert z == [1.9713373862241517, 1.8209109469299485, -1.9199496518528021, -1.5567546905618199]


class FixedWords:
    """A stand-in for numpy's generator that returns given words."""

    def __init__(self, *words):
        self.words = list(words)

    def random_raw(self, n=None):
        if n is None:
            return self.words.pop(0)
        return np.array([self.words.pop(0) for _ in range(n)], dtype=np.uint64)


def test_the_smallest_and_largest_words_stay_inside_the_unit_interval():
    def of_raw(*words):
        rng = RRandom(1)
        rng._words = FixedWords(*words)
        return rng

    assert of_raw(0).runif(1)[0] == 0.5 * 2.328306437080797e-10
    assert of_raw(2**32 - 1).runif(1)[0] == 1 - 2.0**-32
    # The second uniform of a normal is never 0 either: R's qnorm(0.5 * 2.328...e-10 / 2^27).
    assert of_raw(0, 0).rnorm(1)[0] == -8.7733211690013437


def test_many_exponentials_equal_those_drawn_one_by_one():
    n = 40_000
    uniform = iter(RRandom(3).runif(4 * n).tolist()).__next__
    one_by_one = [exponential.one_exponential(uniform) for _ in range(n)]
    assert RRandom(3).rexp(n).tolist() == one_by_one


@pytest.mark.parametrize("end", [97, 100, 130, 153, 155])
def test_exponentials_from_powers_of_two_and_from_many_uniforms(end):
    # 0.5 and 0.25 reach 1 without exceeding it; 1 - 2^-32 needs all further uniforms but one.
    u = [0.5, *[0.9] * 20, 0.25, *[0.8] * 20, 1 - 2.0**-32, *[0.7] * 30, 0.6, 2.0**-33, *[0.3] * 40]
    u = (u + [0.99] * 40)[:end]
    values, used = exponential.exponentials_from(np.array(u))
    uniform = iter(u)
    one_by_one = [exponential.one_exponential(uniform.__next__) for _ in values]
    assert values.tolist() == one_by_one
    assert len(u) - len(list(uniform)) == used


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("pieces", [(1, 2, 3, 0, 94), (16_383, 2, 16_385, 1), (40_000, 5)])
def test_draws_in_pieces_equal_draws_at_once(kind, pieces):
    whole, parts = RRandom(42), RRandom(42)
    at_once = DRAWS[kind](whole, sum(pieces))
    np.testing.assert_array_equal(np.concatenate([DRAWS[kind](parts, n) for n in pieces]), at_once)
    np.testing.assert_array_equal(parts.state, whole.state)


def test_results_do_not_depend_on_the_block_size(monkeypatch):
    def draw():
        rng = RRandom(2022)
        return [DRAWS[k](rng, 1000) for k in DRAWS] + [rng.sample(5000), rng.state]

    expected = draw()
    for module in (arrays, exponential, generator, indices, source, stream, weighted):
        monkeypatch.setattr(module, "BLOCK", 7)
    for got, want in zip(draw(), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("n", [0, 1, 623, 624, 625, 100_001])
def test_skipping_moves_the_stream_as_drawing_does(n):
    drawn, skipped = RRandom(7), RRandom(7)
    drawn.runif(n)
    skipped.skip_unif(n)
    np.testing.assert_array_equal(skipped.state, drawn.state)
    drawn.rnorm(n)
    skipped.skip_norm(n)
    np.testing.assert_array_equal(skipped.state, drawn.state)
    assert skipped.rexp(1) == drawn.rexp(1)


def test_the_state_is_random_seed_of_r():
    rng = RRandom(1)
    state = rng.state
    assert (state.dtype, state.shape) == (np.int32, (626,))
    assert state[[0, 1, 2, 3, -1]].tolist() == [10403, 624, -169270483, -442010614, -689249108]
    rng.runif(1)
    state = rng.state
    assert state[[0, 1, 2, 3, -1]].tolist() == [10403, 1, 1654269195, -1877109783, 1450597184]


def test_state_round_trip():
    rng = RRandom(9)
    rng.rexp(1000)
    for other in (
        RRandom.from_state(rng.state),
        RRandom.from_state(rng.state.tolist()),
        RRandom.from_state(np.r_[rng.state[:2], rng.state[2:].view(np.uint32).astype(np.int64)]),
        rng.copy(),
        pickle.loads(pickle.dumps(rng)),
    ):
        np.testing.assert_array_equal(other.state, rng.state)
    copy = rng.copy()
    expected = rng.rnorm(3)
    assert not np.array_equal(copy.state, rng.state)
    np.testing.assert_array_equal(copy.rnorm(3), expected)


def test_parameters_are_recycled():
    z = RRandom(1).rnorm(7)
    got = RRandom(1).rnorm(7, mean=[1, 2, 3], sd=np.array([2, 0.5]))
    mean, sd = np.array([1.0, 2, 3, 1, 2, 3, 1]), np.array([2, 0.5, 2, 0.5, 2, 0.5, 2])
    np.testing.assert_array_equal(got, mean + sd * z)
    np.testing.assert_array_equal(RRandom(1).rnorm(7, range(100)), np.arange(7) + z)
    np.testing.assert_array_equal(RRandom(1).rexp(2, [2, 4]), RRandom(1).rexp(2) * [0.5, 0.25])
    with pytest.warns(RuntimeWarning, match="NaNs produced"):
        assert np.isnan(RRandom(1).runif(2, max=[])).all()


def test_sample_from_elements():
    letters = np.array(list("abcdefghij"))
    assert "".join(RRandom(1).sample(letters)) == "idgabecjfh"
    assert RRandom(1).sample([2.5, 3.5], 4, replace=True).dtype == np.float64
    assert RRandom(1).sample(10).dtype == np.int64
    assert RRandom(1).sample([5]).tolist() == [5]
    assert RRandom(1).sample([], 0).size == 0
    assert sorted(RRandom(1).sample(1000).tolist()) == list(range(1, 1001))


@pytest.mark.parametrize("draw", ["runif", "rnorm", "rexp"])
def test_no_draws(draw):
    rng = RRandom(1)
    assert getattr(rng, draw)(0).shape == (0,)
    assert rng.sample(5, 0).shape == (0,)
    np.testing.assert_array_equal(rng.state, RRandom(1).state)


# streams(c(1, -2147483647), 20000) of r_scripts/streams.R.
STREAMS = """
runif 1 0.26550866314209998 0.11131751560606062 64072134332930 2610479661923 422926998046011
runif -2147483647 0.56201667874120176 0.11776941595599055 63960528645605 2620139952918 415839429791939
rnorm 1 -0.62645381074233242 0.50415903365439574 86099820297740 5245705134257 413241302890200
rnorm -2147483647 0.15608420969590059 1.375025869326558 85671138567716 5241102540823 418102889485285
rexp 1 0.75518183312834519 0.37002448970451951 64252329742746 3913068080407 409831066605283
rexp -2147483647 0.12403335748240352 1.8596373143697027 64191096017040 3906908681899 427347434433143
sample 1 548676 221061 21840239746222 2594677790750 403081077358545
sample -2147483647 37724 308935 21840409724182 2597115704872 413434508781637
permutation 1 17401 16519 21722123879424 2567197974080 420262752881219
permutation -2147483647 4065 2678 21722123879424 2578331186176 423364964344454
rbinom 1 299979 24 387702907540 2027916960 418394653344452
rbinom -2147483647 300169 34 387707512810 2048852548 421880204816750
rpois 1 999373 999804 372533887736 1528849748 413795197317646
rpois -2147483647 1000156 999276 375773128050 1554166384 421880204816928
rgamma 1 1.3092168184787499e-12 0.16602434110494294 1296132960812 10716037835 413795197318540
rgamma -2147483647 4.2699396635170187e-06 0.074145862600506499 1247480449787 10435357905 421880204817832
rchisq 1 0.00041406663139373768 82.066403071039545 1275207668187 10391693418 413795197318696
rchisq -2147483647 0.061405455043811813 81.904664730020471 1264637777436 10300810147 421880204817816
rt 1 -0.59472348166880806 -0.2470782304073765 1720374238952 10450639280 428803793290587
rt -2147483647 0.25188255845513091 -0.35775662035860101 1692651118187 10604435953 421978150732979
rbeta 1 0.89666064808934798 0.94671602820285261 1310068596796 11402456908 428803793289725
rbeta -2147483647 0.87434122992791397 0.95020932338119346 1287299728177 11219744016 421880204817924
sample_prob 1 43 214 1187991072768 30559744000 428803793290095
sample_prob -2147483647 33 181 1187934543872 29898850304 421978150732657
sample_rounding 1 265509 978 1301862243576 40848916220 413795197308604
sample_rounding -2147483647 562017 515 1301865843670 42201419812 421880204807868
"""  # noqa: E501


def test_stream_tables_are_those_of_r():
    columns = ["first", "last", "checksum", "position_checksum", "state_checksum"]
    lines = [line.split() for line in STREAMS.split("\n") if line]
    tables = stream_tables([1, -2147483647], 20_000)
    assert list(tables) == list(KINDS) == list(dict.fromkeys(name for name, *_ in lines))
    for kind, table in tables.items():
        rows = {seed: list(map(float, row)) for name, seed, *row in lines if name == kind}
        expected = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        pd.testing.assert_frame_equal(table, expected, check_exact=True)


STATE = RRandom(1).state


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: RRandom(2**31), "The seed 2147483648 is not an integer"),
        (lambda _: RRandom(-(2**31)), "The seed -2147483648 is not"),
        (lambda _: RRandom(1.5), "The seed 1.5 is not"),
        (lambda r: r.set_seed("one"), "The seed 'one' is not"),
        (lambda r: r.runif(-1), "n must be a whole number of at least 0, not -1"),
        (lambda r: r.rnorm(2.0), "n must be a whole number of at least 0, not 2.0"),
        (lambda r: r.rnorm(2, "a"), "A parameter must be a number"),
        (lambda r: r.rexp(2, [[1.0]]), "A parameter must be a number"),
        (lambda r: r.skip_unif(-3), "n must be a whole number"),
        (lambda r: r.sample(5, 6), "A sample of 6 cannot be drawn from 5"),
        (lambda r: r.sample([], 1, replace=True), "A sample of 1 cannot be drawn from 0"),
        (lambda r: r.sample(0), "from 1 to 4.5e15 or a sequence, not 0"),
        (lambda r: r.sample(10**16, 1), "from 1 to 4.5e15"),
        (lambda r: r.sample(0.5), "from 1 to 4.5e15 or a sequence, not 0.5"),
        (lambda r: r.sample(math.nan), "from 1 to 4.5e15 or a sequence, not nan"),
        (lambda r: r.sample("a"), "from 1 to 4.5e15 or a sequence, not 'a'"),
        (lambda r: r.sample(np.eye(2)), "one dimension, not 2 dimensions"),
        (lambda r: r.sample(5, -1), "size must be a whole number"),
        (lambda _: RRandom.from_state(STATE[:-1]), "626 integers; this one has shape"),
        (lambda _: RRandom.from_state(STATE.astype(float)), "and type float64"),
        (lambda _: RRandom.from_state(np.r_[10407, STATE[1:]]), "A state of kind 10407"),
        (lambda _: RRandom(1, "rounding"), '"Rejection" or "Rounding", not \'rounding\''),
        (lambda _: RRandom.from_state(np.r_[10403, 625, STATE[2:]]), "must be 1 to 624, not 625"),
        (lambda _: RRandom.from_state(np.r_[10403, 0, STATE[2:]]), "must be 1 to 624, not 0"),
        (lambda _: RRandom.from_state(np.r_[10403, 1, STATE[2:] * 0]), "not all of them zero"),
        (lambda _: RRandom.from_state([10403, 1, 2**40, *STATE[3:]]), "32-bit"),
        (lambda _: stream_tables([1], 0), "exact for 1 to"),
    ],
)
def test_errors(call, message):
    with pytest.raises(UsageError) as caught:
        call(RRandom(1))
    assert message in str(caught.value)


def test_an_invalid_state_leaves_the_stream_unchanged():
    rng = RRandom(1)
    with pytest.raises(UsageError):
        rng.state = np.zeros(626, dtype=np.int32)
    np.testing.assert_array_equal(rng.state, STATE)
