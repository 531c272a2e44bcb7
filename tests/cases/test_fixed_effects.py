"""The cases of degrees of freedom, tests of type III and marginal means.

What each engine must give is in test_cases_against_r.py; here are wrong implementations that the
tolerances catch, the causes that experiments find, and the references of an audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

import rparity
from rparity import paths
from rparity.audit.audit_case import RECORDED, REFERENCES, audit_case_of
from rparity.audit.examine import Examination
from rparity.audit.results import EngineReply
from rparity.cases import case
from rparity.cases.base import REML_TABLES, TEST_TABLES, Lmer, rule
from rparity.cases.fixed_effects import FIXED_EFFECTS
from rparity.compare import Reference, Verdict, compare, kind_of, part_of
from rparity.engines import native
from rparity.engines.base import Answer, Question
from rparity.engines.kept_answers import asked
from rparity.engines.native import Native, everything, fitted
from rparity.lmm.fit import LmerResults
from rparity.lmm.inference.emmeans import MarginalMeans
from rparity.recordings import Recording
from rparity.run import run_case
from rparity.tables import decode_factors

NAMES = [known.name for known in FIXED_EFFECTS]
UNBALANCED = case("unbalanced_tests")


def differing() -> pd.DataFrame:
    """Return what differs from R's recording by more than its tolerance."""
    recording = UNBALANCED.recording(paths.fixtures())
    packages = recording.provenance["made_by"]["packages"]
    answer = Native().answer(Question(UNBALANCED, 1, packages, data_of(recording)))
    expected = [table for table in UNBALANCED.tables if table != "data"]
    r = Reference("R", recording.tables, partial(UNBALANCED.tolerance, "rparity"))
    rows = compare(UNBALANCED.name, "rparity", answer.tables, r, expected)
    return rows[[Verdict(verdict).fails for verdict in rows["verdict"]]]


def caught() -> set[str]:
    return set(differing()["table"])


def both(*kinds: str) -> set[str]:
    """Return the tables of these kinds at default and at tight controls."""
    return {f"{part}.{kind}" for part in ("lmer", "lmer_tight") for kind in kinds}


def data_of(recording: Recording) -> pd.DataFrame:
    return decode_factors(recording.tables["data"], recording.provenance["levels"])


def test_without_a_planted_error_nothing_is_caught() -> None:
    assert caught() == set()


# Wrong on purpose -------------------------------------------------------------------------------


def test_satterthwaite_for_kenward_and_roger(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LmerResults.ddf
    monkeypatch.setattr(LmerResults, "ddf", lambda self, _method: right(self, "satterthwaite"))
    assert caught() == both("ddf")


def test_kenward_and_roger_for_satterthwaite(monkeypatch: pytest.MonkeyPatch) -> None:
    right = native.anova
    monkeypatch.setattr(native, "anova", lambda fit, **_: right(fit, ddf="kenward-roger"))
    assert caught() == both("anova_type3")


def test_the_unadjusted_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LmerResults.cov_params
    monkeypatch.setattr(LmerResults, "cov_params", lambda self, *_method: right(self))
    assert caught() == both("vcov_kr")


def by_coefficients(contrast: str) -> Callable[..., pd.DataFrame]:
    """Test each term by its own coefficients, in a fit with one contrast for the factor."""

    def anova(fit: LmerResults, type: str, ddf: str) -> pd.DataFrame:
        known = UNBALANCED.recording(paths.fixtures())
        formula = UNBALANCED.parts[1].formula
        again = rparity.lmer(formula, data_of(known), contrasts={"grp": contrast})
        rows = {}
        for term, width in (("Days", 1), ("grp", 2), ("Days:grp", 2)):
            mine = [n for n in again.params.index if n.rstrip("abc123") == term]
            assert len(mine) == width
            test = again.test(mine, ddf=ddf)
            rows[term] = [test["ndf"], test["ddf"], test["F"], test["p"]]
        return pd.DataFrame(rows, ["NumDF", "DenDF", "F value", "Pr(>F)"]).T

    return anova


def test_coefficients_under_treatment_contrasts_are_no_test_of_type_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "anova", by_coefficients("contr.treatment"))
    assert caught() == both("anova_type3", "anova_type3_kr")


def test_coefficients_that_sum_to_zero_give_the_same_statistic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Satterthwaite's denominator of several contrasts depends on how these are written."""
    monkeypatch.setattr(native, "anova", by_coefficients("contr.sum"))
    rows = differing()
    assert set(rows["table"]) <= both("anova_type3")
    assert set(rows["column"]) <= {"den_df", "p_value"}


@pytest.mark.parametrize(
    ("argument", "wrong", "kinds"),
    [
        ("ddf", "satterthwaite", {"emmeans", "pairs"}),
        ("at", {"Days": 0.0}, {"emmeans", "pairs"}),
    ],
)
def test_marginal_means_by_another_method_or_elsewhere(
    monkeypatch: pytest.MonkeyPatch, argument: str, wrong: object, kinds: set[str]
) -> None:
    right = native.emmeans
    monkeypatch.setattr(native, "emmeans", lambda *a: right(*a, **{argument: wrong}))
    assert caught() == both(*kinds)


