"""Degrees of freedom and tests of the arbiter: R's, those of `lmm`, and by definition."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from flint import arb, arb_mat, ctx

import ddf_exact
from ddf_recorded import MODELS, find, frame, label, matrix, optimum, table
from few import mostly_slow
from rparity import anova
from rparity.cases.base import Case, Data, Lmer
from rparity.diagnosis.experiments.base import ROOM
from rparity.engines.base import Question
from rparity.engines.exact import Exact
from rparity.engines.native import lmer_tables
from rparity.exact import Certified, balls, certify
from rparity.exact.criterion import Criterion, Point
from rparity.exact.inference import BallInference
from rparity.exact.rational import rational_model
from rparity.exact.term_tests import _fraction

# R stops at another θ, so that its answer at the optimum has fewer digits than its formulas give.
AT_RS_OPTIMUM = 5e-6
# The largest variance over σ² multiplies what rounding of the gradient does to the optimum.
OURS = 1e-11
TESTS = ("ddf", "vcov_kr", "anova_type3", "anova_type3_kr")
R_COLUMNS = ["NumDF", "DenDF", "F value", "Pr(>F)"]

GROUPS = find("unbalanced", "Reaction ~ Days * grp + (Days | Subject)")
BALANCED = find("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)")
SINGULAR = find("unbalanced", "Reaction ~ late * grp + (1 | Subject) + (1 | dose)")
RATIO = find("Machines", "score ~ Machine + (Machine | Worker)")
WEIGHTED = find("unbalanced", "Reaction ~ Days + grp + (Days | Subject)", weights="w")
SOME = [
    GROUPS,
    BALANCED,
    SINGULAR,
    RATIO,
    WEIGHTED,
    find("document", "y ~ x + (1 | p)"),
    find("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    find("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    find("missing_cell", "y ~ a * b + (1 | g)"),
]
OTHERS = [m for m in MODELS if m["REML"] and m not in SOME]


def named(models: list[dict]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("model", models, ids=[label(m) for m in models])


def proven(model: dict) -> Certified:
    data = frame(model["data"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns of X that R drops too
        return certify(
            model["formula"],
            data,
            weights=data[model["weights"]] if model["weights"] else None,
            contrasts=model["contrasts"],
            tests=True,
        )


def check_against_r(found: Certified, model: dict) -> None:
    ddf = found.frame("ddf")
    known = model["weighted"] if model["weights"] else model
    for column in ddf:
        theirs = table(model["coefficients"][column.replace("_", "-")])["df"].to_numpy()
        if model["weights"] and column == "kenward_roger":
            theirs = np.array(known["df"], dtype=float)
        np.testing.assert_allclose(ddf[column], theirs, rtol=AT_RS_OPTIMUM)
    adjusted = matrix(known["adjusted"])
    np.testing.assert_allclose(
        found.frame("vcov_kr"), adjusted, rtol=1e-4, atol=AT_RS_OPTIMUM * np.abs(adjusted).max()
    )
    for kind, ddf_of in (("anova_type3", "satterthwaite"), ("anova_type3_kr", "kenward-roger")):
        theirs = model["tables"][ddf_of]["III_exact"]
        if not theirs or (model["weights"] and ddf_of == "kenward-roger"):
            continue
        wanted = table(theirs).reindex(columns=R_COLUMNS).to_numpy(dtype=float)
        mine = found.frame(kind).to_numpy(dtype=float)
        np.testing.assert_allclose(mine[:, :3], wanted[:, :3], rtol=AT_RS_OPTIMUM)
        np.testing.assert_allclose(mine[:, 3], wanted[:, 3], rtol=1e-4)


def check_against_ours(found: Certified, model: dict) -> None:
    fit = optimum(model)
    ours = OURS + ROOM * np.finfo(float).eps * float(np.square(fit.theta_hat).max())
    for column, values in found.frame("ddf").items():
        np.testing.assert_allclose(fit.ddf(str(column).replace("_", "-")), values, rtol=ours)
    cov = found.frame("vcov_kr")
    np.testing.assert_allclose(
        fit.kenward_roger.cov, cov, rtol=ours, atol=ours * np.abs(cov.to_numpy()).max()
    )
    for kind, method in (("anova_type3", "satterthwaite"), ("anova_type3_kr", "kenward-roger")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what type III means with empty cells
            tests = anova(fit, type="III", ddf=method)[R_COLUMNS].astype(float)
        assert list(tests.index) == list(found.frame(kind).index)
        *mine, p = tests.to_numpy().T
        *theirs, wanted = found.frame(kind).astype(float).to_numpy().T
        np.testing.assert_allclose(mine, theirs, rtol=ours * 10)
        # p falls as F to the power −DenDF/2, which multiplies the errors of both.
        _, den_df, statistic = theirs
        power = 1.0 + den_df / 2.0 * (1.0 + np.log1p(statistic))
        np.testing.assert_array_less(np.abs(p - wanted), ours * 10 * power * wanted + 1e-300)


@pytest.mark.parametrize(
    "model",
    mostly_slow(
        SOME, lambda model: model not in (BALANCED, GROUPS, SINGULAR), "proves one more model"
    ),
    ids=[label(model) for model in SOME],
)
def test_the_answers_are_those_of_r_and_of_this_package(model: dict) -> None:
    found = proven(model)
    assert set(TESTS) <= set(found.tables)
    assert found.digits >= 50
    check_against_r(found, model)
    check_against_ours(found, model)


@pytest.mark.slow(reason="proves forty mixed models, half a second each")
@named(OTHERS)
def test_the_answers_of_all_other_models_too(model: dict) -> None:
    found = proven(model)
    check_against_r(found, model)
    check_against_ours(found, model)


def inference_of(model: dict, theta: list[arb], free: list[int]) -> BallInference:
    exact = rational_model(model["formula"], frame(model["data"]), figures="double")
    return BallInference(Criterion(exact, reml=True).at(theta), free)


def test_the_hessian_is_that_of_differences() -> None:
    """Of the criterion in (θ, log σ), at a σ where its derivative is zero."""
    with ctx.workprec(500):
        theta = [arb("0.9"), arb("0.1"), arb("0.3")]
        found = inference_of(GROUPS, theta, [0, 1, 2])
        problem, h = found.at.criterion, arb(2) ** -80
        start = [*theta, found.sigma2.log() / 2]

        def value(*moves: tuple[int, int]) -> arb:
            point = list(start)
            for i, sign in moves:
                point[i] += sign * h
            at, f = problem.at(point[:-1]), problem.f
            return (
                at.M.det().log()
                + at.A.det().log()
                + at.s * (-2 * point[-1]).exp()
                + (2 * f * point[-1])
            )

        def cov(i: int, sign: int) -> arb_mat:
            point = list(start)
            point[i] += sign * h
            return problem.at(point[:-1]).A_inverse * (2 * point[-1]).exp()

        H = found.satterthwaite.inverse.inv()
        for i in range(4):
            slope = (cov(i, 1) - cov(i, -1)) * (1 / (2 * h))
            for a, b in np.ndindex(6, 6):
                assert abs(slope[a, b] - found.satterthwaite.along[i][a, b]) < 1e-25
            for j in range(4):
                corners = [s * t * value((i, s), (j, t)) for s in (1, -1) for t in (1, -1)]
                difference = sum(corners, arb(0)) / (4 * h * h)
                assert abs(difference - H[i, j]) < 1e-20 * (1 + abs(H[i, j]))


@pytest.mark.slow(reason="60-digit matrices of the size of the data")
@named([GROUPS, find("document", "y ~ x + half + (x | p)")])
def test_kenward_roger_is_that_of_the_definition(model: dict) -> None:
    """In matrices of the size of the data, at the same θ."""
    fit = optimum(model)
    with ctx.workdps(80):
        cov, df = ddf_exact.Exact(fit).kenward_roger()
    with ctx.workprec(300):
        theta = [arb(float(t)) for t in fit.theta_hat]
        found = inference_of(model, theta, [])
        p = len(df)
        rows = [arb_mat(1, p, [int(i == j) for j in range(p)]) for i in range(p)]
        np.testing.assert_allclose([float(found.kenward_roger.df(r)) for r in rows], df, rtol=1e-14)
        # The definition takes σ of the fit, which is a double.
        mine = [[balls.to_float(cell) for cell in row] for row in found.adjusted_cov.tolist()]
        np.testing.assert_allclose(mine, cov, rtol=1e-11)


def test_degrees_of_freedom_at_a_boundary_are_those_of_the_other_parameters() -> None:
    found = proven(SINGULAR)
    assert found.boundary == ("dose.(Intercept)",)
    assert (found.frame("ddf") > 0).all(axis=None)


def test_ml_fits_have_none() -> None:
    found = certify("Yield ~ 1 + (1 | Batch)", frame("Dyestuff"), REML=False, tests=True)
    assert not set(TESTS) & set(found.tables)


def test_kenward_roger_is_refused_where_the_data_say_nothing_of_a_parameter() -> None:
    """The random effects of cask repeat the fixed ones."""
    model = {"data": "Pastes", "formula": "strength ~ cask + (1 | batch) + (1 | cask)"}
    with ctx.workprec(300):
        found = inference_of(model, [arb("0.5"), arb("0.5")], [0, 1])
        with pytest.raises(ZeroDivisionError):
            assert found.kenward_roger


def test_a_table_that_is_not_proven_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rparity.exact.certificate.inference_tables", lambda *_: {})
    part = Lmer("lmer", kinds=("coef", "ddf"), formula="Yield ~ 1 + (1 | Batch)")
    dyestuff = frame("Dyestuff")
    case = Case("dye", "", "x.R", "x", 1, 1, (Data(make=lambda _rng: dyestuff), part), ())
    answer = Exact().answer(Question(case, 1))
    assert set(answer.tables) == {"lmer.coef"}
    assert "say nothing about a variance parameter" in str(answer.gap("lmer.ddf"))


def test_marginal_means_are_those_of_this_package() -> None:
    """And so of R, with which tests of `emmeans` compare them."""
    kinds = ("coef", "emmeans", "pairs")
    part = Lmer("lmer", kinds=kinds, means=("grp",), formula=GROUPS["formula"])
    unbalanced = frame(GROUPS["data"])
    data = Data(make=lambda _rng: unbalanced)
    engine, case = Exact(), Case("groups", "", "x.R", "x", 1, 1, (data, part), ())
    answer = engine.answer(Question(case, 1))
    ours = lmer_tables(optimum(GROUPS), kinds, part.means)
    for kind in kinds:
        found = answer.tables[f"lmer.{kind}"]
        assert list(found.index) == list(ours[kind].index)
        np.testing.assert_allclose(found, ours[kind][list(found)], rtol=1e-10)
    assert list(answer.tables["lmer.emmeans"]) == list(ours["emmeans"])
    assert "double integral" in str(answer.gap("lmer.pairs", "a - b", "p_value"))
    assert answer.gap("lmer.pairs", "a - b", "df") is None


def test_fractions_are_read_from_doubles() -> None:
    assert _fraction(1.0 / 3.0 + 1e-16) == _fraction(1.0 / 3.0)
    assert (_fraction(-2.0 / 3.0).p, _fraction(-2.0 / 3.0).q) == (-2, 3)
    assert float(arb(_fraction(2.0**0.5))) == 2.0**0.5


# Wrong on purpose --------------------------------------------------------------------------------


def no_adjustment(self: BallInference) -> arb_mat:
    return self.at.A_inverse * self.sigma2


def other_sign(right: Callable[..., list[arb]]) -> Callable[..., list[arb]]:
    return lambda *arguments: [-each for each in right(*arguments)]


@pytest.mark.parametrize(
    "bug",
    mostly_slow(
        [
            *("Satterthwaite's for Kenward and Roger's", "unadjusted covariance"),
            *("slope of s", "Q for V"),
        ],
        lambda bug: bug == "unadjusted covariance",
        "proves all tests of a model for each bug",
    ),
)
def test_a_bug_is_noticed(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    match bug:
        case "Satterthwaite's for Kenward and Roger's":
            right = BallInference.satterthwaite.func
            monkeypatch.setattr(BallInference, "kenward_roger", property(right))
            monkeypatch.setattr(BallInference, "adjusted_cov", property(no_adjustment))
        case "unadjusted covariance":
            monkeypatch.setattr(BallInference, "adjusted_cov", property(no_adjustment))
        case "slope of s":
            monkeypatch.setattr(Point, "slopes_of_s", other_sign(Point.slopes_of_s))
        case "Q for V":
            right_K = BallInference._K
            monkeypatch.setattr(BallInference, "_K", lambda self, i, j: right_K(self, i, j) * 1.001)
    found = proven(GROUPS)
    for check in (check_against_r, check_against_ours):
        with pytest.raises(AssertionError):
            check(found, GROUPS)
