"""The algebra of one grouping factor: log|V| and [X y]'V⁻¹[X y] with their derivatives in θ, for many responses.

Notation of Bates et al. (2015): V = I + ZΛΛ'Z' is the response's covariance in units of σ², and
Λ = diag(Λ_θ, …, Λ_θ) repeats one k × k lower triangle for every level of the factor.

For the level j with covariates Z_j = Q_j T_j (thin QR) the inverse splits without cancellation into
what lies outside the span of Q_j and what lies inside it,

    V_j⁻¹ = (I − Q_j Q_j') + Q_j C_j Q_j',    C_j = (I + T_j Λ_θ Λ_θ' T_j')⁻¹,

so that a variance ratio of 10⁴ costs no digits, where Z'Z-based formulas would lose four. Levels
with the same T_j share C_j, hence all sums over levels are kept per class of levels: a balanced
design has a single class, whatever the number of its levels and responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from harness.lmm.matrices import RandomTerm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Template:
    """Where the elements of θ stand in the k × k triangle Λ_θ; several terms make diagonal blocks."""

    k: int
    rows: NDArray[np.intp]
    cols: NDArray[np.intp]

    @classmethod
    def of(cls, widths: Sequence[int]) -> Template:
        """Lay out one lower triangle a term, column by column as lme4 orders θ."""
        rows, cols, start = [], [], 0
        for width in widths:
            for col in range(width):
                for row in range(col, width):
                    rows.append(start + row)
                    cols.append(start + col)
            start += width
        return cls(start, np.array(rows, dtype=np.intp), np.array(cols, dtype=np.intp))

    @property
    def diagonal(self) -> NDArray[np.bool_]:
        """Which elements of θ are standard deviations, bounded below by zero."""
        return self.rows == self.cols

    def start(self) -> Array:
        """Return lme4's starting value: the identity, of shape (m,)."""
        return self.diagonal.astype(np.float64)

    def Lambda(self, theta: Array) -> Array:
        """Λ_θ of shape (..., k, k) for θ of shape (..., m)."""
        out = np.zeros((*theta.shape[:-1], self.k, self.k))
        out[..., self.rows, self.cols] = theta
        return out

    def canonical(self, theta: Array) -> Array:
        """Flip the columns of Λ_θ whose diagonal is negative; ΛΛ' and so the criterion stay as they are."""
        sign = np.ones((*theta.shape[:-1], self.k))
        on = self.diagonal
        sign[..., self.cols[on]] = np.where(theta[..., on] < 0, -1.0, 1.0)
        return theta * sign[..., self.cols] + 0.0  # + 0.0 turns -0.0 into 0.0


@dataclass(frozen=True)
class Smooth:
    """A function of θ for R responses with its derivatives: (R, …), (R, m, …), (R, m, m, …)."""

    value: Array
    gradient: Array
    hessian: Array


@dataclass(frozen=True)
class Moments:
    """What a structure needs of a batch of R responses; all the sums over rows are in here.

    `outside_Xy` (R, p) and `outside_yy` (R,): products outside the span of Z. `Xy` (R, K, p) and
    `yy` (R, K): products inside it, to be weighed by what depends on θ.
    """

    outside_Xy: Array
    outside_yy: Array
    Xy: Array
    yy: Array

    def __len__(self) -> int:
        return len(self.outside_yy)

    def take(self, index: NDArray[np.intp]) -> Moments:
        """Keep the responses `index`."""
        return Moments(
            self.outside_Xy[index], self.outside_yy[index], self.Xy[index], self.yy[index]
        )


class Structure(Protocol):
    """The random effects of a model, for a fixed-effects design X (n, p) in the working basis."""

    template: Template

    @property
    def q(self) -> int:
        """Number of random effects."""
        ...

    def moments(self, Y: Array) -> Moments:
        """Reduce responses Y (n, R); everything afterwards is free of n."""
        ...

    def evaluate(self, theta: Array, moments: Moments) -> tuple[Smooth, Smooth]:
        """log|V| (R,) and M = [X y]'V⁻¹[X y] (R, p + 1, p + 1) at θ (R, m), with derivatives."""
        ...

    def conditional(self, theta: Array, residual: Array) -> tuple[Array, Array]:
        """Conditional means b̂ of the random effects given y − Xβ (n,), and covariances over σ²."""
        ...

    def arrange(self, u: Array) -> Array:
        """Draws (R, q) in lme4's order, in the shape that `spread` takes."""
        ...

    def spread(self, b: Array) -> Array:
        """Zb (n, R) for random effects of R responses."""
        ...


