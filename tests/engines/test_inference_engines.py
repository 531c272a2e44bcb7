"""Engines that give degrees of freedom and tests: R's names, the packages' own numbers, gaps."""

from __future__ import annotations

from functools import cache

import kamino
import mixedlm
import numpy as np
import pandas as pd
import pytest

from rparity import paths, recordings
from rparity.audit.questions import audit_question
from rparity.cases import case
from rparity.cases.base import TEST_TABLES, Lmer
from rparity.compare import digits
from rparity.engines.base import Answer, Question, UnsupportedError, engine
from rparity.engines.tables import (
    coded,
    mean_tables,
    same_columns,
    table_of_tests,
    with_text_groups,
)
from rparity.tables import decode_factors

pytestmark = pytest.mark.slow(reason="the answers of four other packages, whose imports take long")
WHO = ("kamino", "interlace", "interlace-tight", "mixedlm", "pymmeans")
CASES = (
    "document_tests",
    "sleepstudy_tests",
    "unbalanced_tests",
    "singular_tests",
    "cake_tests",
    "penicillin_tests",
    "pastes_tests",
    "machines_tests",
)


@cache
def question(name: str) -> Question:
    known = case(name)
    recording = recordings.read(paths.fixtures(), name, known.scripts())
    data = decode_factors(recording.tables["data"], recording.provenance["levels"])
    return audit_question(known, data, {})


@cache
def answer(who: str, name: str) -> Answer:
    return engine(who).answer(question(name))


def ours(name: str) -> dict[str, pd.DataFrame]:
    return dict(engine("rparity").answer(question(name)).tables)


def agreement(who: str, name: str, table: str, *columns: str) -> float:
    """Fewest digits in which an engine agrees with this package, where it has rows."""
    mine = answer(who, name).tables[table]
    mine = mine[list(columns or mine.columns)]
    known = ours(name)[table].reindex(index=mine.index, columns=mine.columns)
    return float(digits(mine.to_numpy(float), known.to_numpy(float)).min())


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", CASES)
def test_what_is_not_answered_is_a_gap(who: str, name: str) -> None:
    found, known = answer(who, name), ours(name)
    for part in question(name).case.parts:
        for table in part.tables if isinstance(part, Lmer) else ():
            if table not in found.tables:
                assert found.gap(table), table
                continue
            mine, theirs = found.tables[table], known[table]
            assert set(mine.index) <= set(theirs.index)
            for row in theirs.index.difference(mine.index):
                assert found.gap(table, row, "*"), (table, row)
            for column in theirs.columns.difference(mine.columns):
                assert found.gap(table, "*", column) or found.gap(table, "1", column), (
                    table,
                    column,
                )


@pytest.mark.parametrize("who", WHO)
def test_every_engine_answers_tests_somewhere(who: str) -> None:
    found = {table for name in CASES for table in answer(who, name).tables}
    kinds = {table.rpartition(".")[2] for table in found}
    assert {"ddf", "emmeans", "pairs"} <= kinds & set(TEST_TABLES)


@pytest.mark.parametrize("name", ["unbalanced_tests", "machines_tests"])
def test_kamino_has_both_methods(name: str) -> None:
    assert agreement("kamino", name, "lmer.ddf", "kenward_roger") > 7.0
    assert agreement("kamino", name, "lmer.ddf", "satterthwaite") > 4.0
    found, known = answer("kamino", name).tables["lmer.vcov_kr"], ours(name)["lmer.vcov_kr"]
    np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-6 * known.to_numpy().max())
    assert agreement("kamino", name, "lmer.anova_type3_kr") > 5.5
    assert agreement("kamino", name, "lmer.pairs") > 5.5


def test_pymmeans_has_both_methods() -> None:
    name = "unbalanced_tests"
    assert agreement("pymmeans", name, "lmer.ddf", "kenward_roger") > 9.0
    assert agreement("pymmeans", name, "lmer.ddf", "satterthwaite") > 4.5
    for table in ("lmer.vcov_kr", "lmer.emmeans"):
        assert agreement("pymmeans", name, table) > 8.0
    assert agreement("pymmeans", name, "lmer.pairs", "df", "std_error") > 8.0
    assert any("patsy's design" in note for note in answer("pymmeans", name).notes)


def test_mixedlm_returns_satterthwaites_for_kenward_and_rogers() -> None:
    ddf = answer("mixedlm", "unbalanced_tests").tables["lmer.ddf"]
    assert digits(ddf["kenward_roger"], ddf["satterthwaite"]).min() > 12.0
    assert agreement("mixedlm", "unbalanced_tests", "lmer.ddf", "kenward_roger") < 2.0
    assert agreement("mixedlm", "unbalanced_tests", "lmer.ddf", "satterthwaite") > 5.0


