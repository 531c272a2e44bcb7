"""Summaries of fits and bootstraps in the layout of R's `print`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.lmm.inference.ddf import Method, coefficient_tests
from rparity.lmm.matrices.varcorr import groups as groups_of
from rparity.r.format import format_r

FloatArray = NDArray[np.float64]

# R's options `width` and `lme4.summary.cor.max`, above which correlations are left out.
WIDTH = 80
MOST_CORRELATED = 12
# Largest p-values of R's significance stars.
STARS = {0.001: "***", 0.01: "**", 0.05: "*", 0.1: "."}
LEGEND = "Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1"
POSSESSIVE = {"satterthwaite": "Satterthwaite's", "kenward-roger": "Kenward-Roger's"}

if TYPE_CHECKING:
    from rparity.lmm.bootstrap.bootmer import BootstrapResults
    from rparity.lmm.bootstrap.pbmodcomp import BootstrapTest
    from rparity.lmm.fit import LmerResults
    from rparity.lmm.lists import LmListResults


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


# The heads of a table of coefficients. Estimates, errors and degrees of freedom share decimals.
HEADS = {
    "estimate": "Estimate",
    "std_error": "Std. Error",
    "df": "df",
    "statistic": "t value",
    "p": "Pr(>|t|)",
}
TOGETHER = ("Estimate", "Std. Error", "df")


def coefficient_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of a table of coefficients as R prints them, by head."""
    named = table[[name for name in HEADS if name in table]].rename(columns=HEADS)
    together = [name for name in TOGETHER if name in named]
    p = HEADS["p"] if "p" in table else None
    return _cells(named, together, test=HEADS["statistic"], p=p, digits=4)


def _coefficient_lines(table: pd.DataFrame) -> list[str]:
    p = table["p"].to_numpy() if "p" in table else None
    return _laid_out(coefficient_cells(table), list(table.index), p)


def _printed_matrix(
    table: pd.DataFrame,
    together: Sequence[str],
    *,
    test: str,
    p: str | None,
    digits: int,
    na: str = "NA",
) -> list[str]:
    """Lay out a table as R's `printCoefmat` does; see `_cells`. Cells without a value are `na`."""
    found = _cells(table, together, test=test, p=p, digits=digits)
    shown = {
        name: [na if cell.strip() == "NA" else cell for cell in column]
        for name, column in found.items()
    }
    return _laid_out(shown, list(table.index), None if p is None else table[p].to_numpy())


def _cells(
    table: pd.DataFrame, together: Sequence[str], *, test: str, p: str | None, digits: int
) -> dict[str, list[str]]:
    """Return the columns of a table as R's `printCoefmat` writes them.

    The columns `together` share decimals; `test` is the test statistic, `p` the p-values.
    """
    pair = table[[*together]].to_numpy(dtype=np.float64)
    sizes = np.abs(pair[np.isfinite(pair) & (pair != 0.0)])
    smallest = int(np.floor(np.log10(sizes.min()))) + 1 if sizes.size else 0
    cells = format_r(np.round(pair, max(1, digits - smallest)), digits)
    width = max(map(len, cells))
    cells = [cell.rjust(width) for cell in cells]
    columns = {name: cells[at :: len(together)] for at, name in enumerate(together)}
    columns[test] = format_r(np.round(table[test].to_numpy(), digits - 1), digits)
    names = [str(name) for name in table]
    for name in names:
        if name == p:
            columns[name] = p_values(table[name].to_numpy(), digits - 1)
        elif name not in columns:
            columns[name] = format_r(table[name], digits)
    return {name: columns[name] for name in names}


def _laid_out(
    columns: Mapping[str, Sequence[str]], rows: Sequence[str], p: FloatArray | None
) -> list[str]:
    """Lay out columns beside the names of rows, with stars if there are p-values."""
    shown = [[name, *cells] for name, cells in columns.items()]
    lines = _matrix(shown, str.rjust, ["", *rows])
    return lines if p is None else _with_stars(lines, p)


def p_values(p: FloatArray, digits: int) -> list[str]:
    """P-values as R's `format.pval` writes them: those below 2.2e-16 as `<2e-16`."""
    tiny = p < np.finfo(np.float64).eps
    plain = p >= 1e-4
    cells = np.full(len(p), "NA", dtype=object)
    for group in (plain, (p < 1e-4) & ~tiny):
        if group.any():
            cells[group] = format_r(p[group], digits)
    if tiny.any():
        digits = max(1, digits - 2)
        blank = "" if digits == 1 else " "
        if not tiny.all():
            widest = max(map(len, cells))
            if digits > 1 and digits + 6 > widest:
                digits = max(1, widest - 7)
            blank = "" if digits == 1 and widest <= 6 else " "
        cells[tiny] = f"<{blank}{format_r([np.finfo(np.float64).eps], digits)[0]}"
    return list(cells)


