"""The ledger is enforced both ways: it knows no more than it says, and only what occurs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import pytest

from few import mostly_slow
from rparity import paths
from rparity.cases import cases
from rparity.cases.document import DOCUMENT
from rparity.compare import COLUMNS, Verdict
from rparity.diagnosis.ledger import LEDGER, UNBOUNDED, Entry, apply_ledger, ledger, matches
from rparity.errors import UsageError
from rparity.run import CaseRun, run_case

RunOf = Callable[[str], CaseRun]

ENTRY = Entry(
    id="planted",
    cases=["dyestuff"],
    engine="*",
    reference="R",
    tables=["m.coef"],
    rows=["x"],
    columns=["std_error"],
    cause="planted",
    bound=4.0,
    why="It was planted.",
    references=["nowhere"],
    reproduce="nothing",
)


def judged(
    *rows: dict[str, object], entries: list[Entry] | None = None, asked: tuple[str, ...] = ()
) -> list[str]:
    """Verdicts of some comparisons, each of which is a usual one but for what is given."""
    usual = {
        "case": "dyestuff",
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
        "cause": "planted",
    }
    frame = pd.DataFrame([usual | row for row in rows], columns=[*COLUMNS, "cause"])
    found, known = apply_ledger(
        frame, [ENTRY] if entries is None else entries, asked or ("dyestuff",)
    )
    assert set(known) == set(found.index[found["verdict"] == "known"])
    return found["verdict"].tolist()


def test_a_discrepancy_within_its_bound_is_known() -> None:
    assert judged({}) == ["known"]
    assert judged({"digits": 4.0}) == ["known"]


def test_a_discrepancy_beyond_its_bound_is_new() -> None:
    assert judged({"digits": 3.99}) == ["new"]
    assert judged({}, {"engine": "statsmodels", "digits": 2.0}) == ["known", "new"]


def test_without_a_bound_the_experiment_that_names_the_cause_is_the_bound() -> None:
    entries = [replace(ENTRY, bound=None)]
    assert judged({"digits": 0.1}, entries=entries) == ["known"]
    assert judged({"digits": 9.0, "cause": ""}, entries=entries) == ["unexplained", "stale"]


@pytest.mark.parametrize(("cause", "verdict"), [("", "unexplained"), ("another", "new")])
def test_a_discrepancy_of_another_cause_or_of_none_is_not_known(cause: str, verdict: str) -> None:
    assert verdict in judged({"cause": cause})


@pytest.mark.parametrize("verdict", ["identical", "rounding", "within"])
def test_an_entry_whose_discrepancy_no_longer_occurs_is_stale(verdict: str) -> None:
    assert judged({"verdict": verdict, "cause": ""}) == [verdict, "stale"]
    assert Verdict("stale").fails


def test_an_entry_is_stale_only_where_all_its_cases_were_run() -> None:
    wide = replace(ENTRY, cases=["dyestuff*"])
    agrees: dict[str, object] = {"verdict": "rounding", "cause": ""}
    assert judged(agrees, entries=[wide]) == ["rounding"]
    both = judged(agrees, entries=[wide], asked=("dyestuff", "dyestuff2"))
    assert both == ["rounding", "stale"]


def test_a_missing_value_is_not_known() -> None:
    assert "known" not in judged({"verdict": "missing", "digits": 15.0})


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
def test_an_entry_does_not_count_elsewhere(elsewhere: dict[str, object]) -> None:
    assert judged(elsewhere) == ["new"]


def test_an_entry_for_some_engines_does_not_excuse_another() -> None:
    for engines in ("statsmodels", ["statsmodels", "nlme"]):
        only = replace(ENTRY, engine=engines)
        assert judged({}, {"engine": "statsmodels"}, entries=[only]) == ["new", "known"]


# The ledger itself ------------------------------------------------------------------------------


def test_the_ledger_can_be_read_and_each_entry_is_complete() -> None:
    entries = ledger()
    assert len({entry.id for entry in entries}) == len(entries)
    for entry in entries:
        assert any(fnmatchcase(name, p) for name in cases() for p in entry.cases), entry.id
        for text in (entry.id, entry.cause, entry.why, entry.reproduce):
            assert text.strip()
        assert entry.references
        for patterns in (entry.cases, entry.tables, entry.rows, entry.columns, entry.references):
            assert not isinstance(patterns, str), f"{entry.id}: a string is taken letter by letter"
        assert entry.bound is None or 0.0 < entry.bound < 12.0
        assert entry.reproduce.startswith("rparity ")


OF_RUNS = [entry for entry in ledger() if entry.reference in ("R", "published")]
of_runs = pytest.mark.parametrize(
    "entry",
    mostly_slow(OF_RUNS, lambda entry: entry.cases == ["document"], "runs one more case"),
    ids=[entry.id for entry in OF_RUNS],
)


@of_runs
def test_every_pattern_of_an_entry_is_met_in_its_case(run_of: RunOf, entry: Entry) -> None:
    """A misspelt name would explain nothing, and never be stale either."""
    (case,) = entry.cases
    run = run_of(case)
    mine = [f for f in run.findings if f.entry is not None and f.entry.id == entry.id]
    met = run.comparisons.loc[[row for finding in mine for row in finding.rows]]
    for column, patterns in (
        ("table", entry.tables),
        ("row", entry.rows),
        ("column", entry.columns),
        ("engine", [entry.engine]),
        ("reference", [entry.reference]),
    ):
        for pattern in patterns:
            assert any(fnmatchcase(value, pattern) for value in met[column]), pattern
    assert all(f.decisive is not None and f.decisive.cause == entry.cause for f in mine)
    assert entry.bound is None or entry.bound <= met["digits"].min() < entry.bound + 1.0


@of_runs
def test_without_its_entry_a_run_fails(run_of: RunOf, entry: Entry) -> None:
    run = run_of(entry.cases[0])
    before = run.comparisons.replace({"verdict": {"known": "unexplained"}})
    others = [other for other in ledger() if other.id != entry.id]
    assert "new" in set(apply_ledger(before, others, [run.case.name])[0]["verdict"])


def test_an_entry_that_excuses_this_package_names_the_cases() -> None:
    mine = [entry for entry in ledger() if matches("rparity", entry.engine)]
    assert [entry.cause for entry in mine if matches("exact", entry.reference)] == ["conditioning"]
    assert [entry.id for entry in mine if "*" in entry.cases] == ["lme4-refit"]  # of old lme4s


@pytest.mark.parametrize("cause", UNBOUNDED)
def test_a_cause_without_a_limit_needs_a_bound(tmp_path: Path, cause: str) -> None:
    path = tmp_path / "ledger.toml"
    first = next(e for e in ledger() if e.bound is None)
    path.write_text(LEDGER.read_text().replace(f'"{first.cause}"', f'"{cause}"'))
    with pytest.raises(UsageError, match="has unknown or missing fields: bound"):
        ledger(path)


@pytest.mark.parametrize("field", ["why", "references", "id"])
def test_an_entry_that_lacks_a_field(tmp_path: Path, field: str) -> None:
    path = tmp_path / "ledger.toml"
    path.write_text(LEDGER.read_text().replace(f"\n{field} = ", f"\n{field}_ = "))
    with pytest.raises(UsageError, match=rf"has unknown or missing fields: {field}, {field}_"):
        ledger(path)


@pytest.mark.slow(reason="tries every experiment on every published figure")
def test_a_published_figure_that_is_wrong_altogether_is_not_excused() -> None:
    """A typing error in the sixth digit of a known figure, and in one that agrees."""
    published = DOCUMENT.published
    assert published is not None
    for table, row, column, wrong in [
        ("lmer.varcorr", "p.(Intercept)", "vcov", "36.87648"),
        ("lm.coef", "x", "estimate", "-1.007444"),
    ]:
        figures = {t: {r: dict(c) for r, c in rs.items()} for t, rs in published.figures.items()}
        figures[table][row][column] = wrong
        spoilt = replace(DOCUMENT, published=replace(published, figures=figures))
        run = run_case(spoilt, fixtures=paths.fixtures(), nsim=2, engines=["rparity"])
        rows = run.comparisons.query("reference == 'published' and verdict == 'unexplained'")
        assert (table, row, column) in set(
            rows[["table", "row", "column"]].itertuples(index=False, name=None)
        )
