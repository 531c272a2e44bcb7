"""R's variances, standard deviations and correlations from θ: their order and their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from rparity.lmm.lme4 import SD_FIRST, Lme4
from rparity.lmm.matrices.model_matrices import Term
from rparity.lmm.matrices.template import Template

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def covariance(template: Template, theta: Array) -> Array:
    """ΛΛ' (R, k, k) for θ (R, m)."""
    Lam = template.Lambda(theta)
    return np.asarray(Lam @ np.swapaxes(Lam, 1, 2))


def sd_and_correlation(template: Template, theta: Array) -> Array:
    """Standard deviations over σ on the diagonal, correlations off it: (R, k, k) for θ (R, m).

    As in R, a standard deviation of zero has no correlations: NaN.
    """
    cov = covariance(template, theta)
    sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    product = sd[:, :, None] * sd[:, None]
    out = np.divide(cov, product, out=np.full_like(cov, np.nan), where=product > 0.0)
    at = np.arange(sd.shape[1])
    out[:, at, at] = sd
    return np.asarray(out)


def order(template: Template) -> tuple[Index, Index]:
    """Return rows and columns of (k, k) in R's `VarCorr` order, each term's variances first."""
    rows: list[int] = []
    cols: list[int] = []
    for start, stop in pairwise(template.starts):
        pairs = [*combinations(range(start, stop), 2)]
        rows += [*range(start, stop), *(i for _, i in pairs)]
        cols += [*range(start, stop), *(j for j, _ in pairs)]
    return np.array(rows, dtype=np.intp), np.array(cols, dtype=np.intp)


def groups(terms: Sequence[Term]) -> list[str]:
    """Name the terms' groups as R's `VarCorr` does: a second term of g is `g.1`.

    If a name occurs twice, R makes all names syntactic (`make.names`), and g:h becomes g.h.
    """
    names = [term.group for term in terms]
    if len(set(names)) < len(names):
        names = [re.sub(r"[^\w.]", ".", name) for name in names]
    repeats = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name}.{i}" if i else name for name, i in zip(names, repeats, strict=True)]


def labels(terms: Sequence[Term]) -> list[str]:
    """Name variances `group.var1` and covariances `group.var1.var2`, in the order of `order`."""
    out = []
    for term, group in zip(terms, groups(terms), strict=True):
        out += [f"{group}.{name}" for name in term.names]
        out += [f"{group}.{one}.{other}" for one, other in combinations(term.names, 2)]
    return out


def theta_names(terms: Sequence[Term]) -> list[str]:
    """Name θ as R's `getME(fit, "theta")` does: `group.row`, or `group.row.column`."""
    template = Template.of([term.k for term in terms])
    names = [(term.group, name) for term in terms for name in term.names]
    return [
        ".".join(names[row] if row == col else (*names[row], names[col][1]))
        for row, col in zip(template.rows, template.cols, strict=True)
    ]


def sd_order(template: Template, lme4: Lme4) -> tuple[Index, Index]:
    """Return rows and columns of (k, k) in the order of R's `confint`, which `sd_names` names."""
    return order(template) if lme4.has(SD_FIRST) else (template.rows, template.cols)


def sd_names(m: int) -> list[str]:
    """Name the m variance parameters and σ as R's `confint` does: `.sig01`, …, `.sigma`."""
    return [f".sig{i + 1:02d}" for i in range(m)] + [".sigma"]
