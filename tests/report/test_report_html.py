"""The audit's page: self-contained, escaped, complete, and not too large."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import audits
from pages import Page
from rparity.audit.results import Audit
from rparity.compare import MAX_DIGITS, Verdict
from rparity.report import html
from rparity.report.details import VALUES, details, exactly, parted

PAGES = pytest.mark.parametrize("name", ["everything", "attacked", "real"])
PageOf = Callable[[str], str]


# Self-contained ---------------------------------------------------------------------------------


@PAGES
def test_the_page_loads_nothing_from_the_network(name: str, page_of: PageOf) -> None:
    text = page_of(name)
    page = Page(text)
    assert not {tag for tag, _ in page.elements} & {"link", "img", "iframe", "object", "base"}
    for tag, attributes in page.elements:
        assert "src" not in attributes
        for link in {"href", "xlink:href", "action"} & attributes.keys():
            value = attributes[link]
            assert value.startswith("#") or (tag == "a" and value.startswith("https://")), value
    style, script = page.text("style"), page.text("script")
    assert not re.search(r"url\(|@import|@font-face", style)
    assert not re.search(r"fetch|XMLHttp|import|WebSocket|innerHTML|eval|document\.write", script)


@PAGES
def test_only_the_pages_own_script_may_run(name: str, page_of: PageOf) -> None:
    page = Page(page_of(name))
    (policy,) = [
        attributes["content"]
        for attributes in page.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    for source, tag in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(page.text(tag).encode()).digest()).decode()
        assert rules.pop(source) == f"'sha256-{digest}'"
    assert not rules
    assert len(page.all("script")) == len(page.all("style")) == 1
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_text_from_data_is_escaped(page_of: PageOf) -> None:
    page = Page(page_of("attacked"))
    text = page.text()
    # Every such name is shown as text, and none of them has become an element.
    for what in ("case", "engine", "row", "reference", "try", "part", "gap", "warning", "package"):
        assert f"{what}{audits.ATTACK}" in text, what
    for what in ("m", "column", "cause", "says", "reason", "version"):
        assert f"{what}{audits.QUOTED}" in text, what
    for what in ("id", "why", "problem", "title"):
        assert f"{what}{audits.ATTACK}" in text, what
    assert "alert" not in page.text("script")
    assert not [a for a in page.all("a") if a["href"].startswith("javascript:")]
    assert f"model{audits.QUOTED}" in text
    assert f"term{audits.ATTACK}" in text


@PAGES
def test_every_link_has_a_target(name: str, page_of: PageOf) -> None:
    page = Page(page_of(name))
    assert len(set(page.ids)) == len(page.ids)
    inner = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert inner
    assert set(inner) <= set(page.ids)


# Contents ---------------------------------------------------------------------------------------


def cells(text: str) -> dict[tuple[str, str], dict[str, str]]:
    found = [a for a in Page(text).all("td") if "data-engine" in a]
    return {(a["data-engine"], a["data-case"]): a for a in found}


def test_the_matrix_has_each_cell_with_its_verdict(page_of: PageOf) -> None:
    found = cells(page_of("everything"))
    verdicts = {place: attributes["data-verdict"] for place, attributes in found.items()}
    assert verdicts == {
        ("exact", "one"): "reference",
        ("lme4", "one"): "identical",
        ("nlme", "one"): "known",
        ("rparity", "one"): "rounding",
        ("mixedlm", "one"): "unexplained",
        ("gpboost", "one"): "gap",
        ("exact", "two"): "reference",
        ("lme4", "two"): "new",
        ("nlme", "two"): "missing",
        ("rparity", "two"): "within",
        ("mixedlm", "two"): "stale",
        ("gpboost", "two"): "problem",
    }
    assert found["nlme", "one"]["data-cause"] == "stopped early"
    assert found["gpboost", "two"]["title"] == "problem: crashed: killed by SIGSEGV"
    assert found["gpboost", "one"]["title"] == "gap: it knows no REML"


def test_each_cell_has_its_values_experiments_and_who_answered(page_of: PageOf) -> None:
    page = Page(page_of("real"))
    places = [a["id"] for a in page.all("details") if a.get("class") == "cell"]
    assert sorted(places) == [
        "norris--lm",
        "norris--published",
        "norris--rparity",
        "sleepstudy--lme4",
        "sleepstudy--published",
        "sleepstudy--rparity",
    ]
    text = page.text()
    assert "at each side's own variance parameters" in text
    assert "lme4 2.1-0" in text
    assert "python-flint" in text
    assert "blas lib" in text
    assert "recorded 20" in text


def test_values_are_shown_beside_their_references(small_audit: Audit, page_of: PageOf) -> None:
    text = " ".join(Page(page_of("real")).text().split())
    rows = small_audit.comparisons.query("engine == 'lme4' and case == 'sleepstudy'")
    for value in details(small_audit)["lme4", "sleepstudy"].values:
        (match,) = rows[
            (rows["table"] == value.table)
            & (rows["row"] == value.row)
            & (rows["column"] == value.column)
        ].to_dict("records")
        assert value.same + value.rest == exactly(match["value"])
        assert value.reference == exactly(match["reference_value"])
        assert value.reference in text


def test_of_many_values_the_worst_are_shown_and_all_are_counted() -> None:
    audit = audits.large(engines=2, cases=1, values=400, replicates=3000)
    (detail,) = details(audit).values()
    rows = audit.comparisons
    assert len(detail.values) == VALUES
    shown = sorted(value.digits for value in detail.values)
    assert shown == sorted(rows["digits"])[:VALUES]
    assert sum(table.values for table in detail.tables) == len(rows) == 3400
    for table in detail.tables:
        assert table.digits == rows.loc[rows["table"] == table.name, "digits"].min()
        assert table.verdicts == {Verdict.KNOWN: table.values}
    text = Page(html.page(audit)).text()
    assert f"{VALUES} of 3400 values" in text


def test_the_worst_verdict_is_shown_before_the_fewest_digits() -> None:
    rows = [audits.row("one", "nlme", row=f"r{i}", digits=0.0, verdict="known") for i in range(99)]
    rows.insert(50, audits.row("one", "nlme", row="bad", digits=9.0, verdict="unexplained"))
    audit = audits.audit(audits.comparisons(*rows), ("nlme",), ("one",))
    assert "bad" in [value.row for value in details(audit)["nlme", "one"].values]


@pytest.mark.slow(reason="14 engines on 38 cases, 159,640 values")
def test_the_page_of_a_large_audit_is_not_too_large() -> None:
    text = html.page(audits.large(replicates=130_000))
    assert len(text.encode()) < 1e6
    assert len(cells(text)) == 14 * 38


def test_the_page_says_whether_the_audit_passes(page_of: PageOf) -> None:
    assert "fails" in Page(page_of("everything")).text("span")
    audit = audits.audit(audits.comparisons(audits.row("one", "lme4")), ("lme4",), ("one",))
    text = html.page(audit)
    assert "passes" in Page(text).text("span")
    assert "What fails" not in text


def test_an_empty_audit_has_a_page() -> None:
    audit = audits.audit(audits.comparisons(), ("nlme",), ("one",))
    text = Page(html.page(audit)).text()
    assert "Nothing differs beyond rounding" in text


@pytest.mark.parametrize(
    ("value", "digits", "same", "rest"),
    [
        (251.40512, 3.4, "251.", "40512"),
        (0.0012345, 2.2, "0.0012", "345"),
        (-1e-10, 0.5, "-", "1e-10"),
        (1.23e-7, 2.9, "1.2", "3e-07"),
        (12345.0, MAX_DIGITS, "12345", ""),
        (1.0, 7.2, "1", ""),
        (np.nan, 0.0, "", "NA"),
        (0.0, 3.0, "", "0"),
        (np.inf, 0.0, "", "inf"),
    ],
)
def test_agreeing_digits_are_separated_from_the_others(
    value: float, digits: float, same: str, rest: str
) -> None:
    assert parted(value, digits) == (same, rest)


def test_the_audit_is_not_changed_by_its_report(small_audit: Audit) -> None:
    before = small_audit.comparisons.copy()
    html.page(replace(small_audit))
    pd.testing.assert_frame_equal(small_audit.comparisons, before)
