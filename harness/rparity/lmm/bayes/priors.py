"""Priors of the variance parameters, and the coordinates in which their posterior is integrated.

A prior is flat in β, and a density of σ and of each term's standard deviations and correlations.
With s the standard deviations over σ (the row norms of Λ) it is

    p(σ, s, R) ∝ σ^(d − 1) h(s, R)   with respect to dσ ds dR,

where R has the correlations of each term, and d is a power that the prior states. Then σ and β can
be integrated out in closed form, whatever h is.

uniform      Uniform on each standard deviation σs and on the correlation matrices, p(σ) ∝ 1/σ
             (Gelman 2006, section 7.1): h = 1, and d is the number of standard deviations. It
             needs three levels, and five for a finite variance of an intercept between them.
half-cauchy  Each s, times the root mean square of its covariate, is half-Cauchy with scale 1, given
             σ (Polson and Scott 2012); correlations are uniform, p(σ) ∝ 1/σ: d = 0. Proper for any
             number of levels, and drawn towards zero.
jeffreys     The root of the determinant of the expected information of the restricted likelihood
             (Harville 1974), the default of PROC MIXED's PRIOR statement in SAS; d = 0. In balanced
             one-way designs it is p(σ², τ²) ∝ 1/(σ²(σ² + nτ²)) (Tiao and Tan 1965).

The correlations' uniform distribution is LKJ(1) (Lewandowski, Kurowicka and Joe 2009).

Sources: Gelman (2006), Bayesian Analysis 1, 515-534, doi:10.1214/06-BA117A; Polson and Scott
(2012), Bayesian Analysis 7, 887-902, doi:10.1214/12-BA730; Harville (1974), Biometrika 61, 383-385;
Tiao and Tan (1965), Biometrika 52, 37-53; Lewandowski, Kurowicka and Joe (2009), Journal of
Multivariate Analysis 100, 1989-2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.matrices.model_matrices import RandomTerm
from rparity.lmm.matrices.template import Template

Array = NDArray[np.float64]
Prior = Literal["uniform", "half-cauchy", "jeffreys"]


class VarianceCoordinates:
    """Unbounded coordinates x (R, m) of θ: log s of each row of Λ, then atanh of correlations.

    The correlations are partial ones, as in the Cholesky factor of a correlation matrix: the row i
    of Λ is s_i (c₁, c₂√(1 − c₁²), …, √((1 − c₁²)(1 − c₂²)…)). Terms of two coefficients have the
    correlation itself.
    """

    def __init__(self, template: Template) -> None:
        self.template = template
        off = ~template.diagonal
        self._at = template.rows[off], template.cols[off]  # the partial correlations' elements
        start = np.array(template.starts)[template.term]
        widths = np.diff(template.starts)
        left = (widths[template.term] - 1 - (template.cols - start + 1))[off]
        self._power = 1.0 + left / 2.0
        self.width = widths[template.term[template.diagonal]]  # of each row's term

    def log_sd(self, x: Array) -> Array:
        """Logarithms of the standard deviations over σ, (R, k)."""
        return x[:, : self.template.k]

    def theta(self, x: Array) -> Array:
        """θ (R, m) at x."""
        template, k = self.template, self.template.k
        Lam = np.zeros((len(x), k, k))
        partial = np.zeros_like(Lam)
        partial[:, *self._at] = x[:, k:]
        rest = np.exp(x[:, :k])
        for col in range(k):
            for row in template.rows[template.cols == col][1:]:
                Lam[:, row, col] = rest[:, row] * np.tanh(partial[:, row, col])
                rest[:, row] = rest[:, row] / np.cosh(partial[:, row, col])
            Lam[:, col, col] = rest[:, col]
        return np.asarray(Lam[:, template.rows, template.cols])

    def log_uniform(self, x: Array) -> Array:
        """Log density in x, (R,), of the uniform distribution of s and R."""
        k = self.template.k
        # 1 − tanh² = 1 / cosh²; logaddexp does not overflow.
        log_cosh = np.logaddexp(x[:, k:], -x[:, k:]) - np.log(2.0)
        return np.asarray(x[:, :k].sum(axis=1) - 2.0 * (log_cosh @ self._power))

    def start(self, theta: Array, smallest: Array) -> Array:
        """Return x (m,) near θ (m,), with no s below `smallest` (k,) and no correlation near ±1."""
        Lam = self.template.Lambda(theta)
        s = np.linalg.norm(Lam, axis=1)
        x = np.zeros(self.template.m)
        x[: self.template.k] = np.log(np.maximum(s, smallest))
        for at, (row, col) in enumerate(zip(*self._at, strict=True)):
            rest = np.linalg.norm(Lam[row, col:])
            c = Lam[row, col] / rest if s[row] > smallest[row] and rest > 0.0 else 0.0
            x[self.template.k + at] = np.arctanh(np.clip(c, -0.9, 0.9))
        return x


def root_mean_squares(terms: Sequence[RandomTerm]) -> Array:
    """Root mean square of each random coefficient's covariate, (k,)."""
    return np.concatenate([np.sqrt((term.Z**2).mean(axis=0)) for term in terms])
