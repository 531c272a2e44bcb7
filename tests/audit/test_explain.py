"""`rparity explain`: the values, the arbiter's decimals, the experiments, the cause, the remedy."""

from __future__ import annotations

import shlex
from dataclasses import replace
from decimal import Decimal
from functools import cache

import numpy as np
import pytest

import audits
from rparity import paths
from rparity.audit.explanation import Argument, Explanation, Statement, explanation
from rparity.audit.questions import question_of
from rparity.audit.results import Audit
from rparity.cases import case
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.compare import Verdict, digits
from rparity.engines import kept_answers
from rparity.errors import UsageError
from rparity.report.argument import WIDTH, as_text

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
FIXTURES = paths.fixtures()


@cache
def explained(name: str, engine: str, *place: str) -> Explanation:
    return explanation(case(name), engine, *place, fixtures=FIXTURES)


@pytest.fixture
def early() -> Argument:
    """Why lme4's first variance of sleepstudy differs."""
    found = explained("sleepstudy", "lme4", "lmer.varcorr", "Subject.(Intercept)")
    (argument,) = found.arguments
    return argument


# The argument -----------------------------------------------------------------------------------


def test_the_values_are_the_engines_and_the_arbiters(early: Argument) -> None:
    mine, arbiter = early.statements
    assert (early.row, early.column) == ("Subject.(Intercept)", "vcov")
    assert mine.name == "lme4"
    assert mine.value == pytest.approx(612.1001580247688, rel=1e-12)
    assert mine.digits == pytest.approx(float(digits(mine.value, arbiter.value)))
    assert arbiter.name == "exact"
    assert arbiter.digits is None
    assert arbiter.decimals is not None
    assert len(Decimal(arbiter.decimals).as_tuple().digits) >= 17
    known = kept_answers.certified(FIXTURES, question_of(case("sleepstudy"), FIXTURES))
    place = known[
        (known["table"] == "lmer.varcorr")
        & (known["row"] == "Subject.(Intercept)")
        & (known["column"] == "vcov")
    ]
    assert place["value"].tolist() == [arbiter.decimals]
    assert float(arbiter.decimals) == pytest.approx(arbiter.value, rel=1e-15)


@pytest.mark.slow(reason="explains one more value, with all experiments")
def test_the_arbiters_decimals_are_those_of_the_value() -> None:
    found = explained("sleepstudy", "lme4", "lmer.coef", "Days")
    (argument,) = found.arguments
    assert argument.column != "estimate"
    decimals = argument.statements[-1].decimals
    assert float(decimals or "nan") == pytest.approx(argument.statements[-1].value, rel=1e-15)


def test_all_experiments_are_shown_and_the_decisive_one_is_last(early: Argument) -> None:
    assert len(early.steps) >= 3
    first = next(step for step in early.steps if step.vanished)
    assert first.experiment == "at each side's own variance parameters"
    assert first.digits > 12.0
    assert early.fewest < 5.0
    assert early.cause == "stopped early"


def test_the_command_reproduces_the_argument(early: Argument) -> None:
    assert early.reproduce == "rparity explain sleepstudy lme4 lmer.varcorr 'Subject.(Intercept)'"
    _, _, name, engine, *place = shlex.split(early.reproduce)
    assert explained(name, engine, *place).arguments == (early,)


def test_without_a_table_each_cause_has_its_worst_value(small_audit: Audit) -> None:
    found = explained("sleepstudy", "lme4")
    rows = small_audit.comparisons.query("engine == 'lme4' and case == 'sleepstudy'")
    open_ = rows[~rows["verdict"].isin(["identical", "rounding", "within"])]
    assert {a.cause for a in found.arguments} == set(open_["cause"])
    for argument in found.arguments:
        of = open_[open_["cause"] == argument.cause]
        assert argument.alike == len(of)
        assert argument.statements[0].digits == argument.fewest == of["digits"].min()
    assert len(found.agreeing) + sum(a.alike for a in found.arguments) == len(rows)


