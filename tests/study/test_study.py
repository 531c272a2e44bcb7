"""The study: data and intervals equal R's, coverage is counted correctly, reports are complete."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

import ddf_recorded
import posterior_recorded
from few import mostly_slow
from rparity import document_data, paths
from rparity.cases.study import RECORDED, STUDY, study_tables
from rparity.cli import main
from rparity.commands import AGREE, UNUSABLE
from rparity.compare import Reference, Verdict, compare, digits
from rparity.errors import DataError, RparityError, UsageError, WorkerCrashedError
from rparity.r.session import RSession
from rparity.recordings import Recording
from rparity.report.study_figure import draw
from rparity.rrandom import RRandom
from rparity.study import answers, coverage
from rparity.study.answers import COLUMNS, INTERVALS, PARAMETERS, answer
from rparity.study.coverage import (
    MEAN_OF_LINES,
    MEAN_OF_POPULATION,
    SLOPE,
    Study,
    run_study,
)
from rparity.study.data_sets import DataSet, StudyDesign, World
from rparity.workers.cluster import Cluster, Outcome, Progress

Capture = pytest.CaptureFixture[str]
FIXED, RANDOM = World.FIXED, World.RANDOM
# A small design of unequal lines, in which every parameter differs from its default.
OTHER = StudyDesign(points=4, sizes=(3, 7), sd=0.5, slope=2.0, between=3.0)
NSIM = 40
OTHER_IN_R = {"points": 4, "n": [3, 7], "sd": 0.5, "slope": 2.0}


# Data sets ----------------------------------------------------------------------------------


def test_the_fixed_world_gives_the_data_of_the_document() -> None:
    for seed in (1, 7):
        drawn = StudyDesign().draw(FIXED, RRandom(seed))
        pd.testing.assert_frame_equal(drawn.data, document_data(seed), rtol=0, atol=0)
        assert drawn.lines == 21.0


@pytest.mark.slow(reason="draws 400 data sets")
def test_the_worlds_have_the_same_mean_and_spread() -> None:
    design = StudyDesign(sizes=(2,))
    lines = np.arange(12.0, 31.0, 2.0)
    assert design.intercept == lines.mean()
    assert math.isclose(design.spread, lines.std(ddof=1))
    rng = RRandom(1)
    n = 400
    means = [design.draw(RANDOM, rng).lines for _ in range(n)]
    assert abs(np.mean(means) - 21.0) < 4 * design.spread / math.sqrt(10 * n)
    assert abs(np.std(means, ddof=1) * math.sqrt(10) / design.spread - 1.0) < 4 / math.sqrt(2 * n)
    assert {design.draw(FIXED, rng).lines for _ in range(5)} == {21.0}


def test_between_sets_the_spread_of_the_lines() -> None:
    assert math.isclose(StudyDesign(points=6, between=3.0).spread, 3.0)
    assert StudyDesign(points=6).step == 2.0
    assert StudyDesign(between=0.0).draw(RANDOM, RRandom(1)).lines == 10.0


def test_sizes_are_repeated_over_the_lines() -> None:
    drawn = OTHER.draw(FIXED, RRandom(1)).data
    assert drawn["p"].value_counts(sort=False).tolist() == [3, 7, 3, 7]
    # With little noise, y − 2x is about 10 + d_i.
    quiet = replace(OTHER, sd=1e-3).draw(FIXED, RRandom(1)).data
    at = (quiet["y"] - 2.0 * quiet["x"]).groupby(quiet["p"], observed=True).mean()
    np.testing.assert_allclose(at, 10.0 + OTHER.step * np.arange(1, 5), atol=3e-3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"points": 1}, "at least 2 lines"),
        ({"sizes": ()}, "at least 1 point"),
        ({"sizes": (3, 0)}, "at least 1 point"),
        ({"sizes": (1,)}, "cannot be fitted to 10 points"),
        ({"sd": 0.0}, "standard deviation above 0"),
        ({"sd": math.nan}, "standard deviation above 0"),
        ({"slope": math.inf}, "slope must be a finite number"),
        ({"between": -1.0}, "standard deviation of at least 0"),
        ({"sd": 1e-9, "slope": 1e3}, "lost in the rounding"),
    ],
)
def test_invalid_designs_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        StudyDesign(**options)


# Intervals of one data set ----------------------------------------------------------------------


def test_the_intervals_of_the_document_equal_those_of_r(
    recorded: dict[str, Recording],
) -> None:
    _, found = answer(StudyDesign(), FIXED, 1, 5)
    tables, ends = recorded["document"].tables, ["conf_low", "conf_high"]
    for interval, theirs, fewest in (
        ("lm", "lm.confint_wald", 13.0),
        ("wald", "lmer.confint_wald", 7.5),
        ("profile", "lmer.confint_profile", 4.5),
    ):
        r = tables[theirs].loc[PARAMETERS, ends]
        assert digits(found[interval][ends], r).min() > fewest
    assert digits(found["lm"]["std_error"], tables["lm.coef"]["std_error"][PARAMETERS]).min() > 13
    model = ddf_recorded.find("document", "y ~ x + (1 | p)")
    for method in ("satterthwaite", "kenward-roger"):
        r = ddf_recorded.table(model["coefficients"][method]).loc[PARAMETERS]
        half = student.ppf(0.975, r["df"]) * r["Std. Error"]
        mine = found[method.replace("-", "_")]
        assert digits(mine["std_error"], r["Std. Error"]).min() > 6.0  # R stops early
        assert digits((mine["conf_high"] - mine["conf_low"]) / 2, half).min() > 5.5
    # R's posteriors are in tests/lmm/test_posterior.py. Under Jeffreys' prior they are nearly t.
    jeffreys = found["posterior_jeffreys"].loc["(Intercept)", ends]
    assert digits(jeffreys, found["kenward_roger"].loc["(Intercept)", ends]).min() > 4.0
    uniform = posterior_recorded.computed(posterior_recorded.find("document")).conf_int()
    assert digits(found["posterior_uniform"][ends], uniform.loc[PARAMETERS]).min() > 9.0
    # The document's two numbers.
    assert f"{found['wald'].loc['(Intercept)', 'std_error']:.2f}" == "1.92"
    assert f"{found['lm'].loc['(Intercept)', 'std_error']:.3f}" == "0.056"


def test_two_lines_have_no_posterior_under_a_uniform_prior() -> None:
    names = ("wald", "posterior_uniform", "posterior_jeffreys")
    _, found = answer(StudyDesign(points=2), RANDOM, 1, 5, intervals=names)
    assert found["posterior_uniform"].isna().all(axis=None)
    assert found["posterior_jeffreys"].drop(columns="std_error").notna().all(axis=None)


def restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    bootmer = answers.bootmer

    def wrong(*arguments: Any, **options: Any) -> Any:
        return bootmer(*arguments, **options | {"rng": RRandom(1)})

    monkeypatch.setattr(answers, "bootmer", wrong)


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    bootmer = answers.bootmer

    def wrong(fit: Any, nsim: int, use_u: bool, **options: Any) -> Any:
        return bootmer(fit, nsim, not use_u, **options)

    monkeypatch.setattr(answers, "bootmer", wrong)


def by_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    lmer = answers.lmer
    monkeypatch.setattr(answers, "lmer", lambda *args, **_options: lmer(*args, REML=False))


def other_contrasts(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = answers.lm
    monkeypatch.setattr(answers, "lm", lambda formula, data, **_options: lm(formula, data))


def one_sided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ALPHA", 0.1)


BOOTS = {"boot_simulate_u", "boot_fix_u"}


@pytest.mark.parametrize(
    ("mistake", "caught"),
    mostly_slow(
        [
            (restarted, BOOTS),
            (swapped, BOOTS),
            (by_likelihood, {"wald", "profile", *BOOTS}),
            (other_contrasts, {"lm"}),
            (one_sided, set(RECORDED)),
        ],
        lambda planted: planted[0] in (restarted, other_contrasts),
        "answers data sets anew for each mistake",
    ),
)
def test_planted_mistakes_differ_from_r(
    recorded: dict[str, Recording],
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[pytest.MonkeyPatch], None],
    caught: set[str],
) -> None:
    recording = recorded["study"]
    versions = recording.provenance["made_by"]["packages"]

    def failing() -> set[str]:
        mine = study_tables(RANDOM, STUDY.nsim, versions, datasets=2)
        theirs = {name: recording.tables[f"random.{name}"].iloc[:2] for name in mine}
        reference = Reference(
            "R", theirs, lambda table, column: STUDY.tolerance("rparity", f"random.{table}", column)
        )
        found = compare("study", "rparity", mine, reference, list(mine))
        return set(found["table"][[Verdict(verdict).fails for verdict in found["verdict"]]])

    assert failing() == set()
    mistake(monkeypatch)
    assert failing() == caught


# Coverage --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Study:
    """A study of a few data sets."""
    return run_study(StudyDesign(), datasets=24, nsim=60)


@pytest.mark.slow(reason="answers dozens of data sets, some on two workers")
def test_no_result_depends_on_workers_or_on_other_data_sets(
    two_workers: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "REPLICATES_A_PART", 5 * NSIM)  # 5 and 2 data sets a part
    alone = run_study(OTHER, datasets=7, nsim=NSIM, seed=5)
    spread = run_study(OTHER, datasets=7, nsim=NSIM, seed=5, workers=two_workers)
    pd.testing.assert_frame_equal(spread.answers, alone.answers, rtol=0, atol=0)
    later = run_study(OTHER, datasets=2, nsim=NSIM, seed=10).answers
    known = alone.answers[alone.answers["seed"].isin([10, 11])].reset_index(drop=True)
    pd.testing.assert_frame_equal(later, known, rtol=0, atol=0)
    _, tables = answer(OTHER, RANDOM, 11, NSIM)
    mine = later.query("world == 'random' and seed == 11").set_index(["interval", "parameter"])
    for name, table in tables.items():
        np.testing.assert_array_equal(mine.loc[name, COLUMNS], table)


@pytest.mark.slow(reason="answers 48 data sets, to count how often the intervals are right")
def test_lm_is_right_in_the_fixed_world_and_lmer_in_the_random_world(small: Study) -> None:
    """With 99 % probability, 95 % coverage is 21 or more of 24, and 4.5 % is 4 or fewer."""
    keys = ["world", "parameter", "target", "interval"]
    found = small.coverage.set_index(keys)["coverage"].sort_index()
    of_lm = ["lm", "boot_fix_u"]
    of_lmer = ["wald", "satterthwaite", "kenward_roger", "profile", "boot_simulate_u"]
    of_lmer += ["posterior_uniform", "posterior_jeffreys"]
    assert (found["fixed", "(Intercept)", MEAN_OF_LINES][of_lm] > 20 / 24).all()
    assert (found["fixed", "(Intercept)", MEAN_OF_LINES][of_lmer] == 1.0).all()
    assert (found["random", "(Intercept)", MEAN_OF_POPULATION][of_lm] < 5 / 24).all()
    assert (found["random", "(Intercept)", MEAN_OF_POPULATION][of_lmer] > 18 / 24).all()
    assert (found["random", "(Intercept)", MEAN_OF_LINES][of_lm] > 19 / 24).all()
    assert (found.xs("x", level="parameter") > 19 / 24).all()
    errors = small.standard_errors.set_index(["world", "parameter", "interval"]).sort_index()
    for world, right, wrong in (("fixed", "lm", "wald"), ("random", "wald", "lm")):
        claimed, spread = (errors.loc[world, "(Intercept)"][c] for c in ("std_error", "spread"))
        assert abs(claimed[right] / spread[right] - 1.0) < 0.45  # three Monte Carlo errors
        assert not 0.1 < claimed[wrong] / spread[wrong] < 10.0


def hand_made() -> Study:
    """Four data sets of each world, and one that could not be answered."""
    ends = {
        ("fixed", "(Intercept)"): [(20, 22), (21, 23), (21.5, 23), (19, 20)],
        ("fixed", "x"): [(-2, 0), (-2, -1), (-2, -1.5), (-1, 0)],
        ("random", "(Intercept)"): [(20, 22), (24, 26), (14, 16), (20.5, 30)],
        ("random", "x"): [(-2, 0), (-2, -1), (-2, -1.5), (-1, 0)],
    }
    lines = [21.5, 25.0, 20.0, 20.0]
    rows = [
        {
            "world": world,
            "seed": seed,
            "interval": "lm",
            "parameter": parameter,
            "estimate": (low + high) / 2,
            "std_error": 0.5 * seed,
            "conf_low": low,
            "conf_high": high,
            "lines": 21.0 if world == "fixed" else lines[seed - 1],
        }
        for (world, parameter), found in ends.items()
        for seed, (low, high) in enumerate(found, 1)
    ]
    lost = {"world": "random", "seed": 5, "interval": "lm", "parameter": "x"}
    frame = pd.DataFrame([*rows, lost])
    return Study(StudyDesign(), 100, 4, 1, frame, {(RANDOM, 5): "There is nothing to fit."})


# R's prop.test(held, 4, correct = FALSE)$conf.int
WILSON = {2: (0.1500389891521496, 0.8499610108478505), 3: (0.3006418425824020, 0.9544127391902995)}


def test_coverage_is_counted() -> None:
    found = hand_made().coverage.set_index(["world", "parameter", "target"])
    assert len(found) == 5
    expected = {
        ("fixed", "(Intercept)", MEAN_OF_LINES): (2, 1, 1),
        ("fixed", "x", SLOPE): (3, 1, 0),
        ("random", "(Intercept)", MEAN_OF_POPULATION): (2, 1, 1),
        ("random", "(Intercept)", MEAN_OF_LINES): (2, 1, 1),
        ("random", "x", SLOPE): (3, 1, 0),
    }
    for at, (held, below, above) in expected.items():
        row = found.loc[at]
        assert (row["n"], row["coverage"]) == (4, held / 4)
        assert row["coverage_error"] == math.sqrt(held / 4 * (1 - held / 4) / 4)
        assert (row["coverage_low"], row["coverage_high"]) == pytest.approx(WILSON[held])
        assert (row["below"], row["above"]) == (below / 4, above / 4)
    row = found.loc[("fixed", "(Intercept)", MEAN_OF_LINES)]
    assert row["width"] == (2 + 2 + 1.5 + 1) / 4
    assert math.isclose(row["width_error"], np.std([2, 2, 1.5, 1], ddof=1) / 2)


def test_standard_errors_spread_and_bias_are_computed() -> None:
    found = hand_made().standard_errors.set_index(["world", "parameter"])
    row, estimates = found.loc[("random", "(Intercept)")], np.array([21.0, 25.0, 15.0, 25.25])
    assert row["std_error"] == 0.5 * 2.5
    assert math.isclose(row["spread"], estimates.std(ddof=1))
    assert math.isclose(row["spread_error"], estimates.std(ddof=1) / math.sqrt(6))
    assert math.isclose(row["bias"], estimates.mean() - 21.0)
    assert math.isclose(row["bias_error"], estimates.std(ddof=1) / 2)
    slopes = np.array([-1.0, -1.5, -1.75, -0.5])
    assert math.isclose(found.loc[("fixed", "x"), "bias"], slopes.mean() + 1.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"datasets": 1}, "--datasets must be at least 2"),
        ({"nsim": 1}, "--nsim must be at least 2"),
        ({"seed": 2**31 - 2, "datasets": 3}, "not all 32-bit integers"),
    ],
)
def test_invalid_studies_are_refused(options: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run_study(StudyDesign(), **options)


@pytest.fixture
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all intervals be those of `lm`: posteriors and profiles take long."""

    def by_lm(*asked: Any) -> tuple[DataSet, dict[str, pd.DataFrame]]:
        drawn, tables = answer(*asked, intervals=("lm",))
        return drawn, dict.fromkeys(INTERVALS, tables["lm"])

    monkeypatch.setattr(coverage, "answer", by_lm)


