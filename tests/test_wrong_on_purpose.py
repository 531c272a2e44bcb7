"""Wrong implementations, planted on purpose: each makes a run fail.

Every test first names what is planted. A run that passes here is a check that cannot fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mpmath import mp

from few import mostly_slow
from fifty_digits import DIGITS, RandomIntercept
from rparity import document_data, paths, recordings
from rparity.cases.base import Boot, Call, Lmer
from rparity.cases.document import DOCUMENT
from rparity.cases.streams import stream_tables
from rparity.cli import main
from rparity.commands import DISCREPANCY
from rparity.compare import Tables, Verdict
from rparity.diagnosis.experiments.base import CaseContext
from rparity.engines import native
from rparity.engines.base import Answer, Question
from rparity.engines.native import Native
from rparity.lmm.bootstrap.simulation import Draws
from rparity.lmm.fit import LmerResults
from rparity.lmm.lme4 import Lme4
from rparity.lmm.mixed import lmer
from rparity.lmm.solver.model import MixedModel
from rparity.rrandom import RRandom
from rparity.run import CaseRun, run_case

RunOf = Callable[[str], CaseRun]
Edit = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module", autouse=True)
def foretold() -> Iterator[None]:
    """Compute once, before anything is planted, what two versions of lme4 say of the document.

    It explains why R and this package differ from the published page. It takes 40,000 replicates,
    and nothing that these tests plant may change it.
    """
    answer_as = CaseContext.answered
    kept: dict[tuple[str, Lme4], Tables] = {}

    def once(asked: CaseContext, part: Boot | Lmer | Call, lme4: Lme4) -> Tables:
        if (part.name, lme4) not in kept:
            kept[part.name, lme4] = answer_as(asked, part, lme4)
        return kept[part.name, lme4]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CaseContext, "answered", once)
        run_case(DOCUMENT, fixtures=paths.fixtures(), engines=[])
        yield


QUICK = 2  # replicates: bootstraps are then not compared, all else is
COSTLY = ("confint_profile", "confint_boot")


def failures(run: CaseRun) -> pd.DataFrame:
    """The failing comparisons of a run; one whose cause an experiment found fails like another."""
    rows = run.comparisons.replace({"verdict": {"new": "unexplained"}})
    return rows[rows["verdict"].isin([verdict for verdict in Verdict if verdict.fails])]


def quick_run() -> CaseRun:
    """Run rparity's engine on the document without its bootstraps and costlier intervals."""
    parts = [
        replace(part, kinds=tuple(k for k in part.kinds if k not in COSTLY))
        for part in DOCUMENT.parts
    ]
    quick = replace(DOCUMENT, parts=tuple(parts))
    return run_case(quick, fixtures=paths.fixtures(), nsim=QUICK, engines=["rparity"])


ONE_MORE = pytest.mark.slow(reason="one more wrong computation, of all models of the document")
FULL = pytest.mark.slow(reason="the document's 20,000 replicates and its profiles")


def full_run() -> CaseRun:
    """Run rparity's engine on the document."""
    return run_case(DOCUMENT, fixtures=paths.fixtures(), engines=["rparity"])


def caught_in(run: CaseRun) -> set[str]:
    """Tables in which something fails."""
    assert run.failed == bool(len(failures(run)))
    return set(failures(run)["table"])


def test_without_a_planted_error_nothing_is_caught() -> None:
    assert caught_in(quick_run()) == set()


# The computation --------------------------------------------------------------------------------


def test_ml_for_reml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "lmer", lambda *a, **k: lmer(*a, **k | {"REML": False}))
    caught = caught_in(quick_run())
    assert {f"lmer.{kind}" for kind in ("coef", "vcov", "varcorr", "theta", "glance")} <= caught
    assert not any(table.startswith("lmer_ml") for table in caught)


@ONE_MORE
def test_reml_for_ml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "lmer", lambda *a, **k: lmer(*a, **k | {"REML": True}))
    caught = caught_in(quick_run())
    assert {f"lmer_ml.{kind}" for kind in ("coef", "vcov", "varcorr", "theta", "glance")} <= caught
    assert not any(table.startswith("lmer.") for table in caught)


@ONE_MORE
def test_n_for_n_minus_p_in_the_mixed_model(monkeypatch: pytest.MonkeyPatch) -> None:
    divisor = MixedModel.divisor
    monkeypatch.setattr(MixedModel, "divisor", lambda self, **_reml: divisor(self, reml=False))
    assert {"lmer.coef", "lmer.vcov", "lmer.varcorr", "lmer.glance"} <= caught_in(quick_run())


