"""Python's engines under audit: R's names, the package's own numbers, gaps with their reasons."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from rparity import document_data, lmer, paths, recordings
from rparity.audit.questions import audit_question
from rparity.cases import case, cases
from rparity.cases.base import Boot, Data, Lm, Lmer, Part
from rparity.compare import Tables, digits
from rparity.diagnosis.experiments.hessian import joint_cov_params
from rparity.engines.base import Answer, Found, ModelEngine, Question, UnsupportedError, engine
from rparity.engines.native import lmer_tables
from rparity.engines.tables import variance_tables
from rparity.errors import UsageError
from rparity.lmm.matrices.arrange import ranef_table
from rparity.lmm.matrices.model_matrices import build
from rparity.recordings import Recording
from rparity.tables import decode_factors

pytestmark = pytest.mark.slow(
    reason="the answers of six other packages, whose bootstraps and imports take long"
)
MIXED = ("statsmodels", "statsmodels-tight", "mixedlm", "gpboost", "gpboost-tight")
LINEAR = ("statsmodels", "statsmodels-tight", "pyfixest", "linearmodels")
# One of each shape: factors crossed and nested, slopes, a polynomial, weights, NIST's problems.
SHAPES = (
    "document",
    "dyestuff2",
    "penicillin",
    "pastes",
    "cake",
    "sleepstudy",
    "sleepstudy_slope",
    "sleepstudy_uncorrelated",
    "sleepstudy_quadratic",
    "weighted",
    "factor_slopes",
    "insteval",
    "noint1",
    "filip",
    "wampler1",
    "smls04",
)


@cache
def question(name: str) -> Question:
    """What the audit asks about a case, without its bootstraps."""
    known = case(name)
    recording = recordings.read(paths.fixtures(), name, known.scripts())
    data = decode_factors(recording.tables["data"], recording.provenance["levels"])
    asked = audit_question(known, data, {})
    parts = tuple(part for part in asked.case.parts if not isinstance(part, Boot))
    return replace(asked, case=replace(asked.case, parts=parts))


@cache
def answer(who: str, name: str) -> Answer:
    return engine(who).answer(question(name))


@cache
def ours(name: str, part: str) -> Tables:
    """The package's own tables of a mixed model."""
    asked = question(name)
    model = next(p for p in asked.case.parts if p.name == part)
    assert isinstance(model, Lmer)
    assert asked.data is not None
    weights = None if model.weights is None else asked.data[model.weights]
    return lmer_tables(
        lmer(model.formula, asked.data, REML=model.reml, weights=weights), model.kinds
    )


def agreement(who: str, name: str, part: str, kind: str, column: str) -> float:
    """The fewest digits of a column in which an engine agrees with this package."""
    mine = answer(who, name).tables[f"{part}.{kind}"][column]
    theirs = ours(name, part)[kind][column]
    return float(digits(mine, theirs.loc[mine.index]).min())


def models(asked: Question) -> list[Lmer | Lm]:
    return [part for part in asked.case.parts if isinstance(part, Lmer | Lm)]


# What every engine owes --------------------------------------------------------------------------


@pytest.mark.parametrize("who", dict.fromkeys(MIXED + LINEAR))
@pytest.mark.parametrize("name", SHAPES)
def test_a_part_without_an_answer_is_a_gap(
    recorded: dict[str, Recording], who: str, name: str
) -> None:
    found, asked = answer(who, name), question(name)
    undertaken = [t for part in models(asked) for t in engine(who).expected(part)]
    assert set(found.tables) <= set(undertaken)
    for part in models(asked):
        for table in part.tables:
            mine = found.tables.get(table)
            if mine is None:
                assert found.gap(table), f"{table} is neither there nor a gap"
                continue
            theirs = recorded[name].tables.get(table.replace("_centred", ""))
            assert theirs is not None
            assert set(mine.index) <= set(theirs.index)
            for row in theirs.index.difference(mine.index):
                assert found.gap(table, row, "*"), f"{table}, row {row}"
            for column in theirs.columns.difference(mine.columns):
                assert found.gap(table, "*", column) or found.gap(table, "1", column)


def test_every_engine_answers_somewhere() -> None:
    for who in MIXED:
        assert "lmer.coef" in answer(who, "document").tables
    for who in LINEAR:
        assert "lm.coef" in answer(who, "document").tables


