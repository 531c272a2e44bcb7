"""Estimated marginal means, and contrasts of them, as R's emmeans gives them.

A reference grid holds every combination of the factors' levels, with each covariate at its mean (a
covariate of two values keeps both). The fixed part predicts X₀β̂ there; a marginal mean averages
the rows of X₀ over all variables that it does not name, each level with the same weight. A mean or
a contrast is thus Lβ̂, with the covariance and the degrees of freedom of the method: Kenward and
Roger's, Satterthwaite's, or none (a normal distribution). Where columns of X were dropped, Lβ is
estimable if L lies in the row space of the whole X; otherwise the result is NaN. An offset counts
with its mean over the data.

Tukey's adjustment is the distribution of the studentized range; Holm's and Bonferroni's count the
contrasts within each level of the `by` variables.

Sources: emmeans 1.8.4-1 (`ref_grid`, `emmeans`, `contrast`, `summary.emmGrid`); Searle, Speed and
Milliken (1980), The American Statistician 34(4), 216-221.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.ddf import Method, inference, refuse_ml
from rparity.lmm.language.collation import sorted_levels
from rparity.lmm.language.expression import expression, names
from rparity.lmm.language.values import from_pandas
from rparity.lmm.matrices.coding import Coding
from rparity.lmm.matrices.model_matrices import ModelMatrices
from rparity.lmm.numbers.distributions import studentized_range_tail, t_quantile, t_tail
from rparity.lmm.numbers.roots import find_roots

Array = NDArray[np.float64]
Adjust = Literal["tukey", "holm", "bonferroni", "none"]
ADJUSTMENTS = ("tukey", "holm", "bonferroni", "none")

# emmeans' tolerance: how much of L may lie outside of the row space of X.
ESTIMABLE = 1e-8
# emmeans keeps the values of a covariate that has no more of them.
KEPT_VALUES = 2


@dataclass(frozen=True)
class _Estimator:
    """Lβ̂ for rows L (r, p₀) over all columns of X, including dropped ones.

    `beta` (p,), `cov` (p, p) and `df`, which takes L over the p columns kept; `nothing` (p₀, d) is
    a basis of what no data say anything about.
    """

    beta: Array
    cov: Array
    df: Callable[[Array], Array]
    kept: NDArray[np.bool_]
    nothing: Array

    @classmethod
    def of(
        cls, fit: Any, matrices: ModelMatrices, ddf: Method | Literal["asymptotic"]
    ) -> _Estimator:
        """Wrap a fit of `lmer` or `lm`. For `lm`, degrees of freedom are those of the residuals."""
        if not isinstance(fit, LmerResults):
            beta, cov = np.asarray(fit.params), np.asarray(fit.cov_params())
            constant = float(fit.df_resid)
        elif ddf == "asymptotic":
            beta, cov, constant = fit.beta, fit.cov_params().to_numpy(), np.inf
        else:
            refuse_ml(fit, ddf)
            method = inference(fit, ddf)
            return cls(method.beta, method.cov, method.df, *_dropped(matrices))
        return cls(beta, cov, lambda L: np.full(len(L), constant), *_dropped(matrices))

    def rows(self, L: Array) -> tuple[Array, Array, Array]:
        """Estimates, standard errors and degrees of freedom, each (r,)."""
        own = L[:, self.kept]
        unknown = ((L @ self.nothing) ** 2).sum(axis=1) > ESTIMABLE * (L**2).sum(axis=1)
        found = np.array(
            [own @ self.beta, np.einsum("ra,ab,rb->r", own, self.cov, own), self.df(own)]
        )
        found[:, unknown] = np.nan
        return found[0], np.sqrt(found[1]), found[2]


def _dropped(matrices: ModelMatrices) -> tuple[NDArray[np.bool_], Array]:
    """Which columns of X were kept, (p₀,), and a basis of its null space, (p₀, d)."""
    design = matrices.design
    if design.kept is None:
        p = matrices.X.shape[1]
        return np.ones(p, dtype=np.bool_), np.zeros((p, 0))
    whole, _ = _whole(design).matrix(matrices.values(design.terms), len(matrices.X))
    Vt = np.linalg.svd(whole, full_matrices=True)[2]
    return design.kept, np.asarray(Vt[int(design.kept.sum()) :].T)


def _whole(design: Coding) -> Coding:
    """Return the design with the columns that were dropped."""
    return replace(design, kept=None)


@dataclass(frozen=True)
class MarginalMeans:
    """Marginal means, or contrasts of them: one row each of `grid`, Lβ̂ + `offset` with L (r, p₀).

    `by` names the columns of `grid` within whose levels contrasts are made and adjusted; `family`
    is the number of means that pairwise contrasts compare, 0 where they are no pairwise ones.
    """

    grid: pd.DataFrame
    L: Array
    offset: Array
    by: tuple[str, ...]
    estimator: _Estimator
    contrasts: bool = False
    family: int = 0

    # -- results ---------------------------------------------------------------------------------

    def summary(self, level: float = 0.95, adjust: Adjust | None = None) -> pd.DataFrame:
        """Means with their intervals, or contrasts with their tests, as R's `summary`.

        Columns of means: the variables, `emmean`, `SE`, `df`, `lower.CL`, `upper.CL`. Columns of
        contrasts: `contrast`, the `by` variables, `estimate`, `SE`, `df`, `t.ratio`, `p.value`.
        Without degrees of freedom they are `asymp.LCL`, `asymp.UCL` and `z.ratio`. What the data
        say nothing about is NaN.

        Parameters
        ----------
        level : float
            Of the intervals of means.
        adjust : {"tukey", "holm", "bonferroni", "none"}, optional
            Of several tests or intervals: by default Tukey's for pairwise contrasts, otherwise
            none.

        Raises
        ------
        UsageError
            For an unknown adjustment, and for Tukey's of anything but pairwise contrasts.
        """
        if not self.contrasts:
            return self.conf_int(level, adjust)
        table = self._table()
        ratio = table["estimate"] / table["SE"]
        table["z.ratio" if _asymptotic(table["df"]) else "t.ratio"] = ratio
        table["p.value"] = self._by_group(
            lambda at, how: _p_values(
                ratio.to_numpy()[at], table["df"].to_numpy()[at], how, self.family
            ),
            self._adjustment(adjust),
        )
        return table

    def conf_int(self, level: float = 0.95, adjust: Adjust | None = None) -> pd.DataFrame:
        """Intervals at a level, as R's `confint`; Holm's are Bonferroni's. See `summary`."""
        if not 0.0 < level < 1.0:
            raise UsageError(f"level must lie between 0 and 1, and is {level}.")
        table = self._table()
        df = table["df"].to_numpy()
        half = table["SE"] * self._by_group(
            lambda at, how: _critical(level, df[at], how, self.family), self._adjustment(adjust)
        )
        names = ("asymp.LCL", "asymp.UCL") if _asymptotic(df) else ("lower.CL", "upper.CL")
        middle = table["estimate" if self.contrasts else "emmean"]
        table[names[0]], table[names[1]] = middle - half, middle + half
        return table

    def _table(self) -> pd.DataFrame:
        estimate, error, df = self.estimator.rows(self.L)
        name = "estimate" if self.contrasts else "emmean"
        return self.grid.assign(**{name: estimate + self.offset, "SE": error, "df": df})

    def _adjustment(self, adjust: Adjust | None) -> Adjust:
        if adjust is None:
            return "tukey" if self.family else "none"
        if adjust not in ADJUSTMENTS:
            raise UsageError(f"adjust must be one of {', '.join(ADJUSTMENTS)}, and is {adjust!r}.")
        if adjust == "tukey" and not self.family:
            raise UsageError(
                "Tukey's adjustment is for all pairwise contrasts: use adjust='holm', or pairs()."
            )
        return adjust

    def _groups(self) -> list[NDArray[np.intp]]:
        """Rows of each combination of the `by` variables' levels."""
        if not self.by:
            return [np.arange(len(self.grid))]
        codes = self.grid.groupby(list(self.by), sort=False, observed=True).ngroup().to_numpy()
        return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]

    def _by_group(self, of: Callable[[NDArray[np.intp], Adjust], Array], adjust: Adjust) -> Array:
        out = np.empty(len(self.grid))
        for at in self._groups():
            out[at] = of(at, adjust if len(at) > 1 else "none")
        return out

    # -- contrasts -------------------------------------------------------------------------------

    def pairs(self, *, reverse: bool = False) -> MarginalMeans:
        """All pairwise differences within each level of the `by` variables, as R's `pairs`."""
        return self.contrast("revpairwise" if reverse else "pairwise")

    def contrast(
        self, method: Literal["pairwise", "revpairwise"] | Mapping[str, ArrayLike] = "pairwise"
    ) -> MarginalMeans:
        """Contrasts within each level of the `by` variables, as R's `contrast`.

        Parameters
        ----------
        method : {"pairwise", "revpairwise"} or mapping
            All differences, of an earlier mean less a later one or the reverse, or names with one
            weight for each mean.

        Raises
        ------
        UsageError
            For an unknown method, and for a wrong number of weights.
        """
        others = [name for name in self.grid.columns if name not in self.by]
        groups = self._groups()
        labels = _labels(self.grid.iloc[groups[0]][others], numbers=not self.contrasts)
        family = 0
        if isinstance(method, str):
            if method not in ("pairwise", "revpairwise"):
                raise UsageError(
                    f"method must be 'pairwise', 'revpairwise' or names with weights, and is "
                    f"{method!r}."
                )
            weights = _pairwise(labels, reverse=method == "revpairwise")
            family = len(labels)
        else:
            weights = {name: np.asarray(w, dtype=np.float64) for name, w in method.items()}
        for name, each in weights.items():
            if each.shape != (len(labels),):
                raise UsageError(
                    f"The contrast {name!r} needs {len(labels)} weights, one for each of "
                    f"{', '.join(labels)}."
                )
        if not weights:
            raise UsageError("There is one mean only: contrasts need at least two.")
        parts = []
        for at in groups:
            names = pd.DataFrame({"contrast": list(weights)})
            for name in self.by:
                names[name] = self.grid[name].iloc[at[0]]
            parts.append(names)
        W = np.array(list(weights.values()))
        return replace(
            self,
            grid=pd.concat(parts, ignore_index=True),
            L=np.vstack([W @ self.L[at] for at in groups]),
            offset=np.concatenate([W @ self.offset[at] for at in groups]),
            contrasts=True,
            family=family,
        )

    def __repr__(self) -> str:
        return self.summary().to_string(index=False)


