"""Tests of terms: `anova` of types I to III, `drop1`, `ranova`, `test` and lmerTest's summary."""

import warnings

import numpy as np
import pandas as pd
import pytest

import rparity
from ddf_recorded import MODELS, at_r, find, frame, optimum, parametrized, table
from lmm_recorded import array
from rparity.errors import UsageError
from rparity.lmm.inference.ddf import inference
from rparity.lmm.inference.hypotheses import FixedTerms, HypothesisWarning

GROUPS = find("unbalanced", "Reaction ~ Days * grp + (Days | Subject)")
CELLS = find("crossed_factors", "y ~ a * b + (1 | g) + (1 | h)")
MISSING = find("missing_cell", "y ~ a * b + (1 | g)")

# Where lmerTest's own degrees of freedom leave fewer digits; where its contrasts of type III do,
# which it rounds to seven digits.
TOLERANCE = {"satterthwaite": 2e-7, "kenward-roger": 1e-10}
DOCUMENT = {"satterthwaite": 3e-5, "kenward-roger": 2e-10}
ROUNDED = 5e-6

every_model = parametrized(MODELS)


@pytest.fixture(autouse=True)
def quiet():
    """What type III does not mean has tests of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        yield


def methods(model: dict) -> list[str]:
    """Methods that R answered; pbkrtest leaves prior weights out, so that its answers are wrong."""
    return ["satterthwaite"] if model["weights"] else list(model["tables"])


def check(found: pd.DataFrame, recorded: dict, rtol: float) -> None:
    wanted = table(recorded)
    assert list(found.index) == list(wanted.index)
    assert not len(wanted) or list(found.columns) == list(wanted.columns)
    for name in wanted.columns:
        there = wanted[name].to_numpy(dtype=float)
        np.testing.assert_allclose(found[name], there, rtol=rtol, err_msg=name)


@every_model
@pytest.mark.parametrize("type", ["I", "II", "III"])
def test_anova_is_that_of_lmertest(model, type):
    fit = at_r(model)
    for ddf in methods(model):
        rtol = (DOCUMENT if model["data"] == "document" else TOLERANCE)[ddf]
        found = rparity.anova(fit, type=type, ddf=ddf)
        recorded = model["tables"][ddf]
        check(found, recorded[type], max(ROUNDED, rtol) if type == "III" else rtol)
        if type == "III" and recorded["III_exact"]:
            exact = recorded["III_exact"]
            check(found.loc[exact["rows"]], exact, rtol)


@every_model
def test_drop1_is_that_of_lmertest(model):
    for ddf in methods(model):
        rtol = (DOCUMENT if model["data"] == "document" else TOLERANCE)[ddf]
        check(rparity.drop1(at_r(model), ddf=ddf), model["tables"][ddf]["drop1"], rtol)


@every_model
def test_ranova_is_that_of_lmertest(model):
    found, wanted = rparity.ranova(optimum(model)), table(model["ranova"])
    assert list(found.index) == list(wanted.index)
    assert list(found.columns) == list(wanted.columns)
    for name in wanted:
        there = wanted[name].to_numpy(dtype=float)
        # A ratio near zero is the difference of two optima, whose p-value has half of its digits.
        atol = 1e-3 if name == "Pr(>Chisq)" and (wanted["LRT"] < 1e-6).any() else 2e-7
        np.testing.assert_allclose(found[name], there, rtol=1e-8, atol=atol, err_msg=name)


def test_whole_terms_can_be_left_out():
    found = rparity.ranova(optimum(GROUPS), reduce_terms=False)
    assert list(found.index) == ["<none>", "(Days | Subject)"]
    assert found["Df"].iloc[1] == 3.0


def printed(text: list[str]) -> list[str]:
    """What lmerTest's summary adds to lme4's: all up to the correlations or R's own remarks."""
    lines = [line.rstrip() for line in text]
    ends = ("Correlation of", "fit warnings", "fixed-effect", "optimizer (", "boundary (")
    stop = next((at for at, line in enumerate(lines) if line.startswith(ends)), len(lines))
    return [line for line in lines[:stop] if line]


@parametrized([m for m in MODELS if m["summary"]])
def test_summary_is_that_of_lmertest(model):
    for ddf, text in model["summary"].items():
        if (model["data"], ddf) == ("document", "satterthwaite"):
            continue  # it prints more digits of the degrees of freedom than lmerTest has
        assert printed(at_r(model).summary(ddf).split("\n")) == printed(text)


def test_table_of_coefficients_follows_from_the_method():
    fit = optimum(GROUPS)
    for ddf in ("satterthwaite", "kenward-roger"):
        wanted = table(GROUPS["coefficients"][ddf])
        np.testing.assert_allclose(fit.ddf(ddf), wanted["df"], rtol=5e-6)
        error = np.sqrt(np.diag(fit.cov_params(ddf)))
        np.testing.assert_allclose(error, wanted["Std. Error"], rtol=1e-6)
        low, high = fit.conf_int(0.1, ddf).loc["Days"]
        assert (low + high) / 2 == pytest.approx(fit.params["Days"])
        p = fit.test("Days", rhs=low, ddf=ddf)["p"]
        assert p == pytest.approx(0.1)
    assert fit.conf_int(method="kenward-roger").loc[".sigma"].isna().all()


def test_names_and_numbers_are_the_same_contrast():
    fit = optimum(GROUPS)
    by_name = fit.test(["grpb", "grpc"])
    np.testing.assert_array_equal(by_name, fit.test(np.eye(6)[[2, 3]]))
    assert by_name["ndf"] == 2.0
    assert fit.test(fit.params.to_numpy() * 0 + 1.0)["ndf"] == 1.0


