"""What a test of a term means: contrasts of types I, II and III, and of leaving a term out.

With X'X = LDL' and L lower triangular with a unit diagonal, the rows of L' that belong to a term
test it after the terms before it:

- type I takes the terms as they stand in the formula;
- type II moves a term, with the terms that contain it, to the end, and takes the term's own rows;
  a term that no other contains is tested by its coefficients alone;
- type III tests a term so that all cells of the factors count alike: its estimable functions are
  made orthogonal to those of the terms that contain it (as in SAS). The contrasts of the factors'
  coding do not matter: the hypotheses are those of dummy coding, carried over to X.

A term contains another one if it has all of its factors, more besides, and the same numeric
variables. Hence a factor's main effect beside an interaction with a numeric variable x is tested
where x is zero.

Sources: lmerTest 3.1-3 (`get_contrasts_type1`, `get_contrasts_type2_unfolded`,
`get_contrasts_type3`, `containment`), which follow SAS. lmerTest rounds type III contrasts to seven
digits; here they are exact.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rparity.errors import UsageError
from rparity.lmm.language.formula import Terms
from rparity.lmm.matrices.coding import Coding, independent
from rparity.lmm.matrices.model_matrices import ModelMatrices

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Type = Literal["I", "II", "III"]

# lmerTest's tolerance: rows of contrasts whose elements sum to less are zero.
NOTHING = 1e-8


class HypothesisWarning(UserWarning):
    """A test of type III has another hypothesis than its name suggests; the message says why."""


def droppable(terms: Terms) -> list[str]:
    """Return the labels of the terms whose variables are not all in another term."""
    sets = [set(term) for term in terms.terms]
    return [
        ":".join(term)
        for term, own in zip(terms.terms, sets, strict=True)
        if not any(own < other for other in sets)
    ]


class FixedTerms:
    """The terms of the fixed part, by R's labels, and the contrasts (r, p) that test them."""

    def __init__(self, matrices: ModelMatrices) -> None:
        self.X = matrices.X
        self.design = matrices.design
        self._names = matrices.names
        self._values = matrices.values(matrices.design.terms)
        self._terms = dict(zip(self.labels, self.design.terms.terms, strict=True))
        assign = self.design.assign(self._values)
        self.columns = {
            label: np.flatnonzero(assign == at) for at, label in enumerate(self.labels, 1)
        }

    @property
    def labels(self) -> list[str]:
        """R's `term.labels`."""
        return [":".join(term) for term in self.design.terms.terms]

    @cached_property
    def containing(self) -> dict[str, list[str]]:
        """The terms that contain each term, as lmerTest sees it.

        lmerTest counts only those variables of a term for which the term without them is in the
        formula as well; in `f / h`, which is f + f:h, it does not see that f:h contains f.
        """
        counted = {
            label: {k for k, without in zip(term, flags, strict=True) if not without}
            for (label, term), flags in zip(
                self._terms.items(), self.design.without_margin(), strict=True
            )
        }
        found = self._containing(counted)
        truly = self._containing({label: set(term) for label, term in self._terms.items()})
        for label in self.labels:
            if found[label] != truly[label]:
                warnings.warn(
                    f"The formula leaves out a main effect, so that lmerTest mistakes which terms "
                    f"contain {label!r}, and its test may not be the one that you mean: write "
                    "the interaction with all its main effects.",
                    HypothesisWarning,
                    stacklevel=6,
                )
        return found

    def _containing(self, variables: Mapping[str, set[str]]) -> dict[str, list[str]]:
        factors = set(self.design.factors)
        numeric = {
            label
            for label in self.design.terms.variables
            if label not in factors and self._values[label].data.ndim == 1
        }
        return {
            inner: [
                outer
                for outer, whole in variables.items()
                if own < whole and own & numeric == whole & numeric
            ]
            for inner, own in variables.items()
        }

    @property
    def droppable(self) -> list[str]:
        """The labels of the terms that can be left out: see `droppable`."""
        return droppable(self.design.terms)

    def contrasts(self, type: Type) -> dict[str, Array]:
        """Return the hypothesis of each term, (r, p), without rows if the term has no column in X.

        Raises
        ------
        UsageError
            For an unknown type.
        """
        if type not in get_args(Type):
            raise UsageError(f"type must be 'I', 'II' or 'III', and is {type!r}.")
        if type == "I" or len(self.labels) <= 1:
            return self._sequential()
        if type == "II":
            return {label: self._type2(label) for label in self.labels}
        return self._type3()

    def coefficients(self, label: str) -> Array:
        """Rows of the identity that pick a term's own coefficients, (r, p)."""
        return np.asarray(np.eye(self.X.shape[1])[self.columns[label]])

    def leaving_out(self, label: str) -> Array:
        """Contrasts (r, p) that are zero for the model without a term, as `drop1` tests it.

        Source: lmerTest's `get_Ldiffmat2`, where columns of X were dropped for a full rank.
        """
        if self.design.kept is None:
            alone = len(self.labels) == 1
            return self._sequential()[label] if alone else self.coefficients(label)
        others = tuple(term for name, term in self._terms.items() if name != label)
        smaller = Terms(self.design.terms.intercept, others)
        design = replace(self.design, terms=smaller, kept=None)
        X0, _ = design.matrix(self._values, len(self.X))
        residual = self.X - X0 @ np.linalg.lstsq(X0, self.X, rcond=None)[0]
        found = self.X.T @ residual[:, np.abs(residual).sum(axis=0) > NOTHING]
        return np.asarray(np.linalg.qr(found)[0].T)

    def _warn_of_zero(self) -> None:
        """Warn of factors whose test is where a covariate is zero, if no data are near zero."""
        for label, term in self._terms.items():
            for outer in self._terms.values():
                covariates = [
                    name
                    for name in set(outer) - set(self.design.factors)
                    if set(term) < set(outer) and name not in term
                ]
                for name in covariates:
                    x = self._values[name].data
                    if x.min() > 0.0 or x.max() < 0.0:
                        warnings.warn(
                            f"The test of type III of {label!r} is about {name} = 0, where there "
                            f"are no data: centre {name}, or use type II.",
                            HypothesisWarning,
                            stacklevel=6,
                        )

    def _sequential(self) -> dict[str, Array]:
        L = _unit_triangle(self.X)
        return {label: L[columns] for label, columns in self.columns.items()}

    def _type2(self, label: str) -> Array:
        containing = self.containing[label]
        if not containing:
            return self.coefficients(label)
        last = np.concatenate([self.columns[each] for each in (label, *containing)])
        order = np.concatenate([np.setdiff1d(np.arange(self.X.shape[1]), last), last])
        at = len(order) - len(last) + np.arange(len(self.columns[label]))
        L = np.empty((len(at), len(order)))
        L[:, order] = _unit_triangle(self.X[:, order])[at]
        return L

    def _type3(self) -> dict[str, Array]:
        values, n = self._values, len(self.X)
        dummies = dict.fromkeys(self.design.factors, "contr.treatment")
        design = Coding.learn(self.design.terms, values, dummies, self.design.context)
        X, names = design.matrix(values, n)
        kept = independent(X)
        X, names = X[:, kept], tuple(np.array(names, dtype=object)[kept])
        assign = replace(design, kept=kept).assign(values)
        columns = {label: np.flatnonzero(assign == at) for at, label in enumerate(self.labels, 1)}

        # Every cell of every term, in terms of X's columns: general estimable functions.
        cells: dict[str, Array] = {"(Intercept)": np.ones(n)} if design.terms.intercept else {}
        for term in design.terms.terms:
            block, labels = Coding.learn(
                Terms(False, (term,)), values, {}, self.design.context
            ).matrix(values, n)
            cells |= dict(zip(labels, block.T, strict=True))
        everything = np.column_stack(list(cells.values()))
        if not everything.any(axis=0).all():
            warnings.warn(
                "There are combinations of factor levels without data: tests of type III depend on "
                "which ones, and are not about averages over all cells.",
                HypothesisWarning,
                stacklevel=5,
            )
        self._warn_of_zero()
        Q, R = np.linalg.qr(X)
        L = np.linalg.solve(R, Q.T @ everything).T
        for label in sorted(self.labels, key=lambda each: -len(self._terms[each])):
            if containing := self.containing[label]:
                others = L[:, np.concatenate([columns[each] for each in containing])]
                others = others[:, independent(others)]
                own = L[:, columns[label]]
                L[:, columns[label]] = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        L = L[[list(cells).index(name) for name in names]]
        onto = np.linalg.solve(R, Q.T @ self.X)  # the coefficients of X in those of dummy coding
        found = {label: L[:, columns[label]].T for label in self.labels}
        return {
            label: rows[np.abs(rows).sum(axis=1) > NOTHING] @ onto for label, rows in found.items()
        }


def _unit_triangle(X: Array) -> Array:
    """L' (p, p) of X'X = LDL'."""
    R = np.linalg.qr(X, mode="r")
    return np.asarray(R / np.diagonal(R)[:, None])
