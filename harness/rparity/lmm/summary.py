"""Summaries of fits and bootstraps in the layout of R's `print`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rparity.lmm.varcorr import groups as groups_of
from rparity.r.format import format_r

FloatArray = NDArray[np.float64]

# R's options `width` and `lme4.summary.cor.max`, above which correlations are left out.
WIDTH = 80
MOST_CORRELATED = 12

if TYPE_CHECKING:
    from rparity.lmm.bootstrap import BootstrapResults
    from rparity.lmm.fit import LmerResults


def _matrix(
    columns: Sequence[Sequence[str]],
    justify: Callable[[str, int], str] = str.ljust,
    rows: Sequence[str] = (),
) -> list[str]:
    """Lay out columns of text as R prints a matrix, after the names of rows if there are any."""
    width = max(map(len, rows), default=0)
    lines = [row.ljust(width) for row in rows] or [""] * len(columns[0])
    for column in columns:
        width = max(map(len, column))
        lines = [f"{line} {justify(cell, width)}" for line, cell in zip(lines, column, strict=True)]
    return lines


def _named(names: Sequence[str], cells: Sequence[str]) -> list[str]:
    """Lay out a vector as R prints it: names over values, both right-aligned in one width."""
    width = max(map(len, [*names, *cells]))
    return ["".join(f"{cell.rjust(width)} " for cell in line) for line in (names, cells)]


def _coefficient_lines(fit: LmerResults, digits: int = 4) -> list[str]:
    """Lay out coefficients as R's `printCoefmat` does: estimates and errors share decimals."""
    pair = np.column_stack([fit.params, fit.bse])
    sizes = np.abs(pair[np.isfinite(pair) & (pair != 0.0)])
    smallest = int(np.floor(np.log10(sizes.min()))) + 1 if sizes.size else 0
    cells = format_r(np.round(pair, max(1, digits - smallest)), digits)
    statistic = format_r(np.round(fit.tvalues.to_numpy(), digits - 1), digits)
    columns = [
        ["Estimate", *cells[0::2]],
        ["Std. Error", *cells[1::2]],
        ["t value", *statistic],
    ]
    return _matrix(columns, str.rjust, ["", *fit.term_names])


def lmer_summary(fit: LmerResults) -> str:
    """Lay a mixed model out as lme4's `print(summary(fit))` does."""
    matrices = fit.model.matrices
    how = "REML" if fit.reml else "maximum likelihood "
    lines = [f"Linear mixed model fit by {how} ['lmerMod']", f"Formula: {matrices.formula}"]
    lines += [f"   Data: {fit.data_name}", ""] if fit.data_name else [""]
    if fit.reml:
        lines += [f"REML criterion at convergence: {round(fit.criterion, 1):g}"]
    else:
        values = [fit.aic, fit.bic, fit.llf, fit.criterion, fit.df_resid]
        cells = [f"{value:.1f}" for value in values[:-1]] + [str(values[-1])]
        lines += _named(["AIC", "BIC", "logLik", "deviance", "df.resid"], cells)
    quantiles = _zapsmall(np.quantile(fit.scaled_resid, [0, 0.25, 0.5, 0.75, 1]), 5)
    lines += ["", "Scaled residuals: "]
    lines += _named(["Min", "1Q", "Median", "3Q", "Max"], format_r(quantiles, 4))
    lines += ["", "Random effects:"]
    lines += _variance_lines(fit)
    sizes = {term.group: len(term.levels) for term in matrices.random}
    groups = "; ".join(f"{group}, {size}" for group, size in sizes.items())
    head, line = f"Number of obs: {fit.nobs}, groups: ", f" {groups}"
    lines += [head, line[1:]] if len(head) + len(line) > WIDTH else [head + line]
    lines += ["", "Fixed effects:", *_coefficient_lines(fit)]
    if 1 < len(fit.params) <= MOST_CORRELATED:
        lines += ["", "Correlation of Fixed Effects:", *_correlation_lines(fit)]
    if matrices.dropped_columns:
        lines += [
            "",
            f"fixed-effect model matrix is rank deficient so dropping "
            f"{len(matrices.dropped_columns)} column(s): {', '.join(matrices.dropped_columns)}",
        ]
    if fit.is_singular:
        lines += ["boundary (singular) fit: see help('isSingular')"]
    return "\n".join(lines)