def test_redundant_rows_change_nothing():
    fit = optimum(GROUPS)
    L = np.eye(6)[[2, 3]]
    for ddf in ("satterthwaite", "kenward-roger"):
        once, twice = fit.test(L, ddf=ddf), fit.test(np.vstack([L, L[:1] + L[1:]]), ddf=ddf)
        assert once["ndf"] == twice["ndf"] == 2.0
        assert once["F"] == pytest.approx(twice["F"])


def test_type_three_does_not_depend_on_contrasts():
    for contrast in ("contr.sum", "contr.helmert", "contr.SAS"):
        coded = rparity.lmer(
            CELLS["formula"], frame(CELLS["data"]), contrasts={"a": contrast, "b": contrast}
        )
        for ddf in ("satterthwaite", "kenward-roger"):
            mine = rparity.anova(coded, type="III", ddf=ddf)
            usual = rparity.anova(optimum(CELLS), type="III", ddf=ddf)
            pd.testing.assert_frame_equal(mine, usual, rtol=1e-6)


def test_type_three_is_what_sums_to_zero_contrasts_say():
    coded = rparity.lmer(
        CELLS["formula"], frame(CELLS["data"]), contrasts={"a": "contr.sum", "b": "contr.sum"}
    )
    found = rparity.anova(coded, type="III", ddf="kenward-roger")
    for term, names in (("a", ["a1", "a2"]), ("b", ["b1"])):
        F = coded.test(names, ddf="kenward-roger")["F"]
        assert found.loc[term, "F value"] == pytest.approx(F)


def test_type_three_of_missing_cells_is_warned_of():
    with pytest.warns(HypothesisWarning, match="without data"):
        rparity.anova(at_r(MISSING), type="III")


def test_type_three_away_from_the_data_is_warned_of():
    data = frame("unbalanced")
    fit = rparity.lmer("Reaction ~ dose * grp + (1 | Subject)", data)
    with pytest.warns(HypothesisWarning, match="about dose = 0"):
        rparity.anova(fit)
    centred = data.assign(dose=data.dose - data.dose.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rparity.anova(rparity.lmer("Reaction ~ dose * grp + (1 | Subject)", centred))


def test_a_main_effect_that_is_missing_is_warned_of():
    """lmerTest tests `a` of `a / b` at b's first level, and so does this package."""
    nested = at_r(find("crossed_factors", "y ~ a/b + (1 | g)"))
    with pytest.warns(HypothesisWarning, match="leaves out a main effect"):
        found = rparity.anova(nested, type="III", ddf="kenward-roger")
    at_first = nested.test(["av", "aw"], ddf="kenward-roger")
    assert found.loc["a", "F value"] == pytest.approx(at_first["F"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda fit: fit.test("grpd"), "No coefficient is called 'grpd': choose from"),
        (lambda fit: fit.test(np.ones(4)), "L needs 6 finite numbers a row"),
        (lambda fit: fit.test(np.eye(6), rhs=[1.0, 2.0]), "rhs is one number or 6"),
        (lambda fit: fit.ddf("residual"), "ddf must be 'satterthwaite' or 'kenward-roger'"),
        (lambda fit: fit.conf_int(method="t"), "method must be 'wald', 'profile', 'boot'"),
        (lambda fit: rparity.anova(fit, type="IV"), "type must be 'I', 'II' or 'III'"),
        (lambda fit: rparity.anova(fit, fit, type="I"), "type= and ddf= are for one fit"),
        (lambda _: rparity.anova(), "give it one or more"),
        (lambda fit: rparity.drop1(fit, ["Days"]), "'Days' cannot be left out alone: choose from"),
    ],
)
def test_refusals_name_the_input_and_the_remedy(wrong, says):
    with pytest.raises(UsageError, match=says):
        wrong(optimum(GROUPS))


@pytest.mark.parametrize(
    "ask",
    [
        lambda fit: fit.summary("kenward-roger"),
        lambda fit: fit.test("Days", ddf="kenward-roger"),
        lambda fit: fit.conf_int(method="kenward-roger"),
        lambda fit: rparity.anova(fit, ddf="kenward-roger"),
        lambda fit: rparity.drop1(fit, ddf="kenward-roger"),
    ],
)
def test_kenward_roger_beside_ml_estimates_is_refused(ask):
    with pytest.raises(UsageError, match=r"refit\(REML=True\)"):
        ask(optimum(find(GROUPS["data"], GROUPS["formula"], REML=False)))


# -- wrong on purpose ------------------------------------------------------------------------------


def test_type_three_by_treatment_contrasts_is_noticed():
    """Testing the coefficients of dummy coding is what type III is taken for."""
    fit, terms = at_r(CELLS), FixedTerms(at_r(CELLS).model.matrices)
    right = table(CELLS["tables"]["satterthwaite"]["III"])["F value"]
    wrong = [
        inference(fit, "satterthwaite").joint(terms.coefficients(each)).F for each in right.index
    ]
    assert np.abs(np.array(wrong) / array(list(right)) - 1.0).max() > 0.1
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(wrong, right, rtol=ROUNDED)


def test_types_taken_for_one_another_are_noticed():
    fit = at_r(CELLS)
    tables = CELLS["tables"]["satterthwaite"]
    for asked, other in (("I", "II"), ("II", "III"), ("III", "I")):
        with pytest.raises(AssertionError):
            check(rparity.anova(fit, type=asked), tables[other], ROUNDED)
