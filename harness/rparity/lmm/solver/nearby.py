"""Evaluations in a search that reuse those of a point nearby, where derivatives are costly.

Near its end, a search of a large crossed design moves by so little that the second derivatives of
log|V| and M stay the same to more digits than their estimates have: they are kept (the chord
method). The values after the last step follow from the derivatives before it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template
from rparity.lmm.solver.blocks import Blocks
from rparity.lmm.solver.crossed import Dense
from rparity.lmm.solver.deviance import Evaluation, assemble
from rparity.lmm.solver.structure import Derivatives, Moments, Smooth, Structure

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Steps, relative to the smallest standard deviation, after which second derivatives are kept, and
# after which values are expanded: rounding hides the error, as the slope is zero at the end.
KEPT, EXPANDED = 1e-3, 1e-6


class Nearby:
    """The last evaluation of each of R responses, with its θ; none for structures that are fast."""

    def __init__(self, structure: Structure, moments: Moments, *, reml: bool) -> None:
        self._structure = structure
        self._moments = moments
        self._reml = reml
        self._fast = isinstance(structure, Blocks | Dense)
        self._last: dict[int, tuple[Array, Smooth, Smooth]] = {}

    def take(self, index: Index) -> Nearby:
        """Select the responses `index`."""
        taken = Nearby(self._structure, self._moments.take(index), reml=self._reml)
        taken._last = {new: self._last[old] for new, old in enumerate(index) if old in self._last}
        return taken

    def evaluate(
        self, theta: Array, index: Index, derivatives: Derivatives = "search"
    ) -> Evaluation:
        """Evaluate the responses `index` at θ (len(index), m): see `deviance.evaluate`."""
        template, moments = self._structure.template, self._moments
        if self._fast:
            part = moments if len(index) == len(moments) else moments.take(index)
            V, M = self._structure.evaluate(theta, part, derivatives=derivatives)
        else:
            found = [self._one(*each, derivatives) for each in zip(theta, index, strict=True)]
            V, M = (Smooth.join(parts) for parts in zip(*found, strict=True))
        return assemble(template, V, M, reml=self._reml, derivatives=derivatives)

    def _one(self, theta: Array, r: int, derivatives: Derivatives) -> tuple[Smooth, Smooth]:
        """Evaluate log|V| and M of one response."""
        structure, template, known = self._structure, self._structure.template, self._last.get(r)
        step = np.inf if known is None else _distance(template, known[0], theta)
        if known is not None and derivatives == "none" and step <= EXPANDED:
            change = (theta - known[0])[None]
            return known[1].moved(change, template), known[2].moved(change, template)
        keep = known is not None and derivatives == "search" and step <= KEPT
        V, M = structure.evaluate(
            theta[None],
            self._moments.take(np.array([r])),
            derivatives="first" if keep else derivatives,
        )
        if keep and known is not None:
            V, M = replace(V, hessian=known[1].hessian), replace(M, hessian=known[2].hessian)
        if derivatives != "none":
            self._last[r] = theta, V, M
        return V, M


def _distance(template: Template, one: Array, other: Array) -> float:
    """Return how far θ is from another one, relative to the smallest standard deviation."""
    least = np.abs(one[template.diagonal]).min()
    return float(np.abs(other - one).max() / least) if least > 0.0 else np.inf
