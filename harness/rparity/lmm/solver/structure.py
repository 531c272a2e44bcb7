"""The interface between the deviance and the structures of random effects.

Notation of Bates et al. (2015): V = I + ZΛΛ'Z' is the covariance of the response over σ². All is in
working coordinates (`template.Working`): rows are weighted, and the columns of Z within a term are
orthogonal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.matrices.template import Template

Array = NDArray[np.float64]

# Which derivatives are computed: "search" allows estimates of the second ones of log|V|, to about
# two digits, which is enough for the steps of a search, and "first" allows zeros for all second
# ones. The others are exact. "none" gives zeros.
Derivatives = Literal["exact", "search", "first", "none"]


@dataclass(frozen=True)
class Smooth:
    """A function of θ for R responses: values (R, …), first and second derivatives.

    First derivatives are (R, m, …). Second derivatives of a structure are (R, pairs, …), for
    `Template.pairs`; those that the solver takes are square matrices (R, m, m).
    """

    @classmethod
    def join(cls, parts: Iterable[Smooth]) -> Smooth:
        """Concatenate the responses of several parts."""
        joined = zip(*((part.value, part.gradient, part.hessian) for part in parts), strict=True)
        return cls(*map(np.concatenate, joined))

    @classmethod
    def constant(cls, value: Array, template: Template) -> Smooth:
        """Return values (R, …) of a structure, whose derivatives are not asked for."""
        R, *shape = value.shape
        pairs = len(template.same_column)
        return cls(value, np.zeros((R, template.m, *shape)), np.zeros((R, pairs, *shape)))

    value: Array
    gradient: Array
    hessian: Array

    def moved(self, step: Array, template: Template) -> Smooth:
        """Return the values of a structure's function at θ + `step` (R, m), to second order."""
        i, j = template.pairs
        both = np.where(i == j, 0.5, 1.0) * step[:, i] * step[:, j]
        change = np.einsum("ri,ri...->r...", step, self.gradient)
        change += np.einsum("ri,ri...->r...", both, self.hessian)
        return Smooth.constant(self.value + change, template)

    def take(self, where: NDArray[np.bool_]) -> Smooth:
        """Select some responses."""
        return Smooth(self.value[where], self.gradient[where], self.hessian[where])

    def replaced(self, where: NDArray[np.bool_], new: Smooth) -> Smooth:
        """Return the function of R responses with that of some from `new`, also of R responses."""
        return Smooth(
            np.where(where, new.value, self.value),
            np.where(where[:, None], new.gradient, self.gradient),
            np.where(where[:, None, None], new.hessian, self.hessian),
        )


@dataclass(frozen=True)
class Moments:
    """A structure's reduction of R responses: arrays with one row for each response."""

    parts: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    def take(self, index: NDArray[np.intp]) -> Moments:
        """Select the responses `index`; those of `repeated` stay one response in memory."""
        if all(part.strides[0] == 0 for part in self.parts):
            return Moments(tuple(part[: len(index)] for part in self.parts))
        return Moments(tuple(part[index] for part in self.parts))

    def repeated(self, n: int) -> Moments:
        """Return the first response n times, without a copy."""
        return Moments(tuple(np.broadcast_to(part[0], (n, *part.shape[1:])) for part in self.parts))


@dataclass(frozen=True)
class Conditional:
    """Each term's random effects given the response: means (L, k), covariances / σ² (L, k, k)."""

    means: list[Array]
    covariances: list[Array]


class Structure(Protocol):
    """The random effects of a model, together with X (n, p) in its orthonormal basis."""

    template: Template

    @property
    def threaded(self) -> bool:
        """Whether it is so large that threads of BLAS save more time than they cost."""
        ...

    def moments(self, Y: Array) -> Moments:
        """Reduce responses Y (n, R) to the moments that `evaluate` needs."""
        ...

    def evaluate(
        self,
        theta: Array,
        moments: Moments,
        *,
        along: Array | None = None,
        derivatives: Derivatives = "exact",
    ) -> tuple[Smooth, Smooth]:
        """Return log|V| (R,) and M = [X y]'V⁻¹[X y] (R, p + 1, p + 1) at θ (R, m).

        With `along` N (k, k), block-diagonal, the derivatives are not those in θ but those of
        ΛΛ' + Σ_i τ_i (N_a N_b' + N_b N_a') in τ at zero, with N's columns a and b those of
        `template.rows` and `template.cols`: V is linear in these m parameters.
        """
        ...

    def conditional(self, theta: Array, residual: Array) -> Conditional:
        """Return the spherical random effects u, where b = Λu, at θ (m,) given y − Xβ (n,).

        Sources: Bates et al. (2015), eq. 56 to 58; R's `ranef(condVar = TRUE)`. The uncertainty of
        β is left out.
        """
        ...


Evaluate = Callable[[Array, Moments, Array | None, Derivatives], tuple[Smooth, Smooth]]


def in_batches(
    evaluate: Evaluate,
    theta: Array,
    moments: Moments,
    along: Array | None,
    derivatives: Derivatives,
    batch: int,
) -> tuple[Smooth, Smooth]:
    """Evaluate `batch` responses at a time, so that the arrays stay in the processor's cache."""
    if len(theta) <= batch:
        return evaluate(theta, moments, along, derivatives)
    parts = [
        evaluate(theta[at], moments.take(at), along, derivatives)
        for at in np.split(np.arange(len(theta)), range(batch, len(theta), batch))
    ]
    logdet, M = zip(*parts, strict=True)
    return Smooth.join(logdet), Smooth.join(M)


def bordered(XX: Array, Xy: Array, yy: Array) -> Array:
    """Build M (..., p + 1, p + 1) of its parts (p, p) or (..., p, p), (..., p) and (...)."""
    p = Xy.shape[-1]
    M = np.empty((*Xy.shape[:-1], p + 1, p + 1))
    M[..., :p, :p] = XX
    M[..., :p, p] = Xy
    M[..., p, :p] = Xy
    M[..., p, p] = yy
    return M