@ONE_MORE
def test_n_for_n_minus_p_in_the_linear_model(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = native.lm_tables

    def wrong(results: Any) -> dict[str, pd.DataFrame]:
        shrink = np.sqrt(results.df_resid / results.nobs)
        found = tables(results)
        found["coef"]["std_error"] *= shrink
        found["coef"]["statistic"] /= shrink
        found["vcov"] *= shrink**2
        found["glance"]["sigma"] *= shrink
        return found

    monkeypatch.setattr(native, "lm_tables", wrong)
    assert {"lm.coef", "lm.vcov", "lm.glance", "lm_treatment.coef"} <= caught_in(quick_run())


def test_treatment_for_sum_contrasts(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Native.answer

    def wrong(self: Native, question: Question) -> Answer:
        parts = (
            replace(part, contrasts={"p": "contr.treatment"}) if part.name == "lm" else part
            for part in question.case.parts
        )
        return answer(self, replace(question, case=replace(question.case, parts=tuple(parts))))

    monkeypatch.setattr(Native, "answer", wrong)
    rows = failures(quick_run()).query("table == 'lm.coef'")
    assert set(zip(rows["row"], rows["verdict"], rows["cause"], strict=True)) >= {
        ("p1", "missing", ""),
        ("p10", "missing", ""),
        ("(Intercept)", "unexplained", "parametrisation"),
    }


@ONE_MORE
def test_sum_for_treatment_contrasts(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = native.lm
    monkeypatch.setattr(
        native, "lm", lambda *a, **k: lm(*a, **k | {"contrasts": {"p": "contr.sum"}})
    )
    assert "lm_treatment.coef" in caught_in(quick_run())


@ONE_MORE
def test_last_level_first_in_sum_contrasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its right names: a contrast matrix upside down."""
    tables = native.lm_tables

    def wrong(results: Any) -> dict[str, pd.DataFrame]:
        found = tables(results)
        if "p1" in found["coef"].index:
            order = ["(Intercept)", "x", *(f"p{i}" for i in range(9, 0, -1))]
            found["coef"] = found["coef"].loc[order].set_axis(found["coef"].index)
        return found

    monkeypatch.setattr(native, "lm_tables", wrong)
    assert caught_in(quick_run()) == {"lm.coef"}


@ONE_MORE
def test_the_seed_of_the_data_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "RRandom", lambda seed: RRandom(seed + 1))
    assert {"data", "lmer.coef", "lm.coef"} <= caught_in(quick_run())


BOOTSTRAPS = {
    f"boot_{how}_u.{kind}" for how in ("simulate", "fix") for kind in ("boot", "replicates")
}


@FULL
def test_the_seed_of_the_bootstrap_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bootmer = native.bootmer

    def wrong(fit: LmerResults, nsim: int, *arguments: Any, rng: Any, **options: Any) -> Any:
        other = rng + 1 if isinstance(rng, int) else RRandom(2)
        return bootmer(fit, nsim, *arguments, rng=other, **options)

    monkeypatch.setattr(native, "bootmer", wrong)
    assert caught_in(full_run()) == BOOTSTRAPS | {"lmer.confint_boot"}


@FULL
@pytest.mark.parametrize("noise_first", [False, True])
def test_noise_drawn_before_the_random_effects(
    monkeypatch: pytest.MonkeyPatch, noise_first: bool
) -> None:
    """Both orders are written out here, so that it is the order alone that is caught."""
    right = Draws.blocks

    def drawn(self: Draws) -> Any:
        if self.effects is None:  # nothing but noise to draw
            yield from right(self)
            return
        nsim, stream = self.size, self.effects
        if noise_first:
            e, u = stream.rnorm(100 * nsim), stream.rnorm(10 * nsim)
        else:
            u, e = stream.rnorm(10 * nsim), stream.rnorm(100 * nsim)
        self.noise.state = stream.state
        yield u.reshape(nsim, 10), e.reshape(nsim, 100).T

    monkeypatch.setattr(Draws, "blocks", drawn)
    changed = {"boot_simulate_u.boot", "boot_simulate_u.replicates", "lmer.confint_boot"}
    assert caught_in(full_run()) == (changed if noise_first else set())


@FULL
def test_use_u_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    bootmer = native.bootmer
    monkeypatch.setattr(
        native,
        "bootmer",
        lambda fit, nsim, use_u=False, **options: bootmer(fit, nsim, not use_u, **options),
    )
    run = full_run()
    rows = failures(run)
    assert set(rows["table"]) >= BOOTSTRAPS
    # The conclusion is refuted too, for the intercept; the slope's errors are alike in both.
    refuted = rows[rows["reference"].isin(["lm.coef", "lmer.coef"])]
    assert set(zip(refuted["table"], refuted["row"], strict=True)) == {
        ("boot_fix_u.boot", "(Intercept)"),
        ("boot_simulate_u.boot", "(Intercept)"),
    }


@FULL
def test_the_refit_of_another_lme4(monkeypatch: pytest.MonkeyPatch) -> None:
    """lme4 before 1.1-33 hands 1 for p to the criterion; a run that does so differs today."""
    fitted = native.fitted
    monkeypatch.setattr(native, "fitted", lambda part, data, *_: fitted(part, data, "1.1-31"))
    assert "lmer.confint_boot" in caught_in(full_run())


@ONE_MORE
def test_standard_errors_from_the_joint_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    with mp.workdps(DIGITS):
        problem = RandomIntercept(document_data(1), reml=True)
        joint = problem.joint_std_errors(problem.optimum(60.0))
    tables = native.lmer_tables

    def wrong(fit: LmerResults, *arguments: Any) -> dict[str, pd.DataFrame]:
        found = tables(fit, *arguments)
        if fit.reml:
            found["coef"]["std_error"] = joint
        return found

    monkeypatch.setattr(native, "lmer_tables", wrong)
    run = quick_run()
    rows = failures(run).query("reference == 'R'")
    assert set(zip(rows["table"], rows["row"], rows["column"], strict=True)) == {
        ("lmer.coef", "(Intercept)", "std_error"),
        ("lmer.coef", "x", "std_error"),
    }


@ONE_MORE
def test_a_normal_quantile_of_two_instead_of_the_exact_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = native.lmer_tables

    def wrong(fit: LmerResults, *arguments: Any) -> dict[str, pd.DataFrame]:
        found = tables(fit, *arguments)
        half = 2.0 * fit.bse
        found["confint_wald"].loc[fit.term_names, "conf_low"] = fit.params - half
        found["confint_wald"].loc[fit.term_names, "conf_high"] = fit.params + half
        return found

    monkeypatch.setattr(native, "lmer_tables", wrong)
    assert caught_in(quick_run()) == {"lmer.confint_wald", "lmer_ml.confint_wald"}


@ONE_MORE
def test_a_stream_that_starts_elsewhere(recorded: Mapping[str, recordings.Recording]) -> None:
    truth = recorded["streams"].tables
    for kind, table in stream_tables(seeds=[2]).items():
        first = truth[f"draws.{kind}"].loc["1"]
        assert list(first.index) == list(table.columns)
        told = ["first", "last", "position_checksum", "state_checksum"]
        if kind != "permutation":  # of the same numbers, whose sum is the same
            told.append("checksum")
        assert (first != table.iloc[0])[told].all(), kind


# The tables -------------------------------------------------------------------------------------

TABLES = [table for part in DOCUMENT.parts for table in native.Native().expected(part)]


class Planted:
    """An engine with tables of one's own for an answer."""

    name = "rparity"

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self.tables = tables
        self.expected = native.Native().expected

    def answer(self, _question: Question) -> Answer:
        return Answer(self.tables)


KEPT = 200  # replicates of each bootstrap, on both sides: the comparison does not know them apart


def shortened(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {
        name: frame.iloc[:KEPT].copy() if name.endswith(".replicates") else frame.copy()
        for name, frame in tables.items()
    }


@pytest.fixture
def answer(
    run_of: RunOf,
    recorded: Mapping[str, recordings.Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, pd.DataFrame]:
    """Python's tables of the document, to spoil; R's are cut to the same length."""
    known = recorded["document"]
    short = replace(known, tables=shortened(known.tables))
    monkeypatch.setattr(type(DOCUMENT), "recording", lambda *_arguments: short)
    return shortened(run_of("document").answers["rparity"].tables)


def run_with(tables: Mapping[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> CaseRun:
    monkeypatch.setattr("rparity.run.engine", lambda _name: Planted(tables))
    return full_run()


def found_against_r(run: CaseRun) -> set[tuple[str, str]]:
    """Table and verdict of what fails against R."""
    rows = failures(run).query("reference == 'R'")
    return set(zip(rows["table"], rows["verdict"], strict=True))


def test_an_unchanged_answer_passes(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run_with(answer, monkeypatch).failed


@pytest.mark.parametrize("half", [0, 1])
def test_tables_left_out(answer, monkeypatch: pytest.MonkeyPatch, half: int) -> None:
    left_out = set(TABLES[half::2])
    some = {name: frame for name, frame in answer.items() if name not in left_out}
    found = found_against_r(run_with(some, monkeypatch))
    assert found == {(table, "missing") for table in left_out}


def test_an_empty_answer(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = failures(run_with({}, monkeypatch))
    assert set(rows["verdict"]) == {"missing"}
    assert set(TABLES) <= set(rows["table"])


SPOILT: dict[str, tuple[Edit, set[str]]] = {
    "the last column dropped": (lambda f: f.iloc[:, :-1], {"missing"}),
    "the first column dropped": (lambda f: f.iloc[:, 1:], {"missing"}),
    "the last row dropped": (lambda f: f.iloc[:-1], {"missing"}),
    "a row that R does not have": (
        lambda f: pd.concat([f, f.iloc[:1].set_axis(["more"])]),
        {"missing"},
    ),
    "a column that R does not have": (lambda f: f.assign(more=1.0), {"missing"}),
    "the last value zeroed": (lambda f: put(f, 0.0), {"unexplained"}),
    "the last value missing": (lambda f: put(f, np.nan), {"unexplained"}),
    "the last value of the other sign": (lambda f: put(f, -f.iloc[-1, -1]), {"unexplained"}),
    "everything zeroed": (lambda f: f * 0.0, {"unexplained"}),
    "the last two rows swapped": (
        lambda f: f.iloc[[*range(len(f) - 2), len(f) - 1, len(f) - 2]].set_axis(f.index),
        {"unexplained"},
    ),
}


def put(frame: pd.DataFrame, value: float) -> pd.DataFrame:
    spoilt = frame.copy()
    spoilt.iloc[-1, -1] = value
    return spoilt


@pytest.mark.parametrize(
    "spoilt",
    mostly_slow(
        SPOILT,
        lambda how: how == "the last row dropped",
        "experiments look for a cause of each error in each table",
    ),
)
def test_errors_in_all_tables_are_caught_in_every_table(
    answer, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    edit, verdicts = SPOILT[spoilt]
    rowwise = "rows swapped" in spoilt
    able = [table for table in TABLES if not rowwise or len(answer[table]) > 1]
    for table in able:
        answer[table] = edit(answer[table])
    found = found_against_r(run_with(answer, monkeypatch))
    assert {(table, verdict) for table in able for verdict in verdicts} <= found
    assert {table for table, _ in found} == set(able)


def test_one_of_ten_thousand_replicates_wrong(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = dict(run_of("document").answers["rparity"].tables)
    name = "boot_simulate_u.replicates"
    answer[name] = answer[name].copy()
    answer[name].iloc[4711, 0] *= 1 + 1e-4
    rows = failures(run_with(answer, monkeypatch))
    assert list(zip(rows["table"], rows["row"], rows["column"], strict=True)) == [
        ("boot_simulate_u.replicates", "4712", "(Intercept)")
    ]


# The command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "edit"),
    mostly_slow(
        [
            ("lmer.coef", None),
            ("boot_fix_u.boot", None),
            ("lm.coef", lambda f: f.drop(columns="std_error")),
            ("boot_simulate_u.boot", lambda f: f.iloc[:-1]),
            ("lmer.varcorr", lambda f: f * 0.0),
        ],
        lambda planted: planted[0] in ("lmer.coef", "lmer.varcorr"),
        "runs the document's comparisons and experiments for each error",
    ),
)
def test_the_command_exits_with_1_and_names_the_table(
    answer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    edit: Edit | None,
) -> None:
    right = answer.pop(table)
    if edit is not None:
        answer[table] = edit(right)
    monkeypatch.setattr("rparity.run.engine", lambda _name: Planted(answer))
    monkeypatch.setattr(
        "rparity.commands.chosen_cases",
        lambda _names: [replace(DOCUMENT, engines=("rparity",))],
    )
    assert main(["run", "document"]) == DISCREPANCY
    out = capsys.readouterr().out
    assert "What nothing explains" in out
    assert table in out.split("What nothing explains")[1]


def test_the_command_exits_with_1_also_for_json(
    answer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer["lmer.coef"] *= 0.0
    monkeypatch.setattr("rparity.run.engine", lambda _name: Planted(answer))
    monkeypatch.setattr(
        "rparity.commands.chosen_cases",
        lambda _names: [replace(DOCUMENT, engines=("rparity",))],
    )
    assert main(["run", "document", "--format", "json"]) == DISCREPANCY
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    failing = {row["table"] for row in rows if Verdict(row["verdict"]).fails}
    # The claim that the bootstrap reproduces the model's standard errors goes with them.
    assert failing == {"lmer.coef", "boot_simulate_u.boot"}