def test_pairs_without_tukeys_adjustment(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MarginalMeans.summary
    monkeypatch.setattr(
        MarginalMeans,
        "summary",
        lambda self: right(self, adjust="none" if self.contrasts else None),
    )
    assert caught() == both("pairs")


# The tables -------------------------------------------------------------------------------------


def test_the_provenance_has_the_versions_of_all_packages(recorded: dict[str, Recording]) -> None:
    for name in NAMES:
        packages = recorded[name].provenance["made_by"]["packages"]
        assert {"R", "lme4", "lmerTest", "pbkrtest", "emmeans"} <= set(packages)


def test_the_two_methods_differ_where_the_design_is_unbalanced(
    recorded: dict[str, Recording],
) -> None:
    ddf = recorded["unbalanced_tests"].tables["lmer_tight.ddf"]
    assert (abs(ddf["satterthwaite"] / ddf["kenward_roger"] - 1.0) > 0.01).all()


def test_one_variance_of_the_singular_design_is_zero(recorded: dict[str, Recording]) -> None:
    found = recorded["singular_tests"]
    part = case("singular_tests").parts[2]
    assert isinstance(part, Lmer)
    fit = fitted(part, data_of(found))
    assert fit.is_singular
    assert fit.theta["dose.(Intercept)"] == 0.0


def test_cells_of_two_factors_are_named_by_both_levels(recorded: dict[str, Recording]) -> None:
    tables = recorded["singular_tests"].tables
    assert list(tables["lmer.emmeans"].index[:2]) == ["early.a", "late.a"]
    assert tables["lmer.pairs"].index[0] == "early a - late a"
    assert len(tables["lmer.pairs"]) == 15


def test_a_fit_by_maximum_likelihood_has_the_tests_without_kenward_and_roger() -> None:
    part = Lmer("m", TEST_TABLES, formula="y ~ f + (1 | g)", reml=False)
    kinds = set(everything(part, reml=False)) & set(TEST_TABLES)
    assert kinds == set(TEST_TABLES) - set(REML_TABLES) == {"anova_type3"}


def test_the_question_of_a_kept_answer_names_the_means() -> None:
    audited = audit_case_of(UNBALANCED, paths.fixtures())
    (line,) = [text for text in asked(audited.question) if text.startswith("lmer: ")]
    assert "emmeans" in line
    assert line.endswith("means of ('grp',)")


# Causes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unbalanced_tests", "document_tests"])
def test_what_r_computes_where_it_stopped_is_predicted_there(name: str) -> None:
    """With tolerances of 1e-12, every difference from R's default has the cause stopped early."""
    strict = replace(case(name), rules=(rule("*", "*", 1e-12, "rounding"),))
    rows = run_case(strict, fixtures=paths.fixtures()).comparisons
    rows = rows[rows["verdict"].isin(["unexplained", "new"])]
    assert set(rows["cause"]) == {"stopped early"}
    assert {kind_of(table) for table in rows["table"]} >= set(strict.parts[1].kinds) & {
        "ddf",
        "vcov_kr",
        "anova_type3",
        "anova_type3_kr",
        "emmeans",
        "pairs",
    }


# The audit --------------------------------------------------------------------------------------


def replies(tables: dict[str, pd.DataFrame], **others: EngineReply) -> dict[str, EngineReply]:
    """Return replies in which only the engine `exact` answers, with these tables."""
    silent = dict.fromkeys(REFERENCES, EngineReply(None, "not asked"))
    return silent | {"exact": EngineReply(Answer(tables))} | others


def test_the_reference_of_tests_is_rs_fit_at_tight_controls() -> None:
    audited = audit_case_of(UNBALANCED, paths.fixtures())
    found = audited.references(replies({}))
    assert {kind_of(table) for table in found} == set(TEST_TABLES)
    for table, (who, frame) in found.items():
        assert (who, part_of(table)) == (RECORDED, "lmer")
        assert frame is audited.recording.tables[f"lmer_tight.{kind_of(table)}"]


def test_the_arbiter_is_the_reference_of_the_tests_that_it_answers() -> None:
    audited = audit_case_of(UNBALANCED, paths.fixtures())
    proven = audited.recording.tables["lmer_tight.ddf"]
    found = audited.references(replies({"lmer.ddf": proven}))
    assert found["lmer.ddf"] == ("exact", proven)
    assert found["lmer.pairs"][0] == RECORDED


def examined(wrong: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Examine this package's answer after a change of its degrees of freedom."""
    audited = audit_case_of(UNBALANCED, paths.fixtures())
    tables = dict(Native().answer(audited.question).tables)
    tables["lmer.ddf"] = wrong(tables["lmer.ddf"])
    mine = replies({}, rparity=EngineReply(Answer(tables)))
    examination = Examination(audited, ["rparity"], mine)
    return examination.comparisons["rparity"].query("table == 'lmer.ddf'")


def test_an_audit_compares_tests_with_the_tolerances_of_the_case() -> None:
    rows = examined(lambda ddf: ddf)
    assert set(rows["reference"]) == {RECORDED}
    assert set(rows["verdict"]) <= {"within", "rounding", "identical"}
    assert rows["rtol"].max() < 1e-5


@pytest.mark.slow(reason="tries every experiment on a case")
def test_an_audit_notices_a_wrong_method() -> None:
    rows = examined(lambda ddf: ddf.assign(kenward_roger=ddf["satterthwaite"]))
    wrong = rows[rows["verdict"] == "unexplained"]
    assert set(wrong["column"]) == {"kenward_roger"}
    assert set(wrong["cause"]) == {"Satterthwaite for Kenward and Roger"}
