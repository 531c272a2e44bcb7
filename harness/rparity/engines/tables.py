"""What packages estimate of a mixed model, arranged as R's tables under R's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag

from rparity.engines.base import UnsupportedError
from rparity.engines.native import MEANS, PAIRS
from rparity.lmm.language.formula import parse, terms
from rparity.lmm.matrices.arrange import wald_limits
from rparity.lmm.matrices.model_matrices import RandomTerm
from rparity.lmm.matrices.template import Template
from rparity.lmm.matrices.varcorr import labels, order, theta_names
from rparity.lmm.numbers.linalg import semidefinite_cholesky

# Packages that give Wald intervals give them for the fixed effects; R's table has NA beside those.
NO_WALD = {"confint_wald/.sig*": "a Wald interval of the fixed effects only, as in R"}
DDF = ("satterthwaite", "kenward_roger")
TERM_TESTS = ("num_df", "den_df", "f_statistic", "p_value")

# An offset in a formula, for packages that have an argument for it.
OFFSET = re.compile(r"\s*\+\s*offset\([^()]*\)")


def same_columns(theirs: ArrayLike, X: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the position of each of R's columns of X among a package's.

    Raises
    ------
    UnsupportedError
        If they are not the same columns.
    """
    columns = np.asarray(theirs, np.float64)
    if columns.shape == X.shape:
        distance = np.abs(columns[:, :, None] - X[:, None, :]).max(axis=0)
        at: NDArray[np.intp] = distance.argmin(axis=0)
        if len(set(at)) == len(at) and distance.min(axis=0).max() <= 1e-8:
            return at
    raise UnsupportedError("its columns of X are not R's")


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


def square(values: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Return a covariance matrix (p, p) with its names."""
    return pd.DataFrame(np.asarray(values, np.float64), list(names), list(names))


def with_text_groups(formula: str, data: pd.DataFrame) -> pd.DataFrame:
    """Return data in which grouping columns of numbers are text, as packages want them."""
    parsed = parse(formula)
    groups = {name for bar in parsed.bars for name in bar.group} - set(
        terms(parsed.fixed).variables
    )
    numbers = [name for name in groups if pd.api.types.is_numeric_dtype(data[name])]
    return data.assign(**{name: data[name].map("{:g}".format) for name in numbers})


def coded(fixed: str, contrasts: Mapping[str, str], template: str) -> str:
    """Write contrasts of sums into a formula, as in `C(x, Sum)`.

    Raises
    ------
    UnsupportedError
        For other contrasts than R's `contr.sum` and the default `contr.treatment`.
    """
    for name, contrast in contrasts.items():
        if contrast not in ("contr.sum", "contr.treatment"):
            raise UnsupportedError(f"not asked with {contrast}")
        if contrast == "contr.sum":
            fixed = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", template.format(name), fixed)
    return fixed


def table_of_tests(kind: str, names: Iterable[str], *values: ArrayLike) -> pd.DataFrame:
    """Return a table of tests: its columns' values, each of shape (r,) or one number for all.

    Of the kinds `ddf` (as many columns as there are values), `anova_type3` and `anova_type3_kr`,
    `emmeans` and `pairs`.
    """
    columns = {"ddf": DDF, "emmeans": MEANS, "pairs": PAIRS}.get(kind, TERM_TESTS)
    rows = [str(name) for name in names]
    found = {
        column: np.broadcast_to(np.asarray(value, np.float64), len(rows))
        for column, value in zip(columns, values, strict=kind != "ddf")
    }
    return pd.DataFrame(found, rows)


def mean_tables(
    levels: pd.DataFrame, data: pd.DataFrame, means: Sequence[ArrayLike], pairs: Sequence[ArrayLike]
) -> dict[str, pd.DataFrame]:
    """Return `emmeans` and `pairs` under R's names.

    Parameters
    ----------
    levels : DataFrame
        The levels of each of a package's means, (r, variables).
    data : DataFrame
        The data, whose factors have R's order of levels.
    means : sequence
        The columns of `emmeans` (r,).
    pairs : sequence
        The columns of `pairs` (r(r − 1)/2,): each mean less each later one. R's order of the means
        is another one for several variables, so some differences change their sign.
    """
    names = list(levels.astype(str).agg(".".join, axis=1))
    labels = list(levels.astype(str).agg(" ".join, axis=1))
    ranks = [
        pd.Categorical(levels[name].astype(str), data[name].astype("category").cat.categories).codes
        for name in reversed(list(levels))
    ]
    rank = pd.Series(list(zip(*ranks, strict=True))).rank().to_numpy()
    rows, signs = [], []
    for i, j in combinations(range(len(names)), 2):
        first, second = (i, j) if rank[i] < rank[j] else (j, i)
        rows.append(f"{labels[first]} - {labels[second]}")
        signs.append(1.0 if first == i else -1.0)
    table = table_of_tests("pairs", rows, *pairs)
    signed = ["estimate", "statistic"]
    table[signed] = table[signed].mul(signs, axis=0)
    return {"emmeans": table_of_tests("emmeans", names, *means), "pairs": table}
