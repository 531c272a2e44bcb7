"""Large crossed designs: the choice between sparse and dense elimination, and both against R."""

from functools import cache

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import rparity.lmm.numbers.panels
import rparity.lmm.solver.equations
import rparity.lmm.solver.model
import rparity.lmm.solver.nearby
import rparity.lmm.solver.schur
from crossed_recorded import MODELS, pupils
from few import mostly_slow
from rparity.errors import DataError
from rparity.lmm.fit import LmerResults
from rparity.lmm.matrices.model_matrices import build
from rparity.lmm.matrices.template import Template
from rparity.lmm.mixed import lmer
from rparity.lmm.numbers.panels import lower_elements, lower_product, row_pairs
from rparity.lmm.solver.deviance import evaluate
from rparity.lmm.solver.dissection import Tree
from rparity.lmm.solver.fronts import Factor, Fronts
from rparity.lmm.solver.model import MixedModel
from rparity.lmm.solver.nearby import Nearby
from rparity.lmm.solver.schur import Schur, plan

every_model = pytest.mark.parametrize(
    "model", MODELS, ids=[f"{m['formula']}, {'REML' if m['REML'] else 'ML'}" for m in MODELS]
)


@cache
def fitted(formula: str, reml: bool) -> LmerResults:
    return lmer(formula, pupils(), REML=reml)


# -- against R -------------------------------------------------------------------------------------


@every_model
def test_sparse_elimination_gives_the_fit_of_r(model):
    fit = fitted(model["formula"], model["REML"])
    assert not fit.model.structure.design.fronts.dense
    assert fit.converged
    assert list(fit.theta.index) == model["names"]
    assert fit.criterion <= model["criterion"] + 1e-9
    np.testing.assert_allclose(fit.theta, model["theta"], rtol=3e-6)
    np.testing.assert_allclose(fit.params, model["fixef"], rtol=1e-6)
    np.testing.assert_allclose(fit.bse, model["se"], rtol=1e-6)
    assert fit.sigma == pytest.approx(model["sigma"], rel=1e-6)


@every_model
def test_criterion_at_given_theta_equals_that_of_r(model):
    """Also where a standard deviation is zero."""
    fit = fitted(model["formula"], model["REML"])
    for at in (model["elsewhere"], model["zero"]):
        assert fit.deviance_at(at["theta"]) == pytest.approx(at["value"], rel=1e-13)