@pytest.mark.usefixtures("quick_answers")
def test_a_data_set_without_an_answer_is_reported_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = coverage.answer

    def wrong(design: StudyDesign, world: World, seed: int, nsim: int) -> Any:
        if world is RANDOM and seed != 2:
            raise DataError("There is nothing to fit.")
        return right(design, world, seed, nsim)

    monkeypatch.setattr(coverage, "answer", wrong)
    study = run_study(OTHER, datasets=3, nsim=10)
    assert study.failures == {(RANDOM, s): "There is nothing to fit." for s in (1, 3)}
    counts = study.coverage.groupby("world")["n"].unique()
    assert counts["fixed"].tolist() == [3]
    assert counts["random"].tolist() == [1]

    monkeypatch.setattr(coverage, "answer", lambda *_: wrong(OTHER, RANDOM, 1, 10))
    with pytest.raises(RparityError, match="No data set could be answered: There is nothing"):
        run_study(OTHER, datasets=3, nsim=10)


@pytest.mark.usefixtures("quick_answers")
def test_a_crash_loses_only_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doomed(Cluster):
        def _outcomes(self, task: Any, shared: Any, items: Any, _limit: Any) -> Iterator[Any]:
            for item in items:
                if item.world is RANDOM and item.seeds[0] == 1:
                    yield Outcome(item, error=WorkerCrashedError(f"{item} is lost."))
                else:
                    yield Outcome(item, value=task(shared, item))

    monkeypatch.setattr(coverage, "REPLICATES_A_PART", 2 * NSIM)
    study = run_study(OTHER, datasets=4, nsim=NSIM, workers=Doomed())
    why = "The random world's part from seed 1 to 2 is lost."
    assert study.failures == {(RANDOM, 1): why, (RANDOM, 2): why}


