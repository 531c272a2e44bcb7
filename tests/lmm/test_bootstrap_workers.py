"""Bootstraps have the same bits on any number of workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from few import mostly_slow
from lmm_recorded import frame
from rparity import RRandom, bootmer, document_data, lmer, pbmodcomp
from rparity.errors import UsageError, WorkerCrashedError
from rparity.lmm.bootstrap.bootmer import BootstrapResults
from rparity.lmm.bootstrap.simulation import BLOCK, Draws
from rparity.lmm.fit import LmerResults
from rparity.workers.cluster import Cluster, Outcome, cluster

# Blocks of 2,621 replicates for the document's 100 rows: three or four, the last one shorter.
THREE, FOUR = 5_500, 10_000


@pytest.fixture(scope="module")
def document() -> LmerResults:
    return lmer("y ~ x + (1 | p)", document_data(1))


def bits(boot: BootstrapResults) -> dict[str, bytes]:
    made = boot.replicates
    tables = {
        name: getattr(made, name)
        for name in ("params", "bse", "theta", "sigma", "criterion", "converged")
    }
    return {name: table.to_numpy().tobytes() for name, table in tables.items()}


def equals_without_workers(document: LmerResults, nsim: int, use_u: bool, workers: Cluster) -> bool:
    """Assert that results equal those without workers; return whether the streams end alike."""
    here, there = RRandom(5), RRandom(5)
    alone = bootmer(document, nsim, use_u, rng=here)
    spread = bootmer(document, nsim, use_u, rng=there, workers=workers)
    assert bits(spread) == bits(alone)
    assert list(spread.t.index) == list(alone.t.index)
    return there.state.tolist() == here.state.tolist()


@pytest.mark.parametrize("use_u", [False, True])
def test_two_workers_give_the_same_bits_and_end_of_the_stream(
    two_workers: Cluster, document: LmerResults, use_u: bool
) -> None:
    assert equals_without_workers(document, THREE, use_u, two_workers)


@pytest.mark.slow(reason="starts four workers, and has 40,000 replicates")
def test_four_workers_give_the_same_bits(document: LmerResults) -> None:
    with cluster(4) as four:
        assert equals_without_workers(document, FOUR, False, four)
        assert equals_without_workers(document, FOUR, True, four)


def test_workers_with_slopes_weights_and_an_older_refit(two_workers: Cluster) -> None:
    data = frame("holes")
    formula = "Reaction ~ Days + offset(known) + (Days | Subject)"
    fit = lmer(formula, data, weights=data["w"], lme4="1.1-31")
    nsim = BLOCK // fit.nobs + 3
    alone, spread = (
        bootmer(
            fit,
            nsim,
            rng=5,
            statistic=lambda replicates: replicates.varcorr,
            workers=where,
        )
        for where in (None, two_workers)
    )
    assert bits(spread) == bits(alone)
    pd.testing.assert_frame_equal(spread.t, alone.t, rtol=0, atol=0)


def test_a_bootstrap_test_has_the_same_bits_on_two_workers(
    two_workers: Cluster, document: LmerResults
) -> None:
    smaller = lmer("y ~ 1 + (1 | p)", document_data(1))
    alone, spread = (
        pbmodcomp(document, smaller, THREE, rng=5, workers=where) for where in (None, two_workers)
    )
    assert alone.reference.tobytes() == spread.reference.tobytes()
    assert alone.n_failed == spread.n_failed


@pytest.mark.parametrize("use_u", [False, True])
@pytest.mark.parametrize(
    "nsim",
    mostly_slow(
        [1, 2621, 2622, 400_000], lambda nsim: nsim < 400_000, "draws 44 million random numbers"
    ),
)
def test_parts_have_the_draws_of_the_whole_bootstrap(
    document: LmerResults, use_u: bool, nsim: int
) -> None:
    whole, split = (Draws.of(document.model, nsim, use_u=use_u, rng=RRandom(7)) for _ in range(2))
    parts = list(split.split())
    assert [part.first for part in parts] == list(
        np.cumsum([0, *(part.size for part in parts[:-1])])
    )
    assert sum(part.size for part in parts) == nsim
    block = BLOCK // document.nobs
    assert all(part.first % block == 0 for part in parts)  # the same blocks: the same bits
    last = parts[-1]
    whole.noise.skip_norm(document.model.n * last.first)
    np.testing.assert_array_equal(whole.noise.rnorm(3), last.noise.rnorm(3))
    if whole.effects is None:
        assert last.effects is None
    else:
        assert last.effects is not None
        whole.effects.skip_norm(document.model.q * last.first)
        np.testing.assert_array_equal(whole.effects.rnorm(3), last.effects.rnorm(3))


def test_zero_replicates_and_zero_workers_are_refused(document: LmerResults) -> None:
    with pytest.raises(UsageError, match="nsim must be a whole number of at least 1"):
        bootmer(document, 0, rng=1)
    with pytest.raises(UsageError, match="number of workers must be at least 1"):
        bootmer(document, 10, rng=1, workers=0)


def test_a_part_that_crashes_is_named_by_its_replicates(document: LmerResults) -> None:
    class Doomed(Cluster):
        def _outcomes(self, _task: Any, _shared: Any, items: Any, _limit: Any) -> Any:
            return (Outcome(item, error=WorkerCrashedError(f"{item} is lost.")) for item in items)

    with pytest.raises(
        WorkerCrashedError, match=r"^The bootstrap's part from replicate 1 to 10 is lost\.$"
    ):
        bootmer(document, 10, rng=1, workers=Doomed())