@pytest.mark.parametrize(
    ("who", "part", "needed"),
    [
        ("statsmodels", "lmer", 3.0),
        ("statsmodels-tight", "lmer", 8.0),
        ("mixedlm", "lmer", 6.0),
        ("gpboost-tight", "lmer_ml", 10.0),
    ],
)
@pytest.mark.parametrize("name", ["penicillin", "pastes", "cake", "sleepstudy_uncorrelated"])
def test_variances_have_the_digits_of_the_engines_optimizer(
    who: str, part: str, needed: float, name: str
) -> None:
    for kind, column in (("varcorr", "vcov"), ("theta", "value"), ("coef", "std_error")):
        assert agreement(who, name, part, kind, column) > needed
    assert agreement(who, name, part, "coef", "estimate") > 11.0
    assert agreement(who, name, part, "ranef", "condval") > needed - 1.0
    assert agreement(who, name, part, "ranef", "condsd") > needed


@pytest.mark.parametrize("who", ["statsmodels-tight", "mixedlm"])
@pytest.mark.parametrize("name", ["sleepstudy", "factor_slopes"])
def test_correlated_effects_come_in_the_order_of_r(who: str, name: str) -> None:
    for kind, column in (("theta", "value"), ("varcorr", "sdcor"), ("ranef", "condval")):
        assert agreement(who, name, "lmer", kind, column) > 5.5


def test_polynomials_of_an_ordered_factor() -> None:
    assert agreement("mixedlm", "cake", "lmer", "coef", "std_error") > 9.0
    assert any("contr.poly for temperature" in note for note in answer("mixedlm", "cake").notes)


def test_weights_and_offsets_reach_the_engines_that_support_them() -> None:
    assert agreement("mixedlm", "weighted", "lmer", "coef", "std_error") > 7.0
    assert answer("statsmodels", "weighted").gap("lmer.coef") == "MixedLM takes no prior weights"


@pytest.mark.parametrize("who", ["gpboost", "gpboost-tight"])
def test_gpboost_takes_weights_and_an_offset(who: str) -> None:
    rng = np.random.default_rng(1)
    data = document_data(1)
    data["w"], data["o"] = rng.uniform(0.5, 2.0, len(data)), rng.normal(size=len(data))
    part = Lmer("lmer", formula="y ~ x + offset(o) + (1 | p)", weights="w", reml=False)
    tables, _gaps = fitted(who, part, data)
    fit = lmer(part.formula, data, REML=False, weights=data["w"])
    assert digits(tables["coef"]["std_error"], fit.bse).min() > 4.0
    assert digits(tables["glance"]["log_lik"], fit.llf).min() > 9.0


def fitted(who: str, part: Lmer | Lm, data: pd.DataFrame) -> Found:
    asked = engine(who)
    assert isinstance(asked, ModelEngine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_args, **_kwargs: None)
        return asked.fit(part, data)


@pytest.mark.parametrize("who", MIXED)
def test_a_model_that_is_too_large_is_a_gap_with_the_reason(who: str) -> None:
    assert "73421 rows" in str(answer(who, "insteval").gap("lmer.coef"))


def test_answers_do_not_depend_on_when_they_are_asked() -> None:
    for who, name in (("gpboost", "penicillin"), ("mixedlm", "pastes")):
        again = engine(who).answer(question(name))
        for table, frame in answer(who, name).tables.items():
            pd.testing.assert_frame_equal(again.tables[table], frame, check_exact=True)


# The packages' own numbers, and what is behind them ----------------------------------------------


def test_statsmodels_leaves_aic_undefined_under_reml() -> None:
    tables = answer("statsmodels", "document").tables
    assert np.isnan(tables["lmer.glance"].loc["1", ["aic", "bic"]]).all()
    assert np.isfinite(tables["lmer_ml.glance"].loc["1", ["aic", "bic"]]).all()


def test_statsmodels_takes_standard_errors_from_the_joint_hessian() -> None:
    theirs = answer("statsmodels-tight", "document").tables["lmer.vcov"]
    fit = lmer("y ~ x + (1 | p)", document_data(1))
    joint = joint_cov_params(fit)
    assert digits(theirs, joint).min() > 9.0
    assert digits(theirs, fit.cov_params()).min() < 4.0


def test_statsmodels_counts_no_residual_variance_in_the_aic_of_a_linear_model() -> None:
    glance = answer("statsmodels", "document").tables["lm.glance"].loc["1"]
    p = len(answer("statsmodels", "document").tables["lm.coef"])
    assert glance["aic"] == pytest.approx(2.0 * p - 2.0 * glance["log_lik"], rel=1e-13)
    assert glance["bic"] == pytest.approx(np.log(100) * p - 2.0 * glance["log_lik"], rel=1e-13)