@pytest.mark.usefixtures("quick_answers")
def test_progress_counts_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    monkeypatch.setattr(coverage, "REPLICATES_A_PART", 2 * NSIM)
    run_study(OTHER, datasets=3, nsim=NSIM, tell=seen.append)
    assert [(p.done, p.total) for p in seen] == [(2, 6), (4, 6), (6, 6), (6, 6)]


# Reports -------------------------------------------------------------------------------


@pytest.mark.slow(reason="answers dozens of data sets, some on two workers")
def test_text_json_figure_and_csv_agree(tmp_path: Path, capsys: Capture) -> None:
    options = ["--datasets", "3", "--nsim", "20", "--points", "4", "--n", "3,7", "--seed", "9"]
    options += ["--sd", "0.5", "--slope", "2", "--between", "3"]
    files = ["--plot", str(tmp_path / "a.png"), "--answers", str(tmp_path / "a.csv")]
    assert main(["study", *options, *files]) == AGREE
    text = capsys.readouterr().out
    assert "3 data sets in each world, seeds 9 to 11; 20 replicates of each bootstrap" in text
    assert "4 lines of 3, 7 points" in text
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    answers_ = pd.read_csv(tmp_path / "a.csv")
    assert len(answers_) == 2 * 3 * len(INTERVALS) * 2

    assert main(["study", *options, "--format", "json", "-o", str(tmp_path / "a.json")]) == AGREE
    assert capsys.readouterr().out == ""
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["design"]["sizes"] == [3, 7]
    study = run_study(OTHER, datasets=3, nsim=20, seed=9)
    assert found["coverage"] == study.coverage.to_dict("records")
    assert found["standard_errors"] == study.standard_errors.to_dict("records")
    pd.testing.assert_frame_equal(answers_, study.answers, check_dtype=False, rtol=0, atol=0)


