"""Bounds follow from the problem: within one a difference is explained, ten times above it not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from rparity import paths
from rparity.audit.audit_case import AuditCase, audit_case_of
from rparity.audit.examine import of_models
from rparity.audit.inference import cancelled, derived
from rparity.audit.questions import CENTRED
from rparity.cases import case
from rparity.cases.base import Lm, Lmer
from rparity.compare import Reference, Tables, compare
from rparity.diagnosis.experiments.arithmetic import _largest_movements, _movements
from rparity.diagnosis.experiments.base import ROOM, Dispute
from rparity.diagnosis.explain import Finding, explain
from rparity.engines import kept_answers
from rparity.engines.native import lmer_tables

TEN = 10.0


@cache
def audit_case(name: str) -> AuditCase:
    return audit_case_of(case(name), paths.fixtures())


@cache
def proven(name: str) -> Tables:
    return kept_answers.read(paths.fixtures(), "exact", audit_case(name).question)[0].tables


@cache
def movement(name: str, part: str, *, largest: bool = False) -> Tables:
    """How far the tables of a model move with last bits: each number's own, or the largest's."""
    model = audit_case(name).context.parts[part]
    assert isinstance(model, Lm | Lmer)
    asked = audit_case(name).context
    found = asked.movements(model, _largest_movements if largest else _movements)
    return {f"{part}.{kind}": table for kind, table in found.items()}


def off_by(table: str, change: pd.DataFrame, known: Tables) -> dict[str, pd.DataFrame]:
    return {table: known[table] + change.reindex_like(known[table])}


def causes(name: str, answer: Tables, **more: object) -> set[str]:
    """Causes of the disagreements of a planted answer with the arbiter's."""
    reference = Reference("exact", proven(name), of_models, partial=True)
    rows = compare(name, "planted", answer, reference, list(answer))
    rows = rows[rows["value"].notna()]
    dispute = Dispute(audit_case(name).context, "planted", "exact", answer, proven(name), **more)
    return {finding.cause for finding in explain(dispute, rows)[1]}


ILL_CONDITIONED = [
    ("pontius", "lm.residual_quantiles"),
    ("filip", "lm.coef"),
    ("longley", "lm.coef"),
    ("wampler4", "lm.coef"),
    ("wampler5", "lm.vcov"),
    ("smls04", "lmer.coef"),
    ("smls07", "lmer.vcov"),
]


@pytest.mark.parametrize(("name", "table"), ILL_CONDITIONED)
def test_conditioning_explains_what_last_bits_move_and_not_ten_times_more(
    name: str, table: str
) -> None:
    by = ROOM * movement(name, table.partition(".")[0])[table]
    inside = causes(name, off_by(table, 0.9 * by, proven(name)))
    assert inside == {"conditioning"}
    assert "" in causes(name, off_by(table, TEN * by, proven(name)))


def test_unstable_arithmetic_explains_the_engines_scatter_and_not_ten_times_more() -> None:
    table = "lm.coef"
    noise = {table: 1e-6 * proven("norris")[table].abs()}
    inside = off_by(table, 0.9 * ROOM * noise[table], proven("norris"))
    assert causes("norris", inside, noise=noise) == {"unstable arithmetic"}
    outside = off_by(table, TEN * ROOM * noise[table], proven("norris"))
    assert "" in causes("norris", outside, noise=noise)


@pytest.mark.parametrize(("column", "power"), [("condval", 1), ("condsd", 2)])
def test_an_inverted_variance_explains_its_loss_and_not_ten_times_more(
    column: str, power: int
) -> None:
    """The document's variances: 36.9 between persons, and 8e-4 of what is known of one."""
    known = proven("document")
    smallest = known["lmer.ranef"]["condsd"].min()
    kappa = known["lmer.varcorr"]["vcov"].max() / smallest**2
    size = known["lmer.ranef"]["condval"].abs().max() if power == 1 else smallest
    bound = ROOM * 2.0**-53 * kappa**power * size
    assert bound < 1e-4 * size
    for factor, expected in ((0.9, {"unstable arithmetic"}), (TEN, {""})):
        change = pd.DataFrame({"condval": 0.0, "condsd": 0.0}, known["lmer.ranef"].index)
        change[column] = factor * bound
        assert causes("document", off_by("lmer.ranef", change, known)) == expected