@every_model
def test_random_effects_at_the_optimum_of_r_equal_those_of_r(model):
    fit = fitted(model["formula"], model["REML"]).at(model["theta"])
    theirs = model["ranef"]
    effects = fit.random_effects.loc[theirs["rows"]]
    np.testing.assert_allclose(effects["condval"], theirs["condval"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(effects["condsd"], theirs["condsd"], rtol=1e-9)


def test_sparse_and_dense_elimination_agree_to_rounding(monkeypatch):
    sparse = fitted(MODELS[0]["formula"], True)
    monkeypatch.setattr(rparity.lmm.solver.schur, "DENSE", 10_000)
    dense = lmer(MODELS[0]["formula"], pupils())
    assert dense.model.structure.design.fronts.dense
    np.testing.assert_allclose(dense.theta, sparse.theta, rtol=1e-9)
    np.testing.assert_allclose(dense.random_effects, sparse.random_effects, rtol=1e-7, atol=1e-9)


# -- derivatives -----------------------------------------------------------------------------------


def small(size: str) -> tuple[Schur, np.ndarray]:
    """Three terms, of which one has a slope, and θ (1, 5) of some size."""
    rows = np.arange(36)
    codes = [rows // 3, (rows + rows % 3) // 4, rows // 12]
    x = np.cos(rows * 1.3)
    Z = [np.ones((36, 1)), np.column_stack([np.ones(36), x]), np.ones((36, 1))]
    X = np.linalg.qr(np.column_stack([np.ones(36), x]))[0]
    structure = Schur(Template.of([1, 2, 1]), Z, codes, [12, 10, 3], 1, X)
    return structure, SCALES[size] * np.array([[0.9, 1.1, 0.4, 0.7, 1.3]])


def dissect_always(inside: sp.csr_array, gram: sp.csr_array) -> Fronts:
    return Fronts(Tree.dissect(sp.csr_array((abs(inside).T @ abs(inside) + abs(gram)).tocsr())))


def exact_values(structure: Schur, theta: list, y: np.ndarray) -> mp.matrix:
    """log|V| and M in mpmath's digits, as one column."""
    template, design = structure.template, structure.design
    Z = design.Z.toarray()
    V = mp.eye(len(Z))
    for group in design.groups:
        Lam = mp.zeros(group.k)
        for value, r, c in zip(theta, template.rows, template.cols, strict=True):
            if group.own.start <= r < group.own.stop:
                Lam[int(r) - group.own.start, int(c) - group.own.start] = value
        own = Z[:, group.rows].reshape(len(Z), group.L, group.k)
        for level in range(group.L):
            on = np.flatnonzero(own[:, level].any(axis=1))
            B = mp.matrix(own[on, level].tolist()) * Lam
            G = B * B.T
            for a, i in enumerate(on):
                for b, j in enumerate(on):
                    V[int(i), int(j)] += G[a, b]
    L = mp.cholesky(V)
    W = np.column_stack([structure.X, y])
    half = []
    for w in W.T.tolist():
        solved: list = []
        for i, value in enumerate(w):
            solved.append((value - mp.fdot(zip(L[i, :i], solved, strict=True))) / L[i, i])
        half.append(solved)
    M = [mp.fdot(zip(u, v, strict=True)) for u in half for v in half]
    return mp.matrix([2 * sum(mp.log(L[i, i]) for i in range(len(Z))), *M])


RESPONSE = np.sin(np.arange(36.0) ** 2)
SCALES = {"large": 1.0, "small": 1e-3}


@cache
def exact_derivatives(size: str) -> dict[str, np.ndarray]:
    """Differences of log|V| and M in fifty digits: a row for each derivative."""
    structure, at = small(size)
    i, j = structure.template.pairs
    with mp.workdps(50):
        h = mp.mpf(10) ** -15

        def value(*moves):
            theta = [mp.mpf(float(element)) for element in at[0]]
            for index in moves:
                theta[index] += h
            return exact_values(structure, theta, RESPONSE)

        here = value()
        one = [value(k) for k in range(5)]
        pairs = [(value(a, b) - one[a] - one[b] + here) / h**2 for a, b in zip(i, j, strict=True)]
        rows = {"value": [here], "gradient": [(up - here) / h for up in one], "hessian": pairs}
        return {
            key: np.array([[float(each) for each in row] for row in found])
            for key, found in rows.items()
        }


@pytest.mark.parametrize("dissected", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "size",
    mostly_slow(SCALES, lambda size: size == "large", "differentiates a criterion in 50 digits"),
)
def test_derivatives_equal_differences_in_fifty_digits(size, dissected, monkeypatch):
    if dissected:
        monkeypatch.setattr(rparity.lmm.solver.schur, "plan", dissect_always)
    structure, at = small(size)
    assert len(structure.design.fronts.tree.round) > 1 or not dissected
    found = structure.evaluate(at, structure.moments(RESPONSE[:, None]))
    for key, wanted in exact_derivatives(size).items():
        V, M = (getattr(part, key)[0] for part in found)
        mine = np.column_stack([np.reshape(V, len(wanted)), M.reshape(len(wanted), -1)])
        np.testing.assert_allclose(mine, wanted, rtol=1e-10, atol=1e-11 * abs(wanted).max())


@pytest.mark.parametrize("dissected", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("theta", [[0.9, 1.1, 0.4, 0.7, 1.3], [0.9, 1.1, 0.4, 0.0, 0.0]])
@pytest.mark.parametrize("exact_up_to", [0, 12])
def test_a_search_has_exact_slopes_and_curvatures_of_two_digits(
    theta, dissected, exact_up_to, monkeypatch
):
    """Random columns are taken for groups of more effects: all three, or only that of twenty."""
    if dissected:
        monkeypatch.setattr(rparity.lmm.solver.schur, "plan", dissect_always)
    structure, _ = small("large")
    at = np.array([theta])
    moments = structure.moments(RESPONSE[:, None])
    exact, _ = structure.evaluate(at, moments)
    monkeypatch.setattr(rparity.lmm.solver.equations, "EXACT", exact_up_to)
    monkeypatch.setattr(rparity.lmm.solver.equations, "SIGNS", 4000)
    rough, _ = structure.evaluate(at, moments, derivatives="search")
    np.testing.assert_allclose(rough.gradient, exact.gradient, rtol=1e-12, atol=1e-12)
    scale = abs(exact.hessian).max()
    error = abs(rough.hessian - exact.hessian).max() / scale
    assert 0.0 < error < 0.03
    for part in (0, 1):
        whole = structure.evaluate(at, moments)[part]
        first = structure.evaluate(at, moments, derivatives="first")[part]
        np.testing.assert_array_equal(first.value, whole.value)
        np.testing.assert_allclose(first.gradient, whole.gradient, rtol=1e-12, atol=1e-12)
        assert not first.hessian.any()
    none, _ = structure.evaluate(at, moments, derivatives="none")
    assert none.value == exact.value
    assert not none.gradient.any()


# -- the start of a search -------------------------------------------------------------------------


def test_variances_from_sums_of_squares_solve_the_dense_equations():
    """With a general variance for each coefficient, and all expectations from n × n matrices."""
    structure, _ = small("large")
    design, n, k = structure.design, 36, structure.template.k
    outside = np.eye(n) - structure.X @ structure.X.T
    Z = [
        design.Z.toarray()[:, group.rows][:, a :: group.k]
        for group in design.groups
        for a in range(group.k)
    ]
    V = [np.eye(n), *(each @ each.T for each in Z)]
    found = np.zeros(k)
    y = outside @ RESPONSE + 2.0 * (Z[0] @ np.cos(np.arange(12.0)))
    for _ in range(2):
        forms = [np.eye(n)]
        for each, variance in zip(Z, found, strict=True):
            size = (each**2).sum(axis=0)
            forms.append(each / (size * (1.0 + size * variance)) @ each.T)
        forms = [outside @ form @ outside for form in forms]
        expected = np.array([[np.trace(form @ v) for v in V] for form in forms])
        solved = np.linalg.solve(expected, [y @ form @ y for form in forms])
        least = [0.1 * each.shape[1] / (each**2).sum() for each in Z]
        found = np.maximum(solved[1:] / max(solved[0], 0.02 * y @ outside @ y / n), least)
    assert (found > least).any()
    np.testing.assert_allclose(structure.variances(y), found, rtol=1e-9)


def test_a_search_starts_near_the_optimum():
    """The factors are nearly nested, and each has 250 levels: 0.045 is a standard error of θ."""
    rng = np.random.default_rng(1)
    b = np.repeat(np.arange(250), 6)
    a = (b + (rng.random(1500) < 0.3)) % 250
    y = rng.normal(size=250)[a] + rng.normal(size=250)[b] + rng.normal(size=1500)
    model = MixedModel(
        build(
            "y ~ 1 + (1 | a) + (1 | b)",
            pd.DataFrame(
                {"y": y, "a": a, "b": b},
            ).astype({"a": "category", "b": "category"}),
        )
    )
    start = np.sqrt(model.structure.variances(model.centre(y)[1]))
    end = model.solve(model.structure.moments(model.centre(y)[1][:, None]), reml=True)
    np.testing.assert_allclose(start, model.working.W @ end.theta[0], rtol=0.2)


# -- evaluations near an earlier one ---------------------------------------------------------------


def test_a_search_that_keeps_second_derivatives_ends_at_the_same_point(monkeypatch):
    asked = []
    evaluate = Schur.evaluate

    def counted(self, theta, moments, *, derivatives="exact", **others):
        asked.append(derivatives)
        return evaluate(self, theta, moments, derivatives=derivatives, **others)

    monkeypatch.setattr(Schur, "evaluate", counted)
    kept = lmer(MODELS[0]["formula"], pupils())
    assert "first" in asked
    assert "none" not in asked  # the values at the end follow from the last derivatives
    monkeypatch.setattr(rparity.lmm.solver.nearby, "KEPT", 0.0)
    monkeypatch.setattr(rparity.lmm.solver.nearby, "EXPANDED", 0.0)
    asked.clear()
    anew = lmer(MODELS[0]["formula"], pupils())
    assert set(asked) == {"search", "none"}
    assert kept.criterion == pytest.approx(anew.criterion, rel=1e-14)
    for name in ("theta", "params", "bse", "sigma"):
        np.testing.assert_allclose(getattr(kept, name), getattr(anew, name), rtol=1e-10)


def test_values_after_a_small_step_follow_from_the_derivatives():
    structure, at = small("large")
    moments = structure.moments(RESPONSE[:, None])
    near, one = Nearby(structure, moments, reml=True), np.zeros(1, dtype=np.intp)
    near.evaluate(at, one)
    there = at + 3e-7 * np.array([[1.0, -1.0, 0.5, 1.0, -0.5]])
    expanded = near.evaluate(there, one, "none")
    exact = evaluate(structure, moments, there, reml=True, derivatives="none")
    np.testing.assert_allclose(expanded.delta, exact.delta, rtol=1e-12)
    np.testing.assert_allclose(expanded.s.value, exact.s.value, rtol=1e-12)
    assert expanded.s.value != near.evaluate(at, one, "none").s.value


# -- fronts ----------------------------------------------------------------------------------------


def grid(side: int) -> sp.csr_array:
    """The Laplacian of a square grid, (side², side²)."""
    path = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sp.eye_array(side)
    return sp.csr_array((sp.kron(path, eye) + sp.kron(eye, path)).tocsr())


def random_tree(q: int) -> sp.csr_array:
    """The Laplacian of a tree in which one vertex is joined to a third of the others."""
    rng = np.random.default_rng(1)
    parent = np.where(rng.random(q - 1) < 1 / 3, 0, rng.integers(0, np.arange(1, q)))
    W = sp.csr_array((np.ones(q - 1), (np.arange(1, q), parent)), shape=(q, q))
    W = W + W.T
    return sp.csr_array((sp.diags_array(W.sum(axis=1)) - W).tocsr())


GRAPHS = {
    "grid": grid(23),
    "tree with a hub": random_tree(400),
    "separate parts": sp.csr_array(sp.block_diag([grid(6)] * 7, format="csr")),
    "no edges": sp.csr_array(sp.eye_array(30)),
    "complete": sp.csr_array(np.eye(40) * 40 - 1.0),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("tree", ["dissected", "one front"])
def test_a_factor_solves_equations_and_has_the_inverse_and_the_determinant(name, tree):
    A = GRAPHS[name]
    q = A.shape[0]
    fronts = Fronts(Tree.dissect(A) if tree == "dissected" else Tree.single(q))
    factor = Factor(fronts, [(0, A)])
    whole = np.eye(q) + A.toarray()
    Y = np.sin(np.arange(2.0 * q)).reshape(q, 2)
    np.testing.assert_allclose(whole @ factor.solve(Y), Y, atol=1e-12)
    assert factor.logdet == pytest.approx(np.linalg.slogdet(whole)[1], rel=1e-13)
    i, j = A.nonzero()
    np.testing.assert_allclose(factor.inverse_at(i, j), np.linalg.inv(whole)[i, j], atol=1e-13)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_tree_has_all_rows_that_cholesky_fills(name):
    """Its pairs are all nonzeros of L outside the fronts' own blocks."""
    A = GRAPHS[name]
    tree = Tree.dissect(A)
    filled = A[tree.order][:, tree.order].toarray() != 0
    for k in range(len(filled)):  # elimination, one row at a time
        below = np.flatnonzero(filled[k, k + 1 :]) + k + 1
        filled[np.ix_(below, below)] = True
    i, j = np.nonzero(np.tril(filled))
    front, row = tree.front[tree.order[j]], tree.order[i]
    outside = tree.front[row] != front
    needed = set(zip(front[outside], row[outside], strict=True))
    assert needed <= set(zip(tree.owner, tree.member, strict=True))
    assert all(tree.round[tree.front[tree.member]] < tree.round[tree.owner])


def test_a_grid_is_dissected_with_little_fill():
    """Nested dissection of an s × s grid needs about 31 s² log₂ s / 4 elements (George 1973)."""
    tree = Tree.dissect(grid(64))
    own, others = (each.astype(float) for each in tree.widths)
    filled = (own * (own + 1) / 2 + own * others).sum()
    assert filled < 2 * 31 / 4 * 64**2 * 6


def test_an_indefinite_matrix_has_no_factor():
    for tree in (Tree.single(60), Tree.dissect(GRAPHS["no edges"])):
        q = len(tree.front)
        with pytest.raises(np.linalg.LinAlgError):
            Factor(Fronts(tree), [(0, sp.csr_array(-2.0 * np.eye(q)))])


def test_a_product_in_panels_is_the_whole_product(monkeypatch):
    monkeypatch.setattr(rparity.lmm.numbers.panels, "WORK", 10)
    rng = np.random.default_rng(1)
    A = sp.csr_array(rng.normal(size=(30, 23)) * (rng.random((30, 23)) < 0.3))
    panels = list(lower_product(A.T.tocsr(), A))
    assert len(panels) > 5
    found = np.zeros((23, 23))
    for panel in panels:
        i, j, value = lower_elements(panel)
        np.add.at(found, (i, j), value)
    np.testing.assert_allclose(found, np.tril((A.T @ A).toarray()), atol=1e-14)


def test_pairs_within_rows_come_in_pieces_and_are_complete(monkeypatch):
    monkeypatch.setattr(rparity.lmm.numbers.panels, "PAIRS", 10)
    rng = np.random.default_rng(1)
    A, B = (sp.csr_array(rng.integers(1, 9, (12, 7)) * (rng.random((12, 7)) < 0.5)) for _ in "ab")
    sums = np.zeros(12)
    pieces = list(row_pairs(A, B))
    assert len(pieces) > 3
    for a, b, row in pieces:
        sums += np.bincount(row, A.data[a] * B.data[b], 12)
    np.testing.assert_array_equal(sums, A.sum(axis=1) * B.sum(axis=1))


# -- the choice ------------------------------------------------------------------------------------


def chain(levels: int, meets: int) -> Fronts:
    """The plan for two factors where level i of the first meets i, i + 1, … of the second."""
    i = np.repeat(np.arange(levels), meets)
    j = (i + np.tile(np.arange(meets), levels)) % levels
    inside = sp.csr_array((np.ones(len(i)), (i, j)), shape=(levels, levels))
    return plan(inside, sp.csr_array(sp.eye_array(levels)))


@pytest.mark.parametrize("meets", [2, 3, 8, 20, 60, 200, 400])
def test_the_choice_follows_from_the_number_of_multiplications(meets):
    fronts = chain(1500, meets)
    sparse = Fronts(Tree.dissect(dissect_pattern(1500, meets)))
    assert fronts.dense == (sparse.cost >= 1500.0**3)
    assert fronts.dense == (meets >= 200)


def dissect_pattern(levels: int, meets: int) -> sp.csr_array:
    i = np.repeat(np.arange(levels), 2 * meets - 1)
    j = (i + np.tile(np.arange(1 - meets, meets), levels)) % levels
    return sp.csr_array((np.ones(len(i)), (i, j)), shape=(levels, levels))


def crossed(levels: int, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, levels, (2, rows))
    y = rng.normal(size=levels)[a] + rng.normal(size=levels)[b] + rng.normal(size=rows)
    return pd.DataFrame({"y": y, "a": pd.Categorical(a), "b": pd.Categorical(b)})


def test_factors_crossed_at_random_are_eliminated_as_one_dense_matrix():
    fit = lmer("y ~ 1 + (1 | a) + (1 | b)", crossed(300, 3000))
    assert fit.model.structure.design.fronts.dense
    assert fit.converged


def test_a_plan_is_made_without_memory_for_the_fronts(monkeypatch):
    """Sparse fronts are considered here, and those of 2,000 rows would need much memory."""
    monkeypatch.setattr(Fronts, "_batch", lambda *_: pytest.fail("memory was allocated"))
    rng = np.random.default_rng(1)
    inside = sp.csr_array((np.ones(20_000), rng.integers(0, 2500, (2, 20_000))), shape=(2500, 2500))
    inside.sum_duplicates()
    assert plan(inside, sp.csr_array(sp.eye_array(2500))).dense


def test_too_little_memory_is_an_error_that_says_how_much_is_needed(monkeypatch):
    monkeypatch.setattr(rparity.lmm.solver.model, "available", lambda: 5e6)
    with pytest.raises(DataError, match=r"needs about 0\.\d GiB of memory, and 0\.0 GiB are avail"):
        lmer("y ~ 1 + (1 | a) + (1 | b)", crossed(300, 3000))


def test_the_memory_that_is_needed_grows_with_the_square_of_a_dense_factor():
    needed = [
        MixedModel(build("y ~ 1 + (1 | a) + (1 | b)", crossed(levels, 6000))).structure.memory
        for levels in (300, 900)
    ]
    assert needed[1] - needed[0] == pytest.approx(8.0 * (900**2 - 300**2), rel=0.3)


def test_a_step_too_far_is_shortened():
    """Rounding makes S indefinite where a standard deviation is 10¹⁰ times the residuals'."""
    fit = fitted(MODELS[0]["formula"], True)
    moments = fit.model.structure.moments(fit.response[:, None])
    V, M = fit.model.structure.evaluate(np.array([[1e10, 1e10]]), moments)
    assert np.isnan(V.value).all()
    assert np.isnan(M.value).all()