def _zapsmall(x: FloatArray, digits: int) -> FloatArray:
    """Round as R's `zapsmall`, so that the largest element has `digits` digits."""
    largest = float(np.abs(x).max())
    decimals = digits - np.log10(largest) if largest > 0 else digits
    return np.round(x, max(0, int(np.floor(decimals + 0.5))))


def _variance_lines(fit: LmerResults) -> list[str]:
    """Lay out the random effects as lme4's `formatVC` does: cells of one width, left-aligned."""
    table = fit.varcorr
    sdcor = table["sdcor"]
    terms = fit.model.matrices.random
    groups, names, keep = ["Groups"], ["Name"], []
    correlations: list[list[str]] = []
    widest = max(len(term.names) for term in terms)
    for term, label in zip(terms, groups_of(terms), strict=True):
        k = len(term.names)
        R = np.eye(k)
        for j, i in combinations(range(k), 2):
            R[i, j] = sdcor[f"{label}.{term.names[j]}.{term.names[i]}"]
        cells = iter(_fixed(R[np.tril_indices(k)], 2))
        lower = [[next(cells) for _ in range(i + 1)] for i in range(k)]
        groups += [label, *[""] * (k - 1)]
        names += term.names
        keep += [f"{label}.{name}" for name in term.names]
        correlations += [lower[i][:i] + [""] * (widest - 1 - i) for i in range(k)]
    sizes = table.loc[[*keep, "Residual"]]
    columns = [[*groups, "Residual"], [*names, ""]]
    for head, kind in (("Variance", "vcov"), ("Std.Dev.", "sdcor")):
        cells_ = format_r(sizes[kind], 4)
        columns.append([head, *(cell.rjust(max(map(len, cells_))) for cell in cells_)])
    for j in range(widest - 1):
        columns.append(["Corr" if j == 0 else "", *(row[j] for row in correlations), ""])
    return _matrix(columns)


def _fixed(values: ArrayLike, decimals: int) -> list[str]:
    """Format numbers with the same decimals and width: R's `format(round(x, d), nsmall = d)`."""
    x = np.round(np.asarray(values, dtype=np.float64), decimals)
    cells = [f"{value + 0.0:.{decimals}f}" for value in x.ravel()]
    cells = ["NaN" if cell == "nan" else cell for cell in cells]
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def _correlation_lines(fit: LmerResults) -> list[str]:
    correlation = fit.correlation.to_numpy()
    p = len(correlation)
    cells = np.array(_fixed(correlation, 3)).reshape(p, p)
    rows = ["", *abbreviate(fit.term_names, 11)[1:]]
    heads = abbreviate(fit.term_names, 6)
    table = [[heads[j], *(cells[i, j] if i > j else "" for i in range(1, p))] for j in range(p - 1)]
    return _matrix(table, rows=rows)


def abbreviate(names: Sequence[str], length: int) -> list[str]:
    """Shorten names as R's `abbreviate`, which keeps different names different."""
    out = [_shortened(name, length) for name in names]
    while len(set(out)) < len(set(names)):
        length += 1
        twice = [out.count(short) > 1 for short in out]
        out = [
            _shortened(name, length) if again else short
            for name, short, again in zip(names, out, twice, strict=True)
        ]
    return out


def _shortened(name: str, length: int) -> str:
    """Remove letters from the end: first lower-case vowels, then lower case, then any."""
    letters = list(name)
    for goes in ("aeiou".__contains__, str.islower, bool):
        for i in range(len(letters) - 1, 0, -1):
            if len(letters) <= length:
                return "".join(letters)
            if goes(letters[i]):
                del letters[i]
    return "".join(letters)


def bootstrap_summary(boot: BootstrapResults) -> str:
    """Lay a bootstrap out as R's `print` of a `boot` object does."""
    table = {"original": boot.t0, "bias": boot.bias, "std. error": boot.std_errors}
    columns = [[head, *format_r(values, 7)] for head, values in table.items()]
    how = "random effects kept" if boot.use_u else "random effects drawn anew"
    return "\n".join(
        [
            f"PARAMETRIC BOOTSTRAP, {boot.nsim} replicates, {how}, {boot.n_failed} failed",
            "",
            *_matrix(columns, str.rjust, ["", *boot.t.columns]),
        ]
    )