def test_failures_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(coverage, "run_study", lambda *_args, **_options: hand_made())
    assert main(["study"]) == AGREE
    text = capsys.readouterr().out
    assert "1 data sets have no answer:\n  random world, seed 5: There is nothing to fit." in text
    assert "50.0 ± 25.0 (15.0 to 85.0)" in text


def test_the_figure_works_with_missing_intervals(tmp_path: Path) -> None:
    study = hand_made()
    extra = study.answers.assign(interval="wald")
    both = replace(study, answers=pd.concat([study.answers, extra], ignore_index=True))
    draw(both, tmp_path / "few.svg")
    assert "<svg" in (tmp_path / "few.svg").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--plot", "nowhere/x.png"], "There is no folder"),
        (["--plot", "x.xyz"], "its suffix must be one of"),
        (["-o", "nowhere/x.txt"], "There is no folder"),
        (["--workers", "0"], "number of workers must be at least 1"),
        (["--points", "1"], "at least 2 lines"),
    ],
)
def test_usage_errors_are_reported_before_the_work(
    options: list[str],
    says: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coverage, "_answered", lambda *_: pytest.fail("the work began"))
    assert main(["study", *options]) == UNUSABLE
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""


# R itself ---------------------------------------------------------------------------------------


@pytest.mark.live
def test_r_gives_the_same_intervals_for_other_designs() -> None:
    scripts = paths.r_scripts()
    with RSession(timeout=300) as session:
        tables = session.call(
            scripts / "study.R",
            "study",
            {"seeds": [101, 102], "nsim": 45, "step": OTHER.step, **OTHER_IN_R},
            libraries=[scripts / "tables.R"],
        ).value["tables"]
        versions = session.call(scripts / "provenance.R", "provenance", {"packages": ["lme4"]})
    version = versions.value["packages"]["lme4"]
    for world in World:
        for seed in (101, 102):
            _, mine = answer(OTHER, world, seed, 45, lme4=version, intervals=RECORDED)
            for name, table in mine.items():
                theirs = tables[f"{world}.{name}"].loc[str(seed)]
                kinds = [c for c in COLUMNS if name != "profile" or c != "std_error"]
                q = table[kinds].to_numpy().ravel()
                c = theirs[[f"{p}.{kind}" for p in PARAMETERS for kind in kinds]]
                least = {"lm": 12.0, "profile": 3.0}.get(name, 4.0)
                assert digits(q, c).min() > least, (world, seed, name, digits(q, c))