def emmeans(
    fit: Any,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    ddf: Method | Literal["asymptotic"] = "kenward-roger",
) -> MarginalMeans:
    """Estimated marginal means of a fit of `lmer` or `lm`, as R's emmeans.

    Parameters
    ----------
    fit : LmerResults, or what `lm` returns
    specs : str or sequence of str
        Variables of the fixed part whose means are wanted; all others are averaged over, each
        level with the same weight.
    by : str or sequence of str, optional
        Variables within whose levels contrasts are made and adjusted.
    at : mapping, optional
        Variable to the value or values that the reference grid takes. By default factors have all
        their levels, and covariates their mean.
    ddf : {"kenward-roger", "satterthwaite", "asymptotic"}
        Degrees of freedom for `lmer`, R's default first; `lm` has those of its residuals.

    Returns
    -------
    MarginalMeans
        With `summary()`, `conf_int()`, `pairs()` and `contrast()`.

    Raises
    ------
    UsageError
        For a variable that the fixed part does not have, for a fit of other functions, and for
        Kenward and Roger's method of an ML fit.
    """
    matrices = (
        fit.model.matrices if isinstance(fit, LmerResults) else getattr(fit, "matrices", None)
    )
    if not isinstance(matrices, ModelMatrices):
        raise UsageError(
            f"emmeans() takes a fit of lmer() or lm(), and got a {type(fit).__name__}."
        )
    if isinstance(fit, LmerResults) and ddf not in ("kenward-roger", "satterthwaite", "asymptotic"):
        raise UsageError(
            f"ddf must be 'kenward-roger', 'satterthwaite' or 'asymptotic', and is {ddf!r}."
        )
    groups = _names(by)
    wanted = [*(name for name in _names(specs) if name not in groups), *groups]
    levels = _levels(matrices, at or {})
    for name in wanted:
        if name not in levels:
            raise UsageError(
                f"The fixed part has no variable {name!r}: choose from {', '.join(levels)}."
            )
    grid = _expand(levels)
    for name in levels:
        dtype = matrices.columns[name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            grid[name] = pd.Categorical(grid[name], dtype=dtype)
    X0 = _whole(matrices.design).of(grid)
    shown = _expand({name: levels[name] for name in wanted})
    cell = np.zeros(len(grid), dtype=np.intp)
    stride = 1
    for name in wanted:
        cell += stride * pd.Index(levels[name]).get_indexer(pd.Index(grid[name].astype(object)))
        stride *= len(levels[name])
    L = np.zeros((stride, X0.shape[1]))
    np.add.at(L, cell, X0)
    L /= len(grid) / stride
    offset = np.full(stride, matrices.offset.mean())
    return MarginalMeans(shown, L, offset, tuple(groups), _Estimator.of(fit, matrices, ddf))


def _names(given: str | Sequence[str] | None) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _levels(matrices: ModelMatrices, at: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of each variable of the reference grid, in the formula's order.

    Raises
    ------
    UsageError
        For values of a variable that the fixed part does not have.
    """
    design = matrices.design
    levels: dict[str, list[Any]] = {}
    for label in design.terms.variables:
        for name in names(expression(label)):
            if name not in matrices.columns:
                continue  # a constant, such as pi
            column = matrices.columns[name]
            if name in at:
                levels[name] = list(np.atleast_1d(np.asarray(at[name], dtype=object)))
            elif isinstance(column.dtype, pd.CategoricalDtype):
                used = column.cat.remove_unused_categories()
                levels[name] = list(used.cat.categories)
            elif from_pandas(column).kind == "character":
                levels[name] = sorted_levels(list(column.unique()), design.context.collate)
            else:
                values = sorted(column.unique())
                number = pd.api.types.is_numeric_dtype(column)
                covariate = number or from_pandas(column).kind in {"Date", "POSIXct"}
                if covariate and label not in design.factors and len(values) > KEPT_VALUES:
                    values = [float(column.mean()) if number else pd.to_datetime(column).mean()]
                levels.setdefault(name, values)
    for name in at:
        if name not in levels:
            raise UsageError(
                f"at= names {name!r}, which the fixed part does not have: choose from "
                f"{', '.join(levels) or 'none'}."
            )
    return levels


def _expand(levels: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """All combinations, the first variable varying fastest: R's `expand.grid`."""
    rows = [combination[::-1] for combination in product(*reversed(list(levels.values())))]
    return pd.DataFrame(rows, columns=list(levels)).infer_objects()


def _labels(table: pd.DataFrame, *, numbers: bool) -> list[str]:
    """Name each mean by its levels, as emmeans does; levels that are numbers follow their name."""
    parts = []
    for name, column in table.items():
        texts = [_text(value) for value in column]
        lead = str(name) if numbers and all(map(_is_number, texts)) else ""
        parts.append([f"{lead}{text}" for text in texts])
    return [" ".join(each) for each in zip(*parts, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).upper()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _pairwise(labels: Sequence[str], *, reverse: bool) -> dict[str, Array]:
    found = {}
    pairs = list(combinations(range(len(labels)), 2))
    for i, j in sorted((j, i) for i, j in pairs) if reverse else pairs:
        weights = np.zeros(len(labels))
        weights[i], weights[j] = 1.0, -1.0
        found[f"{labels[i]} - {labels[j]}"] = weights
    return found


def _asymptotic(df: ArrayLike) -> bool:
    """Whether no row has degrees of freedom, so that tests are asymptotic."""
    return not np.isfinite(np.asarray(df)).any()


# -- several tests at once -------------------------------------------------------------------------


def _p_values(ratio: Array, df: Array, adjust: Adjust, family: int) -> Array:
    """Two-sided p-values of t ratios (c,), adjusted for all of them."""
    size = np.abs(ratio)
    if adjust == "tukey":
        return studentized_range_tail(np.sqrt(2.0) * size, family, df)
    p = np.asarray(2.0 * t_tail(size, df))
    known = np.flatnonzero(~np.isnan(p))
    if adjust == "bonferroni":
        return np.asarray(np.minimum(p * len(p), 1.0))
    if adjust == "holm":
        order = known[np.argsort(p[known])]
        steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(order))))
        p[order] = np.minimum(steps, 1.0)
    return p


def _critical(level: float, df: Array, adjust: Adjust, family: int) -> Array:
    """How many standard errors an interval reaches to each side, (c,)."""
    if adjust == "tukey":
        return np.array([_tukey_quantile(level, family, float(each)) for each in df])
    share = (1.0 - level) / 2.0 / (1 if adjust == "none" else len(df))
    return -t_quantile(share, df)


@cache
def _tukey_quantile(level: float, family: int, df: float) -> float:
    """Quantile of the studentized range over √2: between one test's and Bonferroni's."""
    if np.isnan(df):
        return np.nan
    tail = (1.0 - level) / 2.0
    ends = [-float(t_quantile(share, df)) for share in (tail, 2.0 * tail / (family * (family - 1)))]
    if family == 2:
        return ends[0]

    def excess(x: Array, _which: object) -> Array:
        return studentized_range_tail(np.sqrt(2.0) * x, family, df) - (1.0 - level)

    high = ends[1] * (1.0 + 1e-9)
    return float(find_roots(excess, np.array([ends[0]]), np.array([high]), 1e-12)[0])
