"""What the deviance needs of the random effects, whatever their structure.

Notation of Bates et al. (2015): V = I + ZΛΛ'Z' is the response's covariance in units of σ². All is
in working coordinates (`template.Working`): rows weighted, columns of Z orthogonal within a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.template import Template

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Smooth:
    """A function of θ for R responses: values (R, …), first derivatives (R, m, …) and second ones.

    A structure gives second derivatives for `Template.pairs` alone, (R, pairs, …); the solver wants
    square matrices (R, m, m).
    """

    value: Array
    gradient: Array
    hessian: Array


@dataclass(frozen=True)
class Moments:
    """What a structure keeps of R responses: arrays with one row a response."""

    parts: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    def take(self, index: NDArray[np.intp]) -> Moments:
        """Keep the responses `index`."""
        return Moments(tuple(part[index] for part in self.parts))


@dataclass(frozen=True)
class Conditional:
    """Of each term, given the response: means (L, k) and covariances (L, k, k) over σ²."""

    means: list[Array]
    covariances: list[Array]


class Structure(Protocol):
    """The random effects of a model, for a fixed-effects design X (n, p) in the working basis."""

    template: Template

    def moments(self, Y: Array) -> Moments:
        """Reduce responses Y (n, R) to what `evaluate` takes."""
        ...

    def evaluate(
        self, theta: Array, moments: Moments, *, along: Array | None = None
    ) -> tuple[Smooth, Smooth]:
        """log|V| (R,) and M = [X y]'V⁻¹[X y] (R, p + 1, p + 1) at θ (R, m), with derivatives.

        With `along` N (k, k), block-diagonal, the derivatives are not those in θ but those of
        ΛΛ' + Σ_i τ_i (N_a N_b' + N_b N_a') in τ at zero, with N's columns a and b those of
        `template.rows` and `template.cols`: V is linear in these m parameters.
        """
        ...

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """Spherical random effects u, where b = Λu, at θ (m,) given y − Xβ (n,).

        Sources: Bates et al. (2015), eq. 56 to 58; R's `ranef(condVar = TRUE)`, which leaves out
        the uncertainty of β.
        """
        ...


def bordered(XX: Array, Xy: Array, yy: Array) -> Array:
    """M (..., p + 1, p + 1) from its parts (p, p) or (..., p, p), (..., p) and (...)."""
    p = Xy.shape[-1]
    M = np.empty((*Xy.shape[:-1], p + 1, p + 1))
    M[..., :p, :p] = XX
    M[..., :p, p] = Xy
    M[..., p, :p] = Xy
    M[..., p, p] = yy
    return M
