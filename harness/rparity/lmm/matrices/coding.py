"""R's `model.matrix()`: contrasts, interactions, their names, and linearly dependent columns."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, reduce
from math import comb, isqrt
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import DataError, UsageError
from rparity.lmm.language.formula import Terms
from rparity.lmm.language.values import Contrast, Floats, Vector, as_factor, with_levels
from rparity.lmm.matrices.frame import Context, Frame, check_finite, count_missing, is_missing

# What a user may give as contrasts: R's name of them, or a matrix (levels, contrasts).
Contrasts: TypeAlias = Mapping[str, "str | NDArray[Any] | pd.DataFrame"]

RANK_TOLERANCE = 1e-7  # of R's qr(), in lme4 and lm
MOST_POLYNOMIAL = 95  # levels, of R's contr.poly()
ROOT_BITS = 400  # of a root that is then rounded to a double


@dataclass(frozen=True)
class _Contrasts:
    """One factor's levels and contrast matrix."""

    levels: tuple[str, ...]
    matrix: Floats  # (levels, contrasts)
    names: tuple[str, ...]


@dataclass(frozen=True)
class Coding:
    """The coding of one `model.matrix()`, with which new data get the same columns."""

    terms: Terms
    factors: Mapping[str, _Contrasts]
    suffixes: Mapping[str, tuple[str, ...]]  # of the columns of each matrix
    context: Context
    kept: NDArray[np.bool_] | None = None

    @classmethod
    def learn(
        cls,
        parts: Terms,
        values: Mapping[str, Vector],
        contrasts: Contrasts,
        context: Context,
    ) -> "Coding":
        """Determine levels and contrasts from the rows that the model uses."""
        factors: dict[str, _Contrasts] = {}
        suffixes: dict[str, tuple[str, ...]] = {}
        for label in parts.variables:
            value = values[label]
            if value.kind in {"factor", "logical"}:
                factors[label] = _contrasts(label, value, contrasts.get(label))
            elif label in contrasts:
                raise UsageError(
                    f"contrasts names `{label}`, which is not a factor of the fixed part: "
                    f"its factors are {', '.join(factors) or 'none'}."
                )
            elif value.data.ndim > 1 and value.data.shape[1] > 1:
                numbers = tuple(str(i) for i in range(1, value.data.shape[1] + 1))
                suffixes[label] = value.columns or numbers
        return cls(parts, factors, suffixes, context)

    def matrix(self, values: Mapping[str, Vector], n: int) -> tuple[Floats, tuple[str, ...]]:
        """Return the columns, (n, p), and R's names for them."""
        blocks, names = [np.ones((n, int(self.terms.intercept)))], []
        names += ["(Intercept)"] * self.terms.intercept
        for term, full in zip(self.terms.terms, self._full(), strict=True):
            pieces = [self._columns(k, values[k], f) for k, f in zip(term, full, strict=True)]
            block, columns = reduce(_product, pieces)
            blocks.append(block)
            names += columns
        X = np.hstack(blocks)
        return (X, tuple(names)) if self.kept is None else (X[:, self.kept], tuple(names))

    def assign(self, values: Mapping[str, Vector]) -> NDArray[np.intp]:
        """Number of the term of each column, (p,), from 1 on; 0 for the intercept."""
        widths = [
            int(
                np.prod(
                    [self._columns(k, values[k].take(slice(1)), f)[0].shape[1] for k, f in pieces]
                )
            )
            for pieces in map(zip, self.terms.terms, self._full())
        ]
        found = np.repeat(np.arange(len(widths) + 1), [int(self.terms.intercept), *widths])
        return found if self.kept is None else found[self.kept]

    def of(self, newdata: pd.DataFrame) -> Floats:
        """Return the columns for new data."""
        frame = Frame(newdata, self.context)
        values: dict[str, Vector] = {}
        for label in self.terms.variables:
            value = frame.value(label)
            if (gaps := is_missing(value)).any():
                raise DataError(f"`{label}` has {count_missing(gaps)} in newdata: drop those rows.")
            check_finite(label, value)
            if label in self.factors:
                found = as_factor(value, self.context.collate)
                value = with_levels(found, self.factors[label].levels)
                if (unknown := value.data < 0).any():
                    level = found.levels[found.data[unknown][0]]
                    raise DataError(
                        f"`{label}` has the level `{level}` in newdata, but not in the data of the "
                        "fit."
                    )
            elif value.kind in {"factor", "logical"}:
                raise DataError(f"`{label}` is numeric in the fit, but not in newdata.")
            values[label] = value
        return self.matrix(values, len(newdata))[0]

    def without_margin(self) -> list[list[bool]]:
        """Of each variable of each term, whether no earlier term holds all the others: R's code 2.

        Source: attribute `factors` of R's `terms()`.
        """
        before: set[frozenset[str]] = set()

        def holds(others: frozenset[str]) -> bool:
            # Mostly the others are a term by themselves, which is quick to see.
            return others in before or any(others <= term for term in before)

        found = []
        for term in self.terms.terms:
            part = frozenset(term)
            found.append([len(term) > 1 and not holds(part - {k}) for k in term])
            before.add(part)
        return found

    def _full(self) -> list[list[bool]]:
        """Return which factors of each term get a dummy for each level (TermCode of R's `terms()`).

        A factor is coded by contrasts if an earlier term contains all other variables of its term.
        Without an intercept, the first factor gets dummies.
        """
        full = self.without_margin()
        if not self.terms.intercept:
            for term, dummies in zip(self.terms.terms, full, strict=True):
                first = next((j for j, label in enumerate(term) if label in self.factors), None)
                if first is not None:
                    dummies[first] = True
                    break
        return full

    def _columns(self, label: str, value: Vector, full: bool) -> tuple[Floats, list[str]]:
        if label not in self.factors:
            data = np.asarray(value.data, dtype=np.float64)
            return data if data.ndim > 1 else data[:, None], [
                f"{label}{end}" for end in self.suffixes.get(label, [""])
            ]
        coding = self.factors[label]
        codes = value.data.astype(np.intp)
        coded = np.eye(len(coding.levels)) if full else coding.matrix
        return coded[codes], [f"{label}{end}" for end in (coding.levels if full else coding.names)]


