"""Simulated responses, with R's draws, and their refits: in blocks that limit memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.arguments import count
from rparity.lmm.solver.model import LinearModel, Solution
from rparity.rrandom import RRandom
from rparity.workers.cluster import Here, Task, Workers, cluster

if TYPE_CHECKING:
    from rparity.lmm.fit import LmerResults

Array = NDArray[np.float64]
Shared = TypeVar("Shared")
Value = TypeVar("Value")

# Doubles in one block of simulated responses. A few such arrays fit the processor's cache, and
# memory does not grow with the number of replicates.
BLOCK = 2**18
# A part of the work has so many blocks, or fewer if there would be fewer parts than PARTS.
BLOCKS_A_PART = 8
PARTS = 16


@dataclass(frozen=True)
class Draws:
    """`size` replicates from number `first` (counted from 0) on, and R's streams at their draws.

    A replicate has q random effects and n errors. R draws all random effects first,
    `rnorm(q · nsim)`, then all errors, `rnorm(n · nsim)`. This is read as two streams, of which the
    second starts where the first ends. If the random effects are kept, or there are none, there is
    only the second. The errors do not depend on prior weights. If there are `residuals` (n,), the
    errors are samples of these, replicate by replicate.
    """

    n: int
    q: int
    first: int
    size: int
    effects: RRandom | None
    noise: RRandom
    residuals: Array | None = None

    @classmethod
    def of(
        cls,
        model: LinearModel,
        nsim: int,
        *,
        use_u: bool,
        rng: RRandom | int,
        residuals: Array | None = None,
    ) -> Draws:
        """Return all draws; if `rng` is a stream, making them moves it on as in R."""
        nsim = count(nsim, "nsim")
        noise = RRandom.of(rng)
        n, q = model.n, model.q
        if use_u or not q:
            return cls(n, q, 0, nsim, None, noise, residuals)
        effects = noise.copy()
        noise.skip_norm(q * nsim)
        return cls(n, q, 0, nsim, effects, noise)

    @property
    def block(self) -> int:
        """Number of replicates in a block."""
        return max(1, BLOCK // self.n)

    def split(self) -> Iterator[Draws]:
        """Yield the draws in parts, each with its streams at its first draw."""
        blocks = -(-self.size // self.block)
        step = self.block * min(max(blocks // PARTS, 1), BLOCKS_A_PART)
        for first in range(self.first, self.first + self.size, step):
            size = min(step, self.first + self.size - first)
            effects = self.effects and self.effects.copy()
            yield replace(self, first=first, size=size, effects=effects, noise=self.noise.copy())
            if self.effects is not None:
                self.effects.skip_norm(self.q * size)
            if self.residuals is None:
                self.noise.skip_norm(self.n * size)
            else:
                self._errors(size)

    def blocks(self) -> Iterator[tuple[Array | None, Array]]:
        """Yield standard normal random effects (R, q), or None, and errors (n, R) in blocks.

        The errors are standard normal, or else samples of residuals.
        """
        for first in range(0, self.size, self.block):
            R = min(self.block, self.size - first)
            u = None if self.effects is None else self.effects.rnorm(self.q * R).reshape(R, self.q)
            yield u, self._errors(R)

    def _errors(self, R: int) -> Array:
        if self.residuals is None:
            return self.noise.rnorm(self.n * R).reshape(R, self.n).T
        return np.array(
            [self.noise.sample(self.residuals, self.n, replace=True) for _ in range(R)]
        ).T

    def __str__(self) -> str:
        """Return the name of the part in messages about a crash."""
        return f"The bootstrap's part from replicate {self.first + 1} to {self.first + self.size}"


def skip_draws(fit: LmerResults, nsim: int, use_u: bool = False, *, rng: RRandom) -> None:
    """Move R's stream on as `bootmer` does, without a bootstrap."""
    rng.skip_norm((fit.model.n + (0 if use_u else fit.model.q)) * nsim)


def simulated(fit: LmerResults, draws: Draws) -> Iterator[Array]:
    """Yield deviations y − Xβ̂ − offset of simulated responses in blocks (n, R).

    Source: lme4's `simulate.merMod`.
    """
    model = fit.model
    if draws.effects is None:
        kept = model.spread([b[None] for b in fit.conditional.means])
    scales = model.template.blocks(fit.sigma * model.template.Lambda(fit.theta_hat))
    for u, e in draws.blocks():
        if u is None:
            Zb = kept
        else:
            parts = zip(model.arrange(u), scales, strict=True)
            Zb = model.spread([part @ scale.T for part, scale in parts])
        yield Zb + (fit.sigma * e if draws.residuals is None else e)


def refits(fit: LmerResults, deviations: Array, f: float | None = None) -> Solution:
    """Refit the model of a fit to responses √w (y − offset − Xβ₀), (n, R), all at once.

    `f` replaces the divisor of the criterion.
    """
    moments = fit.model.structure.moments(deviations)
    return fit.model.solve(moments, reml=fit.reml, start=fit.theta_hat, f=f)


def in_parts(
    task: Task[Shared, Draws, Value], shared: Shared, draws: Draws, workers: Workers
) -> list[Value]:
    """Return the values of `task(shared, part)` for all parts of the draws, in their order."""
    with cluster(workers) as pool:
        parts = [draws] if isinstance(pool, Here) else draws.split()
        outcomes = pool.map(task, shared, parts)
        values = {outcome.item.first: outcome.result() for outcome in outcomes}
    return [values[first] for first in sorted(values)]
