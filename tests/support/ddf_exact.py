"""Satterthwaite's and Kenward and Roger's methods by definition, in ball arithmetic.

For models with one grouping factor: all matrices are block-diagonal, a block for each level. The
derivatives that Satterthwaite's method needs are differences, of steps that leave 25 digits.
"""

import numpy as np
from flint import arb, arb_mat

from rparity.lmm.fit import LmerResults

STEP = arb(2) ** -66  # exact


def lists(A: arb_mat) -> np.ndarray:
    return np.array([[float(x.mid()) for x in row] for row in A.tolist()])


def trace(A: arb_mat) -> arb:
    return sum((A[a, a] for a in range(A.nrows())), arb(0))


class Exact:
    """A fit's data by level, as matrices of balls; `flint.ctx.dps` sets their digits."""

    def __init__(self, fit: LmerResults) -> None:
        matrices = fit.model.matrices
        codes = matrices.random[0].codes
        Z = np.hstack([term.Z for term in matrices.random])
        self.template, self.p, self.n = fit.model.template, fit.model.p, fit.model.n
        self.theta = [arb(float(t)) for t in fit.theta_hat]
        self.sigma = arb(float(fit.sigma))
        self.levels = []
        y = matrices.y - matrices.offset
        for level in range(len(matrices.random[0].levels)):
            rows = codes == level
            noise = arb_mat(rows.sum(), rows.sum())
            for i, w in enumerate(matrices.weights[rows]):
                noise[i, i] = 1 / arb(float(w))
            parts = (Z[rows], matrices.X[rows], y[rows][:, None])
            self.levels.append((*(arb_mat(part.tolist()) for part in parts), noise))

    def Lambda(self, theta: list) -> arb_mat:
        out = arb_mat(self.template.k, self.template.k)
        for value, row, col in zip(theta, self.template.rows, self.template.cols, strict=True):
            out[int(row), int(col)] = value
        return out

    def criterion(self, theta: list, sigma: arb) -> tuple[arb, arb_mat]:
        """The REML criterion at (θ, σ), less constants, and the covariance of β̂."""
        ZtL = self.Lambda(theta)
        A, b, yy, logdet = arb_mat(self.p, self.p), arb_mat(self.p, 1), arb(0), arb(0)
        for Z, X, y, noise in self.levels:
            V = noise + Z * ZtL * ZtL.transpose() * Z.transpose()
            inverse = V.inv()
            A += X.transpose() * inverse * X
            b += X.transpose() * inverse * y
            yy += (y.transpose() * inverse * y)[0, 0]
            logdet += V.det().log()
        A_inv = A.inv()
        s = yy - (b.transpose() * A_inv * b)[0, 0]
        value = logdet + A.det().log() + s / sigma**2
        return value + 2 * (self.n - self.p) * sigma.log(), A_inv * sigma**2

    def satterthwaite(self) -> np.ndarray:
        """Degrees of freedom of each coefficient, (p,)."""
        at = [*self.theta, self.sigma]
        m = len(at)

        def moved(*changes: tuple[int, int]) -> tuple[arb, arb_mat]:
            point = list(at)
            for i, sign in changes:
                point[i] += sign * STEP
            return self.criterion(point[:-1], point[-1])

        H, gradients = arb_mat(m, m), []
        middle, V = moved()
        for i in range(m):
            (up, V_up), (down, V_down) = moved((i, 1)), moved((i, -1))
            H[i, i] = (up - 2 * middle + down) / STEP**2
            gradients.append((V_up - V_down) * (1 / (2 * STEP)))
            for j in range(i):
                corners = [s * t * moved((i, s), (j, t))[0] for s in (1, -1) for t in (1, -1)]
                H[i, j] = H[j, i] = sum(corners, arb(0)) / (4 * STEP**2)
        A = H.inv() * 2
        found = []
        for a in range(self.p):
            g = arb_mat([[gradient[a, a]] for gradient in gradients])
            found.append(float((2 * V[a, a] ** 2 / (g.transpose() * A * g)[0, 0]).mid()))
        return np.array(found)

    def kenward_roger(self) -> tuple[np.ndarray, np.ndarray]:
        """The adjusted covariance (p, p), and degrees of freedom of each coefficient, (p,)."""
        L, p = self.Lambda(self.theta), self.p
        pairs = list(zip(self.template.rows, self.template.cols, strict=True))
        r = len(pairs) + 1
        A = arb_mat(p, p)
        P = [arb_mat(p, p) for _ in range(r)]
        Q = [[arb_mat(p, p) for _ in range(r)] for _ in range(r)]
        K = arb_mat(r, r)
        for Z, X, _, noise in self.levels:
            inverse = ((noise + Z * L * L.transpose() * Z.transpose()) * self.sigma**2).inv()
            G = []
            for a, b in pairs:
                E = arb_mat(self.template.k, self.template.k)
                E[int(a), int(b)] = E[int(b), int(a)] = 1
                G.append(Z * E * Z.transpose())
            G.append(noise)
            A += X.transpose() * inverse * X
            H = [g * inverse for g in G]
            for i in range(r):
                P[i] -= X.transpose() * inverse * H[i] * X
                for j in range(r):
                    Q[i][j] += X.transpose() * inverse * H[i] * H[j] * X
                    K[i, j] += trace(H[i] * H[j])

        Phi = A.inv()
        information = arb_mat(r, r)
        for i in range(r):
            for j in range(r):
                information[i, j] = (
                    K[i, j] - 2 * trace(Phi * Q[i][j]) + trace(Phi * P[i] * Phi * P[j])
                )
        W = information.inv() * 2
        U = arb_mat(p, p)
        for i in range(r):
            for j in range(r):
                U += (Q[i][j] - P[i] * Phi * P[j]) * W[i, j]
        df = []
        for a in range(p):
            u = [(Phi * P[i] * Phi)[a, a] / Phi[a, a] for i in range(r)]
            A2 = sum((W[i, j] * u[i] * u[j] for i in range(r) for j in range(r)), arb(0))
            df.append(float((2 / A2).mid()))
        return lists(Phi + Phi * U * Phi * 2), np.array(df)