def _product(a: tuple[Floats, list[str]], b: tuple[Floats, list[str]]) -> tuple[Floats, list[str]]:
    """Multiply the columns of an interaction; those of the first factor vary fastest."""
    block = b[0][:, :, None] * a[0][:, None, :]
    return block.reshape(len(block), -1), [f"{left}:{right}" for right in b[1] for left in a[1]]


def _contrasts(label: str, value: Vector, given: object) -> _Contrasts:
    """Return a factor's contrasts as R chooses them (`contrasts<-`, `options("contrasts")`)."""
    ordered = False
    levels: tuple[str, ...] = ("FALSE", "TRUE")
    if value.kind == "factor":
        levels, ordered = value.levels, value.ordered
    if len(levels) < 2:
        raise DataError(f"The factor `{label}` has only one level: remove it from the formula.")
    chosen = _chosen(label, given, len(levels)) if given is not None else value.contrasts
    if chosen is None or not (chosen.function or chosen.matrix is not None):
        default = "contr.poly" if ordered else "contr.treatment"
        chosen = replace(chosen or Contrast(), function=default)
    if chosen.matrix is not None:
        numbers = tuple(str(i) for i in range(1, chosen.matrix.shape[1] + 1))
        return _Contrasts(levels, chosen.matrix, chosen.names or numbers)
    named = levels
    if chosen.base is not None or chosen.most is not None:
        named = tuple(str(i) for i in range(1, len(levels) + 1))
    matrix, names = _by_name(label, chosen.function, len(levels), named, chosen.base)
    return _Contrasts(levels, matrix[:, : chosen.most], names[: chosen.most])


def _chosen(label: str, given: object, count: int) -> Contrast:
    """Read what the user gave for a factor of so many levels."""
    if isinstance(given, str):
        return Contrast(given)
    try:
        matrix = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or len(matrix) != count or not 0 < matrix.shape[1] < count:
        raise UsageError(
            f"contrasts for `{label}` must be one of R's names, such as 'contr.sum', or a matrix "
            f"with {count} rows and at most {count - 1} columns."
        )
    names = tuple(map(str, given.columns)) if isinstance(given, pd.DataFrame) else None
    return Contrast(matrix=matrix, names=names)


