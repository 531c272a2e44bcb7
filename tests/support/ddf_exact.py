"""Satterthwaite's and Kenward and Roger's methods by definition, in 50 digits.

For models with one grouping factor: all matrices are block-diagonal, a block for each level. The
derivatives that Satterthwaite's method needs are differences, of steps that leave 25 digits.
"""

import mpmath as mp
import numpy as np

from rparity.lmm.fit import LmerResults

STEP = mp.mpf(10) ** -20


def lists(A: mp.matrix) -> np.ndarray:
    return np.array([[float(A[i, j]) for j in range(A.cols)] for i in range(A.rows)])


class Exact:
    """A fit's data by level, as mpmath matrices."""

    def __init__(self, fit: LmerResults) -> None:
        matrices = fit.model.matrices
        codes = matrices.random[0].codes
        Z = np.hstack([term.Z for term in matrices.random])
        self.template, self.p, self.n = fit.model.template, fit.model.p, fit.model.n
        self.theta = [mp.mpf(float(t)) for t in fit.theta_hat]
        self.sigma = mp.mpf(float(fit.sigma))
        self.levels = []
        y = matrices.y - matrices.offset
        for level in range(len(matrices.random[0].levels)):
            rows = codes == level
            noise = mp.diag([1 / mp.mpf(w) for w in matrices.weights[rows]])
            parts = (Z[rows], matrices.X[rows], y[rows][:, None])
            self.levels.append((*(mp.matrix(part.tolist()) for part in parts), noise))

    def Lambda(self, theta: list) -> mp.matrix:
        out = mp.zeros(self.template.k)
        for value, row, col in zip(theta, self.template.rows, self.template.cols, strict=True):
            out[int(row), int(col)] = value
        return out

    def criterion(self, theta: list, sigma: mp.mpf) -> tuple[mp.mpf, mp.matrix]:
        """The REML criterion at (θ, σ), less constants, and the covariance of β̂."""
        ZtL = self.Lambda(theta)
        A, b, yy, logdet = mp.zeros(self.p), mp.zeros(self.p, 1), mp.mpf(0), mp.mpf(0)
        for Z, X, y, noise in self.levels:
            V = noise + Z * ZtL * ZtL.T * Z.T
            inverse = V**-1
            A += X.T * inverse * X
            b += X.T * inverse * y
            yy += (y.T * inverse * y)[0]
            logdet += mp.log(mp.det(V))
        A_inv = A**-1
        s = yy - (b.T * A_inv * b)[0]
        value = logdet + mp.log(mp.det(A)) + s / sigma**2
        return value + 2 * (self.n - self.p) * mp.log(sigma), sigma**2 * A_inv

    def satterthwaite(self) -> np.ndarray:
        """Degrees of freedom of each coefficient, (p,)."""
        at = [*self.theta, self.sigma]
        m = len(at)

        def moved(*changes: tuple[int, int]) -> tuple[mp.mpf, mp.matrix]:
            point = list(at)
            for i, sign in changes:
                point[i] += sign * STEP
            return self.criterion(point[:-1], point[-1])

        H, gradients = mp.zeros(m), []
        middle, V = moved()
        for i in range(m):
            (up, V_up), (down, V_down) = moved((i, 1)), moved((i, -1))
            H[i, i] = (up - 2 * middle + down) / STEP**2
            gradients.append((V_up - V_down) / (2 * STEP))
            for j in range(i):
                corners = [s * t * moved((i, s), (j, t))[0] for s in (1, -1) for t in (1, -1)]
                H[i, j] = H[j, i] = mp.fsum(corners) / (4 * STEP**2)
        A = 2 * H**-1
        found = []
        for a in range(self.p):
            g = mp.matrix([gradient[a, a] for gradient in gradients])
            found.append(float(2 * V[a, a] ** 2 / (g.T * A * g)[0]))
        return np.array(found)

    def kenward_roger(self) -> tuple[np.ndarray, np.ndarray]:
        """The adjusted covariance (p, p), and degrees of freedom of each coefficient, (p,)."""
        L, p = self.Lambda(self.theta), self.p
        pairs = list(zip(self.template.rows, self.template.cols, strict=True))
        r = len(pairs) + 1
        A = mp.zeros(p)
        P = [mp.zeros(p) for _ in range(r)]
        Q = [[mp.zeros(p) for _ in range(r)] for _ in range(r)]
        K = mp.zeros(r)
        for Z, X, _, noise in self.levels:
            inverse = (self.sigma**2 * (noise + Z * L * L.T * Z.T)) ** -1
            G = []
            for a, b in pairs:
                E = mp.zeros(self.template.k)
                E[int(a), int(b)] = E[int(b), int(a)] = 1
                G.append(Z * E * Z.T)
            G.append(noise)
            A += X.T * inverse * X
            H = [g * inverse for g in G]
            for i in range(r):
                P[i] -= X.T * inverse * H[i] * X
                for j in range(r):
                    Q[i][j] += X.T * inverse * H[i] * H[j] * X
                    product = H[i] * H[j]
                    K[i, j] += mp.fsum(product[a, a] for a in range(product.rows))

        def trace(M: mp.matrix) -> mp.mpf:
            return mp.fsum(M[a, a] for a in range(M.rows))

        Phi = A**-1
        information = mp.zeros(r)
        for i in range(r):
            for j in range(r):
                information[i, j] = (
                    K[i, j] - 2 * trace(Phi * Q[i][j]) + trace(Phi * P[i] * Phi * P[j])
                )
        W = 2 * information**-1
        U = mp.zeros(p)
        for i in range(r):
            for j in range(r):
                U += W[i, j] * (Q[i][j] - P[i] * Phi * P[j])
        df = []
        for a in range(p):
            u = [(Phi * P[i] * Phi)[a, a] / Phi[a, a] for i in range(r)]
            A2 = mp.fsum(W[i, j] * u[i] * u[j] for i in range(r) for j in range(r))
            df.append(float(2 / A2))
        return lists(Phi + 2 * Phi * U * Phi), np.array(df)
