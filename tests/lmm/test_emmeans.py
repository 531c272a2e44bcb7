"""Estimated marginal means, pairs and other contrasts against R's emmeans."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm, t

import rparity
from ddf_recorded import LM, MODELS, WHY, at_r, find, frame, is_one_of_few, label, optimum, table
from few import mostly_slow
from lmm_recorded import array
from rparity.errors import UsageError
from rparity.lmm.inference.emmeans import MarginalMeans, _p_values

# Degrees of freedom are lmerTest's by numerical derivatives, which leave fewer digits.
DF = {"satterthwaite": 5e-8, "kenward-roger": 5e-10}
DOCUMENT = {"satterthwaite": 2e-6, "kenward-roger": 5e-10}
# R's ptukey integrates by fixed rules: with 5 degrees of freedom it is off by 2.5e-7, see below.
# Its qtukey stops at a relative change of 1e-4.
P_TUKEY, Q_TUKEY = 1e-6, 1e-4

CASES = [
    (model, asked, ddf)
    for model in [*MODELS, *LM]
    for asked in model["emmeans"]
    for ddf in ("kenward-roger", "satterthwaite", "asymptotic", "lm")
    if ddf in asked
]
MACHINES = find("some_machines", "score ~ Machine + (Machine | Worker)")
CELLS = find("crossed_factors", "y ~ a * b + (1 | g) + (1 | h)")


def means_of(model: dict, asked: dict, ddf: str) -> MarginalMeans:
    if ddf == "lm":
        fit = _least_squares(model)
        return rparity.emmeans(fit, asked["specs"], by=asked["by"], at=asked["at"])
    return rparity.emmeans(at_r(model), asked["specs"], by=asked["by"], at=asked["at"], ddf=ddf)


def _least_squares(model: dict):
    fit = rparity.lm(model["formula"], frame(model["data"]))
    assert fit.matrices.formula == model["formula"]
    return fit


def check(found: pd.DataFrame, recorded: dict, rtol: dict[str, float]) -> None:
    """Compare names, levels, and numbers: 10 digits of all that `rtol` does not name."""
    wanted = table(recorded)
    assert list(found.columns) == list(wanted.columns)
    for name in wanted:
        there = wanted[name]
        if not pd.api.types.is_numeric_dtype(there):
            assert [str(value) for value in found[name]] == list(there)
            continue
        here = found[name].to_numpy(dtype=float)
        there = there.to_numpy(dtype=float)
        if name == "df":  # infinite ones were written as none
            here = np.where(np.isinf(here), np.nan, here)
        size = np.nanmax(np.abs(there), initial=0.0)
        precise = 1e-10 * (size if name in ("estimate", "emmean") else 1.0)
        np.testing.assert_allclose(
            here, there, rtol=rtol.get(name, 1e-10), atol=precise, err_msg=name
        )


def tolerance(model: dict, ddf: str) -> dict[str, float]:
    df = (DOCUMENT if model["data"] == "document" else DF).get(ddf, 1e-10)
    return dict.fromkeys(["df", "lower.CL", "upper.CL", "p.value"], df)


@pytest.mark.filterwarnings("ignore::rparity.lmm.matrices.model_matrices.RankDeficientWarning")
@pytest.mark.parametrize(
    ("model", "asked", "ddf"),
    mostly_slow(CASES, lambda case: is_one_of_few(case[0]), WHY),
    ids=[f"{label(model)} {asked['specs']} {asked['by']} {ddf}" for model, asked, ddf in CASES],
)
def test_means_and_pairs_are_those_of_emmeans(model, asked, ddf):
    means, recorded = means_of(model, asked, ddf), asked[ddf]
    rtol = tolerance(model, ddf)
    check(means.summary(), recorded["means"], rtol)
    if "pairs" not in recorded:
        return
    pairs, columns = means.pairs(), recorded["pairs"]
    tests = [name for name in columns if name in ("t.ratio", "z.ratio", "p.value")]
    limits = [name for name in columns if name.endswith(("CL", "p.value"))]
    summary = pairs.summary()
    p, wanted = summary.pop("p.value"), array(columns["p.value"])
    np.testing.assert_allclose(p, wanted, rtol=max(rtol["p.value"], 1e-6), atol=P_TUKEY)
    check(summary, {k: v for k, v in columns.items() if k not in limits}, rtol)
    for adjust in ("holm", "none"):
        p = pairs.summary(adjust=adjust)["p.value"]
        np.testing.assert_allclose(p, array(recorded[adjust]), rtol=1e-5, atol=1e-9)
    if ddf != "satterthwaite":  # the quantiles, which take long, are the same functions
        intervals = {k: v for k, v in columns.items() if k not in tests}
        check(pairs.conf_int(), intervals, rtol | dict.fromkeys(limits, Q_TUKEY))


def test_tukey_has_more_digits_than_ptukey():
    """A difference of Machines, whose p-value R 4.2.2 gives as 0.00065249656."""
    (asked,) = find("Machines", "score ~ Machine + (Machine | Worker)")["emmeans"]
    ratio = abs(asked["kenward-roger"]["pairs"]["t.ratio"][1])
    p = _p_values(np.array([ratio, ratio]), np.array([5.0, 5.0]), "tukey", 3)[0]
    z = np.arange(-9.0, 30.0, 0.03)
    s = np.exp(np.arange(-8.0, 3.0, 0.01))  # residual standard deviations over σ

    def beyond(w: float) -> float:
        """The chance that the range of three normals is larger than w."""
        within = (norm.cdf(z) - norm.cdf(z - w)) ** 2
        return 3.0 * 0.03 * float(norm.pdf(z) @ (norm.cdf(z) ** 2 - within))

    density = chi2.pdf(5.0 * s**2, 5.0) * 10.0 * s
    chance = [beyond(np.sqrt(2.0) * ratio * each) for each in s]
    exact = 0.01 * float((density * s) @ np.array(chance))
    assert p == pytest.approx(exact, rel=1e-12)
    assert asked["kenward-roger"]["pairs"]["p.value"][1] != pytest.approx(exact, rel=1e-4)


def test_tukey_of_two_means_is_one_t_test():
    found = rparity.emmeans(optimum(CELLS), "b").pairs().summary()
    ratio, df = abs(found["t.ratio"][0]), found["df"][0]
    assert found["p.value"][0] == pytest.approx(2 * t.sf(ratio, df), rel=1e-12)


def test_names_with_weights_are_contrasts():
    means = rparity.emmeans(optimum(MACHINES), "Machine")
    found = means.contrast({"A - B": [1, -1, 0], "A - rest": [1, -0.5, -0.5]}).summary()
    first = means.pairs().summary(adjust="none").iloc[0]
    assert list(found["contrast"]) == ["A - B", "A - rest"]
    assert found["p.value"][0] == pytest.approx(first["p.value"])
    assert found["estimate"][1] == pytest.approx(
        means.summary()["emmean"] @ np.array([1, -0.5, -0.5])
    )


def test_reverse_pairs_are_pairs_with_the_other_sign():
    means = rparity.emmeans(optimum(MACHINES), "Machine")
    usual, reverse = means.pairs().summary(), means.pairs(reverse=True).summary()
    assert list(reverse["contrast"]) == ["B - A", "C - A", "C - B"]
    np.testing.assert_allclose(reverse["estimate"], -usual["estimate"])
    np.testing.assert_allclose(reverse["p.value"], usual["p.value"])


def test_differences_of_differences_test_the_interaction():
    pairs = rparity.emmeans(optimum(CELLS), "b", by="a").pairs()
    again = replace(pairs, by=(), family=0)
    weights = {"first two": [1, -1, 0], "last two": [0, 1, -1]}
    L = again.contrast(weights).L
    found = optimum(CELLS).test(L, ddf="kenward-roger")["F"]
    wanted = table(CELLS["tables"]["kenward-roger"]["III"]).loc["a:b", "F value"]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_a_covariate_of_two_values_keeps_both_and_means_are_over_equal_weights():
    data = frame("balanced")
    data = data.assign(two=np.where(data["late"] == "late", 1.0, 0.0))
    as_number = rparity.lmer("Reaction ~ two * grp + (1 | Subject)", data)
    as_factor = rparity.lmer("Reaction ~ late * grp + (1 | Subject)", data)
    columns = ["emmean", "SE", "df"]
    pd.testing.assert_frame_equal(
        rparity.emmeans(as_number, "grp").summary()[columns],
        rparity.emmeans(as_factor, "grp").summary()[columns],
    )


def test_an_offset_counts_with_its_mean():
    """As in R, where an offset of `at=` makes no difference."""
    data = frame("unbalanced")
    formula = "Reaction ~ Days + grp + (1 | Subject)"
    inside = rparity.lmer(formula.replace("(1", "offset(dose) + (1"), data)
    beside = rparity.lmer(formula, data, offset=data["dose"])
    without = rparity.lmer(formula, data.assign(Reaction=data["Reaction"] - data["dose"]))
    wanted = rparity.emmeans(without, "grp").summary()
    for fit in (inside, beside):
        found = rparity.emmeans(fit, "grp").summary()
        np.testing.assert_allclose(found["emmean"], wanted["emmean"] + data["dose"].mean())
        np.testing.assert_allclose(found["SE"], wanted["SE"])
        pairs = rparity.emmeans(fit, "grp").pairs().summary()["estimate"]
        np.testing.assert_allclose(
            pairs, rparity.emmeans(without, "grp").pairs().summary()["estimate"]
        )


def test_logical_and_text_variables_are_factors():
    data = frame("balanced")
    data = data.assign(flag=data["late"] == "late", word=data["grp"].astype(str))
    fit = rparity.lmer("Reaction ~ flag + word + (1 | Subject)", data)
    found = rparity.emmeans(fit, "flag").pairs().summary()
    assert list(found["contrast"]) == ["FALSE - TRUE"]
    assert list(rparity.emmeans(fit, "word").summary()["word"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda fit: rparity.emmeans(fit, "Worker"), "no variable 'Worker': choose from Machine"),
        (lambda fit: rparity.emmeans(fit, "Machine", at={"x": 1}), "at= names 'x'"),
        (lambda fit: rparity.emmeans(fit, "Machine", ddf="residual"), "ddf must be"),
        (lambda _: rparity.emmeans(3, "Machine"), "takes a fit of lmer"),
        (lambda fit: rparity.emmeans(fit, "Machine").contrast("eff"), "method must be"),
        (lambda fit: rparity.emmeans(fit, "Machine").contrast({"x": [1, -1]}), "needs 3 weights"),
        (
            lambda fit: rparity.emmeans(fit, "Machine").pairs().summary(adjust="sidak"),
            "adjust must be one of",
        ),
        (lambda fit: rparity.emmeans(fit, "Machine").summary(adjust="tukey"), "all pairwise"),
        (lambda fit: rparity.emmeans(fit, "Machine").conf_int(1.5), "level must lie"),
        (
            lambda fit: rparity.emmeans(fit, "Machine", at={"Machine": "A"}).pairs(),
            "one mean only",
        ),
        (
            lambda fit: rparity.emmeans(fit.refit(REML=False), "Machine"),
            r"refit\(REML=True\)",
        ),
    ],
)
def test_refusals_name_the_input_and_the_remedy(wrong, says):
    with pytest.raises(UsageError, match=says):
        wrong(optimum(MACHINES))


# -- wrong on purpose ------------------------------------------------------------------------------


def test_means_over_the_data_instead_of_the_grid_are_noticed():
    """Weights by the number of rows are another question than equal weights."""
    model = find("unbalanced", "Reaction ~ late + grp + (1 | Subject)")
    asked, fit, data = model["emmeans"][0], at_r(model), frame(model["data"])
    means = means_of(model, asked, "kenward-roger").summary()
    by_late = data.assign(mean=fit.predict(include_random=False)).groupby("late", observed=True)
    with pytest.raises(AssertionError):
        check(
            means.assign(emmean=by_late["mean"].mean().to_numpy()),
            asked["kenward-roger"]["means"],
            {},
        )


def test_unadjusted_errors_are_noticed():
    asked = MACHINES["emmeans"][0]
    satterthwaite = means_of(CELLS, CELLS["emmeans"][0], "satterthwaite").summary()
    with pytest.raises(AssertionError):
        check(satterthwaite, CELLS["emmeans"][0]["kenward-roger"]["means"], {"df": 1.0})
    with pytest.raises(AssertionError):
        check(
            means_of(MACHINES, asked, "asymptotic").summary(), asked["kenward-roger"]["means"], {}
        )