def test_rs_value_is_shown_beside_a_python_engines(small_audit: Audit, monkeypatch: Patch) -> None:
    planted = small_audit.comparisons.query("engine == 'rparity' and case == 'sleepstudy'").copy()
    place = planted.index[planted["table"] == "lmer.coef"][0]
    planted.loc[place, ["value", "digits", "verdict"]] = [1.0, 0.0, "unexplained"]
    monkeypatch.setattr(
        "rparity.audit.explanation.run_audit",
        lambda *_a, **_o: replace(small_audit, comparisons=planted),
    )
    table, row = planted.loc[place, ["table", "row"]]
    found = explanation(case("sleepstudy"), "rparity", table, row, fixtures=FIXTURES)
    (argument,) = found.arguments
    names = [statement.name for statement in argument.statements]
    assert names == ["rparity", "R", "exact"]
    assert argument.statements[1].made_by["lme4"] == "2.1-0"
    assert argument.statements[1].digits > 5
    assert found.failed
    text = as_text(found)
    assert "R is nearer to exact than rparity, by " in text
    assert "none found (unexplained)" in text


@pytest.mark.slow(reason="explains one more value, with all experiments")
def test_a_published_figure_is_shown_as_printed() -> None:
    found = explained("sleepstudy", "published", "lmer.coef", "(Intercept)")
    (argument,) = found.arguments
    assert argument.statements[0].decimals in {"251.405", "6.825", "36.84"}
    assert argument.cause == "rounding of the published figure"
    assert "as printed" in as_text(found)
    assert any("JSS" in note or "Bates" in note for note in argument.notes)


# As text ----------------------------------------------------------------------------------------


def test_the_text_has_every_part_of_the_explanation(early: Argument) -> None:
    text = as_text(explained("sleepstudy", "lme4", "lmer.varcorr", "Subject.(Intercept)"))
    assert text.startswith("lme4 on sleepstudy: lmer.varcorr, Subject.(Intercept), vcov\n")
    assert "Reaction ~ Days + (Days | Subject), by REML, 180 rows" in text
    assert f"{early.statements[0].value:.17g}" in text
    assert early.statements[1].decimals in text
    assert "the arbiter, proven" in text
    assert "Cause       stopped early" in text
    assert f"Reproduce   {early.reproduce}" in text
    assert "lme4 2.1-0" in text
    assert "python-flint" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())


def argument(**fields: object) -> Argument:
    made = {"R": "4.2.2"}
    statements = (
        Statement("nlme", 1.1, 1.0, made, "2026-11-22T10:00:00Z"),
        Statement("R", 1.01, 2.0, made, "2026-11-22T10:00:00Z"),
        Statement("exact", 1.0, None, {}, None, "1.0000000000000000001"),
    )
    usual: dict[str, object] = {
        "table": "lmer.coef",
        "row": "x",
        "column": "estimate",
        "verdict": Verdict.KNOWN,
        "statements": statements,
        "steps": (),
        "cause": "stopped early",
        "alike": 1,
        "fewest": 1.0,
        "entry": audits.ENTRY,
        "reproduce": "rparity explain one nlme lmer.coef x",
        "notes": ("lmer: it did not converge",),
    }
    return Argument(**(usual | fields))  # type: ignore[arg-type]


def made_up(*arguments: Argument, **fields: object) -> Explanation:
    usual: dict[str, object] = {
        "case": audits.toy("one"),
        "engine": "nlme",
        "references": ("exact",),
        "questions": {"lmer": "y ~ x"},
        "arguments": arguments,
        "agreeing": audits.comparisons(),
        "stale": (),
    }
    return Explanation(**(usual | fields))  # type: ignore[arg-type]


def test_the_ledger_is_cited() -> None:
    text = as_text(made_up(argument()))
    assert "Ledger      planted: It stops where it likes." in text
    assert "https://example.org/planted" in text
    assert "a paper" in text
    assert "Notes       lmer: it did not converge" in text


