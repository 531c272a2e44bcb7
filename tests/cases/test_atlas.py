"""The atlas: its pairs, its kept results, its page and its command."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from few import mostly_slow
from places import ROOT
from rparity.cases import atlas
from rparity.cases.base import AtlasPair, Case
from rparity.cli import main
from rparity.compare import Verdict, failing
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.ledger import ledger
from rparity.engines.base import Question
from rparity.engines.python_calls import PythonDefault, PythonSetting
from rparity.errors import UsageError
from rparity.paths import fixtures
from rparity.r.session import Availability
from rparity.report import atlas as report
from rparity.run import CaseRun, run_case

RunOf = Callable[[str], CaseRun]

EVERY = {case.name: case for case in atlas.atlas_cases()}
PAIRS = [
    pytest.param(case, pair, id=f"{name}-{pair.name}")
    for name, case in EVERY.items()
    for pair in case.parts
]
# Only the extra `atlas` installs these. `tox -e atlas` has them.
OF_THE_EXTRA = ("lifelines", "pingouin", "skmisc")
# The family of a simple pair, `sd`, which tests change.
QUICK = "atlas_description"
FAMILIES = mostly_slow(
    EVERY,
    lambda name: name in ("atlas_numerical", "atlas_series"),
    "a family a second; tox -e atlas runs each with all packages",
)


def there(module: str) -> bool:
    return find_spec(module) is not None


def test_there_are_at_least_a_hundred_pairs_in_eight_families() -> None:
    assert len(PAIRS) >= 100
    assert len(EVERY) >= 8
    assert f"has {len(PAIRS)} R calls" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("case", "pair"), PAIRS)
def test_a_pair_says_why_its_defaults_differ(case: Case, pair: AtlasPair) -> None:
    assert bool(pair.cause) == bool(pair.setting or pair.r_setting)
    if pair.cause:
        assert Cause(pair.cause)
        assert pair.why.endswith(".")
        assert pair.references


def test_no_pair_has_the_name_of_another() -> None:
    names = [pair.name for case in EVERY.values() for pair in case.parts]
    assert len(names) == len(set(names))


def test_each_pair_that_differs_is_in_the_ledger() -> None:
    ids = {entry.id for entry in ledger()}
    for name, case in EVERY.items():
        assert {f"{name}-{pair.name}" for pair in case.parts if pair.cause} <= ids


@pytest.mark.parametrize("name", FAMILIES)
def test_every_call_answers_and_every_difference_has_the_cause_that_its_pair_names(
    name: str, run_of: RunOf
) -> None:
    found = run_of(name)
    gaps = {gap for answer in found.answers.values() for gap in answer.gaps.values()}
    lacking = {f"{module} is not installed" for module in OF_THE_EXTRA if not there(module)}
    assert {gap for gap in gaps if " is older than " not in gap} <= lacking
    assert not failing(found.comparisons).any()
    differs = found.comparisons[found.comparisons["verdict"] == Verdict.KNOWN]
    named = {pair.name: pair.cause for pair in found.case.parts}
    assert (differs["table"].str.removesuffix(".value").map(named) == differs["cause"]).all()
    assert set(differs["engine"]) <= {"python-default"}


# The kept results, the page and the command -----------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kept_results_are_what_the_calls_give(name: str, run_of: RunOf) -> None:
    kept = report.read()["pairs"]
    computed = report.summarised(run_of(name).comparisons)
    for place, now in computed.items():
        then = kept[place]
        assert then["values"].keys() == now["values"].keys() or len(then["values"]) == report.SHOWN
        for kept_digits, digits in zip(then["digits"], now["digits"], strict=True):
            # Digits that agree end in rounding, which differs between machines.
            assert abs(kept_digits - digits) < 0.2 or min(kept_digits, digits) > 4.0, place


def test_every_pair_has_a_kept_result() -> None:
    kept = report.read()["pairs"]
    assert kept.keys() == {f"{n}/{p.name}" for n, case in EVERY.items() for p in case.parts}


def test_the_page_follows_from_the_kept_results() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "atlas_page.py"))["page"]()
    page = (ROOT / "docs" / "reference" / "atlas.md").read_text("utf-8")
    assert page == made, "Run `python docs/atlas_page.py`."
    for pair in (pair for case in EVERY.values() for pair in case.parts):
        assert f"{{#{pair.name}}}" in page


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["t.test"], "t_test"),
        (["scipy.stats.mannwhitneyu"], "wilcox_test"),
        (["mannwhitneyu"], "wilcox_test"),
        (["np.std"], "sd"),
        (["numpy.std"], "sd"),
        (["continuity"], "wilcox_test_continuity"),
        (["Kaplan"], "survfit"),
        (["p.adjust", "BH"], "p_adjust_bh"),
    ],
)
def test_a_pair_is_found_by_function_or_word(words: list[str], first: str) -> None:
    assert report.found(words, report.results(EVERY.values()))[0].pair.name == first


# What a user types, and the pair that comes first.
FIRST = {
    "quantile": "quantile",
    "percentile": "quantile",
    "median absolute deviation": "mad",
    "standard deviation": "sd",
    "variance": "var",
    "correlation": "cor",
    "anova": "anova",
    "one-way anova": "aov",
    "logistic": "logistic",
    "poisson": "poisson",
    "regression": "lm",
    "ols": "lm",
    "robust regression": "rlm",
    "quantile regression": "rq",
    "ridge": "glmnet_ridge",
    "lasso": "glmnet",
    "spline": "smooth_spline",
    "smoother": "loess",
    "loess": "loess",
    "lowess": "lowess",
    "survival": "survfit",
    "kaplan": "survfit",
    "log-rank": "survdiff",
    "logrank": "survdiff",
    "cox": "coxph",
    "weibull": "survreg",
    "pca": "prcomp",
    "kmeans": "kmeans",
    "KMeans": "kmeans",
    "cluster": "hclust",
    "distance": "dist",
    "factor analysis": "factanal",
    "t-test": "t_test",
    "scipy.stats.ttest_ind": "t_test",
    "mann-whitney": "wilcox_test",
    "wilcoxon": "wilcox_signed_rank",
    "chi-square": "chisq_test",
    "odds ratio": "fisher_test_odds_ratio",
    "normality": "shapiro_test",
    "fdr": "p_adjust_bh",
    "p.adjust": "p_adjust_holm",
    "binomial test": "binom_test",
    "sample size": "power_t_test_n",
    "kde": "density",
    "histogram": "cut",
    "autocorrelation": "acf",
    "rolling": "moving_average",
    "interpolation": "approx",
    "cumsum": "cumall",
    "median()": "median",
}


@pytest.mark.parametrize("typed", FIRST)
def test_the_pair_that_a_user_means_comes_first(typed: str) -> None:
    hits = report.found(typed.split(), report.results(EVERY.values()))
    assert hits[0].pair.name == FIRST[typed]


@pytest.mark.parametrize(
    "typed",
    ["gam", "bootstrap", "qq", "outlier", "box-cox", "Yeo-Johnson", "medcouple", "random forest",
     "unit root", "bonferroni"],
)  # fmt: skip
def test_a_word_that_no_pair_has_gets_the_nearest(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["atlas", *typed.split()]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "The atlas has no pair with" in err
    assert report.absent()[typed.lower().replace("-", " ")] in err


def test_the_nearest_pairs_exist_and_other_names_are_written_as_they_are_sought() -> None:
    results = report.results(EVERY.values())
    for word, text in report.absent().items():
        assert report.found([word], results) == []
        assert set(re.findall(r"`rparity atlas (\w+)`", text)) <= {one.pair.name for one in results}
        assert text.endswith(".")
    words = [word for one in results for word in one.pair.words]
    assert not {word for word in words if word != word.lower() or "-" in word}
    assert not set(words) & set(report.absent())


def test_a_misspelt_word_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["atlas", "kmaens"]) == 2
    assert "Did you mean 'kmeans'?" in capsys.readouterr().err


def test_the_command_shows_a_pair_with_the_setting_and_the_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["atlas", "sd"]) == 0
    out = capsys.readouterr().out
    assert "np.std(mtcars.mpg.to_numpy(), ddof=1)    # agrees: 15.9 digits" in out
    assert "import numpy as np" in out
    assert "divisor. R divides the sum of squares by n - 1, NumPy by n." in out


def test_the_command_counts_the_pairs_and_names_those_that_do_not_agree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["atlas", "--summary"]) == 0
    out = capsys.readouterr().out
    every = report.results(EVERY.values())
    assert out.startswith(f"{len(PAIRS)} pairs of ")
    table = out.partition("\n\n")[2]
    listed = {one.pair.name for one in every if f"\n{one.pair.name} " in table}
    assert listed == {one.pair.name for one in every if one.digits[1] < 12}


def computed_anew(monkeypatch: pytest.MonkeyPatch, run: CaseRun, python: str, *words: str) -> int:
    found = judged(planted(python=python), monkeypatch)
    run = replace(run, case=EVERY[QUICK], comparisons=found)
    gone = Availability(problem="R is not here")
    monkeypatch.setattr("rparity.r.session.availability", lambda: gone)
    monkeypatch.setattr("rparity.run.run_case", lambda *_args, **_more: run)
    return main(["atlas", *words, "--live"])


def test_pairs_are_computed_anew_and_compared_with_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run_of: RunOf
) -> None:
    run = run_of("norris")
    assert computed_anew(monkeypatch, run, "np.std(mtcars.mpg.to_numpy())", "sd") == 0
    out = capsys.readouterr().out
    assert "Pairs computed anew: 1, R's values are from its recordings. 0 changed." in out
    assert computed_anew(monkeypatch, run, "np.std(mtcars.mpg.to_numpy(), ddof=1)", "sd") == 1
    assert "1 changed." in capsys.readouterr().out


def test_the_command_lists_many_pairs_and_names_an_unknown_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["atlas", "wilcoxon"]) == 0
    assert f"of {len(PAIRS)} pairs" in capsys.readouterr().out
    assert main(["atlas", "nonsense"]) == 2
    assert "The atlas has no pair with 'nonsense'" in capsys.readouterr().err


# Wrong on purpose -------------------------------------------------------------------------------


def planted(**changes: str | None) -> Case:
    """Return the family of descriptions with the pair `sd` alone, changed."""
    case = EVERY[QUICK]
    pair = next(pair for pair in case.parts if pair.name == "sd")
    return replace(case, parts=(replace(pair, **changes),))


def judged(case: Case, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setitem(EVERY, QUICK, case)
    monkeypatch.setattr("rparity.cases.atlas.atlas_cases", lambda: tuple(EVERY.values()))
    original = run_recording()
    monkeypatch.setattr(Case, "recording", lambda *_args: original)
    return run_case(case, fixtures=fixtures()).comparisons


@cache
def run_recording() -> object:
    return Case.recording(atlas.family(atlas.FAMILIES / "description.toml"), fixtures(), None)


def test_a_setting_that_does_not_agree_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(planted(setting="np.std(mtcars.mpg.to_numpy(), ddof=2)"), monkeypatch)
    assert set(found["verdict"]) >= {"unexplained"}


def test_a_setting_that_fails_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(planted(setting="np.nonsense(1)"), monkeypatch)
    assert set(found["verdict"]) >= {"unexplained", "missing"}


def test_a_difference_without_a_cause_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(planted(setting=None, cause=""), monkeypatch)
    assert set(found["verdict"]) == {"unexplained"}


def test_a_cause_without_a_difference_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(planted(python="np.std(mtcars.mpg.to_numpy(), ddof=1)"), monkeypatch)
    assert "stale" in set(found["verdict"])


def test_an_unknown_cause_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"atlas_description-sd has cause = 'moon', which must be"):
        judged(planted(cause="moon"), monkeypatch)


# Families as files --------------------------------------------------------------------------------

PAIR = 'name = "one"\ntitle = "One"\nr = "1"\npython = "1"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[pair]", "is not TOML with pairs"),
        ('title = "x"', "is not TOML with pairs"),
        (f"[[pair]]\n{PAIR}wrong = 1", "has unknown or missing fields: wrong"),
        ('[[pair]]\nname = "one"', "has unknown or missing fields: python, r, title"),
        (f"[[pair]]\n{PAIR}setting = '2'", "must have either `setting` or `r_setting`"),
        (f"[[pair]]\n{PAIR}cause = 'divisor'", "must have either `setting` or `r_setting`"),
        (f"[[pair]]\n{PAIR}setting = '2'\ncause = 'divisor'", "needs `why`"),
        (f"[[pair]]\n{PAIR}values.a = ['$a']", "an R and a Python expression"),
        (f"[[pair]]\n{PAIR}".replace('r = "1"', "r = 1"), "has r = 1, which must be a text"),
        (f"[[pair]]\n{PAIR}".replace('"one"', '"One"'), "cannot be called 'One'"),
        (f'frames = ["nothing"]\n[[pair]]\n{PAIR}', "The atlas has no data 'nothing'"),
    ],
)
def test_a_wrong_family_is_refused_by_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        atlas.family(path)


def test_numbers_of_the_data_keep_their_bits() -> None:
    frame = atlas.frames_of(["mtcars"])["mtcars"]
    text = (atlas.DATA / "mtcars.csv").read_text().splitlines()
    assert frame.iloc[0].tolist() == [float(cell) for cell in text[1].split(",")]


def test_the_value_of_a_call_that_fails_is_missing_and_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = planted(python="np.nonsense(1)")
    answer = PythonDefault().answer(Question(case, 1))
    assert (answer.tables, answer.gaps) == ({}, {})
    assert "fails with AttributeError: module 'numpy' has no attribute" in answer.notes[0]
    found = judged(case, monkeypatch)
    assert (found["engine"] + " " + found["verdict"]).tolist()[0] == "python-default missing"


def test_only_pairs_whose_package_is_not_installed_are_gaps() -> None:
    case = EVERY[QUICK]
    other = replace(case.parts[0], name="other", python="nowhere.x(1)")
    absent = ("import nowhere", *case.parts[0].imports)
    parts = tuple(replace(part, imports=absent) for part in (*case.parts[:2], other))
    answer = PythonDefault().answer(Question(replace(case, parts=parts), 1))
    assert answer.gaps == {"other": "nowhere is not installed"}
    assert len(answer.tables) == 2


def test_a_pair_whose_package_is_older_than_it_needs_is_a_gap() -> None:
    for needs, gaps in [("numpy 1.0", []), ("numpy 99.1", ["sd"]), ("nowhere 1.0", [])]:
        answer = PythonDefault().answer(Question(planted(needs=needs), 1))
        assert list(answer.gaps) == gaps
    assert re.fullmatch(r"numpy [\d.]+ is older than 99\.1", old_gap("numpy 99.1"))


def old_gap(needs: str) -> str:
    return PythonDefault().answer(Question(planted(needs=needs), 1)).gaps["sd"]


def test_the_last_line_of_the_code_must_be_an_expression() -> None:
    answer = PythonSetting().answer(Question(planted(setting="x = 1"), 1))
    assert "the last line of the code is no expression" in answer.notes[0]


def test_a_new_pair_is_a_family_of_the_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["new", "spread", "--pair", "--dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "rparity regenerate atlas_spread --project" in out
    monkeypatch.setenv("RPARITY_PROJECT", str(tmp_path))
    case = atlas.family(tmp_path / "atlas_pairs" / "spread.toml", tmp_path)
    assert [pair.name for pair in case.parts] == ["spread"]
    assert main(["list"]) == 0
    assert "atlas_spread" in capsys.readouterr().out


def test_the_kept_results_are_json_that_other_programs_read() -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(report.RESULTS.read_text("utf-8"), parse_constant=refuse)