def _with_stars(lines: Sequence[str], p: FloatArray) -> list[str]:
    """Add R's significance stars, and what they mean, if any p-value is below 0.1."""
    if not (p < 0.1).any():
        return list(lines)
    stars = [next((s for edge, s in STARS.items() if value <= edge), " ") for value in p]
    width = max(map(len, stars))
    marked = [f"{line} {star.ljust(width)}" for line, star in zip(lines, ["", *stars], strict=True)]
    return [*marked, "---", LEGEND]


def lmer_summary(fit: LmerResults, ddf: Method | None = None) -> str:
    """Return text in the layout of R's `summary(fit)`.

    With `ddf`, "satterthwaite" or "kenward-roger", the layout is lmerTest's: degrees of freedom and
    p-values of the fixed effects.
    """
    matrices = fit.model.matrices
    how = "REML" if fit.reml else "maximum likelihood "
    test, kind = "", "lmerMod"
    tests = None if ddf is None else coefficient_tests(fit, ddf)
    if ddf is not None:
        test, kind = f". t-tests use {POSSESSIVE[ddf]} method", "lmerModLmerTest"
    lines = _title(f"Linear mixed model fit by {how}{test}", kind)
    line = f"Formula: {matrices.formula}"
    lines += [line] if len(line) < WIDTH else ["Formula:", matrices.formula]
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
    lines += ["", "Fixed effects:"]
    table = pd.DataFrame(
        {"estimate": fit.params, "std_error": fit.bse, "statistic": fit.tvalues},
        index=fit.term_names,
    )
    table = table if tests is None else tests
    lines += _coefficient_lines(table)
    if 1 < len(table) <= MOST_CORRELATED:
        lines += ["", "Correlation of Fixed Effects:", *_correlation_lines(fit)]
    if matrices.dropped_columns:
        lines += [
            "",
            f"fixed-effect model matrix is rank deficient so dropping "
            f"{len(matrices.dropped_columns)} column(s): {', '.join(matrices.dropped_columns)}",
        ]
    if fit.is_singular:
        lines += ["boundary (singular) fit: see help('isSingular')"]
    if not fit.converged:
        lines += wrap(fit.problem, WIDTH)
    return "\n".join(lines)


def _title(text: str, kind: str) -> list[str]:
    """Break the first line where lme4's `.prt.methTit` does."""
    if len(text) + 5 + len(kind) <= WIDTH:
        return [f"{text} ['{kind}']"]
    lines = [""]
    for piece in [*wrap(text, WIDTH - 3, subsequent_indent="  "), " [", kind, "]"]:
        if len(lines[-1]) + len(piece) > WIDTH:
            lines.append("")
        lines[-1] += piece
    return lines


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


def bootstrap_test_summary(test: BootstrapTest) -> str:
    """Lay a bootstrap test out as pbkrtest's `print(summary(…))` does."""
    lines = [f"Bootstrap test; samples: {test.nsim}; extremes: {test.n_extreme};"]
    if test.n_used < test.nsim:
        lines.append(
            f"Requested samples: {test.nsim} Used samples: {test.n_used} Extremes: {test.n_extreme}"
        )
    lines += [f"large : {test.large}", f"small : {test.small}"]
    table = _printed_matrix(test.table, ["stat", "df"], test="stat", p="p.value", digits=5, na="")
    return "\n".join([*lines, *table])


def list_summary(fits: LmListResults) -> str:
    """Return the text of `LmListResults.summary`."""
    lines = ["Call:", f"  Model: {fits.formula} | {fits.group} "]
    lines += [f"   Data: {fits.data_name} "] * (fits.data_name is not None)
    lines += ["", "Coefficients:"]
    tables = {
        "Estimate": fits.params,
        "Std. Error": fits.bse,
        "t value": fits.tvalues,
        "Pr(>|t|)": fits.pvalues,
    }
    for name in fits.params:
        cells = [[head, *format_r(table[name], 7)] for head, table in tables.items()]
        lines += [f"   {name} ", *_matrix(cells, str.rjust, ["", *fits.fits])]
    sigma = format_r([fits.sigma], 7)[0]
    lines += ["", f"Residual standard error: {sigma} on {fits.df_resid} degrees of freedom"]
    return "\n".join(lines)