@pytest.mark.parametrize(
    ("mine", "r", "says"),
    [
        (1.0, 2.0, "R is nearer to exact than nlme, by 1.0 digits"),
        (7.5, 2.0, "nlme is nearer to exact than R, by 5.5 digits"),
        (2.0, 2.05, "R and nlme are equally near to exact"),
    ],
)
def test_which_value_is_nearer(mine: float, r: float, says: str) -> None:
    one, other, told = argument().statements
    statements = (replace(one, digits=mine), replace(other, digits=r), told)
    assert says in as_text(made_up(argument(statements=statements)))


def test_agreement_is_reported() -> None:
    rows = audits.comparisons(
        audits.row("one", "nlme"),
        audits.row("one", "nlme", digits=12.5, row="z", verdict="rounding"),
    )
    text = as_text(made_up(agreeing=rows))
    assert text == (
        "nlme agrees with exact on all 2 values of one, with 12.5 or more digits. The fewest are "
        "in m.coef z estimate (rounding)."
    )
    assert "on the other 2 values" in as_text(made_up(argument(), agreeing=rows))


def test_a_stale_entry_is_reported() -> None:
    found = made_up(stale=("planted",))
    assert found.failed
    assert as_text(found) == "The ledger's entry planted no longer occurs: remove it."


def test_nan_and_missing_values_are_shown() -> None:
    one, *others = argument().statements
    statements = (replace(one, value=np.nan, digits=0.0), *others)
    text = as_text(
        made_up(argument(statements=statements, row="*", verdict=Verdict.MISSING, cause=""))
    )
    assert "NaN" in text
    assert "all rows" in text


# The command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "status"), [(Verdict.KNOWN, AGREE), (Verdict.NEW, DISCREPANCY)]
)
def test_the_exit_status(
    capsys: Capture, monkeypatch: Patch, verdict: Verdict, status: int
) -> None:
    found = made_up(argument(verdict=verdict))
    monkeypatch.setattr("rparity.audit.explanation.explanation", lambda *_a, **_o: found)
    assert main(["explain", "sleepstudy", "nlme"]) == status
    streams = capsys.readouterr()
    assert streams.out == as_text(found) + "\n"
    assert streams.err == ""


def test_the_command_makes_the_argument(capsys: Capture) -> None:
    assert main(["explain", "norris", "lm", "lm.coef"]) == AGREE
    assert capsys.readouterr().out.startswith("lm agrees with exact on all ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("noris lm", "There is no case 'noris'. Did you mean 'norris'?"),
        ("norris lme44", "There is no engine 'lme44'. Did you mean 'lme4'?"),
        ("norris lm lm.coeff", "have no table 'lm.coeff' to compare. Did you mean 'lm.coef'?"),
        ("norris lm lm.coef xx", "has no row 'xx'. Did you mean 'x'?"),
        ("norris lm lm.coef Intercept", "no row 'Intercept'. Did you mean '(Intercept)'?"),
        ("norris lme4", "lme4 has no answer to norris: "),
        ("norris exact", "exact is what the others are compared with on norris"),
        ("streams published", "published has no answer to streams: nothing is published."),
    ],
)
def test_mistakes(capsys: Capture, arguments: str, says: str) -> None:
    assert main(["explain", *arguments.split()]) == UNUSABLE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("rparity: ")
    assert streams.err.count("\n") == 1
    assert says in streams.err


def test_a_table_that_an_engine_leaves_out_says_why(small_audit: Audit, monkeypatch: Patch) -> None:
    reply = small_audit.replies["lme4", "sleepstudy"]
    assert reply.answer is not None
    answer = replace(reply.answer, gaps={"lmer.ranef": "it knows none"})
    rows = small_audit.comparisons
    audit = replace(
        small_audit,
        replies={**small_audit.replies, ("lme4", "sleepstudy"): replace(reply, answer=answer)},
        comparisons=rows[(rows["engine"] == "lme4") & (rows["table"] != "lmer.ranef")],
    )
    monkeypatch.setattr("rparity.audit.explanation.run_audit", lambda *_a, **_o: audit)
    with pytest.raises(UsageError, match="of sleepstudy: it knows none"):
        explanation(case("sleepstudy"), "lme4", "lmer.ranef", fixtures=FIXTURES)
