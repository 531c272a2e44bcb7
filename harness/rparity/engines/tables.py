"""What packages estimate of a mixed model, arranged as R's tables under R's names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.linalg import block_diag

from rparity.lmm.arrange import wald_limits
from rparity.lmm.linalg import semidefinite_cholesky
from rparity.lmm.matrices import RandomTerm
from rparity.lmm.template import Template
from rparity.lmm.varcorr import labels, order, theta_names

# Packages that give Wald intervals give them for the fixed effects; R's table has NA beside those.
NO_WALD = {"confint_wald/.sig*": "a Wald interval of the fixed effects only, as in R"}


def coef_table(estimate: ArrayLike, std_error: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Estimates (p,) and standard errors (p,) with their ratio."""
    beta, se = np.asarray(estimate, np.float64), np.asarray(std_error, np.float64)
    return pd.DataFrame({"estimate": beta, "std_error": se, "statistic": beta / se}, list(names))


def wald_table(coef: pd.DataFrame) -> pd.DataFrame:
    """Estimates plus and minus 1.96 standard errors."""
    return wald_limits(coef["estimate"], coef["std_error"])


def variance_tables(
    terms: Sequence[RandomTerm], covariances: Sequence[ArrayLike], scale: float
) -> dict[str, pd.DataFrame]:
    """`varcorr` and `theta` of each term's covariance matrix (k, k) and the residual variance.

    A covariance matrix may be singular: θ then has zeros, and correlations with a variance of zero
    are NaN, as in R.
    """
    template = Template.of([len(term.names) for term in terms])
    blocks = [np.atleast_2d(np.asarray(cov, np.float64)) for cov in covariances]
    rows, cols = order(template)
    cov = np.asarray(block_diag(*blocks))
    sd = np.sqrt(np.diagonal(cov))
    with np.errstate(invalid="ignore"):
        sdcor = np.where(rows == cols, sd[rows], cov[rows, cols] / (sd[rows] * sd[cols]))
    root = np.asarray(block_diag(*(semidefinite_cholesky(block / scale) for block in blocks)))
    return {
        "varcorr": pd.DataFrame(
            {"vcov": [*cov[rows, cols], scale], "sdcor": [*sdcor, np.sqrt(scale)]},
            [*labels(terms), "Residual"],
        ),
        "theta": pd.DataFrame({"value": root[template.rows, template.cols]}, theta_names(terms)),
    }