@dataclass(frozen=True)
class Covariance:
    """log|V| with gradient and Hessian in θ, and C with its first and second derivatives.

    Shapes: `logdet` (R,), `logdet_d` (R, m), `logdet_dd` (R, m, m); `C` (R, K), `C_d` (R, m, K),
    `C_dd` (R, m, m, K).
    """

    logdet: Array
    logdet_d: Array
    logdet_dd: Array
    C: Array
    C_d: Array
    C_dd: Array


class OneFactor:
    """The random effects of one grouping factor, for a design matrix X (n, p) in the working basis."""

    def __init__(self, terms: Sequence[RandomTerm], X: Array, sqrt_weights: Array) -> None:
        self.codes = terms[0].codes
        self.n_levels = len(terms[0].levels)
        self._widths = [term.Z.shape[1] for term in terms]
        self.template = Template.of(self._widths)
        self.Z = np.hstack([term.Z for term in terms]) * sqrt_weights[:, None]
        k = self.template.k
        self.T, self._Q = _group_qr(self.Z, self.codes, self.n_levels)
        self._Qt = self._Q.T.tocsr()

        self.inside_X = (self._Qt @ X).reshape(self.n_levels, k, -1)
        self.outside_X = X - self._Q @ self.inside_X.reshape(self.n_levels * k, -1)
        self.outside_XX = self.outside_X.T @ self.outside_X

        # Classes of levels that share T'T, hence C.
        products = (self.Z[:, :, None] * self.Z[:, None, :]).reshape(len(self.Z), -1)
        gram = np.stack(
            [np.bincount(self.codes, column, self.n_levels) for column in products.T], axis=1
        )
        _, first, self._class = np.unique(gram, axis=0, return_index=True, return_inverse=True)
        self._class = self._class.reshape(-1)
        self._counts = np.bincount(self._class).astype(np.float64)
        self._T_class = self.T[first]
        # Every level of a class must be seen through the same T: T_j = O_j T_class with O_j orthogonal,
        # and thin QR with a positive diagonal makes O_j the identity.
        self._member = sp.csr_array(
            (np.ones(self.n_levels), (self._class, np.arange(self.n_levels)))
        )
        pairs = np.einsum("jap,jbq->jabpq", self.inside_X, self.inside_X)
        self.XX = (self._member @ pairs.reshape(self.n_levels, -1)).reshape(
            len(first) * k * k, *self.outside_XX.shape
        )

    @property
    def q(self) -> int:
        """Number of random effects."""
        return self.n_levels * self.template.k

    def moments(self, Y: Array) -> Moments:
        """Reduce responses Y (n, R) to their `Moments`; everything afterwards is free of n."""
        R, k = Y.shape[1], self.template.k
        g = self._Qt @ Y
        outside = Y - self._Q @ g
        inside = g.reshape(self.n_levels, k, R)
        Xy = np.einsum("jap,jbr->jabpr", self.inside_X, inside).reshape(self.n_levels, -1)
        yy = np.einsum("jar,jbr->jabr", inside, inside).reshape(self.n_levels, -1)
        K, p = self.XX.shape[:2]
        return Moments(
            outside_Xy=outside.T @ self.outside_X,
            outside_yy=np.einsum("ir,ir->r", outside, outside),
            Xy=np.moveaxis((self._member @ Xy).reshape(K, p, R), 2, 0).copy(),
            yy=(self._member @ yy).reshape(K, R).T.copy(),
        )

    def covariance(self, theta: Array) -> Covariance:
        """Evaluate log|V| and C at θ (R, m), with exact derivatives."""
        k, m = self.template.k, len(self.template.rows)
        R, U = len(theta), len(self._counts)
        # B = TΛ; its derivative in θ_i is column `cols[i]` holding column `rows[i]` of T.
        B = self._T_class @ self.template.Lambda(theta)[:, None]
        dB = np.zeros((m, U, k, k))
        for i, (row, col) in enumerate(zip(self.template.rows, self.template.cols, strict=True)):
            dB[i, :, :, col] = self._T_class[:, :, row]
        P = B @ np.swapaxes(B, -1, -2) + np.eye(k)
        L = np.linalg.cholesky(P)
        C = np.linalg.inv(P)
        logdet = 2.0 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(-1) @ self._counts

        dBBt = dB[:, None] @ np.swapaxes(B, -1, -2)  # (m, R, U, k, k)
        dP = dBBt + np.swapaxes(dBBt, -1, -2)
        CdP = C @ dP
        logdet_d = (np.trace(CdP, axis1=-2, axis2=-1) @ self._counts).T
        C_d = -CdP @ C
        logdet_dd = np.empty((R, m, m))
        C_dd = np.empty((R, m, m, U, k, k))
        for i in range(m):
            for j in range(i + 1):
                ddP = dB[i] @ np.swapaxes(dB[j], -1, -2)
                ddP = ddP + np.swapaxes(ddP, -1, -2)  # (U, k, k), free of θ
                CddP = C @ ddP
                both = CdP[i] @ CdP[j]
                logdet_dd[:, i, j] = (
                    np.trace(CddP, axis1=-2, axis2=-1) - np.trace(both, axis1=-2, axis2=-1)
                ) @ self._counts
                half = both @ C
                C_dd[:, i, j] = half + np.swapaxes(half, -1, -2) - CddP @ C
                logdet_dd[:, j, i] = logdet_dd[:, i, j]
                C_dd[:, j, i] = C_dd[:, i, j]
        K = U * k * k
        return Covariance(
            logdet,
            logdet_d,
            logdet_dd,
            C.reshape(R, K),
            np.moveaxis(C_d, 0, 1).reshape(R, m, K),
            C_dd.reshape(R, m, m, K),
        )

    def evaluate(self, theta: Array, moments: Moments) -> tuple[Smooth, Smooth]:
        """log|V| (R,) and M = [X y]'V⁻¹[X y] (R, p + 1, p + 1) at θ (R, m), with derivatives."""
        V = self.covariance(theta)
        M = Smooth(*(self._weigh(C, moments) for C in (V.C, V.C_d, V.C_dd)))
        M.value[:, :-1, :-1] += self.outside_XX
        M.value[:, :-1, -1] += moments.outside_Xy
        M.value[:, -1, :-1] += moments.outside_Xy
        M.value[:, -1, -1] += moments.outside_yy
        return Smooth(V.logdet, V.logdet_d, V.logdet_dd), M

    def _weigh(self, C: Array, moments: Moments) -> Array:
        """Contract weights (R, …, K) with the products inside the span of Z: (R, …, p + 1, p + 1)."""
        p = self.XX.shape[-1]
        M = np.empty((*C.shape[:-1], p + 1, p + 1))
        M[..., :p, :p] = (C @ self.XX.reshape(-1, p * p)).reshape(*C.shape[:-1], p, p)
        M[..., :p, p] = np.einsum("r...k,rkp->r...p", C, moments.Xy)
        M[..., p, :p] = M[..., :p, p]
        M[..., p, p] = np.einsum("r...k,rk->r...", C, moments.yy)
        return M

    def conditional(self, theta: Array, residual: Array) -> tuple[Array, Array]:
        """Conditional means b̂ (levels, k) of the random effects and their covariances over σ².

        `theta` (m,), `residual` (n,) is y − Xβ. Sources: Bates et al. (2015), eq. 56 to 58; R's
        `ranef(condVar=TRUE)`, which leaves out the uncertainty of β.
        """
        Lam = self.template.Lambda(theta)
        B = self.T @ Lam
        inside = (self._Qt @ residual).reshape(self.n_levels, -1, 1)
        C = np.linalg.inv(B @ np.swapaxes(B, 1, 2) + np.eye(self.template.k))
        b = (Lam @ np.swapaxes(B, 1, 2) @ C @ inside)[..., 0]
        inner = np.linalg.inv(np.swapaxes(B, 1, 2) @ B + np.eye(self.template.k))
        return b, Lam @ inner @ Lam.T

    def arrange(self, u: Array) -> Array:
        """Give draws (R, q) in lme4's order, term by term and level by level, as (R, levels, k)."""
        parts, start = [], 0
        for width in self._widths:
            stop = start + self.n_levels * width
            parts.append(u[:, start:stop].reshape(len(u), self.n_levels, width))
            start = stop
        return np.concatenate(parts, axis=2)

    def spread(self, b: Array) -> Array:
        """Zb of shape (n, R) for random effects b (R, levels, k), over the rows as they were weighted."""
        return np.einsum("nk,rnk->nr", self.Z, b[:, self.codes])


def _group_qr(Z: Array, codes: NDArray[np.intp], n_levels: int) -> tuple[Array, sp.csr_array]:
    """Thin QR of each level's rows: T (levels, k, k) and the orthonormal columns as one (n, levels · k)."""
    n, k = Z.shape
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=n_levels)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    T = np.zeros((n_levels, k, k))
    Q = np.zeros((n, k))
    for size in np.unique(sizes):
        levels = np.flatnonzero(sizes == size)
        rows = order[starts[levels][:, None] + np.arange(size)]
        # Zero rows below make every level at least k rows high; they add nothing to Q or T.
        stack = np.zeros((len(levels), max(size, k), k))
        stack[:, :size] = Z[rows]
        q, t = np.linalg.qr(stack)
        sign = np.where(np.diagonal(t, axis1=1, axis2=2) < 0, -1.0, 1.0)
        T[levels] = t * sign[:, :, None]
        Q[rows] = (q * sign[:, None, :])[:, :size]
    columns = codes[:, None] * k + np.arange(k)
    matrix = sp.csr_array(
        (Q.ravel(), columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n_levels * k)
    )
    return T, matrix
