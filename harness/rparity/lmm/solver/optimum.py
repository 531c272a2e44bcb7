"""The optimum of a mixed model for one response, or why there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rparity.errors import DataError
from rparity.lmm.numbers.linalg import sparse_columns
from rparity.lmm.solver.deviance import evaluate
from rparity.lmm.solver.model import MixedModel, NoResidualError, Solution
from rparity.lmm.solver.progress import Watch
from rparity.lmm.solver.starts import more_starts, starts
from rparity.lmm.solver.threads import threads_for

Array = NDArray[np.float64]

# A residual sum of squares this small, beside that of least squares, may be zero.
TOO_SMALL = 1e-10
# The largest standard deviations over σ, in working coordinates, that rounding hardly harms.
LARGE = 1e3
# If β̂ is so far from the β₀ of the deviations, relative to the residual sum of squares, digits of
# the latter are lost: β̂ becomes β₀, at most so many times.
CANCELLED, RECENTRED = 1e4, 3
# The criterion is flat where a change of the parameters by their size changes it by no more.
FLAT = 1e-6
# A norm below this part of the response's own is rounding.
ROUNDING = 5e-14
# Most steps that reduce a response by what X and Z explain of it.
REDUCTIONS = 30


class ConvergenceWarning(UserWarning):
    """The estimates of a mixed model are not those of a single optimum; the message says why."""


def problem(model: MixedModel, solution: Solution) -> str:
    """Return one sentence on why a solution is not the optimum, or "" if it is."""
    if solution.converged[0]:
        return ""
    if flat := undetermined(model, solution):
        return (
            f"The data do not determine the variance parameters: the criterion is flat in {flat} "
            f"direction{'s' if flat > 1 else ''}. Leave out a random term that repeats another one "
            "or a fixed one."
        )
    return (
        "The search for the optimum did not converge: centre and scale covariates, or leave out "
        "random terms."
    )


def optimum(
    model: MixedModel,
    y: Array,
    *,
    reml: bool,
    start: Array | None = None,
    watch: Watch | None = None,
) -> tuple[Array, Solution]:
    """Find the optimum for a response y (n,): β₀ (p,), and the solution with β relative to it.

    `watch` is called after each step of the search.

    Raises
    ------
    DataError
        If nothing is left for the residual variance, or double precision does not suffice.
    """
    reference = model.ordinary_least_squares(y)
    far = np.errstate(divide="ignore", invalid="ignore")  # values far from the optimum
    with threads_for(model.structure), far:
        reference, solution = _relative_to(reference, model, y, reml, start, watch)
        for _ in range(RECENTRED):
            if not _cancels(model, solution, reml):
                break
            shift, start = solution.beta[0], solution.theta[0]
            reference, solution = _relative_to(reference + shift, model, y, reml, start, watch)
    if undetermined(model, solution):
        solution = replace(solution, converged=np.zeros(1, dtype=np.bool_))
    return reference, solution


def _cancels(model: MixedModel, solution: Solution, reml: bool) -> bool:
    """Whether the fixed effects explain so much of the deviations that digits of σ are lost."""
    shift, rss = solution.beta[0], model.divisor(reml=reml) * solution.sigma[0] ** 2
    try:
        explained = float(shift @ np.linalg.solve(solution.vcov_unscaled[0], shift))
    except np.linalg.LinAlgError:
        return False
    return bool(explained > CANCELLED * rss)


def undetermined(model: MixedModel, solution: Solution) -> int:
    """Return the number of directions of ΛΛ' in which the criterion is flat at a solution.

    Changes of θ that leave ΛΛ' as it is, such as rotations of a singular Λ, do not count.
    """
    template = model.template
    theta = model.working.W @ solution.theta[0]
    size = 1.0 + np.abs(theta)
    hessian = solution.hessian[0] * size[:, None] * size
    if not np.isfinite(hessian).all():
        return 0
    values, vectors = np.linalg.eigh(hessian)
    flat = np.abs(values) <= FLAT
    if not flat.any():
        return 0
    half = template.Lambda((vectors[:, flat] * size[:, None]).T) @ template.Lambda(theta).T
    changes = (half + np.swapaxes(half, 1, 2)).reshape(len(half), -1)
    return int(np.linalg.matrix_rank(changes, tol=FLAT))


def _relative_to(
    reference: Array,
    model: MixedModel,
    y: Array,
    reml: bool,
    start: Array | None,
    watch: Watch | None,
) -> tuple[Array, Solution]:
    """Find the optimum for y (n,) by means of its deviations from β₀ = `reference` (p,).

    If the residual variance is nearly zero, a better β₀ is returned with the solution.
    """
    deviations = model.deviations(y, reference)
    total, size = (float(np.linalg.norm(v)) for v in (deviations, model.sqrt_weights * y))
    if total <= 1e-13 * size:
        raise DataError(
            f"The response {model.matrices.response!r} is an exact linear function of the "
            "fixed effects: there is no residual variance to estimate; fit it with lm()."
        )
    for least in (TOO_SMALL * total**2, -np.inf):
        failed = None
        try:
            return reference, _search(model, deviations, reml, start, least, watch)
        except NoResidualError as error:
            there = error.theta
        except np.linalg.LinAlgError as error:
            failed, there = error, np.where(model.template.diagonal, LARGE, 0.0)
        shift, left = _explained(model, deviations, there)
        if left <= ROUNDING * size and not _saturated(model):
            raise DataError(
                f"The response {model.matrices.response!r} is an exact linear function of the "
                "fixed and random effects: the residual variance is zero, and the likelihood has "
                "no maximum. If it is constant within groups, keep one row a group and use lm()."
            )
        if failed is not None:
            raise DataError(
                f"The criterion of {model.matrices.formula!r} cannot be computed in double "
                f"precision ({failed}): centre covariates, or scale them to size 1."
            ) from failed
        reference = reference + shift
        deviations = model.deviations(y, reference)
    raise AssertionError("the second search has no least sum of squares")


def _search(
    model: MixedModel,
    deviations: Array,
    reml: bool,
    start: Array | None,
    least: float,
    watch: Watch | None,
) -> Solution:
    """Minimise the criterion of √w (y − Xβ₀) (n,) from `start` (m,), or from all starts."""
    moments = model.structure.moments(deviations[:, None])
    more = None
    if start is not None:
        begin = start[None]
    else:
        begin = starts(model, deviations, moments, reml=reml, least=least)
        more = more_starts(model)
    many = moments.repeated(len(begin))
    return model.solve(many, reml=reml, start=begin, least=least, one=True, more=more, watch=watch)


def _explained(model: MixedModel, deviations: Array, theta: Array) -> tuple[Array, float]:
    """Explain √w y (n,) by X and Z: return β (p,), and the norm of what is left.

    Ridge regression with the penalty of θ (m,), in working coordinates, is repeated on its residual
    until that does not become smaller; then with a larger penalty, which rounding harms less.
    """
    rest, left = deviations, float(np.linalg.norm(deviations))
    beta = np.zeros(model.p)
    for penalty in (theta, np.clip(theta, -LARGE, LARGE)):
        for _ in range(REDUCTIONS):
            try:
                delta, reduced = _ridge(model, rest, penalty)
            except np.linalg.LinAlgError:
                break
            size = float(np.linalg.norm(reduced))
            if not size <= 0.9 * left:
                break
            rest, left = reduced, size
            beta += model.from_working(delta)
    return beta, left


def _ridge(model: MixedModel, deviations: Array, theta: Array) -> tuple[Array, Array]:
    """Return δ (p,), in the basis of X, and √w y (n,) less fixed and conditional random effects."""
    structure, template = model.structure, model.template
    moments = structure.moments(deviations[:, None])
    delta = evaluate(structure, moments, theta[None], reml=False, derivatives="none").delta[0]
    rest = np.asarray(deviations - model.Q @ delta)
    means = structure.conditional(theta, rest).means
    triangles = template.blocks(template.Lambda(theta))
    for term, Z, u, Lam in zip(
        model.matrices.random, model.working.Z, means, triangles, strict=True
    ):
        rest -= np.einsum("nk,nk->n", Z, (u @ Lam.T)[term.codes])
    return delta, rest


def _saturated(model: MixedModel) -> bool:
    """Whether X and Z together have n independent columns."""
    if model.p + model.q < model.n:
        return False
    levels = [len(term.levels) for term in model.matrices.random]
    codes = [term.codes for term in model.matrices.random]
    spread = map(sparse_columns, model.working.Z, codes, levels)
    columns = [model.Q, *(each.toarray() for each in spread)]
    return bool(np.linalg.matrix_rank(np.hstack(columns)) == model.n)