def _by_name(
    label: str, contrast: str, n: int, levels: tuple[str, ...], base: int | None
) -> tuple[Floats, tuple[str, ...]]:
    """Return one of R's contrast matrices, and the names of its columns."""
    eye = np.eye(n)
    numbers = tuple(str(i) for i in range(1, n))
    if base is not None and (contrast != "contr.treatment" or not 1 <= base <= n):
        raise UsageError(f"base= for `{label}` must be a level from 1 to {n} of contr.treatment.")
    match contrast:
        case "contr.treatment" | "contr.SAS":
            left_out = n - 1 if contrast == "contr.SAS" else (base or 1) - 1
            return np.delete(eye, left_out, axis=1), levels[:left_out] + levels[left_out + 1 :]
        case "contr.sum":
            return np.vstack([eye[:-1, :-1], -np.ones(n - 1)]), numbers
        case "contr.helmert":
            below = np.diag(np.arange(1.0, n), -1)[:, :-1]
            return below - np.triu(np.ones((n, n)))[:, :-1], numbers
        case "contr.poly":
            if n > MOST_POLYNOMIAL:
                raise DataError(
                    f"The ordered factor `{label}` has {n} levels, and orthogonal polynomials are "
                    f"for {MOST_POLYNOMIAL} at most, as in R: name another contrast."
                )
            names = (".L", ".Q", ".C", *(f"^{d}" for d in range(4, n)))
            return orthogonal_polynomials(n), names[: n - 1]
    known = "contr.treatment, contr.sum, contr.helmert, contr.poly or contr.SAS"
    raise UsageError(f"contrasts for `{label}` must be {known}, not `{contrast}`.")


@cache
def orthogonal_polynomials(n: int) -> Floats:
    """Return R's `contr.poly(n)`, (n, n − 1), each number rounded once.

    These are Chebyshev's discrete polynomials, whose values are integers, over their norms. R and
    LAPACK compute them by QR, whose last bits depend on the processor. Source: Abramowitz and
    Stegun (1964), 22.17.
    """
    columns = []
    for k in range(1, n):
        values = [
            sum(
                (-1) ** (k - i) * comb(n - 1 - i, k - i) * comb(k + i, i) * comb(x, i)
                for i in range(k + 1)
            )
            for x in range(n)
        ]
        norm = sum(value**2 for value in values)
        columns.append([_over_root(value, norm) for value in values])
    out: Floats = np.array(columns).T
    out.setflags(write=False)  # the cache shares it
    return out


def _over_root(value: int, square: int) -> float:
    """Return value / √square, rounded once."""
    root = isqrt((value**2 << 2 * ROOT_BITS) // square)
    return (1 if value > 0 else -1) * (root / (1 << ROOT_BITS))


def independent(X: Floats) -> NDArray[np.bool_]:
    """Return which columns R's `qr(X, tol = 1e-7)` keeps: those that earlier ones do not span."""
    n, p = X.shape
    least = RANK_TOLERANCE * np.sqrt((X * X).sum(axis=0))
    if p <= n and least.all():
        scaled = X / (least / RANK_TOLERANCE)
        with suppress(np.linalg.LinAlgError):
            # The diagonal is the part of each column that earlier ones do not span. If it is far
            # above rounding and the tolerance, the slow method below is not needed.
            if np.diag(np.linalg.cholesky(scaled.T @ scaled)).min(initial=1.0) > 1e-4:
                return np.ones(p, dtype=bool)
    Q = np.empty((n, 0))
    kept = np.zeros(p, dtype=bool)
    for j in range(p):
        rest = X[:, j] - Q @ (Q.T @ X[:, j])
        rest -= Q @ (Q.T @ rest)  # twice is enough for orthogonality
        norm = np.linalg.norm(rest)
        if Q.shape[1] < n and norm >= least[j] > 0:
            kept[j] = True
            Q = np.column_stack([Q, rest / norm])
    return kept