def test_mixedlm_takes_residual_degrees_of_freedom_for_means() -> None:
    means = answer("mixedlm", "unbalanced_tests").tables["lmer.emmeans"]
    assert (means["df"] == 118 - 6).all()


def test_interlace_takes_the_residual_variance_as_known() -> None:
    """1/df lacks 1/(n − p): this is how its numbers relate to R's."""
    theirs = answer("interlace-tight", "unbalanced_tests").tables["lmer.ddf"]["satterthwaite"]
    df = ours("unbalanced_tests")["lmer.ddf"]["satterthwaite"]
    assert digits(1.0 / (1.0 / theirs + 1.0 / (118 - 6)), df).min() > 3.0
    assert digits(theirs, df).max() < 2.0


def test_interlace_adjusts_no_covariance() -> None:
    tables = answer("interlace", "singular_tests").tables
    pd.testing.assert_frame_equal(tables["lmer.vcov_kr"], tables["lmer.vcov"], check_exact=True)
    gap = answer("interlace", "unbalanced_tests").gap("lmer.vcov_kr")
    assert "Random slopes are not yet implemented" in str(gap)


@pytest.mark.parametrize("who", ["kamino", "interlace", "mixedlm"])
def test_differences_of_two_factors_have_the_sign_and_names_of_r(who: str) -> None:
    assert agreement(who, "singular_tests", "lmer.pairs", "estimate") > 5.0
    assert len(answer(who, "singular_tests").tables["lmer.pairs"]) == 15


def test_the_packages_are_asked_through_their_own_functions() -> None:
    asked = question("unbalanced_tests")
    assert asked.data is not None
    text = "Reaction ~ Days * grp + (1 + Days | Subject)"
    fit = kamino.lmer(text, asked.data, contrasts={"grp": "sum"})
    df = [fit.kenward_roger().test(row).denominator_df for row in np.eye(6)]
    found = answer("kamino", "unbalanced_tests").tables["lmer.ddf"]["kenward_roger"]
    assert list(found) == df
    other = mixedlm.lmer(text, asked.data, contrasts={"grp": "sum"})
    found = answer("mixedlm", "unbalanced_tests").tables["lmer.ddf"]["satterthwaite"]
    assert sorted(found) == sorted(mixedlm.satterthwaite_df(other).df)


# What the engines share ---------------------------------------------------------------------------


def test_columns_are_recognised_in_any_order() -> None:
    X = np.column_stack([np.ones(4), [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]])
    assert list(same_columns(X[:, [2, 0, 1]], X)) == [1, 2, 0]
    for wrong in (X[:, :2], X * 1.001, X[:, [0, 0, 1]]):
        with pytest.raises(UnsupportedError, match="not R's"):
            same_columns(wrong, X)


def test_contrasts_are_written_into_formulas() -> None:
    assert coded("a * ab + b", {"a": "contr.sum"}, "C({}, Sum)") == "C(a, Sum) * ab + b"
    assert coded("a", {"a": "contr.treatment"}, "C({}, Sum)") == "a"
    with pytest.raises(UnsupportedError, match=r"contr\.helmert"):
        coded("a", {"a": "contr.helmert"}, "C({}, Sum)")


def test_groups_of_numbers_become_text_unless_they_are_covariates() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0], "x": [1.0, 2.0], "g": [10.0, 11.0]})
    assert list(with_text_groups("y ~ x + (1 | g)", data)["g"]) == ["10", "11"]
    assert with_text_groups("y ~ x + (1 | x)", data)["x"].dtype == float


def test_tables_of_tests_take_one_number_for_all_rows() -> None:
    found = table_of_tests("anova_type3", ["a", "b"], [1.0, 2.0], 7.0, [3.0, 4.0], 0.5)
    assert list(found.columns) == ["num_df", "den_df", "f_statistic", "p_value"]
    assert list(found["den_df"]) == [7.0, 7.0]
    with pytest.raises(ValueError, match="argument"):
        table_of_tests("emmeans", ["a"], [1.0])


def test_a_difference_in_the_other_order_changes_its_sign() -> None:
    """R's first factor varies fastest; here the second one does."""
    data = pd.DataFrame({"f": pd.Categorical(["u", "v"]), "g": pd.Categorical(["p", "q"])})
    levels = pd.DataFrame({"f": ["u", "u", "v", "v"], "g": ["p", "q", "p", "q"]})
    means = np.array([1.0, 2.0, 4.0, 8.0])
    i, j = np.triu_indices(4, 1)
    off = means[i] - means[j]
    found = mean_tables(levels, data, (means, 1, 9, 0, 0), (off, 1, 9, off, 0.5))["pairs"]
    assert found.loc["v p - u q", "estimate"] == 4.0 - 2.0
    assert found.loc["u p - v p", "statistic"] == 1.0 - 4.0
    assert "u q - v p" not in found.index