def test_gpboost_answers_reml_with_maximum_likelihood_and_a_note() -> None:
    found = answer("gpboost-tight", "document")
    pd.testing.assert_frame_equal(found.tables["lmer.coef"], found.tables["lmer_ml.coef"])
    assert "lmer: gpboost has no REML: this is its maximum likelihood" in found.notes


def test_gpboost_estimates_the_likelihood_of_several_effects_at_random() -> None:
    theirs = answer("gpboost", "penicillin").tables
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data_of("penicillin"), REML=False)
    theta = theirs["lmer_ml.theta"]["value"].to_numpy()
    there = fit.at(theta, theirs["lmer_ml.glance"].loc["1", "sigma"])
    assert 0.01 < abs(theirs["lmer_ml.glance"].loc["1", "log_lik"] - there.llf) < 1.0
    tight = answer("gpboost-tight", "penicillin").tables["lmer_ml.glance"]
    assert digits(tight["log_lik"], fit.llf).min() > 13.0


def data_of(name: str) -> pd.DataFrame:
    data = question(name).data
    assert data is not None
    return data


def test_mixedlm_counts_only_fixed_effects_in_its_residual_degrees_of_freedom() -> None:
    assert answer("mixedlm", "document").tables["lmer.glance"].loc["1", "df_residual"] == 98


def test_pyfixest_centres_r_squared_without_an_intercept() -> None:
    y = data_of("noint1")["y"]
    glance = answer("pyfixest", "noint1").tables["lm.glance"].loc["1"]
    truth = answer("statsmodels", "noint1").tables["lm.glance"].loc["1"]
    centred = 1.0 - (1.0 - truth["r_squared"]) * (y**2).sum() / ((y - y.mean()) ** 2).sum()
    assert glance["r_squared"] == pytest.approx(centred, rel=1e-12)


@pytest.mark.parametrize("who", ["pyfixest", "linearmodels"])
def test_a_factor_is_absorbed(who: str) -> None:
    found, known = answer(who, "document"), answer("statsmodels", "document")
    mine, theirs = found.tables["lm.coef"], known.tables["lm.coef"]
    assert list(mine.index) == ["x"]
    assert found.gap("lm.coef", "p9", "*") == "absorbed"
    assert found.gap("lm.vcov", "x", "(Intercept)") == "absorbed"
    assert found.gap("lm.coef", "x", "estimate") is None
    columns = ["estimate", "std_error", "statistic"]
    assert digits(mine[columns], theirs.loc[["x"], columns]).min() > 11.0


def test_pyfixest_rounds_small_p_values_to_zero() -> None:
    t = abs(answer("pyfixest", "document").tables["lm.coef"].loc["x", "statistic"])
    p_value = answer("pyfixest", "document").tables["lm.coef"].loc["x", "p_value"]
    assert p_value == 2.0 * (1.0 - student.cdf(t, 89)) == 0.0 < student.sf(t, 89)


@pytest.mark.parametrize("who", ["statsmodels", "pyfixest", "linearmodels"])
def test_a_perfect_fit_has_only_estimates(who: str) -> None:
    assert list(answer(who, "wampler1").tables["lm.coef"].columns) == ["estimate"]


# Bootstraps --------------------------------------------------------------------------------------


def boot(name: str, *, use_u: bool) -> tuple[Answer, Boot]:
    known = case(name)
    part = next(p for p in known.parts if isinstance(p, Boot) and p.use_u is use_u)
    model = next(p for p in known.parts if p.name == part.of)
    data = [p for p in question(name).case.parts if isinstance(p, Data)]
    asked = replace(question(name), nsim=1000)
    asked = replace(asked, case=replace(asked.case, parts=(*data, model, part)))
    return engine("mixedlm").answer(asked), part


def test_mixedlm_bootstraps_with_its_own_draws() -> None:
    found, part = boot("sleepstudy", use_u=False)
    table = found.tables[f"{part.name}.boot"]
    assert f"{part.name}: 200 replicates, of its own draws" in found.notes
    assert found.gap(f"{part.name}.replicates") == "mixedlm gives none"
    fit = ours("sleepstudy", "lmer")
    names = [*fit["coef"].index, *fit["theta"].index, "sigma"]
    assert list(table.index) == names
    assert (
        digits(
            table["estimate"],
            [*fit["coef"]["estimate"], *fit["theta"]["value"], fit["glance"].loc["1", "sigma"]],
        ).min()
        > 7.0
    )
    z = (table["std_error"].iloc[:2] / fit["coef"]["std_error"] - 1.0) * np.sqrt(2 * 199)
    assert (z.abs() < 4.0).all()


