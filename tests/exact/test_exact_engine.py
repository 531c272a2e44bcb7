"""The arbiter: its optima equal independent ones and lmer's; it refuses what it cannot prove."""

from __future__ import annotations

import csv
import re
import sys

import mpmath
import numpy as np
import pandas as pd
import pytest
from flint import arb, arb_mat, ctx, fmpq
from mpmath import mp, mpf

from few import mostly_slow
from fifty_digits import RandomIntercept
from places import DATA
from rparity import document_data, lmer
from rparity.cases import case
from rparity.cases.base import LM_TABLES, LMER_TABLES, Data, Lmer
from rparity.cli import main
from rparity.commands import AGREE
from rparity.engines.base import Question
from rparity.engines.exact import Exact, too_large
from rparity.engines.native import lm_tables, lmer_tables
from rparity.errors import DataError, RparityError, UsageError, install
from rparity.exact import Certified, NotCertifiedError, balls, certify, criterion, mixed
from rparity.exact.enclosure import is_positive_definite, zero_of
from rparity.exact.rational import rational_model
from rparity.lmm.linear import lm

LME4 = DATA / "lme4"
FACTORS = {"Batch", "plate", "sample", "batch", "cask", "Subject"}
MODELS = [
    ("Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    ("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ("Pastes", "strength ~ 1 + (1 | batch/cask)"),
    ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    ("sleepstudy", "Reaction ~ Days + (Days || Subject)"),
    ("sleepstudy", "Reaction ~ I(Days^2) + Days + (1 | Subject)"),
]
DOCUMENT = "y ~ x + (1 | p)"


def lme4_data(name: str) -> pd.DataFrame:
    """One of lme4's data sets, as R's write.csv() wrote it."""
    with (LME4 / f"{name}.csv").open(newline="", encoding="ascii") as file:
        columns = zip(*csv.reader(file), strict=True)
        return pd.DataFrame(
            {
                head: pd.Categorical(cells) if head in FACTORS else list(map(float, cells))
                for head, *cells in columns
            }
        )


def drawn(levels: int = 6, size: int = 4) -> pd.DataFrame:
    """Data whose random slope is estimated as a multiple of the random intercept."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(levels), size)
    x, b = rng.normal(size=len(g)), rng.normal(size=levels)
    y = 1 + x + b[g] * (1 + 0.5 * x) + 0.3 * rng.normal(size=len(g))
    w, o = rng.uniform(0.5, 2, len(g)), rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "o": o, "g": pd.Categorical(g.astype(str))})


def least_digits(certified: Certified, tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    """Fewest digits of each table; asserts that the names are equal."""
    for kind, table in tables.items():
        assert list(certified.frame(kind).index) == list(table.index)
        assert list(certified.frame(kind).columns) == list(table.columns)
    return {kind: certified.digits_of(kind, t).to_numpy().min() for kind, t in tables.items()}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return document_data(1)


@pytest.fixture(scope="module")
def document(data: pd.DataFrame) -> Certified:
    return certify(DOCUMENT, data)


# The document --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "row", "column", "known"),
    [
        ("theta", "p.(Intercept)", "value", "67.5983789118"),
        ("varcorr", "p.(Intercept)", "vcov", "36.8754088802"),
        ("varcorr", "Residual", "vcov", "0.00806982807244"),
        ("coef", "(Intercept)", "std_error", "1.92111004101"),
        ("coef", "x", "std_error", "0.00993300866894"),
        ("glance", "1", "criterion", "-88.6338058021"),
    ],
)
def test_the_known_constants(
    document: Certified, kind: str, row: str, column: str, known: str
) -> None:
    assert document.decimals(kind, 12).loc[row, column] == known


@pytest.mark.parametrize("reml", [True, False])
def test_forty_digits_equal_those_of_an_independent_computation(
    data: pd.DataFrame, reml: bool
) -> None:
    """The other computation uses mpmath, the secant method and no matrices."""
    found = certify(DOCUMENT, data, REML=reml)
    with mp.workdps(60):
        best = RandomIntercept(data, reml=reml).optimum(60.0)
        pairs = [
            ("theta", "p.(Intercept)", "value", best.theta),
            ("varcorr", "p.(Intercept)", "vcov", best.group_variance),
            ("varcorr", "Residual", "vcov", best.sigma2),
            ("coef", "(Intercept)", "estimate", best.beta[0]),
            ("coef", "x", "std_error", best.std_errors[1]),
            ("vcov", "x", "(Intercept)", best.vcov[0, 1]),
            ("glance", "1", "criterion", best.criterion),
            ("ranef", "p.3.(Intercept)", "condval", best.modes[2]),
        ]
        for kind, row, column, exact in pairs:
            text = found.decimals(kind, 45).loc[row, column]
            assert abs(mpf(text) - exact) <= abs(exact) * mpf(10) ** -40, (kind, row, column)


def test_the_certificate_states_its_digits_and_boundary(document: Certified) -> None:
    assert document.digits >= 50
    assert document.agreement >= 30
    assert document.boundary == ()


def test_the_linear_model(data: pd.DataFrame) -> None:
    contrasts = {"p": "contr.sum"}
    found = certify("y ~ x + p", data, contrasts=contrasts)
    assert set(found.tables) == set(LM_TABLES)
    agreed = least_digits(found, lm_tables(lm("y ~ x + p", data, contrasts=contrasts)))
    assert min(agreed.values()) >= 10.5
    with mp.workdps(40):
        t, df = mpf(found.decimals("coef", 35).loc["x", "statistic"]), 89
        p = mpmath.betainc(mpf(df) / 2, 0.5, 0, df / (df + t**2), regularized=True)
        assert abs(mpf(found.decimals("coef", 30).loc["x", "p_value"]) / p - 1) < mpf(10) ** -25
        (low, high) = map(mpf, found.decimals("confint_wald", 35).loc["x"])
        half = (high - low) / 2 / mpf(found.decimals("coef", 35).loc["x", "std_error"])
        tail = mpmath.betainc(mpf(df) / 2, 0.5, 0, df / (df + half**2), regularized=True)
        assert abs(tail - mpf("0.05")) < mpf(10) ** -25


# lme4's data --------------------------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize(
    ("name", "formula"),
    mostly_slow(
        MODELS,
        lambda model: model in (MODELS[0], MODELS[2], MODELS[4]),
        "proves fourteen fits; a scalar, a crossed and a correlated one are quick",
    ),
)
def test_lmer_is_correct_to_twelve_digits(name: str, formula: str, reml: bool) -> None:
    data = lme4_data(name)
    found = certify(formula, data, REML=reml)
    assert found.digits >= 50
    assert found.agreement >= 30
    agreed = least_digits(found, lmer_tables(lmer(formula, data, REML=reml), LMER_TABLES))
    assert min(agreed.values()) >= 12.0, agreed


def test_weights_and_offset() -> None:
    data = drawn()
    formula = "y ~ x + offset(o) + (1 | g)"
    more = {"weights": data["w"], "offset": 0.1 * data["x"]}
    found = certify(formula, data, **more)
    agreed = least_digits(found, lmer_tables(lmer(formula, data, **more), LMER_TABLES))
    assert min(agreed.values()) >= 12.0, agreed


def test_a_group_that_occurs_twice_has_the_names_of_r() -> None:
    """R and `lmer` call the variances of (x || g:h) `g.h.(Intercept)` and `g.h.1.x`."""
    data = drawn().assign(h=pd.Categorical(np.tile(["u", "v"], 12)))
    formula, names = "y ~ x + (x || g:h)", ["g.h.(Intercept)", "g.h.1.x", "Residual"]
    fit, found = lmer(formula, data), certify(formula, data)
    assert list(fit.varcorr.index) == list(found.frame("varcorr").index) == names
    agreed = least_digits(found, lmer_tables(fit, LMER_TABLES))
    assert min(agreed.values()) >= 12.0, agreed


# The boundary --------------------------------------------------------------------------------


def test_a_variance_of_zero_is_proven_by_the_sign_of_its_derivative() -> None:
    data = lme4_data("Dyestuff2")
    found = certify("Yield ~ 1 + (1 | Batch)", data)
    assert found.boundary == ("Batch.(Intercept)",)
    assert (found.frame("ranef") == 0.0).all(axis=None)
    with ctx.workprec(200):
        model = rational_model("Yield ~ 1 + (1 | Batch)", data, figures="double")
        (slope,) = criterion.Criterion(model, reml=True).at([arb(0)]).slopes
        assert slope[0, 0] > 0


def test_a_correlation_of_one_is_proven() -> None:
    found = certify("y ~ x + (x | g)", drawn())
    assert found.boundary == ("g.x",)
    assert found.frame("varcorr").loc["g.(Intercept).x", "sdcor"] == 1.0


def test_a_positive_variance_is_not_certified_as_zero() -> None:
    with pytest.raises(NotCertifiedError, match="Batch that the start holds at zero"):
        certify("Yield ~ 1 + (1 | Batch)", lme4_data("Dyestuff"), start=[0.0])


# Planted mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False])
def test_derivatives_equal_differences_of_the_criterion(reml: bool) -> None:
    model = rational_model(
        "Reaction ~ Days + (Days | Subject)", lme4_data("sleepstudy"), figures="double"
    )
    with ctx.workprec(400):
        problem = criterion.Criterion(model, reml=reml)
        theta, h = [arb("0.9"), arb("0.1"), arb("0.3")], arb(2) ** -60

        def near(**moves: int) -> criterion.Point:
            return problem.at([t + h * moves.get(f"t{i}", 0) for i, t in enumerate(theta)])

        g, H = near().derivatives([0, 1, 2])
        for i in range(3):
            up, down = near(**{f"t{i}": 1}), near(**{f"t{i}": -1})
            assert abs((up.value - down.value) / (2 * h) - g[i]) < 1e-25
            gradients = [p.derivatives([0, 1, 2])[0] for p in (up, down)]
            for j in range(3):
                slope = (gradients[0][j] - gradients[1][j]) / (2 * h)
                assert abs(slope - H[i, j]) < 1e-25


@pytest.mark.parametrize(
    "wrong",
    mostly_slow(
        ["gradient", "hessian"], lambda wrong: wrong == "gradient", "searches for the optimum long"
    ),
)
def test_wrong_derivatives_are_not_certified(
    monkeypatch: pytest.MonkeyPatch, data: pd.DataFrame, wrong: str
) -> None:
    right = criterion.Point.derivatives

    def planted(self: criterion.Point, free: list[int]) -> tuple[list[arb], arb_mat]:
        g, H = right(self, free)
        return ([g[0] + arb("1e-6")], H) if wrong == "gradient" else (g, -5 * H)

    monkeypatch.setattr(criterion.Point, "derivatives", planted)
    with pytest.raises(NotCertifiedError):
        certify(DOCUMENT, data)


def test_a_value_that_depends_on_the_precision_is_not_certified(
    monkeypatch: pytest.MonkeyPatch, data: pd.DataFrame
) -> None:
    right = mixed.lmer_tables

    def planted(problem: criterion.Criterion, theta: list[arb]) -> dict[str, object]:
        tables = right(problem, theta)
        tables["coef"].rows["x"][0] *= 1 + arb(10) ** -28 * (ctx.prec > 500)
        return tables

    monkeypatch.setattr("rparity.exact.certificate.lmer_tables", planted)
    with pytest.raises(NotCertifiedError, match="twice the precision agrees in 0 digits"):
        certify(DOCUMENT, data)


def test_digits_show_a_wrong_value(data: pd.DataFrame, document: Certified) -> None:
    tables = lmer_tables(lmer(DOCUMENT, data), LMER_TABLES)
    for kind, table in tables.items():
        for i, j in np.ndindex(*table.shape):
            if not np.isfinite(table.iloc[i, j]) or table.iloc[i, j] == round(table.iloc[i, j]):
                continue
            wrong = table.copy()
            wrong.iloc[i, j] *= 1 + 1e-9
            agreed = document.digits_of(kind, wrong)
            assert 8.9 < agreed.iloc[i, j] < 9.1
            assert (agreed.to_numpy() < 9.1).sum() == 1


def test_krawczyk_refuses_a_double_zero_and_finds_a_single_one() -> None:
    with ctx.workprec(200):

        def square(x: list[arb]) -> tuple[list[arb], arb_mat]:
            return [(x[0] - 1) ** 2], arb_mat([[2 * (x[0] - 1)]])

        def root(x: list[arb]) -> tuple[list[arb], arb_mat]:
            return [x[0] ** 2 - 2], arb_mat([[2 * x[0]]])

        with pytest.raises(NotCertifiedError):
            zero_of(square, [arb("1.5")])
        (found,) = zero_of(root, [arb("1.4")])
        assert found.overlaps(arb(2).sqrt())
        assert found.rel_accuracy_bits() > 150


def test_positive_definiteness_must_hold_for_the_whole_ball() -> None:
    assert is_positive_definite(arb_mat([[2, 1], [1, 2]]))
    assert not is_positive_definite(arb_mat([[1, 2], [2, 1]]))
    assert not is_positive_definite(arb_mat([[arb(1, 2)]]))


# Figures --------------------------------------------------------------------------------


def test_a_number_is_its_double_or_its_decimal() -> None:
    assert balls.rational(0.1, "decimal") == fmpq(1, 10)
    assert balls.rational(0.1, "double") == fmpq(3602879701896397, 36028797018963968)
    assert balls.rational(1000000000000.4, "decimal") == fmpq(10000000000004, 10)


def test_powers_and_products_are_exact() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [0.1, 0.2, 0.3]})
    model = rational_model("y ~ I(x^3) + x:I(2 * x)", data, figures="decimal")
    assert model.names == ("(Intercept)", "I(x^3)", "x:I(2 * x)")
    assert model.X[1] == [fmpq(k**3, 1000) for k in (1, 2, 3)]
    assert model.X[2] == [fmpq(2 * k**2, 100) for k in (1, 2, 3)]


def test_quantiles_equal_those_of_numpy_and_cover_overlapping_balls() -> None:
    x = [3.0, 1.0, 2.5, 7.0, 4.0, 4.5]
    for k in range(5):
        found = balls.quantile([arb(v) for v in x], fmpq(k, 4))
        assert float(found) == pytest.approx(np.quantile(x, k / 4), rel=1e-15)
    wide = balls.quantile([arb(1, 0.5), arb(1.2, 0.5), arb(3)], fmpq(1, 2))
    assert wide.contains(arb(1)) or wide.contains(arb("1.2"))
    assert wide.rad() >= 0.5


def test_invalid_requests_are_refused(data: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="figures must be"):
        certify(DOCUMENT, data, figures="text")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="weights or an offset"):
        certify("y ~ x", data, weights=np.ones(100))
    with pytest.raises(DataError, match="missing value"):
        certify("y ~ x", data.assign(x=data["x"].where(data["x"] > 1)))
    with pytest.raises(DataError, match="depend on each other"):
        certify("y ~ x + I(2 * x)", data, rank="exact")
    assert issubclass(NotCertifiedError, RparityError)


# The engine --------------------------------------------------------------------------------


def test_the_engine_answers_the_models_of_the_document_and_explains_its_gaps() -> None:
    engine, known = Exact(), case("document")
    answer = engine.answer(Question(known, 2))
    expected = [table for part in known.parts for table in engine.expected(part)]
    assert list(answer.tables) == expected
    assert set(known.tables) - set(expected) - {"data"} == {
        table
        for part in known.parts
        for table in part.tables
        if table in answer.gaps or part.name in answer.gaps
    }
    assert "random" in answer.gaps["boot_fix_u"]
    assert answer.tables["lmer.coef"].loc["x", "std_error"] == 0.009933008668941543


def test_a_model_that_is_too_large_is_a_gap_with_a_reason() -> None:
    data = drawn(60, 5)
    assert too_large(Lmer("lmer", formula="y ~ x + (1 | g)"), data) is None
    part = Lmer("lmer", formula="y ~ x + (x | g)")
    assert too_large(part, data) == "120 random effects: the arbiter takes up to 100"
    document = case("document")
    large = type(document)(
        **{**vars(document), "parts": (Data(make=lambda _rng: data), part), "name": "large"}
    )
    answer = Exact().answer(Question(large, 2))
    assert not answer.tables
    assert answer.gaps == {"lmer": "120 random effects: the arbiter takes up to 100"}


def test_a_model_without_a_proof_is_a_gap_and_other_models_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_arguments: object) -> None:
        raise NotCertifiedError("Krawczyk's test fails")

    monkeypatch.setattr("rparity.exact.certificate.optimum", refuse)
    engine = Exact()
    answer = engine.answer(Question(case("document"), 2))
    assert answer.gap("lmer.coef") == answer.gap("lmer_ml.theta") == "Krawczyk's test fails"
    assert list(engine.provenance["proofs"]) == ["lm", "lm_treatment"]
    assert "lm.coef" in answer.tables


def test_a_perfect_fit_has_only_estimates() -> None:
    engine = Exact()
    answer = engine.answer(Question(case("wampler2"), 1))
    for part in ("lm", "lm_decimal"):
        assert list(answer.tables[f"{part}.coef"]) == ["estimate"]
        assert list(engine.decimals[f"{part}.coef"]) == ["estimate"]
    text = engine.decimals["lm_decimal.coef"].loc["I(x^5)", "estimate"]
    assert text == "1.0000000000000000000e-5"


def test_the_error_without_flint_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    for name in [name for name in sys.modules if name.startswith("rparity.exact")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UsageError, match=re.escape(install("arbiter"))):
        Exact().answer(Question(case("document"), 2))


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant != 63, reason="other processors give poly() other last bits"
)
@pytest.mark.slow(reason="proves a mixed model anew")
def test_the_kept_answer_has_the_columns_that_formulas_have_today(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The hash of the question has the data and the formula, but not the columns of `poly`."""
    assert main(["regenerate", "--engine", "exact", "--check", "sleepstudy_quadratic"]) == AGREE
    assert "unexplained" not in capsys.readouterr().out
