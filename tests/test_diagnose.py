"""The ledger is enforced both ways: it explains no more than it says, and only what occurs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import pytest

from harness import diagnose, paths
from harness.cases import cases
from harness.cases.document import DOCUMENT
from harness.compare import COLUMNS, Verdict
from harness.diagnose import EXPERIMENTS, LEDGER, Entry, Outcome, judge, ledger
from harness.errors import UsageError
from harness.run import CaseRun, run_case

RunOf = Callable[[str], CaseRun]

ENTRY = Entry(
    id="planted",
    case="toy",
    engine="*",
    reference="R",
    tables=["m.coef"],
    rows=["x"],
    columns=["std_error"],
    cause="planted",
    bound=4.0,
    experiment="planted",
    why="It was planted.",
    references=["nowhere"],
    reproduce="nothing",
)


def comparison(**fields: object) -> dict[str, object]:
    usual = {
        "case": "toy",
        "engine": "rparity",
        "table": "m.coef",
        "row": "x",
        "column": "std_error",
        "reference": "R",
        "reference_value": 1.0,
        "value": 1.00001,
        "digits": 5.0,
        "rtol": 1e-9,
        "atol": 0.0,
        "verdict": "unexplained",
    }
    return usual | fields


def toy(*rows: dict[str, object]) -> CaseRun:
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return CaseRun(replace(DOCUMENT, name="toy"), 2, False, {}, {}, {}, frame)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """An experiment that holds, and the comparisons it was asked about."""
    seen: list[pd.DataFrame] = []

    def planted(_run: CaseRun, rows: pd.DataFrame) -> Outcome:
        seen.append(rows)
        return Outcome(True, "it does")

    monkeypatch.setattr(diagnose, "EXPERIMENTS", {"planted": planted})
    return seen


def test_a_discrepancy_within_its_bound_is_known(asked: list[pd.DataFrame]) -> None:
    judged, findings = judge(toy(comparison()), [ENTRY])
    assert judged["verdict"].tolist() == ["known"]
    assert [finding.entry.id for finding in findings] == ["planted"]
    assert len(asked) == 1


def test_a_discrepancy_at_its_bound_is_known(asked: list[pd.DataFrame]) -> None:
    judged, _ = judge(toy(comparison(digits=4.0)), [ENTRY])
    assert judged["verdict"].tolist() == ["known"]


def test_a_discrepancy_beyond_its_bound_is_unexplained(asked: list[pd.DataFrame]) -> None:
    judged, _ = judge(toy(comparison(digits=3.99)), [ENTRY])
    assert judged["verdict"].tolist() == ["unexplained"]


def test_the_bound_holds_for_each_value_by_itself(asked: list[pd.DataFrame]) -> None:
    run = toy(comparison(), comparison(engine="statsmodels", digits=2.0))
    assert judge(run, [ENTRY])[0]["verdict"].tolist() == ["known", "unexplained"]


def test_a_discrepancy_whose_experiment_does_not_hold_is_unexplained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        diagnose, "EXPERIMENTS", {"planted": lambda _run, _rows: Outcome(False, "it does not")}
    )
    judged, findings = judge(toy(comparison()), [ENTRY])
    assert judged["verdict"].tolist() == ["unexplained"]
    assert findings[0].outcome.text == "it does not"


@pytest.mark.parametrize("verdict", ["identical", "rounding", "within"])
def test_an_entry_whose_discrepancy_no_longer_occurs_is_stale(
    asked: list[pd.DataFrame], verdict: str
) -> None:
    judged, findings = judge(toy(comparison(verdict=verdict)), [ENTRY])
    assert judged["verdict"].tolist() == [verdict, "stale"]
    assert judged["table"].tolist()[1] == "ledger: planted"
    assert tuple(judged.columns) == COLUMNS
    assert findings == []
    assert asked == []
    assert Verdict("stale").fails


def test_what_is_missing_is_not_explained(asked: list[pd.DataFrame]) -> None:
    judged, _ = judge(toy(comparison(verdict="missing", digits=15.0)), [ENTRY])
    assert "missing" in set(judged["verdict"])
    assert "known" not in set(judged["verdict"])


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"table": "m.vcov"},
        {"row": "(Intercept)"},
        {"column": "estimate"},
        {"reference": "published"},
        {"case": "other"},
    ],
)
def test_an_entry_explains_nothing_elsewhere(
    asked: list[pd.DataFrame], elsewhere: dict[str, str]
) -> None:
    judged, _ = judge(toy(comparison(**elsewhere)), [ENTRY])
    assert judged["verdict"].tolist() == ["unexplained"]


def test_an_entry_is_not_asked_where_nothing_was_compared_that_it_speaks_of(
    asked: list[pd.DataFrame],
) -> None:
    judged, findings = judge(toy(comparison(table="m.vcov", verdict="within")), [ENTRY])
    assert judged["verdict"].tolist() == ["within"]
    assert findings == []


def test_an_entry_for_one_engine_does_not_excuse_another(asked: list[pd.DataFrame]) -> None:
    run = toy(comparison(), comparison(engine="statsmodels"))
    judged, _ = judge(run, [replace(ENTRY, engine="statsmodels")])
    assert judged["verdict"].tolist() == ["unexplained", "known"]


# The ledger itself ------------------------------------------------------------------------------


def test_the_ledger_can_be_read_and_each_entry_is_complete() -> None:
    entries = ledger()
    assert entries
    assert len({entry.id for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.case in cases()
        for text in (entry.id, entry.cause, entry.why, entry.reproduce):
            assert text.strip()
        assert entry.references
        for patterns in (entry.tables, entry.rows, entry.columns, entry.references):
            assert isinstance(patterns, list), (
                f"{entry.id}: a string would be taken letter by letter"
            )
        assert 0.0 < entry.bound < 12.0
        assert entry.reproduce.startswith("rparity ")


@pytest.mark.parametrize("entry", ledger(), ids=lambda entry: entry.id)
def test_every_pattern_of_an_entry_is_met_in_its_case(run_of: RunOf, entry: Entry) -> None:
    """A misspelt name would explain nothing, and never be stale either."""
    (finding,) = (f for f in run_of(entry.case).findings if f.entry.id == entry.id)
    met = finding.comparisons
    for column, patterns in (
        ("table", entry.tables),
        ("row", entry.rows),
        ("column", entry.columns),
        ("engine", [entry.engine]),
        ("reference", [entry.reference]),
    ):
        for pattern in patterns:
            assert any(fnmatchcase(value, pattern) for value in met[column]), pattern
    assert finding.outcome.holds


@pytest.mark.parametrize("entry", ledger(), ids=lambda entry: entry.id)
def test_without_its_entry_a_run_fails(run_of: RunOf, entry: Entry) -> None:
    run = run_of(entry.case)
    known = run.comparisons["verdict"] == "known"
    before = run.comparisons.assign(verdict=run.comparisons["verdict"].mask(known, "unexplained"))
    others = [other for other in ledger() if other.id != entry.id]
    judged, _ = judge(replace(run, comparisons=before), others)
    assert "unexplained" in set(judged["verdict"])


@pytest.mark.parametrize("entry", ledger(), ids=lambda entry: entry.id)
def test_the_bound_of_an_entry_is_no_more_than_a_digit_too_wide(
    run_of: RunOf, entry: Entry
) -> None:
    (finding,) = (f for f in run_of(entry.case).findings if f.entry.id == entry.id)
    assert entry.bound <= finding.comparisons["digits"].min() < entry.bound + 1.0


def written(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "ledger.toml"
    text = LEDGER.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_an_experiment_that_does_not_exist(tmp_path: Path) -> None:
    path = written(tmp_path, 'experiment = "bobyqa"', 'experiment = "bobyka"')
    with pytest.raises(UsageError, match="names the experiment 'bobyka': there are"):
        ledger(path)


@pytest.mark.parametrize("field", ["bound", "why", "references", "experiment", "id"])
def test_an_entry_that_lacks_a_field(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, f"\n{field} = ", f"\n{field}_ = ")
    with pytest.raises(UsageError, match=rf"lacks, or has without need: {field}, {field}_"):
        ledger(path)


def test_every_experiment_is_in_use() -> None:
    assert {entry.experiment for entry in ledger()} == set(EXPERIMENTS)


# The experiment of the published figures --------------------------------------------------------


def published_run(run_of: RunOf) -> tuple[CaseRun, pd.DataFrame]:
    run = run_of("document")
    (finding,) = (f for f in run.findings if f.entry.id == "published-stopped-early")
    return run, finding.comparisons


def test_lme4s_old_optimizer_stops_where_the_published_figures_say(run_of: RunOf) -> None:
    run, rows = published_run(run_of)
    outcome = diagnose.stopped_early(run, rows)
    assert outcome.holds
    assert "1.921112 for the printed 1.921112" in outcome.text


@pytest.mark.parametrize(
    ("table", "factor"),
    [("lmer_bobyqa.theta", 1.001), ("lmer_bobyqa.varcorr", 1.0001), ("lmer_bobyqa.coef", 1.0001)],
)
def test_had_it_stopped_elsewhere_the_experiment_would_not_hold(
    run_of: RunOf, table: str, factor: float
) -> None:
    run, rows = published_run(run_of)
    elsewhere = {**run.r_tables, table: run.r_tables[table] * factor}
    assert not diagnose.stopped_early(replace(run, r_tables=elsewhere), rows).holds


def test_a_published_figure_that_is_wrong_altogether_is_not_excused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A typing error in the sixth digit of a known figure, and in one that agrees."""
    for table, row, column, wrong in [
        ("lmer.varcorr", "p.(Intercept)", "vcov", "36.87648"),
        ("lm.coef", "x", "estimate", "-1.007444"),
    ]:
        figures = {t: {r: dict(c) for r, c in rs.items()} for t, rs in FIGURES.items()}
        figures[table][row][column] = wrong
        spoilt = replace(DOCUMENT, published=replace(DOCUMENT.published, figures=figures))
        run = run_case(spoilt, fixtures=paths.fixtures(), nsim=2, engines=["rparity"])
        rows = run.comparisons.query("reference == 'published' and verdict == 'unexplained'")
        assert (table, row, column) in set(
            rows[["table", "row", "column"]].itertuples(index=False, name=None)
        )


FIGURES = DOCUMENT.published.figures