def test_the_largest_number_bounds_what_the_scale_of_the_predictors_explains() -> None:
    table = "lm.coef"
    by = ROOM * movement("pontius", "lm", largest=True)[table]
    assert ((by / proven("pontius")[table].abs()).loc["(Intercept)", "estimate"]) < 1.0
    inside = off_by(table, 0.9 * by, proven("pontius"))
    assert causes("pontius", inside, rescaled=proven("pontius")) == {"scale of the predictors"}
    outside = off_by(table, TEN * by, proven("pontius"))
    assert "" in causes("pontius", outside, rescaled=proven("pontius"))


def centred_apart(name: str, error: float) -> list[str]:
    """Causes where a model's estimate is off by a part of itself, and not with y centred."""
    known = {t: f for t, f in proven(name).items() if t in ("lmer.coef", f"lmer{CENTRED}.coef")}
    answer = dict(known)
    answer["lmer.coef"] = known["lmer.coef"] * (1.0 + error)
    rows = compare(name, "planted", answer, Reference("exact", known, of_models), list(known))
    rows = rows.assign(cause="")
    open_ = rows.index[rows["verdict"] == "unexplained"]
    finding = Finding(name, "planted", "exact", "lmer", open_, "", ())
    return [found.cause for found in cancelled(audit_case(name).context, [finding], rows)]


def test_cancellation_explains_what_cross_products_lose_and_no_more() -> None:
    """SmLs01 has one leading digit and a half: √(30 · 2⁻⁵³) · 10^L of a value is 1e-6."""
    y = audit_case("smls01").context.data["y"]
    bound = np.sqrt(ROOM * 2.0**-53) * np.abs(y).max() / np.ptp(y)
    assert bound < 1e-5
    assert centred_apart("smls01", 0.9 * bound) == ["cancellation"]
    assert centred_apart("smls01", TEN * bound) == [""]


def test_a_ratio_has_the_cause_of_its_parts_only_if_it_is_their_ratio() -> None:
    known = {"lm.coef": proven("norris")["lm.coef"]}
    coef = known["lm.coef"] * (1.0 + 1e-6)
    right = coef.assign(statistic=coef["estimate"] / coef["std_error"] * (1.0 + 5e-12))
    wrong = right.assign(statistic=right["statistic"] * (1.0 + 1e-8))
    for table, expected in ((right, {"conditioning"}), (wrong, {""})):
        rows = compare(
            "norris", "planted", {"lm.coef": table}, Reference("exact", known, of_models), known
        )
        parts = rows["column"].isin(["estimate", "std_error"])
        rows = rows.assign(cause=np.where(parts, "conditioning", ""))
        statistic = rows.index[rows["column"] == "statistic"]
        finding = Finding("norris", "planted", "exact", "lm", statistic, "", ())
        found = derived(audit_case("norris").context, [finding], rows)
        assert {each.cause for each in found} == expected


def test_an_early_stop_explains_no_more_than_the_formulas_give() -> None:
    """A value that is off by ten times the 1e-9 that formulas at rounded parameters may be."""
    model = audit_case("sleepstudy").context.parts["lmer"]
    assert isinstance(model, Lmer)
    fit = audit_case("sleepstudy").context.lmer(model)
    early = lmer_tables(fit.at(fit.theta_hat * 1.001, None), ("coef", "theta", "varcorr"))
    answer = {f"lmer.{kind}": table for kind, table in early.items()}
    assert causes("sleepstudy", answer) == {"stopped early"}
    wrong = replace_column(answer["lmer.coef"], "std_error", 1.0 + TEN * 1e-9)
    assert "" in causes("sleepstudy", answer | {"lmer.coef": wrong})


def replace_column(table: pd.DataFrame, column: str, factor: float) -> pd.DataFrame:
    return table.assign(**{column: table[column] * factor})