def test_mixedlm_has_no_bootstrap_given_the_random_effects() -> None:
    found, part = boot("sleepstudy", use_u=True)
    assert "use.u" in str(found.gap(f"{part.name}.boot"))


# The mechanism -----------------------------------------------------------------------------------


class Fake(ModelEngine):
    """Answers what `does` says, after a warning of each kind."""

    name = "fake"
    kinds = {Lmer: ("coef",), Lm: ("coef",)}  # noqa: RUF012

    def __init__(self, does: dict[str, Exception | pd.DataFrame]) -> None:
        self.does = does

    def fit(self, part: Lmer | Lm, data: pd.DataFrame) -> Found:
        assert len(data)
        warnings.warn("for  developers", DeprecationWarning, stacklevel=1)
        warnings.warn("did not\nconverge", UserWarning, stacklevel=1)
        told = self.does[part.name]
        if isinstance(told, Exception):
            raise told
        return {"coef": told}, {"coef/x": "left out"}


def toy(*parts: Part) -> Question:
    known = case("document")
    return Question(replace(known, parts=(Data(make=document_data), *parts)), 2)


def test_a_model_that_fails_is_a_gap_and_warnings_become_notes() -> None:
    frame = pd.DataFrame({"estimate": [1.0]}, ["(Intercept)"])
    parts = [Lmer(name, formula="y ~ x + (1 | p)") for name in ("good", "bad", "odd")]
    asked = Fake({"good": frame, "bad": ValueError("no\n way"), "odd": UnsupportedError("too odd")})
    found = asked.answer(toy(*parts))
    assert list(found.tables) == ["good.coef"]
    assert found.gap("bad.coef") == "ValueError: no way"
    assert found.gap("odd.coef") == "too odd"
    assert found.gap("good.coef", "x") == "left out"
    assert found.gap("good.vcov") == "fake gives none"
    assert found.notes == tuple(f"{name}: did not converge" for name in ("good", "bad", "odd"))


@pytest.mark.parametrize(
    ("who", "package"),
    [("mixedlm", "mixedlm"), ("gpboost", "gpboost"), ("pyfixest", "pyfixest")],
)
def test_an_engine_without_its_package_names_the_remedy(
    who: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"rparity.engines.{who}", raising=False)
    with pytest.raises(UsageError, match=r"needs .*: pip install .*\[audit\]"):
        engine(who)


# Arranging ---------------------------------------------------------------------------------------


def test_a_singular_covariance_has_a_root_with_zeros() -> None:
    (term,) = build("Reaction ~ Days + (Days | Subject)", data_of("sleepstudy")).random
    tables = variance_tables([term], [np.array([[4.0, 2.0], [2.0, 1.0]])], 1.0)
    assert tables["theta"]["value"].tolist() == [2.0, 1.0, 0.0]
    tables = variance_tables([term], [np.diag([0.0, 1.0])], 4.0)
    assert tables["theta"]["value"].tolist() == [0.0, 0.0, 0.5]
    assert np.isnan(tables["varcorr"].loc["Subject.(Intercept).Days", "sdcor"])


@pytest.mark.parametrize("name", ["pastes", "sleepstudy_uncorrelated", "factor_slopes"])
def test_arranged_tables_are_those_of_a_fit(name: str) -> None:
    part = models(question(name))[0]
    fit = lmer(part.formula, data_of(name))
    terms, found = fit.model.matrices.random, fit.conditional
    variances = [np.diagonal(cov, axis1=1, axis2=2) for cov in found.covariances]
    sds = [fit.sigma * np.sqrt(v) for v in variances]
    pd.testing.assert_frame_equal(ranef_table(terms, found.means, sds), fit.random_effects)
    Lambda = fit.model.template.Lambda(fit.theta_hat)
    blocks = [fit.sigma**2 * L @ L.T for L in fit.model.template.blocks(Lambda)]
    tables = variance_tables(terms, blocks, fit.sigma**2)
    pd.testing.assert_frame_equal(tables["varcorr"], fit.varcorr, rtol=1e-12)
    pd.testing.assert_frame_equal(tables["theta"], fit.theta.to_frame("value"), rtol=1e-9)


def test_cases_are_all_known() -> None:
    assert set(SHAPES) <= set(cases())
